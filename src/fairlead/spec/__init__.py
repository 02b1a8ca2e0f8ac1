"""The declared file: text -> validated `Stack`, with every problem at once and at its place.

Stages, each a module: `document` (parse), `overrides` (what is changed beside the file), `interpolate`, `validate`
(with `schema` and `references`), `support`; `reader` runs them. `describe` says what every key is, for `jsonschema` and
`page`, which publish it. Nothing here knows a running system.

The stages are imported when a file is read and not before: pydantic and the schema take 0.3 s, which a daemon that
comes back after a crash has better uses for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from fairlead.core.model import Stack

__all__ = ["parse_text", "read"]


def read(path: str, *, env: Mapping[str, str], dotenv: str = "", changes: Sequence[str] = ()) -> Stack:
    """The stack that the file at `path` (absolute) declares.

    env: the command line's environment, or what the file mentions of it; it wins over dotenv. dotenv: the text of
    `.env` beside the file, or "". changes: values that hold instead of the file's (`services.web.scaling.max=6`).
    SpecError: the file cannot be read, or it has problems; then all of them.
    """
    from fairlead.spec import reader

    return reader.read(path, env=env, dotenv=dotenv, changes=changes)


def parse_text(text: str, path: str, env: Mapping[str, str], dotenv: str = "") -> Stack:
    """As `read`, with the file's text in hand and without looking at the disk: source folders are not checked."""
    from fairlead.spec import reader

    return reader.parse_text(text, path, env, dotenv)
