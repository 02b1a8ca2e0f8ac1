"""Folders of ended instances go when they are old, many or large; never what lives, never the newest failed start."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairlead.engines.about import End
from fairlead.engines.local.retention import LARGEST, LONGEST, NEWEST, Ended, look_at, to_remove

NOW = 1e9


def ended(number: int, *, service: str = "web", age: float = 60, size: int = 1000, failed: bool = False) -> Ended:
    name = f"{service}-{number}"
    return Ended(service=service, number=number, folder=name, ended_at=NOW - age, size=size, failed=failed)


def going(*many: Ended, living: int = 0) -> set[str]:
    return {one.folder for one in to_remove(many, living, NOW)}


def test_few_young_and_small_ones_stay() -> None:
    assert going(*(ended(number) for number in range(NEWEST))) == set()
    assert going() == set()


def test_those_beyond_the_newest_of_a_service_go() -> None:
    many = [ended(number, service=service) for number in range(NEWEST + 3) for service in ("web", "nightly.job")]
    assert going(*many) == {f"{service}-{number}" for service in ("web", "nightly.job") for number in range(3)}


def test_old_ones_go() -> None:
    assert going(ended(1, age=LONGEST + 1), ended(2, age=LONGEST - 1)) == {"web-1"}


def test_the_oldest_go_until_the_stack_is_small_enough() -> None:
    many = [ended(number, age=100 - number, size=LARGEST // 4) for number in range(1, 6)]
    assert going(*many) == {"web-1"}
    assert going(*many, living=LARGEST // 2) == {"web-1", "web-2", "web-3"}
    assert going(*many, living=2 * LARGEST) == {f"web-{number}" for number in range(1, 6)}


def test_the_newest_failed_start_of_each_service_stays_whatever_happens() -> None:
    many = [ended(number, age=2 * LONGEST, size=LARGEST, failed=number in (1, 2)) for number in range(1, NEWEST + 9)]
    others = [ended(1, service="api", age=2 * LONGEST, size=LARGEST, failed=True)]
    assert going(*many, *others, living=LARGEST) == {one.folder for one in many if one.number != 2}


@pytest.mark.parametrize(
    ("exit", "told_to_stop", "said", "failed"),
    [("1", False, None, True), ("0", False, None, False), ("139", False, None, True), ("137", False, None, False),
     ("143", True, None, False), ("1", True, None, False), ("1", False, False, False), ("0", True, True, True),
     (None, False, None, False)],
)  # fmt: skip
def test_a_failed_start_is_known_by_what_control_said_or_by_its_end(
    tmp_path: Path, exit: str | None, told_to_stop: bool, said: bool | None, failed: bool
) -> None:
    if exit is not None:
        (tmp_path / "exit").write_text(f"{exit}\n")
    if told_to_stop:
        (tmp_path / "term").touch()
    (tmp_path / "cleared").write_text(End(failed_start=said).text())
    (found,), living = look_at([("web-1", str(tmp_path))])
    assert (found.failed, living) == (failed, 0)


def test_what_was_not_cleared_counts_and_is_no_candidate(tmp_path: Path) -> None:
    for name, cleared in (("web-1", True), ("web-2", False), ("web.before-3", True), ("strange", True)):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "log").write_bytes(b"x" * 100_000)
        # A hole takes nothing.
        with (folder / "log.1").open("wb") as file:
            file.truncate(1 << 30)
        if cleared:
            (folder / "cleared").touch()
            os.utime(folder / "cleared", (NOW, NOW))
    found, living = look_at([(name, str(tmp_path / name)) for name in sorted(os.listdir(tmp_path))])
    assert [(one.service, one.number, one.ended_at) for one in found] == [("web", 1, NOW), ("web.before", 3, NOW)]
    assert all(100_000 <= one.size < 120_000 for one in found)
    assert 200_000 <= living < 240_000
