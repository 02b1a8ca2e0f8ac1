"""A small client of Redis for people: `python -m fairlead.resources.redis_shell ID PORT`.

The password stands in REDISCLI_AUTH. For machines without `redis-cli`, and as it does it: on a terminal, commands are
asked for with a prompt and replies are shown with their types; otherwise commands come from the standard input, one a
line, replies go out raw, and the exit status is 1 when one was refused. What the server stores never reaches a terminal
unescaped.
"""

from __future__ import annotations

import io
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress

from fairlead.core.resources.addresses import HOST
from fairlead.resources.resp import LINE, Refusal, Reply, Status, encode, reply

PASSWORD = "REDISCLI_AUTH"  # noqa: S105 (a variable's name)

PATIENCE = 10.0
"""Seconds to connect."""

STREAMS = ("SUBSCRIBE", "PSUBSCRIBE", "SSUBSCRIBE", "MONITOR")
"""Commands that are answered for ever."""

HELP = """\
  Commands of Redis, one a line, as in: SET name "a value", GET name, SCAN 0, INFO memory, TTL name
  https://redis.io/commands tells about each. CTRL-C ends what is answered for ever; QUIT, or CTRL-D, ends this."""

_WORD = re.compile(r"""\s*(?:"((?:[^"\\]|\\.)*)"(?!\S)|'((?:[^'\\]|\\.)*)'(?!\S)|([^\s"']\S*))""", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_MEANING = {"n": b"\n", "r": b"\r", "t": b"\t", "b": b"\b", "a": b"\a"}


class Line:
    """A connection to one server, opened when it is needed."""

    def __init__(self, port: int, password: str) -> None:
        self._port, self._password = port, password
        self._file: io.BufferedRWPair | None = None
        self.database = "0"

    def ask(self, words: list[bytes]) -> Reply:
        """The reply to a command. OSError: nobody answers, and the next command connects anew."""
        self._send(words)
        return self.next()

    def next(self) -> Reply:
        """The next reply."""
        assert self._file is not None
        steps = reply()
        try:
            wanted = next(steps)
            while True:
                wanted = steps.send(self._file.readline() if wanted == LINE else self._file.read(wanted))
        except StopIteration as done:
            result: Reply = done.value
            return result
        except OSError:
            self.close()
            raise

    def close(self) -> None:
        if self._file is not None:
            with suppress(OSError):
                self._file.close()
            self._file = None

    def _send(self, words: list[bytes]) -> None:
        if self._file is None:
            self._open()
        assert self._file is not None
        try:
            self._file.write(encode(*words))
            self._file.flush()
        except OSError:
            self.close()
            raise

    def _open(self) -> None:
        with socket.create_connection((HOST, self._port), PATIENCE) as connection:
            connection.settimeout(None)
            self._file = connection.makefile("rwb")
        for words in ([b"AUTH", self._password.encode()], [b"SELECT", self.database.encode()]):
            answer = self.ask(words)
            if isinstance(answer, Refusal):
                self.close()
                raise ConnectionError(answer.text)


def words_in(line: str) -> list[bytes]:
    """A line as the words of a command. ValueError: its quotes do not fit together."""
    words: list[bytes] = []
    rest = line.rstrip()
    while rest:
        match = _WORD.match(rest)
        if match is None:
            raise ValueError("its quotes do not fit together")
        double, single, plain = match.groups()
        if double is not None:
            words.append(_unescaped(double))
        else:
            text = plain if plain is not None else single.replace("\\'", "'")
            words.append(text.encode(errors="surrogateescape"))
        rest = rest[match.end() :]
    return words


def shown(answer: Reply, indent: str = "") -> Iterator[str]:
    """The lines of a reply for a terminal, as `redis-cli` shows it."""
    if isinstance(answer, list):
        if not answer:
            yield "(empty array)"
        for number, member in enumerate(answer, 1):
            head = f"{number:>{len(str(len(answer)))}}) "
            deeper = indent + " " * len(head)
            for place, line in enumerate(shown(member, deeper)):
                yield (indent if number > 1 else "") + head + line if place == 0 else line
    elif isinstance(answer, bytes):
        yield quoted(answer)
    elif isinstance(answer, Status):
        yield harmless(answer.text)
    elif isinstance(answer, Refusal):
        yield f"(error) {harmless(answer.text)}"
    else:
        yield "(nil)" if answer is None else f"(integer) {answer}"


def raw(answer: Reply) -> bytes:
    """A reply for a program: values as they are, members on lines of their own."""
    if isinstance(answer, list):
        return b"\n".join(raw(member) for member in answer)
    if isinstance(answer, bytes):
        return answer
    if isinstance(answer, Status | Refusal):
        return answer.text.encode(errors="replace")
    return b"" if answer is None else str(answer).encode()


def quoted(value: bytes) -> str:
    """A value as it could be typed; UTF-8 stays readable."""
    return '"' + harmless(value.decode(errors="backslashreplace").replace("\\", "\\\\").replace('"', '\\"')) + '"'


def harmless(text: str) -> str:
    """`text` without what a terminal would obey."""
    names = {"\n": "\\n", "\r": "\\r", "\t": "\\t"}
    return "".join(names.get(one) or (one if one.isprintable() else _escaped(one)) for one in text)


def main(arguments: list[str]) -> int:
    """Exit status: 1 when a command of a script was refused, or nobody answers."""
    id, port = arguments
    line = Line(int(port), os.environ.get(PASSWORD, ""))
    try:
        return _talk(id, line) if sys.stdin.isatty() and sys.stdout.isatty() else _script(line)
    finally:
        line.close()


def _talk(id: str, line: Line) -> int:
    with suppress(ImportError):
        import readline  # noqa: F401 (gives `input` its history and keys)
    while True:
        try:
            text = input(f"{id}{f'[{line.database}]' if line.database != '0' else ''}> ")
        except EOFError:
            print()
            return 0
        except KeyboardInterrupt:
            print()
            continue
        if text.strip().lower() in ("quit", "exit"):
            return 0
        if text.strip().lower() in ("help", "?"):
            print(HELP)
        else:
            _turn(line, text, lambda answer: print("\n".join(shown(answer))))


def _script(line: Line) -> int:
    refused = False

    def tell(answer: Reply) -> None:
        nonlocal refused
        refused = refused or isinstance(answer, Refusal)
        sys.stdout.buffer.write(raw(answer) + b"\n")
        sys.stdout.buffer.flush()

    for text in sys.stdin:
        if not _turn(line, text, tell):
            refused = True
    return 1 if refused else 0


def _turn(line: Line, text: str, tell: Callable[[Reply], None]) -> bool:
    """One command and its replies; False when it could not be asked."""
    try:
        words = words_in(text)
        if not words:
            return True
        name = words[0].upper().decode(errors="replace")
        if name == "HELLO":
            raise ValueError("this client speaks version 2 of the protocol only")
        answer = line.ask(words)
        tell(answer)
        if name == "SELECT" and isinstance(answer, Status):
            line.database = words[1].decode(errors="replace")
        while name in STREAMS and not isinstance(answer, Refusal):
            tell(line.next())
    except ValueError as problem:
        print(f"(error) {problem}", file=sys.stderr)
        return False
    except OSError as problem:
        print(f"(error) it does not answer: {problem}", file=sys.stderr)
        return False
    except KeyboardInterrupt:
        # What is still under way would be taken for the next reply.
        line.close()
        print()
    return True


def _unescaped(text: str) -> bytes:
    parts, at = [], 0
    for match in _ESCAPE.finditer(text):
        parts.append(text[at : match.start()].encode(errors="surrogateescape"))
        code, letter = match.groups()
        parts.append(bytes.fromhex(code) if code else _MEANING.get(letter, letter.encode(errors="surrogateescape")))
        at = match.end()
    return b"".join([*parts, text[at:].encode(errors="surrogateescape")])


def _escaped(one: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in one.encode(errors="surrogatepass"))


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
