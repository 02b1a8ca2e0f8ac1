"""Starts the app once and asks it, so that the health path in the file is one that answered; only when asked to.

In: a draft of which one service takes requests. Out: the draft with the path that answered 200, and a clause about it.
An `app:` is tried inside the project's own Python (`$VIRTUAL_ENV`, `.venv`, `venv`, else the `python3` of the PATH); a
`command:` is started with a free port on loopback in $PORT, asked there, and ended with its whole group. Both run in
the folder, as its owner, with the caller's environment and the project's `.env`.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import shutil
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace

import fairlead.releases.runner as runner
from fairlead.aiokit.programs import Finished, run
from fairlead.core.interpolation import interpolate_launch
from fairlead.core.printable import printable
from fairlead.errors import FairleadError
from fairlead.scaffold import probe
from fairlead.scaffold.findings import Draft, HealthPath, ServiceDraft

PATIENCE = 60.0
"""Seconds for the whole trial."""

FIRST_ANSWER = 20.0
"""Seconds for a command to listen."""

PAUSE = 0.1
SHOWN_LINES = 12


@dataclass(frozen=True, slots=True)
class Tried:
    """statuses: what each path answered (0: nothing). problem: why nothing could be asked, or ""; detail: last lines
    of the app."""

    statuses: Mapping[str, int]
    problem: str = ""
    detail: str = ""


async def tried(draft: Draft, root: str, environment: Mapping[str, str]) -> tuple[Draft, Tried]:
    """The draft as a trial shows it. FairleadError: nothing could be tried; the app's own last lines are its detail."""
    service = next((service for service in draft.services if service.health is not None), None)
    if service is None or service.health is None:
        raise FairleadError("there is nothing to try", "no service takes requests")
    source = service.key("source")
    folder = f"{root}/{str(source.value).removeprefix('./')}" if source else root
    paths = (service.health.path, *service.health.others)
    found = await _try(service, folder, paths, environment)
    if found.problem:
        raise FairleadError("the app could not be tried", found.problem, detail=found.detail)
    better = replace(service, health=_judged(service.health, found.statuses))
    services = tuple(better if one is service else one for one in draft.services)
    return replace(draft, services=services), found


def _judged(health: HealthPath, statuses: Mapping[str, int]) -> HealthPath:
    good = [path for path, status in statuses.items() if status == 200]
    if good:
        return replace(health, path=good[0], comment="tried: it answered 200", found=True)
    seen = ", ".join(f"{path}: {status or 'nothing'}" for path, status in statuses.items())
    comment = f"tried, and nothing answered 200 ({seen}): name a path that does, or set `matcher`"
    return replace(health, comment=comment, found=False)


async def _try(service: ServiceDraft, folder: str, paths: tuple[str, ...], environment: Mapping[str, str]) -> Tried:
    fixed = service.key("environment")
    variables = dict(environment) | (dict(fixed.value) if fixed and isinstance(fixed.value, dict) else {})
    variables |= {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONUNBUFFERED": "1"}
    owner = os.stat(folder)
    user = (owner.st_uid, owner.st_gid) if os.geteuid() == 0 and owner.st_uid else None
    app, command = service.key("app"), service.key("command")
    if app is not None:
        return await _try_app(str(app.value), folder, paths, variables, user)
    assert command is not None
    assert isinstance(command.value, tuple)
    return await _try_command(tuple(map(str, command.value)), folder, paths, variables, user)


async def _try_app(
    target: str, folder: str, paths: tuple[str, ...], variables: dict[str, str], user: tuple[int, int] | None
) -> Tried:
    python = _python_of(folder, variables)
    if python is None:
        return Tried({}, "there is no Python of the project: make a virtual environment in .venv, or activate yours")
    argv = (python, probe.__file__, runner.__file__, target, *paths)
    finished = await run(argv, cwd=folder, env=variables, timeout=PATIENCE, user=user)
    if finished.timed_out:
        return Tried({}, f"importing and asking it took more than {PATIENCE:.0f} s", _tail(finished))
    answer: object = None
    with suppress(ValueError):
        answer = json.loads(finished.stdout.decode(errors="replace").rstrip().rpartition("\n")[2])
    if isinstance(answer, dict) and isinstance(answer.get("statuses"), dict):
        return Tried({str(path): int(status) for path, status in answer["statuses"].items()})
    why = answer.get("error") if isinstance(answer, dict) else f"it ended with status {finished.status}"
    return Tried({}, printable(f"{why} (with {python})"), _tail(finished))


def _python_of(folder: str, variables: Mapping[str, str]) -> str | None:
    active = variables.get("VIRTUAL_ENV")
    for place in (f"{folder}/.venv", f"{folder}/venv", f"{folder}/env", *([active] if active else [])):
        if os.access(f"{place}/bin/python", os.X_OK):
            return f"{place}/bin/python"
    return shutil.which("python3", path=variables.get("PATH"))


def _tail(finished: Finished) -> str:
    lines = [line for line in printable(finished.output).splitlines() if line.strip() and not line.startswith('{"')]
    return "\n".join(lines[-SHOWN_LINES:])


async def _try_command(
    words: tuple[str, ...],
    folder: str,
    paths: tuple[str, ...],
    variables: dict[str, str],
    user: tuple[int, int] | None,
) -> Tried:
    if any("${instance.socket}" in word for word in words):
        return Tried({}, "a command on a socket is not tried")
    port = _free_port()
    argv = [interpolate_launch(word, port=port, socket=None, id="web-0", zone="a", values={}) for word in words]
    path = f"{folder}/.venv/bin:{folder}/node_modules/.bin:{variables.get('PATH', os.defpath)}"
    env = variables | {"PORT": str(port), "PATH": path}
    running = asyncio.ensure_future(run(argv, cwd=folder, env=env, timeout=PATIENCE, user=user))
    try:
        deadline = asyncio.get_running_loop().time() + FIRST_ANSWER
        while not await asyncio.to_thread(_ask, port, paths[0]):
            if running.done():
                break
            if asyncio.get_running_loop().time() > deadline:
                why = f"it did not answer on port {port}, which PORT named, within {FIRST_ANSWER:.0f} s"
                return Tried({}, why)
            await asyncio.sleep(PAUSE)
        if running.done():
            finished = running.result()
            return Tried({}, f"it ended with status {finished.status} before it answered", _tail(finished))
        return Tried({path: await asyncio.to_thread(_ask, port, path) for path in paths})
    finally:
        running.cancel()
        with suppress(asyncio.CancelledError, FairleadError):
            await running


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _ask(port: int, path: str) -> int:
    """The status that GET `path` gets on loopback; 0: no answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=probe.PATIENCE)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return 0
    finally:
        connection.close()
