"""A real HTTP server that plays the ipstack API from its documentation, and all that can go wrong with it.

    async with Ipstack() as ipstack:      # listens on ipstack.url, knows every address, wants KEY
        ipstack.says("8.8.8.8", place(...))
        ipstack.always(error(104))
        ipstack.calls                     # the addresses that were asked about, in order

https://ipstack.com/documentation: `GET /IP?access_key=KEY`; errors are JSON with `"success": false`, and status 200.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from ..closing import stop_listening

KEY = "planted-0123456789abcdef"
"""The key that it takes; a test looks for it in everything that is shown."""

ERRORS: Mapping[int, tuple[str, str]] = {
    101: ("invalid_access_key", "You have not supplied a valid API Access Key."),
    102: ("inactive_user", "The current user account is not active."),
    103: ("invalid_api_function", "The requested API endpoint does not exist."),
    104: ("usage_limit_reached", "Your monthly usage limit has been reached. Please upgrade your Subscription Plan."),
    105: ("https_access_restricted", "Access Restricted - Your current Subscription Plan does not support HTTPS."),
    106: ("invalid_ip_address", "The IP Address supplied is invalid."),
    301: ("invalid_fields", "One or more invalid fields were specified using the fields parameter."),
    302: ("too_many_ips", "Too many IPs have been specified for the Bulk Lookup Endpoint. (max. 50)"),
    303: ("batch_not_supported_on_plan", "Bulk requests are not supported on your plan."),
    404: ("404_not_found", "The requested resource does not exist."),
    429: ("rate_limit_reached", "You have made too many requests in a short time."),
}


@dataclass(frozen=True, kw_only=True)
class Reply:
    """What is sent. delay: seconds before it. cut: so many bytes of the body, then the end. pause: seconds between two
    bytes of the body. raw: sent instead of it all. after: runs so long after the head was sent."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    delay: float = 0.0
    cut: int | None = None
    pause: float = 0.0
    raw: bytes | None = None

    def after(self, seconds: float) -> Reply:
        return replace(self, delay=seconds)


def place(ip: str, **fields: Any) -> Reply:
    """As documented for a standard look-up; `fields` are put in its place."""
    return as_json(documented(ip) | fields)


def documented(ip: str) -> dict[str, Any]:
    return {
        "ip": ip,
        "type": "ipv6" if ":" in ip else "ipv4",
        "continent_code": "NA",
        "continent_name": "North America",
        "country_code": "US",
        "country_name": "United States",
        "region_code": "CA",
        "region_name": "California",
        "city": "Los Angeles",
        "zip": "90013",
        "latitude": 34.0453,
        "longitude": -118.2413,
        "msa": "31100",
        "dma": "803",
        "radius": None,
        "ip_routing_type": None,
        "connection_type": None,
        "location": {
            "geoname_id": 5368361,
            "capital": "Washington D.C.",
            "languages": [{"code": "en", "name": "English", "native": "English"}],
            "country_flag": "https://assets.ipstack.com/flags/us.svg",
            "country_flag_emoji": "\U0001f1fa\U0001f1f8",
            "country_flag_emoji_unicode": "U+1F1FA U+1F1F8",
            "calling_code": "1",
            "is_eu": False,
        },
    }


def unknown(ip: str) -> Reply:
    """An address that ipstack has nothing about: every field is null."""
    return as_json({name: value if name in ("ip", "type") else None for name, value in documented(ip).items()})


def error(code: int, status: int = 200, *, kind: str = "", **headers: str) -> Reply:
    found, info = ERRORS.get(code, ("unheard_of", "Something that is documented nowhere."))
    told = {"success": False, "error": {"code": code, "type": kind or found, "info": info}}
    return replace(
        as_json(told), status=status, headers={name.replace("_", "-"): value for name, value in headers.items()}
    )


def as_json(value: Any) -> Reply:
    return Reply(body=json.dumps(value).encode())


NOTHING = Reply(raw=b"")
"""The connection ends without a word."""
NEVER = Reply(delay=3600)


class Ipstack:
    """Listens on loopback while the `async with` block lasts. delay: seconds before each answer."""

    def __init__(self, *, delay: float = 0.0, limit: int | None = None) -> None:
        self.calls: list[str] = []
        self.limit = limit
        """Calls after which error 104 is all there is; the server's own count, to be compared with the app's."""
        self._delay = delay
        self._says: dict[str, Reply] = {}
        self._always: Reply | None = None
        self._handlers: set[asyncio.Task[None]] = set()
        self._port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    def says(self, ip: str, reply: Reply) -> None:
        """From now on, about this address."""
        self._says[ip] = reply

    def always(self, reply: Reply | None) -> None:
        """From now on, about every address; None: as it should be."""
        self._always = reply

    async def __aenter__(self) -> Ipstack:
        await self.listen()
        return self

    async def listen(self) -> None:
        """Also again, on the same port, after `stop`."""
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", self._port, backlog=512)
        self._port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Nobody listens any more."""
        await stop_listening(self._server)
        for handler in [*self._handlers]:
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)
        await self._server.wait_closed()

    async def __aexit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        await self.stop()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task
        self._handlers.add(task)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                target = head.split(b" ", 2)[1].decode()
                reply = self._reply(target)
                await asyncio.sleep(reply.delay or self._delay)
                if not await _send(writer, reply):
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            return
        except asyncio.CancelledError:
            return  # the test is over; asyncio 3.11 would log it as an error of the connection
        finally:
            self._handlers.discard(task)
            writer.close()

    def _reply(self, target: str) -> Reply:
        parts = urlsplit(target)
        ip, given = unquote(parts.path[1:]), parse_qs(parts.query).get("access_key", [""])[0]
        self.calls.append(ip)
        if self._always:
            return self._always
        if given != KEY:
            return error(101, kind="" if given else "missing_access_key")
        if self.limit is not None and len(self.calls) > self.limit:
            return error(104)
        return self._says.get(ip) or place(ip)


async def _send(writer: asyncio.StreamWriter, reply: Reply) -> bool:
    """Whether the connection may be used again."""
    if reply.raw is not None:
        writer.write(reply.raw)
        await writer.drain()
        return False
    headers = {
        "Content-Type": "application/json; Charset=UTF-8",
        "Content-Length": str(len(reply.body)),
        **reply.headers,
    }
    lines = [f"HTTP/1.1 {reply.status} Whatever", *(f"{name}: {value}" for name, value in headers.items()), "", ""]
    writer.write("\r\n".join(lines).encode())
    body = reply.body if reply.cut is None else reply.body[: reply.cut]
    if reply.pause:
        for byte in body:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(reply.pause)
    else:
        writer.write(body)
    await writer.drain()
    return reply.cut is None
