"""D6: the cool-down of a group, for which simple scaling waits."""

from __future__ import annotations

from dataclasses import replace

from fairlead.core.scaling.policies import Scaling
from tests.conformance.facts import fact
from tests.conformance.groups import group_file
from tests.conformance.rehearsal import refusal_of
from tests.core.scaling.builders import a_group_of, a_history, a_scene, an_action, asked, keep, kept_at


@fact(
    "D6",
    "DefaultCooldown: 300 s, for simple scaling policies",
    "refused",
    message="scaling.default_cooldown: is not a key",
)
def test_d6_default_cooldown(message: str) -> None:
    assert message in refusal_of(group_file("max: 2, default_cooldown: 5m"))


@fact("D6", "Scheduled actions, replacements and changes by hand do not wait for a cool-down", "real")
def test_d6_who_does_not_wait() -> None:
    service = a_group_of(keep(), scale_out_cooldown=3600.0, scale_in_cooldown=3600.0)
    group = kept_at(service, 4, out_at=4999.0, in_at=4999.0)
    assert asked(service, a_history(service), group, due=[an_action(desired=8)]).desired == 8


@fact("D6", "Without a default instance warm-up the cool-down serves as one, and so holds scale-ins back", "approximated",
      "no: `warm_up` is a key of its own, 10 s unless it is said, and the cool-down of scale-ins counts from scale-ins")  # fmt: skip
def test_d6_no_warm_up() -> None:
    assert Scaling().warm_up == 10.0
    service = a_group_of(keep(), desired=4, scale_in_cooldown=3600.0)
    quiet = a_history(service, *[10.0] * 20, counted=4)
    assert asked(service, quiet, kept_at(service, 4, out_at=4999.0)).desired < 4
    assert asked(service, quiet, kept_at(service, 4, in_at=4999.0)).desired == 4
    warming = replace(a_scene(4), warming=1)
    assert asked(service, quiet, kept_at(service, 4), scene=warming).desired == 4
