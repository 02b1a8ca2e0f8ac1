"""As root, code that a build runs as its own user gets nothing of root's: no file written, read or given away."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fairlead.core.layout import layout_of
from fairlead.errors import BuildError
from fairlead.releases import environment
from fairlead.releases.environment import Environments
from fairlead.releases.folders import close_folders, make_folders
from fairlead.releases.inputs import DependencyInputs
from fairlead.releases.seal import seal
from tests.needs import need
from tests.releases.builders import a_builder
from tests.releases.test_commands import APP, BUILDER, a_service, a_shell, a_stack

pytestmark = pytest.mark.live


@pytest.fixture
def place() -> Iterator[Path]:
    """A folder that all may pass, with one of root's and a file in it."""
    need(os.geteuid() == 0, "root, to have something that a build may not get")
    folder = Path(tempfile.mkdtemp(prefix="fl-"))
    folder.chmod(0o711)
    secret = folder / "of root"
    secret.mkdir(0o700)
    (secret / "secret").write_text("only root's")
    (secret / "secret").chmod(0o600)
    try:
        yield folder
        assert (secret / "secret").read_text() == "only root's"
        assert (os.stat(secret).st_uid, stat.S_IMODE(os.stat(secret).st_mode)) == (0, 0o700)
        found = os.stat(secret / "secret")
        assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (0, 0o600)
    finally:
        shutil.rmtree(folder)


def as_builder(work: Callable[[], object]) -> None:
    pid = os.fork()
    if pid == 0:
        try:
            os.setgroups([])
            os.setgid(BUILDER[1])
            os.setuid(BUILDER[0])
            work()
            os._exit(0)
        finally:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


def of_the_builder(folder: Path) -> Path:
    folder.mkdir()
    os.chown(folder, *BUILDER)
    return folder


async def test_a_link_under_a_name_that_can_be_foreseen_is_not_written_through(place: Path) -> None:
    made = of_the_builder(place / "made")

    def prepare() -> None:
        (made / "file").write_text("written through")
        os.link(made / "file", made / "again")
        for name in ("file", "again"):
            os.symlink(place / "of root" / "secret", made / f"{name}.fairlead-copy")

    as_builder(prepare)
    seal(str(made), BUILDER)
    assert (made / "file").read_text() == (made / "again").read_text() == "written through"
    assert os.stat(made / "file").st_nlink == 1


async def test_a_second_name_of_somebody_elses_file_is_not_published(place: Path) -> None:
    made = of_the_builder(place / "made")
    os.link(place / "of root" / "secret", made / "shown")  # what a kernel with protected_hardlinks off lets a build do
    with pytest.raises(PermissionError):
        seal(str(made), BUILDER)


async def test_a_folder_is_not_given_away_through_a_link(place: Path) -> None:
    cache = of_the_builder(place / "cache")
    as_builder(lambda: os.symlink(place / "of root", cache / "build"))
    with pytest.raises(OSError, match="cache/build"):
        make_folders(str(cache / "build"), 0o755, BUILDER)


async def test_folders_that_the_builder_exchanges_for_links_while_they_are_closed_stay_as_they_are(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = of_the_builder(place / "made")
    (made / "sub").mkdir()
    closed = os.fchmod

    def exchanged(descriptor: int, mode: int) -> None:
        if not os.path.islink(made / "sub"):
            (made / "sub").rename(made / "moved")
            os.symlink(place / "of root", made / "sub")
        closed(descriptor, mode)

    monkeypatch.setattr(os, "fchmod", exchanged)
    close_folders(str(made))
    assert stat.S_IMODE(os.stat(made / "moved").st_mode) == 0o555


async def test_a_scratch_folder_that_is_exchanged_for_a_link_is_not_followed(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    envs = of_the_builder(place / "envs")
    source = place / "source"
    (source / "sub").mkdir(parents=True)
    (source / "sub/setup.py").write_text("")
    copied = environment.shutil.copytree

    def exchanged(*args: object, **kwargs: object) -> None:
        if not (envs / "away").exists():
            as_builder(lambda: (envs / "key.source").rename(envs / "away"))
            as_builder(lambda: os.symlink(place / "of root", envs / "key.source"))
        copied(*args, **kwargs)  # type: ignore[call-overload]

    monkeypatch.setattr(environment.shutil, "copytree", exchanged)
    inputs = DependencyInputs(kind="pyproject.toml", files=(("pyproject.toml", b""),), project=True, local=True)
    # Of the collaborators none is asked for anything here.
    made = Environments(None, None, BUILDER, None)  # type: ignore[arg-type]
    made._scratch_copy(str(envs / "key"), inputs, str(source))
    assert os.listdir(place / "of root") == ["secret"]
    owners = {os.lstat(path).st_uid for path in (envs / "away", *(envs / "away").rglob("*"))}
    assert owners == {BUILDER[0]}
    assert stat.S_IMODE(os.stat(envs / "away" / "sub").st_mode) == 0o755


async def test_a_build_that_leaves_a_link_where_the_next_one_has_its_cache_fails_that_one(
    place: Path,
) -> None:
    layout = layout_of(str(place / "home"), 0)
    os.makedirs(layout.home, 0o711)
    trap = f'rm -r "$XDG_CACHE_HOME" && ln -s "{place}/of root" "$XDG_CACHE_HOME"'
    service = a_service(place / "app", a_shell(trap))
    first = await a_builder(layout, builder_user=BUILDER, app_user=APP).build(
        a_stack(service), service, (), 1, lambda text: None
    )
    again = a_service(place / "app", a_shell("true"))
    with pytest.raises(BuildError, match="cache/build"):
        await a_builder(layout, builder_user=BUILDER, app_user=APP).build(
            a_stack(again), again, (first,), 2, lambda text: None
        )
