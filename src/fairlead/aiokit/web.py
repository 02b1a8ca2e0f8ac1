"""What `post` and `fetch` have in common: how a URL is asked in a thread of its own, and the words for how it fails.

In a thread, because looking up a name and a TLS handshake block; it ends with the request, and never holds up the end
of the process. The law: certificates are verified, and no error holds more of the URL than its host: the rest of it may
be a secret.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar
from urllib.parse import SplitResult, quote, unquote, urlsplit

from fairlead import __version__
from fairlead.errors import FairleadError

Answer = TypeVar("Answer")

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


def without_host(text: str, url: str, name: str) -> str:
    """`text`, an error of a request to `url`, with `name` in the place of the host: for a URL of which not even that
    may be shown, because all of it is a secret."""
    try:
        host = urlsplit(url).hostname or ""
    except ValueError:
        host = ""
    for one in (host_of(url), host):
        text = text.replace(one, name) if one else text
    return text


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


def why_not(problem: Exception) -> str:
    """Why there was no answer, in words."""
    match problem:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted: {problem.verify_message}"
        case TimeoutError():
            return "it did not answer in time"
        case OSError():
            return problem.strerror or type(problem).__name__
    # Its text may hold the URL.
    return f"no answer that is HTTP ({type(problem).__name__})"


def hang_up(connection: http.client.HTTPConnection | None) -> None:
    """End what still blocks on it, from another thread."""
    with suppress(OSError, AttributeError):  # not connected yet, or no longer
        connection.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]


async def in_a_thread(
    work: Callable[[], tuple[Answer | None, str]],
    *,
    name: str,
    what: str,
    seconds: float,
    late: str,
    abandon: Callable[[], None],
) -> Answer:
    """The answer that `work` returns; FairleadError when it is None, with the why beside it, or after so many
    `seconds`. what: what could not be done; late: the why when its time is over. abandon: called in the end, so that a
    thread which still blocks ends."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[Answer] = loop.create_future()

    def settle(answer: Answer | None, why: str) -> None:
        if answered.done():
            return
        if answer is None:
            answered.set_exception(FairleadError(what, why))
        else:
            answered.set_result(answer)

    def run() -> None:
        answer, why = work()
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, answer, why)

    threading.Thread(target=run, name=name, daemon=True).start()
    try:
        async with asyncio.timeout(seconds):
            return await answered
    except TimeoutError:
        raise FairleadError(what, late) from None
    finally:
        abandon()
