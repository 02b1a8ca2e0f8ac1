"""States, reason codes and descriptions as on an ALB (aws-semantics B5), and a clause that explains."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fairlead.core.health import TargetHealth, explain, failed_check, is_down, target_health
from fairlead.core.model import HealthCheck
from fairlead.core.observed import Instance
from fairlead.core.traffic import Check, TargetReport

from .builders import PASSED, REFUSED, SAYS_503, SILENT, a_target, serving, starting, terminating, unhealthy

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


UNCHECKED = HealthCheck(enabled=False)


@pytest.mark.parametrize(
    ("instance", "state", "serves"),
    [(serving(), "unavailable", True), (starting(), "initial", False), (unhealthy(), "initial", False)],
    ids=["in rotation", "not admitted yet", "closed"],
)
def test_without_checks_nobody_says_healthy_and_who_is_in_rotation_serves(
    instance: Instance, state: str, serves: bool
) -> None:
    health = target_health(instance, UNCHECKED, 1.0)
    assert (health.state, health.serves) == (state, serves)
    assert (health.reason == "Target.HealthCheckDisabled") == serves


@pytest.mark.parametrize(
    ("check", "seen", "said"),
    [
        (UNCHECKED, PASSED, "its service has no health checks"),
        (HealthCheck(protocol="TCP"), PASSED, "a connection was accepted in 3 ms"),
        (HealthCheck(protocol="TCP"), REFUSED, "a connection failed: Connection refused"),
        (HealthCheck(port=9000), SAYS_503, "GET / (port 9000) answered 503 in 4 ms, not 200"),
    ],
    ids=["none", "a connection", "no connection", "another port"],
)
def test_other_kinds_of_checks_are_explained_in_their_words(check: HealthCheck, seen: Check, said: str) -> None:
    assert explain(check, seen) == said


@pytest.mark.parametrize(
    ("target", "before", "down"),
    [
        (a_target(), False, False),
        (a_target(), True, False),
        (a_target(up=False, check=SAYS_503), False, True),
        (a_target(up=False, check=None), False, True),
        (a_target(up=False, check=PASSED), False, False),  # given back a moment ago
        (a_target(up=False, check=PASSED), True, True),  # recovering
        (a_target(up=False, mode="draining", check=SAYS_503), False, False),
        (a_target(up=False, mode="initial", check=REFUSED), False, False),
    ],
)
def test_a_target_is_down_when_its_checks_took_it_out(target: TargetReport, before: bool, down: bool) -> None:
    assert is_down(target, before) == down


@pytest.mark.parametrize(
    ("check", "seen", "clause"),
    [
        (HealthCheck(enabled=False), None, "its service has no health checks"),
        (HealthCheck(protocol="TCP"), Check(status="L4OK", duration=0.001), "a connection was accepted in 1 ms"),
        (HealthCheck(protocol="TCP"), REFUSED, "a connection failed: Connection refused"),
        (HealthCheck(port=9000), Check(status="L7OK", code=200), "GET / (port 9000) answered 200"),
        (
            HealthCheck(protocol="GRPC", path="/AWS.ALB/healthcheck", matcher="12"),
            Check(status="L7STS", code=200, duration=0.001),
            "gRPC /AWS.ALB/healthcheck answered in 1 ms with a grpc-status that is not 12",
        ),
    ],
)
def test_a_check_of_another_kind_is_told_in_its_words(check: HealthCheck, seen: Check | None, clause: str) -> None:
    assert explain(check, seen) == clause
