"""A copy of a source as it was at one moment, though files are copied one after the other and somebody may be editing.

In: a reading of the source that ended just now, and the place for the copy. Out: the copy, judged. The law: when the
pass that copies finds what the pass before it found, names included, then every file was so when that had ended and
this began; so the copy is the source of that moment, and no mixture of before and after. Else it is copied again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from fairlead.core.model import Service
from fairlead.errors import BuildError
from fairlead.releases.folders import remove
from fairlead.releases.interpreter import Interpreter
from fairlead.releases.judge import Judged, judge
from fairlead.releases.source import Survey, changed_paths, some_of
from fairlead.releases.threads import to_its_end

READINGS = 20
"""How often a source that changes while it is copied is read before it is given up: with the pauses some 10 s."""

PAUSE = 0.5
"""Seconds between two of them, for a checkout or a formatter to end."""


async def settled_copy(
    service: Service,
    interpreter: Interpreter,
    survey: Callable[[], Awaitable[Survey]],
    before: Judged,
    target: str,
    progress: Callable[[str], None],
) -> tuple[Survey, Judged]:
    """Copy the source to `target` (absent). survey: walks it anew. BuildError when it does not hold still."""
    changed = ""
    for count in range(READINGS):
        found = await survey()
        if count == 0:
            progress(f"copying the source, {len(found.paths)} file{'s' if len(found.paths) != 1 else ''}")
        copied = await to_its_end(judge, service, interpreter, found, target)
        if copied.reading == before.reading:
            return found, copied
        changed = some_of(changed_paths(before.reading.entries, copied.reading.entries))
        progress(f"the source changed while it was copied ({changed}): copying it again")
        before = copied
        await to_its_end(remove, target)
        await asyncio.sleep(PAUSE)
    raise BuildError(
        "the source does not hold still",
        f"it changed during each of {READINGS} readings, last {changed}",
        "wait until whatever writes there is done; what is written all the time (a log, a database) belongs elsewhere, "
        "or into .gitignore",
    )
