"""Two answers that tell the instances of a service apart: which one am I, and what time is it (in UTC)."""

import os
import socket
from datetime import UTC, datetime

from flask import Flask

app = Flask(__name__)


@app.get("/host")
def host() -> str:
    # fairlead names each instance (web-1, web-2, ...); without it, the machine's name does.
    name = os.environ.get("FAIRLEAD_INSTANCE") or socket.gethostname()
    return f"{name}\n"


@app.get("/date")
def date() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M:%S UTC\n")


@app.get("/health")
def health() -> str:
    return "ok\n"
