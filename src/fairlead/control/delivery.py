"""How an alarm's message gets to who is to be told: a webhook or a command.

In: a delivery. Out: "" when it was taken, else why not, in words that hold no secret: a webhook is named by its host, a
command by its first word. A webhook gets a POST with the payload as JSON, and takes it by answering 2xx. A command runs
as an instance's user when fairlead is root, in the folder of the file, with a clean environment that holds the payload
as FAIRLEAD_ALARM_STATE and its like, and takes it by exiting with 0.
"""

from __future__ import annotations

import json
import os.path
from typing import Protocol

from fairlead.aiokit import programs
from fairlead.aiokit.post import post_json
from fairlead.aiokit.web import host_of
from fairlead.core.alarms import Delivery
from fairlead.core.launch import SYSTEM_PATH, Surroundings
from fairlead.errors import FairleadError

COMMAND_LIMIT = 60.0
"""Seconds that a command may take."""


class Courier(Protocol):
    """Takes a message to who is to be told."""

    async def carry(self, delivery: Delivery) -> str:
        """Try once; "" when it was taken, else why not."""
        ...


class RealCourier:
    """user: (uid, gid) that commands run as when fairlead is root; None: as fairlead."""

    def __init__(self, around: Surroundings, user: tuple[int, int] | None) -> None:
        self._around, self._user = around, user

    async def carry(self, delivery: Delivery) -> str:
        try:
            if delivery.webhook is not None:
                return await self._post(delivery.webhook, delivery)
            return await self._run(delivery.command or (), delivery)
        except FairleadError as problem:
            return str(problem)

    async def _post(self, webhook: str, delivery: Delivery) -> str:
        status = await post_json(webhook, json.dumps(dict(delivery.payload)).encode())
        if 200 <= status < 300:
            return ""
        redirect = " (redirects are not followed)" if 300 <= status < 400 else ""
        return f"{host_of(webhook)} answered {status}{redirect}"

    async def _run(self, argv: tuple[str, ...], delivery: Delivery) -> str:
        folder = delivery.folder if os.path.isdir(delivery.folder) else "/"  # noqa: ASYNC240 (a stat takes no time)
        done = await programs.run(
            argv, cwd=folder, env=self._environment(delivery), timeout=COMMAND_LIMIT, user=self._user
        )
        if done.ok:
            return ""
        if done.timed_out:
            return f"{argv[0]} did not end within {COMMAND_LIMIT:g} s"
        how = f"was killed by signal {-done.status}" if done.status < 0 else f"exited with status {done.status}"
        return f"{argv[0]} {how}"

    def _environment(self, delivery: Delivery) -> dict[str, str]:
        environment = {"PATH": SYSTEM_PATH, "HOME": "/", "LANG": self._around.lang}
        if self._around.timezone:
            environment["TZ"] = self._around.timezone
        for key, value in delivery.payload.items():
            shown = f"{value:g}" if isinstance(value, float) else str(value or "")
            environment[f"FAIRLEAD_ALARM_{key.upper()}"] = shown.replace("\0", "")
        return environment
