"""Metrics of the user's own, in `fairlead metrics`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fairlead.core.layout import Layout
from fairlead.core.scaling.policies import CustomMetric
from tests.cli.conftest import Fairlead
from tests.cli.measured import a_metric, a_series, a_service, an_answer
from tests.cli.scripted import a_stack, serving, status_of
from tests.cli.test_completion import answers, keep


def with_own(*names: str) -> dict[str, Any]:
    """A service with these metrics of its own, and a target of it."""
    service = a_service([10.0, 20.0, 30.0])
    service["metrics"] += [a_metric(name, [12.0, None, 36.0], "Average", "None") for name in names]
    said = an_answer(service, a_service([10.0, 20.0, 30.0], zone="a", target="web-1"))
    return {
        "GET /status": status_of(a_stack("shop")),
        "GET /stacks/shop/metrics": said,
        "GET /metrics/listener": {"url": None},
    }


def test_they_are_lines_of_their_service(fairlead: Fairlead, home: Layout, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    with serving(home, with_own("custom:queue", "custom:orders")):
        lines = fairlead("metrics", "web").out.splitlines()
    memory = next(number for number, line in enumerate(lines) if line.startswith("  memory "))
    assert [line.split()[0] for line in lines[memory + 1 : memory + 3]] == ["orders", "queue"]
    assert lines[memory + 2].split()[-5:] == ["36", "12", "36", "mean", "24"]


def test_one_that_is_called_as_another_is_told_apart(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, with_own("custom:cpu")):
        shown = fairlead("metrics", "web").out
    assert [line.split()[0] for line in shown.splitlines() if "cpu" in line.split("  ")[1:2]] == ["cpu"]
    assert "\n  custom:cpu " in shown


def test_one_can_be_asked_for_by_its_name(fairlead: Fairlead, home: Layout) -> None:
    with serving(home, with_own("custom:queue", "custom:orders")):
        shown = fairlead("metrics", "web", "--metric", "Custom:queue")
    assert (shown.status, "custom:queue Average" in shown.out, "orders" in shown.out) == (0, True, False)


@pytest.mark.parametrize(
    ("names", "why"),
    [
        (("custom:orders", "custom:queue"), "web has custom:orders, custom:queue"),
        ((), "nothing of `custom_metrics` was measured in that time"),
    ],
)
def test_one_that_is_not_there_is_refused_with_those_that_are(
    fairlead: Fairlead, home: Layout, names: tuple[str, ...], why: str
) -> None:
    with serving(home, with_own(*names)):
        shown = fairlead("metrics", "web", "--metric", "custom:queu")
    assert (shown.status, shown.out) == (2, "")
    assert shown.err == f"error: there is no metric 'custom:queu': {why}\nnext: fairlead metrics\n"


@pytest.mark.parametrize("where", [("--target", "web-1"), ("web", "--zone", "a")])
def test_they_are_of_a_service_alone(fairlead: Fairlead, home: Layout, where: tuple[str, ...]) -> None:
    with serving(home, with_own("custom:queue")):
        shown = fairlead("metrics", *where, "--metric", "custom:queue")
    assert shown.status == 2
    assert "it is a metric of a service\n" in shown.err


def test_what_others_named_cannot_speak_to_the_terminal(fairlead: Fairlead, home: Layout) -> None:
    service = a_series(a_metric("custom:\x1b[2J\u202e", [1.0], "Average", "None"))
    said = {**with_own(), "GET /stacks/shop/metrics": an_answer(service)}
    with serving(home, said):
        shown = fairlead("metrics", "web")
        refused = fairlead("metrics", "web", "--metric", "custom:\x1b")
    for text in (shown.out, shown.err, refused.err):
        assert "\x1b" not in text
        assert "\u202e" not in text


def test_their_names_are_completed(home: Layout) -> None:
    store = keep(home, "shop")
    record = store.stack("shop")
    assert record is not None
    stack = record.desired.stack
    web = replace(stack.services[0], custom_metrics=(CustomMetric(name="queue", url="http://127.0.0.1/"),))
    stack = replace(stack, services=(web, *stack.services[1:]))
    store.save_stack(replace(record, desired=replace(record.desired, stack=stack)))
    store.close()
    assert answers(home, "fairlead metrics --metric cu", shell="fish")[0] == ["custom:queue"]
