"""One HTTP request that sends JSON somewhere and looks at nothing but the status of the answer.

In: a URL, the body, a time limit. Out: the status. It runs in a thread of its own (`web`). The law: certificates are
verified, redirects are not followed (the body is for that host alone), the answer's body is not read, and no error
holds more of the URL than its host: the rest of a webhook's URL is a secret.
"""

from __future__ import annotations

import http.client
from urllib.parse import urlsplit

from fairlead.aiokit.web import connection_to, hang_up, headers_of, host_of, in_a_thread, target_of, why_not
from fairlead.errors import FairleadError

SILENCE = 10.0
"""Seconds that the other side may be silent: while connecting, and until it has answered."""


async def post_json(url: str, body: bytes, *, silence: float = SILENCE) -> int:
    """POST `body` to `url` (http or https); the status of the answer. silence: seconds for each of the steps, and twice
    that for all of it. FairleadError: there was no answer, and why, in words."""
    what = f"{host_of(url)} cannot be told"
    try:
        post = _Post(url, body, silence)
    except (ValueError, UnicodeError) as problem:
        raise FairleadError(what, "its address is not a URL") from problem
    return await in_a_thread(
        post.send,
        name=f"post to {host_of(url)}",
        what=what,
        seconds=2 * silence,
        late=f"it was not done within {2 * silence:g} s",
        abandon=post.abandon,
    )


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
        except Exception as problem:
            return None, why_not(problem)
        finally:
            if connection is not None:
                connection.close()

    def abandon(self) -> None:
        """Nobody waits any more."""
        hang_up(self._connection)
