"""Which files make a release, and their hash: git is the judge of the first, laws of the second."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from datetime import datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from fairlead.core.resources.backups import STAMP, backup_name
from fairlead.errors import BuildError
from fairlead.releases.source import printable, read_tree, survey, tracked_paths
from tests.needs import need
from tests.releases.builders import a_tree

NAMES = ("a", "b", "build", "x.pyc", "x.py", "docs", "a b", "ä", "#c", "!d")
paths = st.lists(st.sampled_from(NAMES), min_size=1, max_size=3).map("/".join)
patterns = st.one_of(
    st.sampled_from(
        ["*.pyc", "build", "build/", "/a", "a/*", "!a/b", "docs/**", "**/x.py", "*", "!*/", "!x.py", "[ab]"]
    ),
    st.sampled_from(
        ["# note", "", "!", "\\#c", "\\!d", "a b", "a\\ ", "b/a", "/build/*", "!/build/a", "x.?y", "docs/*/"]
    ),
    paths,
)


def git(root: Path, *words: str) -> str:
    env = {"PATH": os.environ["PATH"], "HOME": str(root), "GIT_CONFIG_NOSYSTEM": "1"}
    return subprocess.run(["git", *words], cwd=root, env=env, check=True, capture_output=True, text=True).stdout


def kept_by_git(root: Path) -> set[str]:
    return set(git(root, "ls-files", "-z", "-co", "--exclude-standard").split("\0")[:-1])


def need_git() -> None:
    need(shutil.which("git"), "git")


def wanted(root: Path) -> set[str]:
    return set(survey(str(root)).paths)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    files=st.sets(paths, min_size=1, max_size=12),
    ignore=st.lists(patterns, max_size=5),
    nested=st.dictionaries(st.sampled_from(["a", "build", "docs", "a/b"]), st.lists(patterns, max_size=3), max_size=2),
)
def test_without_git_the_walk_keeps_what_git_would(
    files: set[str], ignore: list[str], nested: dict[str, list[str]]
) -> None:
    need_git()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        for name in sorted(files):
            if not any(parent.is_file() for parent in (root / name).parents) and not (root / name).exists():
                a_tree(root, {name: "x"})
        a_tree(root, {".gitignore": "\n".join(ignore) + "\n"})
        for where, lines in nested.items():
            if (root / where).is_dir():
                a_tree(root, {f"{where}/.gitignore": "\n".join(lines)})
        git(root, "init", "-q")
        assert wanted(root) == kept_by_git(root)


def test_a_subfolder_of_a_repository_obeys_the_files_above_it(source: Path) -> None:
    need_git()
    a_tree(
        source, {".gitignore": "*.log\n/service/out\n", "service/app.py": "", "service/x.log": "", "service/out/y": ""}
    )
    git(source, "init", "-q")
    a_tree(source, {".git/info/exclude": "scratch\n", "service/scratch": ""})
    assert wanted(source / "service") == {"app.py"} == kept_by_git(source / "service")


def test_a_source_that_is_itself_ignored_is_taken_as_it_is(source: Path) -> None:
    a_tree(source, {".gitignore": "dist\n", "dist/index.html": "", ".git/HEAD": ""})
    assert wanted(source / "dist") == {"index.html"}


def test_a_folder_without_a_wanted_file_is_not_there(source: Path) -> None:
    (source / "empty" / "deep").mkdir(parents=True)
    a_tree(source, {"app.py": ""})
    assert wanted(source) == {"app.py"}


def test_git_pycache_and_virtual_environments_are_never_copied(source: Path) -> None:
    a_tree(source, {"app.py": "", ".git/HEAD": "", "p/__pycache__/x.pyc": "", "env/pyvenv.cfg": "", "env/bin/x": ""})
    assert wanted(source) == {"app.py"}


def test_fairleads_own_home_inside_the_source_is_never_copied(source: Path) -> None:
    a_tree(source, {"app.py": "", "state/fairlead.db": ""})
    (source.parent / f"{source.name}-link").symlink_to(source)
    try:
        home = str(source.parent / f"{source.name}-link" / "state")
        assert survey(str(source), never=(home,)).paths == ("app.py",)
    finally:
        (source.parent / f"{source.name}-link").unlink()


def test_a_backup_of_data_that_was_left_there_is_never_copied(source: Path) -> None:
    name = backup_name("shop", "store", "postgres", datetime(2026, 11, 22, 1, 33, 5).strftime(STAMP))
    a_tree(source, {"app.py": "", name: "", f"{name}.fairlead-partial": "", "fixtures/store.dump": ""})
    assert survey(str(source), tracked=(name,)).paths == ("app.py", "fixtures/store.dump")


def test_the_stacks_own_file_is_never_copied_and_one_of_that_name_elsewhere_is(source: Path) -> None:
    a_tree(source, {"app.py": "", "fairlead.yaml": "name: x", "docs/fairlead.yaml": ""})
    found = survey(str(source), tracked=("fairlead.yaml",), never=(str(source / "fairlead.yaml"),))
    assert found.paths == ("app.py", "docs/fairlead.yaml")


def test_the_top_level_folders_that_were_left_out_are_named(source: Path) -> None:
    a_tree(
        source,
        {".gitignore": "node_modules\n/dist\n*.log", "node_modules/x": "", "dist/y": "", "a/dist/z": "", "b.log": ""},
    )
    assert survey(str(source)).ignored == ("dist", "node_modules")


async def test_a_tracked_file_is_wanted_even_where_gitignore_names_it(source: Path) -> None:
    need_git()
    a_tree(source, {".gitignore": "*.key\nlost\n", "demo.key": "", "other.key": "", "lost": "", "app.py": ""})
    git(source, "init", "-q")
    git(source, "add", "-f", "demo.key", "lost")
    (source / "lost").unlink()
    tracked = await tracked_paths(str(source), shutil.which("git"), dict(os.environ), as_root=False)
    assert set(survey(str(source), tracked).paths) == {".gitignore", "app.py", "demo.key"}


async def test_as_root_git_runs_as_the_owner_of_the_repository(source: Path) -> None:
    need_git()
    need(os.geteuid() == 0, "root, to have a repository of another user")
    a_tree(source, {".gitignore": "*.key\n", "demo.key": ""})
    git(source, "init", "-q")
    git(source, "add", "-f", "demo.key")
    for where, names, files in os.walk(source):
        for name in (".", *names, *files):
            os.chown(os.path.join(where, name), 61001, 61001)
    assert await tracked_paths(str(source), shutil.which("git"), dict(os.environ), as_root=True) == ("demo.key",)


async def test_a_repository_named_by_the_environment_is_not_asked(source: Path) -> None:
    need_git()
    a_tree(source, {"one/app.py": "", "two/app.py": ""})
    git(source / "one", "init", "-q")
    env = {**os.environ, "GIT_DIR": str(source / "two" / ".git")}
    git(source / "one", "add", "app.py")
    assert await tracked_paths(str(source / "one"), shutil.which("git"), env, as_root=False) == ("app.py",)


async def test_without_git_or_a_repository_nothing_is_tracked(source: Path) -> None:
    a_tree(source, {"app.py": ""})
    assert await tracked_paths(str(source), shutil.which("git"), {}, as_root=False) == ()
    a_tree(source, {".git/HEAD": "ref"})
    assert await tracked_paths(str(source), None, {}, as_root=False) == ()
    assert await tracked_paths(str(source), shutil.which("git"), {}, as_root=False) == ()


# --- the hash ---------------------------------------------------------------------------------------------------------

trees = st.dictionaries(
    st.sampled_from(["a", "b", "d/a", "d/b", "e"]), st.tuples(st.binary(max_size=8), st.booleans()), min_size=1
)


def made(tree: dict[str, tuple[bytes, bool]], order: list[str], when: int) -> str:
    """The hash of a tree whose files were made in that order, and at that time."""
    with tempfile.TemporaryDirectory() as folder:
        for name in order:
            path = a_tree(Path(folder), {name: tree[name][0]}) / name
            path.chmod(0o755 if tree[name][1] else 0o644)
            os.utime(path, (when, when))
        return read_tree(folder, survey(folder).paths)


@settings(max_examples=40, deadline=None)
@given(tree=trees, data=st.data())
def test_the_order_and_time_of_making_do_not_change_the_hash(
    tree: dict[str, tuple[bytes, bool]], data: st.DataObject
) -> None:
    names = sorted(tree)
    assert made(tree, names, 0) == made(tree, data.draw(st.permutations(names)), 10**9)


@settings(max_examples=60, deadline=None)
@given(one=trees, other=trees)
def test_trees_have_the_same_hash_exactly_when_they_are_the_same(
    one: dict[str, tuple[bytes, bool]], other: dict[str, tuple[bytes, bool]]
) -> None:
    assert (made(one, sorted(one), 0) == made(other, sorted(other), 0)) == (one == other)


def test_a_file_and_a_link_of_the_same_text_differ(source: Path) -> None:
    a_tree(source, {"one/x": "y", "two/y": ""})
    (source / "three").mkdir()
    (source / "three" / "x").symlink_to("y")
    assert read_tree(str(source / "one"), ["x"]) != read_tree(str(source / "three"), ["x"])


# --- the copy ---------------------------------------------------------------------------------------------------------


def test_the_copy_has_the_hash_that_was_told_and_cannot_be_written(source: Path, tmp_path: Path) -> None:
    a_tree(source, {"app.py": "x = 1\n", "bin/tool": "#!/bin/sh\n", "d/e/f": b"\0" * 3_000_000})
    (source / "bin" / "tool").chmod(0o700)
    (source / "bin" / "alias").symlink_to("tool")
    (source / "dangling").symlink_to("not/there")
    found = survey(str(source))
    told = read_tree(str(source), found.paths, str(tmp_path / "copy"))
    assert (
        told
        == read_tree(str(source), found.paths)
        == read_tree(str(tmp_path / "copy"), survey(str(tmp_path / "copy")).paths)
    )
    assert os.readlink(tmp_path / "copy/bin/alias") == "tool"
    assert {p: (tmp_path / "copy" / p).stat().st_mode & 0o777 for p in ("app.py", "bin/tool")} == {
        "app.py": 0o444,
        "bin/tool": 0o544,
    }


@pytest.mark.skipif(os.uname().sysname != "Linux", reason="other systems refuse such names")
def test_names_need_not_be_utf8(source: Path, tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.txt")
    a_tree(source, {name: "x", ".gitignore": b"secret\xff\n", os.fsdecode(b"secret\xff"): ""})
    found = survey(str(source))
    assert found.paths == (".gitignore", name)
    read_tree(str(source), found.paths, str(tmp_path / "copy"))
    assert (tmp_path / "copy" / name).read_text() == "x"
    assert printable(name) == r"caf\\xe9.txt"


@pytest.mark.parametrize("text", ["/etc/passwd", "../outside", "d/../../outside", "loop/../etc"])
def test_a_link_that_leads_out_is_refused(source: Path, text: str) -> None:
    a_tree(source, {"d/x": "", "p/q/y": ""})
    (source / "p/q/loop").symlink_to("../..")
    link = "p/q/bad" if text.startswith("loop") else "bad"
    (source / link).symlink_to(text)
    with pytest.raises(BuildError, match=f"the link {link} leads out of the source: it points to {text}"):
        read_tree(str(source), survey(str(source)).paths)


def test_links_within_the_source_are_fine_also_when_the_source_is_reached_by_a_link(
    source: Path, tmp_path: Path
) -> None:
    a_tree(source, {"d/x": "1"})
    (source / "d" / "up").symlink_to("../d/x")
    (source / "folder").symlink_to("d")
    (tmp_path / "door").symlink_to(source)
    assert read_tree(str(tmp_path / "door"), survey(str(tmp_path / "door")).paths)


def test_sockets_and_pipes_are_left_out_and_named(source: Path) -> None:
    a_tree(source, {"app.py": ""})
    os.mkfifo(source / "pipe")
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(source / "sock"))
        found = survey(str(source))
    assert (found.paths, found.skipped) == (("app.py",), ("pipe", "sock"))


def test_a_file_that_vanishes_after_the_survey_is_as_if_it_never_was(source: Path) -> None:
    a_tree(source, {"app.py": "", "swap~": ""})
    found = survey(str(source))
    (source / "swap~").unlink()
    assert read_tree(str(source), found.paths) == read_tree(str(source), ["app.py"])


def test_a_file_that_becomes_a_pipe_after_the_survey_does_not_block(source: Path) -> None:
    a_tree(source, {"app.py": ""})
    found = survey(str(source))
    (source / "app.py").unlink()
    os.mkfifo(source / "app.py")
    with pytest.raises(BuildError, match=r"cannot copy app\.py: it is no longer a file"):
        read_tree(str(source), found.paths)
