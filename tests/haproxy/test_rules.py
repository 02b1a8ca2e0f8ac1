"""Rules in a real HAProxy: it decides as `core.rules` says, whatever the rules and the requests."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

import pytest
from hypothesis import HealthCheck as Slow
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fairlead.core.model import Conditions, Forward, Listener, Redirect, Respond, Rule, forward_to
from fairlead.core.rules import Request, action_for
from fairlead.errors import BalancerError
from fairlead.haproxy.frontends import frontend
from fairlead.haproxy.redirects import LONGEST, location_of
from tests.haproxy.apps import free_port
from tests.haproxy.builders import a_group, a_routing, a_rule
from tests.haproxy.ground import Client, Reply, serving, told, wire

pytestmark = pytest.mark.live

NOBODY = Respond(status=404, body="0")

# Few characters, so that what is asked is often what is matched, and all that mean something to somebody.
PATTERN = "aabB/.*?"
STRANGE = "[](){}^$+|\\'\"#%;~-_!:@,=<>`"
PATH = st.one_of(
    st.text(alphabet=PATTERN, max_size=8).map("/".__add__),
    st.text(alphabet=PATTERN, max_size=6).map("*".__add__),
    st.text(alphabet="ab*?" + STRANGE, max_size=6).map("/".__add__),
)
HOST = st.text(alphabet="abAB.*?-1", min_size=1, max_size=6)
VALUE = st.text(alphabet="aAb *?" + STRANGE, max_size=6)
KEY = st.text(alphabet="aAb*?\\" + STRANGE.replace("=", ""), max_size=4)
SAID = st.text(alphabet="aAb*?\\=" + STRANGE, max_size=5)
METHOD = st.sampled_from(["GET", "POST", "DELETE", "FOO", "get", "-F", "M-SEARCH"])
HEADER = st.sampled_from(["X-A", "x-b", "X_C", "x#d", "Accept"])
NETWORK = st.sampled_from(["127.0.0.1", "127.0.0.2/32", "127.0.0.0/30", "127.0.0.3/8", "10.0.0.0/8", "::1", "fd00::/8"])


def some(one: st.SearchStrategy[str], most: int = 3) -> st.SearchStrategy[tuple[str, ...]]:
    return st.lists(one, min_size=1, max_size=most).map(tuple)


def at_times(one: st.SearchStrategy[tuple[Any, ...]]) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.one_of(st.just(()), st.just(()), one)


def named(names: st.SearchStrategy[str], values: st.SearchStrategy[str]) -> st.SearchStrategy[tuple[Any, ...]]:
    pairs = st.lists(st.tuples(names, some(values)), min_size=1, max_size=2)
    return at_times(pairs.map(lambda found: tuple(found)))


CONDITIONS = st.builds(
    Conditions,
    paths=at_times(some(PATH)),
    hosts=at_times(some(HOST)),
    methods=at_times(some(METHOD)),
    headers=named(HEADER, VALUE),
    queries=named(KEY, SAID),
    source_ips=at_times(some(NETWORK)),
)


@dataclass(frozen=True)
class Case:
    """Rules, and requests put to them."""

    rules: tuple[Conditions, ...]
    requests: tuple[Request, ...]


def like(pattern: str) -> st.SearchStrategy[str]:
    """Texts that it may well match: each wildcard filled in, now and then with one character too many."""
    filled = [
        st.text(alphabet="aAb/.", max_size=2) if one == "*" else st.sampled_from("aB.") if one == "?" else st.just(one)
        for one in pattern
    ]
    return st.tuples(*filled, st.sampled_from(["", "", "", "a"])).map("".join)


@st.composite
def requests(draw: st.DrawFn, rules: tuple[Conditions, ...]) -> Request:
    """Often made for one of the rules."""
    aim = draw(st.sampled_from(rules))

    def chosen(patterns: tuple[str, ...], otherwise: st.SearchStrategy[str]) -> str:
        aimed = st.sampled_from(patterns).flatmap(like) if patterns else otherwise
        return draw(st.one_of(aimed, aimed, otherwise))

    path = chosen(aim.paths, st.text(alphabet="aAbB/.", max_size=6).map("/".__add__))
    plain = "".join(one for one in path if one not in '#?<>"`\\^{|}')
    pairs = [
        f"{chosen((key,), st.text(alphabet='ab', max_size=2))}{draw(st.sampled_from(['=', '=', '']))}{chosen(values, SAID)}"
        for key, values in aim.queries
    ]
    extra = draw(st.lists(st.text(alphabet="aAb=&*?", max_size=5), max_size=2))
    query = "&".join(draw(st.permutations([*pairs, *extra])))
    headers = [(name, chosen(values, VALUE)) for name, values in aim.headers]
    headers += draw(st.lists(st.tuples(HEADER, VALUE), max_size=2))
    return Request(
        method=draw(st.one_of(st.sampled_from([*aim.methods, "GET"]), METHOD)),
        host="".join(one for one in chosen(aim.hosts, st.just("a.b")) if one not in "/*?").lstrip("-"),
        path=plain if plain.startswith("/") else f"/{plain}",
        query="".join(one for one in query if one not in '# <>"`\\^{|}'),
        headers=tuple((name, value.strip()) for name, value in headers),
        source=draw(st.sampled_from(["127.0.0.1", "127.0.0.2", "127.0.0.5"])),
    )


@st.composite
def cases(draw: st.DrawFn) -> Case:
    rules = tuple(draw(st.lists(CONDITIONS, min_size=1, max_size=5)))
    return Case(rules, tuple(draw(st.lists(requests(rules), min_size=4, max_size=8))))


def listener_of(case: Case, port: int, address: str) -> Listener:
    """Each rule answers with its own number, the default with 0."""
    rules = (Rule(when=when, then=Respond(status=200, body=str(at))) for at, when in enumerate(case.rules, 1))
    return Listener(port=port, address=address, default=replace(NOBODY, status=200), rules=tuple(rules))


def writable(case: Case) -> bool:
    """Whether no pattern in it is one that could never match, which is refused."""
    routing = a_routing(listeners=(listener_of(case, 1, "127.0.0.1"),))
    try:
        frontend(("127.0.0.1", 1), [(routing, routing.listeners[0])], "/tls")
    except BalancerError:
        return False
    return True


def put(client: Client, request: Request) -> Reply:
    target = f"{request.path}?{request.query}" if request.query else request.path
    return client.ask(wire(request.method, target, [("Host", request.host), *request.headers]))


@settings(max_examples=6, deadline=None, suppress_health_check=list(Slow))
@given(asked=st.lists(cases().filter(writable), min_size=12, max_size=30))
@example(
    asked=[
        Case(
            (
                Conditions(headers=(("X-A", ("*",)),)),
                Conditions(queries=(("", ("*",)),)),
                Conditions(queries=(("a", ("",)),), methods=("POST",)),
            ),
            (
                Request(headers=(("x-a", ""),)),
                Request(query="a"),
                Request(query="&&"),
                Request(query="="),
                Request(headers=(("X-A", "1"), ("x-A", "2")), query="b"),
            ),
        )
    ]
)
def test_haproxy_decides_as_the_law_says(asked: list[Case], haproxy: str) -> None:
    port = free_port()
    listeners = [listener_of(case, port, f"127.0.{1 + at // 250}.{1 + at % 250}") for at, case in enumerate(asked)]
    with serving(haproxy, [a_routing(listeners=tuple(listeners))], targets=False):
        for case, listener in zip(asked, listeners, strict=True):
            for source, mine in itertools.groupby(
                sorted(case.requests, key=lambda one: one.source), lambda one: one.source
            ):
                with Client(port, listener.address, source) as client:
                    for request in mine:
                        expected = action_for(listener, request)
                        assert isinstance(expected, Respond)
                        answer = put(client, request)
                        assert (answer.status, answer.body.decode()) == (200, expected.body), (listener.rules, request)


def test_the_cases_reach_every_rule_and_the_default() -> None:
    """The property above would hold of requests that no rule claims, too: they must not be all."""
    seen: Counter[bool] = Counter()

    @settings(max_examples=40, deadline=None, database=None, derandomize=True, suppress_health_check=list(Slow))
    @given(case=cases().filter(writable))
    def count(case: Case) -> None:
        listener = listener_of(case, 1, "127.0.0.1")
        seen.update(action_for(listener, request) != listener.default for request in case.requests)

    count()
    assert seen[True] > 0.3 * seen.total()
    assert seen[False] > 0.1 * seen.total()


KEYWORDS = ["#{host}", "#{port}", "#{path}", "#{query}", "#{protocol}"]
PART = st.lists(
    st.one_of(st.sampled_from(KEYWORDS), st.text(alphabet="aB%[](){}'\"$\\;,&=#?+:/", max_size=4)), max_size=4
)
REDIRECTS = st.builds(
    Redirect,
    status=st.sampled_from([301, 302]),
    protocol=st.sampled_from(["HTTP", "HTTPS", "#{protocol}", None]),
    host=st.sampled_from([None, "a.test", "#{host}", "b.#{host}", "a-1.test"]),
    port=st.sampled_from([None, 443, 8081, "#{port}"]),
    path=st.one_of(st.none(), PART.map(lambda parts: "/" + "".join(parts))),
    query=st.one_of(st.none(), PART.map("".join)),
)


@settings(max_examples=5, deadline=None, suppress_health_check=list(Slow))
@given(redirects=st.lists(REDIRECTS, min_size=10, max_size=40))
def test_a_redirect_leads_where_the_law_says(redirects: list[Redirect], haproxy: str) -> None:
    port = free_port()
    rules = tuple(
        Rule(when=Conditions(paths=(f"/{at}", f"/{at}/*")), then=redirect) for at, redirect in enumerate(redirects)
    )
    routing = a_routing(listeners=(Listener(port=port, default=forward_to("web"), rules=rules),))
    with serving(haproxy, [routing], targets=False), Client(port) as client:
        for at, redirect in enumerate(redirects):
            for request in (
                Request(host="H.Test", path=f"/{at}"),
                Request(host="h.test", path=f"/{at}/a%20b;c", query="x=1&y='[%41]$HOME"),
            ):
                answer = put(client, request)
                assert answer.status == redirect.status
                assert answer.header("location") == location_of(redirect, "http", port, request)
                assert answer.header("server") == "fairlead"


def test_a_location_beyond_8_kilobytes_is_not_sent(haproxy: str) -> None:
    port = free_port()
    twice = Redirect(status=302, path="/#{path}/#{path}")
    rules = (Rule(when=Conditions(paths=("/*",)), then=twice),)
    with (
        serving(haproxy, [a_routing(listeners=(Listener(port=port, default=None, rules=rules),))], targets=False),
        Client(port) as client,
    ):
        for length in (10, 4000, 4090, 8000, 14_000):
            request = Request(host="h.test", path="/" + "a" * length)
            expected = location_of(twice, "http", port, request)
            answer = put(client, request)
            assert answer.status == (302 if len(expected) <= LONGEST else 507)
            assert answer.header("location") == (expected if answer.status == 302 else "")


BODIES = st.text(
    alphabet=st.characters(exclude_categories=("Cc", "Cs")) | st.sampled_from("\n\r\t'\"\\$%#{}[]"), max_size=60
)


@settings(max_examples=6, deadline=None, suppress_health_check=list(Slow))
@given(
    answers=st.lists(
        st.builds(
            Respond,
            status=st.sampled_from([200, 201, 202, 404, 418, 429, 500, 503, 599]),
            content_type=st.sampled_from(["text/plain", "text/html", "application/json", "application/javascript"]),
            body=BODIES,
        ),
        min_size=10,
        max_size=30,
    )
)
@example(
    answers=[Respond(status=200, body='It\'s "$HOME" %[env(HOME)]\r\n\t${HOME} \\n #{path}\n'), Respond(status=204)]
)
def test_a_fixed_answer_is_given_as_it_is_written(answers: list[Respond], haproxy: str) -> None:
    port = free_port()
    rules = tuple(Rule(when=Conditions(paths=(f"/{at}",)), then=one) for at, one in enumerate(answers))
    with (
        serving(haproxy, [a_routing(listeners=(Listener(port=port, default=None, rules=rules),))], targets=False),
        Client(port) as client,
    ):
        for at, expected in enumerate(answers):
            got = client.ask(wire(target=f"/{at}"))
            assert (got.status, got.body.decode()) == (expected.status, expected.body)
            assert got.header("content-type") == ("" if expected.status == 204 else expected.content_type)
            assert got.header("server") == "fairlead"
        assert client.ask(wire(target="/none")).body == b"Not Found"


def test_weights_share_the_requests_and_a_cookie_keeps_the_choice(haproxy: str) -> None:
    port = free_port()
    weights = (("web", 3), ("api", 1), ("old", 0))
    rules = (
        Rule(when=Conditions(paths=("/die",)), then=Forward(weights=weights)),
        Rule(when=Conditions(paths=("/stay",)), then=Forward(weights=weights, stickiness=60.0)),
        Rule(when=Conditions(paths=("/off",)), then=Forward(weights=(("web", 0),))),
    )
    groups = tuple(a_group(name=name) for name in ("web", "api", "old"))
    routing = a_routing(listeners=(Listener(port=port, default=forward_to("web"), rules=rules),), groups=groups)
    with serving(haproxy, [routing]), Client(port) as client:
        counts = Counter(told(client.ask(wire(target="/die")))[0] for _ in range(400))
        # Five standard deviations around 300.
        assert 256 < counts["shop.web"] < 344
        assert counts.total() == counts["shop.web"] + counts["shop.api"]
        assert client.ask(wire(target="/die")).header("set-cookie") == ""
        chosen = Counter[str]()
        for _ in range(20):
            first = client.ask(wire(target="/stay"))
            mine, foreign = (cookie.split(";")[0] for cookie in first.all("set-cookie"))
            name = told(first)[0]
            chosen[name] += 1
            for cookie in (mine, foreign, f"{mine}; {foreign}"):
                again = client.ask(wire(target="/stay", headers=[("Host", "a"), ("Cookie", cookie)]))
                assert told(again)[0] == name
                assert len(again.all("set-cookie")) == 2, "each response renews it"
        assert first.all("set-cookie")[0].endswith("GMT; Path=/")
        assert first.all("set-cookie")[1].endswith("GMT; Path=/; SameSite=None; Secure")
        assert client.ask(wire(target="/off")).status == 503


def test_a_hundred_unmatched_rules_of_every_kind_are_read_in_a_moment(haproxy: str) -> None:
    """Patterns made to be tried again and again: many stars, and texts that almost match."""
    port = free_port()
    stars = "/" + "*a" * 20 + "*b"
    rules = tuple(
        a_rule("web", paths=(stars,), headers=(("x-a", (stars,)),)) if at % 2 else a_rule("web", queries=(("*a*", ("*a" * 20 + "*b",)),))
        for at in range(100)
    )  # fmt: skip
    routing = a_routing(listeners=(Listener(port=port, default=Respond(status=200, body="through"), rules=rules),))
    with serving(haproxy, [routing], targets=False), Client(port) as client:
        long = "a" * 4000
        # Without atomic groups a single one of these patterns takes longer than the universe has.
        answer = client.ask(wire(target=f"/{long}?{'a=' + long}", headers=[("Host", "a"), ("X-A", f"/{long}")]))
        assert answer.body == b"through"
