"""MySQL's protocol, as much of it as asking and keeping house needs, over a Unix socket; MariaDB's is the same.

In: a socket's path, a user with a password, complete SQL (`literal` and `name` quote what is put into it). Out: rows of
texts. Both ways of proving a password are known: `mysql_native_password` (MariaDB) and `caching_sha2_password` (MySQL).
Every connection is taken leave of, so that the server counts and logs no lost one. Source: MySQL's internals manual,
"Client/Server Protocol".
"""

from __future__ import annotations

import asyncio
import hashlib
import struct
from types import TracebackType

Row = tuple[str | None, ...]

NATIVE, SHA2 = "mysql_native_password", "caching_sha2_password"

# LONG_PASSWORD, CONNECT_WITH_DB is left out, PROTOCOL_41, TRANSACTIONS, SECURE_CONNECTION, MULTI_RESULTS, PLUGIN_AUTH.
_CAPABILITIES = 0x1 | 0x200 | 0x2000 | 0x8000 | 0x20000 | 0x80000

_UTF8MB4 = 45

_OK, _ERROR, _END, _SWITCH, _MORE, _NULL = 0x00, 0xFF, 0xFE, 0xFE, 0x01, 0xFB

_FULL = b"\4"
"""Asks for the password itself, which a Unix socket keeps to itself."""

_QUERY, _QUIT = b"\3", b"\1"

LARGEST_SHORT = 9
"""Bytes up to which a packet that begins with 0xFE is an end and no row."""


class Refusal(Exception):
    """The server's own error. code: its number (1045). text: its words."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(text)
        self.code, self.text = code, text


class Connection:
    """One connection. Raises Refusal, OSError (gone, or not there), EOFError (cut). Deadlines are the caller's."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._number = 0
        self.default_plugin = ""
        """How users prove passwords to this server, unless it was told otherwise."""

    @classmethod
    async def open(cls, path: str, user: str, password: str) -> Connection:
        connection = cls(*await asyncio.open_unix_connection(path))
        try:
            await connection._log_in(user, password)
        except BaseException:
            connection._writer.close()
            raise
        return connection

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._number = 0
        self._send(_QUIT)
        self._writer.close()

    async def ask(self, sql: str) -> list[Row]:
        """The rows of one statement."""
        self._number = 0
        self._send(_QUERY + sql.encode())
        head = await self._packet()
        if head[0] == _OK:
            return []
        columns, _ = _length(head, 0)
        for _ in range(columns + 1):
            await self._packet()
        rows: list[Row] = []
        while True:
            packet = await self._packet()
            if packet[0] == _END and len(packet) < LARGEST_SHORT:
                return rows
            rows.append(_row(packet, columns))

    async def _log_in(self, user: str, password: str) -> None:
        plugin, seed = _greeting(await self._packet())
        self.default_plugin = plugin
        proof = _prove(plugin, password, seed)
        self._send(
            struct.pack("<IIB23x", _CAPABILITIES, 1 << 24, _UTF8MB4)
            + user.encode() + b"\0" + bytes([len(proof)]) + proof + plugin.encode() + b"\0"
        )  # fmt: skip
        while True:
            packet = await self._packet()
            if packet[0] == _OK:
                return
            if packet[0] == _SWITCH:
                name, _, rest = packet[1:].partition(b"\0")
                self._send(_prove(name.decode(errors="replace"), password, rest.removesuffix(b"\0")))
            elif packet == bytes([_MORE]) + _FULL:
                self._send(password.encode() + b"\0")

    def _send(self, body: bytes) -> None:
        self._writer.write(struct.pack("<I", len(body))[:3] + bytes([self._number]) + body)
        self._number += 1

    async def _packet(self) -> bytes:
        head = await self._reader.readexactly(4)
        self._number = head[3] + 1 & 0xFF
        body = await self._reader.readexactly(int.from_bytes(head[:3], "little"))
        if not body:
            raise Refusal(0, "it does not speak MySQL's protocol")
        if body[0] == _ERROR:
            # The state, `#42000`, is there only after the greeting.
            text = body[9:] if body[3:4] == b"#" else body[3:]
            raise Refusal(int.from_bytes(body[1:3], "little"), text.decode(errors="replace"))
        return body


def literal(text: str) -> str:
    """`text` as a string of SQL, whatever the mode."""
    return f"_utf8mb4 0x{text.encode().hex()}" if text else "''"


def quoted(text: str) -> str:
    """The same where only a quoted string may stand, in the usual mode."""
    escaped = text.replace("\\", "\\\\").replace("'", "''")
    return f"'{escaped}'"


def name(text: str) -> str:
    """`text` as the name of a database or a table."""
    quoted = text.replace("`", "``")
    return f"`{quoted}`"


def native_hash(password: str) -> str:
    """What `mysql_native_password` keeps of a password."""
    return "*" + _sha1(_sha1(password.encode())).hex().upper()


def _prove(plugin: str, password: str, seed: bytes) -> bytes:
    secret = password.encode()
    if not secret:
        return b""
    if plugin == NATIVE:
        return _xor(_sha1(secret), _sha1(seed + _sha1(_sha1(secret))))
    if plugin == SHA2:
        return _xor(_sha256(secret), _sha256(_sha256(_sha256(secret)) + seed))
    raise Refusal(2059, f"it asks for a proof that fairlead does not know: {plugin}")


def _greeting(packet: bytes) -> tuple[str, bytes]:
    """The way to prove a password that is asked for, and its seed."""
    at = packet.index(0, 1) + 5
    first = packet[at : at + 8]
    # Behind: capabilities, character set, status, more capabilities, the seed's length, ten bytes of nothing.
    length = packet[at + 16] if len(packet) > at + 16 else 0
    rest = packet[at + 27 :]
    seed = first + rest[: max(13, length - 8)]
    plugin = rest[max(13, length - 8) :].rstrip(b"\0").decode(errors="replace")
    return plugin or NATIVE, seed.rstrip(b"\0")


def _row(packet: bytes, columns: int) -> Row:
    values: list[str | None] = []
    at = 0
    for _ in range(columns):
        if packet[at] == _NULL:
            values.append(None)
            at += 1
            continue
        length, at = _length(packet, at)
        values.append(packet[at : at + length].decode(errors="replace"))
        at += length
    return tuple(values)


def _length(packet: bytes, at: int) -> tuple[int, int]:
    """A number in as many bytes as it needs, and what comes after it."""
    size = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(packet[at])
    if size is None:
        return packet[at], at + 1
    return int.from_bytes(packet[at + 1 : at + 1 + size], "little"), at + 1 + size


def _sha1(text: bytes) -> bytes:
    return hashlib.sha1(text, usedforsecurity=False).digest()


def _sha256(text: bytes) -> bytes:
    return hashlib.sha256(text).digest()


def _xor(one: bytes, other: bytes) -> bytes:
    return bytes(left ^ right for left, right in zip(one, other, strict=True))
