"""Many simple rules, found in HAProxy's maps: it decides as `core.rules` says, as with lines."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck as Slow
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fairlead.core.model import Conditions, Listener, Respond, Rule
from fairlead.core.rules import Request, action_for, matches
from fairlead.core.traffic import Routing, Traffic
from fairlead.errors import BalancerError
from fairlead.haproxy.maps import FEWEST, files, maps_of
from tests.haproxy.apps import free_port
from tests.haproxy.builders import a_routing, a_rule
from tests.haproxy.ground import Client, serving, wire
from tests.haproxy.worlds import RealWorld
from tests.needs import need

# Few, so that rules overlap.
HOST = st.sampled_from(["a.b", "A.B", "a", "b", "[::1]", "a.b.c", "1", "0"])
WILD_HOST = st.one_of(HOST, st.sampled_from(["*.b", "a*", "?.b", "**"]))
PATH = st.one_of(
    st.sampled_from(["/**", "/", "/a", "/a*", "/a/*", "/a/b", "/a/b*", "/a/b/c*", "/A*", "/1:/a*"]),
    st.text(alphabet="ab/:", max_size=4).map("/".__add__),
    st.text(alphabet="ab/#%;:'\"\\", min_size=1, max_size=4).map(lambda text: f"/{text}*"),
)
WILD_PATH = st.one_of(PATH, st.sampled_from(["*b", "/?", "/a?*", "*", "*/b*"]))

ALWAYS_THERE = files([])
"""That of response times."""


def some(one: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(one, min_size=1, max_size=2).map(tuple)


NONE: st.SearchStrategy[tuple[str, ...]] = st.just(())
SIMPLE = st.one_of(
    st.builds(Conditions, hosts=some(HOST), paths=some(PATH)),
    st.builds(Conditions, paths=some(PATH)),
    st.builds(Conditions, hosts=some(HOST)),
)
OTHER = st.builds(
    Conditions,
    hosts=st.one_of(NONE, some(WILD_HOST)),
    paths=some(WILD_PATH),
    methods=st.sampled_from([(), ("GET",), ("POST",), ("GET", "POST")]),
)
ASKED = st.builds(
    Request,
    method=st.sampled_from(["GET", "GET", "POST"]),
    host=st.sampled_from(["a.b", "A.b", "a", "b", "[::1]", "a.b.c", "1", "0", "x.b", "ab", "zz"]),
    path=st.one_of(
        st.sampled_from(["/", "/a", "/a/", "/a/b", "/a/b/c", "/a/b/cd", "/A", "/ab", "/1:/a", "//a", "/b"]),
        st.text(alphabet="ab/:%;'", max_size=5).map("/".__add__),
    ),
    query=st.sampled_from(["", "", "a", "/a"]),
)


@dataclass(frozen=True)
class Case:
    """Rules of stacks that share a port, and requests put to them. The first has a default, when there is one."""

    stacks: tuple[tuple[Conditions, ...], ...]
    default: bool
    requests: tuple[Request, ...]


RULES = st.lists(st.one_of(SIMPLE, SIMPLE, OTHER), min_size=2 * FEWEST, max_size=4 * FEWEST).map(tuple)
CASES = st.builds(
    Case,
    stacks=RULES.map(lambda rules: (rules,)),
    default=st.booleans(),
    requests=st.lists(ASKED, min_size=20, max_size=40).map(tuple),
)


@st.composite
def shared(draw: st.DrawFn) -> Case:
    """Two stacks on a port: each rule of the second names a host of its own."""
    first = draw(RULES)
    theirs = st.builds(Conditions, hosts=some(st.sampled_from(["p.q", "P.q", "p", "q", "*.r"])), paths=some(PATH))
    second = draw(st.lists(theirs, min_size=FEWEST, max_size=2 * FEWEST))
    hosts = st.sampled_from(["p.q", "p", "q", "x.r"])
    requests = draw(st.lists(st.one_of(ASKED, ASKED.flatmap(lambda one: hosts.map(lambda host: replace(one, host=host)))), min_size=30, max_size=40))  # fmt: skip
    return Case((first, tuple(second)), draw(st.booleans()), tuple(requests))


def routings_of(case: Case, port: int, address: str, at: int) -> list[Routing]:
    """Each rule answers with its stack and number; a default with its stack and 0."""
    found = []
    for stack, conditions in enumerate(case.stacks):
        rules = (
            Rule(when=when, then=Respond(status=200, body=f"{stack}.{number}"))
            for number, when in enumerate(conditions, 1)
        )
        default = Respond(status=200, body=f"{stack}.0") if case.default and stack == 0 else None
        listener = Listener(port=port, address=address, default=default, rules=tuple(rules))
        found.append(a_routing(stack=f"s{at}-{stack}", listeners=(listener,)))
    return found


def expected(routings: list[Routing], request: Request) -> tuple[int, str]:
    """Of two stacks the second has the hosts that it names, which no pattern of the first one's takes as closely; then
    the first has those that it names, or all when it has a default."""
    first, *others = (routing.listeners[0] for routing in routings)
    owner: Listener | None = first
    if others:
        (second,) = others
        owner = second if names(second, request) else first if first.default or names(first, request) else None
    action = action_for(owner, request) if owner else None
    return (200, action.body) if isinstance(action, Respond) else (404, "Not Found")


def names(listener: Listener, request: Request) -> bool:
    return any(matches(host, request.host) for rule in listener.rules for host in rule.when.hosts)


MANY_HOSTS = Case(
    (tuple(Conditions(hosts=(f"h{at}",)) for at in range(30)),),
    False,
    tuple(
        Request(method=method, host=f"h{at}", path=path)
        for at in range(32)
        for method, path in (("GET", "/"), ("OPTIONS", "*"))
    ),
)
"""So many that their classes begin alike."""


@pytest.mark.live
@settings(max_examples=10, deadline=None, suppress_health_check=list(Slow))
@given(asked=st.lists(CASES, min_size=8, max_size=16))
@example(asked=[MANY_HOSTS])
@example(
    asked=[
        Case(
            (tuple([Conditions(paths=(f"/x{at}",)) for at in range(FEWEST)]) + tail,),
            True,
            tuple(Request(host=host, path=path) for host in ("a", "c", "1") for path in ("/", "/a", "/ab", "/b", "/x1", "/x11")),
        )
        for tail in (
            (Conditions(hosts=("a",), paths=("/ab",)), Conditions(paths=("/a*",)), Conditions(hosts=("a",))),
            (Conditions(paths=("/a*",)), Conditions(hosts=("a",), paths=("/a*", "/b"))),
            (Conditions(hosts=("a",)), Conditions(methods=("GET",)), Conditions(paths=("*",))),
            (Conditions(),),
        )
    ]
)  # fmt: skip
def test_haproxy_finds_the_rule_that_the_law_says(asked: list[Case], haproxy: str) -> None:
    put_all(asked, haproxy)


@pytest.mark.live
@settings(max_examples=5, deadline=None, suppress_health_check=list(Slow))
@given(asked=st.lists(shared(), min_size=4, max_size=8))
def test_each_owner_of_a_port_has_its_own_maps(asked: list[Case], haproxy: str) -> None:
    put_all(asked, haproxy)


def put_all(asked: list[Case], haproxy: str) -> None:
    port = free_port()
    places = [routings_of(case, port, f"127.0.3.{at + 1}", at) for at, case in enumerate(asked)]
    with serving(haproxy, list(itertools.chain(*places)), targets=False):
        for case, routings in zip(asked, places, strict=True):
            with Client(port, routings[0].listeners[0].address) as client:
                for request in case.requests:
                    target = f"{request.path}?{request.query}" if request.query else request.path
                    answer = client.ask(wire(request.method, target, [("Host", request.host)]))
                    got = (answer.status, answer.body.decode())
                    assert got == expected(routings, request), (case.stacks, request)


def test_the_cases_have_maps_and_reach_their_rules_others_and_the_default() -> None:
    """The properties above would hold of requests that no map is asked for, too: they must not be all."""
    seen: Counter[str] = Counter()

    @settings(max_examples=60, deadline=None, database=None, derandomize=True, suppress_health_check=list(Slow))
    @given(case=CASES)
    def count(case: Case) -> None:
        (routing,) = routings_of(case, 1, "127.0.0.1", 0)
        found = maps_of(routing, routing.listeners[0])
        seen["maps" if found else "lines"] += 1
        for request in case.requests if found else ():
            _, body = expected([routing], request)
            number = int(body.rpartition(".")[2]) if body != "Not Found" else 0
            seen["simple" if found and number in found.numbers else "other" if number else "nobody"] += 1

    count()
    total = seen["simple"] + seen["other"] + seen["nobody"]
    assert seen["maps"] > 5 * seen["lines"]
    assert seen["simple"] > 0.3 * total
    assert seen["other"] > 0.1 * total
    assert seen["nobody"] > 0.02 * total


@pytest.mark.parametrize(
    ("rule", "simple"),
    [
        (Conditions(), True),
        (Conditions(hosts=("A.test", "*"), paths=("/a", "/b*", "/c**")), True),
        (Conditions(hosts=("*.test", "a.test")), False),
        (Conditions(paths=("*.json",)), False),
        (Conditions(paths=("/a?",)), False),
        (Conditions(paths=("/a",), methods=("GET",)), False),
        (Conditions(paths=("/a",), headers=(("x", ("1",)),)), False),
        (Conditions(paths=("/a",), queries=(("x", ("1",)),)), False),
        (Conditions(paths=("/a",), source_ips=("10.0.0.0/8",)), False),
        (Conditions(hosts=tuple(f"h{at}" for at in range(11)), paths=tuple(f"/{at}" for at in range(10))), False),
    ],
)
def test_simple_rules_are_those_of_hosts_and_beginnings_of_paths(rule: Conditions, simple: bool) -> None:
    rules = (*(a_rule("web", paths=(f"/{at}",)) for at in range(FEWEST)), Rule(when=rule, then=Respond(status=200)))
    routing = a_routing(listeners=(Listener(port=80, default=None, rules=rules),))
    found = maps_of(routing, routing.listeners[0])
    assert found is not None
    assert (FEWEST + 1 in found.numbers) is simple


def test_a_key_has_the_first_rule_among_those_that_it_begins_with() -> None:
    paths = ("/a/b*", "/a*", "/a/b/c", "/z", *(f"/{at}" for at in range(FEWEST)))
    rules = (a_rule("web", hosts=("X.test",), paths=("/q*",)), *(a_rule("web", paths=(path,)) for path in paths))
    routing = a_routing(listeners=(Listener(port=80, default=None, rules=rules),))
    hosts, keys = (text for name, text in files([routing]).items() if name not in ALWAYS_THERE)
    assert hosts == "x.test 1:\n"
    lines = dict(line.split(" ") for line in keys.splitlines())
    assert len(lines) == len(rules)
    assert {key: lines[key] for key in ("0:/a", "0:/a/b", "0:/a/b/c?", "0:/z?", "1:/q")} == {
        "0:/a": "3/shop.web", "0:/a/b": "2/shop.web", "0:/a/b/c?": "2/shop.web", "0:/z?": "5/shop.web", "1:/q": "1/shop.web"
    }  # fmt: skip


def test_few_simple_rules_have_no_maps() -> None:
    rules = tuple(a_rule("web", paths=(f"/{at}",)) for at in range(FEWEST - 1))
    other = a_rule("web", methods=("GET",))
    assert files([a_routing(listeners=(Listener(port=80, default=None, rules=(*rules, other)),))]) == ALWAYS_THERE


def answering(port: int, word: str) -> Routing:
    """Many rules; each answers with the word and its number."""
    rules = tuple(
        Rule(when=Conditions(hosts=("h.test",), paths=(f"/{at}/*",)), then=Respond(status=200, body=f"{word} {at}"))
        for at in range(2 * FEWEST)
    )
    return a_routing(listeners=(Listener(port=port, default=None, rules=rules),))


def laid_out(world: RealWorld) -> set[str]:
    return set(os.listdir(world.files.maps)) if os.path.isdir(world.files.maps) else set()


@pytest.mark.live
async def test_maps_come_and_go_with_the_rules_that_they_are_of(real: RealWorld) -> None:
    first, second = answering(real.port, "first"), answering(real.port, "second")
    await real.balancer.configure("shop", first)
    assert await real.get("H.test", "/7/x") == "first 7"
    assert await real.get("i.test", "/7/x") == "404"
    assert laid_out(real) == set(files([first]))
    for name in laid_out(real):
        assert Path(real.files.maps, name).stat().st_mode & 0o7777 == 0o600
    await real.balancer.configure("shop", second)
    assert await real.get("h.test", "/19/") == "second 19"
    assert laid_out(real) == set(files([second]))
    before = real.pid
    await real.restart_daemon(Traffic(routings=(second,)))
    assert real.pid == before, "nothing has changed, so nothing was reloaded"
    for name in laid_out(real):
        Path(real.files.maps, name).write_text("")
    await real.kill_node()
    await real.until(lambda report: report.known and report.nodes[0].pid != before, "a new HAProxy")
    assert await real.get("h.test", "/19/") == "second 19", "what a crash had emptied was written again"
    await real.balancer.configure("shop", a_routing(real.port))
    assert laid_out(real) == set(ALWAYS_THERE)


@pytest.mark.live
async def test_a_refused_reload_leaves_the_maps_of_what_runs(real: RealWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    first = answering(real.port, "first")
    await real.balancer.configure("shop", first)

    async def refusing(*_: object) -> None:
        raise BalancerError("HAProxy refuses the configuration", "for a test")

    with monkeypatch.context() as patched:
        patched.setattr("fairlead.haproxy.process.check", refusing)
        with pytest.raises(BalancerError):
            await real.balancer.configure("shop", answering(real.port, "second"))
    assert await real.get("h.test", "/3/") == "first 3"
    assert laid_out(real) >= set(files([first]))
    before = real.pid
    await real.kill_node()
    await real.until(lambda report: report.known and report.nodes[0].pid != before, "a new HAProxy")
    assert await real.get("h.test", "/3/") == "first 3"
    assert laid_out(real) == set(files([first]))


@pytest.mark.live
async def test_where_maps_cannot_be_written_rules_are_lines(real: RealWorld, caplog: pytest.LogCaptureFixture) -> None:
    real.files.prepare()
    Path(real.files.maps).write_text("a file where the folder should be")
    await real.balancer.configure("shop", answering(real.port, "lines"))
    assert await real.get("h.test", "/11/") == "lines 11"
    assert "cannot be written, so rules are lines" in caplog.text


@pytest.mark.live
async def test_as_root_haproxy_reads_maps_before_it_gives_up_its_rights(programs: str) -> None:
    need(os.geteuid() == 0, "only root can start HAProxy as another user")
    world = RealWorld(programs, user=(65534, 65534))
    await world.open()
    try:
        await world.balancer.configure("shop", answering(world.port, "first"))
        before = world.pid
        assert "Uid:\t65534\t65534\t65534\t65534" in Path(f"/proc/{before}/status").read_text()
        await world.balancer.configure("shop", answering(world.port, "second"))
        assert await world.get("h.test", "/1/") == "second 1"
        assert await world.get("h.test", "/19/") == "second 19"
    finally:
        await world.close()
