"""Folders that several users share."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from fairlead.aiokit.folders import make_folder


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_folder_has_its_mode_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o077)
    try:
        make_folder(str(tmp_path / "new"), 0o711)
    finally:
        os.umask(before)
    assert mode_of(tmp_path / "new") == 0o711


def test_one_whose_maker_was_killed_before_it_could_say_the_mode_gets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(os, "chmod", killed)
        with pytest.raises(KeyboardInterrupt):
            make_folder(str(tmp_path / "half"), 0o711)
    assert mode_of(tmp_path / "half") == 0o700
    make_folder(str(tmp_path / "half"), 0o711)
    assert mode_of(tmp_path / "half") == 0o711


def test_one_that_is_there_keeps_its_mode_and_a_link_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there").chmod(0o750)
    make_folder(str(tmp_path / "there"), 0o711)
    assert mode_of(tmp_path / "there") == 0o750
    (tmp_path / "elsewhere").mkdir(mode=0o700)
    (tmp_path / "link").symlink_to("elsewhere")
    make_folder(str(tmp_path / "link"), 0o711)
    assert mode_of(tmp_path / "elsewhere") == 0o700
