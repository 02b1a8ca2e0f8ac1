"""`fairlead init`: what it prints and writes, and what it never does."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import pytest

from fairlead.spec import read
from tests.cli.conftest import Fairlead
from tests.releases.builders import a_tree
from tests.scaffold import projects


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "shop").mkdir()
    return a_tree(tmp_path / "shop", projects.FLASK)


def test_it_writes_a_file_that_up_can_read_and_names_the_next_command(fairlead: Fairlead, project: Path) -> None:
    shown = fairlead("init", str(project))
    assert (shown.status, shown.out) == (0, f"{project}/fairlead.yaml\n")
    assert "found the Flask app in app.py: service web, health check /health" in shown.err
    assert f"next: fairlead up {os.path.relpath(project)}" in shown.err
    assert read(f"{project}/fairlead.yaml", env={}).name == "shop"
    assert sorted(os.listdir(project)) == ["app.py", "fairlead.yaml", "requirements.txt"]


def test_in_the_current_folder_the_next_command_is_short(
    fairlead: Fairlead, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(project)
    assert "next: fairlead up  |  fairlead plan" in fairlead("init").err


@pytest.mark.parametrize("name", ["fairlead.yaml", "fairlead.yml"])
def test_a_file_that_is_there_is_never_overwritten(fairlead: Fairlead, project: Path, name: str) -> None:
    (project / name).write_text("mine")
    shown = fairlead("init", str(project))
    assert (shown.status, shown.out) == (2, "")
    assert f"there is a {name} in {project} already: `fairlead init` never overwrites one" in shown.err
    assert (project / name).read_text() == "mine"
    printed = fairlead("init", str(project), "--print")
    assert printed.status == 0
    assert printed.out.startswith("# yaml-language-server: ")
    assert (project / name).read_text() == "mine"


def test_print_writes_nothing(fairlead: Fairlead, project: Path) -> None:
    shown = fairlead("init", str(project), "--print", "--name", "other")
    assert shown.status == 0
    assert "\nname: other\n" in shown.out
    assert not (project / "fairlead.yaml").exists()


def test_a_command_can_be_given(fairlead: Fairlead, tmp_path: Path) -> None:
    shown = fairlead("init", str(tmp_path), "--name", "x", "--command", "./serve --port $PORT")
    assert shown.status == 0
    assert 'command: "./serve --port ${instance.port}"' in (tmp_path / "fairlead.yaml").read_text()


def test_nothing_to_serve_is_exit_2_with_what_is_looked_for(fairlead: Fairlead, tmp_path: Path) -> None:
    shown = fairlead("init", str(tmp_path))
    assert (shown.status, shown.out) == (2, "")
    assert "nothing to serve was found" in shown.err
    assert "Procfile" in shown.err


def test_a_path_that_is_no_folder_is_exit_2(fairlead: Fairlead, tmp_path: Path) -> None:
    shown = fairlead("init", str(tmp_path / "absent"))
    assert shown.status == 2
    assert "is not a folder" in shown.err


def test_what_will_bite_is_said_on_the_terminal_and_in_the_file(fairlead: Fairlead, project: Path) -> None:
    a_tree(project, {".env": "X=1"})
    assert "note: .env would be copied into every release" in fairlead("init", str(project)).err
    assert "#   - .env would be copied into every release" in (project / "fairlead.yaml").read_text()


def test_a_folder_that_cannot_be_written_is_told_and_nothing_is_left(
    fairlead: Fairlead, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("fairlead.scaffold.place.os.link", full)
    shown = fairlead("init", str(project))
    assert shown.status == 1
    assert "fairlead.yaml cannot be written: No space left on device" in shown.err
    assert sorted(os.listdir(project)) == ["app.py", "requirements.txt"]


@pytest.mark.parametrize("name", ["two words", "; rm -r $HOME", "-x", "a\nb\x1b[2J"])
def test_the_next_command_names_the_folder_as_one_word_that_a_shell_reads_back(
    fairlead: Fairlead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    a_tree(tmp_path / name, projects.FLASK)
    monkeypatch.chdir(tmp_path)
    shown = fairlead("init", f"./{name}")
    assert (shown.status, "\x1b" in shown.err) == (0, False)
    words = shlex.split(shown.err.splitlines()[-1].removeprefix("next: ").split("  |  ")[0])
    assert words[:2] == ["fairlead", "up"]
    assert len(words) == 3
    assert not words[2].startswith("-")
    if name.isprintable():
        assert os.path.normpath(words[2]) == name
