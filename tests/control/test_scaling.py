"""Auto scaling of a stack: what is measured, the clock and hands change its size, and the loop leads there."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from fairlead.control.supervisor import Supervisor
from fairlead.errors import NotFound, StoreError, UsageError

from .town import Town
from .traffic import Traffic, causes, shown, silent

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]

FILE = """\
name: shop
services:
  web:
    command: serve
    environment: {{VERSION: "1"}}
    target_group: {{deregistration_delay: 5s}}
    scaling:
      min: {minimum}
      max: {maximum}
      warm_up: 2s
      scale_in_cooldown: 5s
      policies: [{{target: {{metric: requests_per_target, value: 100}}}}]
{more}load_balancer:
  listeners: [{{port: 8080, default: {{forward: web}}}}]
"""


async def a_group(town: Town, *, minimum: int = 1, maximum: int = 6, more: str = "") -> tuple[Supervisor, Traffic]:
    town.say(FILE.format(minimum=minimum, maximum=maximum, more=more))
    town.meter = traffic = Traffic(town)
    daemon = await town.daemon()
    await town.up(daemon)
    return daemon, traffic


async def test_a_load_step_scales_out_within_five_seconds_and_says_why(town: Town) -> None:
    _, traffic = await a_group(town)
    await asyncio.sleep(5)
    traffic.load = 450.0
    took = await town.until("five to serve", lambda: len(town.serving()) == 5)
    assert took < 5 + 0.5, took  # half a second is the program's own start
    assert causes(town) == [
        "web: requests_per_target was 450/s, above 100/s for 3 s: desired 1 -> 5 (ceil(1 x 450 / 100)), within 1..6"
    ]


async def test_the_decision_is_kept_with_the_datapoints_that_it_saw(town: Town) -> None:
    _, traffic = await a_group(town)
    traffic.load = 150.0
    await town.until("two to serve", lambda: len(town.serving()) == 2)
    row = next(row for row in town.store.decisions("shop", 100) if "Resize" in row["plan"])
    saw = json.loads(row["snapshot"])["scaling"]
    assert saw["points"]["requests_per_target at 100/s"][-3:] == [[150.0, 1]] * 3
    assert saw["counted"] == ["web-1"]


async def test_the_end_of_a_load_scales_in_after_fifteen_datapoints_below_and_drains_first(town: Town) -> None:
    _, traffic = await a_group(town)
    traffic.load = 380.0
    await town.until("four to serve", lambda: len(town.serving()) == 4)
    await asyncio.sleep(10)
    traffic.load = 120.0
    took = await town.until("two to serve", lambda: len(town.serving()) == 2)
    assert 14 <= took <= 17, took
    assert "requests_per_target was at most 30/s, below 90/s for 15 s: desired 4 -> 2" in causes(town)[-1]
    await town.until("two to be left", lambda: len(town.living()) == 2)


async def test_unknown_is_not_low(town: Town) -> None:
    _, traffic = await a_group(town)
    traffic.load = 380.0
    await town.until("four to serve", lambda: len(town.serving()) == 4)
    traffic.load = None
    await asyncio.sleep(120)
    assert len(town.serving()) == 4


async def test_the_maximum_is_never_exceeded_and_status_says_what_it_would_be(town: Town) -> None:
    daemon, traffic = await a_group(town, maximum=3)
    traffic.load = 1000.0
    await town.until("three to serve", lambda: len(town.serving()) == 3)
    await asyncio.sleep(10)
    assert len(town.living()) == 3
    service = await shown(daemon)
    assert (service["min"], service["desired"], service["max"]) == (1, 3, 3)
    assert service["scaling"]["held"] == "it would be 10, and max is 3"
    assert service["scaling"]["policies"][0]["state"] == "ALARM"
    assert "ceil(1 x 1000 / 100) = 10, max is 3" in service["scaling"]["reason"]


async def test_a_daemon_that_dies_finds_the_size_that_was_reached(town: Town) -> None:
    daemon, traffic = await a_group(town)
    traffic.load = 380.0
    await town.until("four to serve", lambda: len(town.serving()) == 4)
    await town.bury(daemon)
    again = await town.daemon()
    await asyncio.sleep(30)
    assert len(town.serving()) == 4
    assert (await shown(again))["desired"] == 4


async def test_min_and_max_are_edited_live_and_desired_is_kept_between_them(town: Town) -> None:
    daemon, _ = await a_group(town)
    await daemon.scale("shop", "web", None, silent, minimum=3)
    assert len(town.serving()) == 3
    answer = await daemon.scale("shop", "web", 5, silent)
    assert (answer["minimum"], answer["desired"], answer["maximum"]) == (3, 5, 6)
    await daemon.scale("shop", "web", None, silent, maximum=4)
    assert len(town.serving()) == 4
    with pytest.raises(UsageError, match="its max is 4") as caught:
        await daemon.scale("shop", "web", 9, silent)
    assert caught.value.next_step == "fairlead scale web 9 --max 9"
    with pytest.raises(UsageError, match="min would be 5, and max 4"):
        await daemon.scale("shop", "web", None, silent, minimum=5)


async def test_the_file_has_the_last_word_about_the_bounds_that_it_changes(town: Town) -> None:
    daemon, traffic = await a_group(town)
    traffic.load = None
    await daemon.scale("shop", "web", 5, silent)
    town.say(FILE.format(minimum=1, maximum=3, more=""))
    await town.up(daemon)
    await town.until("three to be left", lambda: len(town.serving()) == 3)
    assert (await shown(daemon))["max"] == 3
    town.say(FILE.format(minimum=1, maximum=6, more=""))
    await town.up(daemon)
    assert ((await shown(daemon))["desired"], (await shown(daemon))["max"]) == (3, 6)  # not what it was long ago


async def test_a_fixed_size_has_no_bounds_to_edit(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    with pytest.raises(UsageError, match="fixed size"):
        await daemon.scale("shop", "web", None, silent, maximum=4)


async def test_suspended_alarms_scale_nothing_until_they_are_resumed(town: Town) -> None:
    daemon, traffic = await a_group(town)
    answer = await daemon.suspend("shop", "web", ["alarm-notification"])
    assert answer["suspended"] == ["AlarmNotification"]
    traffic.load = 380.0
    await asyncio.sleep(60)
    assert len(town.serving()) == 1
    assert "suspended" in (await shown(daemon))["scaling"]["held"]
    await daemon.suspend("shop", "web", [], on=False)
    await town.until("four to serve", lambda: len(town.serving()) == 4, 10)
    assert [kind for kind in town.kinds() if kind in ("suspended", "resumed")] == ["suspended", "resumed"]


async def test_what_is_no_process_is_refused_with_what_was_meant(town: Town) -> None:
    daemon, _ = await a_group(town)
    with pytest.raises(UsageError, match="did you mean Terminate"):
        await daemon.suspend("shop", "web", ["terminat"])
    with pytest.raises(NotFound):
        await daemon.suspend("shop", "nobody", [])


SCHEDULED = """\
      schedule:
        - {name: morning, cron: "18 0 * * *", min: 4}
        - {name: evening, cron: "19 0 * * *", min: 1, desired: 2}
"""


async def test_scheduled_actions_change_the_sizes_at_their_times(town: Town) -> None:
    daemon, traffic = await a_group(town, more=SCHEDULED)  # the town's day begins at 00:16:40
    traffic.load = None
    assert [one["name"] for one in (await shown(daemon))["scaling"]["schedule"]] == ["morning", "evening"]
    await town.until("four to serve", lambda: len(town.serving()) == 4, 90)
    assert 1080 <= town.clock.now() < 1085
    assert "scheduled action morning (2026-01-01T00:18:00Z): min 4: desired 1 -> 4" in causes(town)[-1]
    await town.until("two to serve", lambda: len(town.serving()) == 2, 90)
    assert 1140 <= town.clock.now() < 1145
    assert len(causes(town, "schedule")) == 2


async def test_what_passed_while_the_daemon_was_away_holds_when_it_is_back(town: Town) -> None:
    daemon, traffic = await a_group(town, more=SCHEDULED)
    traffic.load = None
    await asyncio.sleep(2)
    await town.bury(daemon)
    await asyncio.sleep(150)  # past the morning's minute, and the evening's
    await town.daemon()
    await town.until("two to serve", lambda: len(town.serving()) == 2, 10)
    assert "scheduled action morning (2026-01-01T00:18:00Z), 1 min 1" in causes(town, "schedule")[0]
    assert " s late: min 4" in causes(town, "schedule")[0]


async def test_suspended_schedules_are_skipped_and_not_made_up_for(town: Town) -> None:
    daemon, traffic = await a_group(town, more=SCHEDULED)
    traffic.load = None
    await daemon.suspend("shop", "web", ["ScheduledActions"])
    await town.until("the morning to be skipped", lambda: bool(causes(town, "schedule")), 90)
    assert "skipped: ScheduledActions is suspended" in causes(town, "schedule")[-1]
    await daemon.suspend("shop", "web", [], on=False)
    await asyncio.sleep(30)
    assert len(town.serving()) == 1


async def test_a_size_that_cannot_be_recorded_is_told_once_and_tried_again(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, traffic = await a_group(town)
    save = town.store.save_stack

    def full(record: Any) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr(town.store, "save_stack", full)
    traffic.load = 380.0
    await asyncio.sleep(30)
    assert len(town.serving()) == 1
    monkeypatch.setattr(town.store, "save_stack", save)
    await town.until("four to serve", lambda: len(town.serving()) == 4, 10)
    assert len([text for text in causes(town, "problem") if "cannot be scaled" in text]) == 1


async def test_a_store_that_cannot_be_read_for_a_while_ends_neither_scaling_nor_metering(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, traffic = await a_group(town)
    read = town.store.stack

    def damaged(name: str) -> None:
        raise StoreError("the disk answers nothing")

    monkeypatch.setattr(town.store, "stack", damaged)
    await asyncio.sleep(5)
    monkeypatch.setattr(town.store, "stack", read)
    traffic.load = 380.0
    await town.until("four to serve", lambda: len(town.serving()) == 4, 10)
    assert [text for text in causes(town, "problem") if "cannot be scaled" in text] == [
        "web cannot be scaled: the disk answers nothing"
    ]


async def test_explain_says_why_there_are_so_many_and_what_would_change_it(town: Town) -> None:
    daemon, traffic = await a_group(town)
    traffic.load = 250.0
    await town.until("three to serve", lambda: len(town.serving()) == 3)
    await asyncio.sleep(10)
    told = await daemon.explain("shop", "web")
    assert "desired 1 -> 3" in told["size"]["text"]
    (would,) = told["scaling"]["would"]
    assert would == "requests_per_target is 83.3/s: above 100/s for 3 s scales out, below 90/s for 15 s scales in"
    assert any(step["action"] == "Resize" and "desired 1 -> 3" in step["reason"] for step in told["earlier"])
