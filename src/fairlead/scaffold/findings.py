"""What was found in a folder, as values: services and their keys, each with where it was seen, or assumed."""

from __future__ import annotations

from dataclasses import dataclass, field

Value = str | int | tuple[str, ...] | tuple[tuple[str, ...], ...] | dict[str, str]
"""Of a key: text, a number, the words of a command, several commands, or names with texts."""


@dataclass(frozen=True, slots=True)
class Key:
    """One key of a service. comment: a sentence that stands above it. active: false writes it as a comment. hints: more
    names with texts, below the others as comments."""

    name: str
    value: Value
    comment: str = ""
    active: bool = True
    hints: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HealthPath:
    """path: the one proposed. others: those to try when it fails, in order. found: whether the source names it."""

    path: str
    comment: str
    others: tuple[str, ...] = ()
    found: bool = True


@dataclass(frozen=True, slots=True)
class ServiceDraft:
    """One service of the file to be. health: None where it serves no requests."""

    name: str
    keys: tuple[Key, ...]
    health: HealthPath | None = None
    health_host: str = ""
    """The Host header that the app insists on, or ""."""
    summary: str = ""
    """What it is, in a clause for people: `the Flask app in app.py`."""

    def key(self, name: str) -> Key | None:
        return next((key for key in self.keys if key.name == name), None)


@dataclass(frozen=True, slots=True)
class Draft:
    """name: of the stack. warnings: sentences about what will bite."""

    name: str
    services: tuple[ServiceDraft, ...]
    warnings: tuple[str, ...] = field(default=())
