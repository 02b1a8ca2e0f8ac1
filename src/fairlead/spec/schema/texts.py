"""The kinds of value that are text: lines, names, commands, addresses.

Everything here that could reach HAProxy, a terminal or `execve` is free of the control characters that would do harm
there; how a text is quoted for a language is the business of whoever writes that language.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from dataclasses import dataclass
from typing import Any

from fairlead.spec.schema.kinds import Kind, fail

MOST_WORDS = 1000
LONGEST_COMMAND = 10_000
"""Characters of a command that is to be split into words."""
LONGEST_TEXT = 100_000
"""Characters of a variable or of a program's word: below Linux's 128 KiB for one string of `execve`."""

_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_IN_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_SHELL_WORDS = {"&&", "||", "|", ";", "&", ">", ">>", "<"}
_SHELLS = {"sh", "bash", "dash", "zsh", "ash", "ksh", "fish", "busybox", "env"}


@dataclass(frozen=True)
class Line(Kind):
    """Text on one line, 1 to `most` characters. When it must match `pattern`, `wanted` says so in words."""

    pattern: str = ""
    wanted: str = ""
    most: int = 1024

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            fail("must be text, not {value}", "put quotes around it" if isinstance(value, (int, float)) else "")
        if _NOT_IN_LINE.search(value):
            fail("must not hold control characters or line breaks")
        if not value:
            fail("must not be empty")
        if len(value) > self.most:
            fail(f"must be at most {self.most} characters long, not {len(value)}")
        if self.pattern and not re.fullmatch(self.pattern, value, re.ASCII):
            fail(f"must be {self.wanted}, not {{value}}", guess=self.guess(value))
        return value

    def guess(self, value: str) -> str:
        """What may have been meant by a value that does not match, or ""."""
        return ""

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "minLength": 1, **({"pattern": f"^(?:{self.pattern})$"} if self.pattern else {})}


@dataclass(frozen=True)
class Name(Line):
    """The name of a stack, service or anything else that the file declares."""

    pattern: str = "[a-z][a-z0-9-]*"
    wanted: str = "lower-case letters, digits and -, beginning with a letter"
    most: int = 32

    def guess(self, value: str) -> str:
        return re.sub(r"[^a-z0-9-]+", "-", value.lower()).lstrip("0123456789-").rstrip("-")


@dataclass(frozen=True)
class AppTarget(Line):
    """`module:attribute` or `module:factory()`."""

    pattern: str = r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*(\.[A-Za-z_]\w*)*(\(\))?"
    wanted: str = "MODULE:OBJECT or MODULE:FACTORY(), as in app:app"

    def guess(self, value: str) -> str:
        module, colon, name = value.partition(":")
        better = f"{module.removesuffix('.py').removeprefix('./').replace('/', '.')}:{name if colon else 'app'}"
        return f'"{better}"' if re.fullmatch(self.pattern, better, re.ASCII) else ""


@dataclass(frozen=True)
class VariableName(Line):
    """The name of an environment variable that the user may set."""

    pattern: str = r"[A-Za-z_]\w*"
    wanted: str = "the name of an environment variable: letters, digits and _"
    most: int = 256

    def read(self, value: Any) -> str:
        name = super().read(value)
        if name.startswith("FAIRLEAD_"):
            fail("begins with FAIRLEAD_, which fairlead keeps for its own variables", "choose another name")
        if name in ("PORT", "SOCKET"):
            fail(f"is set by fairlead, so {name} cannot be given another value", "remove it")
        return name


@dataclass(frozen=True)
class Text(Kind):
    """Any text that an environment or a program can be given: line breaks and tabs, no other control characters."""

    most: int = LONGEST_TEXT

    def read(self, value: Any) -> str:
        if not isinstance(value, str):
            fail("must be text, not {value}", "put quotes around it" if isinstance(value, (int, float)) else "")
        if _NOT_IN_TEXT.search(value):
            fail("must not hold control characters other than line breaks and tabs")
        if len(value) > self.most:
            fail(f"must be at most {self.most} characters long, not {len(value)}")
        return value


@dataclass(frozen=True)
class Words(Kind):
    """A program and its arguments: a string that is split as a shell would, or a list. `none` allows `none` -> ()."""

    none: bool = False

    def read(self, value: Any) -> tuple[str, ...]:
        if self.none and value == "none":
            return ()
        words = self._split(value) if isinstance(value, str) else value
        if not isinstance(words, tuple) or not all(isinstance(word, str) for word in words):
            fail("must be a command: text, or a list of texts, not {value}")
        if not words or not words[0].strip():
            fail("names no program", 'write one, as in "node server.js"')
        if len(words) > MOST_WORDS:
            fail(f"has {len(words)} words, and the most are {MOST_WORDS}")
        for word in words:
            Text().read(word)
        self._refuse_shell_variables(words)
        return words

    def _split(self, text: str) -> tuple[str, ...]:
        if len(text) > LONGEST_COMMAND:
            fail(f"must be at most {LONGEST_COMMAND} characters long, not {len(text)}", "put it into a script")
        try:
            words = tuple(shlex.split(text))
        except ValueError:
            fail("has a quote or a backslash without its end, so it cannot be split into words")
        if found := next((word for word in words if word in _SHELL_WORDS), ""):
            fail(f"is not given to a shell, so {found} would reach the program as a word", "write sh -c '...'")
        return words

    def _refuse_shell_variables(self, words: tuple[str, ...]) -> None:
        """`--port $PORT` is what a Procfile says; here nothing would replace it, and the program could not start."""
        if words[0].rpartition("/")[2] in _SHELLS:
            return
        for name in ("PORT", "SOCKET"):
            if any(re.search(rf"\${name}\b", word) for word in words):
                reason = f"is not given to a shell, so ${name} would reach the program as it stands"
                fail(reason, f"write ${{instance.{name.lower()}}}")

    def show(self, value: Any) -> str:
        return shlex.join(value) if value else "none"

    def json_schema(self) -> dict[str, Any]:
        return {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}, "minItems": 1}]}


@dataclass(frozen=True)
class Address(Kind):
    """An IP address of this machine, version 4 or 6."""

    def read(self, value: Any) -> str:
        meant = {"localhost": "127.0.0.1", "*": "0.0.0.0"}.get(value, "") if isinstance(value, str) else ""
        advice = f"write {meant}" if meant else "127.0.0.1 serves this machine, 0.0.0.0 every network"
        try:
            address = ipaddress.ip_address(value if isinstance(value, str) and "%" not in value else "")
        except ValueError:
            fail("must be an IP address, not {value}", advice)
        # A link-local address means nothing without its interface, which has no place in the file.
        if address.is_multicast or (address.version == 6 and address.is_link_local):
            fail("must be an address of one machine, not {value}", advice)
        return str(address)


@dataclass(frozen=True)
class Cidr(Kind):
    """A network, such as 10.0.0.0/16."""

    def read(self, value: Any) -> str:
        try:
            return str(ipaddress.ip_network(value if isinstance(value, str) and "/" in value else ""))
        except ValueError:
            fail("must be a network such as 10.0.0.0/16, its host bits zero, not {value}")


@dataclass(frozen=True)
class Matcher(Kind):
    """The HTTP codes that pass a health check: `200`, `200,302`, `200-299`, or a mixture; 200 to 499 as on an ALB."""

    def read(self, value: Any) -> str:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not re.fullmatch(r"[0-9]{3}(-[0-9]{3})?(,[0-9]{3}(-[0-9]{3})?){0,49}", text):
            fail('must be HTTP codes such as "200", "200,302" or "200-299", not {value}')
        for part in text.split(","):
            first, _, last = part.partition("-")
            if not 200 <= int(first) <= int(last or first) <= 499:
                fail("must hold codes from 200 to 499, the lower end of a range first, not {value}")
        return text
