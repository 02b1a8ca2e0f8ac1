"""fairlead as its users run it: the real command line, in a home of its own that goes away with everything in it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from typing import Any

from bench.machine import CannotMeasure, folder
from fairlead.api.client import Client
from fairlead.core.layout import layout_of

DEADLINE = 180.0
"""Seconds for one command: a cold `up` fetches packages."""


class Fairlead:
    """The command line with one FAIRLEAD_HOME. Make one with `a_home`."""

    def __init__(self, home: str) -> None:
        self.home = home

    def up(self, path: str, variables: Mapping[str, str] | None = None) -> float:
        """Seconds that `fairlead up PATH` took."""
        began = time.monotonic()
        self._run("up", path, variables=variables)
        return time.monotonic() - began

    def scale(self, service: str, size: int) -> None:
        """`fairlead scale SERVICE SIZE`, of the only stack."""
        self._run("scale", service, str(size))

    def log(self, instance: str) -> str:
        """`fairlead logs --instance INSTANCE`."""
        return self._run("logs", "--instance", instance)

    @property
    def client(self) -> Client:
        """The daemon itself: asking it takes less of the machine than a command."""
        return Client(layout_of(self.home, os.getuid()).api_socket)

    def status(self) -> dict[str, Any]:
        """`fairlead status --json`."""
        status: dict[str, Any] = json.loads(self._run("status", "--json"))
        return status

    def down(self) -> None:
        """`fairlead down --all`: no process is left."""
        self._run("down", "--all")

    def _run(self, *words: str, variables: Mapping[str, str] | None = None) -> str:
        command = [os.path.join(os.path.dirname(sys.executable), "fairlead"), *words]
        environment = {**os.environ, **(variables or {}), "FAIRLEAD_HOME": self.home}
        try:
            done = subprocess.run(
                command, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                timeout=DEADLINE, check=False,
            )  # fmt: skip
        except FileNotFoundError as error:
            raise CannotMeasure(f"there is no {command[0]}. Run: make setup") from error
        except subprocess.TimeoutExpired as error:
            raise CannotMeasure(f"`fairlead {' '.join(words)}` took more than {DEADLINE:.0f} s") from error
        if done.returncode != 0:
            said = (done.stderr or done.stdout).strip()
            raise CannotMeasure(f"`fairlead {' '.join(words)}` exited with status {done.returncode}:\n{said}")
        return done.stdout


@contextlib.contextmanager
def a_home() -> Iterator[Fairlead]:
    """A fairlead with an empty home; stopped and removed afterwards, whatever happened."""
    with folder() as base:
        fairlead = Fairlead(os.path.join(base, "home"))
        try:
            yield fairlead
        except BaseException:
            with contextlib.suppress(CannotMeasure):  # what went wrong first is what must be told
                fairlead.down()
            raise
        fairlead.down()
