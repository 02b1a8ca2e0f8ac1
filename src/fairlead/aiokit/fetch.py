"""One HTTP GET whose answer is read: in a thread of its own, as a POST of `post` is, and for the same reasons.

In: a URL, what is accepted, a time limit, how many bytes at most. Out: the body of a 200. The law: certificates are
verified; a redirect is followed within the same server only, since a URL that was written into a file is asked for
nothing else; the time holds for all of it; no error holds more of the URL than its host, for the rest may be a secret.
"""

from __future__ import annotations

import asyncio
import http.client
import socket
import ssl
import threading
from contextlib import suppress
from urllib.parse import SplitResult, urljoin, urlsplit

from fairlead.aiokit.post import connection_to, headers_of, host_of, target_of
from fairlead.errors import FairleadError

MOST_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)


async def get(url: str, *, accept: str, timeout: float, most: int) -> bytes:
    """The body of what `url` (http or https) answers with. FairleadError: none, another status than 200, more than
    `most` bytes, or not within `timeout` seconds; the why in words."""
    loop = asyncio.get_running_loop()
    answered: asyncio.Future[bytes] = loop.create_future()
    what = f"{host_of(url)} cannot be asked"
    fetch = _Fetch(url, accept, timeout, most)

    def settle(body: bytes | None, why: str) -> None:
        if answered.done():
            return
        if body is None:
            answered.set_exception(FairleadError(what, why))
        else:
            answered.set_result(body)

    def work() -> None:
        body, why = fetch.fetch()
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, body, why)

    threading.Thread(target=work, name=f"get from {host_of(url)}", daemon=True).start()
    try:
        async with asyncio.timeout(timeout):
            return await answered
    except TimeoutError:
        raise FairleadError(what, f"it did not answer within {timeout:g} s") from None
    finally:
        fetch.abandon()


def _server(parts: SplitResult) -> tuple[str, str | None, int]:
    return parts.scheme, parts.hostname, parts.port or (443 if parts.scheme == "https" else 80)


class _Refused(Exception):
    """Why there is nothing to read, in words."""


class _Fetch:
    """The request, made in whatever thread calls `fetch`."""

    def __init__(self, url: str, accept: str, silence: float, most: int) -> None:
        self._url, self._accept, self._silence, self._most = url, accept, silence, most
        self._connection: http.client.HTTPConnection | None = None
        self._abandoned = False

    def fetch(self) -> tuple[bytes | None, str]:
        """The body; or None and why there is none."""
        try:
            return self._followed(), ""
        except _Refused as problem:
            return None, str(problem)
        except ssl.SSLCertVerificationError as problem:
            return None, f"its certificate is not trusted: {problem.verify_message}"
        except TimeoutError:
            return None, "it did not answer in time"
        except OSError as problem:
            return None, problem.strerror or type(problem).__name__
        except (ValueError, UnicodeError):
            return None, "its address is not a URL"
        except Exception as problem:
            # Its text may hold the URL.
            return None, f"no answer that is HTTP ({type(problem).__name__})"

    def abandon(self) -> None:
        """Nobody waits any more: end what still blocks."""
        self._abandoned = True
        with suppress(OSError, AttributeError):  # not connected yet, or no longer
            self._connection.sock.shutdown(socket.SHUT_RDWR)  # type: ignore[union-attr]

    def _followed(self) -> bytes:
        parts = urlsplit(self._url)
        for _ in range(MOST_REDIRECTS + 1):
            found = self._asked(parts)
            if isinstance(found, bytes):
                return found
            if _server(found) != _server(parts):
                raise _Refused("it sends to another host, which is not asked")
            parts = found
        raise _Refused(f"it sends on more than {MOST_REDIRECTS} times")

    def _asked(self, parts: SplitResult) -> bytes | SplitResult:
        """The body, or where to ask instead."""
        if self._abandoned:
            raise _Refused("nobody waits any more")
        headers = {"Accept": self._accept, "Accept-Encoding": "identity", **headers_of(parts)}
        connection = self._connection = connection_to(parts, self._silence)
        try:
            connection.request("GET", target_of(parts), headers=headers)
            answer = connection.getresponse()
            place = answer.getheader("Location")
            if answer.status in REDIRECTS and place:
                return urlsplit(urljoin(parts.geturl(), place))
            if answer.status != 200:
                raise _Refused(f"it answered {answer.status}")
            body = answer.read(self._most + 1)
            if len(body) > self._most:
                raise _Refused(f"it answered more than {self._most} bytes")
            if answer.length:
                raise _Refused(f"its answer broke off after {len(body)} bytes")
            return body
        finally:
            connection.close()
