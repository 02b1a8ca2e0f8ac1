"""One run of the command line: which home, which stack, and the daemon's client. Commands get it from Click.

This and `daemon` are where the environment is read (FAIRLEAD_HOME); everything below gets its paths as arguments.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from fairlead.core.layout import Layout, layout_of
from fairlead.core.printable import printable
from fairlead.errors import DaemonUnavailable, NotFound, UsageError

if TYPE_CHECKING:  # completion needs names only, and http.client takes 15 ms
    from fairlead.api.client import Client

FILE = "fairlead.yaml"

_NAME = re.compile(
    r"""^(?:\{\s*)?(?:name|"name"|'name')\s*:\s*["']?([A-Za-z0-9][A-Za-z0-9_.-]*)["']?\s*(?:$|[#,}])""", re.MULTILINE
)


class Session:
    """Made once per run; nothing is looked at until a command asks."""

    def __init__(self) -> None:
        self._home = ""

    def choose_home(self, folder: str) -> None:
        """What --home says; the last one wins."""
        self._home = folder

    def typed(self, command: str) -> str:
        """A `fairlead ...` that is shown to be copied, with what --home said: without it, it would be about another."""
        program, _, rest = command.partition(" ")
        if not self._home or program != "fairlead":
            return command
        from shlex import quote

        return f"{program} --home {quote(self._home)} {rest}"

    @property
    def home(self) -> str:
        """Absolute, links resolved, so that each way to write it is the same home."""
        folder = self._home or os.environ.get("FAIRLEAD_HOME") or default_home()
        return os.path.realpath(os.path.expanduser(folder))

    @property
    def layout(self) -> Layout:
        return layout_of(self.home, os.geteuid())

    def daemon(self) -> Client:
        """The daemon's client; one is started when none runs. For what changes something."""
        from fairlead.cli.connection import reach

        client = reach(self.layout, start=True)
        assert client is not None
        return client

    def daemon_if_needed(self) -> Client | None:
        """The same, but a daemon is started only when the store says that something should run; None: nothing does."""
        from fairlead.cli.connection import reach

        return reach(self.layout, start=False)

    def running(self) -> Client:
        """The client of a daemon that runs, or should. DaemonUnavailable: nothing does, and there is nothing to ask."""
        client = self.daemon_if_needed()
        if client is None:
            raise unavailable_because_nothing_runs(self.home)
        return client

    def stack(self, client: Client, asked: str | None) -> str:
        """The stack that is meant; see `choose_stack`."""
        return choose_stack(stacks_of(client), asked, stack_here())

    def naming(self, stack: str) -> str:
        """` --stack NAME` for a command that is shown to be copied and is about `stack`; "" where it is understood."""
        from fairlead.cli.names import stacks_kept

        return naming(stack, stacks_kept(self.layout.database), stack_here())


def default_home() -> str:
    """DESIGN section 8."""
    return "/var/lib/fairlead" if os.geteuid() == 0 else os.path.expanduser("~/.local/state/fairlead")


def stacks_of(client: Client) -> list[str]:
    """The names of the daemon's stacks."""
    return [str(stack["name"]) for stack in client.status()["stacks"]]


def name_in(text: str) -> str | None:
    """The `name:` of a fairlead.yaml, by its line alone (the daemon parses; YAML is too slow to import here)."""
    found = _NAME.search(text)
    return found[1] if found else None


def stack_here() -> str | None:
    """The name in the current folder's fairlead.yaml; None without one."""
    try:
        with open(FILE, encoding="utf-8", errors="replace") as file:
            return name_in(file.read())
    except OSError:
        return None


def choose_stack(names: list[str], asked: str | None, here: str | None) -> str:
    """The stack that is meant: the one asked for, else the current folder's, else the only one of `names`.

    NotFound: it is not among `names`, or there is none at all. UsageError: several could be meant.
    """
    listed = ", ".join(printable(name) for name in sorted(names))
    meant = asked or here
    if meant in names:
        return str(meant)
    if not names:
        raise NotFound("there is no stack", "nothing was brought up in this home", "fairlead up PATH")
    if asked:
        raise NotFound(f"there is no stack '{printable(asked)}'", f"this home has {listed}", "fairlead status")
    # A command must not fall on another stack because the current folder's is not up.
    if here:
        why = f"the current folder's fairlead.yaml is of '{here}'; this home has {listed}"
        raise NotFound(f"stack '{here}' is not up", why, "Bring it up with `fairlead up`, or name one with --stack.")
    if len(names) > 1:
        raise UsageError("it is not clear which stack is meant", f"this home has {listed}", "Name one with --stack.")
    return names[0]


def naming(stack: str, names: Iterable[str], here: str | None) -> str:
    """` --stack NAME`, where `choose_stack` would not come to `stack` without it; else ""."""
    understood = here == stack if here else set(names) <= {stack}
    return "" if understood else f" --stack {printable(stack)}"


def unavailable_because_nothing_runs(home: str) -> DaemonUnavailable:
    """For commands that have nothing to say without a running stack."""
    return DaemonUnavailable("nothing runs", f"{home} has no stack that should", "fairlead up PATH")
