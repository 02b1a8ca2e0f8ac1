"""D7: lifecycle hooks, which there are not."""

from __future__ import annotations

from tests.conformance.facts import fact
from tests.conformance.groups import group_file
from tests.conformance.rehearsal import refusal_of, stack_of


@fact("D7", "Lifecycle hooks: an instance waits in Pending:Wait or Terminating:Wait until somebody lets it go on", "refused",
      message="scaling.lifecycle_hooks: is not a key")  # fmt: skip
def test_d7_hooks(message: str) -> None:
    assert message in refusal_of(group_file("max: 2, lifecycle_hooks: []"))


@fact("D7", "A launch hook: something has to be done before the first request", "approximated",
      "`before_traffic` runs once in each release, not in each instance; an instance gets no request before its health"
      " check passes")  # fmt: skip
def test_d7_before_traffic() -> None:
    text = group_file("max: 2").replace("command: serve", "command: serve\n    before_traffic: migrate")
    assert stack_of(text).service("web").before_traffic is not None


@fact("D7", "A termination hook: something has to be done before an instance ends", "approximated",
      "SIGTERM, and `deploy: {stop_timeout: 30s}` to do it in")  # fmt: skip
def test_d7_sigterm() -> None:
    assert stack_of(group_file("max: 2")).service("web").stop_timeout == 30.0
