"""The reference system with data, whole: a Flask app twice, in two zones, a database, a bucket, behind the load balancer.

What must hold: an upload that was acknowledged is there and can be looked at, whoever dies meanwhile; an instance that
is broken is shown with the reason while the other serves, and can be reached alone; the database can be stopped and
started; the data are there after `down` and `up`, and gone when that is asked for.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import shutil
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from fairlead.drill.load import Load
from fairlead.spec import read

from ..examples.photos import pictures
from ..examples.photos.remote import SIZE, Uploads, Visitor
from .house import House

pytestmark = [pytest.mark.live, pytest.mark.timeout(400)]

EXAMPLE = Path(__file__).parents[2] / "examples" / "photos"
SECRET = "planted-in-the-tests-of-photos"
UPLOADS = 5.0
"""A second."""
LOOKS = 20.0
"""Requests for the gallery, a second, meanwhile."""
SOON = 90.0


@pytest.fixture
def one_house(request: pytest.FixtureRequest) -> House:
    """Whoever runs it: who that is matters to most of this."""
    found = request.getfixturevalue("root_house" if os.getuid() == 0 else "plain_house")
    assert isinstance(found, House)
    return found


def a_copy_of_the_example(house: House) -> Path:
    """In the house's folder: `up` must need nothing of the clone."""
    folder = house.folder / EXAMPLE.name
    for source in EXAMPLE.rglob("*"):
        if source.is_file() and source.suffix not in (".png", ".jpg") and "__pycache__" not in source.parts:
            copy = folder / source.relative_to(EXAMPLE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            house.write(copy, source.read_text())
    return folder


class Album:
    """The example, up."""

    def __init__(self, house: House, folder: Path, file: str) -> None:
        self.house, self.file = house, folder / file
        self.stack = read(str(EXAMPLE / file), env={}).name

    @property
    def url(self) -> str:
        return self.house.url(self.stack, "")

    async def up(self, **more: str) -> str:
        """What it said."""
        variables = {"PORT": str(self.house.port(self.stack)), "FLASK_SECRET": SECRET, **more}
        done = await asyncio.to_thread(self.house.run, "up", str(self.file), timeout=300, **variables)  # type: ignore[arg-type]
        return done.stderr

    async def do(self, *words: str, check: bool = True) -> Any:
        return await self.house.do(*words, "--stack", self.stack, timeout=200, check=check)

    def visitor(self) -> Visitor:
        return Visitor(self.url)

    def instances(self) -> list[dict[str, Any]]:
        return self.house.instances(self.stack)

    def healthy(self) -> list[dict[str, Any]]:
        return self.house.healthy(self.stack)

    def resource(self, id: str) -> dict[str, Any]:
        [stack] = [one for one in self.house.status()["stacks"] if one["name"] == self.stack]
        [found] = [one for one in stack["resources"] if one["id"] == id]
        return dict(found)

    def seen_whole(self) -> list[str]:
        """What is listed; each of it can be looked at."""
        visitor = self.visitor()
        ids = visitor.gallery()
        for id in ids:
            for kind in ("view", "thumb"):
                answer = visitor.get(f"/photos/{id}/{kind}.jpg")
                assert (answer.status, answer.body[:3]) == (200, b"\xff\xd8\xff"), f"{id} is listed and cannot be seen"
        return ids


@asynccontextmanager
async def an_album(
    house: House, file: str = "fairlead.yaml", edit: tuple[str, str] | None = None
) -> AsyncIterator[Album]:
    """Up, and at the end down with its data. edit: what is replaced in the file."""
    folder = a_copy_of_the_example(house)
    if edit:
        house.edit(folder, *edit, name=file)
    album = Album(house, folder, file)
    try:
        await album.up()
        yield album
    finally:
        await house.do("down", album.stack, "--delete-data", "--yes", check=False)
        shutil.rmtree(folder)


async def test_uploads_survive_the_death_of_instances(house: House) -> None:
    async with an_album(house) as album:
        assert sorted(one["zone"] for one in album.healthy()) == ["a", "b"]
        async with Load(album.url + "/", rate=LOOKS, connections="keep_alive") as looks:
            with Uploads(album.url, UPLOADS) as uploads:
                # Until some were in the hands of one that died, which takes a kill or two.
                for kills in range(1, 9):
                    await asyncio.to_thread(uploads.settle, 6)
                    victim = album.healthy()[kills % 2]
                    os.kill(victim["pid"], signal.SIGKILL)
                    await house.until("another in its place", lambda: two_without(album, victim["pid"]), SOON)  # noqa: B023
                    if kills >= 3 and len(uploads.sent) > len(uploads.acknowledged):
                        break
                await asyncio.to_thread(uploads.settle, 6)
        sent = uploads.sent
        acknowledged = {one.answer.json["id"]: one for one in uploads.acknowledged if one.answer}
        assert len(acknowledged) == len(uploads.acknowledged) >= 24
        assert not uploads.without_form, "a GET is sent to the other instance"
        assert looks.report().lost == 0, looks.report()
        assert {one.answer.status for one in sent if one.answer and not one.is_acknowledged} <= {502}

        listed = album.seen_whole()
        assert set(acknowledged) <= set(listed), "every acknowledged upload is there"
        assert len(listed) == len(set(listed)) <= len(sent)
        visitor = album.visitor()
        for id, one in acknowledged.items():
            found = visitor.get(f"/photos/{id}", Accept="application/json").json
            assert (found["title"], found["width"], found["height"]) == (one.title, *SIZE)
        # Who got no answer sends the form again, and has the photo once.
        again = [one for one in sent if not one.is_acknowledged]
        for one in again:
            assert one.visitor.send(one.form, one.data, one.title).status in (200, 201)
        assert len(album.seen_whole()) == len(sent)
        print(f"{len(sent)} uploads, {len(acknowledged)} acknowledged, {len(again)} sent again; {kills} kills")

        # The password of the database, the keys of the bucket, the secret: nobody says them.
        said = album.house.run("logs", "--stack", album.stack, "-n", "1000").stdout + album.house.evidence()
        assert SECRET not in said
        assert SECRET not in "".join(house.processes().values())


async def test_a_broken_instance_is_shown_with_the_reason_and_reached_alone_while_the_other_serves(
    one_house: House,
) -> None:
    """As it was done to the reference system: its files removed, its server started again. Of `app:` the files are one
    release for all, and nobody can write them; so this is the variant whose instances have files of their own."""
    async with an_album(
        one_house, "fairlead.own-files.yaml", ("interval: 2s", "interval: 2s\n      grace_period: 5s")
    ) as album:
        stored = album.visitor().upload(pictures.jpeg(pictures.sea()))
        broken, well = album.healthy()
        # To look at it in peace: otherwise it would be replaced.
        await album.do("suspend", "web", "ReplaceUnhealthy")
        async with Load(album.url + "/", rate=LOOKS, connections="keep_alive") as looks:
            words = 'rm -rf "$HOME/site" && touch "$HOME/restart"'
            await one_house.do("exec", "--stack", album.stack, broken["id"], "sh", "-c", words)

            def shown() -> dict[str, Any]:
                [found] = [one for one in album.instances() if one["id"] == broken["id"]]
                return found if found["health"] == "unhealthy" else {}

            found = await one_house.until("it is unhealthy", shown, SOON)
            assert found["reason"] == "Target.ResponseCodeMismatch"
            assert found["description"] == "Health checks failed with these codes: [500]"
            assert "[500]" in one_house.run("status", album.stack).stdout
            before = looks.report().sent
            await one_house.until("more looks", lambda: looks.report().sent > before + LOOKS)
            price = looks.report().lost
            by = {album.visitor().get("/").headers["x-instance"] for _ in range(10)}
            assert by == {well["id"]}
            assert album.seen_whole() == [stored["id"]]
            assert album.visitor().upload(pictures.jpeg(pictures.night()))

            # One after the other, alone.
            assert alone(album, broken["id"]).get("/health").status == 500
            visitor = alone(album, well["id"])
            assert [visitor.get("/health").status for _ in range(4)] == [200] * 4
            assert visitor.get("/").headers["x-instance"] == well["id"]

            await album.do("resume", "web", "ReplaceUnhealthy")
            await one_house.until("another in its place", lambda: two_without(album, broken["pid"]), SOON)
        # What it answered with 500 before its check failed twice is the price of a check that looks every 2 s.
        report = looks.report()
        assert report.lost == price, f"nothing more was lost: {report}\n{one_house.evidence()}"
        assert len(album.seen_whole()) == 2


async def test_the_database_is_stopped_and_started_and_nothing_is_lost(one_house: House) -> None:
    async with an_album(one_house) as album:
        visitor = album.visitor()
        stored = visitor.upload(pictures.jpeg(pictures.sea()), title="kept")
        form, pids = visitor.form(), {one["pid"] for one in album.healthy()}

        await album.do("data", "stop", "store")
        answer = visitor.get("/")
        assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        assert "The database does not answer" in answer.text
        refused = visitor.send(form, pictures.jpeg(pictures.night()))
        assert (refused.status, "database" in refused.json["error"]) == (503, True)
        assert {one["pid"] for one in album.healthy()} == pids, "no reason to replace anybody"
        assert visitor.get("/status").json["database"] == "does not answer"
        assert album.resource("store")["state"] == "stopped"

        await album.do("data", "start", "store")
        await one_house.until("the gallery is back", lambda: visitor.get("/").status == 200, SOON)
        assert album.seen_whole() == [stored["id"]]
        assert visitor.send(form, pictures.jpeg(pictures.night())).status == 201
        assert {one["pid"] for one in album.healthy()} == pids

        await album.do("data", "stop", "photos")
        page = album.visitor().get("/")
        assert page.status == 200
        await one_house.until("it says so", lambda: "The bucket, where the pictures are" in visitor.get("/").text, SOON)
        assert visitor.get(f"/photos/{stored['id']}/view.jpg").status == 503
        await album.do("data", "start", "photos")
        await one_house.until(
            "pictures are back", lambda: visitor.get(f"/photos/{stored['id']}/view.jpg").status == 200
        )
        assert len(album.seen_whole()) == 2


async def test_the_album_is_there_again_after_down_and_gone_when_that_is_asked_for(one_house: House) -> None:
    async with an_album(one_house) as album:
        stored = album.visitor().upload(pictures.jpeg(pictures.sea()))
        await one_house.do("down", album.stack)
        with pytest.raises(OSError, match="refused"):
            album.visitor().get("/")
        await album.up()
        assert album.seen_whole() == [stored["id"]]
        assert "nothing to change" in await album.up()

        run = await album.do("jobs", "run", "sweep")
        assert run.returncode == 0
        assert "0 removed" in one_house.run("logs", "--stack", album.stack, "--job", "sweep").stdout

        await one_house.do("down", album.stack, "--delete-data", "--yes")
        await album.up()
        assert album.seen_whole() == []


async def test_photos_and_rows_are_backed_up_and_restored(one_house: House) -> None:
    async with an_album(one_house) as album:
        visitor = album.visitor()
        kept = visitor.upload(pictures.jpeg(pictures.sea()))["id"]
        folder = one_house.folder / "backups"
        folder.mkdir(exist_ok=True)
        if one_house.owner:
            os.chown(folder, *one_house.owner)
        try:
            for id in ("store", "photos"):
                await album.do("data", "backup", id, str(folder / id))
            visitor.act(f"/photos/{kept}/delete")
            visitor.upload(pictures.jpeg(pictures.night()))
            for id in ("store", "photos"):
                await album.do("data", "restore", id, str(folder / id), "--yes")
            await one_house.until("the gallery is back", lambda: visitor.get("/").status == 200, SOON)
            assert album.seen_whole() == [kept]
        finally:
            shutil.rmtree(folder)


async def test_it_runs_with_mysql(one_house: House) -> None:
    async with an_album(one_house, "fairlead.mysql.yaml") as album:
        assert len(album.healthy()) == 2
        stored = album.visitor().upload(pictures.jpeg(pictures.portrait()), title="Grüße 🦀")
        by = set()
        for _ in range(4):
            answer = album.visitor().get(f"/photos/{stored['id']}")
            assert "Grüße 🦀" in answer.text
            by.add(answer.headers["x-instance"])
        assert len(by) == 2
        await album.do("data", "stop", "store")
        assert album.visitor().get("/").status == 503
        await album.do("data", "start", "store")
        await one_house.until("the gallery is back", lambda: album.visitor().get("/").status == 200, SOON)
        assert album.seen_whole() == [stored["id"]]


async def test_uploads_that_are_too_large_are_told_so_through_the_balancer(one_house: House) -> None:
    async with an_album(one_house) as album:
        visitor = album.visitor()
        for size in (21_000_000, 50_000_000):
            try:
                answer = visitor.send(visitor.form(), b"\0" * size)
            except (OSError, http.client.HTTPException):
                # An answer that comes before the whole request was sent may find the client still sending.
                continue
            assert answer.status == 413
        assert album.seen_whole() == []
        assert visitor.upload(pictures.jpeg(pictures.sea()))


def two_without(album: Album, pid: int) -> bool:
    """Whether two are healthy, none of them that process."""
    pids = [one["pid"] for one in album.healthy()]
    return len(pids) == 2 and pid not in pids


def alone(album: Album, instance: str) -> Visitor:
    """A visitor of that instance and no other."""
    url = album.house.run("instance", "open", "--stack", album.stack, instance).stdout.strip()
    base, _, token = url.partition("?")
    return Visitor(base, {"X-Fairlead-Open": token.partition("=")[2]})
