"""Values given beside the file, as if they stood in it: `services.web.scaling.max=6` (`fairlead simulate --set`).

Between parse and interpolate: the tree comes in with changes as they were written, the tree as it then is goes out.
Each new value stands at a place of its own, so that every later problem names the change that caused it. A value is
read as in the file (`6`, `90%`, `[{target: {metric: cpu, value: 50%}}]`); without one the key is taken away.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from fairlead.spec.document import DEEPEST, Entry, Mapping, Node, Path, Sequence, dotted, find, parse
from fairlead.spec.problems import Place, Problem, cut, listed, nearest, printable, shown

_CHANGE = re.compile(r"\s*([A-Za-z_][\w-]*(?:\.[\w-]+)*)\s*=(.*)", re.DOTALL)

_INDEX = re.compile(r"[0-9]{1,6}")

EXAMPLE = "write it like services.web.scaling.max=6"

NAMED = ("services", "jobs", "caches", "databases", "buckets")
"""Keys below which the file gives names of its own: a change is of one that is there."""


def overridden(root: Mapping, changes: Iterable[str]) -> tuple[Mapping, list[Problem]]:
    """`root` with `changes`, which stays as it is. A change that makes no sense is a problem, and left out."""
    problems: list[Problem] = []
    for change in changes:
        place = Place(cut(printable(f"--set {change.strip()}"), 120))
        found = _CHANGE.fullmatch(change)
        if found is None:
            problems.append(Problem(place, "", "is no change of a key", EXAMPLE))
            continue
        path: Path = tuple(int(step) if _INDEX.fullmatch(step) else step for step in found[1].split("."))
        if len(path) > DEEPEST:
            problems.append(Problem(place, "", f"is nested more than {DEEPEST} deep", EXAMPLE))
            continue
        value, wrong = _value(found[2], place)
        wrong = wrong or _misnamed(root, path, place)
        if wrong is None:
            changed = _with(root, path, 0, value, place)
            if isinstance(changed, Mapping):
                root = changed
                continue
            assert isinstance(changed, Problem)
            wrong = changed
        problems.append(wrong)
    return root, problems


def _value(text: str, place: Place) -> tuple[Node | None, Problem | None]:
    """The value as the file would read it, with every part of it at `place`; None: the key is to go."""
    if not text.strip():
        return None, None
    tree, problems = parse(f"value: {text.strip()}", place.file)
    if tree is None or list(tree.entries) != ["value"]:
        why = problems[0].reason if problems else "it is more than one value"
        return None, Problem(place, "", f"its value cannot be read: {why}", 'a text with : or # needs quotes: "..."')
    return _placed(tree.entries["value"].value, place), None


def _placed(node: Node, place: Place) -> Node:
    if isinstance(node, Mapping):
        return Mapping(place, {key: Entry(place, _placed(one.value, place)) for key, one in node.entries.items()})
    if isinstance(node, Sequence):
        return Sequence(place, [_placed(item, place) for item in node.items])
    return type(node)(place, node.text, node.plain)


def _misnamed(root: Mapping, path: Path, place: Place) -> Problem | None:
    """A service (or a job, a cache ...) that the file does not have: a change makes no new one."""
    known = find(root, path[0]) if path[0] in NAMED and len(path) > 1 else None
    if not isinstance(known, Mapping) or str(path[1]) in known.entries:
        return None
    close = nearest(str(path[1]), known.entries)
    hint = f"did you mean {close}?" if close else f"there is {listed(sorted(known.entries), 'and')}"
    return Problem(place, dotted(path[:2]), "is not in the file", hint)


def _with(node: Node | None, path: Path, at: int, value: Node | None, place: Place) -> Node | Problem | None:
    """`node` with `value` at the rest of the path; what lacks on the way is made."""
    if at == len(path):
        return value
    step = path[at]
    if isinstance(node, Sequence):
        return _with_item(node, path, at, value, place)
    # A plain value on the way gives way, as it would in the file.
    entries = dict(node.entries) if isinstance(node, Mapping) else {}
    key = str(step)
    before = entries.get(key)
    if value is None and before is None:
        close = nearest(key, entries)
        hint = f"did you mean `{close}`?" if close else "without a value, a key of the file is taken away"
        return Problem(place, dotted(path[: at + 1]), "is not in the file", hint)
    below = _with(before.value if before else None, path, at + 1, value, place)
    if isinstance(below, Problem):
        return below
    if below is None:
        del entries[key]
    else:
        entries[key] = Entry(before.place if before else place, below)
    return Mapping(node.place if isinstance(node, Mapping) else place, entries)


def _with_item(node: Sequence, path: Path, at: int, value: Node | None, place: Place) -> Node | Problem | None:
    step, items = path[at], list(node.items)
    if not isinstance(step, int) or step >= len(items):
        count = f"has {len(items)}, numbered from 0" if items else "has none"
        return Problem(place, dotted(path[:at]), f"is a list that {count}: {shown(str(step))} is none of it", EXAMPLE)
    below = _with(items[step], path, at + 1, value, place)
    if isinstance(below, Problem):
        return below
    items[step : step + 1] = [] if below is None else [below]
    return Sequence(node.place, items)
