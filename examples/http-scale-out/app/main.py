"""A JSON API whose work is the processor's: 52 keys, each with a random letter, drawn anew for each request."""

import os
import random
import string

from flask import Flask, Response

app = Flask(__name__)


@app.get("/")
@app.get("/api")
def api() -> dict[str, str]:
    return {letter: random.choice(string.ascii_letters) for letter in string.ascii_letters}


@app.get("/health")
def health() -> str:
    return "ok\n"


@app.after_request
def say_who(response: Response) -> Response:
    # fairlead names each instance (web-1, web-2, ...). Only load.py reads it, to count how many answer.
    response.headers["X-Instance"] = os.environ.get("FAIRLEAD_INSTANCE", "alone")
    return response


if __name__ == "__main__":
    app.run(port=int(os.environ.get("PORT", "8080")))
