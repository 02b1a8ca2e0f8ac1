"""What one question came to: the value that the page and the API both show."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .addresses import Address
from .lookups import Answer
from .places import Place


@dataclass(frozen=True, kw_only=True)
class Result:
    """answer: of a public address that could be looked up. failure: why it could not be, now."""

    address: Address
    answer: Answer | None = None
    failure: str = ""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)

    @property
    def place(self) -> Place | None:
        return self.answer.place if self.answer else None

    @property
    def reason(self) -> str:
        """Why there is no place; "" when there is one."""
        if self.answer:
            return "" if self.answer.place else "nobody who was asked knows where it is"
        return self.failure or self.address.reason

    @property
    def source(self) -> str:
        """Who knew: `cache`, `memory`, `provider`; `rules`, when no look-up was needed; `nobody`."""
        return self.answer.source if self.answer else "nobody" if self.failure else "rules"

    def to_json(self, provider: str, cache: str, instance: str) -> dict[str, Any]:
        """The same keys always. Times in seconds, null when nothing was looked up."""
        answer = self.answer
        return {
            "ip": self.address.text,
            "kind": self.address.kind,
            "place": self.place.to_json() if self.place else None,
            "reason": self.reason or None,
            "provider": provider,
            "answered_from": self.source,
            "cache": {
                "state": cache,
                "age": round(answer.age, 3) if answer else None,
                "remaining": round(answer.remaining, 3) if answer else None,
                "stale": (answer.stale or None) if answer else None,
            },
            "instance": instance,
        }
