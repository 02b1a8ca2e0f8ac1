"""What the tests of the command line share: a home, and a way to run a command and see what it printed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from fairlead.cli.main import run
from fairlead.core.layout import Layout
from tests.cli.scripted import a_home


@dataclass
class Result:
    status: int
    out: str
    err: str


Fairlead = Callable[..., Result]


@pytest.fixture
def home() -> Iterator[Layout]:
    with a_home() as layout:
        yield layout


@pytest.fixture
def fairlead(
    home: Layout,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Fairlead:
    """Run a command in this process, in an empty folder, with FAIRLEAD_HOME set to the test's home."""
    monkeypatch.setenv("FAIRLEAD_HOME", home.home)
    monkeypatch.chdir(tmp_path_factory.mktemp("cwd"))

    def call(*arguments: str) -> Result:
        capsys.readouterr()
        status = run(list(arguments))
        printed = capsys.readouterr()
        return Result(status, printed.out, printed.err)

    return call
