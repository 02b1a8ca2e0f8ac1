"""HAProxy's counters, played: they count as 2.8.25 was seen to count (docs/internals/balancer.md). For pure tests."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fairlead.haproxy.counts import BACKEND, NONE, Counts, Row
from fairlead.haproxy.ring import Done, Ring
from fairlead.haproxy.servers import SAFE

ATTEMPTS = 4
"""Of one request that is tried again."""


def counts(**changes: int) -> Counts:
    return NONE._replace(**changes)


class Backend:
    """One backend and its servers; beside what it counts, what really happened."""

    def __init__(self, role: str = SAFE, full: str = "shop.web") -> None:
        self.role, self.full = role, full
        self._backend: Counter[str] = Counter()
        self._servers: dict[str, Counter[str]] = {}
        self.did: dict[str, Done] = {}
        self.requests = self.own = 0

    def request(self, server: str, outcome: str, *, other: str = "") -> None:
        """One request at that server. `ok`, `error` (an answer of 500), `nonsense`, `cut` (half an answer), `silent`
        (it closes without an answer), `refused` (no connection). other: who takes what is tried again, successfully;
        nobody: it is tried at the same server until it is given up."""
        self._backend["taken"] += 1
        self.requests += 1
        mine = self._of(server)
        again = {"silent": self.role == SAFE, "refused": True}.get(outcome, False)
        attempts = ATTEMPTS if again and not other else 1
        mine["taken"] += attempts
        mine["connects"] += attempts
        did = Counter(requests=attempts, connections=0 if outcome == "refused" else attempts)
        if outcome in ("ok", "cut"):
            mine["successes"] += 1
            self._backend["successes"] += 1
            did["successes"] += 1
            if outcome == "cut":
                mine["failed"] += 1
                mine["cut"] += 1
        elif outcome == "error":
            mine["server_errors"] += 1
            self._backend["server_errors"] += 1
            did["server_errors"] += 1
        elif again and other:
            mine["elsewhere"] += 1
            mine["again"] += 1 if outcome == "silent" else 0
            mine["failed"] += 1 if outcome == "silent" else 0
            did += Counter(retried=1, broken=int(outcome == "silent"), connection_errors=int(outcome == "refused"))
            self._backend["taken"] -= 1
            self.requests -= 1
            self.request(other, "ok")
        else:
            self._backend["server_errors"] += 1
            self.own += 1
            if outcome == "refused":
                mine["again"] += attempts - 1
                mine["unreachable"] += 1
                self._backend["unreachable"] += 1
                did += Counter(connection_errors=attempts, retried=attempts - 1)
            else:
                mine["again"] += 2 * (attempts - 1)
                mine["failed"] += attempts + (1 if outcome == "silent" else 0)
                did += Counter(broken=attempts, retried=attempts - 1)
        self.did[server] = self.did.get(server, Done()).plus(Done(**did))

    def nobody(self) -> None:
        """A request for which there is no server."""
        for name in ("taken", "denied", "server_errors"):
            self._backend[name] += 1
        self.own += 1

    def delete(self, server: str) -> None:
        del self._servers[server]

    @property
    def servers(self) -> list[str]:
        return list(self._servers)

    def add(self, server: str) -> None:
        self._servers.setdefault(server, Counter())

    def rows(self) -> dict[Row, Counts]:
        """As `parse_counts` reads them."""
        proxy = self.full + self.role
        found: dict[Row, Counts] = {(proxy, name): _made(one) for name, one in self._servers.items()}
        found[proxy, BACKEND] = _made(self._backend)
        return found

    def ring(self) -> Ring:
        servers: dict[str, Any] = {name: _made(one) for name, one in self._servers.items()}
        return Ring(role=self.role, backend=_made(self._backend), servers=servers)

    def _of(self, server: str) -> Counter[str]:
        return self._servers.setdefault(server, Counter())


def _made(counter: Counter[str]) -> Counts:
    return counts(**counter)
