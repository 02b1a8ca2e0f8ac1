"""The table of `fairlead data list`: rows of the API come in, lines go out. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from fairlead.cli.amounts import data_size
from fairlead.cli.output import cell, paint
from fairlead.cli.status_resources import COLOURS, place_of, why_of

HEADINGS = ("ID", "KIND", "ENGINE", "STATE", "SIZE", "ADDRESS", "PROGRAM")

LEAST_FIRST = ("KIND", "PROGRAM", "ADDRESS")
"""In which order columns are left out when the terminal is too narrow."""


def table(rows: list[dict[str, Any]], *, colour: bool, width: int | None) -> Iterator[str]:
    """A stack's name stands above its data. width: characters of a line; None: as many as it takes."""
    cells = [_cells(row) for row in rows]
    widths = {name: max(len(name), *(len(one[name]) for one in cells)) for name in HEADINGS}
    shown = list(HEADINGS)
    for name in LEAST_FIRST:
        if width is not None and 2 + sum(2 + widths[one] for one in shown) - 2 > width:
            shown.remove(name)
    above = None
    for row, one in zip(rows, cells, strict=True):
        if row["stack"] != above:
            above = row["stack"]
            yield paint(cell(above), "bold", on=colour) + ("" if row["up"] else "  (down)")
            yield f"  {'  '.join(f'{name:<{widths[name]}}' for name in shown)}".rstrip()
        texts = []
        for name in shown:
            text = f"{one[name]:>{widths[name]}}" if name == "SIZE" else f"{one[name]:<{widths[name]}}"
            hue = COLOURS.get(one[name], "") if name == "STATE" else ""
            texts.append(paint(text, hue, on=colour) if hue else text)
        yield f"  {'  '.join(texts)}".rstrip()
        if (why := why_of(row)) and row["up"]:
            yield f"    {why}"


def _cells(row: dict[str, Any]) -> dict[str, str]:
    program = row.get("program")
    return {
        "ID": cell(row["id"]),
        "KIND": cell(row["kind"]),
        "ENGINE": cell(row["engine"]),
        "STATE": cell(row["state"]),
        "SIZE": data_size(row["size"]),
        "ADDRESS": place_of(row) or "-",
        "PROGRAM": f"{cell(program['name'])} {cell(program['version'])}" if program else "-",
    }
