"""Which action a request gets: the facts of an Application Load Balancer (aws-semantics A2, A3) as a table, and laws."""

from __future__ import annotations

import fnmatch
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.model import Conditions, Listener, Respond, Rule, forward_to
from fairlead.core.rules import Request, action_for, holds, matches

HEADERS = (("X-Kind", "b"), ("x-kind", "Cc"), ("User-Agent", "Curl/8 (Mobile; x)"))

FACTS: dict[str, list[tuple[dict[str, Any], dict[str, Any], bool]]] = {
    "no condition": [({}, {}, True)],
    "paths: the whole, as written, with the case": [
        ({"paths": ("/a",)}, {"path": "/a"}, True),
        ({"paths": ("/a",)}, {"path": "/A"}, False),
        ({"paths": ("/a",)}, {"path": "/a/"}, False),
        ({"paths": ("/a",)}, {"path": "/a", "query": "x=/b"}, True),
        ({"paths": ("/a%20b",)}, {"path": "/a%20b"}, True),
        ({"paths": ("/a b",)}, {"path": "/a%20b"}, False),
        ({"paths": ("/a.c",)}, {"path": "/abc"}, False),
        ({"paths": ("/b", "/a")}, {"path": "/a"}, True),
    ],
    "wildcards: any characters, also none and slashes; exactly one": [
        ({"paths": ("/img/*/pics",)}, {"path": "/img/a/b/pics"}, True),
        ({"paths": ("/img/*/pics",)}, {"path": "/img/pics"}, False),
        ({"paths": ("/img*",)}, {"path": "/img"}, True),
        ({"paths": ("*.png",)}, {"path": "/a/b.png"}, True),
        ({"paths": ("/v?/",)}, {"path": "/v1/"}, True),
        ({"paths": ("/v?/",)}, {"path": "/v/"}, False),
        ({"paths": ("/v?/",)}, {"path": "/v12/"}, False),
        ({"paths": ("/a?b",)}, {"path": "/a/b"}, True),
    ],
    "hosts: without regard to case": [
        ({"hosts": ("Example.com",)}, {"host": "eXample.COM"}, True),
        ({"hosts": ("*.example.com",)}, {"host": "test.example.com"}, True),
        ({"hosts": ("*.example.com",)}, {"host": "a.b.example.com"}, True),
        ({"hosts": ("*.example.com",)}, {"host": "example.com"}, False),
        ({"hosts": ("example.com",)}, {"host": "example.com.evil.test"}, False),
        ({"hosts": ("example.com",)}, {"host": ""}, False),
    ],
    "methods: exactly": [
        ({"methods": ("GET", "HEAD")}, {"method": "HEAD"}, True),
        ({"methods": ("GET",)}, {"method": "get"}, False),
        ({"methods": ("GET",)}, {"method": "GETS"}, False),
        ({"methods": ("PURGE",)}, {"method": "PURGE"}, True),
        ({"methods": ("*",)}, {"method": "GET"}, False),
    ],
    "headers: every occurrence, whole values, without regard to case": [
        ({"headers": (("x-KIND", ("B",)),)}, {"headers": HEADERS}, True),
        ({"headers": (("x-kind", ("cc",)),)}, {"headers": HEADERS}, True),
        ({"headers": (("x-kind", ("c",)),)}, {"headers": HEADERS}, False),
        ({"headers": (("user-agent", ("*mobile*",)),)}, {"headers": HEADERS}, True),
        ({"headers": (("x-none", ("*",)),)}, {"headers": HEADERS}, False),
        ({"headers": (("x-a", ("*",)),)}, {"headers": (("X-A", ""),)}, True),
        ({"headers": (("x-a", ("a", "b")),)}, {"headers": (("x-a", "a, b"),)}, False),
    ],
    "two conditions of one kind must both hold": [
        ({"headers": (("x-kind", ("b",)), ("x-kind", ("cc",)))}, {"headers": HEADERS}, True),
        ({"headers": (("x-kind", ("b",)), ("x-kind", ("d",)))}, {"headers": HEADERS}, False),
        ({"queries": (("a", ("1",)), ("b", ("2",)))}, {"query": "b=2&a=1"}, True),
        ({"queries": (("a", ("1",)), ("b", ("2",)))}, {"query": "a=1"}, False),
    ],
    "queries: one parameter suffices, as sent, without regard to case": [
        ({"queries": (("Version", ("V1",)),)}, {"query": "a=b&version=v1&c"}, True),
        ({"queries": (("version", ("v1",)),)}, {"query": "version=v12"}, False),
        ({"queries": (("version", ("v1",)),)}, {"query": "xversion=v1"}, False),
        ({"queries": (("version", ("v1",)),)}, {"query": ""}, False),
        ({"queries": (("a", ("1", "2")),)}, {"query": "a=2"}, True),
        ({"queries": (("a", ("1",)),)}, {"query": "a=2&a=1"}, True),
        ({"queries": (("a", ("%31",)),)}, {"query": "a=1"}, False),
        ({"queries": (("a", ("b=c",)),)}, {"query": "a=b=c"}, True),
    ],
    "queries: no key is any key, no value is an empty one": [
        ({"queries": (("", ("1",)),)}, {"query": "z=1"}, True),
        ({"queries": (("", ("*",)),)}, {"query": "z"}, True),
        ({"queries": (("", ("*",)),)}, {"query": "&&"}, False),
        ({"queries": (("a", ("",)),)}, {"query": "a"}, True),
        ({"queries": (("a", ("?",)),)}, {"query": "a"}, False),
        ({"queries": (("a", ("*",)),)}, {"query": "a=&b"}, True),
    ],
    "queries: wildcards, which a backslash makes literal": [
        ({"queries": (("a*", ("?1",)),)}, {"query": "abc=x1"}, True),
        ({"queries": (("a*", ("?1",)),)}, {"query": "abc=1"}, False),
        ({"queries": (("a\\*", ("\\?",)),)}, {"query": "a*=?"}, True),
        ({"queries": (("a\\*", ("\\?",)),)}, {"query": "ab=x"}, False),
        ({"queries": (("a", ("\\",)),)}, {"query": "a=\\"}, True),
    ],
    "source_ips: the network that the connection came from": [
        ({"source_ips": ("10.0.0.0/8",)}, {"source": "10.255.0.1"}, True),
        ({"source_ips": ("10.0.0.0/8",)}, {"source": "11.0.0.1"}, False),
        ({"source_ips": ("10.1.2.3/8", "127.0.0.1")}, {"source": "127.0.0.1"}, True),
        ({"source_ips": ("fd00::/8",)}, {"source": "fd12::1"}, True),
        ({"source_ips": ("fd00::/8",)}, {"source": "10.0.0.1"}, False),
        ({"source_ips": ("10.0.0.0/8",)}, {"source": "127.0.0.1", "headers": (("X-Forwarded-For", "10.0.0.1"),)}, False),
    ],
    "conditions of different kinds must all hold": [
        ({"paths": ("/a",), "hosts": ("h",), "methods": ("GET",)}, {"path": "/a", "host": "h"}, True),
        ({"paths": ("/a",), "hosts": ("h",), "methods": ("GET",)}, {"path": "/a", "host": "h", "method": "PUT"}, False),
        ({"paths": ("/a",), "hosts": ("h",)}, {"path": "/a", "host": "i"}, False),
        ({"paths": ("/a",), "source_ips": ("10.0.0.0/8",)}, {"path": "/a"}, False),
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("when", "request_", "expected"),
    [pytest.param(*case, id=f"{fact} {at}") for fact, cases in FACTS.items() for at, case in enumerate(cases, 1)],
)
def test_a_condition_holds_as_on_an_alb(when: dict[str, Any], request_: dict[str, Any], expected: bool) -> None:
    assert holds(Conditions(**when), Request(**request_)) is expected


def test_the_first_rule_that_matches_is_used_and_the_default_when_none_does() -> None:
    rules = tuple(
        Rule(when=Conditions(paths=(path,)), then=Respond(status=status))
        for path, status in (("/a/b", 201), ("/a/*", 202), ("/a/b", 203), ("/*", 204))
    )
    listener = Listener(port=80, default=forward_to("web"), rules=rules)
    asked = {path: action_for(listener, Request(path=path)) for path in ("/a/b", "/a/c", "/c")}
    assert asked == {"/a/b": rules[0].then, "/a/c": rules[1].then, "/c": rules[3].then}
    short = replace(listener, rules=rules[:1])
    assert action_for(short, Request(path="/c")) == forward_to("web")
    assert action_for(replace(short, default=None), Request(path="/c")) is None


TEXT = st.text(alphabet="abAB.?*[]\\/", max_size=8)


@given(pattern=st.text(alphabet="abA.*?/", max_size=8), text=st.text(alphabet="abA./", max_size=8))
def test_a_pattern_matches_what_a_glob_does(pattern: str, text: str) -> None:
    assert matches(pattern, text, case=True) is fnmatch.fnmatchcase(text, pattern)


@pytest.mark.timeout(10)
def test_many_wildcards_do_not_take_for_ever() -> None:
    assert not matches("/" + "*a" * 20 + "*b", "/" + "a" * 5000)
    assert matches("/" + "*a" * 20 + "*b", "/" + "a" * 5000 + "b")


@given(text=TEXT)
def test_a_text_whose_wildcards_are_escaped_matches_itself_alone(text: str) -> None:
    pattern = "".join(f"\\{one}" if one in "*?" else one for one in text if one != "\\")
    text = text.replace("\\", "")
    assert matches(pattern, text, case=True, escapes=True)
    assert not matches(pattern, text + "a", case=True, escapes=True)


@given(pattern=TEXT, text=TEXT)
def test_without_regard_to_case_both_cases_match_alike(pattern: str, text: str) -> None:
    alike = {
        matches(one, other) for one in (pattern.lower(), pattern.upper()) for other in (text.lower(), text.upper())
    }
    assert len(alike) == 1


@given(
    paths=st.lists(TEXT, max_size=3), hosts=st.lists(TEXT, max_size=3), path=TEXT, host=TEXT, more=TEXT,
)  # fmt: skip
def test_another_value_never_excludes_and_another_condition_never_includes(
    paths: list[str], hosts: list[str], path: str, host: str, more: str
) -> None:
    request = Request(path=path, host=host)
    when = Conditions(paths=tuple(paths))
    if paths and holds(when, request):
        assert holds(Conditions(paths=(*paths, more)), request)
    if hosts and not holds(when, request):
        assert not holds(replace(when, hosts=tuple(hosts)), request)


@given(at=st.integers(0, 4), paths=st.lists(TEXT, min_size=5, max_size=5), path=TEXT)
def test_what_stands_behind_the_rule_that_matches_does_not_matter(at: int, paths: list[str], path: str) -> None:
    rules = tuple(Rule(when=Conditions(paths=(one,)), then=Respond(status=200 + n)) for n, one in enumerate(paths))
    listener = Listener(port=80, default=None, rules=rules)
    action = action_for(listener, Request(path=path))
    if action is not None:
        first = next(n for n, rule in enumerate(rules) if rule.then == action)
        assert action_for(replace(listener, rules=rules[: first + 1]), Request(path=path)) == action
        assert action_for(replace(listener, rules=rules[:first]), Request(path=path)) is None
