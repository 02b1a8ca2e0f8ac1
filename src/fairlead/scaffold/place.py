"""The file on the disk: checked as `fairlead up` would read it, and never in the place of one that is there."""

from __future__ import annotations

import os

from fairlead.errors import FairleadError, SpecError, UsageError
from fairlead.spec import parse_text

FILE = "fairlead.yaml"
OTHERS = ("fairlead.yml",)


def folder_of(path: str) -> str:
    """The folder to look at, absolute. UsageError when it is none."""
    folder = os.path.abspath(os.path.expanduser(path))
    if os.path.basename(folder) == FILE:
        folder = os.path.dirname(folder)
    if not os.path.isdir(folder):
        raise UsageError(f"{folder} is not a folder", "", "Give `fairlead init` the folder that holds your program.")
    return folder


def refuse_existing(folder: str) -> None:
    """UsageError when the folder has a file already."""
    for name in (FILE, *OTHERS):
        if os.path.lexists(f"{folder}/{name}"):
            raise UsageError(
                f"there is a {name} in {folder} already",
                "`fairlead init` never overwrites one",
                "`fairlead init --print` shows what it would write; `fairlead plan` what yours does.",
            )


def checked(text: str, folder: str) -> str:
    """`text`, which fairlead itself takes. FairleadError: it does not, which is our mistake and is said as that."""
    try:
        parse_text(text, f"{folder}/{FILE}", {})
    except SpecError as problem:
        raise FairleadError(
            "what was found cannot be written as a fairlead.yaml",
            "this is a mistake of `fairlead init`, and nothing was written",
            'Say what to run instead: fairlead init --command "..."',
            detail=problem.detail,
        ) from problem
    return text


def write(text: str, folder: str) -> str:
    """Write the file; its path. Whole or not at all, and not over another that came meanwhile."""
    path = f"{folder}/{FILE}"
    unfinished = f"{path}.{os.getpid()}.new"
    try:
        try:
            with open(unfinished, "x", encoding="utf-8") as file:
                file.write(text)
            # A link, not a rename: that would replace a file that has come meanwhile.
            os.link(unfinished, path)
        finally:
            if os.path.lexists(unfinished):
                os.unlink(unfinished)
    except FileExistsError:
        refuse_existing(folder)
        raise
    except OSError as problem:
        hint = "`fairlead init --print` prints it instead."
        raise FairleadError(f"{path} cannot be written", problem.strerror or str(problem), hint) from problem
    return path
