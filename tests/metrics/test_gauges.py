"""Metrics of the user's own, read from real programs and a real server."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.core.readings import Gauge
from fairlead.errors import GaugeError
from fairlead.metrics.gauges import MOST_PRINTED, Gauges, limit, read, read_command, read_url
from tests.aiokit.test_fetch import answering, ok

ENV = {"PATH": os.environ["PATH"], "TOKEN": "s3cr3t-value", "SHORT": "a"}


async def printed(script: str, timeout: float = 10.0, **fields: object) -> float:
    argv = ("/bin/sh", "-c", script)
    return await read_command(argv, ENV, folder="/tmp", timeout=timeout, **fields)  # type: ignore[arg-type]


async def test_the_last_number_that_a_program_prints_is_its_value() -> None:
    assert await printed("echo starting; echo 17.5; echo done") == 17.5
    assert await printed("pwd; echo $SHORT; echo 3 >&2; echo 4") == 4


@pytest.mark.parametrize(
    ("script", "why"),
    [
        ("exit 3", "it exited with status 3"),
        ("echo no connection >&2; exit 1", "it exited with status 1: no connection"),
        ("echo 17; exit 1", "it exited with status 1: 17"),
        ("kill -9 $$", "it was ended by signal 9"),
        ("true", "it printed nothing"),
        ("echo 17 >&2", "it printed nothing"),
        ("echo seventeen", "it printed no line that is a number: seventeen"),
        ("echo nan; echo inf", "it printed no line that is a number: nan inf"),
        ("head -c 3000 /dev/zero", "it printed nothing"),
        ("echo wrong token $TOKEN; exit 1", "it exited with status 1: wrong token ***"),
        ("echo got $TOKEN", "it printed no line that is a number: got ***"),
    ],
)
async def test_a_program_that_gives_no_number_is_told_with_what_it_printed_and_no_secret(script: str, why: str) -> None:
    with pytest.raises(GaugeError) as caught:
        await printed(script)
    assert caught.value.what == "/bin/sh gave no number"
    assert caught.value.why == why


async def test_a_program_that_is_not_there_is_told() -> None:
    with pytest.raises(GaugeError, match="no-such-program cannot be started"):
        await read_command(("no-such-program",), ENV, folder="/tmp", timeout=5)


async def test_of_much_output_the_end_is_read() -> None:
    script = f"import sys; sys.stdout.write('x' * {40 * MOST_PRINTED} + '\\n17\\n')"
    assert await read_command((sys.executable, "-c", script), ENV, folder="/tmp", timeout=20) == 17
    endless = "import sys\nprint(17)\nsys.stdout.write('x' * 10_000_000)"
    with pytest.raises(GaugeError, match=r"a number: \.\.\.xxx"):
        await read_command((sys.executable, "-c", endless), ENV, folder="/tmp", timeout=20)


async def test_a_program_that_does_not_end_is_ended_with_all_it_started(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    with pytest.raises(GaugeError, match=r"it did not end within 0\.3 s"):
        await printed(f"sleep 300 & echo $! > {pids}; echo $$ >> {pids}; echo 17; sleep 300", timeout=0.3)
    await until(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))


async def test_children_that_stay_are_ended_too_and_the_number_counts(tmp_path: Path) -> None:
    pids = tmp_path / "pids"
    assert await printed(f"sleep 300 & echo $! > {pids}; echo 17") == 17
    await until(lambda: not any(alive(int(pid)) for pid in pids.read_text().split()))


@pytest.mark.skipif(os.getuid() != 0, reason="only root may run something as somebody else")
async def test_of_a_daemon_of_root_it_runs_as_somebody_else() -> None:
    assert await printed("id -u", user=(65534, 65534)) == 65534
    assert await printed("id -G", user=(65534, 65533)) == 65533


JSON = ok(b'{"queues": [{"length": 12}]}')


async def test_a_server_answers_json_or_prometheus_text() -> None:
    with answering(JSON, ok(b'length{q="a"} 3\nlength{q="b"} 4\n')) as (url, asked):
        assert await read_url(url, field="queues.0.length", timeout=5) == 12
        assert await read_url(url, series='length{q="b"}', timeout=5) == 4
    assert b"Accept: application/json" in asked[0]
    assert b"Accept: text/plain; version=0.0.4" in asked[1]


async def test_an_answer_without_the_number_is_told() -> None:
    with answering(JSON) as (url, _):
        with pytest.raises(GaugeError, match="its answer has no number: the answer has no length: it has queues"):
            await read_url(url, field="length", timeout=5)
        with pytest.raises(GaugeError, match="there is no series length"):
            await read_url(url, series="length", timeout=5)
    too_much = pytest.raises(GaugeError, match="it answered more than 1048576 bytes")
    with answering(ok(b"9" * (1 << 20) + b"9")) as (url, _), too_much:
        await read_url(url, field="length", timeout=5)
    with pytest.raises(GaugeError, match="cannot be asked"):
        await read_url(url, field="length", timeout=5)


def a_gauge(metric: str = "queue", script: str = "echo 17", every: float = 0.5, **fields: object) -> Gauge:
    argv = ("/bin/sh", "-c", script)
    made = Gauge(stack="shop", service="web", metric=metric, argv=argv, environment=ENV, folder="/tmp", every=every)
    return replace(made, **fields)  # type: ignore[arg-type]


@asynccontextmanager
async def gauges() -> AsyncIterator[tuple[Gauges, list[tuple[str, str]]]]:
    """And what was told: of which, and why, "" when it works again."""
    told: list[tuple[str, str]] = []
    made = Gauges(
        lambda gauge, problem: told.append((gauge.metric, problem.why if problem else "")),
        time.monotonic,
        lambda name, problem: pytest.fail(f"{name}: {problem!r}"),
    )
    try:
        yield made, told
    finally:
        await made.close()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not holds():
            await asyncio.sleep(0.01)


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def test_each_is_read_again_and_again_and_known_by_its_service_and_name(tmp_path: Path) -> None:
    count = tmp_path / "count"
    count.write_text("1")
    async with gauges() as (made, told):
        made.update([a_gauge(script=f"cat {count}"), a_gauge("other", "echo 5"), a_gauge(service="mail")])
        await until(lambda: len(made.values(time.monotonic())) == 2)
        await until(lambda: made.values(time.monotonic())["shop", "web"] == {"queue": 1, "other": 5})
        count.write_text("2")
        before = made.moments()["shop", "web"]
        await until(lambda: made.values(time.monotonic())["shop", "web"]["queue"] == 2)
        assert before["queue"] < made.moments()["shop", "web"]["queue"] <= time.monotonic()
    assert told == []
    assert made.values(time.monotonic()) == {}


async def test_what_is_no_longer_wanted_is_forgotten() -> None:
    async with gauges() as (made, _):
        made.update([a_gauge(), a_gauge("other")])
        await until(lambda: len(made.values(time.monotonic()).get(("shop", "web"), {})) == 2)
        made.update([a_gauge("other")])
        assert made.values(time.monotonic()) == {("shop", "web"): {"other": 17}}
        made.update([])
        assert made.values(time.monotonic()) == {}


async def test_a_new_release_keeps_the_value_until_the_next_and_another_source_does_not() -> None:
    async with gauges() as (made, _):
        made.update([a_gauge(every=60)])
        await until(lambda: bool(made.values(time.monotonic())))
        made.update([a_gauge(every=60, folder="/", environment={**ENV, "RELEASE": "2"})])
        assert made.values(time.monotonic()) == {("shop", "web"): {"queue": 17}}
        made.update([a_gauge(every=60, script="echo 18")])
        assert made.values(time.monotonic()) == {}
        await until(lambda: made.values(time.monotonic()) == {("shop", "web"): {"queue": 18}})


async def test_a_value_is_unknown_when_it_is_too_old() -> None:
    async with gauges() as (made, _):
        gauge = a_gauge(every=60)
        made.update([gauge])
        await until(lambda: bool(made.values(time.monotonic())))
        now = time.monotonic()
        assert made.values(now + 2 * gauge.every + limit(gauge) - 1)
        assert made.values(now + 2 * gauge.every + limit(gauge) + 1) == {}


async def test_a_failure_is_told_once_and_once_when_it_works_again(tmp_path: Path) -> None:
    source, tries = tmp_path / "value", tmp_path / "tries"
    async with gauges() as (made, told):
        made.update([a_gauge(script=f"echo x >> {tries}; cat {source} 2>/dev/null")])
        await until(lambda: tries.exists() and len(tries.read_text()) > 2)
        assert told == [("queue", "it exited with status 1")]
        assert made.values(time.monotonic()) == {}
        source.write_text("9")
        await until(lambda: len(told) == 2)
        assert told[1] == ("queue", "")
        assert made.values(time.monotonic()) == {("shop", "web"): {"queue": 9}}
        source.unlink()
        await until(lambda: len(told) == 3)


async def test_a_slow_one_delays_no_other_and_ends_with_the_daemon(tmp_path: Path) -> None:
    pid = tmp_path / "pid"
    async with gauges() as (made, _):
        made.update([a_gauge("slow", f"echo $$ > {pid}; exec sleep 300", every=60), a_gauge()])
        await until(lambda: made.values(time.monotonic()) == {("shop", "web"): {"queue": 17}})
        await until(lambda: pid.exists() and bool(pid.read_text()))
    assert not alive(int(pid.read_text()))


@pytest.mark.parametrize("every", [0.5, 5.0, 3600.0])
def test_a_reading_has_no_longer_than_to_the_next_and_ten_seconds_at_most(every: float) -> None:
    assert limit(a_gauge(every=every)) == min(every, 10.0)


async def test_of_a_url_whose_host_comes_from_a_secret_not_even_that_is_told() -> None:
    hidden = Gauge(
        stack="shop", service="web", metric="queue", url="http://s3cr3t.invalid:1/", field="n", hides_host=True
    )
    with pytest.raises(GaugeError, match="its url cannot be asked") as caught:
        await read(hidden)
    assert "s3cr3t" not in str(caught.value)
    assert caught.value.__cause__ is None
