"""Pure parts of the recipes for caches and buckets: the wire, the configuration, the signature, the changing of places."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

import pytest
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.resources.model import Cache
from fairlead.errors import EngineError, ResourceError
from fairlead.resources.exchange import exchange
from fairlead.resources.redis_config import configuration, quoted
from fairlead.resources.resp import LINE, Refusal, Reply, Status, encode, reply
from fairlead.resources.s3_sign import signed
from fairlead.resources.trouble import as_resource_error


def parsed(wire: bytes) -> tuple[Reply, bytes]:
    """A reply, and what is left of the bytes."""
    steps = reply()
    try:
        wanted = next(steps)
        while True:
            at = wire.find(b"\n") + 1 if wanted == LINE else wanted
            part, wire = wire[:at], wire[at:]
            wanted = steps.send(part)
    except StopIteration as done:
        return done.value, wire


@pytest.mark.parametrize(
    ("wire", "told"),
    [
        (b"+OK\r\n", Status("OK")),
        (b"-ERR no\r\n", Refusal("ERR no")),
        (b":-7\r\n", -7),
        (b"$3\r\na\r\n\r\n", b"a\r\n"),
        (b"$0\r\n\r\n", b""),
        (b"$-1\r\n", None),
        (b"*-1\r\n", None),
        (b"*0\r\n", []),
        (b"*2\r\n*1\r\n:1\r\n$1\r\nx\r\n", [[1], b"x"]),
    ],
)
def test_replies_are_read(wire: bytes, told: Reply) -> None:
    assert parsed(wire + b"rest") == (told, b"rest")


@pytest.mark.parametrize(
    "wire", [b"", b"+OK", b"$3\r\nab", b"HTTP/1.1 400\r\n", b"$x\r\n", b"*2\r\n:1\r\n", b"\r\n", b"%1\r\n"]
)
def test_what_is_no_reply_is_refused(wire: bytes) -> None:
    with pytest.raises(ConnectionError):
        parsed(wire)


@given(st.lists(st.binary(max_size=50), min_size=1, max_size=5))
def test_a_command_is_written_as_it_would_be_read(words: list[bytes]) -> None:
    assert parsed(encode(*words)) == (words, b"")


def test_words_of_a_command_may_be_numbers_and_texts() -> None:
    assert encode("SET", "ü", 7) == b"*3\r\n$3\r\nSET\r\n$2\r\n\xc3\xbc\r\n$1\r\n7\r\n"


def test_a_refusal_tells_its_kind() -> None:
    assert Refusal("LOADING data").kind == "LOADING"


@given(st.binary(min_size=1, max_size=40).filter(lambda path: b"\0" not in path))
def test_a_path_is_one_word_of_the_configuration(path: bytes) -> None:
    word = quoted(os.fsdecode(path))
    assert word.isascii()
    assert word.isprintable()
    # As Redis undoes it: "\\xHH" within double quotes.
    inside, found, at = word[1:-1], b"", 0
    while at < len(inside):
        escaped = inside[at] == "\\"
        found += bytes.fromhex(inside[at + 2 : at + 4]) if escaped else inside[at].encode()
        at += 4 if escaped else 1
    assert found == path


def test_the_configuration_says_all_that_matters_and_no_password() -> None:
    text = configuration(
        Cache(id="c", memory=1000, eviction="volatile-ttl", persist=True), data="/d", socket="/s", port=18000,
        password="for services", admin="for the daemon",
    )  # fmt: skip
    lines = text.splitlines()
    for line in (
        "bind 127.0.0.1", "port 18000", 'unixsocket "/s"', "unixsocketperm 700", 'dir "/d"', "maxmemory 1000",
        "maxmemory-policy volatile-ttl", "appendonly yes", 'save ""', "daemonize no", "protected-mode yes",
    ):  # fmt: skip
        assert line in lines
    assert "for services" not in text
    assert "for the daemon" not in text
    forgets = configuration(Cache(id="c"), data="/d", socket="/s", port=1, password="p", admin="a").splitlines()
    assert "appendonly no" in forgets
    assert "maxmemory 0" in forgets


def test_a_request_is_signed_as_amazon_signs_it() -> None:
    now = datetime.now(UTC)
    ours = signed(
        "HEAD", "/photos/Grüße %20/a+b~c", host="127.0.0.1", user="fairlead-photos", secret="s3cret/+", region="eu-central-1",
        now=now,
    )  # fmt: skip
    request = AWSRequest("HEAD", "http://127.0.0.1/photos/Gr%C3%BC%C3%9Fe%20%2520/a%2Bb~c")
    request.context["timestamp"] = ours["x-amz-date"]
    request.headers["X-Amz-Date"] = ours["x-amz-date"]
    request.headers["X-Amz-Content-SHA256"] = ours["x-amz-content-sha256"]
    request.headers["Host"] = "127.0.0.1"
    theirs = S3SigV4Auth(Credentials("fairlead-photos", "s3cret/+"), "s3", "eu-central-1")
    text = theirs.string_to_sign(request, theirs.canonical_request(request))
    assert ours["authorization"].endswith(f"Signature={theirs.signature(text, request)}")
    assert f"{now:%Y%m%d}/eu-central-1/s3/aws4_request" in ours["authorization"]


def test_two_folders_change_places_or_nothing_happens(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        (tmp_path / name / f"in {name}").touch()
    exchange(str(tmp_path / "a"), str(tmp_path / "b"))
    assert (os.listdir(tmp_path / "a"), os.listdir(tmp_path / "b")) == (["in b"], ["in a"])
    with pytest.raises(FileNotFoundError):
        exchange(str(tmp_path / "a"), str(tmp_path / "c"))
    assert os.listdir(tmp_path / "a") == ["in b"]


@pytest.mark.parametrize(
    ("problem", "what", "told"),
    [
        (OSError(28, "No space left on device"), "the backup of x failed", "the backup of x failed: No space left on device"),
        (OSError(13, "Permission denied", "/a"), "the backup of x failed", "the backup of x failed: /a: Permission denied"),
        (OSError(13, "Permission denied", "/a"), "", "/a cannot be used: Permission denied"),
        (ConnectionError("it left"), "the backup of x failed", "the backup of x failed: it left"),
        (EngineError("it does not end", "frozen"), "the backup of x failed", "it does not end: frozen"),
    ],
)  # fmt: skip
def test_trouble_from_below_is_told_as_trouble_of_resources(problem: Exception, what: str, told: str) -> None:
    with pytest.raises(ResourceError) as raised, as_resource_error(what):
        raise problem
    assert raised.value.sentence == told
