"""What a build would come to, told with its reasons and without changing anything."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from fairlead.core.differences import Preview
from fairlead.core.layout import Layout
from fairlead.core.model import App, Command, Release, Service
from fairlead.errors import BuildError
from fairlead.releases.compare import Recorded, reasons
from fairlead.releases.interpreter import OWN, Interpreter
from fairlead.releases.judge import Judged
from fairlead.releases.source import Reading
from tests.releases.builders import a_builder, a_command, a_stack, a_tree
from tests.releases.test_build import Told

pytestmark = pytest.mark.live


async def preview(layout: Layout, service: Service, *known: Release) -> Preview:
    def look() -> dict[Path, int]:
        return {path: path.stat().st_mtime_ns for path in Path(layout.home).rglob("*")}

    before = look()
    found = await a_builder(layout).preview(a_stack(service), service, known)
    assert look() == before, "a preview changes nothing"
    return found


async def build(layout: Layout, service: Service, number: int = 1) -> Release:
    return await a_builder(layout).build(a_stack(service), service, (), number, Told())


def a_service(source: Path, **fields: object) -> Service:
    return a_command(source, "sh", "run.sh", **fields)


async def test_before_the_first_there_is_none(layout: Layout, source: Path) -> None:
    a_tree(source, {"run.sh": ""})
    assert await preview(layout, a_service(source)) == Preview(release=None, reasons=("there is no release yet",))


async def test_what_is_unchanged_is_the_known_release_without_a_reason(layout: Layout, source: Path) -> None:
    a_tree(source, {"run.sh": ""})
    release = await build(layout, a_service(source, build=(("touch", "built"),)))
    again = await preview(layout, a_service(source, build=(("touch", "built"),)), release)
    assert again == Preview(release=release)


async def test_a_return_to_an_older_release_is_told_as_one(layout: Layout, source: Path) -> None:
    a_tree(source, {"run.sh": "1"})
    first = await build(layout, a_service(source))
    a_tree(source, {"run.sh": "2"})
    second = await build(layout, a_service(source), 2)
    a_tree(source, {"run.sh": "1"})
    found = await preview(layout, a_service(source), first, second)
    assert found == Preview(release=first, reasons=("as release 1 was",))


async def test_changed_files_are_named_up_to_three_and_what_was_built_is_none_of_them(
    layout: Layout, source: Path
) -> None:
    service = a_service(source, build=(("sh", "-c", "date >built; date >run.sh"),))
    a_tree(source, {"run.sh": "1", "gone": "1", "same": "1"})
    release = await build(layout, service)
    (source / "gone").unlink()
    a_tree(source, {"new": "1"})
    assert (await preview(layout, service, release)).reasons == ("the source differs: gone, new",)
    a_tree(source, {"run.sh": "2", "a\nb": "1", "z": "1"})
    assert (await preview(layout, service, release)).reasons == ("the source differs: a\\nb, gone, new and 2 more",)


async def test_every_other_cause_has_its_words_and_no_value_is_told(layout: Layout, source: Path) -> None:
    a_tree(source, {"run.sh": ""})
    before = a_service(source, environment={"GONE": "s3cret", "SAME": "s3cret", "TOKEN": "s3cret"})
    release = await build(layout, before)
    after = replace(
        before,
        environment={"NEW": "s3cret", "SAME": "s3cret", "TOKEN": "other s3cret"},
        program=Command(argv=("sh", "run.sh", "s3cret")),
        build=(("true",),),
        before_traffic=("true",),
        serves=False,
        python=OWN.minor,
    )
    found = await preview(layout, after, release)
    assert found.release is None
    assert found.reasons == (
        f"python differs: not given -> {OWN.minor}",
        "the dependencies differ",
        "command differs",
        "build differs",
        "before_traffic differs",
        "it serves no requests now",
        "environment.GONE is gone",
        "environment.NEW is new",
        "environment.TOKEN differs",
    )
    assert "s3cret" not in "".join(found.reasons)


async def test_another_value_of_a_secret_or_another_url_of_what_exists_already_is_another_release(
    layout: Layout, source: Path
) -> None:
    a_tree(source, {"run.sh": ""})
    before = a_service(
        source,
        environment={"A": "${secrets.KEY}", "B": "${secrets.OTHER} ${databases.store.url} ${caches.c.url}"},
        secrets={"KEY": 1, "OTHER": 1},
        external={"store": "mysql://u:s3cret@h/d"},
    )
    release = await build(layout, before)
    assert (release.secrets, release.external) == (before.secrets, before.external)
    assert await preview(layout, before, release) == Preview(release=release)
    rotated = replace(before, secrets={"KEY": 2, "OTHER": 1})
    assert (await preview(layout, rotated, release)).reasons == ("the secret KEY has another value",)
    moved = replace(before, external={"store": "mysql://u:s3cret@other/d", "c": "redis://c"})
    assert (await preview(layout, moved, release)).reasons == ("the url of c differs", "the url of store differs")
    run_here = replace(before, external={})
    assert (await preview(layout, run_here, release)).reasons == ("the url of store differs",)
    assert "s3cret" not in Path(release.source, "..", "release.json").read_text()


async def test_without_secrets_a_release_is_what_it_was_before_they_were_known(layout: Layout, source: Path) -> None:
    """An upgrade of fairlead makes no new releases."""
    a_tree(source, {"run.sh": ""})
    release = await build(layout, a_service(source, environment={"A": "b"}))
    with_empty = a_service(source, environment={"A": "b"}, secrets={}, external={})
    assert (await preview(layout, with_empty, release)).release == release


async def test_a_release_that_is_gone_from_the_disk_is_the_reason(layout: Layout, source: Path) -> None:
    a_tree(source, {"run.sh": ""})
    release = await build(layout, a_service(source))
    shutil.rmtree(os.path.dirname(release.source))
    assert (await preview(layout, a_service(source), release)).reasons == ("release 1 is gone from the disk",)


async def test_dependencies_that_differ_are_told_and_the_file_that_says_so_is_named(
    layout: Layout, source: Path
) -> None:
    a_tree(source, {"run.sh": "", "requirements.txt": ""})
    release = await build(layout, a_service(source))
    a_tree(source, {"requirements.txt": "# nothing\n"})
    found = await preview(layout, a_service(source), release)
    assert found.reasons == ("the source differs: requirements.txt", "the dependencies differ")


async def test_what_build_would_refuse_at_once_is_refused(layout: Layout, source: Path) -> None:
    with pytest.raises(BuildError, match="is not a folder"):
        await preview(layout, a_service(source / "absent"))
    with pytest.raises(BuildError, match=r"Python 3\.99 is not installed"):
        await preview(layout, a_service(a_tree(source, {"run.sh": ""}), python="3.99"))


# --- the words alone --------------------------------------------------------------------------------------------------


def a_release(**fields: object) -> Release:
    given: dict[str, object] = {
        "service": "web",
        "number": 4,
        "fingerprint": "old",
        "source": "/r/source",
        "environment_folder": "/envs/k",
        "argv": ("/envs/k/bin/python", "runner.py", "app:app", "--server-path", "s", "--threads", "16"),
        "address": "unix",
        "interface": "wsgi",
    }
    return Release(**(given | fields))  # type: ignore[arg-type]


def told(service: Service, key: str = "k", release: Release | None = None, **fields: object) -> tuple[str, ...]:
    judged = Judged(Reading("h", ()), None, key, "new")
    record = Recorded({"source_hash": "h", "python": None, "build": None, **fields}, ())
    return reasons(service, judged, Interpreter("/p", "3.12.1"), release or a_release(), record)


APP_SERVICE = Service(name="web", program=App(target="app:app"), source="/s")


def test_another_app_or_number_of_threads_is_shown() -> None:
    other = replace(APP_SERVICE, program=App(target="shop:app", threads=4))
    assert told(other) == ("app differs: app:app -> shop:app", "threads differ: 16 -> 4")
    assert told(replace(APP_SERVICE, program=Command(argv=("sh",)))) == ("it is a command now",)
    assert told(APP_SERVICE, release=a_release(interface=None, address="tcp")) == ("it is an app now",)


def test_another_interpreter_is_told_as_one_and_not_as_other_dependencies() -> None:
    assert told(APP_SERVICE, "other", interpreter="3.11.7") == ("it runs on Python 3.12.1 now, and not on 3.11.7",)
    assert told(APP_SERVICE, "other", interpreter="3.12.1") == ("the dependencies differ",)


def test_a_release_that_tells_nothing_of_itself_gets_the_one_reason_that_is_left() -> None:
    judged = Judged(Reading("h", ()), None, "k", "new")
    found = reasons(APP_SERVICE, judged, OWN, a_release(), Recorded({}, None))
    assert found == ("release 4 was made by another version of fairlead",)
