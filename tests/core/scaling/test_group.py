"""Sizes of now: the file's until something changes them, and again as far as the file changes (aws-semantics D1)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.desired import StackRecord
from fairlead.core.scaling.group import Group, Sizes, edited, kept, present
from fairlead.store import records

from ..builders import a_revision, a_stack, a_wish
from .builders import BOOT, a_group_of, keep


def sizes(text: str) -> Sizes:
    minimum, desired, maximum = map(int, text.split())
    return Sizes(minimum=minimum, desired=desired, maximum=maximum)


@st.composite
def some_sizes(draw: st.DrawFn) -> Sizes:
    minimum, desired, maximum = sorted(draw(st.tuples(*[st.integers(0, 12)] * 3)))
    return Sizes(minimum=minimum, desired=desired, maximum=maximum)


@pytest.mark.parametrize(
    ("file_then", "now", "file_now", "expected"),
    [
        ("1 1 10", "1 5 10", "1 1 10", "1 5 10"),  # an unchanged file changes nothing
        ("1 1 10", "1 5 10", "1 1 3", "1 3 3"),  # a new maximum below the size: the size becomes it
        ("1 1 10", "1 5 10", "7 7 10", "7 7 10"),  # a new minimum above the size: the size becomes it
        ("2 2 10", "2 7 10", "4 4 10", "4 7 10"),  # a new minimum below it, and no desired in the file: it stays
        ("4 4 10", "4 7 10", "2 2 10", "2 7 10"),
        ("1 1 10", "1 5 10", "1 3 10", "1 3 10"),  # a new desired holds
        ("1 3 10", "1 5 10", "1 1 10", "1 1 10"),
        ("1 1 10", "1 5 10", "1 1 20", "1 5 20"),
        ("2 2 10", "4 6 10", "2 2 12", "4 6 12"),  # a minimum set by a schedule stays
        ("2 2 10", "4 6 10", "2 2 3", "2 3 3"),  # unless it does not fit any more
        ("2 2 10", "2 2 4", "6 6 10", "6 6 10"),  # a maximum set by hand, below the file's new minimum
        ("1 2 4", "1 4 4", "1 2 2", "1 2 2"),
        ("0 0 4", "0 3 4", "0 0 4", "0 3 4"),
    ],
)
def test_a_file_that_changes(file_then: str, now: str, file_now: str, expected: str) -> None:
    group = Group(sizes=sizes(now), declared=sizes(file_then))
    assert present(sizes(file_now), group) == sizes(expected)


def test_without_a_group_the_file_holds() -> None:
    assert present(sizes("1 2 3"), None) == sizes("1 2 3")
    assert kept(sizes("1 2 3"), None, BOOT) == Group(sizes=sizes("1 2 3"), declared=sizes("1 2 3"), boot=BOOT)


@given(some_sizes(), some_sizes(), some_sizes())
def test_a_file_edit_never_leaves_desired_out_of_bounds(then: Sizes, now: Sizes, new: Sizes) -> None:
    group = Group(sizes=now, declared=then)
    found = present(new, group)
    assert found.holds()
    again = kept(new, group, BOOT)
    assert again.sizes == found
    assert present(new, again) == found
    assert kept(new, again, BOOT) is again


def test_the_seconds_of_another_boot_are_over() -> None:
    group = Group(
        sizes=sizes("1 2 3"), declared=sizes("1 1 3"), boot="before", reason="a policy", at="then",
        out_at=5.0, out_by=1, in_at=9.0, undone=2, stepped={"queue": 4.0},
    )  # fmt: skip
    found = kept(sizes("1 1 3"), group, BOOT)
    assert (found.boot, found.out_at, found.in_at, found.undone, found.stepped) == (BOOT, None, None, 0, {})
    assert (found.sizes, found.reason, found.at) == (sizes("1 2 3"), "a policy", "then")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"desired": 4}, "2 4 6"),
        ({"minimum": 5}, "5 5 6"),
        ({"maximum": 2}, "2 2 2"),
        ({"minimum": 0, "desired": 0, "maximum": 9}, "0 0 9"),
        ({"minimum": 4, "maximum": 4}, "4 4 4"),
    ],
)
def test_sizes_set_by_hand(asked: dict[str, int], expected: str) -> None:
    assert edited(sizes("2 3 6"), None, BOOT, **asked).sizes == sizes(expected)


@pytest.mark.parametrize(
    ("asked", "why"),
    [
        ({"desired": 7}, "its max is 6"),
        ({"desired": 1}, "its min is 2"),
        ({"minimum": 7}, "min would be 7, and max 6"),
        ({"desired": 3, "minimum": 4}, "its min is 4"),
    ],
)
def test_sizes_by_hand_that_do_not_fit(asked: dict[str, int], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        edited(sizes("2 3 6"), None, BOOT, **asked)


seconds = st.floats(0, 1e9)
groups = st.builds(
    Group,
    sizes=some_sizes(), declared=some_sizes(), by_hand=st.booleans(), reason=st.text(), at=st.text(), boot=st.text(),
    out_at=st.none() | seconds, out_by=st.integers(0, 9), in_at=st.none() | seconds,
    undone=st.integers(0, 30), stepped=st.dictionaries(st.text(), seconds, max_size=2),
)  # fmt: skip


@given(groups)
def test_a_group_is_kept_as_it_is(group: Group) -> None:
    wish = a_wish(a_revision(a_stack(a_group_of(keep()))), groups={"web": group}, suspended={"web": ("Launch",)})
    found = records.read(StackRecord, records.text(wish))
    assert found == wish
    assert found.groups["web"] == group


def test_a_stack_has_the_sizes_of_its_groups() -> None:
    service = a_group_of(keep(), desired=2, minimum=1, maximum=4)
    wish = a_wish(a_revision(a_stack(service)))
    assert wish.sized(service) is service
    wish = replace(wish, groups={"web": Group(sizes=sizes("2 3 4"), declared=service.sizes)})
    assert wish.sized(service).sizes == sizes("2 3 4")
