"""Secrets are set, kept from the environment of `up`, listed and removed; and nothing said of them holds a value."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fairlead.control.journal import Journal
from fairlead.control.references import References
from fairlead.control.secrets import UNKEPT, Secrets
from fairlead.core.desired import Revision
from fairlead.core.model import Alarm, Service, Stack
from fairlead.core.resources.model import Cache
from fairlead.core.scaling.policies import CustomMetric
from fairlead.errors import NotFound, StoreError, UsageError
from fairlead.store.database import Store
from tests.store.builders import a_release, a_stack_record, an_instance

PLANTED = "s3cr3t-pl4nted"


class Noon:
    boot = "boot-1"

    def now(self) -> float:
        return 1.0

    def wall(self) -> str:
        return "2026-11-22T12:00:00.000Z"


class House:
    """A store with secrets over it."""

    def __init__(self, folder: Path) -> None:
        self.store = Store.open(str(folder / "fairlead.db"))
        self.secrets = Secrets(self.store, Journal(self.store, Noon()))
        self.said: list[str] = []

    def fill(self, stack: Stack, **env: str) -> Stack:
        return self.secrets.filled(stack, env, self.said.append)

    def bring_up(self, stack: Stack) -> None:
        """As `up` records it."""
        record = a_stack_record(stack.name)
        self.store.save_stack(replace(record, desired=Revision(stack=stack, releases={"web": a_release()})))

    def events(self) -> list[tuple[str, str]]:
        return [(event["kind"], event["text"]) for event in self.store.events(None, 100)]


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    found = House(tmp_path)
    yield found
    found.store.close()


def a_service(name: str = "web", *listed: str, **environment: str) -> Service:
    """listed: as `secrets: [...]`."""
    program = a_stack_record().desired.stack.services[0].program
    variables = {**{one: f"${{secrets.{one}}}" for one in listed}, **environment}
    named = [text[10:-1] for text in variables.values() if text.startswith("${secrets.")]
    return Service(name=name, program=program, source="/code", environment=variables, secrets=dict.fromkeys(named, 0))


def a_stack(*services: Service, **changes: Any) -> Stack:
    return Stack(name="shop", path="/code/fairlead.yaml", services=services or (a_service("web", "TOKEN"),), **changes)


class TestSet:
    async def test_a_value_is_kept_for_a_stack_that_was_never_up(self, house: House) -> None:
        answer = await house.secrets.set("shop", "TOKEN", PLANTED)
        assert house.store.vault.value("shop", "TOKEN") == PLANTED
        assert (answer["changed"], answer["removed"], answer["outdated"]) == (True, [], [])
        assert answer["text"] == "TOKEN of shop is set; shop is not up: `fairlead up` uses it"
        assert house.events() == [("secret_set", "the secret TOKEN is set by hand")]

    async def test_the_same_value_again_changes_nothing_and_tells_no_event(self, house: House) -> None:
        await house.secrets.set("shop", "TOKEN", PLANTED)
        answer = await house.secrets.set("shop", "TOKEN", PLANTED)
        assert not answer["changed"]
        assert answer["text"].startswith("TOKEN of shop has that value")
        assert len(house.events()) == 1

    async def test_what_stood_round_it_is_taken_off_and_said(self, house: House) -> None:
        answer = await house.secrets.set("shop", "TOKEN", f"\ufeff {PLANTED}\n")
        assert house.store.vault.value("shop", "TOKEN") == PLANTED
        assert answer["removed"] == ["line breaks", "a byte order mark", "blanks"]
        assert "taken off round it: line breaks, a byte order mark and blanks" in answer["text"]

    async def test_what_cannot_be_seen_in_the_middle_of_it_stays_and_is_said(self, house: House) -> None:
        value = f"{PLANTED}\u200b{PLANTED}"
        answer = await house.secrets.set("shop", "TOKEN", value)
        assert house.store.vault.value("shop", "TOKEN") == value
        assert f"character {len(PLANTED) + 1} of it, U+200B, is not to be seen, and stays" in answer["text"]
        house.fill(a_stack(a_service("web", "OTHER")), OTHER="a\u200bb")
        assert house.said == ["OTHER: character 2 of it, U+200B, is not to be seen, and stays"]

    @pytest.mark.parametrize(
        "value", ["", " \n ", f"{PLANTED}\0", f"{PLANTED}\x1b", PLANTED * 10_000, f"{PLANTED}\udcff"]
    )
    async def test_a_value_that_cannot_be_used_is_refused_and_not_repeated(self, house: House, value: str) -> None:
        await house.secrets.set("shop", "TOKEN", "before")
        with pytest.raises(UsageError, match="TOKEN is not set: the value cannot be used") as caught:
            await house.secrets.set("shop", "TOKEN", value)
        assert PLANTED not in json.dumps(caught.value.to_json())
        assert house.store.vault.value("shop", "TOKEN") == "before"

    @pytest.mark.parametrize(("stack", "name"), [("Shop", "A"), ("", "A"), ("a/b", "A"), ("shop", "A B"), ("shop", "")])
    async def test_names_are_judged_by_their_shape(self, house: House, stack: str, name: str) -> None:
        with pytest.raises(UsageError, match="that is no name of a"):
            await house.secrets.set(stack, name, PLANTED)

    async def test_who_runs_with_the_value_before_is_told(self, house: House) -> None:
        await house.secrets.set("shop", "TOKEN", "old")
        house.bring_up(house.fill(a_stack(a_service("web", "TOKEN"), a_service("api", KEY="${secrets.TOKEN}"))))
        answer = await house.secrets.set("shop", "TOKEN", "new")
        assert answer["outdated"] == ["web", "api"]
        assert answer["text"] == "TOKEN of shop has another value now; web and api get it by the next `fairlead up`"

    async def test_a_value_that_no_service_has_is_up_to_date(self, house: House) -> None:
        house.bring_up(a_stack(a_service("web")))
        answer = await house.secrets.set("shop", "OTHER", "new")
        assert (answer["outdated"], answer["text"]) == ([], "OTHER of shop is set")


class TestUp:
    async def test_secrets_get_the_numbers_of_their_values(self, house: House) -> None:
        await house.secrets.set("shop", "TOKEN", "one")
        await house.secrets.set("shop", "TOKEN", "two")
        stack = house.fill(a_stack(a_service("web", "TOKEN"), a_service("api")))
        assert [dict(service.secrets) for service in stack.services] == [{"TOKEN": 2}, {}]

    async def test_one_of_the_environment_is_kept_and_serves_an_up_without_it(self, house: House) -> None:
        first = house.fill(a_stack(), TOKEN=PLANTED)
        assert house.store.vault.value("shop", "TOKEN") == PLANTED
        assert house.fill(a_stack()) == first
        assert house.events() == [("secret_set", "the secret TOKEN is kept from the environment of `up`")]

    async def test_a_later_up_refreshes_it_from_the_environment(self, house: House) -> None:
        numbers = [house.fill(a_stack(), TOKEN=value).services[0].secrets["TOKEN"] for value in ("a", "a", "b")]
        assert numbers == [1, 1, 2]
        assert len(house.events()) == 2

    async def test_one_set_by_hand_wins_over_the_environment(self, house: House) -> None:
        house.fill(a_stack(), TOKEN="environment")
        await house.secrets.set("shop", "TOKEN", PLANTED)
        house.fill(a_stack(), TOKEN="environment")
        assert house.store.vault.value("shop", "TOKEN") == PLANTED

    async def test_white_space_of_the_environment_is_taken_off_and_said(self, house: House) -> None:
        house.fill(a_stack(), TOKEN=f"{PLANTED}\n")
        assert house.store.vault.value("shop", "TOKEN") == PLANTED
        assert house.said == ["TOKEN: round its value in the environment there were line breaks: taken off"]

    async def test_variables_that_are_no_secrets_are_not_kept(self, house: House) -> None:
        house.fill(a_stack(), TOKEN="a", HOME="/root")
        assert set(house.store.vault.numbers("shop")) == {"TOKEN"}

    async def test_every_one_that_is_missing_is_named_with_its_place_in_one_error(self, house: House) -> None:
        service = replace(
            a_service("web", "KEPT", "LISTED", VARIABLE="${secrets.NAMED}"),
            custom_metrics=(CustomMetric(name="queue", url="http://${secrets.METRIC}@127.0.0.1/"),),
        )
        places = {
            "services.web.secrets": "fairlead.yaml:4:5",
            "services.web.secrets.0": "fairlead.yaml:4:16",
            "services.web.secrets.1": "fairlead.yaml:4:20",
            "services.web.environment.VARIABLE": "fairlead.yaml:6:7",
            "services.web.custom_metrics.queue.url": "fairlead.yaml:8:9",
            "alarms.0.webhook": "fairlead.yaml:10:11",
            "caches.sessions": "fairlead.yaml:12:13",
        }
        stack = a_stack(
            service,
            alarms=(Alarm(metric="unhealthy_targets", comparison="above", level=0, webhook="${secrets.HOOK}"),),
            resources=(Cache(id="sessions", url="redis://:${secrets.CACHE}@10.0.0.1/0"),),
            places=places,
        )
        with pytest.raises(UsageError) as caught:
            house.fill(stack, KEPT=PLANTED)
        error = caught.value
        assert error.what == "5 secrets have no value that can be used"
        assert error.why == "LISTED, NAMED, METRIC, HOOK and CACHE"
        why = "it was never set, and is not in the environment of `fairlead up`"
        assert error.detail.splitlines() == [
            f"fairlead.yaml:4:20: LISTED: {why}",
            f"fairlead.yaml:6:7: NAMED: {why}",
            f"fairlead.yaml:8:9: METRIC: {why}",
            f"fairlead.yaml:10:11: HOOK: {why}",
            f"fairlead.yaml:12:13: CACHE: {why}",
        ]
        assert "fairlead secret set LISTED --stack shop" in error.next_step
        assert house.store.vault.numbers("shop") == {}

    async def test_one_that_is_missing_stands_at_its_place(self, house: House) -> None:
        with pytest.raises(UsageError) as caught:
            house.fill(a_stack(places={"services.web": "fairlead.yaml:3:3"}), TOKEN="  ")
        assert caught.value.place == "fairlead.yaml:3:3"
        assert caught.value.why == "it was never set, and is empty in the environment of `fairlead up`"
        assert caught.value.next_step == "Run `fairlead secret set TOKEN --stack shop`, then `fairlead up` again."

    async def test_an_environments_value_that_cannot_be_used_is_said_and_not_repeated(self, house: House) -> None:
        with pytest.raises(UsageError, match="control character") as caught:
            house.fill(a_stack(), TOKEN=f"{PLANTED}\x07")
        assert PLANTED not in json.dumps(caught.value.to_json())

    async def test_a_value_that_cannot_be_opened_stops_the_up(self, house: House, tmp_path: Path) -> None:
        await house.secrets.set("shop", "TOKEN", PLANTED)
        (tmp_path / "secret.key").unlink()
        with pytest.raises(StoreError, match="cannot be opened"):
            house.fill(a_stack())

    async def test_a_stack_without_secrets_needs_no_key(self, house: House, tmp_path: Path) -> None:
        assert house.fill(a_stack(a_service("web"))) == a_stack(a_service("web"))
        assert not (tmp_path / "secret.key").exists()


class TestPlan:
    def previewed(self, house: House, stack: Stack, **env: str) -> dict[str, int]:
        return dict(house.secrets.previewed(stack, env, house.said.append).services[0].secrets)

    async def test_what_the_environment_has_is_what_up_would_take_and_is_not_kept(self, house: House) -> None:
        assert self.previewed(house, a_stack(), TOKEN=PLANTED) == {"TOKEN": UNKEPT}
        assert (house.said, house.events(), house.store.vault.kept()) == ([], [], ())
        house.fill(a_stack(), TOKEN=PLANTED)
        assert self.previewed(house, a_stack(), TOKEN=PLANTED) == {"TOKEN": 1}
        assert self.previewed(house, a_stack(), TOKEN="another") == {"TOKEN": UNKEPT}
        assert self.previewed(house, a_stack()) == {"TOKEN": 1}
        await house.secrets.set("shop", "TOKEN", "by hand")
        assert self.previewed(house, a_stack(), TOKEN="another") == {"TOKEN": 2}

    def test_what_up_would_be_refused_for_is_said_and_not_repeated(self, house: House) -> None:
        stack = a_stack(a_service("web", "TOKEN", "OTHER"), places={"services.web.secrets.0": "fairlead.yaml:4:16"})
        assert self.previewed(house, stack, OTHER=f"{PLANTED}\x07") == {"TOKEN": 0, "OTHER": 0}
        first, second = house.said
        assert first == (
            "`fairlead up` would be refused: fairlead.yaml:4:16: the secret TOKEN: it was never set, and is not in the "
            "environment of `fairlead up` (fairlead secret set TOKEN --stack shop)"
        )
        assert "the secret OTHER: its value in the environment cannot be used: character" in second
        assert PLANTED not in second


class TestLostKey:
    @pytest.fixture
    def key(self, house: House, tmp_path: Path) -> Path:
        house.store.vault.put("shop", "TOKEN", PLANTED, "set")
        house.store.vault.put("shop", "resource:store", PLANTED, "generated")
        house.store.vault.put("bank", "OTHER", PLANTED, "environment")
        return tmp_path / "secret.key"

    async def test_all_is_given_up_and_the_commands_that_mend_it_are_told(self, house: House, key: Path) -> None:
        key.unlink()
        answer = await house.secrets.reset()
        assert answer["secrets"] == [{"stack": "bank", "name": "OTHER"}, {"stack": "shop", "name": "TOKEN"}]
        assert answer["data"] == [{"stack": "shop", "id": "store"}]
        for command in ("fairlead secret set OTHER --stack bank", "fairlead secret set TOKEN --stack shop"):
            assert command in answer["text"]
        assert house.events() == [
            ("secret_removed", "1 secret given up: the key to them was lost (it is not there)"),
            ("secret_removed", "2 secrets given up: the key to them was lost (it is not there)"),
        ]
        await house.secrets.set("shop", "TOKEN", "again")
        assert house.store.vault.value("shop", "TOKEN") == "again"

    async def test_nothing_is_given_up_while_the_key_opens_it_or_a_stack_that_has_some_is_up(
        self, house: House, key: Path
    ) -> None:
        with pytest.raises(UsageError, match="this home's key opens those that are kept"):
            await house.secrets.reset()
        key.chmod(0o644)
        with pytest.raises(StoreError, match="its mode is 0644"):
            await house.secrets.reset()
        key.unlink()
        house.bring_up(a_stack(a_service("web")))
        with pytest.raises(UsageError, match="shop is up") as caught:
            await house.secrets.reset()
        assert caught.value.next_step == "Run `fairlead down shop` first; its data stay."
        assert len(house.store.vault.kept()) == 3

    async def test_nothing_to_give_up_is_said(self, house: House) -> None:
        with pytest.raises(UsageError, match="this home keeps none"):
            await house.secrets.reset()

    def test_it_stops_an_up_before_a_server_that_it_made_the_password_for_is_started(
        self, house: House, key: Path
    ) -> None:
        key.unlink()
        stack = a_stack(a_service("web"), resources=(Cache(id="store"),))
        with pytest.raises(StoreError, match="cannot be opened"):
            house.fill(stack)


class TestEarlierValues:
    """What is started of a release gets the values that it was made with."""

    async def test_however_often_another_is_set_before_it_is_rolled_out(self, house: House) -> None:
        await house.secrets.set("shop", "TOKEN", "the first")
        stack = house.fill(a_stack())
        release = a_release(1, environment={"TOKEN": "${secrets.TOKEN}"}, secrets=stack.services[0].secrets)
        record = a_stack_record("shop")
        house.store.save_stack(replace(record, desired=Revision(stack=stack, releases={"web": release})))
        for number in range(30):
            await house.secrets.set("shop", "TOKEN", f"later {number}")
        assert References(house.store).of_release("shop", release) == {"secrets.TOKEN": "the first"}

    async def test_after_a_change_that_is_not_rolled_out_a_release_keeps_its_value(self, house: House) -> None:
        first = house.fill(a_stack(), TOKEN="good")
        release = a_release(1, environment={"TOKEN": "${secrets.TOKEN}"}, secrets=first.services[0].secrets)
        second = house.fill(a_stack(), TOKEN="bad")
        values = References(house.store).of_release("shop", release)
        assert values == {"secrets.TOKEN": "good"}
        newer = replace(release, number=2, secrets=second.services[0].secrets)
        assert References(house.store).of_release("shop", newer) == {"secrets.TOKEN": "bad"}

    async def test_the_url_of_a_resource_is_filled_in_by_the_same_rule(self, house: House) -> None:
        cache = Cache(id="sessions", url="redis://:${secrets.TOKEN}@10.0.0.1/0")
        service = replace(a_service("web", URL="${caches.sessions.url}"), secrets={"TOKEN": 0})
        stack = house.fill(a_stack(service, resources=(cache,)), TOKEN="good")
        house.bring_up(stack)
        release = a_release(1, environment=service.environment, secrets=stack.services[0].secrets)
        await house.secrets.set("shop", "TOKEN", "bad")
        values = References(house.store).of_release("shop", release)
        assert values == {"caches.sessions.url": "redis://:good@10.0.0.1/0"}

    async def test_they_go_once_nothing_is_started_with_them(self, house: House) -> None:
        for value in ("one", "two", "three"):
            stack = house.fill(a_stack(), TOKEN=value)
        record = a_stack_record("shop")
        releases = {number: a_release(number, secrets={"TOKEN": number}) for number in (1, 2, 3)}
        house.store.add_release("shop", releases[1])
        house.store.save_instance(an_instance(1, release=1))
        record = replace(
            record,
            desired=Revision(stack=stack, releases={"web": releases[3]}),
            previous=Revision(stack=stack, releases={"web": releases[2]}),
        )
        house.store.save_stack(record)
        vault = house.store.vault
        house.secrets.forget_earlier("shop")
        assert [vault.value("shop", "TOKEN", number) for number in (1, 2, 3)] == ["one", "two", "three"]
        house.store.save_instance(an_instance(1, release=1, state="ended"))
        house.secrets.forget_earlier("shop")
        assert [vault.value("shop", "TOKEN", number) for number in (1, 2, 3)] == ["three", "two", "three"]
        house.store.save_stack(replace(record, previous=None))
        house.secrets.forget_earlier("shop")
        assert [vault.value("shop", "TOKEN", number) for number in (1, 2, 3)] == ["three", "three", "three"]


class TestList:
    async def test_names_origins_and_users_are_told_and_no_value(self, house: House) -> None:
        await house.secrets.set("shop", "TOKEN", PLANTED)
        await house.secrets.set("shop", "UNUSED", PLANTED)
        metered = replace(
            a_service("api", "TOKEN"), custom_metrics=(CustomMetric(name="queue", url="http://x/${secrets.TOKEN}"),)
        )
        stack = a_stack(
            a_service("web", "TOKEN", "KEPT"),
            metered,
            alarms=(Alarm(metric="unhealthy_targets", comparison="above", level=0, webhook="${secrets.TOKEN}"),),
            resources=(Cache(id="sessions", url="redis://:${secrets.KEPT}@10.0.0.1/0"),),
        )
        house.bring_up(house.fill(stack, KEPT=PLANTED))
        answer = house.secrets.entries("shop")
        assert [(row["name"], row["origin"], row["used_by"]) for row in answer["secrets"]] == [
            ("KEPT", "environment", ["web", "caches.sessions"]),
            ("TOKEN", "set", ["web", "api", "alarms"]),
            ("UNUSED", "set", []),
        ]
        assert PLANTED not in json.dumps(answer)

    async def test_one_that_is_used_and_was_removed_is_shown_as_not_set(self, house: House) -> None:
        house.bring_up(house.fill(a_stack(), TOKEN="a"))
        await house.secrets.remove("shop", "TOKEN", force=True)
        assert house.secrets.entries("shop")["secrets"] == [
            {"name": "TOKEN", "origin": None, "changed_at": None, "used_by": ["web"]}
        ]

    async def test_a_stack_that_nobody_knows_has_none(self, house: House) -> None:
        assert house.secrets.entries("nosuch") == {"stack": "nosuch", "secrets": []}


class TestRemove:
    async def test_one_that_is_not_there_is_said(self, house: House) -> None:
        with pytest.raises(NotFound, match="shop has no secret TOKEN"):
            await house.secrets.remove("shop", "TOKEN", force=True)

    async def test_a_generated_password_cannot_be_named(self, house: House) -> None:
        house.store.vault.put("shop", "resource:store", PLANTED, "generated")
        with pytest.raises(UsageError, match="that is no name of a secret"):
            await house.secrets.remove("shop", "resource:store", force=True)

    async def test_one_that_nobody_uses_is_forgotten(self, house: House) -> None:
        await house.secrets.set("shop", "TOKEN", PLANTED)
        answer = await house.secrets.remove("shop", "TOKEN", force=False)
        assert answer == {"stack": "shop", "name": "TOKEN", "used_by": [], "text": "TOKEN of shop is removed"}
        assert house.store.vault.value("shop", "TOKEN") is None
        assert house.events()[-1] == ("secret_removed", "the secret TOKEN is removed by hand")

    async def test_one_that_is_used_is_refused_unless_forced_and_then_who_keeps_it_is_told(self, house: House) -> None:
        house.bring_up(house.fill(a_stack(a_service("web", "TOKEN"), a_service("api", "TOKEN")), TOKEN=PLANTED))
        with pytest.raises(UsageError, match="TOKEN is used by web and api of shop"):
            await house.secrets.remove("shop", "TOKEN", force=False)
        assert house.store.vault.value("shop", "TOKEN") == PLANTED
        answer = await house.secrets.remove("shop", "TOKEN", force=True)
        assert answer["used_by"] == ["web", "api"]
        assert "what runs of web and api keeps the value until it is restarted" in answer["text"]


async def test_no_event_holds_a_value(house: House) -> None:
    await house.secrets.set("shop", "TOKEN", PLANTED)
    house.fill(a_stack(a_service("web", "TOKEN", "KEPT")), KEPT=PLANTED)
    await house.secrets.remove("shop", "TOKEN", force=True)
    shown: Mapping[str, object] = {"events": house.store.events(None, 100)}
    assert len(house.events()) == 3
    assert PLANTED not in json.dumps(shown)
