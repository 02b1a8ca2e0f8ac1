"""The grammar of `${...}`, what the command line sends of its environment, and what a launch replaces."""

from __future__ import annotations

import time
from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.interpolation import (
    ENVIRONMENT,
    INSTANCE,
    REFERENCE,
    SECRET,
    VARIABLE,
    env_names,
    interpolate_launch,
    interpolate_url,
    references,
)
from fairlead.core.secrets import SHELLS_OWN
from fairlead.errors import NotFound
from tests.spec.builders import a_service, stack_of

VALUES = {"secrets.KEY": "s3cret", "databases.store.url": "postgresql://u:p@127.0.0.1:18000/shop"}


def launched(text: str, **values: str) -> str:
    return interpolate_launch(text, port=20417, socket=None, id="web-1", zone="a", values=values or VALUES)


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("port: ${env.PORT:-8080}", ("PORT",)),
        ("${env.B} ${env.A} ${env.B}", ("B", "A")),
        ("# ${env.IN_A_COMMENT}", ("IN_A_COMMENT",)),
        ("$env.A ${environment.B} ${caches.C.url} ${env.1} ${ env.D} ${secret.E}", ()),
        ("${env.NEVER_CLOSED", ("NEVER_CLOSED",)),
        ("A: 'Bearer ${secrets.TOKEN}'", ("TOKEN",)),
        ("url: postgres://${secrets.USER}:${secrets.PASSWORD}@db", ("USER", "PASSWORD")),
        ("secrets: [A, B]", ("A", "B")),
        ("""secrets: [ "A",'B' , _C1 ]""", ("A", "B", "_C1")),
        ('"secrets": ["A", "B"]', ("A", "B")),
        ("web: {app: x, secrets: [A, B], instances: 2}", ("A", "B")),
        ("secrets: [\n  A,  # the first, [1]\n  B\n]\nname: shop", ("A", "B")),
        ("secrets:\n  [A,\n   B]\n", ("A", "B")),
        ("secrets: [A, B\nname: never closed", ("A", "B")),
        ("secrets: []\nbuild: [C]", ()),
        ("secrets:\n  - A\n  - B\nbuild:\n  - C\n", ("A", "B")),
        ("secrets:   # two\n\n    - A   # one\n    # nothing\n\n    - 'B'\n    - \"C\"\nport: 1", ("A", "B", "C")),
        ("secrets:\r\n- A\r\n- B\r\nbuild: x\r\n", ("A", "B")),
        ("secrets:\n  -\n    A\n  -   B", ("A", "B")),
        ("# secrets: [A]\n#secrets:\n# - B\n", ()),
        ("secrets: A", ()),
        ("secrets:\n  A: b\n", ()),
        ("secrets: [my-key, 1A, '${env.B}', \"A\"]", ("B", "A")),
        ("a: {secrets: [A]}\nb: {secrets: [B, A]}\nc:\n  secrets:\n  - C\n", ("A", "B", "C")),
        ("environment: {X: '${secrets.A} ${env.B}'}\nsecrets: [B, C]", ("A", "B", "C")),
    ],
)
def test_the_names_of_the_environment_that_a_text_mentions(text: str, names: tuple[str, ...]) -> None:
    assert env_names(text) == names


NAMES = st.lists(
    st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True).filter(
        lambda name: name not in {"PORT", "SOCKET", "y", "n", *SHELLS_OWN} and not name.startswith("FAIRLEAD_")
    ),
    unique=True,
    max_size=4,
)


@given(NAMES, st.sampled_from("'\"") | st.just(""), st.booleans(), st.sampled_from(["", "  ", "  # why"]))
def test_the_scan_finds_every_secret_that_the_reader_finds(
    names: list[str], quote: str, block: bool, behind: str
) -> None:
    quoted = [
        f"{quote or chr(34)}{name}{quote or chr(34)}" if quote or name.lower() in WORDS else name for name in names
    ]
    lines = f"secrets:{behind}\n" + "".join(f"- {name}{behind}\n" for name in quoted) if block else ""
    text = a_service(lines if block and names else f"secrets: [{', '.join(quoted)}]{behind}")
    assert set(stack_of(text).secret_names) == set(names)
    assert set(env_names(text)) == set(names)


WORDS = ("null", "true", "false")


@given(st.text(alphabet="secrt: -[]{}#\n\"',AB_$.env", max_size=80))
def test_the_scan_takes_any_text(text: str) -> None:
    assert all(VARIABLE.fullmatch(f"${{env.{name}}}") for name in env_names(text))


@pytest.mark.parametrize(
    "piece", ["secrets:[", "secrets: ", "secrets:\n- ", "secrets:\n-", "- \n", "#", " #x\n", "${secrets.", "'secrets'"]
)
def test_the_scan_of_a_long_text_takes_little_work(piece: str) -> None:
    text = f"secrets:\n{piece * (1_000_000 // len(piece))}"
    began = time.thread_time()
    env_names(text)
    assert time.thread_time() - began < 10


def test_what_a_text_refers_to() -> None:
    text = "${secrets.A}${databases.store.url} ${instance.port} ${env.X} ${caches.c.HOST} ${buckets.b.name"
    assert references(text) == (("secrets", "A"), ("databases", "store", "url"))
    assert SECRET.findall(text) == ["${secrets.A}"]


def test_a_launch_replaces_all_that_an_instance_has() -> None:
    text = "${instance.id} in ${instance.zone} at ${instance.port}${instance.socket}, ${env.X} stays"
    assert launched(text) == "web-1 in a at 20417, ${env.X} stays"
    for text, said in (("${instance.socket}", "/run/s"), ("<${instance.port}>", "<>")):
        assert interpolate_launch(text, port=None, socket="/run/s", id="w-1", zone="b", values={}) == said


def test_a_launch_puts_in_secrets_and_addresses() -> None:
    text = "${secrets.KEY}:${databases.store.url}:${instance.id}:${secrets.KEY}"
    assert launched(text) == "s3cret:postgresql://u:p@127.0.0.1:18000/shop:web-1:s3cret"


@pytest.mark.parametrize(
    ("text", "what", "next_step"),
    [
        ("x ${secrets.OTHER}", "the secret OTHER is not set", "fairlead secret set OTHER"),
        ("${databases.store.port}", "${databases.store.port} has no value", "fairlead up"),
    ],
)
def test_a_reference_without_a_value_ends_the_launch_with_what_to_do(text: str, what: str, next_step: str) -> None:
    with pytest.raises(NotFound) as raised:
        launched(text)
    assert (raised.value.what, raised.value.next_step) == (what, next_step)
    assert "s3cret" not in str(raised.value)


def test_what_was_put_in_is_not_looked_at_again() -> None:
    said = interpolate_launch("${instance.id}", port=1, socket=None, id="${instance.zone}", zone="a", values={})
    assert said == "${instance.zone}"
    assert launched("${secrets.A}", **{"secrets.A": "${secrets.B} ${instance.port} ${", "secrets.B": "b"}) == (
        "${secrets.B} ${instance.port} ${"
    )
    halves = {"secrets.A": "${secrets", "secrets.B": "b"}
    assert launched("${secrets.A}.B}$${secrets.A}", **halves) == "${secrets.B}$${secrets"


@pytest.mark.parametrize(
    ("url", "value", "filled"),
    [
        ("postgres://web:${secrets.A}@db:5432/shop", "plain-1", "postgres://web:plain-1@db:5432/shop"),
        ("postgres://web:${secrets.A}@db:5432/shop", "12/s@x?#:é %", "postgres://web:12%2Fs%40x%3F%23:%C3%A9%20%25@db:5432/shop"),
        ("postgres://web:${secrets.A}@db/shop", "12%2Fs%40x", "postgres://web:12%2Fs%40x@db/shop"),
        ("postgres://web:${secrets.A}@db/shop", "50%off", "postgres://web:50%25off@db/shop"),
        ("mysql+pymysql://${secrets.A}@db/shop", "web:p/w", "mysql+pymysql://web:p%2Fw@db/shop"),
        ("redis://:${secrets.A}@10.0.0.1/0", "${secrets.B}", "redis://:$%7Bsecrets.B%7D@10.0.0.1/0"),
        ("https://example.com/${secrets.A}?k=${secrets.A}", "T0/B0?x=1", "https://example.com/T0/B0?x=1?k=T0/B0?x=1"),
        ("https://example.com/a@b/${secrets.A}", "x/y", "https://example.com/a@b/x/y"),
        ("${secrets.A}", "postgres://web:p%2F@db/shop", "postgres://web:p%2F@db/shop"),
    ],
)  # fmt: skip
def test_in_the_user_and_password_of_a_url_a_value_is_encoded_once(url: str, value: str, filled: str) -> None:
    assert interpolate_url(url, {"secrets.A": value}) == filled


@given(st.text(min_size=1, max_size=30).filter(lambda text: "%" not in text))
def test_a_password_put_into_a_url_is_read_back_as_it_was(password: str) -> None:
    url = interpolate_url("postgres://web:${secrets.A}@db.internal:5432/shop", {"secrets.A": password})
    parts = urlsplit(url)
    assert (parts.username, parts.hostname, parts.port, parts.path) == ("web", "db.internal", 5432, "/shop")
    assert unquote(parts.password or "") == password


def test_a_url_whose_secret_has_no_value_says_so() -> None:
    with pytest.raises(NotFound, match="the secret A is not set"):
        interpolate_url("http://u:${secrets.A}@x/", {})


@given(st.text(alphabet="${}.:-envistacoporkdbuh\n ", max_size=40))
def test_the_grammar_reads_any_text_and_changes_only_what_it_knows(text: str) -> None:
    for match in VARIABLE.finditer(text):
        inside, closed = match.groups()
        assert match[0] == "${" + inside + closed
        if ENVIRONMENT.fullmatch(inside):
            assert inside.startswith("env.")
    if not references(text) and not any(INSTANCE.fullmatch(match[0]) for match in VARIABLE.finditer(text)):
        assert launched(text) == text


PIECES = st.sampled_from(
    ["${secrets.A}", "${secrets.B}", "${databases.d.url}", "${instance.id}", "${", "}", "$", "secrets.A", "{", "x", "${env.A}"]
)  # fmt: skip


@given(st.lists(PIECES, max_size=8), st.lists(PIECES, max_size=4))
def test_a_launch_is_one_pass_whatever_the_values_hold(pieces: list[str], value: list[str]) -> None:
    """With values that name nothing it puts a mark where with any others it puts these."""
    text, inner = "".join(pieces), "".join(value)
    names = ("secrets.A", "secrets.B", "databases.d.url", "instance.id")
    marks = {name: f"<{number}>" for number, name in enumerate(names)}

    def filled(by: dict[str, str]) -> str:
        own = {name: said for name, said in by.items() if REFERENCE.fullmatch(name)}
        return interpolate_launch(text, port=None, socket=None, id=by["instance.id"], zone="", values=own)

    expected = filled(marks)
    for mark in marks.values():
        expected = expected.replace(mark, inner)
    assert filled(dict.fromkeys(names, inner)) == expected
