"""A program that stands where the daemon would: it holds the home's lock, answers on its socket, and dies as told.

It is run in place of the interpreter (`a_python` writes the wrapper), so it sees the keeper's own arguments. How it
behaves stands in HOME/behaviour (or HOME/$FAKE_BEHAVIOUR): `serve [VERSION]`, `exit N` (at once), `exit N once` (serve
from the second start on), `silent` (hold the lock, answer nothing), `late N` (exit as soon as the lock is held),
`old VERSION` (serve, but know nothing of a handover).
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from fairlead import __version__
from fairlead.core.layout import layout_of
from fairlead.errors import NotFound
from tests.cli.scripted import Refuse, Stream, serving, status_of


def main() -> int:
    home = os.environ["FAIRLEAD_HOME"]
    layout = layout_of(home, os.geteuid())
    with open(f"{home}/starts", "a") as starts:
        starts.write(f"{os.getpid()} {time.monotonic()} {' '.join(sys.argv[1:])}\n")
    print(f"fake daemon {os.getpid()}", flush=True)
    words = Path(home, os.environ.get("FAKE_BEHAVIOUR", "behaviour")).read_text().split()
    again = len(Path(home, "starts").read_text().splitlines()) > 1
    if words[0] == "exit" and not (words[2:] == ["once"] and again):
        return int(words[1])
    with open(layout.lock, "a") as lock:
        waits = any(word.startswith("--take-over") for word in sys.argv)
        deadline = time.monotonic() + (20 if waits else 0)
        while not locked(lock.fileno()):
            if time.monotonic() >= deadline:
                return 3
            time.sleep(0.01)
        if words[0] == "late":
            return int(words[1])
        over = threading.Event()
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        if words[0] == "silent":
            patiently(over)
        # A killed predecessor leaves its socket.
        Path(layout.api_socket).unlink(missing_ok=True)
        identity = {"version": words[1] if words[1:] else __version__, "pid": os.getpid()}
        answers: dict[str, object] = {
            "GET /version": identity,
            "GET /status": status_of(),
            "POST /shutdown": Stream([{"type": "result", "text": "no stack was up"}], then=over.set),
        }

        def leave(request: object) -> object:
            if words[0] == "old":
                return Refuse(NotFound("POST /handover is not part of this API"), 404)
            threading.Timer(0.05, over.set).start()
            return identity

        answers["POST /handover"] = leave
        with serving(layout, answers):
            patiently(over)
    return 0


def patiently(over: threading.Event) -> None:
    """At most a minute, in small steps: a signal that comes just before a wait begins is looked at when it ends."""
    deadline = time.monotonic() + 60
    while not over.wait(0.1) and time.monotonic() < deadline:
        pass


def locked(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


if __name__ == "__main__":
    sys.exit(main())
