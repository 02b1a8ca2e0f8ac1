"""One request with its only end, and the connections that carry requests: the wire side of `load`.

In: a request's bytes. Out: `Load.ended` once for each request, `Load.released` for each connection that is free again.
The law: a request ends exactly once, answered or lost; a connection works on one request at a time; after anything but
a whole answer it is not used again.
"""

from __future__ import annotations

import asyncio
import errno
import ssl
from typing import TYPE_CHECKING

import httptools

from fairlead.drill.report import Result

if TYPE_CHECKING:
    from fairlead.drill.load import Load


class Request:
    """One request, from the moment it is due (the loop's time) to its end."""

    __slots__ = ("_deadline", "_due", "_load", "connecting", "connection", "number")

    def __init__(self, load: Load, number: int, due: float) -> None:
        self._load, self.number, self._due = load, number, due
        self.connection: Connection | None = None
        self.connecting: asyncio.Task[None] | None = None
        self._deadline = asyncio.get_running_loop().call_at(due + load.timeout, self.end, None, "no answer in time")

    def end(self, status: int | None = None, error: str = "", instance: str = "") -> None:
        """It was answered with `status`, or lost to `error`. A second end is none."""
        if self._deadline.cancelled():
            return
        self._deadline.cancel()
        latency = asyncio.get_running_loop().time() - self._due
        if error and self.connecting:
            self.connecting.cancel()
        if error and self.connection:
            self.connection.abort()
        self._load.ended(self, Result(self.number, self._due - self._load.started, latency, status, error, instance))


class Connection(asyncio.Protocol):
    """One connection to the server."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._request: Request | None = None
        self._used = 0
        self._start_afresh()

    def _start_afresh(self) -> None:
        self._begun = self._headers_done = self._has_length = False
        self._instance = ""
        self._parser = httptools.HttpResponseParser(self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def abort(self) -> None:
        """Close it at once, whatever is under way."""
        if self._transport:
            self._transport.abort()

    def send(self, request: Request) -> None:
        """Carry `request`; only when connected, and free."""
        assert self._transport is not None
        request.connection, self._request = self, request
        self._used += 1
        self._start_afresh()
        self._transport.write(self._load.payload(request.number))

    def data_received(self, data: bytes) -> None:
        self._begun = True
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()
            if self._request:
                self._request.end(error="an answer that is not HTTP")

    def on_header(self, name: bytes, value: bytes) -> None:
        lower = name.lower()
        if lower in (b"content-length", b"transfer-encoding"):
            self._has_length = True
        elif lower == b"x-fairlead-instance":
            self._instance = value.decode("ascii", "replace")

    def on_headers_complete(self) -> None:
        # 1xx are not the answer; an answer to HEAD has no body, whatever length it names.
        self._headers_done = self._parser.get_status_code() >= 200
        if self._headers_done and self._load.method == "HEAD":
            self._answered()

    def on_message_complete(self) -> None:
        if self._headers_done:
            self._answered()

    def connection_lost(self, error: Exception | None) -> None:
        request, self._request = self._request, None
        if request and self._headers_done and not self._has_length and error is None:
            request.end(self._parser.get_status_code(), instance=self._instance)  # its body ends with the connection
        elif request and self._begun:
            request.end(error="cut off in the middle of the answer")
        elif request:
            where = "before the answer, on a kept connection" if self._used > 1 else "before the answer"
            request.end(error=kind_of(error, where) if error else f"closed {where}")
        self._load.closed(self)

    def _answered(self) -> None:
        request, self._request = self._request, None
        if request is None:
            return
        again = self._load.keep_alive and self._parser.should_keep_alive()
        request.end(self._parser.get_status_code(), instance=self._instance)
        if again:
            self._load.released(self)
        elif self._transport:
            self._transport.close()


def kind_of(error: Exception, where: str) -> str:
    """A short name for a transport error, the same for the same cause."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ConnectionResetError | BrokenPipeError):
        return f"reset {where}"
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"a certificate that does not hold: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS error {error.reason or type(error).__name__} {where}"
    code = getattr(error, "errno", None)
    return f"{errno.errorcode.get(code or 0, type(error).__name__)} {where}"
