"""From a service of the file to an immutable release: the source copied, its environment made, its program complete.

In: the stack, a service of it, the releases that exist. Out: the release that equals what is wanted, an existing one
when nothing differs (then nothing is written, and no program runs but git), else a new one under the number given. The
supervisor calls this at `up` and keeps the result.

The laws: what would be refused is refused before anything is copied; a release's folder appears by one rename, when all
it needs is there, so a crash at any moment leaves only folders named `.new-*`, which the next build removes; source and
environment of a published release never change.
"""

from __future__ import annotations

import asyncio
import os
import tempfile
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from fairlead.core.layout import Layout
from fairlead.core.model import App, Release, Service, Stack
from fairlead.errors import BuildError, FairleadError
from fairlead.releases.access import User
from fairlead.releases.detect import Interface, detect, runner_copy
from fairlead.releases.environment import Environments
from fairlead.releases.folders import close_folders, is_complete, make_folders, publish, remove, write_json
from fairlead.releases.interpreter import OWN, Interpreter, Interpreters
from fairlead.releases.judge import Judged, judge, look
from fairlead.releases.program import check_program
from fairlead.releases.server import Servers
from fairlead.releases.source import Survey
from fairlead.releases.uv import Uv

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
UNFINISHED = ".new-"
OPEN_TO_GROUP = 0o750

Progress = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class _Order:
    """One call of `build`, with what was found out at its start."""

    stack: Stack
    service: Service
    number: int
    progress: Progress
    folder: str
    """Where the service's releases lie."""
    interpreter: Interpreter

    @property
    def log(self) -> str:
        """Everything uv said in the last build."""
        return f"{self.folder}/build.log"

    @property
    def final(self) -> str:
        return f"{self.folder}/{self.number:04d}"

    def place(self, key: str) -> str:
        return self.stack.place(f"services.{self.service.name}.{key}")


class ReleaseBuilder:
    """Makes the releases of one home.

    env: where uv and git take the user's settings from (proxies, certificates, indexes, HOME).
    builder_user, app_user: (uid, gid) of whoever installs packages and runs instances when fairlead is root; None: us.
    interpreter: the one that fairlead runs on.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        env: Mapping[str, str],
        builder_user: User | None,
        app_user: User | None,
        interpreter: Interpreter = OWN,
    ) -> None:
        self._layout, self._env, self._app_user = layout, env, app_user
        # As root, only what every user may have on his path; else the user's own path, and the system's behind it.
        self._path = SYSTEM_PATH if app_user else ":".join(filter(None, (env.get("PATH"), SYSTEM_PATH)))
        self._interpreters = Interpreters(interpreter, app_user, self._path)
        uv, lock = Uv(layout, env, builder_user, self._path), asyncio.Lock()
        self._environments = Environments(layout, uv, builder_user, lock)
        self._servers = Servers(layout, uv, builder_user, lock)
        self._busy: dict[tuple[str, str], asyncio.Lock] = {}

    async def build(
        self, stack: Stack, service: Service, known: Sequence[Release], number: int, progress: Progress
    ) -> Release:
        """The release of `service` as the file and its source are now: one of `known`, or a new one.

        known: the releases of this service that are recorded. number: for a new one, not in use. progress gets a clause
        for people at each slow step. BuildError, with the place in the file where a value of it is the cause.
        """
        folder = self._layout.releases(stack.name, service.name)
        async with self._lock(stack.name, service.name):
            await asyncio.to_thread(_remove_unfinished, folder)
            python = stack.place(f"services.{service.name}.python")
            interpreter = await self._interpreters.choose(service.python, python)
            order = _Order(stack, service, number, progress, folder, interpreter)
            try:
                return await self._build(order, known)
            except BuildError as problem:
                # What names no place of its own comes from what the source holds.
                problem.place = problem.place or order.place("source")
                raise

    async def _build(self, order: _Order, known: Sequence[Release]) -> Release:
        # The stack's own file is no part of the program: a new size in it must not make a new release.
        never = (self._layout.home, self._layout.run, order.stack.path)
        found = await look(order.service.source, never, self._env, self._path, order.progress)
        in_place = await asyncio.to_thread(judge, order.service, order.interpreter, found)
        same = await self._same(order, in_place, known)
        if same is not None:
            return same
        make_folders(order.folder)
        stage = tempfile.mkdtemp(prefix=UNFINISHED, dir=order.folder)
        try:
            order.progress(f"copying the source, {len(found.paths)} file{'s' if len(found.paths) != 1 else ''}")
            copied = await asyncio.to_thread(judge, order.service, order.interpreter, found, f"{stage}/source")
            # An edit between the two readings may have undone what differed.
            same = await self._same(order, copied, known)
            if same is not None:
                return same
            await asyncio.to_thread(close_folders, f"{stage}/source")
            release = await self._complete(order, found, copied, stage)
            await asyncio.to_thread(publish, stage, order.final)
            return release
        finally:
            remove(stage)

    async def _same(self, order: _Order, judged: Judged, known: Sequence[Release]) -> Release | None:
        """The newest known release that equals what was judged and still lies there, or None."""
        for release in sorted(known, key=lambda r: r.number, reverse=True):
            if release.fingerprint == judged.fingerprint and _is_there(release):
                await self._environment(order, judged, release.source)
                return release
        return None

    async def _environment(self, order: _Order, judged: Judged, source: str) -> str | None:
        if judged.key is None:
            return None
        return await self._environments.ensure(
            judged.key, judged.inputs, order.interpreter, source, order.log, order.progress
        )

    async def _complete(self, order: _Order, found: Survey, judged: Judged, stage: str) -> Release:
        """All that the release needs beside its source; and its description, in the stage."""
        remove(order.log)
        program = order.service.program
        environment = await self._environment(order, judged, f"{stage}/source")
        if self._app_user is not None:
            os.chown(stage, 0, self._app_user[1])
            os.chmod(stage, OPEN_TO_GROUP)
        interface: Interface | None = None
        if isinstance(program, App):
            assert environment is not None
            server = await self._servers.ensure(order.interpreter, order.log, order.progress)
            runner = await asyncio.to_thread(runner_copy, self._layout.programs)
            order.progress(f"looking at {program.target}")
            interface = await self._detect(order, environment, runner, stage, found.ignored)
            argv = self._app_argv(program, environment, runner, server)
        else:
            check_program(
                program.argv[0],
                source=f"{stage}/source",
                search=f"{environment}/bin:{SYSTEM_PATH}" if environment else SYSTEM_PATH,
                variables=order.service.environment,
                place=order.place("command"),
            )
            argv = program.argv
        release = Release(
            service=order.service.name,
            number=order.number,
            fingerprint=judged.fingerprint,
            source=f"{order.final}/source",
            environment_folder=environment,
            argv=argv,
            address="unix" if isinstance(program, App) or program.wants_socket else "tcp",
            environment=dict(order.service.environment),
            interface=interface,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            ignored=found.ignored,
        )
        write_json(f"{stage}/release.json", _description(release, judged))
        return release

    def _app_argv(self, app: App, environment: str, runner: str, server: str) -> tuple[str, ...]:
        # As root the balancer is another user and shares the socket's group; else it is the same user.
        umask = "0117" if self._app_user else "0177"
        options = ("--uds", "${instance.socket}", "--threads", str(app.threads), "--umask", umask)
        return (f"{environment}/bin/python", runner, app.target, "--server-path", server, *options)

    async def _detect(
        self, order: _Order, environment: str, runner: str, stage: str, ignored: tuple[str, ...]
    ) -> Interface:
        home = f"{stage}/home"
        make_folders(home, 0o700, self._app_user)
        variables = {
            "PATH": f"{environment}/bin:{self._path}",
            "HOME": home,
            "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1",
            **order.service.environment,
            "FAIRLEAD_HOME": self._layout.home,
            "FAIRLEAD_SERVICE": order.service.name,
            "FAIRLEAD_RELEASE": str(order.number),
            "FAIRLEAD_INSTANCE": f"{order.service.name}-0",
            "FAIRLEAD_ZONE": order.stack.zones[0],
        }
        try:
            return await detect(
                order.service,
                python=f"{environment}/bin/python",
                runner=runner,
                source=f"{stage}/source",
                environment=variables,
                user=self._app_user,
                place=order.place("app"),
                ignored=ignored,
            )
        except BuildError:
            raise
        except FairleadError as problem:
            raise BuildError("cannot look at the app", problem.sentence, problem.next_step) from problem
        finally:
            await asyncio.to_thread(remove, home)

    def prune(self, stack: str, service: str, keep: Collection[int]) -> None:
        """Remove the folders of this service's releases whose number is not in `keep`. Not while it is being built."""
        folder = self._layout.releases(stack, service)
        for name in os.listdir(folder) if os.path.isdir(folder) else ():
            if name.isdecimal() and int(name) not in keep:
                remove(f"{folder}/{name}")

    async def sweep(self, keep: Collection[str]) -> None:
        """Remove unfinished environments, and those not in `keep` (folders, as in `Release.environment_folder`).

        Does nothing while a build runs, as that may be about to use one.
        """
        if not any(lock.locked() for lock in self._busy.values()):
            await asyncio.to_thread(self._environments.sweep, keep)

    def _lock(self, stack: str, service: str) -> asyncio.Lock:
        return self._busy.setdefault((stack, service), asyncio.Lock())


def _is_there(release: Release) -> bool:
    """Whether what a release points to still exists; its environment aside, which can be made again under its name."""
    if not os.path.isdir(release.source):
        return False
    if release.interface is None:
        return True
    runner, server = release.argv[1], release.argv[release.argv.index("--server-path") + 1]
    return os.path.isfile(runner) and is_complete(server)


def _description(release: Release, judged: Judged) -> dict[str, object]:
    """For people who look into the folder; the store keeps the release. Variables are left out, they may be secret."""
    return {
        "service": release.service,
        "number": release.number,
        "created_at": release.created_at,
        "source_hash": judged.source_hash,
        "environment": judged.key,
        "interface": release.interface,
        "fingerprint": release.fingerprint,
    }


def _remove_unfinished(folder: str) -> None:
    if os.path.isdir(folder):
        for name in os.listdir(folder):
            if name.startswith(UNFINISHED):
                remove(f"{folder}/{name}")
