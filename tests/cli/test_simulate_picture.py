"""The picture of a simulation: what it shows, and that it fits."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from fairlead.cli.simulate_picture import HEIGHT, View, compared, decisions, period_of, picture, rows_of, story
from fairlead.cli.sparkline import ASCII, BLOCKS
from fairlead.simulate.load import Load, Recording
from tests.simulate.builders import BEGAN, a_stack, simulated

VIEW = View(79, BLOCKS, False)


def chart(lines: list[str]) -> list[str]:
    """The rows of the chart, from below, without what stands beside it."""
    rows = lines[3 : 3 + HEIGHT]
    return [row[11:].partition("  ")[0] if "at most" not in row else row[11:] for row in reversed(rows)]


def test_a_step_that_outran_its_instances_is_seen() -> None:
    lines = picture(simulated("step:50-500/10m"), VIEW)
    assert lines[2].strip() == "requests/s"
    assert "500/s at most" in lines[3]
    # Capacity of two is 200/s of 800; in the column of the step load is above it; then eight answer 800.
    assert lines[3][11:].startswith(" " * 25 + " ─")
    above = [row for row in lines if "▒" in row and "load above it" not in row]
    assert len(above) == 3
    assert all(row.index("▒") == above[0].index("▒") for row in above)
    assert lines[9][11:36] == "─" * 25
    assert lines[10][11:36] == "▄" * 25


def test_below_it_are_instances_cpu_what_waits_and_how_long() -> None:
    lines = picture(simulated("step:50-500/10m"), VIEW)
    labels = [line[:10].strip() for line in lines]
    for label, beside in (
        ("instances", "2 to 8"),
        ("cpu", "100% at most"),
        ("waiting", "1.5k at most"),
        ("p95", "at most"),
    ):
        assert lines[labels.index(label)].endswith(beside)
    quiet = picture(simulated("constant:50/2m"), VIEW)
    assert not [line for line in quiet if line.strip().startswith("waiting")]


@pytest.mark.parametrize("width", [40, 79, 120, 200])
@pytest.mark.parametrize("glyphs", [BLOCKS, ASCII])
@pytest.mark.parametrize("load", ["constant:0/5s", "constant:10/1s", "step:50-500/10m", "ramp:0-90000/2h+jitter:20%"])
def test_it_fits_whatever_the_width(width: int, glyphs: object, load: str) -> None:
    view = View(width, glyphs, False)  # type: ignore[arg-type]
    result = simulated(load)
    lines = picture(result, view)
    least = 11 + 20 + 2 + 15
    assert max(map(len, lines[2:])) <= max(width, least)
    assert -(-result.seconds // period_of(result, view)) <= view.room
    if glyphs is ASCII:
        assert all(line.isascii() for line in lines)


def test_what_is_unknown_is_a_gap() -> None:
    load = Load(pieces=(Recording(values=(10.0, 10.0, None, None, 10.0, 10.0)),))
    lines = picture(simulated(load), VIEW)
    assert lines[10][11:17].count("·") == 2
    assert next(line for line in lines if line.strip().startswith("cpu"))[13:15] == "··"
    nothing = picture(simulated(Load(pieces=(Recording(values=(None,) * 5),))), VIEW)
    assert "·····" in nothing[10]


def test_capacity_far_above_the_load_leaves_the_load_visible() -> None:
    stack = a_stack("{min: 10, max: 10, policies: [{target: {metric: cpu, value: 50%}}]}")
    lines = picture(simulated("constant:20/1m", stack), VIEW)
    assert "↑" in lines[3]
    assert "█" in lines[10]


def test_colour_only_where_it_is_wanted() -> None:
    result = simulated("step:50-500/10m")
    plain, coloured = picture(result, VIEW), picture(result, VIEW._replace(colour=True))
    assert "\x1b" not in "".join(plain)
    assert "\x1b[31m▒" in "".join(coloured)
    assert [re.sub(r"\x1b\[\d+m", "", line) for line in coloured] == plain


def test_decisions_have_time_change_and_cause_and_fit() -> None:
    result = simulated("spike:50-600/20m")
    lines = list(decisions(result, VIEW))
    assert lines[0].startswith("     9m03s  2 -> 9    requests_per_target was 300/s, above 70/s for 3 s:")
    assert max(map(len, lines)) <= 79
    assert "".join(line[22:] for line in lines).count("desired") == 2
    hours = simulated("constant:0/59m,spike:50-600/20m", began=BEGAN)
    assert re.match(r"  \d\d:08:03  2 -> 9 ", next(iter(decisions(hours, VIEW))))


def test_of_several_days_each_decision_has_its_date() -> None:
    result = simulated("spike:50-600/20m")
    (first, *_) = result.decisions
    days = replace(
        result, began=BEGAN, summary=replace(result.summary, seconds=3 * 86400),
        decisions=(first, replace(first, second=first.second + 86400)),
    )  # fmt: skip
    lines = list(decisions(days, VIEW))
    dated = [line[:16] for line in lines if line[2] != " "]
    assert [re.sub(r"\d\d:09:03", "hh:09:03", at) for at in dated] == ["  11-27 hh:09:03", "  11-28 hh:09:03"]
    assert max(map(len, lines)) <= 79


def test_of_many_decisions_the_first_and_the_last_are_shown() -> None:
    result = simulated("ramp:0-700/10m")
    assert len(result.decisions) == 8
    lines = [line for line in decisions(result, VIEW, 4) if not line.startswith(" " * 12)]
    assert len(lines) == 5
    assert lines[2] == "  ... 4 more; --json has them all"


def test_the_story_says_what_was_lost_and_why() -> None:
    small = a_stack("{min: 1, max: 2, policies: [{target: {metric: cpu, value: 50%}}]}")
    told = "\n".join(story(simulated("constant:400/5m", small)))
    assert re.search(r"requests +120k: \S+ given up \(they waited for the idle timeout\)", told)
    assert re.search(r"with desired at its maximum", told)
    assert "targets      cpu at 50%: above for 5 min" in told
    well = "\n".join(story(simulated("constant:40/5m", small)))
    assert "requests     12k: none lost\n" in well
    assert "never above" in well
    unknown = a_stack("{min: 1, max: 2, policies: [{target: {metric: memory, value: 50%}}]}")
    assert "memory at 50%: nothing is known of it" in "\n".join(story(simulated("constant:4/5m", unknown)))


def test_a_day_of_slow_starts_tells_its_flaps() -> None:
    quick = a_stack(
        "{min: 1, max: 10, warm_up: 0s, scale_in_cooldown: 0s,"
        " policies: [{target: {metric: cpu, value: 50%}, scale_out_after: 1, scale_in_after: 1}]}"
    )
    result = simulated(",".join(["constant:300/20s", "constant:40/20s"] * 4), quick)
    assert re.search(r"\d scale-ins? undone within 2 min", "\n".join(story(result)))
    assert "(undoes the scale-in before)" in " ".join(
        line.strip() for line in decisions(result, View(200, BLOCKS, False))
    )


def test_variants_are_compared_in_columns() -> None:
    results = [(f"max={most}", simulated("step:50-500/10m", a_stack(f"{{min: 2, max: {most}, policies: [{{target: {{metric: cpu, value: 60%}}}}]}}"))) for most in range(2, 9)]  # fmt: skip
    lines = list(compared(results, VIEW))
    assert lines[:2] == ["  A  max=2", "  B  max=3"]
    assert next(line.split() for line in lines if "most instances" in line)[2:] == ["2", "3", "4", "5", "6", "7", "8"]
    assert max(map(len, lines)) <= 79
    rows = rows_of(*reversed(results[0]), VIEW)
    assert rows[0] == "max=2"
    assert rows[1].strip().startswith("instances")
