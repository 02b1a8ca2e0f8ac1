"""One HTTP GET whose answer is read, in a thread of its own (`web`).

In: a URL, what is accepted, a time limit, how many bytes at most. Out: the body of a 200. The law: certificates are
verified; a redirect is followed within the same server only, since a URL that was written into a file is asked for
nothing else; the time holds for all of it; no error holds more of the URL than its host, for the rest may be a secret.
"""

from __future__ import annotations

import http.client
from urllib.parse import SplitResult, urljoin, urlsplit

from fairlead.aiokit.web import connection_to, hang_up, headers_of, host_of, in_a_thread, target_of, why_not

MOST_REDIRECTS = 3
REDIRECTS = (301, 302, 303, 307, 308)


async def get(url: str, *, accept: str, timeout: float, most: int) -> bytes:
    """The body of what `url` (http or https) answers with. FairleadError: none, another status than 200, more than
    `most` bytes, or not within `timeout` seconds; the why in words."""
    fetch = _Fetch(url, accept, timeout, most)
    return await in_a_thread(
        fetch.fetch,
        name=f"get from {host_of(url)}",
        what=f"{host_of(url)} cannot be asked",
        seconds=timeout,
        late=f"it did not answer within {timeout:g} s",
        abandon=fetch.abandon,
    )


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
        except Exception as problem:
            # A certificate that is not trusted is an error of both kinds.
            if isinstance(problem, ValueError) and not isinstance(problem, OSError):
                return None, "its address is not a URL"
            return None, why_not(problem)

    def abandon(self) -> None:
        """Nobody waits any more."""
        self._abandoned = True
        hang_up(self._connection)

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
