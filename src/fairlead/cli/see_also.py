"""Which commands are read next, as the last line of each command's help.

Apart from `manual`, because every command pays for this one.
"""

from __future__ import annotations

from inspect import cleandoc

SEE_ALSO = {
    "init": ("up", "plan", "schema"),
    "up": ("plan", "status", "check", "down"),
    "plan": ("up", "schema"),
    "down": ("up", "status", "daemon"),
    "status": ("explain", "metrics", "events", "logs"),
    "metrics": ("status", "explain", "logs"),
    "scale": ("status", "instance", "explain", "suspend"),
    "suspend": ("resume", "scale", "status", "explain"),
    "resume": ("suspend", "status", "explain"),
    "restart": ("up", "status", "instance"),
    "instance": ("status", "exec", "explain"),
    "logs": ("events", "status", "explain"),
    "events": ("explain", "logs", "status"),
    "explain": ("status", "metrics", "events", "logs"),
    "check": ("status", "events"),
    "drill": ("simulate", "check", "metrics", "instance"),
    "simulate": ("drill", "metrics", "scale"),
    "exec": ("run", "instance", "logs"),
    "run": ("exec", "jobs"),
    "jobs": ("run", "logs", "status"),
    "data": ("status", "logs", "down"),
    "secret": ("up", "status", "data"),
    "trust": ("up", "check"),
    "schema": ("init", "plan"),
    "completion": ("status",),
    "daemon": ("up", "down", "status"),
}
"""Command -> the commands that are read next."""


def with_see_also(name: str, epilog: str | None) -> str:
    """A command's epilog, ending with what to see also; unchanged when it does already."""
    text = cleandoc(epilog or "")
    line = f"See also: {', '.join(f'fairlead {other}' for other in SEE_ALSO.get(name, ()))}"
    if name not in SEE_ALSO or text.endswith(line):
        return text
    return f"{text}\n\n{line}" if text else line
