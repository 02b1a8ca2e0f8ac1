"""Values that cannot break out of their directive: whatever reaches the file is refused, or stays in its place."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck as Slow
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fairlead.core.model import Conditions, Forward, Listener, Opening, Redirect, Respond, Rule, Stickiness, forward_to
from fairlead.core.traffic import Routing
from fairlead.errors import BalancerError
from fairlead.haproxy.render import render
from fairlead.haproxy.servers import Member
from tests.haproxy.builders import a_check, a_group, a_routing, a_rule, a_target
from tests.haproxy.configurations import PLACE, verdict

PRINTABLE = st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), min_size=1, max_size=40)

HOSTILE = st.one_of(
    PRINTABLE,
    PRINTABLE.map("/".__add__),
    PRINTABLE.map("unix:/".__add__),
    st.text(min_size=1, max_size=40),
    st.text(alphabet="ab/.$%{}[]()'\"\\ \t\n\r\0#;,|&-_!*?=\x7f\x85é", min_size=1, max_size=40),
    st.sampled_from(
        ["}", "-f", "--", "-i", "'", "\\", "*", "**", "?", "*}", "/\nglobal", "/ x", "/%[env(HOME)]", "/${HOME}", "/'; daemon",
         "/\u2028", "/\ud800", "#{host}", "/#{path}%[env(HOME)]", "a,b", "a)b", "a|b", "a\\1"]
    ),
)  # fmt: skip

EVIL = "/a'b\"c\\d$HOME${X}%[env(HOME)]#{};|&()"

CHECKED = ("path", "host", "matcher")

CONDITIONS: dict[str, Any] = {
    "path pattern": lambda value: {"paths": (value,)},
    "host pattern": lambda value: {"hosts": (value,)},
    "method": lambda value: {"methods": (value,)},
    "header name": lambda value: {"headers": ((value, ("a",)),)},
    "header value": lambda value: {"headers": (("x-a", (value,)),)},
    "query key": lambda value: {"queries": ((value, ("a",)),)},
    "query value": lambda value: {"queries": (("a", (value,)),)},
    "source": lambda value: {"source_ips": (value,)},
}

ACTIONS: dict[str, Any] = {
    "redirect host": lambda value: Redirect(status=301, host=value),
    "redirect path": lambda value: Redirect(status=301, path=value),
    "redirect query": lambda value: Redirect(status=301, query=value),
    "redirect port": lambda value: Redirect(status=301, port=value),
    "redirect protocol": lambda value: Redirect(status=301, protocol=value),
    "type of nothing": lambda value: Respond(status=200, content_type=value),
    "body": lambda value: Respond(status=200, body=value),
    "content type": lambda value: Respond(status=200, content_type=value, body="a"),
    "weighted service": lambda value: Forward(weights=((value, 1), ("web", 1)), stickiness=1.0),
}

HARMLESS = {
    "path": "/", "host": "h", "matcher": "200", "token": "token", "address": "127.0.0.1:1", "service": "web",
    "stack": "shop", "id": "web-1", "listener": "127.0.0.1", "source": "10.0.0.0/8", "content type": "text/plain",
    "weighted service": "api", "digest": "0" * 64, "opened instance": "web-1", "path pattern": "/a", "cookie": "c",
    "redirect path": "/", "redirect port": "1", "redirect protocol": "HTTP", "type of nothing": "text/plain",
}  # fmt: skip

FIELDS = (
    *CHECKED, "token", "address", "service", "stack", "id", "listener", "cookie", "digest", "opened instance", *CONDITIONS, *ACTIONS
)  # fmt: skip

BEGINS = {
    "path": "http-check send", "host": "http-check send", "matcher": "http-check expect", "address": "server", "id": "server",
    "token": "http-request set-var(txn.check)", "digest": "http-request", "opened instance": "http-request set-var(txn.open)",
    **dict.fromkeys(CONDITIONS, "http-request set-var(txn."),
    "redirect port": "http-request set-var-fmt(txn.to)", "redirect protocol": "http-request set-var-fmt(txn.to)",
    "type of nothing": "http-after-response set-header Content-Type",
    "redirect host": "http-request set-var-fmt(txn.to)", "redirect path": "http-request set-var-fmt(txn.to)",
    "redirect query": "http-request set-var-fmt(txn.asked)", "body": "http-request return", "content type": "http-request return",
}  # fmt: skip
"""What the lines that a value may change begin with; of the others it is part of a name."""


def hostile_text(field: str, value: str) -> str:
    """The configuration in which `field` has this value."""
    check = a_check(**{field: value}) if field in CHECKED else a_check()
    service = value if field == "service" else "web"
    stack = value if field == "stack" else "shop"
    rules: tuple[Rule, ...] = ()
    if field in CONDITIONS:
        rules = (a_rule(service, **CONDITIONS[field](value)),)
    if field in ACTIONS:
        rules = (Rule(when=Conditions(paths=("/a",)), then=ACTIONS[field](value)),)
    groups = {service: check, **({value: a_check()} if field == "weighted service" else {})}
    opening = Opening(
        service=service, instance=value if field == "opened instance" else "web-1",
        digest=value if field == "digest" else "0" * 64,
    )  # fmt: skip
    address = value if field == "listener" else "127.0.0.1"
    stickiness = Stickiness(cookie=value) if field == "cookie" else None
    routing = a_routing(
        stack=stack,
        groups=tuple(a_group(name=name, health_check=one, stickiness=stickiness) for name, one in groups.items()),
        listeners=(
            Listener(port=8080, default=forward_to(service), address=address, rules=rules),
            Listener(port=8081, default=None, address=address, opening=opening),
        ),
        check_token=value if field == "token" else "token",
    )
    target = a_target(
        1,
        group=f"{stack}.{service}",
        id=value if field == "id" else "web-1",
        address=value if field == "address" else "127.0.0.1:20001",
        mode="in_service",
    )
    return render([routing], [Member(target=target)], PLACE)


def directive(line: str) -> list[str]:
    return line.split(None, 1)[:1]


@pytest.mark.parametrize("field", FIELDS)
@settings(max_examples=20, deadline=None, suppress_health_check=[Slow.function_scoped_fixture])
@given(value=HOSTILE)
@example(value=EVIL)
@example(value=EVIL[1:])
@example(value="unix:/tmp/a'b\"c\\d #{};|&()%.sock")
def test_a_hostile_value_is_refused_or_stays_in_its_place(field: str, value: str, haproxy: str) -> None:
    harmless = hostile_text(field, HARMLESS.get(field, "a")).split("\n")[:-1]
    try:
        text = hostile_text(field, value)
    except BalancerError:
        return
    # Split where HAProxy splits, and only there.
    lines = text.split("\n")[:-1]
    # Groups are written in the order of their names.
    in_order = sorted if field == "weighted service" else list
    assert in_order(map(directive, lines)) == in_order(map(directive, harmless))
    if field in BEGINS:
        changed = [one for one, other in zip(lines, harmless, strict=True) if one != other]
        assert all(line.strip().startswith(BEGINS[field]) for line in changed)
    assert verdict(haproxy, text) == ""


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("path", "health"), ("path", "/a b"), ("path", "/a\nb"), ("path", "/ä"), ("path", "/" + "a" * 2000),
        ("host", ""), ("host", "a b"), ("host", "a\r\nX: y"), ("host", "%[env(HOME)]"),
        ("matcher", ""), ("matcher", "2xx"), ("matcher", "200,"), ("matcher", "299-200"), ("matcher", "200 -f"),
        ("token", ""), ("token", "}"), ("token", "a b"),
        ("address", "unix:relative"), ("address", "unix:/a,b"), ("address", "unix:/$HOME"), ("address", "localhost:80"),
        ("address", "127.0.0.1"), ("address", "127.0.0.1:0"), ("address", "127.0.0.1:70000"), ("address", "::1:80"),
        ("address", "[127.0.0.1]:80"), ("address", "unix:/a\nb"),
        ("service", "a.b"), ("service", "A"), ("service", "-a"), ("stack", ""), ("id", "BACKEND"), ("id", "a;b"),
        ("listener", "localhost"), ("listener", "fe80::1%eth0"), ("listener", "[::1]"),
        ("path pattern", "api/*"), ("path pattern", ""), ("path pattern", "/a b"), ("path pattern", "/ä"),
        ("path pattern", "/a\nb"), ("path pattern", "/" + "a" * 2000),
        ("host pattern", ""), ("host pattern", "a b"), ("host pattern", "a.test:8080"), ("host pattern", "ä.test"),
        ("host pattern", "a'b"), ("host pattern", "a\n"),
        ("method", ""), ("method", "GET POST"), ("method", "}"), ("header name", ""), ("header name", "a)"), ("header name", "a b"),
        ("header name", "a,1"), ("header name", "a:"), ("header value", "ä"), ("header value", "a\r\nb"),
        ("query key", "a=b"), ("query key", "a&b"), ("query key", "a b"), ("query value", "a&b"), ("query value", "ä"),
        ("source", ""), ("source", "localhost"), ("source", "10.0.0.0/33"), ("source", "fe80::1%eth0"),
        ("redirect host", "a b"), ("redirect host", "a/b"), ("redirect host", "%[env(HOME)]"), ("redirect path", "/a b"),
        ("redirect path", "/ä"), ("redirect query", "a\nb"), ("body", "\0"), ("body", "a\x1b[2J"), ("body", "a" * 5000), ("body", "ä" * 2100),
        ("content type", ""), ("content type", "text"), ("content type", "text/plain\r\nX: y"),
        ("digest", "token"), ("opened instance", "a b"),
    ],
)  # fmt: skip
def test_what_cannot_be_written_is_refused_in_words(field: str, value: str) -> None:
    with pytest.raises(BalancerError, match="cannot be given to HAProxy") as refusal:
        hostile_text(field, value)
    assert refusal.value.why


@pytest.mark.parametrize("change", [{"interval": 0.0}, {"timeout": -1.0}, {"interval": 1e12}, {"healthy_threshold": 0}])
def test_numbers_out_of_bounds_are_refused(change: dict[str, float]) -> None:
    with pytest.raises(BalancerError, match="between"):
        render([a_routing(groups=(a_group(health_check=a_check(**change)),))], [Member(target=a_target(1))], PLACE)


@pytest.mark.parametrize(
    "routing",
    [
        a_routing(groups=(a_group(name="api"),)),
        a_routing(listeners=(Listener(port=8080, default=forward_to("web"), rules=(a_rule("api", paths=("/",)),)),)),
    ],
    ids=["default", "rule"],
)
def test_a_listener_without_its_service_is_refused(routing: Routing) -> None:
    with pytest.raises(BalancerError, match="no such group"):
        render([routing], [], PLACE)


PATHS = st.one_of(
    st.text(alphabet=st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=60).map("/".__add__),
    st.text(alphabet="ab/.$%{}[]()'\"\\#;,|&-_!*?+^~@:=<>`", min_size=1, max_size=60).map("*".__add__),
    st.sampled_from(
        ["*}", "/*}", "*", "?", "/}", "/-f", "* -f", "/'", "*\\", "/%[env(HOME)]", "/${HOME}", "/$HOME", "/'\\''"]
    ),
)
HOSTS = st.one_of(
    st.text(alphabet="abAB09.-_*?", min_size=1, max_size=60),
    st.sampled_from(["[::1]", "*", "-f", "--", "-m", "?*", "a..b", "[*]", "A.TEST"]),
)
TEXTS = st.text(alphabet="ab/.$%{}[]()'\"\\#;,|-_!*?+^~@:=<>` ", min_size=1, max_size=40)


@settings(max_examples=80, deadline=None, suppress_health_check=[Slow.function_scoped_fixture])
@given(
    paths=st.lists(PATHS, min_size=1, max_size=4), hosts=st.lists(HOSTS, min_size=1, max_size=4, unique_by=str.lower),
    values=st.lists(TEXTS, min_size=1, max_size=4),
)  # fmt: skip
def test_no_pattern_changes_more_than_its_own_directive(
    paths: list[str], hosts: list[str], values: list[str], haproxy: str
) -> None:
    rules = (
        a_rule("web", paths=tuple(paths), headers=(("x-a", tuple(values)),)),
        a_rule("web", hosts=tuple(hosts), queries=(("a", tuple(values)),)),
    )
    other = a_routing(stack="blog", check_token="b", listeners=(Listener(port=8080, default=forward_to("web")),))
    harmless_rules = (a_rule("web", paths=("/",)), a_rule("web", hosts=("h",)))
    try:
        text = render([a_routing(listeners=(Listener(port=8080, default=None, rules=rules),)), other], [], PLACE)
    except BalancerError:
        return
    lines = text.split("\n")
    harmless = render(
        [a_routing(listeners=(Listener(port=8080, default=None, rules=harmless_rules),)), other], [], PLACE
    ).split("\n")
    mine = (
        "    http-request set-var(txn.rule) str(1/shop.web) if", "    http-request set-var(txn.rule) str(2/shop.web) if",
        "    http-request set-var(txn.own) str(shop) if", "    acl r1.1.", "    acl r1.2.",
    )  # fmt: skip
    assert [line for line in lines if not line.startswith(mine)] == [
        line for line in harmless if not line.startswith(mine)
    ]
    assert verdict(haproxy, text) == ""
