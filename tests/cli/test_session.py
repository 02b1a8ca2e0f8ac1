"""Which stack a command means, and how its name is read from a file without reading YAML."""

from __future__ import annotations

import pytest

from fairlead.cli.session import choose_stack, name_in
from fairlead.errors import FairleadError, NotFound, UsageError


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("name: host-date\nservices: {}\n", "host-date"),
        ("# name: no\nservices:\n  name: no\nname: 'shop'  # yes\n", "shop"),
        ('"name" : "a.b"\n', "a.b"),
        ("{name: flow, services: {}}\n", "flow"),
        ("services: {}\n", None),
        ("name: ${env.NAME}\n", None),
        ("name: two words\n", None),
        ("names: x\n", None),
        ("", None),
    ],
)
def test_the_name_of_a_file_is_found_by_its_line(text: str, name: str | None) -> None:
    assert name_in(text) == name


@pytest.mark.parametrize(
    ("names", "asked", "here", "meant"),
    [
        (["a", "b"], "a", "b", "a"),
        (["a", "b"], None, "b", "b"),
        (["a"], None, None, "a"),
    ],
)
def test_the_stack_is_the_one_asked_for_else_this_folders_else_the_only_one(
    names: list[str], asked: str | None, here: str | None, meant: str
) -> None:
    assert choose_stack(names, asked, here) == meant


@pytest.mark.parametrize(
    ("names", "asked", "here", "kind", "says"),
    [
        ([], None, None, NotFound, "there is no stack"),
        (["a"], "c", None, NotFound, "there is no stack 'c': this home has a"),
        (["b", "a"], None, None, UsageError, "this home has a, b"),
        (["a"], None, "b", NotFound, "stack 'b' is not up"),
    ],
)
def test_what_cannot_be_meant_is_an_error_that_lists_the_stacks(
    names: list[str], asked: str | None, here: str | None, kind: type[FairleadError], says: str
) -> None:
    with pytest.raises(kind, match=says):
        choose_stack(names, asked, here)
