"""A program that stands where the daemon would: it holds the home's lock, answers on its socket, and dies as told.

It is run in place of the interpreter (`a_python` writes the wrapper), so it sees the keeper's own arguments. How it
behaves stands in HOME/behaviour: `serve`, `exit N` (at once), `exit N once` (serve from the second start on),
`silent` (hold the lock, answer nothing), `busy` (exit 3 while the lock is held, else serve).
"""

from __future__ import annotations

import fcntl
import os
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fairlead import __version__
from fairlead.core.layout import layout_of
from tests.cli.scripted import Stream, serving, status_of


def main() -> int:
    home = os.environ["FAIRLEAD_HOME"]
    layout = layout_of(home, os.geteuid())
    with open(f"{home}/starts", "a") as starts:
        starts.write(f"{os.getpid()} {time.monotonic()} {' '.join(sys.argv[1:])}\n")
    print(f"fake daemon {os.getpid()}", flush=True)
    words = Path(home, "behaviour").read_text().split()
    again = len(Path(home, "starts").read_text().splitlines()) > 1
    if words[0] == "exit" and not (words[2:] == ["once"] and again):
        return int(words[1])
    with open(layout.lock, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return 3
        over = threading.Event()
        if words[0] == "silent":
            over.wait(60)
        # A killed predecessor leaves its socket.
        Path(layout.api_socket).unlink(missing_ok=True)
        answers = {
            "GET /version": {"version": __version__, "pid": os.getpid()},
            "GET /status": status_of(),
            "POST /shutdown": Stream([{"type": "result", "text": "no stack was up"}], then=over.set),
        }
        with serving(layout, answers):
            over.wait(60)
    return 0


if __name__ == "__main__":
    sys.exit(main())
