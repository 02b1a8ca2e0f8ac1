"""Whether the program of a `command:` is there, asked before anything is launched.

In: its first word, and where it will be looked for. Out: nothing, or a BuildError at the place of `command:` that says
what is missing. Only what is certain is refused: who may execute what is the kernel's to say, at the launch. Without
this three instances would have to fail first, with a shell's words for it. `build.py` calls it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping

from fairlead.errors import BuildError

NODE_PROGRAMS = "node_modules/.bin"


def check_program(
    word: str, *, source: str, search: str, variables: Mapping[str, str], place: str, key: str = "command"
) -> None:
    """Refuse a program that cannot be started from the folder `source` (a release's). search: the PATH of instances,
    unless `variables` has its own. key: the key of the file that names it."""
    if "${" in word:
        return
    if "/" in word:
        _check_file(word, os.path.join(source, word), place, key)
        return
    path = variables.get("PATH", search)
    if "${" in path:
        return
    folders = [os.path.join(source, folder) for folder in path.split(":")]
    if not any(os.path.isfile(os.path.join(folder, word)) for folder in folders):
        why = f"there is no such program in {', '.join(path.split(':'))}"
        mend = "install it there, or write its path; `./NAME` is a file of the source"
        if os.path.isfile(os.path.join(source, word)):
            mend = f"it is a file of the source: write ./{word}"
        elif os.path.isfile(os.path.join(source, NODE_PROGRAMS, word)):
            mend = f"it is a program of a Node package: write {NODE_PROGRAMS}/{word}"
        raise BuildError(f"cannot run {word}", why, mend, place=place)


def _check_file(word: str, path: str, place: str, key: str) -> None:
    what = f"cannot run {word}"
    inside = not word.startswith("/")
    if not os.path.exists(path):
        why = "the source has no such file" if inside else "there is no such file"
        mend = f"correct `{key}:`; is it left out by .gitignore, and must `build:` make it?" if inside else ""
        raise BuildError(what, why, mend, place=place)
    if os.path.isdir(path):
        raise BuildError(what, "it is a folder", "name a program in it", place=place)
    if not os.stat(path).st_mode & 0o111:
        mend = f"run `chmod +x {word}`, or name what runs it: `sh {word}`"
        raise BuildError(what, "it is not executable", mend, place=place)
    interpreter = _interpreter(path)
    if interpreter.endswith("\r"):
        mend = "save the file with line ends of Unix (`sed -i 's/\\r$//' FILE`)"
        raise BuildError(what, "its first line ends as on Windows, with a carriage return", mend, place=place)
    if interpreter.startswith("/") and not os.path.exists(interpreter):
        mend = "correct that line, or install what it names"
        raise BuildError(what, f"its first line names {interpreter}, which is not there", mend, place=place)


def _interpreter(path: str) -> str:
    """What the first line of a script names, a carriage return with it; "" when it names nothing."""
    try:
        with open(path, "rb") as file:
            line = file.readline(256)
    except OSError:
        return ""
    if not line.startswith(b"#!"):
        return ""
    words = line[2:].rstrip(b"\n").strip(b" \t").split(b" ")
    return os.fsdecode(words[0] if len(words) == 1 or not line.endswith(b"\r\n") else words[0] + b"\r")
