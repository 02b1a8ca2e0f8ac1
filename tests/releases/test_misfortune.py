"""What goes wrong around a build: a source that moves, vanishes or never holds still, a full disk, sweeps at any time."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.core.layout import Layout, layout_of
from fairlead.core.model import Service
from fairlead.errors import BuildError
from fairlead.releases import settle
from fairlead.releases.folders import remove
from tests.needs import need
from tests.releases.builders import a_builder, a_command, a_stack, a_tree
from tests.releases.test_build import NOWHERE, Told, build, refused, under

pytestmark = pytest.mark.live


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settle, "PAUSE", 0.0)


class Meanwhile(Told):
    """Does something to the source when a text is told, which is while the source is being copied."""

    def __init__(self, when: str, what: object) -> None:
        super().__init__()
        self._when, self._what = when, what

    def __call__(self, text: str) -> None:
        super().__call__(text)
        if text.startswith(self._when):
            assert callable(self._what)
            self._what()


# --- a source that moves ----------------------------------------------------------------------------------------------


async def test_an_edit_of_several_files_while_they_are_copied_is_in_the_release_whole(
    layout: Layout, source: Path
) -> None:
    a_tree(source, {"a.py": "old", "b.py": "old"})

    def edit() -> None:
        if (source / "a.py").read_text() == "old":
            # Between the two readings, and a new file with it: the first copy would hold what was never there at once.
            a_tree(source, {"a.py": "new", "b.py": "new", "c.py": "new"})

    told = Meanwhile("copying", edit)
    release = await build(layout, a_command(source, "sh"), told=told)
    assert {name: Path(release.source, name).read_text() for name in under(release.source)} == {
        "a.py": "new",
        "b.py": "new",
        "c.py": "new",
    }
    assert "the source changed while it was copied (a.py, b.py): copying it again" in told


async def test_a_source_that_never_holds_still_is_refused_and_what_moves_is_named(layout: Layout, source: Path) -> None:
    a_tree(source, {"a.py": "", "app.log": ""})
    lines = iter(range(100))

    def log() -> None:
        a_tree(source, {"app.log": str(next(lines))})

    with pytest.raises(BuildError) as caught:
        await build(layout, a_command(source, "sh"), told=Meanwhile("", log))
    assert caught.value.sentence == (
        "fairlead.yaml:5:13: the source does not hold still: it changed during each of 20 readings, last app.log"
    )
    assert ".gitignore" in caught.value.next_step
    assert under(layout.releases("demo", "web")) == []


async def test_a_source_that_vanishes_while_it_is_copied_is_refused_and_nothing_is_left(
    layout: Layout, source: Path
) -> None:
    inner = a_tree(source / "inner", {"a.py": "", "sub/b.py": ""})
    service = a_command(inner, "sh")
    with pytest.raises(BuildError) as caught:
        await build(layout, service, told=Meanwhile("copying", lambda: shutil.rmtree(inner)))
    assert caught.value.sentence == f"fairlead.yaml:5:13: the source {inner} is not a folder"
    assert under(layout.releases("demo", "web")) == []


async def test_a_copy_that_is_cancelled_leaves_nothing(layout: Layout, source: Path) -> None:
    a_tree(source, {f"{number}.txt": "x" * 10000 for number in range(2000)})
    began = asyncio.Event()
    service = a_command(source, "sh")
    told = Meanwhile("copying", began.set)
    task = asyncio.create_task(a_builder(layout).build(a_stack(service), service, (), 1, told))
    async with asyncio.timeout(60):
        await began.wait()
    # The copy is under way in a thread, which nothing can stop but its own end.
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert under(layout.releases("demo", "web")) == []


# --- a full disk ------------------------------------------------------------------------------------------------------


@pytest.fixture
def small() -> Iterator[Layout]:
    """A home on a file system of 4 MB."""
    folder = tempfile.mkdtemp(prefix="fl-full-")
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,mode=755", "tmpfs", folder], check=False)
    try:
        need(mounted.returncode == 0, "the right to mount a small file system")
        yield layout_of(folder, os.geteuid())
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        os.rmdir(folder)


def no_release(layout: Layout) -> None:
    assert [name for name in under(layout.releases("demo", "web")) if name != "build.log"] == []


@pytest.mark.parametrize("build_too", [False, True])
async def test_a_disk_that_fills_up_while_the_source_is_copied_is_named(
    small: Layout, source: Path, build_too: bool
) -> None:
    a_tree(source, {"big": b"x" * 6_000_000})
    with pytest.raises(BuildError) as caught:
        await build(small, a_command(source, "sh", build=(("true",),) if build_too else ()))
    error = caught.value
    assert error.what == "the disk is full, so no release was made, and nothing of it is left"
    assert "cannot copy big: No space left on device" in error.why
    assert f"MB are free where {small.home} lies" in error.why
    assert error.next_step.startswith("free some space")
    no_release(small)


async def test_a_disk_that_a_command_of_the_build_fills_is_named_and_free_again(small: Layout, source: Path) -> None:
    service = a_command(a_tree(source, {"x": ""}), "sh", build=(("sh", "-c", "cat /dev/zero >fill"),))
    with pytest.raises(BuildError, match="the disk is full") as caught:
        await build(small, service)
    assert "No space left on device" in caught.value.detail
    no_release(small)
    assert shutil.disk_usage(small.home).free > 3_500_000


async def test_a_disk_that_uv_fills_is_named(small: Layout, source: Path) -> None:
    a_tree(source, {"fill": b""})
    filler = Path(small.home, "filler")
    service = a_command(source, "python", "x.py")
    filler.write_bytes(b"x" * (shutil.disk_usage(small.home).free - 32_768))
    with pytest.raises(BuildError, match="the disk is full"):
        await build(small, service)
    no_release(small)
    assert under(small.environments) == []
    filler.unlink()
    assert (await build(small, service)).number == 1


# --- no network -------------------------------------------------------------------------------------------------------


async def test_without_a_network_the_sentence_is_short_and_says_what_to_do(layout: Layout, source: Path) -> None:
    a_tree(source, {"requirements.txt": "itsdangerous==2.2.0\n"})
    error = await refused(layout, a_command(source, "true"), env=os.environ | NOWHERE)
    assert error.what == "what requirements.txt asks for cannot be installed"
    assert error.why.startswith("Failed to fetch")
    assert "Traceback" not in error.detail
    assert len(error.detail.splitlines()) < 12
    assert error.next_step.startswith("check the network")


# --- sweeping ---------------------------------------------------------------------------------------------------------


def a_python(source: Path) -> Service:
    return a_command(a_tree(source, {"x": ""}), "python")


async def test_a_sweep_does_nothing_while_any_stack_builds(layout: Layout, source: Path) -> None:
    builder = a_builder(layout)
    release = await builder.build(a_stack(a_python(source)), a_python(source), (), 1, Told())
    began = asyncio.Event()
    slow = a_command(source, "sh", build=(("sh", "-c", "echo on; sleep 60"),))
    told = Meanwhile("sh -c | on", began.set)
    task = asyncio.create_task(builder.build(a_stack(slow), slow, (release,), 2, told))
    async with asyncio.timeout(60):
        await began.wait()
    await builder.sweep(keep=())
    builder.prune("demo", "web", keep=())
    assert under(layout.environments) == [os.path.basename(release.environment_folder or "")]
    assert under(layout.releases("demo", "web")) == ["0001", "0002", "build.log"]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await builder.sweep(keep=())
    assert under(layout.environments) == []


async def test_a_build_that_begins_during_a_sweep_waits_and_finds_what_is_left(layout: Layout, source: Path) -> None:
    builder = a_builder(layout)
    service = a_python(source)
    first = await builder.build(a_stack(service), service, (), 1, Told())
    # Both at once, many times: an environment is either made again or was kept, and never half removed.
    for number in range(2, 7):
        sweeping = asyncio.create_task(builder.sweep(keep=()))
        await asyncio.sleep(0)
        release = await builder.build(a_stack(service), service, (), number, Told())
        await sweeping
        assert release.environment_folder == first.environment_folder
        assert os.path.exists(f"{release.environment_folder}/.complete")
        assert subprocess.run([f"{release.environment_folder}/bin/python", "-c", "1"], check=False).returncode == 0


async def test_what_was_pruned_or_left_by_a_crash_is_swept_in_every_stack(layout: Layout, source: Path) -> None:
    builder = a_builder(layout)
    await builder.build(a_stack(a_python(source)), a_python(source), (), 1, Told())
    folder = layout.releases("other", "api")
    for name in (".new-abc/source", ".old-0003-abc/source", "0004/source", "0005/source"):
        os.makedirs(f"{folder}/{name}")
    Path(folder, "0005/release.json").touch()
    os.makedirs(f"{layout.environments}/unfinished.source")
    builder.prune("demo", "web", keep=())
    assert not os.path.exists(f"{layout.releases('demo', 'web')}/0001")
    await builder.sweep(keep=())
    assert under(folder) == ["0005"]
    assert under(layout.releases("demo", "web")) == ["build.log"] or under(layout.releases("demo", "web")) == []
    assert under(layout.environments) == []


async def test_sweeping_and_pruning_an_empty_home_does_nothing(layout: Layout) -> None:
    builder = a_builder(layout)
    builder.prune("demo", "web", keep=())
    await builder.sweep(keep=())
    assert under(layout.home) == []


async def test_the_folders_of_an_environment_are_closed_and_it_can_be_removed(layout: Layout, source: Path) -> None:
    release = await build(layout, a_python(source))
    for where, _, _ in os.walk(release.environment_folder or ""):
        assert not os.stat(where).st_mode & 0o222
    remove(release.environment_folder or "")
    assert under(layout.environments) == []
