"""From a service of the file to an immutable release: the source copied, its environment made, its program complete.

In: the stack, a service of it, the releases that exist. Out: the release that equals what is wanted, an existing one
when nothing differs (then nothing is written, and no program runs but git), else a new one under the number given. The
supervisor calls this at `up` and keeps the result; `preview` tells the same without making anything.

The laws: what would be refused is refused before anything is copied; a release holds the source as it was at one
moment; its folder appears by one rename, when all it needs is there, or, with `build:`, is complete by a file written
last: so a crash at any moment leaves only what `is_leftover` knows, which the next build or `sweep` removes; source and
environment of a published release never change; nothing is removed that a build under way may be about to use.
"""

from __future__ import annotations

import asyncio
import glob
import os
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Literal

from fairlead.core.differences import Preview
from fairlead.core.layout import Layout
from fairlead.core.model import App, Command, Release, Service, Stack
from fairlead.errors import BuildError, FairleadError
from fairlead.releases import buildlog, misfortune
from fairlead.releases.access import User
from fairlead.releases.commands import Workplace, end_those_of_a_crash, run_all, variables_of
from fairlead.releases.compare import description, reasons, recorded, write_files
from fairlead.releases.detect import Interface, detect, runner_copy
from fairlead.releases.environment import Environments
from fairlead.releases.folders import (
    DESCRIPTION,
    close_folders,
    make_folders,
    new_stage,
    publish,
    put_aside,
    remove,
    remove_leftovers,
    still_missing,
    write_json,
)
from fairlead.releases.interpreter import OWN, Interpreter, Interpreters
from fairlead.releases.judge import Judged, equal_release, judge, look
from fairlead.releases.program import check_program
from fairlead.releases.seal import seal, unseal
from fairlead.releases.server import Servers
from fairlead.releases.settle import settled_copy
from fairlead.releases.source import Survey
from fairlead.releases.threads import to_its_end
from fairlead.releases.uv import Uv

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
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
        self._layout, self._env, self._builder, self._app_user = layout, env, builder_user, app_user
        # As root, only what every user may have on his path; else the user's own path, and the system's behind it.
        self._path = SYSTEM_PATH if app_user else ":".join(filter(None, (env.get("PATH"), SYSTEM_PATH)))
        self._interpreters = Interpreters(interpreter, app_user, self._path)
        uv, lock = Uv(layout, env, builder_user, self._path), asyncio.Lock()
        self._environments = Environments(layout, uv, builder_user, lock)
        self._servers = Servers(layout, uv, builder_user, lock)
        self._busy: dict[tuple[str, str], asyncio.Lock] = {}
        self._building = 0
        self._sweeping = asyncio.Lock()

    async def build(
        self, stack: Stack, service: Service, known: Sequence[Release], number: int, progress: Progress
    ) -> Release:
        """The release of `service` as the file and its source are now: one of `known`, or a new one.

        known: the releases of this service that are recorded. number: for a new one, not in use. progress gets a clause
        for people at each slow step, and what the commands of `build:` write. BuildError, with the place in the file
        where a value of it is the cause.
        """
        folder = self._layout.releases(stack.name, service.name)
        async with self._at_work(), self._lock(stack.name, service.name):
            with self._told(stack, service):
                await end_those_of_a_crash(folder)
                await to_its_end(remove_leftovers, folder)
                order = await self._order(stack, service, number, progress)
                return await self._build(order, known)

    async def preview(self, stack: Stack, service: Service, known: Sequence[Release]) -> Preview:
        """What `build` would return, and why; changes nothing. BuildError where `build` would refuse at once."""
        with self._told(stack, service):
            order = await self._order(stack, service, 0, _silent)
            found = await self._look(order, _silent)
            judged = await asyncio.to_thread(judge, service, order.interpreter, found)
            ordered = sorted(known, key=lambda release: release.number, reverse=True)
            same = equal_release(judged, ordered)
            if same is not None:
                return Preview(release=same, reasons=() if same is ordered[0] else (f"as release {same.number} was",))
            if not ordered:
                return Preview(release=None, reasons=("there is no release yet",))
            told = await asyncio.to_thread(recorded, ordered[0])
            return Preview(release=None, reasons=reasons(service, judged, order.interpreter, ordered[0], told))

    async def _order(self, stack: Stack, service: Service, number: int, progress: Progress) -> _Order:
        place = stack.place(f"services.{service.name}.python")
        interpreter = await self._interpreters.choose(service.python, place)
        return _Order(stack, service, number, progress, self._layout.releases(stack.name, service.name), interpreter)

    @contextmanager
    def _told(self, stack: Stack, service: Service) -> Iterator[None]:
        """What goes wrong inside becomes a BuildError that has a place and names a full disk."""
        try:
            yield
        except BuildError as problem:
            told = misfortune.explained(problem, self._layout.home)
            # What names no place of its own comes from what the source holds.
            told.place = told.place or stack.place(f"services.{service.name}.source")
            raise told from (problem if told is not problem else problem.__cause__)
        except OSError as problem:
            raise misfortune.from_system(problem, self._layout.home) from problem

    async def _look(self, order: _Order, progress: Progress) -> Survey:
        # The stack's own file is no part of the program: a new size in it must not make a new release. Nor are the
        # balancer's certificates: their keys are not for the instances, and a renewal is no release.
        dotenv = os.path.join(os.path.dirname(order.stack.path), ".env")
        never = (self._layout.home, self._layout.run, order.stack.path, dotenv, *order.stack.certificate_files)
        return await look(order.service.source, never, self._env, self._path, progress)

    async def _build(self, order: _Order, known: Sequence[Release]) -> Release:
        found = await self._look(order, order.progress)
        in_place = await asyncio.to_thread(judge, order.service, order.interpreter, found)
        same = await self._same(order, in_place, known)
        if same is not None:
            return same
        make_folders(order.folder)
        stage = await to_its_end(new_stage, order.folder, order.final if order.service.build else None)
        try:
            found, copied = await settled_copy(
                order.service,
                order.interpreter,
                lambda: self._look(order, _silent),
                in_place,
                f"{stage}/source",
                order.progress,
            )
            # An edit between the two readings may have undone what differed.
            same = await self._same(order, copied, known)
            if same is not None:
                return same
            release = await self._complete(order, found, copied, stage)
            await to_its_end(publish, stage, order.final)
            stage = ""
            return release
        finally:
            if stage:
                await to_its_end(remove, stage)

    async def _same(self, order: _Order, judged: Judged, known: Sequence[Release]) -> Release | None:
        """The newest known release that equals what was judged and still lies there, or None."""
        release = equal_release(judged, known)
        if release is not None:
            await self._environment(order, judged, release.source)
        return release

    async def _environment(self, order: _Order, judged: Judged, source: str) -> str | None:
        if judged.key is None:
            return None
        return await self._environments.ensure(
            judged.key, judged.inputs, order.interpreter, source, order.log, order.progress
        )

    async def _complete(self, order: _Order, found: Survey, judged: Judged, stage: str) -> Release:
        """All that the release needs beside its source; and its description, in the stage."""
        buildlog.clear(order.log)
        service, program = order.service, order.service.program
        environment = await self._environment(order, judged, f"{stage}/source")
        if service.build:
            await self._run_build(order, environment, stage)
        else:
            await to_its_end(close_folders, f"{stage}/source")
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
            assert isinstance(program, Command)
            check_program(
                program.argv[0],
                source=f"{stage}/source",
                search=f"{environment}/bin:{SYSTEM_PATH}" if environment else SYSTEM_PATH,
                variables=order.service.environment,
                place=order.place("command"),
            )
            argv = program.argv
        release = Release(
            service=service.name,
            number=order.number,
            fingerprint=judged.fingerprint,
            source=f"{order.final}/source",
            environment_folder=environment,
            argv=argv,
            address=_address(service),
            environment=dict(service.environment),
            secrets=dict(service.secrets),
            external=dict(service.external),
            interface=interface,
            before_traffic=service.before_traffic,
            created_at=datetime.now(UTC).isoformat(timespec="seconds"),
            ignored=still_missing(found.ignored, f"{stage}/source"),
        )
        write_files(stage, judged.reading.entries)
        write_json(f"{stage}/{DESCRIPTION}", description(service, judged, order.interpreter, release))
        return release

    async def _run_build(self, order: _Order, environment: str | None, stage: str) -> None:
        """Run the commands of `build:` in the stage's source, which is read-only and ours again afterwards."""
        source, home = f"{stage}/source", f"{stage}/home"
        cache = f"{os.path.dirname(self._layout.uv_cache)}/build"
        for folder, mode in ((os.path.dirname(cache), 0o755), (cache, 0o755), (home, 0o700)):
            make_folders(folder, mode, self._builder)
        await to_its_end(unseal, source, self._builder)
        if self._builder is not None:
            # Only now: another build of the same user must not exchange a file while we give them away.
            os.chown(stage, 0, self._builder[1])
            os.chmod(stage, OPEN_TO_GROUP)
        if environment is not None:
            await asyncio.to_thread(self._environments.protect, environment)
        path = f"{environment}/bin:{self._path}" if environment else self._path
        own = {
            "HOME": home,
            "FAIRLEAD_HOME": self._layout.home,
            "FAIRLEAD_SERVICE": order.service.name,
            "FAIRLEAD_RELEASE": str(order.number),
        }
        place = Workplace(
            source=source,
            environment=environment,
            variables=variables_of(order.service, self._env, self._builder, path=path, cache=cache, own=own),
            mark=stage,
            user=self._builder,
            places=[order.place(f"build.{index}") for index in range(len(order.service.build))],
            log=order.log,
        )
        try:
            await run_all(order.service.build, place, order.progress)
        finally:
            await to_its_end(remove, home)
        await to_its_end(seal, source, self._builder)

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
                resources=order.stack.resources,
            )
        except BuildError:
            raise
        except FairleadError as problem:
            raise BuildError("cannot look at the app", problem.sentence, problem.next_step) from problem
        finally:
            await asyncio.to_thread(remove, home)

    def prune(self, stack: str, service: str, keep: Collection[int]) -> None:
        """Take the folders of this service's releases whose number is not in `keep` out of use; `sweep` removes them.

        Quick. Does nothing while a release of this service is being built: it may be about to use one.
        """
        folder = self._layout.releases(stack, service)
        if self._lock(stack, service).locked() or not os.path.isdir(folder):
            return
        for name in os.listdir(folder):
            if name.isdecimal() and int(name) not in keep:
                put_aside(f"{folder}/{name}")

    async def sweep(self, keep: Collection[str]) -> None:
        """Remove what nobody needs: unfinished environments, those not in `keep` (folders, as in
        `Release.environment_folder`), what `prune` took out of use, and what a crash left of releases.

        Does nothing while a build runs, of any stack, as that may be about to use one; a build that begins meanwhile
        waits. What cannot be removed (a sick disk) is left for the next time.
        """
        if self._building or self._sweeping.locked():
            return
        async with self._sweeping:
            with suppress(FairleadError):
                await end_those_of_a_crash(self._layout.home)
            await to_its_end(self._sweep, frozenset(keep))

    def _sweep(self, keep: frozenset[str]) -> None:
        with suppress(OSError):
            self._environments.sweep(keep)
        for releases in glob.glob(replace(self._layout, home=glob.escape(self._layout.home)).releases("*", "*")):
            remove_leftovers(releases)

    @asynccontextmanager
    async def _at_work(self) -> AsyncIterator[None]:
        """A build is under way: nothing is swept."""
        async with self._sweeping:
            self._building += 1
        try:
            yield
        finally:
            self._building -= 1

    def _lock(self, stack: str, service: str) -> asyncio.Lock:
        return self._busy.setdefault((stack, service), asyncio.Lock())


def _silent(text: str) -> None:
    """Progress that nobody follows."""


def _address(service: Service) -> Literal["unix", "tcp", "none"]:
    if not service.serves:
        return "none"
    program = service.program
    return "unix" if isinstance(program, App) or (isinstance(program, Command) and program.wants_socket) else "tcp"
