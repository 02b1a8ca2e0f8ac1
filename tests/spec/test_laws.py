"""Laws of reading: whatever the text, it ends soon, with a stack or with a SpecError that can be printed."""

from __future__ import annotations

import ipaddress
import json
import re
import time

from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core.model import Stack
from fairlead.errors import SpecError
from fairlead.spec import parse_text
from tests.spec.builders import FILE, problems_of
from tests.spec.test_reference_file import REFERENCE

TEXT = REFERENCE.read_text()
BODY = "\n".join(
    line.split(" #")[0] for line in TEXT.splitlines() if line.strip() and not line.lstrip().startswith("#")
)
LINES = BODY.splitlines()
PIECES = [
    "{", "}", "[", "]", ":", ": ", "- ", "\n", "\n  ", "\t", "'", '"', "|", ">", "&a ", "*a", "!!str ", "#", "?", "~", "0", "-1",
    "1e400", "9" * 30, "30s", "90%", "none", "true", "${env.A}", "${env.MISSING}", "${instance.port}", "${", "}", "\x00",
    "\x1b[31m", "\u2028", "é", "\U0001f600", "\ufeff", "---\n", "%YAML 1.1\n", "forward", "services", "web", "port", "<<: ", "\\",
]  # fmt: skip
LINE = re.compile(r"(fairlead\.yaml:\d+:\d+|\.env:\d+): .+|and \d+ more")
PLACE = re.compile(r"(fairlead\.yaml|\.env):(\d+)(?::(\d+))?: ")
ENV = {"A": "8080", "B": "\x1b[31m${instance.id}", "C": ""}


def read(text: str, dotenv: str = "") -> Stack | SpecError:
    """What reading gives; anything else that it raises ends the test."""
    began = time.monotonic()
    try:
        result: Stack | SpecError = parse_text(text, FILE, ENV, dotenv)
    except SpecError as error:
        result = error
    assert time.monotonic() - began < 1, "reading ends quickly"
    if isinstance(result, SpecError):
        assert_printable_and_in_order(result.problems)
    return result


def assert_printable_and_in_order(problems: tuple[str, ...]) -> None:
    assert problems
    assert all(LINE.fullmatch(line) and line.isprintable() for line in problems), problems
    places = [match.groups() for line in problems if (match := PLACE.match(line))]
    order = [(name == ".env", int(number), int(column or 0)) for name, number, column in places]
    assert order == sorted(order)


@settings(max_examples=350, deadline=None)
@given(st.data())
def test_a_mutated_file_gives_a_stack_or_a_spec_error(data: st.DataObject) -> None:
    text = "\n".join(LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(text)))
        upto = at + data.draw(st.sampled_from([0, 0, 1, 2, 5, 40]))
        text = text[:at] + data.draw(st.sampled_from(PIECES)) + text[upto:]
    assert read(text)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_file_whose_values_are_swapped_gives_a_stack_or_a_spec_error(data: st.DataObject) -> None:
    """Each stage beyond the first is reached, since the text stays YAML."""
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 6))):
        number = data.draw(st.integers(0, len(lines) - 1))
        key, colon, _ = lines[number].partition(": ")
        if colon:
            values = [
                "3",
                "text",
                "[]",
                "{}",
                "[a, b]",
                "{a: b}",
                "true",
                "''",
                "-1",
                "30s",
                "${env.B}",
                '"\\e"',
                "[[]]",
                "none",
            ]
            lines[number] = key + colon + data.draw(st.sampled_from(values))
        else:
            del lines[number]
    assert read("\n".join(lines))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from([*PIECES, *LINES]), max_size=30).map("".join), st.text(max_size=20))
def test_a_file_of_pieces_gives_a_stack_or_a_spec_error(text: str, dotenv: str) -> None:
    assert read(text, dotenv)


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_any_text_gives_a_stack_or_a_spec_error(text: str) -> None:
    assert read(text)


def a_pattern(characters: str, most: int = 30) -> st.SearchStrategy[str]:
    """Text of these characters with at most one wildcard in it."""
    part = st.text(characters, min_size=1, max_size=most)
    return st.one_of(part, st.tuples(part, st.sampled_from("*?"), part).map("".join))


VISIBLE = "".join(map(chr, range(0x21, 0x7F)))
METHODS = st.text("ABCXYZ-_", min_size=1, max_size=40)
HEADERS = st.text("abzABZ09!#$%&+.^_`|~-", min_size=1, max_size=40).filter(lambda name: name.lower() != "host")
HEADER_VALUES = a_pattern("".join(set(VISIBLE) - set("*?")))
QUERY_KEYS = st.one_of(st.just(""), a_pattern("".join(set(VISIBLE) - set("*?&=#\\"))))
QUERY_VALUES = a_pattern("".join(set(VISIBLE) - set("*?&#\\")))
NETWORKS = st.one_of(st.ip_addresses().map(str), st.just("10.0.0.0/8"), st.just("fd00::/8"))


@settings(max_examples=300, deadline=None)
@given(METHODS, HEADERS, HEADER_VALUES, QUERY_KEYS, QUERY_VALUES, NETWORKS)
def test_what_a_rule_compares_is_what_was_written(
    method: str, header: str, value: str, key: str, asked: str, network: str
) -> None:
    """Quotes, percent signs, braces and the like: nothing is lost, nothing is read as something else."""
    written = {"method": method, "header": {header: value}, "query": {key: asked}, "source_ip": network}
    rule = f"{{when: {json.dumps(written)}, forward: web}}"
    text = (
        "name: shop\nservices: {web: {command: x}}\n"
        f"load_balancer: {{listeners: [{{port: 80, rules: [{rule}], default: {{forward: web}}}}]}}\n"
    )
    if "${" in rule or network == "255.255.255.255":
        return
    (listener,) = parse_text(text, FILE, {}).listeners
    when = listener.rules[0].when
    assert (when.methods, when.headers, when.queries) == ((method,), ((header, (value,)),), ((key, (asked,)),))
    assert ipaddress.ip_network(when.source_ips[0]) == seen_as(ipaddress.ip_network(network))


def seen_as(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> object:
    """Clients of IPv4 are seen as such, also where their addresses are written as a part of IPv6."""
    four = getattr(network.network_address, "ipv4_mapped", None)
    return ipaddress.ip_network(four) if four else network


HOST = st.sampled_from([None, "#{host}", "a.example.com", "b.example.com", "www.#{host}"])
PATH = st.sampled_from([None, "/#{path}", "/", "/a", "/a/#{path}"])
PORT = st.sampled_from([None, "#{port}", 80, 443])
PROTOCOL = st.sampled_from([None, "#{protocol}", "HTTP", "HTTPS"])


@settings(max_examples=300, deadline=None)
@given(PROTOCOL, HOST, PORT, PATH, st.sampled_from([None, "", "#{query}", "x=1"]), st.booleans())
def test_a_redirect_that_is_taken_leads_elsewhere(
    protocol: str | None, host: str | None, port: int | str | None, path: str | None, query: str | None, secure: bool
) -> None:
    """For a client that asks for another host and path than those named, the next request differs from the last; and it
    never goes from HTTPS to HTTP, nor by HTTPS to a port that speaks HTTP."""
    parts = {"protocol": protocol, "host": host, "port": port, "path": path, "query": query, "status": 301}
    redirect = json.dumps({name: value for name, value in parts.items() if value is not None})
    here = "port: 443, protocol: HTTPS, certificates: local" if secure else "port: 80"
    text = (
        "name: shop\nservices: {web: {command: x}}\nload_balancer: {listeners: "
        f"[{{{here}, default: {{redirect: {redirect}}}}}, {{port: 81, default: {{forward: web}}}}]}}\n"
    )
    result = read(text)
    asked = ("HTTPS" if secure else "HTTP", "c.example.com", 443 if secure else 80, "/asked")
    leads = (
        protocol if protocol in ("HTTP", "HTTPS") else asked[0],
        (host or "#{host}").replace("#{host}", asked[1]),
        port if isinstance(port, int) else asked[2],
        (path or "/#{path}").replace("#{path}", asked[3][1:]),
    )
    back = leads == asked
    unsafe = (asked[0], leads[0]) == ("HTTPS", "HTTP")
    astray = leads[0] != asked[0] and leads[1:3] == asked[1:3]
    if isinstance(result, Stack):
        assert not back
        assert not unsafe
        assert not astray
    elif isinstance(port, int) or leads[0] == asked[0]:
        assert back or unsafe or astray, result.problems


def test_the_largest_files_end_quickly() -> None:
    for text in (
        "a: " + "x" * 900_000,
        "a: [" + "1, " * 300_000,
        "name: shop\nservices:\n" + "".join(f"  s{n}: {{command: x, after: [s{n + 1}]}}\n" for n in range(2000)),
        "name: shop\nservices:\n  web:\n    command: '" + "a" * 900_000 + "'\n",
        "name: shop\n" + "".join(f"k{n}: 1\n" for n in range(9000)),
        "name: shop\nservices:\n  web:\n    app: 'a:b'\n    environment:\n"
        + "".join(f"      K{n}: ${{x}}\n" for n in range(9000)),
    ):
        began = time.monotonic()
        assert problems_of(text)
        assert time.monotonic() - began < 2
