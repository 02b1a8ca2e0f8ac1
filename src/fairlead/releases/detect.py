"""Asks the runner, in the release's own interpreter, what kind of app `app:` names; and keeps the runner's copy.

In: an environment, the copied source, the service. Out: `asgi`, `wsgi` or `rsgi`, or a BuildError at the place of
`app:`. The app is imported there, with its side effects, as the user that will run it and with the variables that it
will have (for what only a launch knows, stand-ins), so an import that fails fails now and not at every launch.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from typing import Literal, cast

from fairlead.aiokit.atomic import write_atomically
from fairlead.aiokit.programs import Finished, run
from fairlead.core.interpolation import interpolate_launch, references
from fairlead.core.model import App, Service
from fairlead.core.resources.model import Resource
from fairlead.errors import BuildError
from fairlead.releases.access import User
from fairlead.releases.folders import make_folders
from fairlead.releases.stand_ins import stand_ins

Interface = Literal["asgi", "wsgi", "rsgi"]

PATIENCE = 20.0
"""Seconds for the app to be imported, at least; an instance has its grace period for it, so that is given here too."""

CORRECT_IT = "correct the app, then run `fairlead up` again"

SHOWN_LINES = 15
"""Of what the app wrote while it was imported, at the end of an error."""


def runner_copy(programs: str) -> str:
    """The runner's path under the home, readable by every user, in a folder named by its content."""
    with open(os.path.join(os.path.dirname(__file__), "runner.py"), encoding="utf-8") as file:
        content = file.read()
    folder = f"{programs}/runner-{hashlib.sha256(content.encode()).hexdigest()[:12]}"
    path = f"{folder}/runner.py"
    if not os.path.exists(path):
        # The builds of two stacks may come here at once: each has a temporary file of its own.
        make_folders(folder, 0o755)
        write_atomically(path, content, 0o644)
    return path


async def detect(
    service: Service,
    *,
    python: str,
    runner: str,
    source: str,
    environment: Mapping[str, str],
    user: User | None,
    place: str,
    ignored: tuple[str, ...],
    resources: tuple[Resource, ...],
) -> Interface:
    """The interface of the service's app. environment: the instance's variables; what a launch puts into them is
    filled in here. resources: those of the stack."""
    assert isinstance(service.program, App)
    target = service.program.target
    values = stand_ins(environment.values(), resources)
    # As some instance would see them, without naming one that exists.
    example, socket = f"{service.name}-0", "/nonexistent/http.sock"
    filled = {
        name: interpolate_launch(value, port=0, socket=socket, id=example, zone="a", values=values)
        for name, value in environment.items()
    }
    argv = [python, runner, target, "--detect"]
    patience = max(PATIENCE, service.health_check.grace_period)
    finished = await run(argv, cwd=source, env=filled, timeout=patience, user=user)
    answer = _answer(finished)
    if finished.timed_out:
        why = f"importing it did not end within {patience:.0f} s"
        mend = (
            "start servers and long work in the app's own start-up, not when its module is imported; or raise "
            "`health_check.grace_period`"
        )
        raise BuildError(f"cannot serve {target}", why, mend, place=place, detail=_tail(finished, source))
    if answer.get("interface") in ("asgi", "wsgi", "rsgi"):
        return cast(Interface, answer["interface"])
    if answer.get("error"):
        mend = _elsewhere(target, source) or "correct `app:`"
        raise BuildError(f"cannot serve {target}", answer["error"], mend, place=place)
    why = answer.get("exception") or f"importing it ended the program with status {finished.status}"
    detail = _tail(finished, source)
    mend = _mend(why, detail, ignored)
    if mend == CORRECT_IT and any(references(value) for value in service.environment.values()):
        mend = "use databases and secrets when the app starts, not when it is imported: that is tried without them"
    raise BuildError(f"cannot import {target}", why, mend, place=place, detail=detail)


def _answer(finished: Finished) -> dict[str, str]:
    try:
        answer = json.loads(finished.stdout.decode().strip().rpartition("\n")[2])
    except ValueError:
        return {}
    return {str(k): str(v) for k, v in answer.items()} if isinstance(answer, dict) else {}


def _tail(finished: Finished, source: str) -> str:
    """The last lines, with files named as in the user's own source: the copy is gone when they are read."""
    output = finished.output.replace(f"{source}/", "")
    lines = [line for line in output.splitlines() if not line.startswith(('{"error"', '{"interface"'))]
    return "\n".join(lines[-SHOWN_LINES:])


def _elsewhere(target: str, source: str) -> str:
    """What to do when the module lies one folder down, as in a project with a src folder; "" when it does not."""
    path = target.partition(":")[0].replace(".", "/")
    for folder in ("src", *sorted(os.listdir(source))):
        inside = os.path.join(source, folder)
        if os.path.isfile(f"{inside}/{path}.py") or os.path.isfile(f"{inside}/{path}/__init__.py"):
            by_path = f"`environment: {{PYTHONPATH: {folder}}}`"
            return f"it lies in {folder}: set {by_path}, or give pyproject.toml a [build-system]"
    return ""


def _mend(why: str, detail: str, ignored: tuple[str, ...]) -> str:
    variable = re.fullmatch(r"KeyError: '(\w+)'", why)
    if variable and '"<frozen os>"' in detail:
        return f"instances have a clean environment: set {variable[1]} under the service's `environment:`"
    if why.startswith(("PermissionError", "OSError: [Errno 30]")):
        return "a release cannot be written: let the app write below $HOME, or to a folder that `environment:` names"
    missing = re.search(r"No module named '([^'.]+)", why)
    if missing and missing[1] in ignored:
        return f"the folder {missing[1]} is left out by .gitignore: take it out of there, or install it as a dependency"
    if missing:
        return f"add the package that holds `{missing[1]}` to requirements.txt, or to pyproject.toml and uv.lock"
    return CORRECT_IT
