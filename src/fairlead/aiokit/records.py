"""What a shim recorded in its launch's folder, read by whoever wants to know (`shim` says what there is).

In: a folder. Out: words, and how the program ended. Light: the command line reads these without a daemon.
"""

from __future__ import annotations

from fairlead.core.processes import Outcome


def words_of(path: str) -> list[str]:
    """The words of a record; none when it is not there or cannot be read."""
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read(256).split()
    except OSError:
        return []


def outcome_in(folder: str) -> Outcome:
    """How the program that was launched in `folder` ended; an empty one when nothing was recorded."""
    words = words_of(f"{folder}/exit")
    if not words or not words[0].isdecimal():
        return Outcome()
    status = int(words[0])
    # A shell's $?: 128 + n for a program ended by signal n.
    killed = 128 < status <= 192
    return Outcome(signal=status - 128) if killed else Outcome(exit_status=status)
