"""How the tests themselves are run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.ports import FIRST, LAST, a_free_port

CONFTEST = Path(__file__).parent / "conftest.py"

TEST = """
import os, pathlib, pytest

@pytest.mark.parametrize("number", range(8))
def test_it(number):
    pathlib.Path({log!r}, f"{place}-{{number}}").write_text(os.environ["PYTEST_XDIST_WORKER"])
"""


def test_of_several_workers_one_tells_all_stories(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.mkdir()
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    for place in ("core", "live"):
        (tmp_path / "tests" / place).mkdir(parents=True)
        (tmp_path / "tests" / place / f"test_{place}.py").write_text(TEST.format(log=str(log), place=place))
    (tmp_path / "tests/conftest.py").write_text(CONFTEST.read_text())
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "no:cacheprovider", "tests"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    told = {path.name: path.read_text() for path in log.iterdir()}
    assert len(told) == 16
    assert len({worker for name, worker in told.items() if name.startswith("live")}) == 1


def test_a_free_port_is_not_given_again_while_there_are_others() -> None:
    ports = [a_free_port() for _ in range(100)]
    assert len(set(ports)) == 100
    assert all(FIRST <= port < LAST for port in ports)
