"""The kinds of value that are text: lines, names, commands, addresses.

Everything here that could reach HAProxy, a terminal or `execve` is free of the control characters that would do harm
there; how a text is quoted for a language is the business of whoever writes that language.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
import urllib.parse
from dataclasses import dataclass
from typing import Any

from fairlead.core.interpolation import SECRET
from fairlead.spec.problems import listed
from fairlead.spec.schema.kinds import Kind, fail

MOST_WORDS = 1000
LONGEST_COMMAND = 10_000
"""Characters of a command that is to be split into words."""
LONGEST_URL = 2048
LONGEST_TEXT = 100_000
"""Characters of a variable or of a program's word: below Linux's 128 KiB for one string of `execve`."""

_NOT_IN_TEXT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")
_NOT_IN_LINE = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_CODES = re.compile(r"[0-9]{1,3}(-[0-9]{1,3})?(,[0-9]{1,3}(-[0-9]{1,3})?){0,49}")
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

    def form(self) -> str:
        return self.wanted or "text on one line"

    def json_schema(self) -> dict[str, Any]:
        pattern = {"pattern": f"^(?:{self.pattern})$"} if self.pattern else {}
        return {"type": "string", "minLength": 1, "maxLength": self.most, **pattern}


@dataclass(frozen=True)
class Name(Line):
    """The name of a stack, service or anything else that the file declares."""

    pattern: str = "[a-z][a-z0-9-]*"
    wanted: str = "lower-case letters, digits and -, beginning with a letter"
    most: int = 32

    def guess(self, value: str) -> str:
        return re.sub(r"[^a-z0-9-]+", "-", value.lower()).lstrip("0123456789-").rstrip("-")


@dataclass(frozen=True)
class HealthPath(Line):
    """What a health check asks for: a path, with a query if need be. What a URL wants encoded must be."""

    pattern: str = r"/([A-Za-z0-9._~!$&()*+,;=:@/?-]|%[0-9A-Fa-f]{2})*"
    wanted: str = "a path that begins with / and holds no blanks, percent-encoded"


@dataclass(frozen=True)
class PathPattern(Line):
    """The path of a rule: the characters that an ALB takes, without its quotes."""

    pattern: str = r"[/*][A-Za-z0-9_.$/~@:+&*?-]*"
    wanted: str = "a path that begins with / and holds letters, digits and _-.$/~@:+& (* and ? stand for others)"
    most: int = 128

    def guess(self, value: str) -> str:
        return f"/{value}" if re.fullmatch(self.pattern, f"/{value}", re.ASCII) else ""


@dataclass(frozen=True)
class HostPattern(Line):
    """The host of a rule. The port of a request's Host header is not compared."""

    pattern: str = r"[A-Za-z0-9_*?]([A-Za-z0-9_.*?-]*[A-Za-z0-9_*?])?"
    wanted: str = "a host name without its port (* and ? stand for any characters and for one)"
    most: int = 128

    def guess(self, value: str) -> str:
        host = re.sub(r"^[a-z]+://", "", value).partition("/")[0].partition(":")[0]
        return host if re.fullmatch(self.pattern, host, re.ASCII) else ""


@dataclass(frozen=True)
class Url(Kind):
    """The address of a server, with its host. It may hold a password or a token, so no message repeats it.

    What `${secrets.NAME}` stands for is not known here: an address that begins with one is taken as it is, another is
    judged with a digit in the place of each. With `drivers` a scheme may have one behind it: `mysql+pymysql`."""

    schemes: tuple[str, ...] = ("http", "https")
    drivers: bool = False

    def read(self, value: Any) -> str:
        known = isinstance(value, str) and not SECRET.match(value)
        if not isinstance(value, str) or (known and not re.match(f"{self._schemes()}://", value)):
            fail(f"must be {self.form()}")
        if len(value) > LONGEST_URL:
            fail(f"must be at most {LONGEST_URL} characters long, not {len(value)}")
        text = SECRET.sub("1", value)
        if not re.fullmatch(r"[\x21-\x7e]+", text):
            fail("must hold no blanks and none but ASCII characters, others percent-encoded")
        if known:
            self.judge(text, value)
        return value

    def judge(self, text: str, written: str) -> None:
        """What else is wrong with an address that begins with one of the schemes. text: with the digits, written: as it
        stands in the file."""
        try:
            parts = urllib.parse.urlsplit(text)
            named = bool(parts.hostname) and parts.port != 0
        except ValueError:
            named = False
        if not named:
            advice = "percent-encode what is special in a user or a password: / is %2F" if "@" in text else ""
            fail("must name a host after the //, and a port from 1 to 65535 if any", advice)

    def _schemes(self) -> str:
        driver = r"(\+[a-z0-9_]+)?" if self.drivers else ""
        return f"({'|'.join(self.schemes)}){driver}"

    def form(self) -> str:
        return f"an address beginning with {listed(f'{scheme}://' for scheme in self.schemes)}"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": rf"^{self._schemes()}://[\x21-\x7e]+$", "maxLength": LONGEST_URL}


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

    def form(self) -> str:
        return "text"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "maxLength": self.most}


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

    def form(self) -> str:
        return "command, or a list of its words" + (", or `none`" if self.none else "")

    def json_schema(self) -> dict[str, Any]:
        # A number among the words is taken as it is written.
        words = {"type": "array", "items": {"type": ["string", "number", "boolean"]}, "minItems": 1}
        return {"anyOf": [{"type": "string", "minLength": 1}, {**words, "maxItems": MOST_WORDS}]}


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
        if four := getattr(address, "ipv4_mapped", None):
            fail("must be an address that programs listen on, not {value}", f"write {four}")
        return str(address)

    def form(self) -> str:
        return "IP address of this machine"


@dataclass(frozen=True)
class Cidr(Kind):
    """A network, such as 10.0.0.0/16."""

    def read(self, value: Any) -> str:
        try:
            return str(ipaddress.ip_network(value if isinstance(value, str) and "/" in value else ""))
        except ValueError:
            fail("must be a network such as 10.0.0.0/16, its host bits zero, not {value}")

    def form(self) -> str:
        return "network such as 10.0.0.0/16"

    def json_schema(self) -> dict[str, Any]:
        return {"type": "string", "pattern": "^[0-9A-Fa-f.:]+/[0-9]{1,3}$"}


@dataclass(frozen=True)
class Matcher(Kind):
    """The codes that pass a health check: `200`, `200,302`, `200-299`, or a mixture; of HTTP 200 to 499, of gRPC 0 to
    99, as on an ALB. Which of the two a service has, its `protocol` says."""

    def read(self, value: Any) -> str:
        text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
        if not isinstance(text, str) or not _CODES.fullmatch(text):
            fail('must be HTTP codes such as "200", "200,302" or "200-299", not {value}')
        if not any(
            all(least <= first <= last <= most for first, last in ranges(text)) for least, most in CODES.values()
        ):
            fail("must hold codes from 200 to 499 (of gRPC 0 to 99), the lower end of a range first, not {value}")
        return text

    def form(self) -> str:
        return 'HTTP codes, as in "200", "200,302" or "200-299" (of gRPC 0 to 99)'

    def json_schema(self) -> dict[str, Any]:
        codes = {"type": "string", "pattern": f"^{_CODES.pattern}$"}
        return {"anyOf": [codes, {"type": "integer", "minimum": 0, "maximum": 499}]}


CODES = {"HTTP": (200, 499), "gRPC": (0, 99)}
"""Of each protocol the least and the most code that a matcher may hold."""


def ranges(matcher: str) -> list[tuple[int, int]]:
    """Of each part of a matcher the first code and the last."""
    ends = (part.partition("-") for part in matcher.split(","))
    return [(int(first), int(last or first)) for first, _, last in ends]
