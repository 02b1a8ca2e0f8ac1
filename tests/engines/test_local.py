"""The local engine keeps the contract with real processes, whoever dies first and whoever we are."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import stat
import subprocess
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import fairlead
from fairlead.aiokit.leader import Leader
from fairlead.aiokit.polling import wait_until
from fairlead.core.processes import Outcome
from fairlead.engines.local import LocalEngine
from fairlead.errors import EngineError
from tests.engines.contract import EngineContract
from tests.engines.local_world import PYTHON, LocalWorld, carriers
from tests.engines.worlds import STACK, Behaviour, World, is_gone, runs, seen, until
from tests.needs import need

pytestmark = pytest.mark.live

NOBODY = (64321, 64321, 64322)
"""A user, its group and the balancer's group that no machine has."""

AS = [pytest.param(None, id="as ourselves"), pytest.param(NOBODY, id="root, programs as nobody")]


@pytest.fixture(params=AS)
async def world(request: pytest.FixtureRequest) -> AsyncIterator[LocalWorld]:
    need(request.param is None or os.getuid() == 0, "only root can start programs as another user")
    world = LocalWorld(request.param)
    yield world
    await world.end()


class TestContract(EngineContract):
    @pytest.fixture(params=AS)
    async def world(self, request: pytest.FixtureRequest) -> AsyncIterator[World]:
        need(request.param is None or os.getuid() == 0, "only root can start programs as another user")
        world = LocalWorld(request.param)
        yield world
        await world.end()


async def launched(world: LocalWorld, engine: LocalEngine, *argv: str) -> int:
    """An instance web-1 that has become `argv`; its pid."""
    await engine.launch(world.order_of("web-1", argv))
    pid = (await runs(engine, "web-1")).pid
    assert pid is not None
    line = Path(f"/proc/{pid}/cmdline")
    await wait_until(lambda: b"FAIRLEAD_CWD" not in line.read_bytes(), 60.0, "the program in place of its launch")
    return pid


async def test_the_pid_is_the_programs_and_its_launcher_leads_the_group(world: LocalWorld) -> None:
    pid = await launched(world, world.engine(), "sleep", "300")
    shim = world.record("web-1", "shim")
    assert os.getpgid(pid) == os.getsid(pid) == shim
    assert pid != shim


@pytest.mark.parametrize("behaviour", ["leaves a child", "leaves a daemon"])
@pytest.mark.parametrize("victim", ["launcher", "program", "group"])
async def test_whoever_is_killed_nothing_is_left_after_clear(
    world: LocalWorld, behaviour: Behaviour, victim: str
) -> None:
    engine = world.engine()
    await engine.launch(world.order("web-1", behaviour))
    await world.ready("web-1")
    await wait_until(lambda: world.living("web-1") == 3, 60.0, "launcher, program and child")
    if victim == "group":
        os.killpg(world.record("web-1", "shim"), signal.SIGKILL)
    else:
        os.kill(world.record("web-1", "shim" if victim == "launcher" else "pid"), signal.SIGKILL)
    outcome = (await is_gone(engine, "web-1")).outcome
    assert outcome == (Outcome(signal=9) if victim == "program" else Outcome())
    await engine.clear(STACK, "web-1")
    assert world.living("web-1") == 0
    assert not os.path.exists(world.run("web-1"))


async def test_a_child_with_a_clean_environment_is_found_by_its_session(world: LocalWorld) -> None:
    engine = world.engine()
    pid = await launched(world, engine, "/bin/sh", "-c", "env -i sleep 300 & echo $!; exec sleep 300")
    child = int(await wait_until(lambda: world.output("web-1"), 60.0, "the child's pid"))
    os.kill(pid, signal.SIGKILL)
    await is_gone(engine, "web-1")
    await engine.clear(STACK, "web-1")
    await wait_until(lambda: not _lives(child), 60.0, "the child's end")


async def test_a_child_in_a_clean_session_is_found_by_its_parent(world: LocalWorld) -> None:
    engine = world.engine()
    await launched(world, engine, "/bin/sh", "-c", "env -i setsid sleep 300 & echo $!; wait")
    child = int(await wait_until(lambda: world.output("web-1"), 60.0, "the child's pid"))
    await wait_until(lambda: os.getsid(child) == child, 60.0, "the child's session")
    os.kill(world.record("web-1", "shim"), signal.SIGKILL)
    await is_gone(engine, "web-1")
    await engine.clear(STACK, "web-1")
    await wait_until(lambda: not _lives(child), 60.0, "the child's end")


async def test_a_signal_to_the_whole_group_leaves_the_record_of_how_the_program_ended(world: LocalWorld) -> None:
    engine = world.engine()
    await launched(world, engine, "/bin/sh", "-c", "trap 'exit 7' TERM; echo up; while :; do sleep 0.01; done")
    await world.ready("web-1")
    os.killpg(world.record("web-1", "shim"), signal.SIGTERM)
    assert (await is_gone(engine, "web-1")).outcome == Outcome(exit_status=7)


async def test_a_frozen_group_whose_program_is_killed_is_seen_gone(world: LocalWorld) -> None:
    engine = world.engine()
    pid = await launched(world, engine, "sleep", "300")
    os.killpg(world.record("web-1", "shim"), signal.SIGSTOP)
    await until(engine, "web-1", lambda process: process.frozen, "frozen")
    os.kill(pid, signal.SIGKILL)
    assert (await is_gone(engine, "web-1")).outcome == Outcome(signal=9)


async def test_sigterm_reaches_the_program_only_and_only_once(world: LocalWorld) -> None:
    engine = world.engine()
    program = "import signal, time\n"
    program += "signal.signal(signal.SIGTERM, lambda *a: print('TERM', flush=True))\nprint('up', flush=True)\n"
    # Short sleeps: a signal just before a sleep is heard only after it.
    program += "while True: time.sleep(0.05)\n"
    await launched(world, engine, PYTHON, "-S", "-c", program)
    await wait_until(lambda: world.output("web-1") == "up\n", 60.0, "the program's first line")
    await engine.stop(STACK, "web-1")
    await wait_until(lambda: world.output("web-1") == "up\nTERM\n", 60.0, "the program's answer to SIGTERM")
    await engine.stop(STACK, "web-1")
    again = world.engine()
    await again.stop(STACK, "web-1")
    # Signals are delivered in order: once this one has been answered, no SIGTERM is on its way.
    await world.freeze("web-1")
    await until(again, "web-1", lambda process: process.frozen, "frozen")
    assert world.output("web-1") == "up\nTERM\n"


async def test_stop_right_after_launch_reaches_the_program(world: LocalWorld) -> None:
    engine = world.engine()
    for number in range(5):
        await engine.launch(world.order(f"web-{number}"))
        await engine.stop(STACK, f"web-{number}")
    for number in range(5):
        assert (await is_gone(engine, f"web-{number}")).outcome == Outcome(signal=15)


async def test_a_program_that_cannot_be_found_exits_127_and_the_log_says_so(world: LocalWorld) -> None:
    engine = world.engine()
    await engine.launch(world.order_of("web-1", ("no-such-program", "x")))
    assert (await is_gone(engine, "web-1")).outcome == Outcome(exit_status=127)
    assert "no-such-program" in engine.log_tail(STACK, "web-1", 1)


async def test_a_source_that_is_not_there_is_refused_by_name(world: LocalWorld) -> None:
    os.rmdir(world.source)
    with pytest.raises(EngineError, match=world.source):
        await world.engine().launch(world.order("web-1"))


async def test_words_and_variables_arrive_unchanged_and_nothing_else_does(world: LocalWorld) -> None:
    engine = world.engine()
    words = ["", " ", "-n", "--", "a b", "$HOME", "`id`", "'", '"', "\\", "*", "a\nb", "é", ";", "=", "A=1", "\udcff"]
    hostile = {
        "EMPTY": "", "QUOTE": "'\"\\", "SPACES": "  a  b ", "LINES": "a\nb\n", "DOLLAR": "$(id)", "i": "1",
        "not.a.shell.name": "x y", "1": "one", "a-b": "'", "IFS": "a", "OPTIND": "abc", "ENV": "/nowhere", "PS4": "x",
        "FAIRLEAD_E1": "mine", "FAIRLEAD_CWD": "/", "BYTES": "\udcff", "LD_PRELOAD": "", "PWD": "/elsewhere",
    }  # fmt: skip
    program = "import json, os, sys; print(json.dumps([sys.argv[1:], dict(os.environ), os.getcwd()]))"
    await engine.launch(world.order_of("web-1", (PYTHON, "-I", "-S", "-c", program, *words), hostile))
    assert (await is_gone(engine, "web-1")).outcome == Outcome(exit_status=0), world.output("web-1")
    argv, environment, folder = json.loads(world.output("web-1"))
    assert argv == words
    assert folder == world.source
    environment.pop("LC_CTYPE", None)  # Python's own, in the C locale
    assert environment == {
        **world.order_of("web-1", ()).environment, **hostile, "FAIRLEAD_RUN": world.folder("web-1"),
    }  # fmt: skip


async def test_variables_of_the_app_do_not_reach_the_launcher(world: LocalWorld) -> None:
    engine = world.engine()
    await engine.launch(
        world.order_of("web-1", ("/bin/sleep", "300"), {"PATH": "/nowhere", "LD_PRELOAD": "/nowhere.so"})
    )
    await runs(engine, "web-1")
    with open(f"/proc/{world.record('web-1', 'shim')}/environ", "rb") as file:
        names = {entry.partition(b"=")[0] for entry in file.read().split(b"\0")}
    assert b"LD_PRELOAD" not in names


async def test_a_program_holds_none_of_our_descriptors_and_hears_every_signal(world: LocalWorld) -> None:
    engine = world.engine()
    ours, theirs = os.pipe()
    os.set_inheritable(theirs, True)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        pid = await launched(world, engine, "sleep", "300")
        # Its loader may hold a library open for a moment; what it inherited it would hold for ever.
        await wait_until(lambda: sorted(os.listdir(f"/proc/{pid}/fd")) == ["0", "1", "2"], 60.0, "only 0, 1 and 2")
        assert os.readlink(f"/proc/{pid}/fd/0") == "/dev/null"
        os.kill(pid, signal.SIGINT)
        assert (await is_gone(engine, "web-1")).outcome == Outcome(signal=2)
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(ours)
        os.close(theirs)


async def test_a_program_may_open_its_own_output_again(world: LocalWorld) -> None:
    engine = world.engine()
    await engine.launch(world.order_of("web-1", ("/bin/sh", "-c", "echo one; echo two >>/dev/stdout; echo three >&2")))
    assert (await is_gone(engine, "web-1")).outcome == Outcome(exit_status=0)
    assert world.output("web-1") == "one\ntwo\nthree\n"


async def test_the_run_folder_and_what_is_made_there_have_the_balancers_group(world: LocalWorld) -> None:
    engine = world.engine()
    await engine.launch(world.order_of("web-1", ("/bin/sh", "-c", "touch $HOME/made; id -u; exec sleep 300")))
    await wait_until(lambda: world.output("web-1"), 60.0, "the program's user")
    run, made = os.stat(world.run("web-1")), os.stat(f"{world.run('web-1')}/made")
    if world.user is None:
        assert stat.S_IMODE(run.st_mode) == 0o700
        assert stat.S_IMODE(made.st_mode) == 0o600
        assert world.output("web-1") == f"{os.getuid()}\n"
    else:
        uid, _, balancer = world.user
        assert (stat.S_IMODE(run.st_mode), run.st_uid, run.st_gid) == (0o2710, uid, balancer)
        assert (stat.S_IMODE(made.st_mode), made.st_uid, made.st_gid) == (0o660, uid, balancer)
        assert world.output("web-1") == f"{uid}\n"
    own = os.stat(world.folder("web-1"))
    assert (stat.S_IMODE(own.st_mode), own.st_uid) == (0o700, os.getuid())


async def test_twenty_launches_at_once_are_twenty_instances(world: LocalWorld) -> None:
    engine = world.engine()
    await asyncio.gather(*(engine.launch(world.order(f"web-{number}")) for number in range(20)))
    pids = {(await runs(engine, f"web-{number}")).pid for number in range(20)}
    assert len(pids) == 20
    await asyncio.gather(*(engine.kill(STACK, f"web-{number}") for number in range(20)))
    assert carriers(f"FAIRLEAD_RUN={world.home}/", prefix=True) == []


async def test_the_same_launch_twice_at_once_is_one_instance(world: LocalWorld) -> None:
    first, second = world.engine(), world.engine()
    await asyncio.gather(*(engine.launch(world.order("web-1")) for engine in (first, second, first)))
    assert (await runs(first, "web-1")).pid == (await runs(second, "web-1")).pid
    await wait_until(lambda: world.living("web-1") == 2, 60.0, "one launcher and one program")


async def test_a_launch_whose_caller_gave_up_is_not_lost(world: LocalWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    engine = world.engine()
    await engine.observe()

    async def never_settles(leader: Leader) -> Leader:
        await asyncio.Event().wait()
        return leader

    monkeypatch.setattr(engine._launcher, "settle", never_settles)
    task = asyncio.create_task(engine.launch(world.order("web-1")))
    await wait_until(lambda: world.living("web-1"), 60.0, "the first process")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await runs(engine, "web-1")).alive


async def test_a_folder_in_which_nothing_was_started_is_no_instance_and_can_be_launched(world: LocalWorld) -> None:
    os.makedirs(world.folder("web-1"))
    engine = world.engine()
    assert await engine.observe() == ()
    await engine.launch(world.order("web-1"))
    assert (await runs(engine, "web-1")).alive


async def test_a_zombie_is_not_alive_even_when_nobody_collects_it(world: LocalWorld) -> None:
    engine = world.engine()
    pid = await launched(world, engine, "sleep", "300")
    # Only the launcher's end: this process, its parent, does not look at it until the engine does.
    os.kill(pid, signal.SIGKILL)
    shim = world.record("web-1", "shim")
    os.waitid(os.P_PID, shim, os.WEXITED | os.WNOWAIT)
    assert await wait_until(lambda: _state(shim) == "Z", 60.0, "the zombie")
    again = world.engine()
    process = await seen(again, "web-1")
    assert process is not None
    assert not process.alive
    assert process.outcome == Outcome(signal=9)
    await is_gone(engine, "web-1")
    assert _state(shim) == ""


async def test_a_record_that_names_another_process_is_believed_by_nobody(world: LocalWorld) -> None:
    engine = world.engine()
    await launched(world, engine, "sleep", "300")
    await engine.close()
    victim = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        with open(f"/proc/{victim.pid}/stat") as file:
            started = file.read().rpartition(") ")[2].split()[19]
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        for record in (f"{victim.pid} {started} {boot}", f"{victim.pid} 1 {boot}", f"1 1 {boot}", "0 0 x", "x", ""):
            Path(world.folder("web-1"), "shim").write_text(record + "\n")
            Path(world.folder("web-1"), "pid").write_text(f"{victim.pid}\n")
            again = world.engine()
            await again.stop(STACK, "web-1")
            await again.kill(STACK, "web-1")
            assert victim.poll() is None
    finally:
        victim.kill()
        victim.wait()


async def test_a_record_of_another_boot_is_of_an_instance_that_is_gone(world: LocalWorld) -> None:
    engine = world.engine()
    await launched(world, engine, "sleep", "300")
    await engine.kill(STACK, "web-1")
    os.unlink(f"{world.folder('web-1')}/exit")
    Path(world.folder("web-1"), "shim").write_text(f"{os.getpid()} 1 another-boot\n")
    process = await seen(world.engine(), "web-1")
    assert process is not None
    assert (process.alive, process.outcome) == (False, Outcome())


async def test_what_carries_this_homes_mark_and_is_unknown_is_ended_at_adoption(world: LocalWorld) -> None:
    engine = world.engine()
    await launched(world, engine, "sleep", "300")
    await engine.close()
    unknown = [world.folder("web-7"), world.folder("web-1") + "0"]
    strangers = [world.home + "-other/stacks/shop/instances/web-1", world.folder("web-1"), "x"]
    ours = [_marked(folder) for folder in unknown]
    others = [_marked(folder) for folder in strangers]
    try:
        assert len(await world.engine().observe()) == 1
        for process in ours:
            assert process.wait(5) == -signal.SIGKILL
        assert [process.poll() for process in others] == [None, None, None]
    finally:
        for process in ours + others:
            process.kill()
            process.wait()


async def test_a_folder_that_others_could_have_made_is_not_used(world: LocalWorld) -> None:
    os.mkdir(world.layout.run)
    os.chmod(world.layout.run, 0o777)
    with pytest.raises(EngineError, match="cannot be trusted"):
        await world.engine().launch(world.order("web-1"))


async def test_ports_go_round_over_restarts_and_skip_what_is_bound(world: LocalWorld) -> None:
    first = world.engine().reserve(STACK, "web-1", "tcp", frozenset())
    port = int(first.rpartition(":")[2])
    second = int(world.engine().reserve(STACK, "web-2", "tcp", frozenset()).rpartition(":")[2])
    assert second > port


LISTEN = """
import os, socket, sys
family, address, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
s = socket.socket(getattr(socket, family))
s.bind((address, port) if port else address)
if port == 1: port = s.getsockname()[1]
s.listen()
if len(sys.argv) > 4: os.fork() or os.setsid()
print('up', flush=True)
while True: s.accept()
"""


@pytest.mark.parametrize(
    ("family", "address", "offset", "says"),
    [
        ("AF_INET", "127.0.0.1", 0, ""),
        ("AF_INET", "127.0.0.1", 1, "the program listens on 127.0.0.1:{other}, not on $PORT {port}"),
        ("AF_INET", "0.0.0.0", 0, "the program listens on 0.0.0.0:{port}, where it can be reached from outside"),
        ("AF_INET6", "::", 0, "the program listens on [::]:{port}, where it can be reached from outside"),
        ("AF_INET6", "::1", 0, "the program listens on [::1]:{port} only, and the load balancer asks 127.0.0.1:{port}"),
        ("AF_UNIX", "x.sock", None, "the program listens on the Unix socket x.sock, not on $PORT {port}"),
    ],
)
async def test_the_diagnosis_names_where_a_program_listens(
    world: LocalWorld, family: str, address: str, offset: int | None, says: str
) -> None:
    engine = world.engine()
    taken = engine.reserve(STACK, "web-1", "tcp", frozenset())
    other = engine.reserve(STACK, "web-1", "tcp", frozenset())
    port, elsewhere = (int(text.rpartition(":")[2]) for text in (taken, other))
    os.chmod(world.source, 0o777)
    number = 0 if offset is None else elsewhere if offset else port
    argv = (PYTHON, "-S", "-c", LISTEN, family, address, str(number))
    await engine.launch(world.order_of("web-1", argv, address=taken))
    await world.ready("web-1")
    assert world.output("web-1") == "up\n"
    found = await engine.diagnose(STACK, "web-1", taken)
    assert found.startswith(says.format(port=port, other=elsewhere))
    assert bool(found) == bool(says)


async def test_the_diagnosis_sees_through_forks_and_names_strangers(world: LocalWorld) -> None:
    engine = world.engine()
    taken = engine.reserve(STACK, "web-1", "tcp", frozenset())
    port = taken.rpartition(":")[2]
    await engine.launch(
        world.order_of("web-1", (PYTHON, "-S", "-c", LISTEN, "AF_INET", "127.0.0.1", port, "fork"), address=taken)
    )
    await engine.launch(world.order_of("web-2", ("sleep", "300"), address=taken))
    await world.ready("web-1")
    await runs(engine, "web-2")
    assert await engine.diagnose(STACK, "web-1", taken) == ""
    assert f"port {port} is held by python3" in await engine.diagnose(STACK, "web-2", taken)
    await world.freeze("web-2")
    await until(engine, "web-2", lambda process: process.frozen, "frozen")
    assert "stopped by a signal" in await engine.diagnose(STACK, "web-2", taken)


async def test_the_diagnosis_of_a_socket_looks_at_who_may_open_it(world: LocalWorld) -> None:
    engine = world.engine()
    address = engine.reserve(STACK, "web-1", "unix", frozenset())
    path = address.removeprefix("unix:")
    await engine.launch(world.order_of("web-1", (PYTHON, "-S", "-c", LISTEN, "AF_UNIX", path, "0"), address=address))
    await world.ready("web-1")
    assert await engine.diagnose(STACK, "web-1", address) == ""
    os.chmod(path, 0o400)
    assert (
        await engine.diagnose(STACK, "web-1", address)
        == f"the load balancer may not open the socket {path} (mode 0400)"
    )
    os.unlink(path)
    assert "was removed" in await engine.diagnose(STACK, "web-1", address)


async def test_looking_at_fifty_instances_costs_little(world: LocalWorld) -> None:
    engine = world.engine()
    await asyncio.gather(*(engine.launch(world.order(f"web-{number}")) for number in range(50)))
    for number in range(50):
        await runs(engine, f"web-{number}")
    began = os.times().user + os.times().system
    for _ in range(20):
        await engine.observe()
    spent = (os.times().user + os.times().system - began) / 20
    # 5 looks a second at 50 instances: under 5 % of a core even on a slow, busy machine.
    assert spent < 0.010


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
             PYTHON, "-W", "error", "-m", "tests.engines.plain_user"],
            cwd=folder, env={"PATH": "/usr/bin:/bin", "PYTHONPATH": folder, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
    assert (story.returncode, story.stdout) == (0, "all of it holds\n"), story.stderr


def _state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(") ")[2][:1]
    except OSError:
        return ""


def _lives(pid: int) -> bool:
    return _state(pid) not in ("", "Z", "X")


def _marked(folder: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(["sleep", "300"], env={"PATH": "/usr/bin:/bin", "FAIRLEAD_RUN": folder, "A": "1"})


async def test_what_a_shell_says_of_the_end_of_a_program_is_no_line_of_its_log(world: LocalWorld) -> None:
    engine = world.engine()
    await engine.launch(world.order_of("web-1", ("/bin/sh", "-c", "echo before; kill -KILL $$")))
    await wait_until(lambda: os.path.exists(f"{world.folder('web-1')}/exit"), 60.0, "its end to be recorded")
    assert world.output("web-1") == "before\n"
