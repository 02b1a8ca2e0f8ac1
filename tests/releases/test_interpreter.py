"""Which Python a release runs on, and whether those who run it can execute it."""

from __future__ import annotations

import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.errors import BuildError
from fairlead.releases.access import can_execute
from fairlead.releases.interpreter import OWN, Interpreter, Interpreters
from tests.needs import need

NOBODY = (61001, 61002)


@pytest.fixture
def folder() -> Iterator[Path]:
    """Open to all, unlike pytest's own."""
    made = Path(tempfile.mkdtemp(prefix="fl-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


def a_program(path: Path, text: str = "", mode: int = 0o755) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(mode)
    return path


def a_python(path: Path, version: str) -> Path:
    return a_program(path, f"echo cpython-{''.join(version.split('.')[:2])} {version}")


@pytest.mark.parametrize(
    ("mode", "owner", "expected"),
    [
        (0o755, (0, 0), True),
        (0o750, (0, 0), False),
        (0o750, (0, NOBODY[1]), True),
        (0o705, (0, NOBODY[1]), False),
        (0o700, (NOBODY[0], 0), True),
        (0o077, (NOBODY[0], 0), False),
    ],
)
@pytest.mark.parametrize("what", ["file", "parent"])
def test_every_step_of_the_path_must_allow_the_user(
    folder: Path, mode: int, owner: tuple[int, int], expected: bool, what: str
) -> None:
    need(os.geteuid() == 0, "root, to give files away")
    program = a_program(folder / "closed" / "tool")
    subject = program if what == "file" else program.parent
    os.chown(subject, *owner)
    subject.chmod(mode)
    link = folder / "link"
    link.symlink_to(program)
    assert can_execute(str(program), NOBODY) is expected
    assert can_execute(str(link), NOBODY) is expected
    # The judgement is the kernel's own.
    assert (os.spawnve(os.P_WAIT, "/bin/sh", _as_nobody(str(program)), {}) == 0) is expected


def _as_nobody(program: str) -> list[str]:
    ids = [f"--reuid={NOBODY[0]}", f"--regid={NOBODY[1]}", "--clear-groups"]
    return ["sh", "-c", 'cd /; exec 2>/dev/null; exec setpriv "$@"', "sh", *ids, program]


def test_what_is_no_program_cannot_be_executed(folder: Path) -> None:
    assert not can_execute(str(folder), None)
    assert not can_execute(str(folder / "missing"), None)
    assert not can_execute(str(a_program(folder / "x", mode=0o644)), None)
    assert can_execute(str(a_program(folder / "y")), None)


def test_the_own_interpreter_is_the_one_below_any_virtual_environment() -> None:
    assert OWN.version == platform.python_version()
    assert not os.path.islink(OWN.path)
    assert (OWN.minor, OWN.tag) == (OWN.version[:4], f"cp{OWN.minor.replace('.', '')}")


async def test_without_python_in_the_file_it_is_fairleads_own() -> None:
    assert await Interpreters(OWN, None, "").choose(None, "") == OWN
    assert await Interpreters(OWN, None, "").choose(OWN.minor, "") == OWN


async def test_another_version_is_looked_for_in_order_of_the_path(folder: Path) -> None:
    a_program(folder / "one" / "python3.30", "exit 127")
    a_python(folder / "two" / "python3.30", "3.30.1")
    a_python(folder / "three" / "python3.30", "3.30.2")
    search = ":".join(str(folder / name) for name in ("missing", "one", "two", "three"))
    interpreters = Interpreters(OWN, None, search)
    assert await interpreters.choose("3.30", "") == Interpreter(str(folder / "two" / "python3.30"), "3.30.1")
    assert await interpreters.choose("3.30.2", "") == Interpreter(str(folder / "three" / "python3.30"), "3.30.2")


async def test_an_interpreter_that_is_not_there_is_refused_at_its_place(folder: Path) -> None:
    with pytest.raises(BuildError) as caught:
        await Interpreters(OWN, None, str(folder)).choose("3.99", "fairlead.yaml:4:13")
    assert caught.value.sentence == (
        f"fairlead.yaml:4:13: Python 3.99 is not installed: fairlead runs on {OWN.version}, "
        f"and there is no usable python3.99 in {folder}"
    )


@pytest.mark.parametrize("wanted", ["python3", "2.7", "../../bin/sh", "3.11; id"])
async def test_what_is_no_version_is_refused(wanted: str) -> None:
    with pytest.raises(BuildError, match="is not a version"):
        await Interpreters(OWN, None, "/usr/bin").choose(wanted, "")


async def test_one_closed_to_the_instances_user_is_passed_over_for_one_that_is_open(folder: Path) -> None:
    need(os.geteuid() == 0, "root, to choose for another user")
    closed = Interpreter(str(a_python(folder / "closed" / "python3.30", "3.30.1")), "3.30.1")
    (folder / "closed").chmod(0o700)
    search = f"{folder}/closed:{folder}/open"
    with pytest.raises(BuildError, match="there is no Python that the instances can execute"):
        await Interpreters(closed, NOBODY, search).choose(None, "")
    a_python(folder / "open" / "python3.30", "3.30.4")
    chosen = await Interpreters(closed, NOBODY, search).choose(None, "")
    assert chosen == Interpreter(str(folder / "open" / "python3.30"), "3.30.4")
