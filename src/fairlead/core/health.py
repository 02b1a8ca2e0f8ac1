"""Target health as on an Application Load Balancer: state, reason code, description (aws-semantics B5).

In: an instance as observed, its service's health check, and now. Out: the three AWS fields, and a sentence of our own.
A new target becomes `unhealthy` when it has had `unhealthy_threshold` x `interval` without a pass: HAProxy checks it
every 0.2 s, and counting those would call every program that is slow to start unhealthy (haproxy.md section 4). A
worker has no target: it is healthy when it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fairlead.core.model import HealthCheck
from fairlead.core.observed import Instance
from fairlead.core.traffic import Check, TargetReport

HealthState = Literal["initial", "healthy", "unhealthy", "draining", "unused", "unavailable"]

DESCRIPTIONS = {
    "Elb.RegistrationInProgress": "Target registration is in progress",
    "Elb.InitialHealthChecking": "Initial health checks in progress",
    "Elb.InternalError": "Health checks failed due to an internal error",
    "Target.Timeout": "Request timed out",
    "Target.FailedHealthChecks": "Health checks failed",
    "Target.NotRegistered": "Target is not registered to the target group",
    "Target.DeregistrationInProgress": "Target deregistration is in progress",
    "Target.HealthCheckDisabled": "Health checks are disabled",
}


_FIRST: tuple[HealthState, str] = ("initial", "Elb.InitialHealthChecking")


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetHealth:
    """`reason` and `description` are None when healthy, as on AWS."""

    state: HealthState
    reason: str | None = None
    description: str | None = None

    @property
    def serves(self) -> bool:
        """Whether requests go there as they should: healthy, or without checks that could say otherwise."""
        return self.state == "healthy" or self.reason == "Target.HealthCheckDisabled"


def target_health(instance: Instance, check: HealthCheck, now: float, *, balancer_known: bool = True) -> TargetHealth:
    """What DescribeTargetHealth would say of it at `now`."""
    record, target = instance.record, instance.target
    if record.state == "terminating":
        if record.deregistered_at is not None:
            return _because("unused", "Target.NotRegistered")
        return _because("draining", "Target.DeregistrationInProgress")
    if record.pooled:
        return _aside(target)
    if not record.serves:
        runs = instance.process is not None and instance.process.alive
        return TargetHealth(state="healthy" if record.state == "in_service" and runs else "initial")
    if record.drained and target is not None and target.mode == "draining":
        return _aside(target)
    if target is None:
        if not balancer_known:
            return _because("unavailable", "Elb.InternalError")
        return _because("initial", "Elb.RegistrationInProgress")
    if not check.enabled:
        known = target.mode == "in_service" and target.up
        return _because("unavailable", "Target.HealthCheckDisabled") if known else _because(*_FIRST)
    if target.mode == "in_service" and target.up:
        return TargetHealth(state="healthy")
    just_passed = target.check is not None and target.check.passed
    if just_passed or (record.in_service_at is None and now - record.launched_at < first_checks(check)):
        return _because(*_FIRST)
    return failed_check(target.check)


def _aside(target: TargetReport | None) -> TargetHealth:
    """Of one that lives and is to get no request: drained by hand, or in the warm pool."""
    if target is not None and target.mode == "draining" and target.sessions:
        return _because("draining", "Target.DeregistrationInProgress")
    return _because("unused", "Target.NotRegistered")


def fails(target: TargetReport | None) -> bool:
    """Whether its last check failed: all that tells of one that is checked and not in rotation."""
    return target is not None and target.check is not None and not target.check.passed


def is_down(target: TargetReport, was_down: bool) -> bool:
    """Whether its checks have taken it out, and not yet brought it back. One that was not down before and has passed
    its last check is on its way in: it was given back a moment ago."""
    passed = target.check is not None and target.check.passed
    return target.mode == "in_service" and not target.up and (was_down or not passed)


def first_checks(check: HealthCheck) -> float:
    """Seconds after which a target that never passed is `unhealthy` and no longer `initial`."""
    return check.unhealthy_threshold * check.interval


def failed_check(check: Check | None) -> TargetHealth:
    """`unhealthy`, with the reason code for what HAProxy saw (haproxy.md section 4)."""
    if check is None:
        return _because("unhealthy", "Target.FailedHealthChecks")
    if check.status == "L7STS":
        return TargetHealth(
            state="unhealthy",
            reason="Target.ResponseCodeMismatch",
            description=f"Health checks failed with these codes: [{check.code}]",
        )
    if check.status in ("L7TOUT", "L4TOUT", "L6TOUT"):
        return _because("unhealthy", "Target.Timeout")
    return _because("unhealthy", "Target.FailedHealthChecks")


def explain(check: HealthCheck, seen: Check | None) -> str:
    """One clause on the last check, with its code and duration: `GET /health answered 503 in 4 ms, not 200`."""
    if not check.enabled:
        return "its service has no health checks"
    asked = {"TCP": "a connection", "GRPC": f"gRPC {check.path}"}.get(check.protocol, f"GET {check.path}")
    if check.port is not None:
        asked += f" (port {check.port})"
    if seen is None or seen.status == "INI":
        return f"{asked} was not asked yet"
    took = "" if seen.duration is None else f" in {seen.duration * 1000:.0f} ms"
    if seen.passed:
        how = "was accepted" if check.protocol == "TCP" else f"answered {seen.code or 'as it should'}"
        return f"{asked} {how}{took}"
    match seen.status:
        # HAProxy tells the HTTP status alone.
        case "L7STS" if check.protocol == "GRPC" and seen.code == 200:
            return f"{asked} answered{took} with a grpc-status that is not {check.matcher}"
        case "L7STS":
            return f"{asked} answered {seen.code}{took}, not {check.matcher}"
        case "L7TOUT":
            return f"{asked} got no answer within {check.timeout:g} s"
        case "L4TOUT":
            return f"{asked} could not connect{took}: the program accepts no more connections"
        case "L4CON":
            said = seen.text or "connection refused"
            return f"{asked} failed: {said}" if check.protocol == "TCP" else f"{asked} could not connect: {said}"
    return f"{asked} failed{took}: {seen.text or seen.status}"


def _because(state: HealthState, reason: str) -> TargetHealth:
    return TargetHealth(state=state, reason=reason, description=DESCRIPTIONS[reason])
