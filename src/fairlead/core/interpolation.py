"""The grammar of `${...}`, and the one replacement that happens at launch.

`${env.NAME}` and its kin are replaced once, by `spec`, when the file is read; `${instance.*}` is kept in commands and
environments until an instance is launched, when engines call `interpolate_instance`. The command line uses `env_names`
to send the daemon only those variables of its environment that the file mentions.

Law: a value that was put in is never looked at again, so that no variable can bring in another.
"""

from __future__ import annotations

import re

VARIABLE = re.compile(r"\$\{([^{}]*)(\}?)")
"""One `${...}`: what stands inside, and its closing brace, or "" when it has none (or holds a brace)."""

ENVIRONMENT = re.compile(r"env\.([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
"""The inside of `${env.NAME}` or `${env.NAME:-default}`, for `fullmatch`."""

INSTANCE = re.compile(r"\$\{instance\.(port|socket|id|zone)\}")
"""What an instance's own launch replaces."""

_MENTIONED = re.compile(r"\$\{env\.([A-Za-z_][A-Za-z0-9_]*)")


def env_names(text: str) -> tuple[str, ...]:
    """The names that `text` mentions as `${env.NAME`, each once, in the order of their first mention."""
    return tuple(dict.fromkeys(_MENTIONED.findall(text)))


def interpolate_instance(text: str, *, port: int | None, socket: str | None, id: str, zone: str) -> str:
    """`text` with every `${instance.*}` replaced, in one pass.

    port, socket: where the instance listens; the one it does not listen on is None and reads as "" (`spec` refuses a
    file that would show that). id: `web-1`. zone: `a`.
    """
    values = {"port": "" if port is None else str(port), "socket": socket or "", "id": id, "zone": zone}
    return INSTANCE.sub(lambda match: values[match[1]], text)
