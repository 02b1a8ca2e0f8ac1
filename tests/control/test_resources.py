"""Caches, databases and buckets in virtual time: what comes before what, what survives, and daemons that die between."""

from __future__ import annotations

import asyncio
import math
from pathlib import Path

import pytest

from fairlead.control.references import password_name
from fairlead.control.supervisor import Supervisor
from fairlead.core.processes import Outcome
from fairlead.errors import DeploymentFailed, ResourceError, UsageError
from fairlead.resources.fake import ServerScript

from .deaths import PACE, at_every_call, die_in_the_middle
from .town import Town

pytestmark = pytest.mark.looptime

FILE = """\
name: shop
services:
  web:
    command: serve
    instances: 2
    environment: {{DATABASE_URL: "${{databases.store.url}}", CACHE_HOST: "${{caches.sessions.host}}"}}
    health_check: {{grace_period: 30s}}
    target_group: {{deregistration_delay: 1s}}
  idle: {{command: serve, port: none, environment: {{VERSION: "{version}"}}}}
caches:
  sessions: {{engine: redis, memory: {memory}}}
databases:
  store: {{engine: postgres, name: {name}, user: web_user}}
{more}load_balancer:
  listeners: [{{port: 8080, default: {{forward: web}}}}]
"""


def a_file(memory: str = "64MB", name: str = "shop", more: str = "", version: int = 1) -> str:
    return FILE.format(memory=memory, name=name, more=more, version=version)


@pytest.fixture
async def town(town: Town) -> Town:
    town.say(a_file())
    return town


def available(town: Town) -> list[str]:
    return [one.id for one in town.store.resources("shop") if one.available_at is not None]


def launched(town: Town, id: str) -> int:
    return town.resources.launches["shop", id]


def serving(town: Town) -> int:
    return len(town.serving())


async def test_servers_come_before_the_services_that_need_them(town: Town) -> None:
    town.servers["store"] = ServerScript(prepares_in=3.0, answers_after=2.0)
    daemon = await town.daemon()
    await town.up(daemon)
    first_web = min(at for at, verb, _, id in town.engine.calls if verb == "launch" and id.startswith("web"))
    first_idle = min(at for at, verb, _, id in town.engine.calls if verb == "launch" and id.startswith("idle"))
    assert first_idle < 2 < 5 < first_web, "who needs nothing does not wait"
    assert "web waits for store and sessions to be available" in town.told
    [status] = (await daemon.status("shop"))["stacks"]
    assert {(one["id"], one["state"]) for one in status["resources"]} == {
        ("store", "available"),
        ("sessions", "available"),
    }


async def test_programs_get_addresses_and_passwords_and_the_store_does_not(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    password = town.store.vault.value("shop", password_name("store"))
    assert password is not None
    record = town.store.resource("shop", "store")
    assert record is not None
    [environment, *_] = [order.environment for order in town.launched if order.id.startswith("web")]
    assert environment["DATABASE_URL"] == f"postgresql://web_user:{password}@127.0.0.1:{record.port}/shop"
    assert environment["CACHE_HOST"] == "127.0.0.1"
    assert [order.password for order in town.resources.orders if order.resource.id == "store"] == [password]
    told = [
        str(town.store.events("shop", 1000)),
        str(town.store.decisions("shop", 1000)),
        str(town.store.stack("shop")),
    ]
    assert not any(password in text for text in told)


async def test_a_dead_server_is_started_again_and_services_go_on(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    port = town.store.resource("shop", "store").port  # type: ignore[union-attr]
    town.resources.contents["shop", "store"] = "rows"
    before = town.living()
    town.resources.end("shop", "store", Outcome(signal=9))
    took = await town.until("the next launch", lambda: launched(town, "store") == 2)
    await town.until("an answer", lambda: "store" in available(town))
    assert took < 2
    assert town.living() == before
    assert town.store.resource("shop", "store").port == port  # type: ignore[union-attr]
    assert town.resources.contents["shop", "store"] == "rows"
    assert "store ended: killed by SIGKILL" in str(town.store.events("shop", 1000))


async def test_one_that_never_starts_ends_the_deployment_with_its_own_words(town: Town) -> None:
    town.servers["store"] = ServerScript(exits_after=0.2, answers_after=math.inf, log="FATAL: no space left\n")
    daemon = await town.daemon()
    with pytest.raises(DeploymentFailed) as failed:
        await town.up(daemon)
    assert "web needs store: it failed to start 3 times: exited with status 1" in failed.value.why
    assert "FATAL: no space left" in failed.value.detail
    assert failed.value.place.startswith("fairlead.yaml:13")
    assert town.store.stack("shop") is None
    assert town.living() == []
    assert town.resources.living() == ()


async def test_after_it_was_mended_the_next_up_tries_as_often_again(town: Town) -> None:
    town.servers["store"] = ServerScript(exits_after=0.2, answers_after=math.inf)
    daemon = await town.daemon()
    with pytest.raises(DeploymentFailed):
        await town.up(daemon)
    assert launched(town, "store") == 3
    with pytest.raises(DeploymentFailed):
        await town.up(daemon)
    assert launched(town, "store") == 6
    del town.servers["store"]
    await town.up(daemon)
    assert serving(town) == 2


async def test_what_cannot_run_here_is_told_before_anything_is_changed(town: Town) -> None:
    del town.resources.programs["postgres"]
    daemon = await town.daemon()
    with pytest.raises(ResourceError) as refused:
        await town.up(daemon)
    assert refused.value.place.startswith("fairlead.yaml:13")
    assert town.store.stack("shop") is None
    assert town.store.resources("shop") == ()


async def test_down_ends_services_first_and_keeps_the_data(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    record = town.store.resource("shop", "store")
    assert record is not None
    password = town.store.vault.value("shop", password_name("store"))
    town.resources.contents["shop", "store"] = "rows"
    await daemon.down("shop", lambda event: None)
    last_clear = max(at for at, verb, _, _ in town.engine.calls if verb == "clear")
    first_stop = min(at for at, verb, _, _ in town.resources.calls if verb == "stop")
    assert last_clear <= first_stop
    assert town.resources.living() == ()
    assert town.resources.contents["shop", "store"] == "rows"
    await town.up(daemon)
    again = town.store.resource("shop", "store")
    assert again is not None
    assert (again.port, again.launch) == (record.port, 2)
    assert town.store.vault.value("shop", password_name("store")) == password


async def test_other_settings_start_it_again_and_other_data_are_refused(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.say(a_file(memory="128MB"))
    await town.up(daemon)
    await town.until("another launch", lambda: launched(town, "sessions") == 2 and "sessions" in available(town))
    assert launched(town, "store") == 1
    town.say(a_file(memory="128MB", name="other"))
    with pytest.raises(UsageError) as refused:
        await town.up(daemon)
    assert "postgres database shop of web_user" in str(refused.value)
    # What a stack that is up declares is not deleted.
    assert refused.value.next_step.endswith(": fairlead down shop; fairlead data delete store --stack shop")
    assert serving(town) == 2
    await daemon.down("shop", lambda event: None)
    with pytest.raises(UsageError) as refused:
        await town.up(daemon)
    assert refused.value.next_step.endswith(": fairlead data delete store --stack shop")
    await daemon.data.delete("shop", "store", lambda event: None)
    await town.up(daemon)


async def test_one_that_left_the_file_is_stopped_when_nobody_goes_back_to_it(town: Town) -> None:
    town.say(a_file(more="buckets: {photos: {}}\n"))
    daemon = await town.daemon()
    await town.up(daemon)
    town.say(a_file())
    await town.up(daemon)
    await town.until("the bucket stopped", lambda: ("shop", "photos") not in town.resources.living())
    record = town.store.resource("shop", "photos")
    assert record is not None
    await town.until("that recorded", lambda: town.store.resource("shop", "photos").launched_at is None)  # type: ignore[union-attr]
    assert ("shop", "photos") in town.resources.contents


async def test_a_failed_deployment_keeps_what_the_one_before_needs(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.servers["photos"] = ServerScript(exits_after=0.1, answers_after=math.inf)
    fresh = '  fresh: {command: serve, port: none, environment: {PHOTOS: "${buckets.photos.url}"}}\ncaches:'
    town.say(a_file(more="buckets: {photos: {}}\n").replace("caches:", fresh, 1))
    with pytest.raises(DeploymentFailed):
        await town.up(daemon)
    assert {("shop", "store"), ("shop", "sessions")} <= set(town.resources.living())
    assert serving(town) == 2
    await town.until("the new one given up", lambda: ("shop", "photos") not in town.resources.living())


async def test_a_silent_server_is_started_again(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.resources.silence("shop", "store")
    town.servers["store"] = ServerScript()
    took = await town.until("another launch", lambda: launched(town, "store") == 2)
    assert 25 < took < 40
    assert town.resources.violations == []


async def test_what_another_start_would_not_mend_is_told_and_left_as_it_is(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.resources.hinder("shop", "sessions", "it refuses writes: No space left on device")
    await asyncio.sleep(300)
    shown = {one["id"]: one for one in (await daemon.status("shop"))["stacks"][0]["resources"]}
    assert (shown["sessions"]["state"], shown["sessions"]["why"]) == (
        "unavailable",
        "it refuses writes: No space left on device",
    )
    assert launched(town, "sessions") == 1
    assert town.kinds().count("resource_hindered") == 1
    town.resources.speak("shop", "sessions")
    await asyncio.sleep(5)
    assert town.kinds()[-1] == "resource_recovered"
    # It lasts for long, and then the server hangs: its silence is counted from there.
    town.resources.hinder("shop", "sessions", "it refuses writes: No space left on device")
    await asyncio.sleep(300)
    town.resources.silence("shop", "sessions")
    took = await town.until("another launch", lambda: launched(town, "sessions") == 2)
    assert 25 < took < 40


async def test_a_deployment_does_not_wait_for_a_full_disk_and_other_settings_are_still_tried(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.resources.hinder("shop", "sessions", "it refuses writes: No space left on device")
    await asyncio.sleep(5)
    town.say(a_file().replace("instances: 2", 'instances: 2\n    build: "true"').replace("DATABASE_URL", "STORE_URL"))
    with pytest.raises(DeploymentFailed, match="web needs sessions: it refuses writes: No space left on device"):
        await town.up(daemon)
    assert serving(town) == 2
    town.say(a_file(memory="128MB").replace("DATABASE_URL", "STORE_URL"))
    await town.up(daemon)
    assert (launched(town, "sessions"), serving(town)) == (2, 2)


async def test_the_machine_starts_again_with_the_daemon(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.resources.contents["shop", "store"] = "rows"
    await town.bury(daemon)
    town.reboot()
    await town.daemon()
    await town.until("all there again", lambda: serving(town) == 2 and available(town) == ["sessions", "store"])
    assert town.resources.contents["shop", "store"] == "rows"
    assert launched(town, "store") == 2


async def an_up(town: Town, daemon: Supervisor) -> None:
    await town.up(daemon)


async def a_death(town: Town, daemon: Supervisor) -> None:
    if ("shop", "store") in town.resources.living() and launched(town, "store") == 1:
        town.resources.end("shop", "store")
    await town.until("the next launch", lambda: launched(town, "store") >= 2 and "store" in available(town))


async def a_change(town: Town, daemon: Supervisor) -> None:
    town.say(a_file(memory="128MB"))
    await town.up(daemon)
    await town.until("another launch", lambda: launched(town, "sessions") >= 2 and "sessions" in available(town))


@pytest.mark.parametrize("story", [an_up, a_death, a_change])
async def test_a_daemon_that_dies_anywhere_leaves_one_server_of_each(tmp_path: Path, story) -> None:  # type: ignore[no-untyped-def]
    async def play(folder: Path, dies_at: int) -> bool:
        folder.mkdir()
        town = Town(folder, PACE)
        town.say(a_file())
        town.servers["store"] = ServerScript(prepares_in=0.3, answers_after=0.2)
        if story is not an_up:
            daemon = await town.daemon()
            await town.up(daemon)
            await town.bury(daemon)
        await die_in_the_middle(town, story, dies_at)
        if town.fuse.burnt < dies_at:
            return False
        daemon = await town.daemon()
        await town.up(daemon)
        await story(town, daemon)
        await town.until("all available", lambda: sorted(available(town)) == ["sessions", "store"])
        assert sorted(town.resources.living()) == [("shop", "sessions"), ("shop", "store")]
        assert town.resources.violations == []
        assert serving(town) == 2
        await daemon.down("shop", lambda event: None)
        assert town.resources.living() == ()
        await town.bury(daemon)
        return True

    await at_every_call(tmp_path, play, every=3)
