"""PostgreSQL's protocol (version 3.0), as much of it as asking and keeping house needs, over a Unix socket.

In: a socket's path, a user whom the socket admits without a password, complete SQL (`literal` and `name` quote what is
put into it). Out: rows of texts. Source: PostgreSQL's manual, chapter "Frontend/Backend Protocol".
"""

from __future__ import annotations

import asyncio
import struct
from types import TracebackType

Row = tuple[str | None, ...]

LARGEST = 1 << 24
"""Bytes of a message that are read; ours are short."""

_PROTOCOL = 3 << 16


class Refusal(Exception):
    """The server's own error. code: its five characters (`57P03`). text: its words."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Connection:
    """One connection. Raises Refusal, OSError (gone, or not there), EOFError (cut). Deadlines are the caller's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, path: str, user: str, database: str) -> Connection:
        connection = cls(*await asyncio.open_unix_connection(path))
        try:
            await connection._start(user, database)
        except BaseException:
            connection._writer.close()
            raise
        return connection

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        # Told, so that the server writes nothing of a lost connection into its log.
        self._writer.write(b"X" + struct.pack("!I", 4))
        self._writer.close()

    async def ask(self, sql: str) -> list[Row]:
        """The rows of the last statement of `sql`."""
        text = sql.encode() + b"\0"
        self._writer.write(b"Q" + struct.pack("!I", len(text) + 4) + text)
        return await self._answer()

    async def _start(self, user: str, database: str) -> None:
        words = ("user", user, "database", database, "application_name", "fairlead", "client_encoding", "UTF8")
        body = struct.pack("!I", _PROTOCOL) + b"".join(word.encode() + b"\0" for word in words) + b"\0"
        self._writer.write(struct.pack("!I", len(body) + 4) + body)
        await self._answer()

    async def _answer(self) -> list[Row]:
        """All up to the server's being ready again."""
        rows: list[Row] = []
        refusal: Refusal | None = None
        while True:
            try:
                kind, body = await self._message()
            except (EOFError, OSError):
                # After a fatal error there is no more, and the error says why.
                if refusal is not None:
                    raise refusal from None
                raise
            if kind == b"Z":
                if refusal is not None:
                    raise refusal
                return rows
            if kind == b"E":
                refusal = _refusal(body)
            elif kind == b"T":
                rows = []
            elif kind == b"D":
                rows.append(_row(body))
            elif kind == b"R" and struct.unpack_from("!I", body)[0]:
                raise Refusal("28000", "it wants a password on its Unix socket")

    async def _message(self) -> tuple[bytes, bytes]:
        head = await self._reader.readexactly(5)
        length = struct.unpack("!I", head[1:])[0] - 4
        if not 0 <= length <= LARGEST:
            raise Refusal("08P01", "it does not speak PostgreSQL's protocol")
        return head[:1], await self._reader.readexactly(length)


def literal(text: str) -> str:
    """`text` as a string of SQL. ValueError: no server takes it."""
    if "\0" in text:
        raise ValueError("PostgreSQL stores no NUL")
    quoted = text.replace("\\", "\\\\").replace("'", "''")
    return f"E'{quoted}'" if "\\" in text else f"'{quoted}'"


def name(text: str) -> str:
    """`text` as the name of a user or a database. ValueError as above."""
    if "\0" in text or not text:
        raise ValueError("PostgreSQL has no such name")
    quoted = text.replace('"', '""')
    return f'"{quoted}"'


def _row(body: bytes) -> Row:
    values: list[str | None] = []
    at = 2
    for _ in range(struct.unpack_from("!H", body)[0]):
        length = struct.unpack_from("!i", body, at)[0]
        at += 4
        values.append(None if length < 0 else body[at : at + length].decode(errors="replace"))
        at += max(length, 0)
    return tuple(values)


def _refusal(body: bytes) -> Refusal:
    fields = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0") if field}
    return Refusal(fields.get(b"C", "XX000"), fields.get(b"M", "an error without words"))
