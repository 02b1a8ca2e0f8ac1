"""The commands of `build:`, run once a release, one after the other, in the release's own copy of the source.

In: the words, a folder they may write, an environment. Out: nothing, or a BuildError with the place in the file and the
last lines. Every line they write is told as it comes and goes to the build's log. They run as the build user when we
are root, with the network, and with a HOME that goes when they have ended. The laws: when this returns or raises, no
process of theirs is left (they carry a mark, so a background helper that left its group is found, unless it threw away
its parents and its environment both); and the virtual environment is as it was, because other releases share it: its
folders cannot be written, and a command that changed a file in it nevertheless is refused.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from fairlead.aiokit import strays
from fairlead.aiokit.programs import Finished, run
from fairlead.core.interpolation import interpolate_launch, references
from fairlead.core.model import Service
from fairlead.core.printable import printable
from fairlead.errors import BuildError, FairleadError
from fairlead.releases import buildlog
from fairlead.releases.access import User
from fairlead.releases.program import check_program
from fairlead.releases.threads import seen_through
from fairlead.releases.uv import passed_settings

PATIENCE = 1800.0
"""Seconds for one command; a bundler on a small machine may take many minutes."""

MARKER = "FAIRLEAD_BUILD"
STRAYS_PATIENCE = 5.0
SHOWN_LINES = 15
"""Of what a command that failed wrote last."""

WIDEST = 300
"""Characters of a line that are told; the log has all of it."""

TOOLS = (
    *("npm_config_", "NPM_CONFIG_", "YARN_", "PIP_", "NODE_EXTRA_CA_CERTS", "NODE_OPTIONS", "REQUESTS_CA_BUNDLE"),
    *("CURL_CA_BUNDLE", "GOPROXY", "GOFLAGS", "GEM_", "BUNDLE_"),
)
"""Settings of package managers for the network (prefixes of names) that are passed on beside those that uv gets."""

REFUSED = ("Permission denied", "Read-only file system", "EACCES", "not writeable", "not writable")
ELSEWHERE = "name its packages in requirements.txt, or in pyproject.toml and uv.lock, from which it is made"


@dataclass(frozen=True, slots=True)
class Workplace:
    """Where the commands of one release run.

    source: the copied source, writable by `user`. environment: the release's virtual environment, or None. variables:
    the whole environment of the commands, but for the mark. mark: a text no other build has. places: of the commands in
    the file. log: gets all they write.
    """

    source: str
    environment: str | None
    variables: Mapping[str, str]
    mark: str
    user: User | None
    places: Sequence[str]
    log: str


def variables_of(
    service: Service, env: Mapping[str, str], user: User | None, *, path: str, cache: str, own: Mapping[str, str]
) -> dict[str, str]:
    """The whole environment of a service's build. env: ours, for its settings of the network. path: for PATH, unless
    the service has its own. Variables that refer to secrets or resources are not there: a build may run before any of
    these is, and keeps what it sees. cache: a folder that outlives the build, of downloads only. own: HOME and
    fairlead's names.
    """
    settings = {name: value for name, value in env.items() if name.startswith(TOOLS)}
    filled = {
        name: interpolate_launch(value, port=None, socket=None, id=f"{service.name}-build", zone="", values={})
        for name, value in service.environment.items()
        if not references(value)
    }
    ours = {
        "PATH": path,
        "LANG": "C.UTF-8",
        "NO_COLOR": "1",
        "TERM": "dumb",
        "PYTHONUNBUFFERED": "1",
        "XDG_CACHE_HOME": cache,
        "npm_config_cache": f"{cache}/npm",
        "npm_config_update_notifier": "false",
    }
    return {**passed_settings(env, user), **settings, **ours, **filled, **own}


async def run_all(commands: Sequence[Sequence[str]], at: Workplace, progress: Callable[[str], None]) -> None:
    """Run each; BuildError when one fails, and then none after it."""
    before, folder = await asyncio.to_thread(_contents, at.environment), _identity(at.source)
    for number, words in enumerate(commands, 1):
        label = label_of(words)
        progress(f"build {number} of {len(commands)}: {label}")
        buildlog.append(at.log, f"$ {label}\n")
        place = at.places[number - 1]
        finished = await _run(words, label, place, at, progress)
        buildlog.append(at.log, f"exit status {finished.status}\n\n")
        _judge(finished, label, place, at)
        if _identity(at.source) != folder:
            what, why = f"`{label}` removed the folder that it ran in", "the release is made of what is left there"
            raise BuildError(what, why, "correct `build:`", place=place)
    changed = [name for name, _ in before ^ await asyncio.to_thread(_contents, at.environment)]
    if changed:
        raise _spoilt(at, sorted(changed)[0])


def label_of(words: Sequence[str]) -> str:
    """How a command is called in messages: its first words, because the others may hold a secret."""
    label = " ".join([os.path.basename(words[0]), *words[1:2]])
    label = label if len(label) <= 40 else os.path.basename(words[0])
    return printable(label).replace("\n", " ")


async def _run(
    words: Sequence[str], label: str, place: str, at: Workplace, progress: Callable[[str], None]
) -> Finished:
    check_program(words[0], source=at.source, search=at.variables["PATH"], variables={}, place=place, key="build")

    def tell(lines: list[str]) -> None:
        buildlog.append(at.log, "".join(f"{line}\n" for line in lines))
        for shown in filter(None, map(_shown, lines)):
            progress(f"{label} | {shown}")

    variables = {**at.variables, MARKER: at.mark}
    try:
        return await run(words, cwd=at.source, env=variables, timeout=PATIENCE, user=at.user, on_lines=tell)
    except FairleadError as problem:
        raise BuildError(f"`{label}` cannot be run", problem.why, "correct `build:`", place=place) from problem
    finally:
        await _end_strays(at.mark)


def _shown(line: str) -> str:
    """A line of output as it is told; of one that a progress bar wrote again and again, what is left standing."""
    last = line.rstrip().rpartition("\r")[2]
    # First cut, then made harmless: a line may have any length.
    shown = printable(last[: WIDEST + 1]).rstrip()
    return shown if len(shown) <= WIDEST else f"{shown[:WIDEST]}..."


async def _end_strays(mark: str) -> None:
    await seen_through(strays.end(MARKER, mark, None, STRAYS_PATIENCE))


async def end_those_of_a_crash(below: str) -> None:
    """End what builds of releases below the folder `below` left running when the daemon died in their middle.

    Not while one of them runs.
    """
    for mark in await asyncio.to_thread(strays.marked, MARKER):
        if mark.startswith(f"{below}/"):
            await _end_strays(mark)


def _identity(folder: str) -> tuple[int, int] | None:
    with suppress(OSError):
        found = os.lstat(folder)
        return found.st_dev, found.st_ino
    return None


def _judge(finished: Finished, label: str, place: str, at: Workplace) -> None:
    if finished.ok:
        return
    lines = finished.output.replace(f"{at.source}/", "").rstrip().split("\n")[-SHOWN_LINES:]
    detail = "\n".join((*map(_shown, lines), f"(everything it said: {at.log})"))
    mend = "correct it, then run `fairlead up` again"
    if at.environment and at.environment in finished.output and any(words in finished.output for words in REFUSED):
        mend = f"the virtual environment is shared with other releases and cannot be written by `build:`: {ELSEWHERE}"
    raise BuildError(f"`{label}` failed", _ending(finished), mend, place=place, detail=detail)


def _ending(finished: Finished) -> str:
    if finished.timed_out:
        return f"it did not end within {PATIENCE / 60:g} minutes"
    if finished.status >= 0:
        return f"exit status {finished.status}"
    try:
        name = signal.Signals(-finished.status).name
    except ValueError:
        name = str(-finished.status)
    by = ", perhaps because the machine ran out of memory" if name == "SIGKILL" else ""
    return f"it was ended by {name}{by}"


def _contents(environment: str | None) -> set[tuple[str, tuple[int, int, int]]]:
    """What would show a change of any file in the environment: (path, (inode, size, time of the last change))."""
    found = set()
    for where, names, files in os.walk(environment) if environment else ():
        if "__pycache__" in names:
            names.remove("__pycache__")
        for name in files:
            path = os.path.join(where, name)
            stat = os.lstat(path)
            found.add((path, (stat.st_ino, stat.st_size, stat.st_mtime_ns)))
    return found


def _spoilt(at: Workplace, changed: str) -> BuildError:
    return BuildError(
        "a command of `build:` changed the virtual environment, which other releases share",
        f"{os.path.relpath(changed, at.environment)} differs",
        f"{ELSEWHERE}; take the command out of `build:`",
        place=at.places[0],
        detail=f"if an app fails from now on, take its stack down and remove {at.environment}: it is made again",
    )
