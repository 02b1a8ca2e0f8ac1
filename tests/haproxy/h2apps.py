"""A target that speaks HTTP/2 in clear (h2c), plain or as a gRPC server does."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from dataclasses import dataclass, field

import h2.config
import h2.connection
import h2.events
import h2.exceptions

PREFACE = b"PRI * HTTP/2.0"


@dataclass
class H2App:
    """grpc: the status that it ends its answers with, None for plain HTTP; body: whether one comes before (then the
    status follows it). `seen` has the headers of its requests."""

    name: str
    grpc: int | None = None
    body: bool = False
    seen: list[dict[str, str]] = field(default_factory=list)
    address: str = ""
    _server: asyncio.Server | None = None

    async def listen(self) -> H2App:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.address = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    def kill(self) -> None:
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        config = h2.config.H2Configuration(client_side=False, header_encoding="utf-8")
        connection = h2.connection.H2Connection(config)
        connection.initiate_connection()
        asked: dict[int, dict[str, str]] = {}
        with suppress(OSError, EOFError, h2.exceptions.ProtocolError):
            writer.write(connection.data_to_send())
            while got := await reader.read(65536):
                for event in connection.receive_data(got):
                    match event:
                        case h2.events.RequestReceived():
                            asked[event.stream_id] = {str(key): str(value) for key, value in event.headers}
                        case h2.events.StreamEnded():
                            self.seen.append(asked[event.stream_id])
                            self._answer(connection, event.stream_id)
                writer.write(connection.data_to_send())
                await writer.drain()
        writer.close()

    def _answer(self, connection: h2.connection.H2Connection, stream: int) -> None:
        if self.grpc is None:
            connection.send_headers(stream, [(":status", "200"), ("content-type", "text/plain")])
            connection.send_data(stream, self.name.encode(), end_stream=True)
            return
        begin = [(":status", "200"), ("content-type", "application/grpc")]
        end = [("grpc-status", str(self.grpc))]
        if not self.body:
            connection.send_headers(stream, [*begin, *end], end_stream=True)
            return
        connection.send_headers(stream, begin)
        connection.send_data(stream, b"\0\0\0\0\0")
        connection.send_headers(stream, end, end_stream=True)


@dataclass(frozen=True)
class Reply:
    """headers has those that followed the body, too."""

    status: int
    headers: dict[str, str]
    body: bytes


async def ask_h2(port: int, method: str = "GET", headers: dict[str, str] | None = None, body: bytes = b"") -> Reply:
    """One request by HTTP/2 on a TLS connection of its own; whoever answers is believed."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    client = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
    client.initiate_connection()
    fields = {":method": method, ":path": "/x", ":scheme": "https", ":authority": "test", **(headers or {})}
    client.send_headers(1, list(fields.items()), end_stream=not body)
    if body:
        client.send_data(1, body, end_stream=True)
    answered: dict[str, str] = {}
    said = b""
    try:
        while True:
            writer.write(client.data_to_send())
            got = await reader.read(65536)
            if not got:
                raise EOFError("closed without a whole answer")
            for event in client.receive_data(got):
                match event:
                    case h2.events.ResponseReceived() | h2.events.TrailersReceived():
                        answered |= {str(key): str(value) for key, value in event.headers}
                    case h2.events.DataReceived():
                        said += event.data
                    case h2.events.StreamEnded():
                        return Reply(int(answered.pop(":status")), answered, said)
    finally:
        writer.transport.abort()
