"""A certificate as it is handed from where it is kept to where it is shown. Its text is a secret: it holds the key."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Pem:
    """A certificate with its chain and its private key, checked: they belong together."""

    text: str = field(repr=False)
    """PEM, the leaf first, its key last; no empty lines."""
    names: tuple[str, ...]
    """DNS names and addresses that it is for."""
    expires_at: str
    """ISO 8601 UTC."""
    file: str
    """Where it came from; "" for one of the development CA."""
