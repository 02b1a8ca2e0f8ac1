"""What a load came to: each request's result, and the sum of them, in figures and in words.

In: counts and latencies from `load`. Out: a `Report` whose text a story or a drill prints. The law: a request is lost
when it was not answered with 200; nothing is rounded to zero.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Result:
    """How one request ended."""

    number: int
    at: float
    """Seconds after the load's beginning at which it was due."""
    latency: float
    """Seconds from then to its end."""
    status: int | None
    """None: no whole answer came."""
    error: str = ""
    """What went wrong in the transport: `refused`, `reset before the answer`, `no answer in time` ..."""
    instance: str = ""
    """Which instance answered; known only with the stack's check token."""

    @property
    def ok(self) -> bool:
        return self.status == 200 and not self.error

    @property
    def kind(self) -> str:
        """What it counts as: `status 502`, `refused`."""
        return self.error or f"status {self.status}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """A load's sum. Latencies are seconds, of the requests that were answered with 200; None when none was."""

    sent: int
    """Requests that have ended, one way or the other."""
    seconds: float
    statuses: Mapping[int, int] = field(default_factory=dict)
    errors: Mapping[str, int] = field(default_factory=dict)
    instances: Mapping[str, int] = field(default_factory=dict)
    p50: float | None = None
    p99: float | None = None
    max: float | None = None
    lag: float = 0.0
    """Seconds that the generator itself was late at worst; part of the latencies."""
    lag_p95: float = 0.0
    """Seconds that it was late with all requests but 5 of 100, at most."""
    failures: tuple[Result, ...] = ()
    """The lost requests in the order of their ends (the first thousand of them)."""

    @property
    def ok(self) -> int:
        return self.statuses.get(200, 0)

    @property
    def lost(self) -> int:
        """Requests that were not answered with 200."""
        return self.sent - self.ok

    def __str__(self) -> str:
        """Some lines for people; each kind of loss with the moments of its first and last."""
        rate = self.sent / self.seconds if self.seconds else 0.0
        lines = [
            f"{self.sent} requests in {self.seconds:.1f} s ({rate:.0f}/s): {self.ok} answered 200, {self.lost} lost"
        ]
        if self.p50 is not None and self.p99 is not None and self.max is not None:
            figures = (("p50", self.p50), ("p99", self.p99), ("max", self.max))
            lines.append("  latency " + ", ".join(f"{name} {value * 1000:.1f} ms" for name, value in figures))
        lines += [f"  {kind}: {count}{self._moments(kind)}" for kind, count in sorted(self._losses().items())]
        if self.instances:
            lines.append("  " + ", ".join(f"{name} {count}" for name, count in sorted(self.instances.items())))
        if self.lag > 0.05:
            lines.append(f"  the generator itself was up to {self.lag * 1000:.0f} ms late")
        return "\n".join(lines)

    def _losses(self) -> dict[str, int]:
        return {f"status {status}": n for status, n in self.statuses.items() if status != 200} | dict(self.errors)

    def _moments(self, kind: str) -> str:
        moments = [result.at for result in self.failures if result.kind == kind]
        if not moments:
            return ""
        first, last = min(moments), max(moments)
        return f" (at {first:.2f} s)" if first == last else f" (from {first:.2f} s to {last:.2f} s)"
