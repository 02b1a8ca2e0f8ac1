"""The library `cryptography` in a process of its own. A daemon lives for weeks and needs it for moments: it would keep
its 20 MB, and a key that was made up to take for ever would hold up all that the daemon does.

In: what two files hold, or the names that a certificate is for. Out: what `pair` and `issued` make of it, or their
CertificateError. The process starts when it is needed, answers one question after the other, and ends by itself when
nobody has asked for `LINGER` seconds, or the daemon has ended. The law: keys pass through its standard input and output
only, never an argument, an environment or a log.

It blocks, and answers one caller at a time (`home`).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import subprocess
import sys
import time
import weakref
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

from fairlead.certificates.pair import Understood
from fairlead.core.pem import Pem
from fairlead.errors import CertificateError

LINGER = 3.0
"""Seconds; files that have just changed are read again within two."""

PATIENCE = 4.0
"""Seconds for an answer; it takes milliseconds, the first a quarter of a second. Less than the balancer waits for all
certificates together, so that one which takes for ever does not keep the others."""

KEPT = ("PATH", "LANG", "PYTHONPATH", "LD_LIBRARY_PATH")
"""What it has of the daemon's environment."""


class Apart:
    """See the module."""

    def __init__(self) -> None:
        self._child: subprocess.Popen[bytes] | None = None

    def understand(self, certificate: bytes, key: bytes, file: str, key_file: str) -> Understood:
        """As `pair.understand`."""
        texts = certificate.decode("latin-1"), key.decode("latin-1")
        return self._ask(f"{file} cannot be used", "understand", *texts, file, key_file)

    def issue(self, folder: str, names: Sequence[str], left: timedelta) -> Understood:
        """As `issued.kept_or_issued`, of the authority in `folder`."""
        what = f"the development CA in {folder} cannot be used"
        return self._ask(what, "issue", folder, list(names), left.total_seconds())

    def reap(self) -> None:
        """Forget one that has ended; called now and then."""
        if self._child is not None and self._child.poll() is not None:
            self._forget()

    def _ask(self, what: str, *question: Any) -> Understood:
        self.reap()
        try:
            try:
                answer = self._exchange(question)
            except (BrokenPipeError, EOFError):
                # It may have been about to end.
                self._forget()
                answer = self._exchange(question)
        except (OSError, EOFError, ValueError) as problem:
            self._forget()
            why = str(problem) or type(problem).__name__
            raise CertificateError(what, f"the process that looks at certificates: {why}") from problem
        if "problem" in answer:
            raise CertificateError(*answer["problem"])
        pem = answer["pem"]
        return Understood(Pem(**{**pem, "names": tuple(pem["names"])}), datetime.fromisoformat(answer["valid_from"]))

    def _exchange(self, question: Sequence[Any]) -> dict[str, Any]:
        child = self._child or self._start()
        assert child.stdin is not None
        assert child.stdout is not None
        child.stdin.write(json.dumps(question).encode() + b"\n")
        child.stdin.flush()
        deadline, heard = time.monotonic() + PATIENCE, b""
        while not heard.endswith(b"\n"):
            ready, _, _ = select.select([child.stdout], [], [], max(0.0, deadline - time.monotonic()))
            if not ready:
                raise TimeoutError(f"it has not answered for {PATIENCE:g} s")
            got = os.read(child.stdout.fileno(), 65536)
            if not got:
                raise EOFError("it has ended without an answer")
            heard += got
        found: dict[str, Any] = json.loads(heard)
        return found

    def _start(self) -> subprocess.Popen[bytes]:
        # Not through aiokit.programs, which is for one answer and the event loop; this is called from a thread.
        self._child = subprocess.Popen(
            [sys.executable, "-P", "-m", "fairlead.certificates.apart", f"{LINGER:g}"],
            env={name: os.environ[name] for name in KEPT if name in os.environ}, cwd="/", start_new_session=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        self._end = weakref.finalize(self, _end, self._child)
        return self._child

    def _forget(self) -> None:
        if self._child is not None:
            self._child = None
            self._end()


def _end(child: subprocess.Popen[bytes]) -> None:
    for pipe in (child.stdin, child.stdout):
        with contextlib.suppress(OSError):
            if pipe is not None:
                pipe.close()
    child.kill()
    child.wait()


def answer_to(question: Sequence[Any]) -> dict[str, Any]:
    """What the process answers."""
    from fairlead.certificates.authority import Authority
    from fairlead.certificates.issued import kept_or_issued
    from fairlead.certificates.pair import understand

    kind, *given = question
    try:
        if kind == "understand":
            certificate, key, file, key_file = given
            found = understand(certificate.encode("latin-1"), key.encode("latin-1"), file, key_file)
        else:
            folder, names, left = given
            found = kept_or_issued(Authority(folder), tuple(names), timedelta(seconds=left))
    except CertificateError as problem:
        return {"problem": [problem.what, problem.why, problem.next_step]}
    except Exception as problem:
        # What it says might hold a part of a key.
        return {"problem": ["the certificate cannot be used", f"it cannot be understood ({type(problem).__name__})"]}
    return {"pem": asdict(found.pem), "valid_from": found.valid_from.isoformat()}


def serve(linger: float) -> None:
    """The process's life."""
    while select.select([sys.stdin], [], [], linger)[0]:
        line = sys.stdin.buffer.readline()
        if not line:
            return
        sys.stdout.write(json.dumps(answer_to(json.loads(line))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    serve(float(sys.argv[1]))
