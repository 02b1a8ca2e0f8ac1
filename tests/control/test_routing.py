"""What the balancer is asked for beyond running instances: targets of others, one instance alone, no health checks."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any

import pytest

from fairlead.control.certificates import Certificates
from fairlead.control.supervisor import Supervisor, UpRequest
from fairlead.core.model import Opening
from fairlead.core.traffic import CertificateReport
from fairlead.errors import BalancerError, NotFound, PortInUse, UsageError

from .test_day_two import shown, silent
from .town import Town

pytestmark = [pytest.mark.looptime, pytest.mark.timeout(60)]

ONE, OTHER = "127.0.0.1:9001", "127.0.0.1:9002"

MIXED = """\
name: shop
services:
  web: {{command: serve, instances: 1, environment: {{VERSION: "1"}}}}
  legacy:
    targets: [{targets}]
    target_group: {{deregistration_delay: 20s}}
load_balancer:
  listeners: [{{port: 8080, rules: [{{when: {{path: /old/*}}, forward: legacy}}], default: {{forward: web}}}}]
"""

UNCHECKED = """\
name: shop
services:
  web: {command: serve, instances: 2, environment: {VERSION: "1"}, health_check: {enabled: false}}
"""


async def mixed(town: Town, *targets: str) -> Supervisor:
    daemon = town.daemons[-1] if town.daemons else await town.daemon()
    town.say(MIXED.format(targets=", ".join(targets)))
    await town.up(daemon)
    return daemon


def listed(town: Town) -> dict[str, str]:
    """Address -> id, of those that are not leaving."""
    records = town.store.instances("shop")
    return {one.address: one.id for one in records if not one.runs and one.state != "terminating"}


# Targets that fairlead does not run


async def test_targets_of_others_are_routed_to_checked_and_never_run(town: Town) -> None:
    town.foreign = {ONE, OTHER}
    daemon = await mixed(town, ONE, OTHER)
    assert listed(town) == {ONE: "legacy-1", OTHER: "legacy-2"}
    assert {town.balancer.ask(8080, path="/old/x") for _ in range(2)} == {"legacy-1", "legacy-2"}
    assert town.living() == ["web-1"]
    service = await shown(daemon, "legacy")
    assert (service["release"], service["runs"], service["desired"]) == (None, False, 2)
    assert [(one["address"], one["release"], one["pid"], one["health"]) for one in service["instances"]] == [
        (ONE, None, None, "healthy"),
        (OTHER, None, None, "healthy"),
    ]


async def test_an_address_that_stays_in_the_file_is_not_touched(town: Town) -> None:
    town.foreign = {ONE, OTHER, "127.0.0.1:9003"}
    await mixed(town, ONE, OTHER)
    town.balancer.sessions("shop.legacy", "legacy-1", 1)
    await mixed(town, OTHER, "127.0.0.1:9003")
    assert listed(town) == {OTHER: "legacy-2", "127.0.0.1:9003": "legacy-3"}
    assert sorted(town.balancer.serving("shop.legacy")) == ["legacy-2", "legacy-3"]
    took = await town.until("the first to leave", lambda: len(town.store.instances("shop")) == 3)
    assert 18 < took < 22, "its request had the deregistration delay to finish"
    assert "deregistered" in town.kinds()


async def test_one_that_is_ill_is_told_and_never_replaced(town: Town) -> None:
    town.foreign = {ONE}
    daemon = await mixed(town, ONE, OTHER)
    assert town.balancer.serving("shop.legacy") == ["legacy-1"]
    await asyncio.sleep(300)
    assert listed(town) == {ONE: "legacy-1", OTHER: "legacy-2"}
    instances = (await shown(daemon, "legacy"))["instances"]
    assert [(one["health"], one["reason"]) for one in instances] == [
        ("healthy", None),
        ("unhealthy", "Target.FailedHealthChecks"),
    ]
    town.foreign.add(OTHER)
    await town.until("it to serve", lambda: len(town.balancer.serving("shop.legacy")) == 2, 5)


async def test_they_outlive_the_daemon_and_the_machine(town: Town) -> None:
    town.foreign = {ONE, OTHER}
    daemon = await mixed(town, ONE, OTHER)
    await town.bury(daemon)
    await town.daemon()
    assert sorted(town.balancer.serving("shop.legacy")) == ["legacy-1", "legacy-2"]
    await town.bury(town.daemons[-1])
    town.reboot()
    await town.daemon()
    await town.until("all to serve", lambda: bool(town.serving()))
    assert listed(town) == {ONE: "legacy-1", OTHER: "legacy-2"}
    assert sorted(town.balancer.serving("shop.legacy")) == ["legacy-1", "legacy-2"]
    await mixed(town, ONE)
    await town.until("the other to leave", lambda: len(town.store.instances("shop")) == 2, 30)


async def test_by_hand_they_can_be_drained_and_nothing_that_needs_a_program(town: Town) -> None:
    town.foreign = {ONE, OTHER}
    daemon = await mixed(town, ONE, OTHER)
    await daemon.drain("shop", "legacy-1")
    await town.until("it to be out", lambda: town.balancer.serving("shop.legacy") == ["legacy-2"], 5)
    await daemon.give_back("shop", "legacy-1")
    await town.until("it to be back", lambda: len(town.balancer.serving("shop.legacy")) == 2, 5)
    for refused in (
        daemon.terminate("shop", "legacy-1", progress=silent),
        daemon.protect("shop", "legacy-1", True),
        daemon.scale("shop", "legacy", 3, silent),
        daemon.restart("shop", "legacy", silent),
    ):
        with pytest.raises(UsageError, match="is routed to, and not run by fairlead"):
            await refused
    with pytest.raises(UsageError, match="is routed to"):
        daemon.entry("shop", instance="legacy-1")
    with pytest.raises(UsageError, match="is routed to"):
        daemon.entry("shop", service="legacy")
    await daemon.restart("shop", None, silent)
    assert listed(town) == {ONE: "legacy-1", OTHER: "legacy-2"}


async def test_down_drains_them_and_leaves_nothing(town: Town) -> None:
    town.foreign = {ONE}
    daemon = await mixed(town, ONE)
    await daemon.down("shop", silent)
    assert town.store.all_live() == ()
    assert town.balancer.members == {}


async def test_a_plan_and_an_up_that_change_nothing_say_so(town: Town) -> None:
    town.foreign = {ONE}
    daemon = await mixed(town, ONE)
    again = await town.up(daemon)
    assert (again["changed"], again["summary"]) == (False, [])


# Without health checks


async def test_without_health_checks_requests_go_to_all_that_run(town: Town) -> None:
    town.say(UNCHECKED)
    daemon = await town.daemon()
    town.ill = {"web-1", "web-2"}
    await town.up(daemon)
    assert town.serving() == ["web-1", "web-2"]
    service = await shown(daemon)
    assert {(one["health"], one["reason"]) for one in service["instances"]} == {
        ("unavailable", "Target.HealthCheckDisabled")
    }
    explained = await daemon.explain("shop", "web")
    assert explained["answer"].startswith("web has 2 of 2 healthy")
    town.engine.end("shop", "web-1")
    await town.until("a replacement", lambda: town.serving() == ["web-2", "web-3"], 5)


# One instance alone


def openings(town: Town) -> list[Opening]:
    routing = town.balancer.routings.get("shop")
    return [one.opening for one in routing.listeners if one.opening] if routing else []


async def opened(town: Town, seconds: float = 60.0) -> tuple[Supervisor, dict[str, Any]]:
    daemon = await town.daemon()
    await town.up(daemon)
    return daemon, await daemon.open_instance("shop", "web-2", seconds)


async def test_an_opened_instance_is_reached_by_its_token_whose_digest_alone_is_kept(town: Town) -> None:
    daemon, told = await opened(town)
    token = told["url"].partition("?fairlead-open=")[2]
    digest = hashlib.sha256(token.encode()).hexdigest()
    assert openings(town) == [Opening(service="web", instance="web-2", digest=digest)]
    assert told["url"].startswith(f"http://127.0.0.1:{told['port']}/?")
    service = await shown(daemon)
    assert [one["opened"] for one in service["instances"]] == [None, {"port": told["port"], "until": told["until"]}]
    everything = repr((town.store.events("shop", 100), town.store.decisions("shop", 100), town.store.all_live()))
    assert digest in everything
    assert token not in everything


async def test_it_ends_with_its_time(town: Town) -> None:
    daemon, _ = await opened(town, 30.0)
    took = await town.until("the port to be given back", lambda: not openings(town))
    assert 29 < took < 32
    assert [one["opened"] for one in (await shown(daemon))["instances"]] == [None, None]
    await town.until("it to be told", lambda: "closed" in town.kinds(), 6)
    await asyncio.sleep(20)
    assert town.kinds().count("closed") == 1


async def test_it_ends_by_hand_and_with_its_instance(town: Town) -> None:
    daemon, _ = await opened(town)
    assert "through its listeners only" in (await daemon.close_instance("shop", "web-2"))["text"]
    assert openings(town) == []
    assert (await daemon.close_instance("shop", "web-2"))["text"] == "web-2 is not open"
    await daemon.open_instance("shop", "web-2", 60)
    town.engine.end("shop", "web-2")
    await town.until("the port to be given back", lambda: not openings(town), 5)


async def test_asked_again_the_port_stays_and_the_first_token_is_worth_nothing(town: Town) -> None:
    daemon, first = await opened(town)
    second = await daemon.open_instance("shop", "web-2", 60)
    assert second["port"] == first["port"]
    assert second["url"] != first["url"]
    assert len(openings(town)) == 1


async def test_it_outlives_the_daemon_and_an_up(town: Town) -> None:
    daemon, _ = await opened(town, 600.0)
    before = openings(town)
    await town.bury(daemon)
    daemon = await town.daemon()
    assert openings(town) == before
    town.say((town.folder / "fairlead.yaml").read_text().replace("path: /health", "path: /other"))
    await town.up(daemon)
    assert openings(town) == before


async def test_what_cannot_be_opened_is_said(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    with pytest.raises(NotFound):
        await daemon.open_instance("shop", "web-9", 60)
    for seconds in (0.0, 8 * 86400.0):
        with pytest.raises(UsageError, match="from a second to 7 days"):
            await daemon.open_instance("shop", "web-1", seconds)
    for _ in range(40):
        town.balancer.fail("configure")
    with pytest.raises(BalancerError, match="web-1 could not be opened"):
        await daemon.open_instance("shop", "web-1", 60)
    assert town.store.instances("shop")[0].opened is None


# Certificates


def a_report(**changes: Any) -> CertificateReport:
    fields = {
        "stack": "shop", "address": "127.0.0.1", "port": 8443, "names": ("a.test",), "expires_at": "2027-01-01T00:00:00Z",
        "file": "/c/a.pem",
    }  # fmt: skip
    return CertificateReport(**{**fields, **changes})


def test_what_happens_to_certificates_is_told_once(town: Town) -> None:
    class Journal:
        said: list[tuple[str, str, str]] = []  # noqa: RUF012

        def event(self, stack: str, kind: str, text: str) -> None:
            self.said.append((stack, kind, text))

    journal, now = Journal(), "2026-11-21T00:00:00Z"
    certificates = Certificates(journal)  # type: ignore[arg-type]
    for _ in range(2):
        certificates.tell([a_report()], now)
    assert journal.said == []
    for _ in range(2):
        certificates.tell([a_report(expires_at="2027-04-01T00:00:00Z")], now)
    assert journal.said == [
        (
            "shop",
            "certificate",
            "certificate of 127.0.0.1:8443 for a.test taken over, valid until 2027-04-01T00:00:00Z",
        )
    ]
    for _ in range(2):
        certificates.tell([a_report(expires_at="2027-04-01T00:00:00Z", problem="its key does not fit")], now)
    assert [text for *_, text in journal.said[1:]] == ["certificate of 127.0.0.1:8443 for a.test: its key does not fit"]
    certificates.tell([a_report(expires_at="2027-04-01T00:00:00Z")], "2027-03-30T00:00:00Z")
    certificates.tell([a_report(expires_at="2027-04-01T00:00:00Z")], "2027-04-02T00:00:00Z")
    assert [text for *_, text in journal.said[2:]] == [
        "certificate of 127.0.0.1:8443 for a.test expires in 2 days; put a new one into /c/a.pem, and it is taken over",
        "certificate of 127.0.0.1:8443 for a.test has expired; put a new one into /c/a.pem, and it is taken over",
    ]


# Drained by hand


async def test_what_stays_inside_a_drained_instance_is_ended_after_the_delay(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    town.balancer.sessions("shop.web", "web-1", 3)
    await daemon.drain("shop", "web-1")
    took = await town.until("it to be empty", lambda: ("sever", "shop.web", "web-1") in town.balancer.calls)
    assert 29 < took < 32
    assert town.living() == ["web-1", "web-2"]
    await daemon.give_back("shop", "web-1")
    await town.until("it to be back", lambda: town.serving() == ["web-1", "web-2"], 5)


# Before anything is done


async def test_a_plan_tells_a_conflict_with_another_stack_at_its_place(town: Town) -> None:
    daemon = await town.daemon()
    await town.up(daemon)
    text = (town.folder / "fairlead.yaml").read_text()
    other = town.folder / "other.yaml"
    other.write_text(text.replace("name: shop", "name: blog"))
    with pytest.raises(PortInUse, match="stack shop has a default there") as caught:
        await daemon.plan(UpRequest(path=str(other), env={}))
    assert caught.value.place.startswith("other.yaml:11:")
    other.write_text(text.replace("name: shop", "name: blog").replace("8080", "8081"))
    assert (await daemon.plan(UpRequest(path=str(other), env={})))["first"]
    assert set(town.balancer.ports) == {("127.0.0.1", 8080)}


async def test_there_is_nothing_to_restart_where_nothing_is_run(town: Town) -> None:
    town.foreign = {ONE}
    daemon = await town.daemon()
    town.say(f"name: shop\nservices:\n  legacy: {{targets: ['{ONE}']}}\n")
    await town.up(daemon)
    with pytest.raises(UsageError, match="shop is routed to, and not run by fairlead"):
        await daemon.restart("shop", None, silent)
