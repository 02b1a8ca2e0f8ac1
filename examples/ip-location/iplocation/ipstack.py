"""The ipstack API: one address, one call. https://ipstack.com/documentation

In: a public address. Out: a place, None when ipstack does not know it, or Failed with a sentence. A call ends within
its time whatever the other side does, reads 64 KB at most, follows no redirect, and believes nothing that it reads. The
key is a parameter of the URL, so the URL appears in no sentence and in no log.

ipstack answers errors with `{"success": false, "error": {"code": 104, "type": "usage_limit_reached", "info": "..."}}`,
often with status 200.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

import httpx2 as httpx

from .places import NotAPlace, Place, place_of
from .providers import Failed

LARGEST = 64 * 1024
"""Bytes of an answer; a real one has about 1,000."""

FIELDS = {"country": "country_name", "region": "region_name"}
"""Our names, and theirs where they differ."""

REFUSED, LIMITED, HOUR = 60.0, 60.0, 3600.0
"""Seconds of rest after a refused key, after "too many requests", and the longest of all."""

# The client tells each URL, with the key in it, at levels that someone may switch on.
for _name in ("httpx2", "httpcore2"):
    logging.getLogger(_name).setLevel(logging.WARNING)


class Ipstack:
    name, metered = "ipstack", True

    def __init__(self, key: str, url: str, timeout: float) -> None:
        self._key, self._url, self._timeout = key, url, timeout
        self._client = httpx.AsyncClient(
            timeout=timeout,
            follow_redirects=False,
            trust_env=False,
            limits=httpx.Limits(max_connections=20, max_keepalive_connections=5),
            headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "fairlead-ip-location"},
        )

    async def find(self, ip: IPv4Address | IPv6Address) -> Place | None:
        status, after, body = await self._call(ip)
        try:
            told = json.loads(body)
        except (ValueError, RecursionError):
            told = None
        if isinstance(told, dict) and (told.get("success") is False or "error" in told):
            problem = _error(told.get("error"), after)
            if problem:
                raise problem
            return None
        if status == 429:
            raise _limited(after)
        if status != 200:
            raise Failed(f"ipstack answered with status {status}")
        if not isinstance(told, dict):
            raise Failed("ipstack answered something that is no JSON object")
        return _place(told, ip)

    async def close(self) -> None:
        await self._client.aclose()

    async def _call(self, ip: IPv4Address | IPv6Address) -> tuple[int, str, bytes]:
        """Status, Retry-After, body."""
        try:
            async with (
                asyncio.timeout(self._timeout),
                self._client.stream("GET", f"{self._url}/{ip}", params={"access_key": self._key}) as response,
            ):
                body = bytearray()
                async for chunk in response.aiter_raw(LARGEST):
                    body += chunk
                    if len(body) > LARGEST:
                        raise Failed(f"ipstack answered with more than {LARGEST:,} bytes")
                return response.status_code, response.headers.get("retry-after", ""), bytes(body)
        # `from None`: what the client raises carries the request, and so the key.
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout):
            raise Failed("ipstack cannot be reached", called=False) from None
        except (TimeoutError, httpx.TimeoutException):
            raise Failed(f"ipstack did not answer within {self._timeout:g} s", status=504) from None
        except (httpx.HTTPError, httpx.InvalidURL, httpx.StreamError):
            raise Failed("the connection to ipstack broke, or what came was no HTTP") from None


def _place(told: Mapping[str, Any], ip: IPv4Address | IPv6Address) -> Place | None:
    fields = {name: told.get(FIELDS.get(name, name)) for name in ("country_code", "country", "region", "city")}
    try:
        if ip_address(told.get("ip", "")) != ip:
            raise Failed("ipstack answered about another address")
        place = place_of({**fields, "latitude": told.get("latitude"), "longitude": told.get("longitude")})
    except (ValueError, NotAPlace) as problem:
        what = problem if isinstance(problem, NotAPlace) else "ip is no address"
        raise Failed(f"ipstack answered something else than it documents: {what}") from None
    if not place.country_code and place.latitude is None:
        return None
    return place if place.city else place_of({**place.to_json(), "precision": "country"})


def _error(error: Any, after: str) -> Failed | None:
    """What an error means; None: that there is nothing to know about the address."""
    code = error.get("code") if isinstance(error, dict) else None
    kind = error.get("type") if isinstance(error, dict) else None
    if code == 106:
        return None
    if code == 101:
        return Failed("ipstack refuses the API key: IPSTACK_KEY is wrong (error 101)", rest=REFUSED)
    if code == 102:
        return Failed("the account at ipstack is not active (error 102)", rest=REFUSED)
    if code == 104:
        return Failed("the month's calls at ipstack are used up (error 104)", status=503, rest=HOUR)
    if code == 105 and kind == "https_access_restricted":
        return Failed(
            "the plan at ipstack has no HTTPS: set IPSTACK_URL=http://api.ipstack.com (error 105)", rest=REFUSED
        )
    if code in (103, 105, 404):
        return Failed(f"ipstack refuses such calls: see IPSTACK_URL and the plan (error {code})", rest=REFUSED)
    if code == 429:
        return _limited(after)
    if isinstance(code, int) and not isinstance(code, bool) and 0 <= code < 10_000:
        return Failed(f"ipstack answered with error {code}")
    return Failed("ipstack answered with an error that it does not document")


def _limited(after: str) -> Failed:
    """Too many requests: a rest as long as it asks for, within reason."""
    seconds = float(after) if after.isascii() and after.isdigit() and len(after) < 9 else LIMITED
    return Failed("ipstack answered that it is asked too often", status=503, rest=min(max(seconds, 1.0), HOUR))
