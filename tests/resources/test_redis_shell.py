"""The small client for people: what it reads, what it shows, and a talk on a terminal."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from fairlead.resources.redis_shell import PASSWORD, raw, shown, words_in
from fairlead.resources.resp import Refusal, Reply, Status
from tests.cli.terminal import Terminal
from tests.resources.rig import SOON, Rig


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("GET key", [b"GET", b"key"]),
        ("  SET   a  1  ", [b"SET", b"a", b"1"]),
        ('SET a "two words"', [b"SET", b"a", b"two words"]),
        (r'SET a "x\ny\x00\"z\\"', [b"SET", b"a", b'x\ny\0"z\\']),
        (r"SET a 'x\n \' y'", [b"SET", b"a", b"x\\n ' y"]),
        ('SET a ""', [b"SET", b"a", b""]),
        ("SET a it's", [b"SET", b"a", b"it's"]),
        ("SET a 世界", [b"SET", b"a", "世界".encode()]),
        ("", []),
        (" \n", []),
    ],
)
def test_a_line_is_a_command(line: str, words: list[bytes]) -> None:
    assert words_in(line) == words


@pytest.mark.parametrize("line", ['SET a "b', "SET a 'b", 'SET a "b"c', '"'])
def test_quotes_that_do_not_fit_are_refused(line: str) -> None:
    with pytest.raises(ValueError, match="quotes"):
        words_in(line)


@pytest.mark.parametrize(
    ("reply", "lines"),
    [
        (Status("OK"), ["OK"]),
        (3, ["(integer) 3"]),
        (None, ["(nil)"]),
        (b'say "x"\\', [r'"say \"x\"\\"']),
        ("Grüße 🦀".encode(), ['"Grüße 🦀"']),
        (b"\x1b]0;title\x07\n\xff", [r'"\x1b]0;title\x07\n\\xff"']),
        (Refusal("ERR no \x1b"), [r"(error) ERR no \x1b"]),
        ([], ["(empty array)"]),
        ([b"a", 2, None], ['1) "a"', "2) (integer) 2", "3) (nil)"]),
        ([b"a", [b"b", b"c"], b"d"], ['1) "a"', '2) 1) "b"', '   2) "c"', '3) "d"']),
        ([[b"a", []]], ['1) 1) "a"', "   2) (empty array)"]),
        ([1] * 10, [f"{number:>2}) (integer) 1" for number in range(1, 11)]),
    ],
)
def test_a_reply_is_shown_with_its_type_and_harmless(reply: Reply, lines: list[str]) -> None:
    assert list(shown(reply)) == lines


def test_a_program_gets_values_as_they_are() -> None:
    assert raw([b"\x1b\xff", 1, None, Status("OK"), [b"x", Refusal("ERR y")]]) == b"\x1b\xff\n1\n\nOK\nx\nERR y"


def argv(cache: Rig) -> list[str]:
    return [sys.executable, "-P", "-m", "fairlead.resources.redis_shell", "sessions", str(cache.port)]


def environment(cache: Rig) -> dict[str, str]:
    return {**os.environ, PASSWORD: cache.password, "TERM": "dumb"}


def told(cache: Rig, script: str) -> tuple[str, str, int]:
    """What a client says to a script: its output, its errors, its exit status."""
    done = subprocess.run(
        argv(cache), env=environment(cache), input=script.encode(), capture_output=True, timeout=SOON, check=False
    )
    return done.stdout.decode(), done.stderr.decode(), done.returncode


@pytest.mark.live
async def test_commands_come_from_a_file_and_the_exit_status_tells(cache: Rig) -> None:
    for script, answers, status in (
        ("SET a 1\nINCR a\nLRANGE none 0 -1\nGET a\n", "OK\n2\n\n2\n", 0),
        ("PING\nNO such\nPING\n", "PONG\nERR unknown command 'NO', with args beginning with: 'such' \nPONG\n", 1),
        ('SET a "b\nPING\n', "PONG\n", 1),
        ("", "", 0),
    ):
        said, _, ended = told(cache, script)
        assert (said, ended) == (answers, status)


@pytest.mark.live
async def test_nobody_there_and_a_wrong_password_are_said(cache: Rig) -> None:
    cache.password = "wrong"
    for _ in range(2):
        said, wrong, ended = told(cache, "PING\n")
        assert (said, ended) == ("", 1)
        assert wrong.startswith("(error) it does not answer: ")
        cache.end()


@pytest.mark.live
async def test_a_talk_on_a_terminal(cache: Rig) -> None:
    with Terminal(argv(cache), environment(cache)) as terminal:
        terminal.wait_for("sessions> ")
        terminal.type('SET a "x y"\n')
        terminal.wait_for("OK")
        terminal.wait_for("sessions> ")
        terminal.type("SELECT 3\n")
        terminal.wait_for(r"sessions\[3\]> ")
        terminal.type("GET a\n")
        terminal.wait_for(r"\(nil\)")
        terminal.type("HELLO 3\n")
        terminal.wait_for("version 2")
        terminal.type("help\n")
        terminal.wait_for("SCAN 0")
        terminal.type("SUBSCRIBE news\n")
        terminal.wait_for(r"\(integer\) 1")
        terminal.type("\x03")
        terminal.wait_for(r"sessions\[3\]> ")
        terminal.type("SET b 1\n")
        terminal.wait_for("OK")
        terminal.wait_for(r"sessions\[3\]> ")
        terminal.type("\x04")
        assert terminal.end() == 0
