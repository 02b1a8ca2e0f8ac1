"""HTTP/2 on both sides: a client over TLS, and a server in the clear (h2c) as a target."""

from __future__ import annotations

import asyncio
import ssl
from dataclasses import dataclass, field
from typing import Any

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

from tests.closing import stop_listening
from tests.conformance.client import Answer, Client, Headers

GRPC = "application/grpc"


class Http2Client:
    """One connection; `ask` sends a request and waits for the answer, `start` and `finish` do the two by themselves."""

    def __init__(self, port: int, tls: ssl.SSLContext, sni: str = "localhost") -> None:
        self.client = Client(port, tls=tls, sni=sni)
        assert isinstance(self.client.socket, ssl.SSLSocket)
        self.alpn = self.client.socket.selected_alpn_protocol()
        config = h2.config.H2Configuration(validate_outbound_headers=False, normalize_outbound_headers=False)
        self.wire = h2.connection.H2Connection(config)
        self.wire.initiate_connection()
        self._flush()
        self._events: dict[int, list[h2.events.Event]] = {}
        self.settings: dict[int, int] = {}

    def __enter__(self) -> Http2Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def start(
        self, path: str = "/", headers: Headers = (), *, method: str = "GET", authority: str = "test", body: bytes = b""
    ) -> int:
        stream = self.wire.get_next_available_stream_id()
        pseudo = [(":method", method), (":scheme", "https"), (":authority", authority), (":path", path)]
        self.wire.send_headers(stream, [*pseudo, *headers], end_stream=not body)
        if body:
            self.wire.send_data(stream, body, end_stream=True)
        self._flush()
        return stream

    def finish(self, stream: int) -> Answer:
        """The answer of a stream. EOFError: it was reset, or the connection ended."""
        while not any(isinstance(one, h2.events.StreamEnded) for one in self._events.get(stream, [])):
            self.read()
        known = [
            (name.decode() if isinstance(name, bytes) else name, value.decode() if isinstance(value, bytes) else value)
            for one in self._events[stream]
            if isinstance(one, h2.events.ResponseReceived | h2.events.TrailersReceived)
            for name, value in one.headers
        ]
        body = b"".join(one.data for one in self._events[stream] if isinstance(one, h2.events.DataReceived))
        return Answer(status=int(dict(known)[":status"]), reason="", headers=tuple(known), body=body)

    def ask(self, path: str = "/", headers: Headers = (), **more: Any) -> Answer:
        return self.finish(self.start(path, headers, **more))

    def read(self) -> None:
        """Take what comes next."""
        said = self.client.socket.recv(65536)
        if not said:
            raise EOFError("the connection ended")
        for event in self.wire.receive_data(said):
            if isinstance(event, h2.events.RemoteSettingsChanged):
                self.settings |= {int(code): change.new_value for code, change in event.changed_settings.items()}
            if isinstance(event, h2.events.DataReceived):
                self.wire.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            if isinstance(event, h2.events.StreamReset | h2.events.ConnectionTerminated):
                raise EOFError(f"{event}")
            if stream := getattr(event, "stream_id", None):
                self._events.setdefault(stream, []).append(event)
        self._flush()

    def _flush(self) -> None:
        self.client.send(self.wire.data_to_send())


def answers_before_goaway(client: Client, pace: int) -> int:
    """How many requests the other side answers before it ends the connection, `pace` of them at a time.

    In frames made by hand: that many take a library half a minute. A request refused by the balancer costs least."""

    def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
        return len(payload).to_bytes(3) + bytes((kind, flags)) + stream.to_bytes(4) + payload

    headers, ends, settings, goaway, window = 1, 0x1, 4, 7, 8
    # TRACE / of https://test, every field a literal or one of HPACK's own.
    question = b"\x02\x05TRACE\x84\x87\x01\x04test"
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(settings, 0, 0, b""))
    client.send(frame(window, 0, 0, (2**31 - 1 - 65_535).to_bytes(4)))
    answered, stream, seen = 0, -1, b""
    while True:
        batch = [stream := stream + 2 for _ in range(pace)]
        client.send(b"".join(frame(headers, ends | 0x4, one, question) for one in batch))
        wanted = answered + pace
        while answered < wanted:
            while len(seen) < 9 or len(seen) < 9 + int.from_bytes(seen[:3]):
                got = client.socket.recv(1 << 16)
                assert got, "it closed without a GOAWAY"
                seen += got
            size, kind, flags = int.from_bytes(seen[:3]), seen[3], seen[4]
            seen = seen[9 + size :]
            if kind == goaway:
                return answered
            if kind == settings and not flags:
                client.send(frame(settings, 0x1, 0, b""))
            # HEADERS or DATA with the end of its stream.
            answered += kind in (0, headers) and flags & ends


def http2_context(trust: ssl.SSLContext) -> ssl.SSLContext:
    """`trust`, which from now on asks for HTTP/2 first."""
    trust.set_alpn_protocols(["h2", "http/1.1"])
    return trust


@dataclass
class Http2Server:
    """An h2c target that answers every request with its name; gRPC calls with the status `grpc`."""

    name: str
    grpc: int = 0
    address: str = ""
    heard: list[dict[str, str]] = field(default_factory=list)
    _server: asyncio.Server | None = None
    _open: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = field(default_factory=dict)

    async def listen(self) -> Http2Server:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def kill(self) -> None:
        assert self._server is not None
        await stop_listening(self._server)
        tasks = [task for task in self._open.values() if task is not None]
        for writer, task in tuple(self._open.items()):
            writer.transport.abort()
            if task is not None:
                task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._open[writer] = asyncio.current_task()
        wire = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        wire.initiate_connection()
        asked: dict[int, dict[str, str]] = {}
        try:
            writer.write(wire.data_to_send())
            while said := await reader.read(65536):
                for event in wire.receive_data(said):
                    if isinstance(event, h2.events.RequestReceived):
                        pairs = [(_text(name), _text(value)) for name, value in event.headers]
                        asked[event.stream_id] = dict(pairs)
                    elif isinstance(event, h2.events.DataReceived):
                        wire.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                    elif isinstance(event, h2.events.StreamEnded):
                        self._answer(wire, event.stream_id, asked.pop(event.stream_id))
                writer.write(wire.data_to_send())
        except (ConnectionError, asyncio.CancelledError, h2.exceptions.ProtocolError):
            pass
        finally:
            self._open.pop(writer, None)
            writer.close()

    def _answer(self, wire: h2.connection.H2Connection, stream: int, headers: dict[str, str]) -> None:
        if not headers.get("user-agent", "").startswith("ELB-HealthChecker"):
            self.heard.append(headers)
        if headers.get("content-type", "").startswith(GRPC):
            wire.send_headers(stream, [(":status", "200"), ("content-type", GRPC)])
            wire.send_data(stream, b"\x00\x00\x00\x00\x02" + b"hi")
            wire.send_headers(stream, [("grpc-status", str(self.grpc))], end_stream=True)
        else:
            wire.send_headers(stream, [(":status", "200"), ("content-length", str(len(self.name)))])
            wire.send_data(stream, self.name.encode(), end_stream=True)


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else value
