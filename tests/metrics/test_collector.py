"""Finished seconds are what was counted in them, whenever it was read; what nobody can know is unknown."""

from __future__ import annotations

from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.latency import bucket_of
from fairlead.core.readings import Key, TargetCounts, Usage
from fairlead.metrics.collector import Collector, Second
from fairlead.metrics.columns import BASE, COUNTS, LEVELS
from fairlead.metrics.entities import Entity

from .builders import EPOCH, STACK, WEB, WHOLE, Town, count, level, of, times


def total(seconds: list[Second], entity: Entity, name: str) -> float:
    return sum(count(second, entity, name) for second in seconds if entity in second.rows)


def known(seconds: list[Second]) -> list[Second]:
    return [second for second in seconds if WEB in second.rows and not isnan(count(second, WEB, "RequestCount"))]


def begun(town: Town) -> Collector:
    """A collector that knows a whole second already."""
    collector = Collector()
    assert collector.take(town.sample()) == []
    return collector


def test_a_second_is_finished_by_the_reading_behind_its_end() -> None:
    town = Town()
    one, two = town.target("web-1"), town.target("web-2", "b")
    collector = begun(town)
    assert [second.at for second in collector.take(town.sample(1.0))] == [EPOCH]
    town.serves(one, 3)
    town.serves(two, 4, code=5)
    (second,) = collector.take(town.sample(1.0))
    assert second.at == EPOCH + 1
    assert not second.incomplete
    assert [count(second, entity, "RequestCount") for entity in (WHOLE, WEB, of("web-1"), of("web-2", "b"))] == [
        7,
        7,
        3,
        4,
    ]
    assert count(second, Entity(STACK, "web", "b"), "HTTPCode_Target_5XX_Count") == 4
    assert count(second, WEB, "HTTPCode_Target_2XX_Count") == 3
    assert count(second, WEB, "RequestCountPerTarget") == 3.5
    assert count(second, WEB, "ProcessedBytes") == 7000
    assert sum(times(second, WHOLE).values()) == 7
    assert times(second, of("web-1")) == {bucket_of(30_000): 3}


def test_what_was_counted_before_the_first_reading_is_nobodys_second() -> None:
    town = Town()
    town.serves(town.target("web-1"), 50_000)
    collector = begun(town)
    seconds = [second for _ in range(3) for second in collector.take(town.sample(1.0))]
    assert [count(second, WEB, "RequestCount") for second in seconds] == [0, 0, 0]


def test_the_first_second_is_unknown_when_the_first_reading_lies_within_it() -> None:
    town = Town(at=0.4)
    key = town.target("web-1")
    collector = begun(town)
    town.serves(key, 10)
    (first,) = collector.take(town.sample(1.0))
    assert isnan(count(first, WEB, "RequestCount"))
    assert level(first, WEB, "HealthyHostCount") == 1
    (second,) = collector.take(town.sample(1.0))
    assert count(second, WEB, "RequestCount") == 4


@given(st.data())
def test_seconds_add_up_to_the_differences_of_totals_whenever_they_are_read(data: st.DataObject) -> None:
    town = Town(at=data.draw(st.floats(0, 0.99)))
    keys = [town.target(f"web-{number}", "ab"[number % 2]) for number in range(3)]
    collector = begun(town)
    collector.take(town.sample(1.0 - town.at))  # from here on seconds are known from their beginning
    seconds: list[Second] = []
    for gap in data.draw(st.lists(st.floats(0.001, 4.9), min_size=1, max_size=15)):
        for key in keys:
            town.serves(key, data.draw(st.integers(0, 2000)), data.draw(st.sampled_from([0.001, 0.03, 1.5])))
        seconds += collector.take(town.sample(gap))
    # Whole seconds of quiet, so that nothing is left over.
    seconds += collector.take(town.sample(1.0)) + collector.take(town.sample(1.0))
    assert seconds == known(seconds)
    assert [second.at for second in seconds] == list(range(int(EPOCH) + 1, int(EPOCH) + 1 + len(seconds)))
    assert all(count(second, entity, name) >= 0 for second in seconds for entity in (WEB, WHOLE) for name in BASE)
    for key in keys:
        done, target = town.counts[key], of(key[1], town.zones[key])
        assert total(seconds, target, "RequestCount") == done.requests
        assert total(seconds, target, "ProcessedBytes") == done.bytes_in + done.bytes_out
    everything = sum(town.counts[key].requests for key in keys)
    assert total(seconds, WEB, "RequestCount") == total(seconds, WHOLE, "RequestCount") == everything
    zones = (Entity(STACK, "web", "a"), Entity(STACK, "web", "b"))
    assert sum(total(seconds, zone, "HTTPCode_Target_2XX_Count") for zone in zones) == everything


@given(st.lists(st.floats(0.001, 4.9), min_size=1, max_size=20), st.integers(0, 10**6), st.integers(1, 50))
def test_from_a_whole_second_on_every_request_is_in_some_second(gaps: list[float], at_once: int, buckets: int) -> None:
    town = Town()
    key = town.target("web-1")
    collector = Collector()
    collector.take(town.sample())
    collector.take(town.sample(1.0))
    seconds: list[Second] = []
    for number, gap in enumerate(gaps):
        town.serves(key, at_once // (number + 1), 0.001 * (1 + number % buckets))
        seconds += collector.take(town.sample(gap))
    for _ in range(3):
        seconds += collector.take(town.sample(1.0))
    assert (
        total(seconds, WEB, "RequestCount") == total(seconds, of("web-1"), "RequestCount") == town.counts[key].requests
    )
    merged: dict[int, int] = {}
    for second in seconds:
        for bucket, more in times(second, WEB).items():
            assert more > 0
            merged[bucket] = merged.get(bucket, 0) + more
    assert merged == {bucket: more for bucket, more in town.counts[key].times.items() if more}


def test_a_steady_rate_looks_steady_however_unsteadily_it_is_read() -> None:
    town = Town()
    key = town.target("web-1")
    collector = begun(town)
    collector.take(town.sample(1.0))
    seconds: list[Second] = []
    for gap in (1.2, 0.8, 0.1, 0.9, 2.5, 1.5, 3.0):
        town.serves(key, round(1000 * gap))
        seconds += collector.take(town.sample(gap))
    assert [count(second, WEB, "RequestCount") for second in seconds] == [1000] * 10


def test_a_stall_makes_neither_a_spike_nor_a_zero() -> None:
    town = Town()
    key = town.target("web-1")
    collector = begun(town)
    seconds = []
    for gap in (1.0, 1.0, 7.5, 1.0, 1.0):
        town.serves(key, round(100 * gap))
        seconds += collector.take(town.sample(gap))
    assert [second.at - EPOCH for second in seconds] == [0, 1, 9, 10]
    # The second in which the stall ended was not seen from its beginning.
    assert [isnan(count(second, WEB, "RequestCount")) for second in seconds] == [False, False, True, False]
    assert [count(second, WEB, "RequestCount") for second in known(seconds)] == [100, 100, 100]


def test_a_balancer_that_is_silent_for_a_moment_is_asked_later() -> None:
    town = Town()
    key = town.target("web-1")
    collector = begun(town)
    collector.take(town.sample(1.0))
    seconds = []
    for number in range(3):
        town.serves(key, 100)
        seconds += collector.take(town.sample(1.0, balancer=number == 2))
    assert [count(second, WEB, "RequestCount") for second in seconds] == [100, 100, 100]


def test_while_the_balancer_is_silent_for_long_only_what_it_counts_is_unknown() -> None:
    town = Town()
    key = town.target("web-1")
    collector = begun(town)
    town.usage[(STACK, "web-1")] = Usage(cpu=1.0, memory=500, at=5000)
    collector.take(town.sample(1.0))
    seconds = []
    for number in range(20):
        town.serves(key, 100)
        town.usage[(STACK, "web-1")] = Usage(cpu=1.0 + number / 2, memory=500, at=5000 + town.at + 1)
        seconds += collector.take(town.sample(1.0, balancer=number >= 10))
    assert [second.at - EPOCH for second in seconds] == list(range(1, 21))
    counts = [count(second, WEB, "RequestCount") for second in seconds]
    assert all(isnan(value) for value in counts[:11])
    assert counts[11:] == [100] * 9
    assert all(level(second, of("web-1"), "MemoryUtilization") == 50 for second in seconds)
    assert all(level(second, of("web-1"), "CPUUtilization") == 50 for second in seconds[1:])


def test_a_clock_that_was_set_leaves_a_hole_and_no_spike() -> None:
    for shift in (3600.0, -3600.0, 2.0, -0.5):
        town = Town()
        key = town.target("web-1")
        collector = begun(town)
        seconds = []
        for number in range(6):
            town.serves(key, 100)
            if number == 3:
                town.shift = shift
            seconds += collector.take(town.sample(1.0))
        assert {count(second, WEB, "RequestCount") for second in known(seconds)} <= {100, 50}
        assert len(known(seconds)) >= 3


def test_losses_mark_the_seconds_in_which_they_may_be() -> None:
    town = Town(at=0.5)
    town.target("web-1")
    collector = begun(town)
    marks = []
    for number in range(6):
        town.losses += number == 2
        marks += [second.incomplete for second in collector.take(town.sample(1.0))]
    # Lost between 2.5 and 3.5 s: the seconds 2 and 3 are touched.
    assert marks == [False, False, True, True, False, False]


def test_losses_within_a_long_silence_mark_nothing_that_is_known() -> None:
    town = Town()
    town.target("web-1")
    collector = begun(town)
    collector.take(town.sample(1.0))
    town.losses += 1
    assert collector.take(town.sample(9.0)) == []
    assert [second.incomplete for second in collector.take(town.sample(1.0))] == [False]


def test_a_target_that_leaves_takes_nothing_from_its_service() -> None:
    town = Town()
    one, two = town.target("web-1"), town.target("web-2", "b")
    town.serves(one, 1000)
    town.serves(two, 1000)
    collector = begun(town)
    collector.take(town.sample(1.0))
    town.serves(one, 5)
    town.serves(two, 7, seconds=0.5)
    town.leaves(two)
    (second,) = collector.take(town.sample(1.0))
    assert count(second, WEB, "RequestCount") == count(second, WEB, "HTTPCode_Target_2XX_Count") == 12
    assert sum(times(second, WEB).values()) == 12
    assert of("web-2", "b") not in second.rows
    (second,) = collector.take(town.sample(1.0))
    assert count(second, WEB, "RequestCount") == 0


def test_a_target_that_comes_is_counted_from_its_first_request() -> None:
    town = Town()
    town.target("web-1")
    collector = begun(town)
    collector.take(town.sample(1.0))
    new = town.target("web-2")
    town.serves(new, 9)
    (second,) = collector.take(town.sample(1.0))
    assert count(second, of("web-2"), "RequestCount") == count(second, WEB, "RequestCount") == 9


def test_a_target_that_the_balancer_knows_first_is_nobody_without_a_zone() -> None:
    town = Town()
    town.target("web-1")
    collector = begun(town)
    collector.take(town.sample(1.0))
    new = town.target("web-2")
    # Control has not looked since it launched it.
    zone, health = town.zones.pop(new), town.health.pop(new)
    (second,) = collector.take(town.sample(1.0))
    assert {entity for entity in second.rows if entity.target} == {of("web-1")}
    town.zones[new], town.health[new] = zone, health
    town.serves(new, 9)
    (second,) = collector.take(town.sample(1.0))
    assert {entity for entity in second.rows if entity.target} == {of("web-1"), of("web-2")}
    assert count(second, of("web-2"), "RequestCount") == count(second, WEB, "RequestCount") == 9


def test_a_target_that_comes_back_with_its_old_counts_makes_no_spike() -> None:
    town = Town()
    one, two = town.target("web-1"), town.target("web-2")
    town.serves(two, 5000)
    collector = begun(town)
    collector.take(town.sample(1.0))
    was = town.counts[two]
    town.leaves(two)
    collector.take(town.sample(1.0))
    town.counts[two], town.zones[two], town.health[two] = was, "a", "healthy"
    town.gone[two[0]] = TargetCounts()
    town.serves(one, 3)
    (second,) = collector.take(town.sample(1.0))
    assert count(second, WEB, "RequestCount") == count(second, WEB, "HTTPCode_Target_2XX_Count") == 3
    assert count(second, of("web-2"), "RequestCount") == 0


def test_totals_that_fall_are_never_negative() -> None:
    town = Town()
    key = town.target("web-1")
    town.serves(key, 100)
    collector = begun(town)
    collector.take(town.sample(1.0))
    town.counts[key], town.requests[key[0]] = TargetCounts(), 0
    (second,) = collector.take(town.sample(1.0))
    assert count(second, WEB, "RequestCount") == count(second, of("web-1"), "RequestCount") == 0
    assert times(second, WEB) == {}


def test_a_group_that_appears_has_counted_nothing_yet() -> None:
    town = Town()
    town.target("web-1")
    collector = begun(town)
    collector.take(town.sample(1.0))
    late = town.target("api-1", service="api")
    town.serves(late, 70_000)
    (second,) = collector.take(town.sample(1.0))
    assert count(second, Entity(STACK, "api"), "RequestCount") == count(second, WHOLE, "RequestCount") == 0
    town.serves(late, 2)
    (second,) = collector.take(town.sample(1.0))
    assert count(second, Entity(STACK, "api"), "RequestCount") == 2


def test_what_the_balancer_did_itself_is_the_stacks() -> None:
    town = Town()
    key = town.target("web-1")
    collector = begun(town)
    collector.take(town.sample(1.0))
    town.failed[key[0]] = 4
    town.owns(
        connections=10,
        active=6,
        rejected=1,
        bytes=99,
        own={"4XX": 2, "5XX": 9, "503": 9, "fixed_response": 3, "redirect": 5, "3XX": 5},
    )
    town.counts_more(key, connections=7, connection_errors=2, retried=1, broken=3)
    town.queued[key[0]], town.outstanding[key] = 2, 3
    (second,) = collector.take(town.sample(1.0))
    expected = {
        "HTTPCode_ELB_3XX_Count": 5, "HTTPCode_ELB_4XX_Count": 2, "HTTPCode_ELB_5XX_Count": 9, "HTTPCode_ELB_500_Count": 0,
        "HTTPCode_ELB_503_Count": 9, "HTTP_Fixed_Response_Count": 3, "HTTP_Redirect_Count": 5, "NewConnectionCount": 17,
        "RejectedConnectionCount": 1, "ProcessedBytes": 99, "TargetConnectionErrorCount": 2, "RetriedRequestCount": 1,
    }  # fmt: skip
    assert {name: count(second, WHOLE, name) for name in expected} == expected
    assert count(second, WEB, "HTTPCode_ELB_5XX_Count") == 4
    assert [level(second, one, "OutstandingRequestCount") for one in (WHOLE, WEB, of("web-1"))] == [5, 5, 3]
    assert level(second, WHOLE, "ActiveConnectionCount") == 6


def test_requests_are_shared_by_the_healthy_targets_or_by_all_registered_ones() -> None:
    for states, shared in (
        (("healthy", "unhealthy"), 8),
        (("unhealthy", "initial"), 4),
        (("draining", "unused"), None),
    ):
        town = Town()
        keys = [town.target(f"web-{number}", health=state) for number, state in enumerate(states)]
        collector = begun(town)
        town.serves(keys[0], 8)
        (second,) = collector.take(town.sample(1.0))
        found = count(second, WEB, "RequestCountPerTarget")
        assert isnan(found) if shared is None else found == shared


def test_hosts_are_counted_by_service_and_zone() -> None:
    town = Town()
    for number, (zone, health) in enumerate([("a", "healthy"), ("a", "unhealthy"), ("b", "initial"), ("b", "healthy")]):
        town.target(f"web-{number}", zone, health=health)
    (second,) = begun(town).take(town.sample(1.0))
    assert (level(second, WEB, "HealthyHostCount"), level(second, WEB, "UnHealthyHostCount")) == (2, 1)
    assert level(second, Entity(STACK, "web", "b"), "UnHealthyHostCount") == 0
    assert level(second, of("web-1"), "UnHealthyHostCount") == 1
    assert (level(second, WEB, "GroupDesiredCapacity"), level(second, WEB, "GroupInServiceInstances")) == (5, 2)


def test_what_has_no_port_has_no_requests_and_no_hosts_but_uses_the_machine() -> None:
    town = Town(workers={"mail": ("mail-1",)}, reserved=(0.5, 200))
    town.target("web-1")
    town.usage[(STACK, "mail-1")] = Usage(cpu=10.0, memory=100, at=5000)
    collector = begun(town)
    town.usage[(STACK, "mail-1")] = Usage(cpu=10.25, memory=100, at=5001)
    (second,) = collector.take(town.sample(1.0))
    mail = Entity(STACK, "mail")
    assert isnan(count(second, mail, "RequestCount"))
    assert isnan(level(second, mail, "HealthyHostCount"))
    assert isnan(level(second, mail, "OutstandingRequestCount"))
    assert (level(second, mail, "CPUUtilization"), level(second, mail, "MemoryUtilization")) == (50, 50)
    assert level(second, mail, "GroupDesiredCapacity") == 2


def test_use_of_the_machine_is_unknown_until_it_was_read_twice_and_when_it_is_stale() -> None:
    town = Town()
    town.target("web-1")
    key: Key = (STACK, "web-1")
    town.usage[key] = Usage(cpu=1.0, memory=None, at=5000)
    collector = begun(town)
    (first,) = collector.take(town.sample(1.0))
    assert isnan(level(first, WEB, "CPUUtilization"))
    assert isnan(level(first, WEB, "MemoryUtilization"))
    town.usage[key] = Usage(cpu=2.0, memory=100, at=5002)
    (second,) = collector.take(town.sample(1.0))
    assert level(second, WEB, "CPUUtilization") == 50
    stale = [second for _ in range(8) for second in collector.take(town.sample(1.0))]
    assert level(stale[0], WEB, "CPUUtilization") == 50
    assert isnan(level(stale[-1], WEB, "CPUUtilization"))
    assert isnan(level(stale[-1], WEB, "MemoryUtilization"))


def test_the_mean_of_instances_leaves_out_those_that_are_unknown() -> None:
    town = Town()
    for id, memory in (("web-1", 100), ("web-2", 300), ("web-3", None)):
        town.target(id)
        town.usage[(STACK, id)] = Usage(cpu=0, memory=memory, at=5001)
    (second,) = begun(town).take(town.sample(1.0))
    assert level(second, WEB, "MemoryUtilization") == pytest.approx(20)


def test_a_restarted_daemon_leaves_a_hole() -> None:
    town = Town()
    key = town.target("web-1")
    seconds = []
    for _ in range(2):
        collector = begun(town)
        for _ in range(3):
            town.serves(key, 100)
            seconds += collector.take(town.sample(1.0))
        town.serves(key, 9000)
        town.at += 30
    assert [second.at - EPOCH for second in seconds] == [0, 1, 2, 33, 34, 35]
    assert [count(second, WEB, "RequestCount") for second in seconds] == [100] * 6


def test_every_row_has_every_column() -> None:
    town = Town(workers={"mail": ("mail-1",)})
    key = town.target("web-1")
    town.target("web-2", "b")
    collector = begun(town)
    seconds = collector.take(town.sample(1.0))
    town.leaves(key)
    town.zones[("shop.web", "starting")], town.health[("shop.web", "starting")] = "c", "initial"
    seconds += collector.take(town.sample(1.0))
    for number in range(7):
        seconds += collector.take(town.sample(1.0, balancer=number > 5))
    assert len(seconds) >= 8
    for second in seconds:
        for entity, (values, _) in second.rows.items():
            assert len(values) == len(COUNTS[entity.level]) + len(LEVELS[entity.level]), (second.at, entity)
