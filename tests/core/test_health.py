"""States, reason codes and descriptions as on an ALB (aws-semantics B5), and a clause that explains."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairlead.core.health import TargetHealth, explain, failed_check, target_health
from fairlead.core.model import HealthCheck
from fairlead.core.traffic import Check

from .builders import PASSED, REFUSED, SAYS_503, SILENT, serving, starting, terminating, unhealthy

CHECK = HealthCheck(path="/health")


def test_a_healthy_target_has_no_reason_and_no_description() -> None:
    assert target_health(serving(), CHECK, 100.0) == TargetHealth(state="healthy", reason=None, description=None)


@pytest.mark.parametrize(
    ("instance", "now", "state", "reason", "description"),
    [
        (replace(starting(), target=None), 1.0, "initial", "Elb.RegistrationInProgress", "Target registration is in progress"),
        (starting(), 9.9, "initial", "Elb.InitialHealthChecking", "Initial health checks in progress"),
        (starting(check=SAYS_503), 10.0, "unhealthy", "Target.ResponseCodeMismatch", "Health checks failed with these codes: [503]"),
        (starting(check=None), 10.0, "unhealthy", "Target.FailedHealthChecks", "Health checks failed"),
        (unhealthy(check=SILENT), 1.0, "unhealthy", "Target.Timeout", "Request timed out"),
        (unhealthy(check=REFUSED), 1.0, "unhealthy", "Target.FailedHealthChecks", "Health checks failed"),
        (terminating(sessions=1), 1.0, "draining", "Target.DeregistrationInProgress", "Target deregistration is in progress"),
        (terminating(deregistered_at=1.0), 1.0, "unused", "Target.NotRegistered", "Target is not registered to the target group"),
    ],
)  # fmt: skip
def test_states_and_reasons(instance, now, state, reason, description) -> None:  # type: ignore[no-untyped-def]
    expected = TargetHealth(state=state, reason=reason, description=description)
    assert target_health(instance, CHECK, now) == expected


def test_a_balancer_that_does_not_answer_makes_health_unavailable_not_unhealthy() -> None:
    silent = replace(serving(), target=None)
    assert target_health(silent, CHECK, 1.0, balancer_known=False).state == "unavailable"


@pytest.mark.parametrize(
    ("status", "reason"),
    [
        ("L7STS", "Target.ResponseCodeMismatch"),
        ("L7TOUT", "Target.Timeout"),
        ("L4TOUT", "Target.Timeout"),
        ("L6TOUT", "Target.Timeout"),
        ("L4CON", "Target.FailedHealthChecks"),
        ("SOCKERR", "Target.FailedHealthChecks"),
        ("L7RSP", "Target.FailedHealthChecks"),
    ],
)
def test_each_haproxy_verdict_has_its_reason_code(status: str, reason: str) -> None:
    assert failed_check(Check(status=status, code=500)).reason == reason


@pytest.mark.parametrize(
    ("seen", "sentence"),
    [
        (None, "GET /health was not asked yet"),
        (PASSED, "GET /health answered 200 in 3 ms"),
        (SAYS_503, "GET /health answered 503 in 4 ms, not 200"),
        (SILENT, "GET /health got no answer within 2 s"),
        (REFUSED, "GET /health could not connect: Connection refused"),
        (Check(status="L4TOUT", duration=0.1), "GET /health could not connect in 100 ms: the program accepts no more connections"),
        (Check(status="SOCKERR", text="Connection reset by peer"), "GET /health failed: Connection reset by peer"),
    ],
)  # fmt: skip
def test_the_clause_says_what_was_asked_and_what_came(seen: Check | None, sentence: str) -> None:
    assert explain(CHECK, seen) == sentence
