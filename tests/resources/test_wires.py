"""What PostgreSQL and MySQL are asked when something else answers in their place: a clause, always, and soon."""

from __future__ import annotations

import asyncio
import base64
import hmac
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from fairlead.core.resources.model import Database
from fairlead.resources import mysql_wire, postgres_wire
from fairlead.resources.mysql import Mysql
from fairlead.resources.postgres import Postgres
from fairlead.resources.postgres_scram import verifier
from fairlead.resources.recipe import Place, Recipe
from tests.closing import stop_listening
from tests.resources.rig import a_folder

PORT = 18000

RECIPES: dict[str, tuple[Callable[[], Recipe], Database, str]] = {
    "postgres": (Postgres, Database(id="a", engine="postgres", name="a", user="a"), f".s.PGSQL.{PORT}"),
    "mysql": (lambda: Mysql(""), Database(id="a", engine="mysql", name="a", user="a"), "ask.sock"),
}

ANSWERS = {
    "nothing": b"",
    "http": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n",
    "zeros": bytes(5000),
    "ones": b"\xff" * 5000,
    "noise": os.urandom(5000),
    "a short greeting": b"\x01\0\0\0\x0a",
    "an unknown proof": b"R\0\0\0\x08\0\0\0\x0a",
    "an error": b"E\0\0\0\x1aSFATAL\0C57P03\0Mwait\0\0\0\0",
    "an error of the other": b"\x09\0\0\0\xff\x10\x04nowait",
}


@asynccontextmanager
async def answering(place: Place, socket: str, answer: bytes, hang: bool = False) -> AsyncIterator[None]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(answer)
            await reader.read() if hang else await reader.read(1)
        except OSError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_unix_server(serve, f"{place.run}/{socket}")
    try:
        yield
    finally:
        await stop_listening(server)


def a_place(folder: Path) -> Place:
    return Place(data=f"{folder}/data", run=str(folder), port=PORT, password="x", user=None)


@pytest.mark.parametrize("engine", list(RECIPES))
@pytest.mark.parametrize("answer", list(ANSWERS))
async def test_whatever_answers_the_answer_is_a_clause(engine: str, answer: str) -> None:
    make, database, socket = RECIPES[engine]
    with a_folder() as folder:
        place = a_place(folder)
        async with answering(place, socket, ANSWERS[answer]):
            clause = await make().ask(database, place)
        assert clause
        assert "\n" not in clause


@pytest.mark.parametrize("engine", list(RECIPES))
async def test_silence_is_an_answer_after_two_seconds(engine: str) -> None:
    make, database, socket = RECIPES[engine]
    with a_folder() as folder:
        place = a_place(folder)
        async with answering(place, socket, b"", hang=True):
            assert await make().ask(database, place) == "it did not answer within 2 s"


@pytest.mark.parametrize("engine", list(RECIPES))
async def test_a_socket_that_nobody_listens_on_is_no_error(engine: str) -> None:
    make, database, socket = RECIPES[engine]
    with a_folder() as folder:
        place = a_place(folder)
        assert await make().ask(database, place) == "it does not accept connections yet"
        async with answering(place, socket, b""):
            pass
        assert await make().ask(database, place) == "it does not accept connections yet"


def test_what_postgresql_keeps_of_a_password_is_what_the_standard_says() -> None:
    """RFC 7677, section 3: with the key that is kept, the server signs the conversation as the example says."""
    nonce = "rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0"
    salt = "W22ZaJ0SNY7soEsUEjb6gQ=="
    said = f"n=user,r=rOprNGfwEbeRWgbNEkqO,r={nonce},s={salt},i=4096,c=biws,r={nonce}"
    kept = verifier("pencil", base64.b64decode(salt))
    assert kept.startswith(f"SCRAM-SHA-256$4096:{salt}$")
    signed = hmac.digest(base64.b64decode(kept.rpartition(":")[2]), said.encode(), "sha256")
    assert base64.b64encode(signed) == b"6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4="
    assert verifier("pencil") != verifier("pencil")


def test_what_mysql_keeps_of_a_password() -> None:
    """MySQL's manual, PASSWORD()."""
    assert mysql_wire.native_hash("password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"


@pytest.mark.parametrize("text", ["plain", "it's", "back\\slash", '"', "`", "ünï 🦀", ""])
def test_quoting_leaves_no_way_out(text: str) -> None:
    assert postgres_wire.literal(text).count("'") % 2 == 0
    assert mysql_wire.literal(text) in ("''", f"_utf8mb4 0x{text.encode().hex()}")
    assert mysql_wire.name(text)[1:-1].replace("``", "") == text.replace("`", "")
    if text:
        assert postgres_wire.name(text)[1:-1].replace('""', "") == text.replace('"', "")


@pytest.mark.parametrize("quote", [postgres_wire.literal, postgres_wire.name])
def test_what_postgresql_cannot_say_is_refused(quote: Callable[[str], str]) -> None:
    with pytest.raises(ValueError, match="PostgreSQL"):
        quote("a\0b")
