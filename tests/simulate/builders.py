"""What the tests of the simulator share: stacks with a policy, and simulations of them."""

from __future__ import annotations

from fairlead.core.model import Stack
from fairlead.simulate.app import App
from fairlead.simulate.grammar import load_of
from fairlead.simulate.load import Load
from fairlead.simulate.result import Result
from fairlead.simulate.run import run
from fairlead.spec import parse_text

BEGAN = 1_795_737_600
"""2026-11-27 00:00 UTC, a Friday."""

APP = App(capacity=100, service_time=0.05, start_time=2)

TRACKING = "[{target: {metric: requests_per_target, value: 70}}]"


def a_stack(scaling: str = f"{{min: 2, max: 10, policies: {TRACKING}}}", more: str = "") -> Stack:
    """A stack `shop` with one service `web`. more: keys of the service, in YAML's flow style."""
    extra = f", {more}" if more else ""
    return parse_text(f"name: shop\nservices:\n  web: {{app: 'app:app', scaling: {scaling}{extra}}}\n", "/x/f.yaml", {})


def no_file(path: str) -> Load:
    raise AssertionError(f"{path} is not asked for")


def simulated(
    load: str | Load, stack: Stack | None = None, app: App = APP, *, began: int = BEGAN, seed: int = 1
) -> Result:
    given = load_of(load, no_file) if isinstance(load, str) else load
    return run(stack or a_stack(), "web", given, app, began=began, seed=seed)


def changes(result: Result) -> list[tuple[int, int, int]]:
    return [(one.second, one.before, one.desired) for one in result.decisions]
