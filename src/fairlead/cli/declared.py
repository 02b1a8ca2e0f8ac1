"""The file that `up` and `plan` are about, and what of our surroundings goes to the daemon with it.

In: a path as the user wrote it. Out: the file's absolute path and text, the text of `.env` beside it, and those
variables of our environment which the file's text names, and no others. The daemon reads and validates. What the file
keeps as a secret leaves our environment here: a daemon that is started now inherits the rest of it.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass

from fairlead.cli import output
from fairlead.cli.session import FILE
from fairlead.core.interpolation import env_names
from fairlead.errors import UsageError


@dataclass(frozen=True, slots=True)
class Declared:
    """path: absolute. text: for its name only. dotenv: "" when there is no `.env`."""

    path: str
    text: str
    dotenv: str
    environment: dict[str, str]


def declared(path: str, command: str) -> Declared:
    """What PATH means: a fairlead.yaml, or the folder it lies in. command: `fairlead up`, for advice. UsageError."""
    file, text = _the_file(path, command)
    return Declared(file, text, _dotenv_beside(file), _mentioned(text))


def up_command(path: str = "") -> str:
    """The `fairlead up` that brings up the file `path` (absolute) from the current folder; without one the file that
    lies here, or else one that the user has to name."""
    if not path:
        return "fairlead up" if os.path.exists(FILE) else "fairlead up PATH"
    folder, name = os.path.split(path)
    meant = folder if name == FILE else path
    with contextlib.suppress(OSError):  # the current folder may be gone
        near = os.path.relpath(os.path.realpath(meant))
        meant = near if near.split("/")[0] != ".." else meant
    return "fairlead up" if meant == "." else f"fairlead up {output.word(meant)}"


def _the_file(path: str, command: str) -> tuple[str, str]:
    file = os.path.abspath(os.path.expanduser(path))
    if os.path.isdir(file):
        file = os.path.join(file, FILE)
    if not _is_utf8(file):
        raise UsageError(f"{file} cannot be used", "its path is not UTF-8", "Give the file or folder another name.")
    if os.path.exists(file) and not os.path.isfile(file) and not os.path.isdir(file):
        # A pipe would wait for its writer, and the daemon, which reads it too, would get nothing.
        raise UsageError(f"{file} is not a regular file", "", f"Give `{command}` a {FILE} that lies on the disk.")
    try:
        with open(file, encoding="utf-8", errors="replace") as opened:
            return file, opened.read()
    except FileNotFoundError as error:
        hint = f"Give `{command}` the path of a {FILE} or of the folder it lies in, or write one with `fairlead init`."
        raise UsageError(f"there is no {file}", "", hint) from error
    except IsADirectoryError as error:
        raise UsageError(f"{file} is a folder, not a file", "", f"Give `{command}` the {FILE} itself.") from error
    except OSError as error:
        hint = "Let your user read it, or run the command as one who may."
        raise UsageError(f"{file} cannot be read", str(error.strerror), hint) from error


def _dotenv_beside(file: str) -> str:
    path = os.path.join(os.path.dirname(file), ".env")
    try:
        with open(path, encoding="utf-8") as opened:
            return opened.read()
    except FileNotFoundError:
        return ""
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} cannot be read", "it is not UTF-8", "Save it as UTF-8.") from error
    except OSError as error:
        hint = "Let your user read it, or remove it."
        raise UsageError(f"{path} cannot be read", str(error.strerror), hint) from error


def _mentioned(text: str) -> dict[str, str]:
    found = {name: os.environ[name] for name in env_names(text) if name in os.environ}
    for name, value in found.items():
        if not _is_utf8(value):
            raise UsageError(f"the variable {name} cannot be used", "its value is not UTF-8", f"Set {name} to text.")
        if f"${{env.{name}" not in text:
            del os.environ[name]
    return found


def _is_utf8(text: str) -> bool:
    """Whether the system's bytes were all characters; what were none has Python written as surrogates."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)
