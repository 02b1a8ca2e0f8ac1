"""The cache of ip-location over a real Valkey and a real HTTP server that plays ipstack: how few calls there are, and
what is told when one of the two is away."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime

import pytest

from .ipstack import NEVER, NOTHING, error, place, unknown
from .ipstack import Ipstack as Server
from .site import PUBLIC, Instance, Settings, instances, until
from .valkey import Valkey

pytestmark = [
    pytest.mark.live,
    # cashews 7.6 closes its client in the way of redis-py 4.
    pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning"),
]


class Clock:
    """Seconds since 1970, as the test says; the cache's own expiry goes by the machine's."""

    def __init__(self, *instances: Instance) -> None:
        self.now = datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()
        for one in instances:
            one.lookups._clock = one.lookups.budget._clock = self

    def __call__(self) -> float:
        return self.now


# One call


async def test_a_second_question_is_answered_from_the_cache_by_whichever_instance(
    settings: Settings, server: Server
) -> None:
    async with instances(settings, 5) as five:
        first = await five[0].api(PUBLIC)
        assert (first["answered_from"], first["instance"], first["provider"]) == ("provider", "web-1", "ipstack")
        assert first["place"]["city"] == "Los Angeles"
        for one in five:
            again = await one.api(PUBLIC)
            assert again["answered_from"] == "cache"
            assert again["place"] == first["place"]
            assert again["cache"]["state"] == "reachable"
            assert 0 <= again["cache"]["age"] < 60
            assert settings.lifetime - 60 < again["cache"]["remaining"] < settings.lifetime
    assert server.calls == [PUBLIC]


async def test_a_thousand_at_once_over_five_instances_are_one_call(settings: Settings, server: Server) -> None:
    server.says(PUBLIC, place(PUBLIC).after(0.3))
    async with instances(settings, 5) as five:
        answers = await asyncio.gather(*(five[number % 5].api(PUBLIC) for number in range(1000)))
        assert Counter(answer["place"]["city"] for answer in answers) == {"Los Angeles": 1000}
        assert {answer["answered_from"] for answer in answers} <= {"provider", "cache"}
        assert server.calls == [PUBLIC]
        assert (await five[0].get("/status")).json()["upstream"] == {
            "provider": "ipstack", "calls": 1, "budget": 10_000,
        }  # fmt: skip


async def test_a_stampede_on_a_provider_that_fails_is_one_call_too(settings: Settings, server: Server) -> None:
    server.says(PUBLIC, replace(NOTHING, delay=0.2))
    async with instances(settings, 5) as five:
        answers = await asyncio.gather(*(five[number % 5].get(f"/api/{PUBLIC}") for number in range(200)))
        assert {answer.status_code for answer in answers} == {502}
        assert {answer.headers["Retry-After"] for answer in answers} <= {str(second) for second in range(1, 11)}
    assert server.calls == [PUBLIC]


async def test_another_takes_over_when_the_one_that_calls_dies(settings: Settings, server: Server) -> None:
    server.says(PUBLIC, NEVER)
    async with instances(replace(settings, timeout=0.5), 2) as [dying, other]:
        asked = asyncio.ensure_future(dying.lookups.find(_ip()))
        await until(lambda: server.calls, "the first call")
        waiting = asyncio.ensure_future(other.api(PUBLIC))
        for task in dying.lookups._flights.values():
            # Its lock stays, as after a SIGKILL.
            dying.lookups.shared.reachable = False
            task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asked
        server.says(PUBLIC, place(PUBLIC))
        assert (await waiting)["answered_from"] == "provider"
        dying.lookups.shared.reachable = True
    assert server.calls == [PUBLIC, PUBLIC]


async def test_who_goes_away_does_not_end_the_look_up_of_the_others(settings: Settings, server: Server) -> None:
    server.says(PUBLIC, place(PUBLIC).after(0.3))
    async with instances(settings) as [one]:
        impatient = asyncio.ensure_future(one.api(PUBLIC))
        patient = asyncio.ensure_future(one.api(PUBLIC))
        await until(lambda: server.calls, "the call")
        impatient.cancel()
        assert (await patient)["place"]["city"] == "Los Angeles"
    assert server.calls == [PUBLIC]


# Time passes


async def test_an_answer_is_renewed_in_its_last_fifth_by_one_instance_and_nobody_waits(
    settings: Settings, server: Server
) -> None:
    async with instances(settings, 5) as five:
        clock = Clock(*five)
        await five[0].api(PUBLIC)
        clock.now += settings.lifetime * 0.79
        assert [(await one.api(PUBLIC))["answered_from"] for one in five] == ["cache"] * 5
        assert len(server.calls) == 1, "not yet"
        server.says(PUBLIC, place(PUBLIC, city="Renewed").after(0.2))
        clock.now += settings.lifetime * 0.02
        answers = await asyncio.gather(*(one.api(PUBLIC) for one in five for _ in range(20)))
        assert {(answer["answered_from"], answer["place"]["city"]) for answer in answers} == {("cache", "Los Angeles")}
        renewed = await until(lambda: _if(five[0], "Renewed"), "the renewed answer")
        assert renewed["cache"]["age"] == 0
        assert len(server.calls) == 2


async def test_a_renewal_that_fails_is_told_to_nobody_and_not_tried_again_at_once(
    settings: Settings, server: Server
) -> None:
    async with instances(settings, 2) as two:
        clock = Clock(*two)
        await two[0].api(PUBLIC)
        server.says(PUBLIC, NOTHING)
        clock.now += settings.lifetime * 0.9
        for _ in range(10):
            answer = await two[0].api(PUBLIC)
            assert (answer["answered_from"], answer["cache"]["stale"]) == ("cache", None)
            await asyncio.gather(*two[0].lookups._renewals.values())
        assert len(server.calls) == 2
        clock.now += settings.failed + 1
        await two[1].api(PUBLIC)
        await asyncio.gather(*two[1].lookups._renewals.values())
        assert len(server.calls) == 3


async def test_an_old_answer_is_told_as_stale_while_no_newer_can_be_had(settings: Settings, server: Server) -> None:
    async with instances(settings, 2) as two:
        clock = Clock(*two)
        await two[0].api(PUBLIC)
        server.says(PUBLIC, NOTHING)
        clock.now += settings.lifetime + 100
        for number in range(6):
            answer = await two[number % 2].get(f"/api/{PUBLIC}")
            told = answer.json()
            assert (answer.status_code, told["place"]["city"], told["answered_from"]) == (200, "Los Angeles", "cache")
            assert "connection to ipstack broke" in told["cache"]["stale"]
            assert told["cache"]["remaining"] == 0
        assert len(server.calls) == 2, "one that fails is not repeated at once"
        page = (await two[0].get(f"/?ip={PUBLIC}")).text
        assert "This answer is old." in page
        clock.now += settings.failed + 1
        server.says(PUBLIC, place(PUBLIC, city="New"))
        assert (await two[0].api(PUBLIC))["place"]["city"] == "New"
        server.says(PUBLIC, NOTHING)
        clock.now += settings.lifetime + settings.stale + 1
        assert (await two[0].get(f"/api/{PUBLIC}")).status_code == 502, "too old to be told"


async def test_what_nobody_knows_is_kept_for_a_short_time(settings: Settings, server: Server) -> None:
    server.says(PUBLIC, unknown(PUBLIC))
    async with instances(settings, 2) as two:
        clock = Clock(*two)
        for number in range(6):
            answer = await two[number % 2].api(PUBLIC)
            assert (answer["place"], answer["reason"]) == (None, "nobody who was asked knows where it is")
        assert len(server.calls) == 1
        assert "Nobody knows" in (await two[0].get(f"/?ip={PUBLIC}")).text
        clock.now += settings.unknown + 1
        server.says(PUBLIC, place(PUBLIC))
        assert (await two[0].api(PUBLIC))["place"]["city"] == "Los Angeles"
        server.says(PUBLIC, NOTHING)
        clock.now += settings.lifetime + 1


@pytest.mark.parametrize(("code", "seconds", "status"), [(101, 60, 502), (102, 60, 502), (104, 3600, 503)])
async def test_after_an_error_that_is_none_of_the_addresss_nobody_calls_for_a_while(
    settings: Settings, server: Server, code: int, seconds: int, status: int
) -> None:
    async with instances(settings, 2) as two:
        clock = Clock(*two)
        await two[0].api("1.1.1.1")
        server.always(error(code))
        assert (await two[0].get("/api/8.8.8.8")).status_code == status
        for number in range(20):
            answer = await two[number % 2].get(f"/api/9.9.9.{number}")
            assert (answer.status_code, f"error {code}" in answer.text) == (status, True)
            assert 1 <= int(answer.headers["Retry-After"]) <= seconds
        assert (await two[1].api("1.1.1.1"))["answered_from"] == "cache"
        assert server.calls == ["1.1.1.1", "8.8.8.8"]
        server.always(None)
        clock.now += seconds + 1
        assert (await two[1].api("9.9.9.1"))["answered_from"] == "provider"


async def test_a_rate_limit_is_obeyed_for_as_long_as_the_server_says(settings: Settings, server: Server) -> None:
    async with instances(settings, 2) as two:
        clock = Clock(*two)
        server.always(error(429, 429, Retry_After="120"))
        first = await two[0].get("/api/8.8.8.8")
        assert (first.status_code, first.headers["Retry-After"]) == (503, "120")
        server.always(None)
        clock.now += 119
        assert (await two[1].get("/api/9.9.9.9")).status_code == 503
        clock.now += 2
        assert (await two[1].get("/api/9.9.9.9")).status_code == 200
    assert server.calls == ["8.8.8.8", "9.9.9.9"]


# The budget


async def test_five_instances_never_make_more_calls_than_the_budget(settings: Settings, server: Server) -> None:
    async with instances(replace(settings, budget=7), 5) as five:
        Clock(*five)
        answers = await asyncio.gather(*(five[number % 5].get(f"/api/9.9.{number}.9") for number in range(50)))
        assert Counter(answer.status_code for answer in answers) == {200: 7, 503: 43}
        refused = next(answer for answer in answers if answer.status_code == 503)
        assert "the 7 calls of this month are used up" in refused.text
        until_december = (datetime(2026, 12, 1, tzinfo=UTC) - datetime(2026, 11, 22, 12, tzinfo=UTC)).total_seconds()
        assert 0 <= int(refused.headers["Retry-After"]) - until_december <= 1
        assert (await five[3].get("/status")).json()["upstream"]["calls"] == 7
    assert len(server.calls) == 7


async def test_the_next_month_has_a_budget_of_its_own(settings: Settings, server: Server) -> None:
    async with instances(replace(settings, budget=1)) as [one]:
        clock = Clock(one)
        assert (await one.get("/api/8.8.8.8")).status_code == 200
        assert (await one.get("/api/9.9.9.9")).status_code == 503
        clock.now = datetime(2026, 12, 1, tzinfo=UTC).timestamp() + 1
        assert (await one.get("/api/9.9.9.9")).status_code == 200


async def test_with_the_budget_used_up_old_answers_are_told(settings: Settings, server: Server) -> None:
    async with instances(replace(settings, budget=1)) as [one]:
        clock = Clock(one)
        await one.api(PUBLIC)
        clock.now += settings.lifetime + 1
        answer = await one.api(PUBLIC)
        assert answer["place"]["city"] == "Los Angeles"
        assert answer["cache"]["stale"] == "the 1 calls of this month are used up"


async def test_a_call_that_never_reached_ipstack_is_given_back(settings: Settings, server: Server) -> None:
    await server.stop()
    async with instances(replace(settings, budget=2, failed=0.001)) as [one]:
        for number in range(5):
            answer = await one.get(f"/api/9.9.9.{number}")
            assert (answer.status_code, "cannot be reached" in answer.text) == (502, True)
        assert (await one.get("/status")).json()["upstream"]["calls"] == 0
        await server.listen()
        assert (await one.get("/api/8.8.8.8")).status_code == 200
        assert (await one.get("/status")).json()["upstream"]["calls"] == 1


async def test_the_count_has_an_end_in_the_cache(settings: Settings, valkey: Valkey) -> None:
    async with instances(settings) as [one]:
        one.lookups.budget._owed = 3
        one.lookups.budget._this_month()
        one.lookups.budget._owed = 3
        await one.api(PUBLIC)
        month = f"ip-location:calls:{datetime.now(UTC):%Y-%m}"
        assert valkey.do("GET", month).split(b"\r\n")[1] == b"4", "with those that were made alone"
        assert 0 < int(valkey.do("TTL", month)[1:]) <= 32 * 86400


def _ip() -> object:
    from ipaddress import ip_address

    return ip_address(PUBLIC)


async def _if(one: Instance, city: str) -> dict[str, object] | None:
    found = await one.api(PUBLIC)
    return found if found["place"]["city"] == city else None
