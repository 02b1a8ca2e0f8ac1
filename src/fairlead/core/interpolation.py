"""The grammar of `${...}`, and the one replacement that happens at launch.

`${env.NAME}` is replaced once, by `spec`, when the file is read. `${instance.*}`, `${secrets.NAME}` and the addresses
of resources (`${databases.ID.url}`) are kept in commands and environments until a program is launched: so no secret is
stored with what is wanted. Then `interpolate_launch` puts them in. The command line uses `env_names` to send the daemon
only those variables of its environment that the file mentions.

Law: a value that was put in is never looked at again, so that no variable can bring in another.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from urllib.parse import quote

from fairlead.errors import NotFound

VARIABLE = re.compile(r"\$\{([^{}]*)(\}?)")
"""One `${...}`: what stands inside, and its closing brace, or "" when it has none (or holds a brace)."""

ENVIRONMENT = re.compile(r"env\.([A-Za-z_][A-Za-z0-9_]*)(?::-(.*))?", re.DOTALL)
"""The inside of `${env.NAME}` or `${env.NAME:-default}`, for `fullmatch`."""

INSTANCE = re.compile(r"\$\{instance\.(port|socket|id|zone)\}")
"""What an instance's own launch replaces."""

REFERENCE = re.compile(r"(secrets)\.([A-Za-z_][A-Za-z0-9_]*)|(caches|databases|buckets)\.([a-z][a-z0-9-]*)\.([a-z]+)")
"""The inside of a `${...}` that names a secret, or an attribute of a resource, for `fullmatch`."""

SECRET = re.compile(r"\$\{secrets\.[A-Za-z_][A-Za-z0-9_]*\}")
"""A whole reference to a secret, as it stands in a text."""

_USER_AND_PASSWORD = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^/?#@]*@")
_LONE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_STAYS = "!$&'()*+,;=:%"
"""Beside letters, digits and `-._~`: what RFC 3986 lets stand in a user and a password."""

_MENTIONED = re.compile(r"\$\{(?:env|secrets)\.([A-Za-z_][A-Za-z0-9_]*)")

# What stands between [ and ] behind `secrets:`, or the items with a dash below it.
_LISTS = re.compile(r"""\bsecrets["']?\s*:\s*(?:\[([^\]]*)|((?:-\s+[^\n]*\s*)+))""")
_COMMENT = re.compile(r"(?m)(?:^|(?<=\s))#.*$")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")


def env_names(text: str) -> tuple[str, ...]:
    """The names that `text` mentions as `${env.NAME` or `${secrets.NAME`, and those that a `secrets:` lists, each
    once. A scan that knows no YAML: it may find a name too many, but none of a file as people write it too few."""
    lists = (flow or block for flow, block in _LISTS.findall(_COMMENT.sub("", text)))
    items = (item.strip().removeprefix("-").strip(" \t\"'") for one in lists for item in re.split(r"[,\n]", one))
    return tuple(dict.fromkeys([*_MENTIONED.findall(text), *filter(_NAME.fullmatch, items)]))


def references(text: str) -> tuple[tuple[str, ...], ...]:
    """What `text` refers to: `("secrets", "NAME")`, `("databases", "ID", "url")`, in the order of mention."""
    found = (REFERENCE.fullmatch(match[1]) for match in VARIABLE.finditer(text) if match[2])
    return tuple(tuple(group for group in one.groups() if group is not None) for one in found if one)


def interpolate_launch(
    text: str, *, port: int | None, socket: str | None, id: str, zone: str, values: Mapping[str, str]
) -> str:
    """`text` with every `${instance.*}` and every reference replaced, in one pass.

    port, socket: where the instance listens; the one it does not listen on is None and reads as "" (`spec` refuses a
    file that would show that). id: `web-1`. zone: `a`. values: `secrets.NAME`, `databases.ID.url` -> what it stands
    for. NotFound when a reference has no value.
    """
    own = {
        "instance.port": "" if port is None else str(port),
        "instance.socket": socket or "",
        "instance.id": id,
        "instance.zone": zone,
    }

    def one(match: re.Match[str]) -> str:
        inside = match[1] if match[2] else ""
        if inside in own:
            return own[inside]
        if not REFERENCE.fullmatch(inside):
            return match[0]
        if inside not in values:
            raise _without_value(inside)
        return values[inside]

    return VARIABLE.sub(one, text)


def interpolate_url(url: str, values: Mapping[str, str]) -> str:
    """`url` with every reference replaced. In its user and password, where a `/` or `@` of a password would end them, a
    value is percent-encoded, but for what is so already; elsewhere, and where it is the whole URL, it stands as it is.
    values: as for `interpolate_launch`. NotFound, too."""
    match = _USER_AND_PASSWORD.match(url)
    end = match.end() if match else 0
    encoded = {name: quote(_LONE_PERCENT.sub("%25", value), safe=_STAYS) for name, value in values.items()}

    def put_in(text: str, which: Mapping[str, str]) -> str:
        return interpolate_launch(text, port=None, socket=None, id="", zone="", values=which)

    return put_in(url[:end], encoded) + put_in(url[end:], values)


def _without_value(inside: str) -> NotFound:
    if inside.startswith("secrets."):
        name = inside.removeprefix("secrets.")
        return NotFound(f"the secret {name} is not set", "it was removed meanwhile", f"fairlead secret set {name}")
    return NotFound(f"${{{inside}}} has no value", "the resource is not there", "fairlead up")
