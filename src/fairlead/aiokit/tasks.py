"""Tasks with an owner, a name and an end.

In: coroutines to run beside each other, each under a name. Out: when the owner stops them, nothing is left running, and
whatever did not obey is named. The law: no task fails in silence: an exception that leaves one goes to the owner's
`on_failure`. Whoever runs something in the background holds one `Tasks` and stops it on the way out.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any


class Tasks:
    """The tasks of one owner.

    owner: who they belong to, in words; it stands in each task's name. on_failure: called from the loop with the name
    of a task and the exception that ended it.
    """

    def __init__(self, owner: str, on_failure: Callable[[str, BaseException], None]) -> None:
        self._owner = owner
        self._on_failure = on_failure
        self._tasks: dict[asyncio.Task[Any], str] = {}
        self._stopped = False

    @property
    def running(self) -> tuple[str, ...]:
        """The names of those that have not ended."""
        return tuple(self._tasks.values())

    def spawn(self, name: str, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Run `work` as a task. RuntimeError after `stop`: nothing may start behind the owner's back."""
        if self._stopped:
            work.close()
            raise RuntimeError(f"{self._owner} has stopped: {name} cannot start")
        task = asyncio.get_running_loop().create_task(work, name=f"{self._owner}: {name}")
        self._tasks[task] = name
        task.add_done_callback(self._ended)
        return task

    async def stop(self, timeout: float) -> tuple[str, ...]:
        """Cancel them all and wait, at most `timeout` seconds; the names of those that are stuck. Safe to repeat."""
        self._stopped = True
        waiting = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in waiting:
            task.cancel(f"{self._owner} stops")
        if waiting:
            await asyncio.wait(waiting, timeout=timeout)
        return tuple(name for task, name in self._tasks.items() if task in waiting and not task.done())

    def _ended(self, task: asyncio.Task[Any]) -> None:
        name = self._tasks.pop(task)
        if not task.cancelled() and (problem := task.exception()) is not None:
            self._on_failure(name, problem)
