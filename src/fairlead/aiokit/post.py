"""One HTTP request that sends JSON somewhere and looks at nothing but the status of the answer.

In: a URL, the body, a time limit. Out: the status. It runs in a thread of its own, because looking up a name and a TLS
handshake block; the thread ends with the request, and never holds up the end of the process. The law: certificates are
verified, redirects are not followed (the body is for that host alone), the answer's body is not read, and no error
holds more of the URL than its host: the rest of a webhook's URL is a secret.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import threading
from base64 import b64encode
from contextlib import suppress
from urllib.parse import SplitResult, quote, unquote, urlsplit

from fairlead import __version__
from fairlead.errors import FairleadError

SILENCE = 10.0
"""Seconds that the other side may be silent: while connecting, and until it has answered."""

SAFE = "/%:@!$&'()*+,;=~-._?"
"""Characters of a URL's path and query that stay as they are."""


def host_of(url: str) -> str:
    """The part of `url` that may be shown: `hooks.example.com`, `localhost:9000`."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "a webhook"
    return f"{parts.hostname or 'a webhook'}{port}"


def headers_of(parts: SplitResult) -> dict[str, str]:
    """Those that every request has, and who asks, where the URL says so. ValueError: it is for no HTTP server."""
    if not parts.hostname or parts.port == 0 or parts.scheme not in ("http", "https"):
        raise ValueError("no host")
    headers = {"User-Agent": f"fairlead/{__version__}", "Connection": "close"}
    if parts.username is not None:
        pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {b64encode(pair.encode()).decode()}"
    return headers


def target_of(parts: SplitResult) -> str:
    """What is asked for: the path and the query."""
    query = f"?{parts.query}" if parts.query else ""
    return quote(f"{parts.path or '/'}{query}", safe=SAFE)


def connection_to(parts: SplitResult, silence: float) -> http.client.HTTPConnection:
    """Not open yet. Made in a thread: reading the machine's certificates takes some 30 ms."""
    host = parts.hostname or ""
    if parts.scheme != "https":
        return http.client.HTTPConnection(host, parts.port, timeout=silence)
    context = ssl.create_default_context()
    return http.client.HTTPSConnection(host, parts.port, timeout=silence, context=context)


async def post_json(url: str, body: bytes, *, silence: float = SILENCE) -> int:
    """POST `body` to `url` (http or https); the status of the answer. silence: seconds for each of the steps, and twice
    that for all of it. FairleadError: there was no answer, and why, in words."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[int] = loop.create_future()
    what = f"{host_of(url)} cannot be told"
    try:
        post = _Post(url, body, silence)
    except (ValueError, UnicodeError) as problem:
        raise FairleadError(what, "its address is not a URL") from problem

    def settle(status: int | None, why: str) -> None:
        if answered.done():
            return
        if status is None:
            answered.set_exception(FairleadError(what, why))
        else:
            answered.set_result(status)

    def work() -> None:
        status, why = post.send()
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, status, why)

    threading.Thread(target=work, name=f"post to {host_of(url)}", daemon=True).start()
    try:
        async with asyncio.timeout(2 * silence):
            return await answered
    except TimeoutError:
        raise FairleadError(what, f"it was not done within {2 * silence:g} s") from None
    finally:
        post.abandon()


class _Post:
    """The request, made in whatever thread calls `send`."""

    def __init__(self, url: str, body: bytes, silence: float) -> None:
        parts = urlsplit(url)
        self._body, self._parts, self._silence = body, parts, silence
        self._headers = {"Content-Type": "application/json", **headers_of(parts)}
        self._target = target_of(parts)
        self._connection: http.client.HTTPConnection | None = None

    def send(self) -> tuple[int | None, str]:
        """The status of the answer; or None and why there was none."""
        connection = None
        try:
            connection = self._connection = connection_to(self._parts, self._silence)
            connection.request("POST", self._target, self._body, self._headers)
            return connection.getresponse().status, ""
        except ssl.SSLCertVerificationError as problem:
            return None, f"its certificate is not trusted: {problem.verify_message}"
        except TimeoutError:
            return None, "it did not answer in time"
        except OSError as problem:
            return None, problem.strerror or type(problem).__name__
        except Exception as problem:
            # Its text may hold the URL.
            return None, f"no answer that is HTTP ({type(problem).__name__})"
        finally:
            if connection is not None:
                connection.close()

    def abandon(self) -> None:
        """Nobody waits any more: end what still blocks."""
        with suppress(OSError, AttributeError):  # not connected yet, or no longer
            self._connection.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]
