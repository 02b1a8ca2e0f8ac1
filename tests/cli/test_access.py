"""`fairlead logs --access`: what is shown, in which form, which filters make sense. Without a daemon."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.core.layout import Layout
from fairlead.haproxy.sealing import Limits, look
from tests.cli.conftest import Fairlead
from tests.cli.test_completion import keep
from tests.haproxy.access_lines import BEGIN, Writer, a_line

NOW = BEGIN.timestamp() + 3600


@pytest.fixture(autouse=True)
def an_hour_later(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The clock, and the zone of the tests' terminal."""
    monkeypatch.setattr("time.time", lambda: NOW)
    monkeypatch.setenv("TZ", "Etc/GMT-2")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def log(home: Layout, *lines: bytes, stack: str = "shop", shared: bool = False, generation: int = 1) -> Writer:
    writer = Writer(Path(home.shared_access_logs if shared else home.access_logs(stack)), generation)
    writer.say(b"".join(line + b"\n" for line in lines))
    return writer


def put_away(writer: Writer, *, ended: bool = False) -> None:
    living = () if ended else (1,)
    look(str(writer.path.parent), living=living, newest=1, now=NOW + 86400, limits=Limits(live=1000))


def paths(shown: str) -> list[str]:
    return [line.rpartition("/")[2] for line in shown.splitlines()]


MANY = (
    a_line(0, at=0, status=200),
    a_line(1, at=60, status=404, method="POST", took="0.250"),
    a_line(2, at=120, status=502, instance="-", client="192.168.1.9"),
    a_line(3, at=180, status=503, service="api", instance="api-1", took="1.500"),
    a_line(4, at=240, status=301, instance="web-12", client="::1", agent=r"we\"ird"),
)


def test_a_request_is_a_line_in_columns(fairlead: Fairlead, home: Layout) -> None:
    log(home, *MANY)
    shown = fairlead("logs", "--access")
    assert shown.out.splitlines() == [
        "2026-11-21 12:00:00.000  200   12 ms  10.0.0.7   web-1  GET   http://shop.test/0",
        "2026-11-21 12:01:00.000  404  250 ms  10.0.0.7   web-1  POST  http://shop.test/1",
        "2026-11-21 12:02:00.000  502    0 ms  192.168.1.9  -      GET   http://shop.test/2",
        "2026-11-21 12:03:00.000  503  1.50 s  10.0.0.7     api-1  GET   http://shop.test/3",
        "2026-11-21 12:04:00.000  301   12 ms  ::1          web-12  GET   http://shop.test/4",
    ]
    assert shown.status == 0


@pytest.mark.parametrize(
    ("words", "found"),
    [
        ((), "01234"),
        (("web",), "0124"),
        (("api",), "3"),
        (("we",), ""),
        (("--status", "5xx"), "23"),
        (("--status", "502"), "2"),
        (("--status", "4xx,301"), "14"),
        (("--method", "post"), "1"),
        (("--method", "GET,POST"), "01234"),
        (("--path", "/1"), "1"),
        (("--path", "/*"), "01234"),
        (("--path", "/?"), "01234"),
        (("--path", "/a*"), ""),
        (("--slower", "200ms"), "13"),
        (("--slower", "1.5s"), "3"),
        (("--instance", "web-1"), "01"),
        (("--instance", "api-1"), "3"),
        (("--client", "10.0.0.0/8"), "013"),
        (("--client", "192.168.1.9,::1"), "24"),
        (("--grep", "we.*ird"), "4"),
        (("--since", "12:02"), "234"),
        (("--since", "58m"), "234"),
        (("--until", "12:02:30"), "012"),
        (("--since", "12:01", "--until", "2026-11-21T10:03:00Z"), "123"),
        (("--lines", "2"), "34"),
        (("--lines", "0"), ""),
        (("-n", "1", "--status", "2xx"), "0"),
        (("-n", "1", "--until", "12:02:30"), "2"),
    ],
)
@pytest.mark.parametrize("where", ["live", "compressed", "ended"])
def test_filters_choose_wherever_a_line_lies(
    fairlead: Fairlead, home: Layout, words: tuple[str, ...], found: str, where: str
) -> None:
    writer = log(home, *MANY)
    if where != "live":
        put_away(writer, ended=where == "ended")
    shown = fairlead("logs", "--access", *words)
    assert "".join(paths(shown.out)) == found
    assert shown.status == 0
    assert ("no request matches" in shown.err) == (not found)


def test_a_shared_log_shows_the_stacks_own_only_and_in_order(fairlead: Fairlead, home: Layout) -> None:
    log(home, a_line(0), a_line(4))
    log(home, a_line(1), a_line(2, stack="blog"), a_line(3), a_line(5, stack="shopping"), shared=True)
    assert paths(fairlead("logs", "--access", "--stack", "shop").out) == ["0", "1", "3", "4"]


def test_generations_are_merged_by_time(fairlead: Fairlead, home: Layout) -> None:
    for generation in range(1, 6):
        log(home, *(a_line(number) for number in range(generation, 100, 5)), generation=generation).close()
    look(home.access_logs("shop"), living={5}, newest=5, now=NOW)
    assert paths(fairlead("logs", "--access", "-n", "7").out) == [str(number) for number in range(93, 100)]
    assert paths(fairlead("logs", "--access", "--since", "2h").out) == [str(number) for number in range(1, 100)]


def test_what_is_no_request_is_passed_over(fairlead: Fairlead, home: Layout) -> None:
    log(home, b"Proxy _l.127.0.0.1:8080 stopped (cumulated conns: FE: 3)", a_line(1)[:200], b"", a_line(2))
    for form in ((), ("--raw",), ("--json",)):
        out = fairlead("logs", "--access", *form).out
        assert out.count("shop.test") == out.count("\n") == 1 + (form == ("--raw",))


def test_a_line_that_was_cut_off_before_its_request_is_passed_over(fairlead: Fairlead, home: Layout) -> None:
    whole = a_line(1)
    log(home, whole[: whole.index(b'"')], whole[: whole.index(b'"') + 5], a_line(2))
    assert paths(fairlead("logs", "--access", "--path", "*", "--method", "GET").out) == ["2"]


def test_raw_is_what_was_written_and_json_has_names(fairlead: Fairlead, home: Layout) -> None:
    log(home, *MANY)
    assert fairlead("logs", "--access", "--raw").out == "".join(line.decode() + "\n" for line in MANY)
    found = [json.loads(line) for line in fairlead("logs", "--access", "--json").out.splitlines()]
    assert [one["elb_status_code"] for one in found] == [200, 404, 502, 503, 301]
    assert found[3]["instance"] == "api-1"
    assert found[4]["user_agent"] == 'we"ird'


def test_what_a_client_sent_cannot_speak_to_the_terminal(fairlead: Fairlead, home: Layout) -> None:
    log(home, a_line(1, path="/\x1b]0;x\x07\u202e", agent="\x9b2J"))
    for form in ((), ("--raw",), ("--json",)):
        out = fairlead("logs", "--access", *form).out
        assert out.count("\n") == 1
        assert not any(character in out for character in "\x1b\x07\x9b\u202e")


def test_retries_and_other_ports_are_shown(fairlead: Fairlead, home: Layout) -> None:
    line = a_line(1, tail="+2 ----").replace(b"shop.test:80", b"shop.test:8080")
    log(home, line)
    assert fairlead("logs", "--access").out.endswith(
        "12 ms (2 again)  10.0.0.7   web-1  GET   http://shop.test:8080/1\n"
    )


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--status", "5xx"), "--status says nothing about what programs print: it is about requests"),
        (("--raw",), "fairlead logs --access --raw"),
        (("--until", "10:00"), "fairlead logs --access --until"),
        (("--access", "--daemon"), "--access and --daemon cannot be given together"),
        (("--access", "--job", "nightly"), "--access and --job cannot"),
        (("--access", "--release", "2"), "--access and --release cannot"),
        (("--access", "--boot"), "--access and --boot cannot"),
        (("--access", "--raw", "--json"), "--raw and --json cannot be given together: both say how"),
        (("--access", "--follow", "--until", "10:00"), "--follow and --until cannot"),
        (("--access", "--since", "5m", "--until", "10m"), "--since is later than --until"),
        (("--access", "--status", "6xx"), "Write it like one of these: 5xx, 502, 4xx,5xx."),
        (("--access", "--status", ""), "--status '' is no status"),
        (("--access", "--method", "G T"), "--method 'G T' is no method"),
        (("--access", "--path", "api"), "--path 'api' matches no path: every path begins with /"),
        (("--access", "--path", "/a?b=c"), "For a query use --grep."),
        (("--access", "--slower", "200"), "Write it like one of these: 200ms, 1.5s, 2m."),
        (("--access", "--client", "localhost"), "--client 'localhost' is no address"),
        (("--access", "--since", "soon"), "--since 'soon' is no moment"),
        (("--access", "--until", "soon"), "--until 'soon' is no moment"),
        (("--access", "--grep", "a("), "is no regular expression"),
        (("--access", "--stack", "blog"), "there is no stack 'blog'"),
    ],
)
def test_nonsense_is_refused_with_what_to_do(
    fairlead: Fairlead, home: Layout, words: tuple[str, ...], says: str
) -> None:
    log(home, *MANY)
    shown = fairlead("logs", *words)
    assert (shown.status, shown.out) == (2, "")
    assert says in shown.err


def test_a_log_without_a_request_says_so(fairlead: Fairlead, home: Layout) -> None:
    log(home)
    shown = fairlead("logs", "--access")
    assert (shown.status, shown.out, shown.err) == (0, "", "no request came yet\n")
    assert fairlead("logs", "--access", "--status", "5xx").err == "no request matches what was asked for\n"


def test_a_service_that_there_is_not_is_named(fairlead: Fairlead, home: Layout) -> None:
    keep(home, "shop").close()
    log(home, *MANY)
    shown = fairlead("logs", "--access", "wbe")
    assert (shown.status, shown.out) == (0, "")
    assert shown.err.startswith("no request matches what was asked for: shop has no service 'wbe', it has ")
    assert " web" in shown.err


def test_a_stack_without_a_log_says_why(fairlead: Fairlead, home: Layout) -> None:
    Path(home.instances("shop")).mkdir(parents=True)
    shown = fairlead("logs", "--access")
    assert shown.status == 2
    assert "shop has no access log: no request came, or its fairlead.yaml says `access_log: false`" in shown.err


def test_following_goes_on_through_compression_and_generations(home: Layout) -> None:
    numbers = iter(range(10_000))
    writer = log(home, a_line(next(numbers)), a_line(next(numbers)))
    with subprocess.Popen(
        [sys.executable, "-m", "fairlead", "logs", "--access", "--follow", "-n", "1", "--home", home.home],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=home.home, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None

        def shown(count: int) -> list[str]:
            return [paths(process.stdout.readline())[0] for _ in range(count)]

        try:
            assert shown(1) == ["1"]
            for _ in range(3):
                for _ in range(20):
                    writer.write(next(numbers))
                put_away(writer)
                writer.write(next(numbers))
            assert shown(63) == [str(number) for number in range(2, 65)]
            other = log(home, a_line(next(numbers)), generation=2)
            assert shown(1) == ["65"]
            writer.write(next(numbers))
            look(str(writer.path.parent), living={2}, newest=2, now=NOW)
            assert not writer.path.exists()
            other.write(next(numbers))
            assert sorted(shown(2)) == ["66", "67"]
            # One that came and went between two looks.
            brief = log(home, a_line(next(numbers)), generation=3)
            look(str(writer.path.parent), living={2}, newest=3, now=NOW)
            assert not brief.path.exists()
            assert shown(1) == ["68"]
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("--path", '/a"b'), 1),
        (("--path", "/a*"), 2),
        (("--method", "GET"), 1),
        (("--method", "POST", "--path", '/a"b'), 1),
        (("--method", "POST", "--path", "/a"), 0),
        (("--instance", "b"), 0),
        (("--client", "10.0.0.7"), 2),
        (("--slower", "10ms"), 3),
        (("--slower", "10s"), 0),
    ],
)
def test_what_only_looks_like_it_is_not_meant(
    fairlead: Fairlead, home: Layout, words: tuple[str, ...], found: int
) -> None:
    """Escapes in what was asked for, and words that stand in other fields."""
    log(
        home,
        a_line(1, path=r"/a\"b", method="POST"),
        a_line(2, path="/a?b=POST", agent=r"b \"b\" POST"),
        a_line(3, path="/c", client="unknown", agent=r"\"b\"", method="PUT"),
        a_line(4, path="/d", method="TRACE", client="10.9.9.9").replace(b"0.012", b"soon"),
    )
    assert len(fairlead("logs", "--access", *words).out.splitlines()) == found


def test_a_time_or_a_length_that_nobody_wrote_is_shown_as_it_is(fairlead: Fairlead, home: Layout) -> None:
    line = a_line(1, instance="-")
    time, creation = line.split(b" ")[1], b" 0 " + line.split(b" ")[1]
    log(
        home,
        line.replace(creation, b" 0 -"),
        a_line(2, took="150.000"),
        a_line(3).replace(time, b"2026-13-41T99:00Z", 1),
    )
    shown = fairlead("logs", "--access").out.splitlines()
    assert len(shown) == 3
    assert any("200       -  10.0.0.7" in line for line in shown)
    assert any("200   2m30s  10.0.0.7" in line for line in shown)


def test_a_log_that_comes_while_one_follows_needs_no_folder_before(home: Layout) -> None:
    Path(home.instances("shop")).mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-m", "fairlead", "logs", "--access", "--follow", "--status", "5xx", "--home", home.home],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=home.home, env={**os.environ, "PYTHONUNBUFFERED": "1"},
    ) as process:  # fmt: skip
        assert process.stdout is not None
        log(home, *MANY)
        assert paths("".join(process.stdout.readline() for _ in range(2))) == ["2", "3"]
        process.terminate()
