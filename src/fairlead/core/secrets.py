"""Secrets as people give them: what they may be called, and what is made of a value that was typed or pasted.

In: names and texts. Out: what is kept, and what was taken off, in words. Pure. The law: nothing said here repeats a
value, or a name that is none: it may be a value in the wrong place.
"""

from __future__ import annotations

import re

from fairlead.errors import UsageError

LONGEST = 64 * 1024
"""Bytes of a value as UTF-8; Linux gives a program no variable of more than 128 KiB."""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,255}", re.ASCII)

SHELLS_OWN = frozenset(
    ("_", "BASHOPTS", "BASH_ENV", "ENV", "EUID", "IFS", "LINENO", "OLDPWD", "OPTARG", "OPTERR", "OPTIND", "PPID", "PS1",
     "PS2", "PS4", "PWD", "SHELLOPTS", "SHLVL", "UID")
)  # fmt: skip
"""Names that a shell gives values of its own, or refuses to set. A program that wants such a variable is started by
`env NAME=VALUE`, which everybody can read for a moment: no place for a secret."""

_MARKS = "\ufeff"
_INVISIBLE = "\u00ad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f"
_AROUND = re.compile(f"[\\s{_MARKS}{_INVISIBLE}]*")
_UNSEEN = re.compile(f"[\u00a0{_MARKS}{_INVISIBLE}]")
_REFUSED = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f]")
_NOT_TEXT = re.compile("[\ud800-\udfff]")

_TAKEN_OFF = (
    (re.compile("[\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]"), "line breaks"),
    (re.compile(f"[{_MARKS}]"), "a byte order mark"),
    (re.compile(f"[{_INVISIBLE}]"), "invisible characters"),
    (re.compile("[^\\S\r\n\x0b\x0c\x1c-\x1e\x85\u2028\u2029]"), "blanks"),
)
"""What may stand round a value by mistake, and how it is called."""


def check_name(name: str) -> None:
    """UsageError: it cannot be the name of a secret, which becomes a variable."""
    if not _NAME.fullmatch(name):
        raise UsageError(
            "that is no name of a secret",
            "it has letters, digits and _, as variables have, and does not begin with a digit",
            "For example: fairlead secret set STRIPE_KEY (the value is asked for, or read from stdin).",
        )
    if name.startswith("FAIRLEAD_") or name in ("PORT", "SOCKET"):
        raise UsageError(f"{name} cannot be a secret", "fairlead sets that variable itself", "Choose another name.")
    if name in SHELLS_OWN:
        raise UsageError(f"{name} cannot be a secret", "shells have a variable of that name", "Choose another name.")


def trimmed(text: str) -> tuple[str, tuple[str, ...]]:
    """The value that is meant by `text`, and what was taken off or made plain, in words: white space at both ends, and
    what pasting brings with it; line ends as Windows writes them."""
    start = _end_of_run(text)
    stop = max(start, len(text) - _end_of_run(text[::-1]))
    off = text[:start] + text[stop:]
    said = [words for pattern, words in _TAKEN_OFF if pattern.search(off)]
    value = text[start:stop]
    if "\r\n" in value:
        value = value.replace("\r\n", "\n")
        said.append("carriage returns")
    return value, tuple(said)


def _end_of_run(text: str) -> int:
    match = _AROUND.match(text)
    assert match is not None
    return match.end()


def unseen_in(value: str) -> str:
    """What pasting may have brought into the middle of a trimmed value, where it stays, as a clause about it; "" when
    there is nothing of the kind."""
    found = _UNSEEN.search(value)
    return f"character {found.start() + 1} of it, U+{ord(found[0]):04X}, is not to be seen, and stays" if found else ""


def flaw_of(value: str) -> str:
    """Why a trimmed value cannot be a secret, as a clause about it; "" when it can."""
    if not value:
        return "it is empty"
    if _NOT_TEXT.search(value):
        return "it is not UTF-8"
    size = len(value.encode())
    if size > LONGEST:
        return f"it has {size} bytes, and may have {LONGEST}"
    found = _REFUSED.search(value)
    if found:
        # Its place may be told: it says nothing of the rest.
        return f"character {found.start() + 1} of it is the control character U+{ord(found[0]):04X}"
    return ""
