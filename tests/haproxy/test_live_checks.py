"""When a real HAProxy checks whom: also in a process that has just begun, nobody waits for a whole interval to be let in.

The interval here is longer than anybody waits, so that whoever is not asked at once is never asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from fairlead.core.model import Stickiness
from fairlead.core.traffic import BalancerReport, Target
from tests.haproxy.builders import GROUP, a_check, a_group, a_routing
from tests.haproxy.worlds import RealWorld, admit, has_failed, has_passed, is_up

pytestmark = pytest.mark.live

SLOW = a_group(health_check=a_check(interval=120.0))
STICKY = replace(SLOW, attributes=replace(SLOW.attributes, stickiness=Stickiness()))


async def begin_anew(real: RealWorld, how: str) -> None:
    """Another process serves."""
    before = real.pid
    if how == "reload":
        other = replace(SLOW, attributes=replace(SLOW.attributes, deregistration_delay=7.0))
        await real.balancer.configure("shop", a_routing(real.port, groups=(other,)))
        assert real.pid != before
    else:
        await real.kill_node()
        await real.until(lambda seen: seen.known and seen.nodes[0].pid != before, "another HAProxy")


async def served(real: RealWorld, beside: int) -> None:
    """The group, with so many in service."""
    await real.balancer.configure("shop", a_routing(real.port, groups=(SLOW,)))
    await admit(real, *[await real.target(number) for number in range(1, beside + 1)])


def is_known_as_healthy_again(real: RealWorld, target: Target) -> Callable[[BalancerReport], bool]:
    """It was asked twice more, and its last check passed."""
    before = len(real.apps[target.id].checks)

    def holds(report: BalancerReport) -> bool:
        return has_passed(target)(report) and len(real.apps[target.id].checks) >= before + 2

    return holds


@pytest.mark.parametrize("how", ["reload", "crash"])
@pytest.mark.parametrize("beside", [0, 2])
async def test_a_target_that_waits_for_its_first_check_is_let_in_at_once_by_a_new_process(
    real: RealWorld, beside: int, how: str
) -> None:
    await served(real, beside)
    new = await real.target(9, healthy=False)
    await real.balancer.register(new)
    await real.until(has_failed(new), "a first check")
    await begin_anew(real, how)
    await real.heal(new)
    await real.until(has_passed(new), "a check in the new process")
    await real.balancer.admit(GROUP, new.id)
    await real.until(is_up(new), "the new one in rotation")
    assert "web-9" in await real.send(beside + 1)


@pytest.mark.parametrize("how", ["reload", "crash"])
async def test_a_warm_target_goes_on_being_checked_by_a_new_process(real: RealWorld, how: str) -> None:
    await served(real, 2)
    warm = replace(await real.target(9), mode="warm")
    await real.balancer.register(warm)
    await real.until(has_passed(warm), "a first check")
    await real.sicken(warm)
    await begin_anew(real, how)
    await real.until(has_failed(warm), "a check in the new process")
    await real.heal(warm)
    await real.until(has_passed(warm), "checks to go on")
    assert "web-9" not in await real.send(4)
    await real.balancer.admit(GROUP, warm.id)
    await real.until(is_up(warm), "the warm one in rotation")


@pytest.mark.parametrize("how", ["reload", "crash"])
async def test_a_target_that_drained_when_a_new_process_began_is_given_back_at_once(real: RealWorld, how: str) -> None:
    await served(real, 2)
    gone = await real.target(9)
    await admit(real, gone)
    await real.balancer.drain(GROUP, gone.id)
    await begin_anew(real, how)
    await real.until(is_known_as_healthy_again(real, gone), "checks in the new process")
    assert "web-9" not in await real.send(4)
    await real.balancer.restore(GROUP, gone.id)
    await real.until(is_up(gone), "it is back in rotation")
    assert sorted(await real.send(3)) == ["web-1", "web-2", "web-9"]


async def test_with_stickiness_a_target_is_given_back_at_once_and_what_it_did_still_counts(real: RealWorld) -> None:
    """Drained, it was in maintenance, where nobody is checked."""
    await real.balancer.configure("shop", a_routing(real.port, groups=(STICKY,)))
    one, two = await real.target(1), await real.target(2)
    await admit(real, one, two)
    for turn in range(1, 3):
        assert len(await real.send(10)) == 10
        await real.balancer.drain(GROUP, one.id)
        await real.balancer.restore(GROUP, one.id)
        await real.until(is_up(one), "web-1 back in rotation")
        reading = await real.balancer.measure()
        assert reading is not None
        assert reading.targets[GROUP, one.id].counts.responses[1] == 5 * turn


async def test_those_in_service_are_not_asked_all_at_once_by_a_new_process(real: RealWorld) -> None:
    """They are spread over an interval, whoever joins beside them."""
    await served(real, 20)
    new = await real.target(99, healthy=False)
    await real.balancer.register(new)
    asked = {name: len(app.checks) for name, app in real.apps.items() if name != "web-99"}
    await begin_anew(real, "reload")
    await real.heal(new)
    await real.until(has_passed(new), "a check of the new one")
    # Spread over 120 s, 20 of them are asked once in 6 s: far from all, however long this took.
    assert sum(len(real.apps[name].checks) - before for name, before in asked.items()) <= len(asked) // 2
