"""What the file keeps secret is told to the programs that need it, and to nobody and nothing else."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from fairlead.control.supervisor import UpRequest
from fairlead.core.desired import StackRecord
from fairlead.core.observed import Observed
from fairlead.core.reconcile import decide

from .town import FakeMeter, Town

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


HOOKED = """\
name: shop
services:
  web:
    command: serve
    environment: {VERSION: "1"}
    health_check: {replace_unhealthy: false}
    target_group: {deregistration_delay: 0s}
    custom_metrics:
      queue: {url: "http://u:${secrets.PASSWORD}@127.0.0.1:9/", field: length, every: 1s}
alarms: [{when: unhealthy_targets, above: 0, for: 1s, webhook: "http://u:${secrets.PASSWORD}@hooks.example.com/"}]
"""


def problems(town: Town) -> str:
    return "\n".join(event["text"] for event in town.store.events("shop", 1000) if event["kind"] == "problem")


async def test_a_host_that_comes_from_a_secret_is_not_shown(town: Town) -> None:
    daemon = await town.daemon()
    await daemon.secrets.set("shop", "PASSWORD", "s3cr3t.example.com:4711")
    town.say(HOOKED.replace("u:${secrets.PASSWORD}@hooks.example.com", "${secrets.PASSWORD}"))
    await town.up(daemon)
    town.courier.problem = "s3cr3t.example.com:4711 cannot be told: certificate is not valid for 's3cr3t.example.com'"
    town.ill.update(town.living())
    await town.until("the problem", lambda: "does not reach" in problems(town))
    assert "does not reach its webhook: its webhook cannot be told: " in problems(town)
    assert "s3cr3t" not in problems(town)


async def test_a_key_that_is_away_for_a_while_keeps_no_alarm_from_being_told_and_nothing_from_being_measured(
    town: Town,
) -> None:
    town.meter = meter = FakeMeter()
    daemon = await town.daemon()
    await daemon.secrets.set("shop", "PASSWORD", "s3c/r3t")
    town.say(HOOKED)
    await town.up(daemon)
    key = town.folder / "secret.key"
    away = key.rename(key.with_name("away"))
    town.ill.update(town.living())
    await town.until("the problem", lambda: "does not reach" in problems(town))
    assert "the secrets of this home cannot be opened" in problems(town)
    begun = len(meter.samples)
    await town.until("samples all the same", lambda: len(meter.samples) > begun + 3)
    away.rename(key)
    await town.until("the message", lambda: bool(town.courier.brought))
    assert town.courier.brought[0].webhook == "http://u:s3c%2Fr3t@hooks.example.com/"


async def test_a_run_that_cannot_have_its_secrets_fails_and_says_so(town: Town) -> None:
    daemon = await town.daemon()
    await daemon.secrets.set("shop", "TOKEN", "s3cr3t")
    job = 'jobs:\n  tidy: {service: web, command: tidy, cron: "0 0 1 1 *"}\n'
    town.say(f"name: shop\nservices:\n  web: {{command: serve, secrets: [TOKEN]}}\n{job}")
    await town.up(daemon)
    (town.folder / "secret.key").unlink()
    run = (await daemon.run_job("shop", "tidy"))["run"]["id"]
    await town.until("its end", lambda: daemon.run("shop", run)["ended_at"] is not None)
    assert daemon.run("shop", run)["outcome"].startswith("could not be started: the secrets of this home")


async def test_a_plan_looks_for_secrets_where_up_does(town: Town) -> None:
    daemon = await town.daemon()
    town.say("name: shop\nservices:\n  web: {command: serve, secrets: [TOKEN, OTHER]}\n")
    path = str(town.folder / "fairlead.yaml")
    (note,) = (await daemon.plan(UpRequest(path=path, dotenv="TOKEN=s3cr3t\n", env={})))["notes"]
    assert note.startswith("`fairlead up` would be refused: ")
    assert "the secret OTHER" in note
    assert (await daemon.plan(UpRequest(path=path, dotenv="TOKEN=s3cr3t\n", env={"OTHER": "x"})))["notes"] == []
    assert town.store.vault.kept() == ()
