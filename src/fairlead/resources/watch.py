"""Asking one server, again and again, whether it answers.

In: a question, asked as often as it is worth: every tenth of a second while it starts, then every second, and a little
less often while nothing happens. Out: the last answer, some two seconds old at most, and a call when it changes. The
law: a question that hangs, or fails in a way that nobody foresaw, is an answer too. One per living server; runs until
it is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from fairlead.errors import FairleadError

PATIENCE = 2.5
"""Seconds for one answer; recipes give up a little sooner, and say more."""

FIRST_PACE, PACE, CALM_PACE = 0.1, 1.0, 1.8
"""Seconds between two questions before the first answer, after it, and once it has answered for `CALM`."""

CALM = 30.0

HOPEFUL = 10.0
"""Seconds after which one that has never answered is asked at the slower pace, too."""

log = logging.getLogger(__name__)


class Watch:
    """question: "" when it answers, else why not, in a clause. changed: called when it begins or ceases to answer."""

    def __init__(self, question: Callable[[], Awaitable[str]], changed: Callable[[], None]) -> None:
        self.answers = False
        self.clause = "it was not asked yet"
        self._question, self._changed = question, changed
        self._holders = 0

    @contextmanager
    def held(self) -> Iterator[None]:
        """Meanwhile its last answer stays, because somebody works on its data."""
        self._holders += 1
        try:
            yield
        finally:
            self._holders -= 1

    async def keep_asking(self) -> None:
        loop = asyncio.get_running_loop()
        since, ever = loop.time(), False
        while True:
            clause = "" if self._holders else await asked(self._question)
            if not self._holders:
                changed = self.answers == bool(clause)
                self.answers, self.clause = not clause, clause
                ever = ever or self.answers
                if changed:
                    self._changed()
                    since = loop.time()
            await asyncio.sleep(self._pace(ever, loop.time() - since))

    def _pace(self, ever: bool, steady: float) -> float:
        """ever: whether it has answered at all. steady: seconds since the last change."""
        if not ever:
            return FIRST_PACE if steady < HOPEFUL else PACE
        return CALM_PACE if self.answers and steady >= CALM else PACE


async def asked(question: Callable[[], Awaitable[str]]) -> str:
    """One answer to a question, within `PATIENCE`: "", or why there is none."""
    try:
        async with asyncio.timeout(PATIENCE):
            return await question()
    except TimeoutError:
        return f"it did not answer within {PATIENCE:g} s"
    except FairleadError as error:
        return error.sentence
    except OSError as error:
        return f"it cannot be asked: {error.strerror or type(error).__name__}"
    except Exception as error:
        # A mistake of ours must not end the asking.
        log.debug("a server cannot be asked", exc_info=error)
        return f"it cannot be asked: {type(error).__name__}"
