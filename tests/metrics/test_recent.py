"""The last seconds of a service, as scaling asks for them once a second."""

from __future__ import annotations

from collections.abc import Callable

from fairlead.core.latency import bucket_of
from fairlead.core.scaling.seconds import InstanceSecond, ServiceSecond
from fairlead.metrics.meter import Meter

from .builders import EPOCH, STACK, Town


def a_meter(town: Town) -> Meter:
    """Nothing of it is written."""
    meter = Meter("not-opened.db")
    meter.take(town.sample())
    return meter


def passes(meter: Meter, town: Town, seconds: int, each: Callable[[], object] = lambda: None) -> None:
    for _ in range(seconds):
        each()
        meter.take(town.sample(1.0))


def ats(found: tuple[ServiceSecond, ...]) -> list[int]:
    return [one.at - EPOCH for one in found]


def test_a_second_says_what_each_target_did_and_what_is_known_of_the_service() -> None:
    town = Town(workers={"mail": ("mail-1",)})
    one, other = town.target("web-1"), town.target("web-2", "b")
    meter = a_meter(town)
    town.serves(one, 30, 0.03)
    town.outstanding[one], town.queued["shop.web"], town.failed["shop.web"] = 4, 2, 7
    town.custom = {(STACK, "web"): {"queue": 0.1}, (STACK, "mail"): {"length": 3.0}}
    passes(meter, town, 1)
    (second,) = meter.seconds(STACK, "web", 0)
    assert second == ServiceSecond(
        at=EPOCH,
        instances={
            one[1]: InstanceSecond(requests=30, outstanding=4, times={bucket_of(30_000): 30}),
            other[1]: InstanceSecond(requests=0, outstanding=0),
        },
        refused=7,
        custom={"queue": 0.1},
    )
    (mail,) = meter.seconds(STACK, "mail", 0)
    assert mail == ServiceSecond(at=EPOCH, instances={"mail-1": InstanceSecond()}, refused=None, custom={"length": 3.0})


def test_a_metric_of_the_users_own_has_all_its_digits() -> None:
    """As a float32 it would be above a target of 0.1 for ever."""
    town = Town(custom={(STACK, "web"): {"queue": 0.1, "large": 16777217.0}})
    town.target("web-1")
    meter = a_meter(town)
    passes(meter, town, 1)
    (second,) = meter.seconds(STACK, "web", 0)
    assert second.custom == {"queue": 0.1, "large": 16777217.0}


def test_a_metric_of_the_users_own_says_when_it_was_read() -> None:
    town = Town(custom={(STACK, "web"): {"queue": 5.0, "other": 1.0}}, custom_read={(STACK, "web"): {"queue": 4990.5}})
    town.target("web-1")
    meter = a_meter(town)
    passes(meter, town, 1)
    (second,) = meter.seconds(STACK, "web", 0)
    assert second.read == {"queue": 4990.5}


def test_only_seconds_behind_the_one_named_are_told_oldest_first() -> None:
    town = Town()
    town.target("web-1")
    meter = a_meter(town)
    passes(meter, town, 5)
    assert ats(meter.seconds(STACK, "web", 0)) == [0, 1, 2, 3, 4]
    assert ats(meter.seconds(STACK, "web", EPOCH + 2)) == [3, 4]
    assert meter.seconds(STACK, "web", EPOCH + 4) == ()
    assert ats(meter.seconds(STACK, "web", EPOCH - 50)) == [0, 1, 2, 3, 4]
    passes(meter, town, 100)
    assert ats(meter.seconds(STACK, "web", EPOCH + 50))[-1] == 104
    assert len(meter.seconds(STACK, "web", 0)) < 30


def test_a_clock_that_was_set_back_hides_nothing() -> None:
    town = Town()
    town.target("web-1")
    meter = a_meter(town)
    passes(meter, town, 5)
    town.shift = -3600
    passes(meter, town, 1)  # nobody knows of which second that was
    passes(meter, town, 2)
    found = meter.seconds(STACK, "web", EPOCH + 4)
    assert [one.at for one in found] == sorted(one.at for one in found)
    assert len(found) == 2
    assert all(one.at < EPOCH for one in found)
    assert meter.seconds(STACK, "web", found[-1].at) == ()
    passes(meter, town, 40)
    assert meter.seconds(STACK, "web", EPOCH + 4), "the second that was named is no longer in memory"


def test_while_the_balancer_is_silent_counts_are_unknown_and_the_rest_is_known() -> None:
    town = Town(custom={(STACK, "web"): {"queue": 5.0}})
    town.target("web-1")
    meter = a_meter(town)
    for _ in range(8):
        meter.take(town.sample(1.0, balancer=False))
    second = meter.seconds(STACK, "web", 0)[0]
    assert second.instances == {"web-1": InstanceSecond()}
    assert second.refused is None
    assert second.custom == {"queue": 5.0}


def test_before_anything_is_measured_and_of_nobody_there_is_little_to_say() -> None:
    town = Town()
    meter = Meter("not-opened.db")
    assert meter.seconds(STACK, "web", 0) == ()
    town.target("web-1")
    meter.take(town.sample())
    passes(meter, town, 1)
    (second,) = meter.seconds(STACK, "nobody", 0)
    assert (second.instances, second.refused, second.custom) == ({}, None, {})
