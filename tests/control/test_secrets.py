"""What the file keeps secret is told to the programs that need it, and to nobody and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from fairlead.core.desired import StackRecord
from fairlead.core.observed import Observed
from fairlead.core.reconcile import decide

from .town import Town

pytestmark = pytest.mark.looptime

SECRETS = ("v4r1able", "w3bh00k", "0ld", "b4d")

FILE = """\
name: shop
services:
  web:
    command: serve
    environment: {{VERSION: "{version}", KEY: v4r1able-{age}}}
    health_check: {{replace_unhealthy: false, grace_period: 5s}}
    target_group: {{deregistration_delay: 0s}}
    custom_metrics:
      queue: {{url: 'http://me:w3bh00k@127.0.0.1:9/w3bh00k', field: length}}
      length: {{command: count --key v4r1able-{age}}}
jobs:
  nightly: {{service: web, command: tidy, cron: "* * * * *"}}
alarms: [{{when: unhealthy_targets, above: 0, for: 10s, webhook: 'http://me:w3bh00k@hooks.example.com/w3bh00k'}}]
"""


@pytest.fixture
async def town(tmp_path: Path) -> AsyncIterator[Town]:
    found = Town(tmp_path)
    yield found
    await found.close()


async def test_no_event_decision_or_answer_holds_a_value_of_an_environment_or_a_webhook(town: Town) -> None:
    daemon = await town.daemon()
    for age in ("0ld", "b4d"):
        town.say(FILE.format(version=age, age=age))
        await town.up(daemon)
        town.ill.update(town.living())
        await town.until("the alarm", lambda: bool(town.courier.brought))
        await town.until("the delivery", lambda: not town.store.deliveries())
        town.ill.clear()
        town.courier.brought.clear()
    shown = {
        "decisions": town.store.decisions(None, 10_000),
        "events": town.store.events(None, 10_000),
        "status": await daemon.status(None),
        "explain": await daemon.explain("shop", "web"),
        "jobs": daemon.jobs(None),
        "progress": town.told,
    }
    assert shown["decisions"]
    for name, value in shown.items():
        text = json.dumps(value, default=str)
        assert not [secret for secret in SECRETS if secret in text], name


async def test_every_decision_can_be_made_again_from_what_is_stored_of_it(town: Town) -> None:
    daemon = await town.daemon()
    for age in ("0ld", "b4d"):
        town.say(FILE.format(version=age, age=age))
        await town.up(daemon)
    await town.until("the old release to leave", lambda: town.living() == ["web-2"])
    town.engine.end("shop", "web-2")
    await town.until("the replacement", lambda: town.serving() == ["web-3"])
    rows = town.store.decisions("shop", 10_000)
    assert len(rows) > 5
    for row in rows:
        seen = json.loads(row["snapshot"])
        wanted = TypeAdapter(StackRecord).validate_python(seen["wanted"])
        observed = TypeAdapter(Observed).validate_python(seen["observed"])
        plan = decide(wanted, observed, seen["now"])
        said = [(step["action"], step.get("reason")) for step in json.loads(row["plan"])]
        assert [(type(action).__name__, getattr(action, "reason", None)) for action in plan.actions] == said


async def test_a_stored_decision_still_names_the_variables(town: Town) -> None:
    town.say(FILE.format(version="1", age="0ld"))
    await town.up(await town.daemon())
    wanted = json.loads(town.store.decisions("shop", 1)[0]["snapshot"])["wanted"]
    assert wanted["desired"]["releases"]["web"]["environment"] == {"VERSION": "", "KEY": ""}
