"""`build:`: run once, told live, by the right user, with nothing left of a failure and nothing changed that is shared."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from fairlead.aiokit.polling import wait_until
from fairlead.aiokit.strays import marked
from fairlead.core.layout import Layout
from fairlead.core.model import Release, Service, Stack
from fairlead.errors import BuildError
from fairlead.releases import buildlog, commands
from fairlead.releases.commands import MARKER, WIDEST
from tests.needs import need
from tests.releases.builders import a_builder, a_command, a_tree
from tests.releases.test_build import Told, under

pytestmark = pytest.mark.live

BUILDER, APP = (61001, 61001), (61002, 61003)


def a_stack(service: Service) -> Stack:
    places = {"services.web.build": "fairlead.yaml:6:14", "services.web.command": "fairlead.yaml:7:16"}
    return Stack(name="demo", path="/x/fairlead.yaml", services=(service,), places=places)


def a_service(source: Path, *build: tuple[str, ...], run: tuple[str, ...] = ("sh",), **fields: Any) -> Service:
    return a_command(a_tree(source, {"x": "1"}), *run, build=build, **fields)


def a_shell(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


async def build(
    layout: Layout,
    service: Service,
    known: tuple[Release, ...] = (),
    number: int = 1,
    told: Told | None = None,
    **fields: Any,
) -> Release:
    told = Told() if told is None else told
    return await a_builder(layout, **fields).build(a_stack(service), service, known, number, told)


async def refused(layout: Layout, service: Service, logs: Sequence[str] = ("build.log",), **fields: Any) -> BuildError:
    with pytest.raises(BuildError) as caught:
        await build(layout, service, **fields)
    assert under(layout.releases("demo", "web")) == list(logs)
    return caught.value


async def test_commands_run_in_order_in_the_copy_and_what_they_make_is_part_of_the_release(
    layout: Layout, source: Path
) -> None:
    service = a_service(source, a_shell("mkdir out; echo one >out/a"), a_shell("cp out/a out/b; echo two >>x"))
    release = await build(layout, service)
    assert Path(release.source, "out/b").read_text() == "one\n"
    assert Path(release.source, "x").read_text() == "1two\n"
    assert under(str(source)) == ["x"]
    assert under(os.path.dirname(release.source)) == ["files", "release.json", "source"]


async def test_every_line_is_told_live_with_the_command_that_speaks_and_kept_in_the_log(
    layout: Layout, source: Path
) -> None:
    seen_while_it_ran = asyncio.Event()

    class Live(Told):
        def __call__(self, text: str) -> None:
            super().__call__(text)
            if text.endswith("| first"):
                # The command goes on only when its line has been told.
                (source.parent / f"{source.name}.go").touch()
                seen_while_it_ran.set()

    go = f"{source}.go"
    script = (
        f"echo first; until [ -e {go} ]; do sleep 0.01; done; printf '10%%\\r\\033[31m100%%\\033[0m\\n'; echo >&2 end"
    )
    told = Live()
    try:
        await build(layout, a_service(source, a_shell(script), ("true",)), told=told)
    finally:
        Path(go).unlink(missing_ok=True)
    assert seen_while_it_ran.is_set()
    assert [text for text in told if "copying" not in text] == [
        "build 1 of 2: sh -c",
        "sh -c | first",
        *sorted(["sh -c | 100%", "sh -c | end"], key=[text for text in told if "|" in text].index),
        "build 2 of 2: true",
    ]
    log = Path(layout.releases("demo", "web"), "build.log").read_text()
    assert log.startswith("$ sh -c\nfirst\n")
    assert "exit status 0" in log


async def test_a_command_sees_the_variables_of_the_service_and_a_home_of_its_own(layout: Layout, source: Path) -> None:
    service = a_service(
        source,
        a_shell('env >"$HOME/env"; cp "$HOME/env" .; pwd >pwd'),
        environment={
            "A": "1 ${instance.id}",
            "HOST": "h:${instance.port}",
            "KEY": "${secrets.KEY}",
            "DB": "${databases.d.url}",
        },
    )
    env = {
        "PATH": os.environ["PATH"],
        "HTTPS_PROXY": "http://p:1",
        "npm_config_registry": "http://r",
        "TOKEN": "s3cret",
    }
    release = await build(layout, service, number=7, env=env)
    seen = dict(line.split("=", 1) for line in Path(release.source, "env").read_text().splitlines())
    assert seen["A"] == "1 web-build"
    assert seen["HOST"] == "h:"
    assert not {"KEY", "DB"} & set(seen), "a build keeps what it sees, and may run before any database does"
    assert (seen["FAIRLEAD_HOME"], seen["FAIRLEAD_SERVICE"], seen["FAIRLEAD_RELEASE"]) == (layout.home, "web", "7")
    assert (seen["HTTPS_PROXY"], seen["npm_config_registry"]) == ("http://p:1", "http://r")
    assert "TOKEN" not in seen
    assert seen["HOME"].startswith(layout.home)
    assert not os.path.exists(seen["HOME"])
    assert Path(release.source, "pwd").read_text() == f"{release.source}\n", "what names its place stays true"


async def test_the_releases_environment_comes_first_on_the_path(layout: Layout, source: Path) -> None:
    script = "import sys; open('prefix', 'w').write(sys.prefix)"
    release = await build(layout, a_service(source, ("python", "-c", script)))
    assert release.environment_folder is not None
    assert Path(release.source, "prefix").read_text() == release.environment_folder


async def test_what_was_built_is_read_only_whole_and_has_no_second_name(layout: Layout, source: Path) -> None:
    script = (
        "umask 077; mkdir -p out/deep; echo x >out/deep/file; echo y >out/run; chmod 700 out/run; mkfifo out/pipe;"
        f"ln -s deep/file out/link; echo cached >{source}.cached; ln {source}.cached out/hard; ln -s /nowhere out/gone"
    )
    try:
        release = await build(layout, a_service(source, a_shell(script)))
        assert os.stat(f"{source}.cached").st_mode & 0o777 == 0o600, "a cache's file is not ours to change"
        assert os.stat(f"{source}.cached").st_nlink == 1
    finally:
        Path(f"{source}.cached").unlink(missing_ok=True)
    out = Path(release.source, "out")
    assert under(str(out)) == ["deep", "gone", "hard", "link", "run"]
    for where, _, names in os.walk(release.source):
        assert os.stat(where).st_mode & 0o777 == 0o555
        for name in names:
            path = os.path.join(where, name)
            assert os.path.islink(path) or not os.stat(path).st_mode & 0o333 or path.endswith("/run")
    assert (out / "run").stat().st_mode & 0o777 == 0o544
    assert (out / "deep/file").stat().st_mode & 0o777 == 0o444


async def test_the_program_is_looked_for_after_the_build_that_makes_it(layout: Layout, source: Path) -> None:
    make = (
        "mkdir -p node_modules/.bin; printf '#!/bin/sh\\n' >node_modules/.bin/serve; chmod +x node_modules/.bin/serve"
    )
    release = await build(layout, a_service(source, a_shell(make), run=("node_modules/.bin/serve",)))
    assert release.argv == ("node_modules/.bin/serve",)
    with pytest.raises(BuildError) as caught:
        await build(layout, a_service(source, a_shell(make), run=("serve",)), number=2)
    error = caught.value
    assert (error.place, error.what) == ("fairlead.yaml:7:16", "cannot run serve")
    assert "write node_modules/.bin/serve" in error.next_step


async def test_a_failed_command_is_told_with_its_last_lines_status_and_place_and_nothing_is_left(
    layout: Layout, source: Path
) -> None:
    script = "i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); done; ls nowhere.css; exit 3"
    error = await refused(layout, a_service(source, a_shell(script), a_shell("touch never")))
    assert error.sentence == "fairlead.yaml:6:14: `sh -c` failed: exit status 3"
    lines = error.detail.splitlines()
    assert len(lines) == commands.SHOWN_LINES + 1
    assert "nowhere.css" in error.detail
    assert "line 0" not in lines
    assert lines[-1] == f"(everything it said: {layout.releases('demo', 'web')}/build.log)"
    assert "line 0\n" in Path(layout.releases("demo", "web"), "build.log").read_text()
    assert error.next_step


async def test_a_build_that_says_more_than_anybody_reads_fills_neither_disk_nor_terminal(
    layout: Layout, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buildlog, "LIMIT", 100_000)
    script = "echo first; yes 0123456789 | head -c 900000; head -c 300000 /dev/zero; printf '50%%\\r100%%\\n'; exit 1"
    told = Told()
    problem = await refused(layout, a_service(source, a_shell(script)), told=told, logs=["build.log", "build.log.1"])
    log = Path(layout.releases("demo", "web"), "build.log")
    assert log.stat().st_size + Path(f"{log}.1").stat().st_size < 500_000
    assert "exit status 1" in log.read_text()
    assert "sh -c | first" in told
    assert max(map(len, told)) < 4 * WIDEST + 20
    *lines, at_length = problem.detail.splitlines()
    assert lines[-1] == "100%"
    assert max(map(len, lines)) < 4 * WIDEST + 20
    assert str(log) in at_length


@pytest.mark.parametrize("script", ['rm -rf "$PWD"', 'mv "$PWD" ../elsewhere; ln -s /tmp "$PWD"'])
async def test_a_build_that_removes_its_own_folder_is_told_so(layout: Layout, source: Path, script: str) -> None:
    problem = await refused(layout, a_service(source, a_shell(script)))
    assert problem.what == "`sh -c` removed the folder that it ran in"
    assert problem.place == "fairlead.yaml:6:14"


async def test_a_command_that_is_not_there_is_told_so(layout: Layout, source: Path) -> None:
    error = await refused(layout, a_service(source, ("no-such-tool", "x")))
    assert (error.place, error.what) == ("fairlead.yaml:6:14", "cannot run no-such-tool")
    error = await refused(layout, a_service(source, ("./x",)))
    assert "chmod +x ./x" in error.next_step


async def test_arguments_are_never_shown_because_they_may_be_secret(layout: Layout, source: Path) -> None:
    told = Told()
    error = await refused(layout, a_service(source, ("false", "--token", "s3cret")), told=told)
    assert "s3cret" not in "".join(told) + error.sentence + error.detail
    assert "s3cret" not in Path(layout.releases("demo", "web"), "build.log").read_text()


async def test_a_command_that_does_not_end_is_ended(
    layout: Layout, source: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commands, "PATIENCE", 0.3)
    error = await refused(layout, a_service(source, ("sleep", "60")))
    assert error.why == "it did not end within 0.005 minutes"


async def test_a_command_that_the_kernel_ended_is_told_with_the_signal(layout: Layout, source: Path) -> None:
    error = await refused(layout, a_service(source, a_shell("kill -9 $$")))
    assert error.why.startswith("it was ended by SIGKILL, perhaps because the machine ran out of memory")


def stray(mark: str) -> bool:
    return any(value.startswith(mark) for value in marked(MARKER))


async def test_cancelled_it_leaves_neither_process_nor_file(layout: Layout, source: Path) -> None:
    began = asyncio.Event()
    service = a_service(source, a_shell("setsid sleep 300 & setsid sleep 300 >/dev/null 2>&1 & echo on; sleep 300"))

    def told(text: str) -> None:
        if text.endswith("| on"):
            began.set()

    task = asyncio.create_task(a_builder(layout).build(a_stack(service), service, (), 1, told))
    async with asyncio.timeout(60):
        await began.wait()
    assert stray(layout.home)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not stray(layout.home)
    assert under(layout.releases("demo", "web")) == ["build.log"]


async def test_a_helper_that_goes_on_in_the_background_is_ended_with_its_command(layout: Layout, source: Path) -> None:
    await build(layout, a_service(source, a_shell("setsid sleep 300 >/dev/null 2>&1 & echo started")))
    assert not stray(layout.home)


KILLED = """
import asyncio, os, sys
from pathlib import Path
from fairlead.core.layout import layout_of
from tests.releases.builders import a_builder
from tests.releases.test_commands import a_service, a_shell, a_stack
home, source = sys.argv[1:]
service = a_service(Path(source), a_shell("touch half; echo on; sleep 300"))
told = lambda text: print(text, flush=True)
asyncio.run(a_builder(layout_of(home, os.geteuid())).build(a_stack(service), service, (), 1, told))
"""


async def test_a_build_that_a_crash_ended_is_not_taken_for_a_release(layout: Layout, source: Path) -> None:
    argv = [sys.executable, "-c", KILLED, layout.home, str(source)]
    with subprocess.Popen(argv, cwd=Path(__file__).parents[2], stdout=subprocess.PIPE, text=True) as killed:
        assert killed.stdout is not None
        for line in killed.stdout:
            if line.endswith("| on\n"):
                break
        killed.send_signal(signal.SIGKILL)
    folder = layout.releases("demo", "web")
    assert under(f"{folder}/0001/source") == ["half", "x"]
    await a_builder(layout).sweep(keep=())
    assert under(folder) == ["build.log"]
    await wait_until(lambda: not stray(layout.home), 60.0, "the command ends with the daemon")
    release = await build(layout, a_service(source, a_shell("touch whole")))
    assert under(release.source) == ["whole", "x"]


async def test_build_before_traffic_and_serving_are_part_of_what_a_release_is(layout: Layout, source: Path) -> None:
    known: list[Release] = []
    services = [
        a_service(source),
        a_service(source, ("true",)),
        a_service(source, ("true",), before_traffic=("sh", "-c", "migrate")),
        a_service(source, ("true",), before_traffic=("sh", "-c", "migrate"), serves=False),
    ]
    for service in services:
        known.append(await build(layout, service, tuple(known), len(known) + 1))
    assert [release.number for release in known] == [1, 2, 3, 4]
    assert [release.before_traffic for release in known] == [None, None, *[("sh", "-c", "migrate")] * 2]
    assert [release.address for release in known] == ["tcp", "tcp", "tcp", "none"]
    for service, release in zip(services, known, strict=True):
        assert await build(layout, service, tuple(known), 9) is release


async def test_what_a_build_made_does_not_make_the_next_up_build_again(layout: Layout, source: Path) -> None:
    service = a_service(source, a_shell("date >x; touch new"))
    first = await build(layout, service)
    told = Told()
    assert await build(layout, service, (first,), 2, told) is first
    assert told == []


# --- the environment, which other releases share ----------------------------------------------------------------------


async def test_a_build_cannot_install_into_the_environment(layout: Layout, source: Path) -> None:
    need(os.geteuid() == 0, "root, to build as another user")
    script = "import sysconfig, os; open(os.path.join(sysconfig.get_path('purelib'), 'sneaked.py'), 'w')"
    service = a_service(source, ("python", "-c", script))
    error = await refused(layout, service, builder_user=BUILDER, app_user=APP)
    assert "Permission denied" in error.detail
    assert "shared with other releases" in error.next_step
    assert "requirements.txt" in error.next_step


async def test_a_build_that_changes_a_file_of_the_environment_is_refused(layout: Layout, source: Path) -> None:
    script = "import os, sys; open(os.path.join(sys.prefix, 'pyvenv.cfg'), 'a').write('x = 1\\n')"
    error = await refused(layout, a_service(source, ("python", "-c", script)))
    assert error.what == "a command of `build:` changed the virtual environment, which other releases share"
    assert error.why == "pyvenv.cfg differs"
    assert error.place == "fairlead.yaml:6:14"


# --- as root ----------------------------------------------------------------------------------------------------------


async def test_as_root_the_build_runs_as_its_own_user_and_instances_can_read_the_result(
    layout: Layout, source: Path
) -> None:
    need(os.geteuid() == 0, "root, to build as another user")
    a_tree(source, {"sub/own.txt": "1"})
    (source / "x").write_text("1")
    (source / "x").chmod(0o600)
    script = "umask 077; mkdir made; id -u >made/uid; echo more >>x; echo more >>sub/own.txt; touch $HOME/file"
    service = a_service(source, a_shell(script))
    release = await build(layout, service, builder_user=BUILDER, app_user=APP)
    assert Path(release.source, "made/uid").read_text() == f"{BUILDER[0]}\n"
    owners = {os.lstat(path).st_uid for path in (release.source, *Path(release.source).rglob("*"))}
    assert owners == {0}

    def as_user(user: tuple[int, int], *argv: str) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(argv, user=user[0], group=user[1], extra_groups=[], capture_output=True, check=False)

    assert as_user(APP, "cat", f"{release.source}/made/uid", f"{release.source}/x").returncode == 0
    assert as_user(BUILDER, "touch", f"{release.source}/made/later").returncode != 0
    assert as_user((61009, 61009), "cat", f"{release.source}/x").returncode != 0
