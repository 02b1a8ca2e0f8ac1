"""D5: health checks of a group, and the order in which an instance is replaced."""

from __future__ import annotations

import asyncio
import math

import pytest

from fairlead.core.health import first_checks
from fairlead.engines.fake.script import Script
from tests.conformance.facts import fact
from tests.conformance.groups import Shop, group_file
from tests.conformance.rehearsal import stack_of

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]


@fact("D5", "An instance that does not run is unhealthy at once, also within its grace period", "real")
async def test_d5_gone(shop: Shop) -> None:
    await shop.open("min: 2, max: 3", grace="10m")
    shop.town.engine.end("shop", "web-1")
    assert await shop.town.until("another", lambda: shop.town.serving() == ["web-2", "web-3"]) < 2


@fact("D5", "HealthCheckType: EC2; ELB besides when it is asked for", "approximated",
      "both; `health_check: {replace_unhealthy: false}` leaves the second without consequences")  # fmt: skip
async def test_d5_both_kinds(shop: Shop) -> None:
    await shop.open("min: 2, max: 3", grace="1s")
    await asyncio.sleep(2)
    shop.town.ill.add("web-1")
    await shop.town.until("another", lambda: "web-3" in shop.town.serving())
    check = stack_of(group_file("max: 2").replace("grace_period: 30s", "replace_unhealthy: false"))
    assert not check.service("web").health_check.replace_unhealthy


@fact("D5", "HealthCheckGracePeriod: 0 s by the API, 300 s in the console", "approximated", "30 s")
def test_d5_the_default_grace_period() -> None:
    text = group_file("max: 2").replace("    health_check: {grace_period: 30s}\n", "")
    assert stack_of(text).service("web").health_check.grace_period == 30.0


@fact(
    "D5", "The grace period begins at InService", "approximated", "at the launch; who is in service has passed a check"
)
async def test_d5_grace_begins_at_the_launch(shop: Shop) -> None:
    await shop.open("min: 2, max: 3", grace="20s")
    launched = shop.record("web-1").launched_at
    shop.town.ill.add("web-1")
    await shop.town.until("its replacement", lambda: "web-3" in shop.states())
    check = stack_of(group_file("max: 2")).service("web").health_check
    assert 20 <= shop.town.clock.now() - launched <= 20 + first_checks(check)


@fact("D5", "A failed health check: terminate and launch (with InstanceMaintenancePolicy 100/200 launch, then terminate)",
      "approximated", "launch, then terminate, always but at the maximum")  # fmt: skip
async def test_d5_launch_before_terminate(shop: Shop) -> None:
    await shop.open("min: 2, max: 3", grace="1s")
    await asyncio.sleep(2)
    shop.town.ill.add("web-1")
    await shop.town.until("it to go", lambda: shop.town.living() == ["web-2", "web-3"])
    assert any(text.startswith("web-3 launched: replaces: web-1 is unhealthy") for text in shop.told("launched"))
    at = {(event["instance"], event["kind"]): event["id"] for event in shop.town.store.events("shop", 1000)}
    assert at["web-3", "in_service"] < at["web-1", "terminating"]


@fact("D5", "Replacing may exceed MaxSize", "approximated",
      "never, unless it is 1: at the maximum the unhealthy one goes before the next is started")  # fmt: skip
async def test_d5_at_the_maximum(shop: Shop) -> None:
    shop.town.scripts["1"] = Script(answers_after=0.5, stops_in=1.0)
    await shop.open("min: 3, max: 3", grace="1s")
    await asyncio.sleep(2)
    shop.town.ill.add("web-1")
    most = 3
    while shop.town.serving() != ["web-2", "web-3", "web-4"]:
        going = [one for one, state in shop.states().items() if state == "terminating"]
        most = max(most, len(shop.town.living()) - len(going))
        await asyncio.sleep(0.05)
    assert most == 3


@fact("D5", "At most a tenth of desired is replaced at a time while it is otherwise whole", "approximated",
      "as many as `max_healthy` and the maximum have room for; none that serves goes before another serves")  # fmt: skip
async def test_d5_several_at_once(shop: Shop) -> None:
    await shop.open("min: 4, max: 8", grace="1s")
    await asyncio.sleep(2)
    shop.town.ill.update({"web-1", "web-2", "web-3"})
    took = await shop.town.until("four to serve", lambda: len(set(shop.town.serving()) - shop.town.ill) == 4)
    assert took < 15
    assert len(shop.told("launched")) == 7


@fact("D5", "Instances on standby are not replaced, whatever their health", "real")
async def test_d5_standby(shop: Shop) -> None:
    await shop.open("min: 1, desired: 2, max: 3", grace="1s")
    await shop.daemon.standby("shop", "web-2", decrement=True)
    shop.town.ill.add("web-2")
    await asyncio.sleep(120)
    assert shop.town.living() == ["web-1", "web-2"]


@fact("D5", "SetInstanceHealth: Unhealthy replaces an instance", "absent", "`fairlead instance terminate` replaces one")
async def test_d5_by_hand(shop: Shop) -> None:
    await shop.open("min: 2, max: 3")
    await shop.daemon.terminate("shop", "web-1", progress=lambda event: None)
    await shop.town.until("another", lambda: shop.town.living() == ["web-2", "web-3"])


@fact("D5", "A group whose instances never come up launches and terminates them for ever (for a day)", "beyond",
      "they are tried again after 1, 2, 4 ... 60 s; nothing turns that off")  # fmt: skip
async def test_d5_can_never_start(shop: Shop) -> None:
    await shop.open("min: 1, max: 4")
    shop.town.scripts["1"] = Script(answers_after=math.inf, exits_after=0.1)
    shop.town.engine.end("shop", "web-1")
    await asyncio.sleep(120)
    assert 6 <= len(shop.told("launched")) <= 9
