"""The client of ipstack against a real server that plays it: what it documents, and all that a server can do wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any

import pytest

from .ipstack import KEY, NEVER, NOTHING, Reply, as_json, documented, error, place, unknown
from .ipstack import Ipstack as Server
from .site import PUBLIC, Settings, instances

from iplocation.ipstack import LARGEST, Ipstack  # isort: skip (site.py knows where it is)
from iplocation.places import Place  # isort: skip
from iplocation.providers import Failed  # isort: skip

TIMEOUT = 30.0
"""Of calls that must not take so long; those that must are given SHORT."""
SHORT = 0.3


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as server:
        yield server


async def asked(server: Server, ip: str = PUBLIC, *, key: str = KEY, timeout: float = TIMEOUT) -> Place | None:
    client = Ipstack(key, server.url, timeout)
    try:
        return await client.find(ip_address(ip))
    finally:
        await client.close()


async def failed(server: Server, *, key: str = KEY, timeout: float = TIMEOUT) -> Failed:
    """How it failed; the key is in nothing that it says."""
    with pytest.raises(Failed) as raised:
        await asked(server, key=key, timeout=timeout)
    assert raised.value.__cause__ is None
    assert KEY not in f"{raised.value!r} {raised.value.reason}"
    return raised.value


async def test_the_documented_answer_is_understood(server: Server) -> None:
    assert await asked(server) == Place(
        country_code="US", country="United States", region="California", city="Los Angeles", latitude=34.0453, longitude=-118.2413
    )  # fmt: skip
    assert server.calls == [PUBLIC]


async def test_an_ipv6_address_is_asked_for_as_everybody_writes_it(server: Server) -> None:
    found = await asked(server, "2001:4860:4860:0:0:0:0:8888")
    assert found
    assert server.calls == ["2001:4860:4860::8888"]


async def test_what_ipstack_does_not_know_is_unknown_and_no_failure(server: Server) -> None:
    server.says(PUBLIC, unknown(PUBLIC))
    assert await asked(server) is None
    server.says(PUBLIC, error(106))
    assert await asked(server) is None


async def test_a_country_without_a_city_is_known_to_the_country(server: Server) -> None:
    server.says(PUBLIC, place(PUBLIC, city=None, region_name=None))
    found = await asked(server)
    assert found
    assert (found.precision, found.title, found.city) == ("country", "United States", "")


@pytest.mark.parametrize(
    ("reply", "words", "status", "rests"),
    [
        (error(101), "refuses the API key", 502, True),
        (error(101, 401), "refuses the API key", 502, True),
        (error(102), "not active", 502, True),
        (error(103), "refuses such calls", 502, True),
        (error(104), "used up", 503, True),
        (error(104, 429), "used up", 503, True),
        (error(105), "set IPSTACK_URL=http://api.ipstack.com", 502, True),
        (error(105, kind="function_access_restricted"), "refuses such calls", 502, True),
        (error(301), "error 301", 502, False),
        (error(302), "error 302", 502, False),
        (error(303), "error 303", 502, False),
        (error(404), "refuses such calls", 502, True),
        (error(404, 404), "refuses such calls", 502, True),
        (error(429, 429), "asked too often", 503, True),
        (error(999), "error 999", 502, False),
    ],
    ids=lambda value: "" if isinstance(value, Reply) else str(value),
)
async def test_an_error_of_ipstack_is_told_in_words(
    server: Server, reply: Reply, words: str, status: int, rests: bool
) -> None:
    server.always(reply)
    found = await failed(server)
    assert words in found.reason
    assert (found.status, bool(found.rest), found.called) == (status, rests, True)


async def test_a_missing_or_wrong_key_is_refused_by_the_server_itself(server: Server) -> None:
    assert "refuses the API key" in (await failed(server, key="wrong")).reason


@pytest.mark.parametrize(
    ("after", "rest"), [("120", 120), ("0", 1), ("999999", 3600), ("soon", 60), ("", 60), ("-5", 60), ("١", 60)]
)
async def test_a_rate_limit_is_kept_for_as_long_as_the_server_says_within_reason(
    server: Server, after: str, rest: float
) -> None:
    reply = error(429, 429, Retry_After=after) if after.isascii() else error(429, 429)
    server.always(reply)
    assert (await failed(server)).rest == rest
    server.always(Reply(status=429, headers={"Retry-After": "7"}))
    assert (await failed(server)).rest == 7


def valid(**fields: Any) -> Reply:
    return as_json(documented(PUBLIC) | fields)


GARBAGE = {
    "no JSON": Reply(body=b"<html>Bad gateway</html>"),
    "empty": Reply(),
    "truncated": Reply(body=place(PUBLIC).body[:200]),
    "a list": as_json([1, 2]),
    "a number": as_json(7),
    "null": as_json(None),
    "nested deeply": Reply(body=b"[" * 60_000),
    "a huge number": Reply(body=b'{"ip": ' + b"9" * 10_000 + b"}"),
    "not UTF-8": Reply(body=b'{"ip": "\xff\xfe"}'),
    "an empty object": as_json({}),
    "another address": place("8.8.8.8"),
    "an ip that is none": valid(ip="<b>"),
    "an ip of another type": valid(ip=[PUBLIC]),
    "a latitude in words": valid(latitude="34.0"),
    "a latitude that is true": valid(latitude=True),
    "a latitude off the globe": valid(latitude=91),
    "a longitude off the globe": valid(longitude=-180.5),
    "no number": Reply(body=place(PUBLIC).body.replace(b"34.0453", b"NaN")),
    "infinity": Reply(body=place(PUBLIC).body.replace(b"34.0453", b"-Infinity")),
    "a latitude of 400 digits": Reply(body=place(PUBLIC).body.replace(b"34.0453", b"9" * 400)),
    "a city that is a list": valid(city=["Los Angeles"]),
    "a country that is a number": valid(country_name=1),
    "a country code too long": valid(country_code="USA"),
    "a country code of markup": valid(country_code="<>"),
    "an error of no form": as_json({"success": False}),
    "an error of another form": as_json({"success": False, "error": "no"}),
    "an error with a code in words": as_json({"success": False, "error": {"code": "104"}}),
    "an error with a code that is true": as_json({"success": False, "error": {"code": True}}),
    "an error with a code of 4,000 digits": Reply(body=b'{"success": false, "error": {"code": ' + b"9" * 4000 + b"}}"),
    "status 500": Reply(body=b"oops", status=500),
    "status 500 with an answer": Reply(body=place(PUBLIC).body, status=500),
    "status 204": Reply(status=204),
    "status 403": Reply(status=403, body=b"{}"),
    "a redirect": Reply(status=302, headers={"Location": "http://127.0.0.1:1/stolen"}),
    "compressed, unasked": Reply(body=b"\x1f\x8b" + b"x" * 100, headers={"Content-Encoding": "gzip"}),
    "cut off": Reply(body=place(PUBLIC).body, cut=100),
    "nothing at all": NOTHING,
    "no HTTP": Reply(raw=b"220 mail.example.com ESMTP\r\n"),
    "half a head": Reply(raw=b"HTTP/1.1 200 OK\r\nContent-Le"),
    "a huge head": Reply(raw=b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 200_000 + b"\r\n\r\n"),
    "chunks of no form": Reply(raw=b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_garbage_is_a_failure_of_this_one_address_and_never_a_place(server: Server, name: str) -> None:
    server.says(PUBLIC, GARBAGE[name])
    found = await failed(server)
    assert 0 < len(found.reason) < 200
    assert (found.rest, found.called) == (0, True)
    assert await asked(server, "8.8.8.8"), "the next one is well"


async def test_a_huge_body_is_not_read_to_its_end(server: Server) -> None:
    server.always(Reply(body=b"[" + b"1," * LARGEST * 40))
    assert f"more than {LARGEST:,} bytes" in (await failed(server)).reason


@pytest.mark.parametrize(
    "reply", [NEVER, Reply(body=place(PUBLIC).body, pause=0.05)], ids=["never answers", "a byte now and then"]
)
async def test_a_call_ends_in_its_time_whatever_the_server_does(server: Server, reply: Reply) -> None:
    server.always(reply)
    async with asyncio.timeout(TIMEOUT):
        found = await failed(server, timeout=SHORT)
    assert (found.reason, found.status) == ("ipstack did not answer within 0.3 s", 504)


async def test_a_server_that_is_not_there_costs_no_call(server: Server) -> None:
    await server.stop()
    found = await failed(server)
    assert (found.reason, found.called) == ("ipstack cannot be reached", False)
    await server.listen()


async def test_no_redirect_is_followed(server: Server) -> None:
    async with Server() as other:
        server.always(Reply(status=302, headers={"Location": f"{other.url}/{PUBLIC}?access_key={KEY}"}))
        assert "status 302" in (await failed(server)).reason
        assert other.calls == []


async def test_the_key_is_in_no_page_no_header_and_no_log(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    settings = Settings(key=KEY, url=server.url, failed=0.001, budget=1000)
    shown = [repr(settings)]
    async with instances(settings) as [one]:
        for reply in (None, error(101), error(104), NOTHING, *GARBAGE.values()):
            server.always(reply)
            one.lookups._rest_until = 0
            for path in (f"/?ip={PUBLIC}", f"/api/{PUBLIC}", "/status", "/"):
                answer = await one.get(path)
                shown.append(f"{answer.text} {answer.headers}")
            one.lookups._memory.clear()
    assert len(server.calls) > len(GARBAGE)
    assert KEY not in " ".join(shown)
    assert KEY not in caplog.text
