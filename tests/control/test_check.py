"""What the daemon tells `fairlead check`: whom to ask, by which way, and how the answers are to be judged."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from fairlead.control.view import check_facts
from fairlead.core.model import TargetGroupAttributes
from tests.core.builders import a_revision, a_service, a_stack, a_wish, seen, serving, starting


def test_check_is_told_who_serves_and_how_requests_are_shared() -> None:
    web = a_service(path="/health", algorithm="weighted_random", slow_start=0.0)
    wish = a_wish(a_revision(a_stack(web)))
    facts = check_facts(wish, seen(wish, serving(1), starting(2)), 7)
    assert (facts["stack"], facts["requests"]) == ("shop", 7)
    (listener,) = facts["listeners"]
    assert (listener["service"], listener["path"], listener["instances"]) == ("web", "/health", ["web-1"])
    assert (listener["desired"], listener["algorithm"], listener["slow_start"]) == (2, "weighted_random", 0.0)


def test_a_service_that_answers_464_to_the_check_is_not_asked() -> None:
    greeter = replace(a_service(), target_group=TargetGroupAttributes(protocol="HTTP2"))
    wish = a_wish(a_revision(a_stack(greeter)))
    assert check_facts(wish, seen(wish, serving(1)), 7)["listeners"] == []


@pytest.mark.parametrize(
    ("check", "codes"),
    [({"matcher": "200,302"}, "200,302"), ({"protocol": "TCP"}, "100-599"), ({"enabled": False}, "100-599")],
)
def test_where_no_check_says_which_answers_are_good_every_one_is(check: dict[str, Any], codes: str) -> None:
    """A program without `/` is as well as one with it, when nobody asks for it."""
    wish = a_wish(a_revision(a_stack(a_service(**check))))
    (listener,) = check_facts(wish, seen(wish, serving(1)), 7)["listeners"]
    assert listener["codes"] == codes
