"""Two answers that tell the instances of a service apart: which one am I, and what time is it here."""

import os
import socket
from datetime import UTC, datetime

from flask import Flask

app = Flask(__name__)


@app.get("/host")
def host() -> str:
    # fairlead names each instance (web-1, web-2, ...); without it, the machine's name does.
    return os.environ.get("FAIRLEAD_INSTANCE") or socket.gethostname()


@app.get("/date")
def date() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


@app.get("/health")
def health() -> str:
    return "ok"
