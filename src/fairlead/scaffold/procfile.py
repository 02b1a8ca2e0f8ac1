"""A Procfile: one process a line, `name: command`."""

from __future__ import annotations

import re

_LINE = re.compile(r"([A-Za-z0-9_-]+)\s*:\s*(\S.*)")


def processes(text: str) -> dict[str, str]:
    """Name -> command, in the file's order; lines that say nothing are passed over."""
    found = {}
    for line in text.splitlines():
        match = _LINE.fullmatch(line.strip())
        if match and not line.lstrip().startswith("#"):
            found[match[1]] = match[2].strip()
    return found
