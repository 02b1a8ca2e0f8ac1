"""What the meter is handed every second, and what status and explain make of what it says."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest

from fairlead.core.figures import UNKNOWN, Figures
from fairlead.core.readings import InstanceScene
from fairlead.errors import BalancerError, NotFound
from fairlead.metrics.query import Query

from .town import FakeMeter, Town

pytestmark = pytest.mark.looptime


async def a_metered(town: Town) -> FakeMeter:
    town.meter = meter = FakeMeter()
    await town.up(await town.daemon())
    return meter


async def test_every_second_the_meter_gets_what_is_there(town: Town) -> None:
    meter = await a_metered(town)
    begun = len(meter.samples)
    await town.until("ten samples", lambda: len(meter.samples) >= begun + 10)
    last = meter.samples[-10:]
    apart = [later.now - sooner.now for sooner, later in pairwise(last)]
    assert apart == pytest.approx([1.0] * 9, abs=0.01)
    assert last[-1].wall % 1 < 0.01
    [service] = last[-1].services
    assert (service.stack, service.name, service.desired, service.cpu) == ("shop", "web", 2, 1.0)
    assert service.memory == 4_000_000_000  # of 8, for at most two instances
    assert service.instances == tuple(
        InstanceScene(id=name, zone="a", health="healthy", in_service=True) for name in ("web-1", "web-2")
    )
    assert last[-1].stacks == ("shop",)
    assert last[-1].balancer is not None
    assert set(last[-1].usage) == {("shop", "web-1"), ("shop", "web-2")}


async def test_an_ill_instance_is_handed_over_as_unhealthy(town: Town) -> None:
    meter = await a_metered(town)
    town.ill.add("web-1")

    def is_told() -> bool:
        last = meter.samples[-1:]
        found = {one.id: one.health for sample in last for one in sample.services[0].instances}
        return found == {"web-1": "unhealthy", "web-2": "healthy"}

    await town.until("the sample", is_told)


async def test_what_the_file_reserves_is_the_base(town: Town) -> None:
    town.meter = meter = FakeMeter()
    town.say(
        "name: shop\nservices:\n  web: {command: serve, resources: {cpu: 0.5, memory: 256MB}}\n"
        "load_balancer: {listeners: [{port: 8080, default: {forward: web}}]}\n"
    )
    supervisor = await town.daemon()
    await town.up(supervisor)
    await town.until("a sample", lambda: bool(meter.samples))
    assert (meter.samples[-1].services[0].cpu, meter.samples[-1].services[0].memory) == (0.5, 256_000_000)
    before = town.living()
    town.say((town.folder / "fairlead.yaml").read_text().replace("0.5", "2").replace("256MB", "1GB"))
    answer = await town.up(supervisor)
    assert answer["summary"] == ["web: cpu 0.5 -> 2", "web: memory 256MB -> 1GB"]
    await town.until("another base", lambda: meter.samples[-1].services[0].cpu == 2)
    assert town.living() == before  # nothing is replaced for it


async def test_what_does_not_answer_is_unknown_and_the_rest_is_measured(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    meter = await a_metered(town)

    async def fails() -> None:
        raise BalancerError("HAProxy does not answer", "it is silent")

    monkeypatch.setattr(town.balancer, "measure", fails)
    await town.until("an unknown", lambda: bool(meter.samples) and meter.samples[-1].balancer is None)
    assert meter.samples[-1].usage
    monkeypatch.setattr(town.engine, "usage", fails)
    await town.until("another", lambda: not meter.samples[-1].usage)
    monkeypatch.undo()
    await town.until("both again", lambda: meter.samples[-1].balancer is not None and bool(meter.samples[-1].usage))


async def test_a_daemon_that_leaves_closes_the_meter(town: Town) -> None:
    meter = await a_metered(town)
    await town.daemons[-1].close()
    assert not meter.is_open


async def test_status_shows_figures_and_null_where_nothing_is_known(town: Town) -> None:
    meter = await a_metered(town)
    meter.did = {"": Figures(requests_per_second=12.0, error_rate=0.25, p95=0.05), "web-1": Figures(cpu=40.0)}
    [stack] = (await town.daemons[-1].status())["stacks"]
    [service] = stack["services"]
    nothing = dict.fromkeys(("requests_per_second", "error_rate", "p50", "p95", "outstanding", "cpu", "memory"))
    assert service["figures"] == nothing | {"requests_per_second": 12.0, "error_rate": 0.25, "p95": 0.05}
    assert [one["figures"] for one in service["instances"]] == [nothing | {"cpu": 40.0}, nothing]


async def test_without_a_meter_everything_is_unknown(town: Town) -> None:
    supervisor = await town.daemon()
    await town.up(supervisor)
    [stack] = (await supervisor.status())["stacks"]
    assert set(stack["services"][0]["figures"].values()) == {None}
    assert supervisor.prometheus() == ""
    with pytest.raises(NotFound, match="nothing is measured"):
        await supervisor.metrics(Query(stack="shop"))


async def test_explain_says_what_stands_out(town: Town) -> None:
    meter = await a_metered(town)
    busy = Figures(requests_per_second=30.0, error_rate=0.0, p95=0.02)
    meter.did = {
        "": Figures(requests_per_second=60.0, error_rate=0.1, p95=0.3),
        "web-1": busy,
        "web-2": Figures(requests_per_second=30.0, error_rate=0.2, p95=0.9, cpu=140.0),
    }
    told = await town.daemons[-1].explain("shop", "web")
    assert told["answer"] == (
        "web has 2 of 2 healthy: of web-2: 20% of its requests fail, 0% of those of the other, its p95 is 900 ms, that "
        "of the other 20 ms, it uses 140% of the cpu that it reserves. It takes 60 requests/s, p95 300 ms."
    )
    assert told["figures"]["p95"] == 0.3
    first, second = told["instances"]
    assert "over the last 10 s: 30 requests/s, 0% errors, p95 20 ms" in first["clauses"]
    assert not any("fail" in clause for clause in first["clauses"])
    assert "20% of its requests fail, 0% of those of the other" in second["clauses"]
    assert second["figures"]["cpu"] == 140.0


async def test_a_service_that_fails_as_a_whole_is_told_once(town: Town) -> None:
    meter = await a_metered(town)
    meter.did = dict.fromkeys(("", "web-1", "web-2"), Figures(requests_per_second=18.0, error_rate=0.061))
    told = await town.daemons[-1].explain("shop", "web")
    assert told["answer"] == "web has 2 of 2 healthy: 6.1% of its requests fail. It takes 18 requests/s."
    assert not any("fail" in clause for one in told["instances"] for clause in one["clauses"])


async def test_explain_of_a_quiet_service_says_nothing_of_load(town: Town) -> None:
    meter = await a_metered(town)
    for quiet in (UNKNOWN, Figures(requests_per_second=0.0)):
        meter.did = {"": quiet}
        assert (await town.daemons[-1].explain("shop", "web"))["answer"] == "web has 2 of 2 healthy, on release 1."


async def test_explain_of_the_past_tells_how_it_did_then(town: Town) -> None:
    meter = await a_metered(town)
    meter.before = {"": Figures(requests_per_second=5.0, error_rate=0.0, p95=0.01)}
    told = await town.daemons[-1].explain("shop", "web", "2026-01-02T00:00:00+00:00")
    assert told["answer"].endswith("It takes 5 requests/s, 0% errors, p95 10 ms.")
    assert meter.asked_at == [1767312000.0]


async def test_a_change_of_the_log_is_named_and_replaces_nothing(town: Town) -> None:
    supervisor = await town.daemon()
    await town.up(supervisor)
    before = town.living()
    town.say((town.folder / "fairlead.yaml").read_text() + "  access_log: false\n")
    answer = await town.up(supervisor)
    assert answer["summary"] == ["load_balancer.access_log true -> false"]
    assert town.living() == before
    await asyncio.sleep(0)
