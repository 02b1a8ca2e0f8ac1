"""How lines are put: folded between words on a narrow terminal, and in the order in which they were printed."""

from __future__ import annotations

import os
import subprocess

import pytest

from fairlead.cli.output import folded
from fairlead.core.layout import Layout
from tests.cli.scripted import a_stack, an_instance, serving, status_of
from tests.cli.terminal import Terminal, fairlead_argv
from tests.cli.test_commands import EVENT
from tests.cli.test_explain import an_explanation

WHY = "a difference between desired and actual capacity: from 0 to 1, desired 2"


def test_a_line_is_folded_between_words_and_what_fits_is_left_alone() -> None:
    assert folded("  because " + WHY, 40, 4) == [
        "  because a difference between desired",
        "    and actual capacity: from 0 to 1,",
        "    desired 2",
    ]
    assert folded(WHY, None, 4) == folded(WHY, len(WHY), 4) == [WHY]
    assert all(len(line) <= 20 for line in folded("x" * 90, 3, 40))


@pytest.mark.live
@pytest.mark.parametrize(
    ("words", "hanging"), [(("events",), 22), (("explain", "web"), 14), (("status",), 8)], ids=lambda value: str(value)
)
def test_no_sentence_is_cut_within_a_word_by_a_narrow_terminal(
    home: Layout, words: tuple[str, ...], hanging: int
) -> None:
    said = an_explanation()
    said["instances"][0]["clauses"] = [f"launched because: {WHY}"]
    answers = {
        "GET /status": status_of(a_stack("shop", (an_instance(explanation=f"launched because: {WHY}"),))),
        "GET /stacks/shop/explain": said,
        "GET /events": {"events": [{**EVENT, "text": f"web-1 launched: {WHY}"}]},
    }
    environment = {"FAIRLEAD_HOME": home.home, "TERM": "xterm", "NO_COLOR": "1", "COLUMNS": "70", "LANG": "C"}
    with serving(home, answers), Terminal(fairlead_argv(*words), environment) as terminal:
        assert terminal.end() == 0
    lines = terminal.written.replace("\r", "").partition("next: ")[0].splitlines()
    assert all(len(line) < 70 for line in lines)
    assert WHY in " ".join(" ".join(lines).split())
    # What goes on stands below what it belongs to.
    assert any(line.startswith(" " * hanging) and line.endswith("desired 2") for line in lines)


@pytest.mark.live
def test_data_and_notes_that_go_into_one_pipe_keep_their_order(home: Layout) -> None:
    with serving(home, {"GET /status": status_of(a_stack("shop"))}):
        done = subprocess.run(
            fairlead_argv("status"), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=30,
            env={**os.environ, "FAIRLEAD_HOME": home.home},
        )  # fmt: skip
    lines = done.stdout.splitlines()
    assert lines[0].startswith("shop")
    assert lines[-1].startswith("next: ")
