"""One house as root and one as a plain user, for all stories of a session: environments and servers are built once."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from ..needs import need
from .house import House

ROOT = Path(__file__).parent.parent.parent
PLAIN = 64321
"""The number of a user that nobody else is; it gets a name, because PostgreSQL asks for its own."""


@pytest.fixture(scope="session")
def plain_program() -> Iterator[str]:
    """fairlead in an environment that an unprivileged user can execute: made with the system's Python, in /tmp."""
    need(shutil.which("setpriv"), "setpriv (util-linux) is not installed")
    need(os.path.exists("/usr/bin/python3"), "there is no /usr/bin/python3 that every user can execute")
    folder = Path(tempfile.mkdtemp(prefix="fl-env-"))
    folder.chmod(0o755)
    environment = {**os.environ, "UV_PROJECT_ENVIRONMENT": str(folder / "venv"), "UV_NO_PROGRESS": "1"}
    environment.pop("VIRTUAL_ENV", None)
    uv = Path(sys.executable).parent / "uv"
    # uv would take an earlier build of this folder from its cache: it looks at pyproject.toml only.
    words = "sync --locked --no-dev --all-extras --no-editable --reinstall-package fairlead --python /usr/bin/python3 --link-mode copy"
    made = subprocess.run(
        [str(uv), *words.split()],
        cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300,
    )  # fmt: skip
    if made.returncode:
        shutil.rmtree(folder, ignore_errors=True)
        need(False, f"an environment for a plain user could not be made: {made.stderr[-500:]}")
    yield str(folder / "venv" / "bin" / "fairlead")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def root_house() -> Iterator[House]:
    need(os.getuid() == 0, "this is not root")
    house = House(str(Path(sys.executable).parent / "fairlead"))
    yield house
    house.close()


@pytest.fixture(scope="session")
def plain_house(request: pytest.FixtureRequest) -> Iterator[House]:
    if os.getuid() == 0:
        program = request.getfixturevalue("plain_program")
        _give_a_name(PLAIN)
        prefix = ("setpriv", f"--reuid={PLAIN}", f"--regid={PLAIN}", "--clear-groups", "--no-new-privs")
        house = House(program, prefix=prefix, owner=(PLAIN, PLAIN))
    else:
        house = House(str(Path(sys.executable).parent / "fairlead"))
    yield house
    house.close()


def _give_a_name(uid: int) -> None:
    with suppress(KeyError):
        pwd.getpwuid(uid)
        return
    words = (
        f"useradd --uid {uid} --user-group --no-create-home --home-dir /nonexistent --shell /bin/false fairlead-test"
    )
    subprocess.run(words.split(), capture_output=True, timeout=60)
    # Another worker may have been first.
    need(pwd.getpwuid(uid), "useradd does not work here")


@pytest.fixture(params=["root", "plain"])
def house(request: pytest.FixtureRequest) -> House:
    """Each story twice: as root, and as a plain user."""
    found = request.getfixturevalue(f"{request.param}_house")
    assert isinstance(found, House)
    return found
