"""Whatever a program left in its folder goes, and nothing else."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.aiokit.trees import remove_tree

pytestmark = pytest.mark.live


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that an ordinary user may write."""
    folder = Path(tempfile.mkdtemp(prefix="fl-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def as_ordinary_user(path: Path) -> None:
    """Remove `path` as somebody to whom modes mean something."""
    pid = os.fork()
    if pid == 0:
        try:
            if os.geteuid() == 0:
                os.setgid(61234)
                os.setuid(61234)
            remove_tree(str(path))
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


def a_deep_tree(top: Path, depth: int) -> None:
    top.mkdir()
    place = os.open(top, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=place)
        below = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=below))
        os.close(place)
        place = below
    os.close(place)


def test_a_tree_goes_with_everything_in_it(place: Path) -> None:
    top = place / "top"
    (top / "a" / "b").mkdir(parents=True)
    (top / "a" / "b" / "file").write_text("")
    (top / "c").mkdir()
    os.mkfifo(top / "a" / "pipe")
    os.symlink("nowhere", top / "a" / "dangling")
    remove_tree(str(top))
    assert os.listdir(place) == []


@pytest.mark.parametrize("make", [lambda path: path.write_text(""), lambda path: path.symlink_to("/"), lambda path: 0])
def test_what_is_no_folder_goes_too_and_what_is_not_there_is_fine(place: Path, make: object) -> None:
    make(place / "one")  # type: ignore[operator]
    remove_tree(str(place / "one"))
    assert os.listdir(place) == []


def test_thousands_of_folders_in_each_other_go(place: Path) -> None:
    a_deep_tree(place / "top", 1500)
    remove_tree(str(place / "top"))
    assert os.listdir(place) == []


def test_a_link_to_a_folder_goes_and_the_folder_stays(place: Path) -> None:
    (place / "other").mkdir()
    (place / "other" / "file").write_text("")
    (place / "top" / "in").mkdir(parents=True)
    os.symlink(place / "other", place / "top" / "link")
    os.symlink(place / "other", place / "top" / "in" / "link")
    remove_tree(str(place / "top"))
    assert os.listdir(place / "other") == ["file"]


def test_a_folder_that_is_exchanged_for_a_link_meanwhile_is_not_followed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (place / "other").mkdir()
    (place / "other" / "file").write_text("")
    (place / "top" / "in").mkdir(parents=True)
    scanned = os.scandir

    def exchanged(folder: int) -> object:
        found = list(scanned(folder))
        if (place / "top" / "in").is_dir() and not (place / "top" / "in").is_symlink():
            (place / "top" / "in").rmdir()
            (place / "top" / "in").symlink_to(place / "other")
        return scanned(folder) if not found else _Listing(found)

    monkeypatch.setattr(os, "scandir", exchanged)
    with pytest.raises(NotADirectoryError):
        remove_tree(str(place / "top"))
    monkeypatch.undo()
    assert os.listdir(place / "other") == ["file"]


class _Listing(list):  # type: ignore[type-arg]
    """Entries that were read before something changed."""

    def __enter__(self) -> _Listing:
        return self

    def __exit__(self, *ignored: object) -> None:
        pass


def test_folders_that_an_ordinary_user_closed_against_writing_go(place: Path) -> None:
    def closed() -> None:
        top = place / "top"
        (top / "mod" / "pkg").mkdir(parents=True)
        (top / "mod" / "pkg" / "file").write_text("")
        (top / "secret").mkdir()
        for folder, mode in ((top / "mod" / "pkg", 0o555), (top / "mod", 0o555), (top / "secret", 0), (top, 0o500)):
            if os.geteuid() == 0:
                os.chown(folder, 61234, 61234)
            folder.chmod(mode)

    closed()
    as_ordinary_user(place / "top")
    assert os.listdir(place) == []
