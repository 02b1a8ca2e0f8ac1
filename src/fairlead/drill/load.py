"""An open-loop load generator: requests leave when they are due, whether or not earlier ones were answered.

In: a URL, a rate, and what to send. Out: a `Report` that counts every request that was not answered with 200, by kind
and with its moment. The law: latency is counted from the moment a request was due, so that a server that stalls is not
spared by a generator that waits for it; what cannot leave because `max_open` connections are busy waits, and that is
counted too; nothing is ever sent twice. Stories, drills and benchmarks call it, in the loop that injects the faults.
"""

from __future__ import annotations

import asyncio
import ssl
from array import array
from collections import Counter, deque
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Literal
from urllib.parse import urlsplit

from fairlead.drill.exchange import Connection, Request, kind_of
from fairlead.drill.report import Report, Result
from fairlead.errors import UsageError

Body = bytes | Callable[[int], bytes]
"""What to send, or how to make it from the request's number (0, 1, 2 ...): with a unique id, say."""

SHUTDOWN_PATIENCE = 1.0
"""Seconds in which a server must take leave of a TLS connection."""

KEPT_FAILURES = 1000
"""Failures whose moment is kept; beyond that they are only counted."""

GIVEN_UP = "given up at the end"
"""What a request is counted as that was under way when the block of its load ended with an error."""


async def run(
    url: str,
    *,
    rate: float,
    duration: float,
    method: str = "GET",
    headers: Mapping[str, str] | None = None,
    body: Body = b"",
    connections: Literal["new", "keep_alive"] = "new",
    timeout: float = 10.0,
    on_result: Callable[[Result], None] | None = None,
    token: str | None = None,
    max_open: int = 512,
    tls: ssl.SSLContext | None = None,
    server_name: str = "",
) -> Report:
    """Send `rate` requests a second for `duration` seconds, wait for the last to end, and report. See `Load`."""
    load = Load(
        url, rate=rate, method=method, headers=headers, body=body, connections=connections, timeout=timeout,
        on_result=on_result, token=token, max_open=max_open, limit=round(rate * duration),
        tls=tls, server_name=server_name,
    )  # fmt: skip
    async with load:
        await load.finished()
    return load.report()


class Load:
    """A constant load while the `async with` block lasts; `report()` at any time, complete after the block.

    url: `http://HOST:PORT/PATH`, or `https:` with `tls`. rate: requests a second. connections: `new`: one for each
    request, closed after it; `keep_alive`: idle ones are used again. timeout: seconds after the due moment at which a
    request counts as lost. on_result: called in the loop for each request as it ends; neither it nor `body` may raise.
    token: the stack's check token, to count by instance. max_open: connections at once. limit: requests to send; None:
    until the block ends. tls: what is trusted (`drill.tls.trusting`); HTTP/1.1 is spoken. server_name: asked for and
    verified instead of HOST.
    """

    def __init__(
        self,
        url: str,
        *,
        rate: float,
        method: str = "GET",
        headers: Mapping[str, str] | None = None,
        body: Body = b"",
        connections: Literal["new", "keep_alive"] = "new",
        timeout: float = 10.0,
        on_result: Callable[[Result], None] | None = None,
        token: str | None = None,
        max_open: int = 512,
        limit: int | None = None,
        tls: ssl.SSLContext | None = None,
        server_name: str = "",
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme != ("https" if tls else "http") or not parts.hostname or rate <= 0:
            wanted = "an https:// URL, since a TLS context is given," if tls else "an http:// URL"
            raise UsageError(f"no load can be sent to {url}", f"at {rate} requests/s", f"Give {wanted} and a rate.")
        self.method, self.keep_alive, self.timeout = method, connections == "keep_alive", timeout
        self._host, self._port = parts.hostname, parts.port or (443 if tls else 80)
        self._tls, self._server_name = tls, (server_name or parts.hostname) if tls else None
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        extra = {"x-fairlead-check": token} if token else {}
        if not self.keep_alive:
            extra["connection"] = "close"
        self._head = _head(method, target, {"host": parts.netloc} | extra, headers or {})
        self._body, self._has_body = body, bool(body) or method in ("POST", "PUT", "PATCH")
        self._rate, self._limit, self._max_open, self._on_result = rate, limit, max_open, on_result
        self.started = 0.0
        self._stopped: float | None = None
        self._sent = 0
        self._lags = array("d")
        self._latencies = array("d")
        self._statuses: Counter[int] = Counter()
        self._errors: Counter[str] = Counter()
        self._instances: Counter[str] = Counter()
        self._failures: list[Result] = []
        self._running: set[Request] = set()
        self._waiting: deque[Request] = deque()
        self._connections: set[Connection] = set()
        self._idle: list[Connection] = []
        self._ticker: asyncio.TimerHandle | None = None
        self._all_done, self._all_closed = asyncio.Event(), asyncio.Event()

    async def __aenter__(self) -> Load:
        self._loop = asyncio.get_running_loop()
        self.started = self._loop.time()
        self._all_closed.set()
        self._tick()
        self._check_done()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send no more, wait for what is under way (`timeout` at most; not at all after an error), close everything."""
        self._stopped, self._limit = self._loop.time(), self._sent
        if self._ticker:
            self._ticker.cancel()
        self._check_done()
        try:
            if kind is None:
                await self.finished()
        finally:
            for request in tuple(self._running):
                request.end(error=GIVEN_UP)
            for connection in tuple(self._connections):
                connection.abort()
            await self._all_closed.wait()

    async def finished(self) -> None:
        """Return when `limit` requests were sent and have ended."""
        await self._all_done.wait()

    @property
    def under_way(self) -> int:
        """Requests that were due and have not ended."""
        return len(self._running)

    def report(self) -> Report:
        """What happened so far; requests under way count neither as answered nor as lost."""
        ordered, lags = sorted(self._latencies), sorted(self._lags)
        last = len(ordered) - 1
        return Report(
            sent=self._sent - len(self._running),
            seconds=(self._stopped or self._loop.time()) - self.started,
            statuses=dict(self._statuses),
            errors=dict(self._errors),
            instances=dict(self._instances),
            p50=ordered[last // 2] if ordered else None,
            p99=ordered[round(last * 0.99)] if ordered else None,
            max=ordered[-1] if ordered else None,
            lag=lags[-1] if lags else 0.0,
            lag_p95=lags[round((len(lags) - 1) * 0.95)] if lags else 0.0,
            failures=tuple(self._failures),
        )

    def _tick(self) -> None:
        """Send what is due, and come back when the next is."""
        while self._limit is None or self._sent < self._limit:
            due, now = self.started + self._sent / self._rate, self._loop.time()
            if due > now:
                self._ticker = self._loop.call_at(due, self._tick)
                return
            self._lags.append(now - due)
            request = Request(self, self._sent, due)
            self._sent += 1
            self._running.add(request)
            self._dispatch(request)

    def _dispatch(self, request: Request) -> None:
        if self._idle:
            self._idle.pop().send(request)
        elif len(self._connections) < self._max_open:
            connection = Connection(self)
            self._connections.add(connection)
            self._all_closed.clear()
            name = f"load: connection for request {request.number}"
            request.connecting = self._loop.create_task(self._connect(request, connection), name=name)
            request.connecting.add_done_callback(lambda task: self.closed(connection) if task.cancelled() else None)
        else:
            self._waiting.append(request)

    async def _connect(self, request: Request, connection: Connection) -> None:
        try:
            await self._loop.create_connection(
                lambda: connection, self._host, self._port, ssl=self._tls, server_hostname=self._server_name,
                ssl_shutdown_timeout=SHUTDOWN_PATIENCE if self._tls else None,
            )  # fmt: skip
        except OSError as error:
            request.connecting = None
            request.end(error=kind_of(error, "while connecting"))
            self.closed(connection)
        else:
            request.connecting = None
            connection.send(request)

    def payload(self, number: int) -> bytes:
        """The whole request with that number, as bytes."""
        body = self._body if isinstance(self._body, bytes) else self._body(number)
        length = b"content-length: %d\r\n" % len(body) if self._has_body else b""
        return b"%b%b\r\n%b" % (self._head, length, body)

    def released(self, connection: Connection) -> None:
        """It is free for the next request."""
        request = self._next_waiting()
        if request:
            connection.send(request)
        else:
            self._idle.append(connection)

    def closed(self, connection: Connection) -> None:
        """It is gone (said once or twice): another may be opened."""
        if connection not in self._connections:
            return
        self._connections.remove(connection)
        if not self._connections:
            self._all_closed.set()
        if connection in self._idle:
            self._idle.remove(connection)
        request = self._next_waiting()
        if request:
            self._dispatch(request)

    def _next_waiting(self) -> Request | None:
        while self._waiting:
            request = self._waiting.popleft()
            if request in self._running:  # else it timed out while it waited
                return request
        return None

    def ended(self, request: Request, result: Result) -> None:
        """Count it."""
        self._running.discard(request)
        if result.status is not None:
            self._statuses[result.status] += 1
        if result.error:
            self._errors[result.error] += 1
        if result.ok:
            self._latencies.append(result.latency)
        elif len(self._failures) < KEPT_FAILURES:
            self._failures.append(result)
        if result.instance:
            self._instances[result.instance] += 1
        if self._on_result:
            self._on_result(result)
        self._check_done()

    def _check_done(self) -> None:
        if self._sent == self._limit and not self._running:
            self._all_done.set()


def _head(method: str, target: str, ours: Mapping[str, str], users: Mapping[str, str]) -> bytes:
    """The request up to its length; the user's headers win. UsageError: a value would break out of its line."""
    named = dict(ours) | {name.lower(): value for name, value in users.items()}
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in named.items())]
    if any(not line.isprintable() for line in lines):
        raise UsageError("a request cannot be made", "a header or the path holds a control character", "Remove it.")
    return "".join(f"{line}\r\n" for line in lines).encode()
