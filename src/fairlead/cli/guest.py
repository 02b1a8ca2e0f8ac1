"""A daemon that a command started for itself, and that has nothing else to do, ends with it.

So that a first `up` that fails, and a `plan` in a home where nothing runs, leave no process behind.
"""

from __future__ import annotations

import contextlib

from fairlead.cli.processes import lock_holder, wait_until_gone
from fairlead.cli.session import Session
from fairlead.errors import FairleadError

LEAVING = 5.0
"""Seconds in which a daemon that has nothing to do is gone."""


class Guest:
    """Made before the daemon is reached; `leave` at the end."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._found_a_daemon = lock_holder(session.layout.lock) is not None

    def leave(self) -> None:
        """End the daemon if it was started since, and no stack is up or being brought up."""
        if self._found_a_daemon:
            return
        # Whatever goes wrong here must not hide the answer, or the error, that is on its way.
        with contextlib.suppress(FairleadError, KeyboardInterrupt):
            client = self._session.daemon_if_needed()
            if client is not None and client.leave():
                wait_until_gone(self._session.home, LEAVING)
