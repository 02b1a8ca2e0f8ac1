"""An open loop of requests in a process of its own, which keeps its pace whatever else is measured: a few at first, and
from a given moment on many.

`Load` starts it; `python -m bench.openloop` is what is started: it gets what to do as JSON, sends until its stdin ends,
and prints as JSON what became of it. Moments are seconds since 1970.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal

from bench.machine import CannotMeasure
from fairlead.drill import load
from fairlead.drill.report import Result

PATIENCE = 30.0
"""Seconds in which the last requests must have ended."""


@dataclass(frozen=True)
class Asked:
    """first, then: requests a second before and after `at`; 0: none. token: the stack's check token."""

    url: str
    token: str
    first: float
    then: float = 0.0
    at: float = 0.0
    connections: Literal["new", "keep_alive"] = "keep_alive"


@dataclass(frozen=True)
class Told:
    """What became of it. answered: when the first request was answered that an instance got, by its name."""

    sent: int
    lost: int
    lag: float
    said: str
    answered: Mapping[str, float] = field(default_factory=dict)


class Load:
    """Runs from its making until `end`."""

    def __init__(self, asked: Asked) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "bench.openloop", json.dumps(asdict(asked))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.kill()
        self._process.communicate()

    def end(self) -> Told:
        """Send no more, and wait for what is under way."""
        try:
            said, _ = self._process.communicate(timeout=PATIENCE)
        except subprocess.TimeoutExpired as error:
            raise CannotMeasure(f"the load did not end within {PATIENCE:.0f} s") from error
        if self._process.returncode:
            raise CannotMeasure(f"the load ended with status {self._process.returncode}")
        return Told(**json.loads(said))


async def _run(asked: Asked) -> Told:
    answered: dict[str, float] = {}

    def sending(rate: float) -> load.Load:
        origin = time.time()

        def ended(result: Result) -> None:
            if result.ok and result.instance:
                answered.setdefault(result.instance, origin + result.at + result.latency)

        return load.Load(
            asked.url, rate=rate, token=asked.token, on_result=ended, connections=asked.connections
        )  # fmt: skip

    ending = asyncio.ensure_future(asyncio.to_thread(sys.stdin.read))
    async with contextlib.AsyncExitStack() as all_loads:
        loads = [await all_loads.enter_async_context(sending(asked.first))]
        if asked.then:
            await asyncio.wait([ending], timeout=max(0.0, asked.at - time.time()))
            loads.append(await all_loads.enter_async_context(sending(asked.then - asked.first)))
        await ending
    reports = [one.report() for one in loads]
    return Told(
        sent=sum(one.sent for one in reports),
        lost=sum(one.lost for one in reports),
        lag=max(one.lag_p95 for one in reports),
        said="; ".join(str(one) for one in reports if one.lost),
        answered=answered,
    )


if __name__ == "__main__":
    print(json.dumps(asdict(asyncio.run(_run(Asked(**json.loads(sys.argv[1])))))))
