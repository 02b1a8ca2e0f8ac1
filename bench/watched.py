"""What auto scaling costs a daemon that is idle: ten instances whose size is looked at once a second, by two policies,
against ten whose size is fixed. The same daemon and the same instances, in turn."""

from __future__ import annotations

import statistics

from bench.daemon import idle
from bench.group import Group, a_group
from bench.machine import CannotMeasure, Memory, note

INSTANCES, ROUNDS = 10, 2

FIXED = {"instances": INSTANCES}
SCALED = {
    "scaling": {
        "min": INSTANCES,
        "max": 2 * INSTANCES,
        "policies": [
            {"target": {"metric": "requests_per_target", "value": 100}},
            {"target": {"metric": "cpu", "value": "60%"}},
        ],
    }
}


def measure() -> bool:
    """Print the table; there are no bars (`python -m bench daemon` has that of an idle daemon)."""
    found: dict[str, list[tuple[float, Memory]]] = {"off": [], "on": []}
    with a_group(**FIXED) as group:
        for number in range(ROUNDS):
            for name, sizes in (("off", FIXED), ("on", SCALED)):
                note(f"scaling: a daemon idle with scaling {name}, {number + 1} of {ROUNDS}")
                group.up(**sizes)
                found[name].append(idle(group.fairlead))
                _see(group, name)
    print(f"daemon idle with {INSTANCES} instances, {ROUNDS} times in turn, means: CPU of one core, memory")
    for name, rounds in found.items():
        percent, pss, rss = (
            statistics.fmean(values)
            for values in zip(*((used, memory.pss, memory.rss) for used, memory in rounds), strict=True)
        )
        spread = f"({min(used for used, _ in rounds):.2f}..{max(used for used, _ in rounds):.2f})"
        print(f"  scaling {name:4} {percent:7.2f} % {spread} {pss:9.1f} MB PSS {rss:9.1f} MB RSS")
    print()
    return True


def _see(group: Group, name: str) -> None:
    """CannotMeasure: the size was not looked at, or changed."""
    service = group.service()
    policies = [policy["state"] for policy in (service["scaling"] or {}).get("policies", [])]
    if len(service["instances"]) != INSTANCES or policies != {"off": [], "on": ["ALARM", "ALARM"]}[name]:
        raise CannotMeasure(f"scaling {name}: {policies}, {len(service['instances'])} instances")
