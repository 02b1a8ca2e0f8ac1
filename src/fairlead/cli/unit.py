"""The systemd unit of a home's daemon, as text. Pure: what goes in is values, what goes out is the file.

The law: systemd keeps the daemon and nothing else. Its restart, its end and its death by the OOM killer leave HAProxy
and the instances alone (KillMode=process, OOMPolicy=continue), which is why the next daemon finds them to adopt. Every
value is quoted for systemd (systemd.syntax(7), systemd.service(5) "Command lines"); what cannot be quoted is refused.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, field

from fairlead.errors import UsageError

NAME = "fairlead.service"

MARKER = "# Written by `fairlead daemon install`; `fairlead daemon uninstall` removes it."
"""The first line of every unit of ours: only a file that begins with it is ever replaced or removed."""

TAKE_OVER = 30
"""Seconds that a daemon started by systemd waits for another one to let go of the home, before it gives way."""

OPEN_FILES = 524288
"""Descriptors: HAProxy needs two a request. Above systemd's own default nothing is won without a sysctl."""

SHOWN_BY_SYSTEMD = ("PATH", "TZ", "FAIRLEAD_HAPROXY", "FAIRLEAD_MARIADB", "SSL_CERT_FILE", "SSL_CERT_DIR", "LANG")
"""Variables of the installing shell that the daemon needs too. A unit can be read by everybody: never secrets."""

_PROXIES = re.compile(r"(?:https?|all|no)_proxy", re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Unit:
    """user: for the user's own manager instead of the system's. python, home: absolute paths."""

    user: bool
    python: str
    home: str
    environment: Mapping[str, str] = field(default_factory=dict)


def render(unit: Unit) -> str:
    """The file. UsageError: a value holds what no unit can say."""
    lines = [
        MARKER,
        f"# Changes of your own belong into `systemctl {'--user ' if unit.user else ''}edit fairlead`.",
        "",
        "[Unit]",
        f"Description=fairlead daemon of {_bare(unit.home)}",
    ]
    if not unit.user:
        lines += [
            "Wants=network-online.target",
            "After=network-online.target",
            f"RequiresMountsFor={quoted(unit.home)}",
        ]
    lines += [
        "# A home that was moved away: a daemon in a new, empty one would end what runs.",
        f"ConditionPathIsDirectory={_bare(unit.home)}",
        "# It is tried for ever: what runs needs it.",
        "StartLimitIntervalSec=0",
        "",
        "[Service]",
        "Type=exec",
        f"ExecStart={_command(unit.python)}",
        f"Environment={quoted(f'FAIRLEAD_HOME={unit.home}')}",
        *(f"Environment={quoted(f'{name}={value}')}" for name, value in sorted(unit.environment.items())),
        "# HAProxy and the instances outlive the daemon, and are adopted by the next one.",
        "KillMode=process",
        "# An instance that is killed for want of memory is replaced; it must not end the rest.",
        "OOMPolicy=continue",
        "# 0: it was asked to end, as by `fairlead down --all`.",
        "Restart=always",
        "RestartPreventExitStatus=0",
        "RestartSec=100ms",
        "TimeoutStopSec=30",
        "# Instances are its descendants: no limit of systemd's may fall on them.",
        "Delegate=yes",
        "TasksMax=infinity",
        f"LimitNOFILE={OPEN_FILES}",
        "# Sockets may lie in /tmp, and HAProxy and commands must see the same one.",
        "PrivateTmp=no",
        "",
        "[Install]",
        f"WantedBy={'default.target' if unit.user else 'multi-user.target'}",
    ]
    return "\n".join(lines) + "\n"


def carried(environment: Mapping[str, str]) -> dict[str, str]:
    """Those variables of the installing shell that go into the unit: where programs and certificates are, and proxies
    without a password."""
    return {
        name: value
        for name, value in environment.items()
        if value and (name in SHOWN_BY_SYSTEMD or (_PROXIES.fullmatch(name) and "@" not in value)) and _sayable(value)
    }


def with_python(text: str, python: str) -> str:
    """A unit of ours with another interpreter, all else as it is."""
    lines = (f"ExecStart={_command(python)}" if line.startswith("ExecStart=") else line for line in text.splitlines())
    return "\n".join(lines) + "\n"


def home_of(text: str) -> str | None:
    """The home that a unit of ours runs, or None when the text is not ours."""
    if not is_ours(text):
        return None
    for line in text.splitlines():
        if line.startswith('Environment="FAIRLEAD_HOME='):
            return _unquoted(line.removeprefix("Environment=")).removeprefix("FAIRLEAD_HOME=")
    return None


def is_ours(text: str) -> bool:
    return text.startswith(MARKER + "\n")


def quoted(value: str) -> str:
    """One word of a setting, in double quotes. UsageError when systemd could not be told it."""
    _check(value)
    return '"' + _specifiers(value.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _bare(path: str) -> str:
    """A path that stands alone and unquoted, as conditions want it: the line's end and its backslash would be lost."""
    _check(path)
    if path != path.strip() or path.endswith("\\"):
        raise UsageError(
            "a systemd unit cannot say this path", f"{path!r} ends with a blank or a backslash", "Choose another home."
        )
    return _specifiers(path)


def _check(value: str) -> None:
    if not _sayable(value):
        raise UsageError(
            "a systemd unit cannot say this path or variable",
            f"{value!a} holds a control character, or is not UTF-8",
            "Choose a home and an interpreter with ordinary names.",
        )


def _command(python: str) -> str:
    """`:` keeps systemd from replacing `$NAME`. Its own rules refuse a program whose path has quotes or a backslash:
    then a shell, given the path as a word, becomes the program."""
    words = [python, "-P", "-m", "fairlead", "daemon", "--take-over", str(TAKE_OVER)]
    if any(character in python for character in "\"'\\"):
        words = ["/bin/sh", "-c", 'exec "$0" "$@"', *words]
    return ":" + " ".join(word if re.fullmatch(r"[A-Za-z0-9_./+-]+", word) else quoted(word) for word in words)


def _specifiers(value: str) -> str:
    return value.replace("%", "%%")


def _sayable(value: str) -> bool:
    return not any(unicodedata.category(character) in ("Cc", "Cs") for character in value)


def _unquoted(word: str) -> str:
    return re.sub(r"\\(.)", r"\1", word[1:-1]).replace("%%", "%")
