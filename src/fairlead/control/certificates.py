"""What there is to tell of certificates that listeners show: one taken over, one that cannot be, one about to expire.

In: what the balancer reports. Out: events, each once. What was there when the daemon came is not news, but its problems
are.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from fairlead.control.journal import Journal
from fairlead.core.traffic import CertificateReport

SOON = 14
"""Days before its end that a certificate is worth a warning."""

Shown = tuple[str, str, int, str, tuple[str, ...]]
"""A place of a certificate: stack, address, port, file, and, of one of the development CA, its names."""


class Certificates:
    """Of one daemon."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._seen: dict[Shown, CertificateReport] = {}
        self._told: set[tuple[str, str]] = set()

    def tell(self, reports: Sequence[CertificateReport], wall: str) -> None:
        """Record what is new since the last time."""
        seen = {_place(report): report for report in reports}
        said: set[tuple[str, str]] = set()
        for place, report in seen.items():
            before = self._seen.get(place)
            if before is not None and before.expires_at != report.expires_at:
                text = f"{_named(report)} taken over, valid until {report.expires_at}"
                self._journal.event(report.stack, "certificate", text)
            for problem in _problems(report, wall):
                said.add((report.stack, problem))
        for stack, problem in sorted(said - self._told):
            self._journal.event(stack, "certificate", problem)
        self._seen, self._told = seen, said


def _place(report: CertificateReport) -> Shown:
    return report.stack, report.address, report.port, report.file, () if report.file else report.names


def _named(report: CertificateReport) -> str:
    names = ", ".join(report.names[:3]) + (" ..." if len(report.names) > 3 else "")
    return f"certificate of {report.address}:{report.port} for {names}"


def _problems(report: CertificateReport, wall: str) -> list[str]:
    if report.problem:
        return [f"{_named(report)}: {report.problem}"]
    left = datetime.fromisoformat(report.expires_at) - datetime.fromisoformat(wall)
    # Those of the development CA are issued again by themselves.
    if not report.file or left.days >= SOON:
        return []
    when = "has expired" if left.total_seconds() < 0 else f"expires in {left.days} days"
    return [f"{_named(report)} {when}; put a new one into {report.file}, and it is taken over"]
