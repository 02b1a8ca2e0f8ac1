"""The folders of instances: made, looked through, cleared, removed.

An instance has two. Its *own* folder (`layout.instance`, FAIRLEAD_RUN) is fairlead's alone and holds the log and what
its shim recorded; it stays until it is old or the stack is forgotten, with a file `cleared` in it once nothing else is
left. Its
*run* folder (`layout.instance_run`) is the program's: HOME and socket; it goes when the instance does. When fairlead is
root the run folder belongs to the program's user and the balancer's group, mode 2710: only HAProxy reaches the socket,
and a socket made there gets the balancer's group. Called by the local engine.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress

from fairlead.aiokit.folders import check_ours, make_folder, names_in
from fairlead.aiokit.trees import remove_tree
from fairlead.core.layout import Layout
from fairlead.engines.about import End
from fairlead.errors import EngineError


class Folders:
    """user: (uid, gid, the balancer's gid) when fairlead is root and programs are not; None: all is one user's."""

    def __init__(self, layout: Layout, user: tuple[int, int, int] | None) -> None:
        self._layout = layout
        self._user = user
        # Programs of another user pass through, to their releases and sockets, and can list nothing.
        self._passage = 0o711 if user is not None else 0o700

    def make(self, stack: str, instance: str, source: str) -> str:
        """Both folders of an instance, whole even after a crash in the middle; the path of its own.

        EngineError when they cannot be made, or when `source`, the folder it is to work in, is not there.
        """
        if not os.path.isdir(source):
            raise EngineError(f"{instance} cannot be started", f"its source {source} is not there")
        layout = self._layout
        own, run = layout.instance(stack, instance), layout.instance_run(stack, instance)
        try:
            for path in (layout.run, f"{layout.run}/i"):
                make_folder(path, self._passage)
                check_ours(path)
            make_folder(run, 0o700)
            if self._user is not None:
                # First the owner, then the mode: a change of owner may clear the bit that hands on the group.
                os.chown(run, self._user[0], self._user[2], follow_symlinks=False)
                os.chmod(run, 0o2710)  # noqa: S103 (the group is the balancer, and only it)
            for path in (f"{layout.home}/stacks", layout.stack(stack), layout.instances(stack)):
                make_folder(path, self._passage)
            make_folder(own, 0o700)
        except OSError as problem:
            raise EngineError(
                f"the folders of {instance} cannot be made", f"{problem.filename}: {problem.strerror}"
            ) from problem
        return own

    def all(self) -> Iterator[tuple[str, str, str]]:
        """(stack, instance, own folder) of every instance of the home whose folder is there, cleared ones too."""
        for stack in names_in(f"{self._layout.home}/stacks"):
            for instance in names_in(self._layout.instances(stack)):
                yield stack, instance, self._layout.instance(stack, instance)

    def mark_cleared(self, stack: str, instance: str, end: End) -> None:
        """Nothing is left of it but its log and how it ended. Not marked (full disk), it is cleared once more."""
        path = f"{self._layout.instance(stack, instance)}/cleared"
        with suppress(OSError):
            # A second time changes nothing: the first knows how it ended, and when.
            file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            try:
                os.write(file, end.text().encode())
            finally:
                os.close(file)

    def is_cleared(self, stack: str, instance: str) -> bool:
        return os.path.lexists(f"{self._layout.instance(stack, instance)}/cleared")

    def remove_run(self, stack: str, instance: str) -> None:
        """Remove the run folder with all that the program left in it. EngineError when something stays."""
        _remove(self._layout.instance_run(stack, instance))

    def remove_own(self, folder: str) -> None:
        """Remove the own folder of an instance that was cleared, log included. EngineError when something stays."""
        _remove(folder)

    def remove_all(self, stack: str) -> None:
        """Remove every folder of the stack's instances, logs included."""
        for instance in names_in(self._layout.instances(stack)):
            self.remove_run(stack, instance)
        _remove(self._layout.instances(stack))


def _remove(path: str) -> None:
    try:
        remove_tree(path)
    except OSError as problem:
        raise EngineError(f"{path} cannot be removed", f"{problem.filename}: {problem.strerror}") from problem
