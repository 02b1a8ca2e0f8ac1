"""Database and bucket gone at every step of an upload and of a deletion: nothing lost, nothing half-written.

A wire is cut before each word that the app says to the server, and after it, when the server has heard it and the
answer is lost. What must hold whatever happened: what is listed can be seen whole; what was acknowledged is so; the same
form sent again makes it so, once; and what is left over in the bucket is removed by the sweep, and nothing else is.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest

from fairlead.spec import read

from . import pictures
from .ground import EXAMPLE, Ground, Instance, Visitor, bucket_module, guard_module, objects_of, sweep_module
from .serving import serving
from .wire import When, Wire

pytestmark = [pytest.mark.live, pytest.mark.timeout(600)]

DATA = pictures.jpeg(pictures.plain(size=(40, 30)))
MOST_TURNS = 60


def wire_of(ground: Ground, side: str) -> Wire:
    wire = getattr(ground, side)
    assert isinstance(wire, Wire)
    return wire


def seen_whole(visitor: Visitor) -> set[str]:
    """The photos that are listed; each of them can be looked at."""
    ids = visitor.gallery()
    for id in ids:
        assert visitor.get(f"/photos/{id}").status_code == 200
        for kind in ("view", "thumb"):
            assert visitor.get(f"/photos/{id}/{kind}.jpg").status_code == 200, f"{id} is listed and cannot be seen"
    return set(ids)


def swept(instance: Instance) -> None:
    """As the job does it, when the left-overs are old enough; then the bucket holds the photos and nothing else."""
    catalogue, bucket = instance.album.catalogue, instance.album.bucket
    sweep_module.sweep(catalogue, bucket, datetime.now(UTC) + timedelta(hours=2), lambda _: None)
    rows = {photo.id for photo in catalogue.page(100).photos}
    assert objects_of(instance.album) == dict.fromkeys(rows, 3)


def is_told(answer: Any) -> None:
    assert answer.status_code == 503, (answer.status_code, answer.text)
    assert answer.headers["Retry-After"] == "5"
    assert set(answer.json) == {"error", "next"}
    assert "database" in answer.json["error"] or "bucket" in answer.json["error"]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("side", ["database", "bucket"])
def test_an_upload_during_which_one_goes_away_at_any_step(ground: Ground, side: str, when: When) -> None:
    instance, wire = ground.instance("web-1"), wire_of(ground, side)
    visitor, watcher = instance.visitor(), ground.instance("web-2").visitor()
    kept = {visitor.upload(DATA)["id"]}
    outcomes = []
    for turn in range(1, MOST_TURNS):
        visitor.get("/status")
        form = visitor.form()
        wire.cut_at(turn, when)
        answer = visitor.send(DATA, form=form)
        was_cut = wire.is_down
        wire.mend()
        found = seen_whole(watcher)
        assert kept <= found, "nothing that was there is lost"
        outcomes.append(answer.status_code)
        if answer.status_code == 201:
            assert found == {*kept, answer.json["id"]}
        else:
            is_told(answer)
            assert len(found - kept) <= 1
            again = visitor.send(DATA, form=form)
            assert again.status_code == (200 if found - kept else 201), "stored once, whatever became of the first"
            found = seen_whole(watcher)
            assert found == {*kept, again.json["id"]}
        kept = found
        swept(instance)
        assert seen_whole(watcher) == kept, "the sweep takes nothing that has a row"
        if not was_cut:
            break
        if len(kept) > 6:
            for id in kept:
                assert visitor.delete(id).json == {"deleted": True}
            kept = {visitor.upload(DATA)["id"]}
    else:
        pytest.fail(f"an upload has more than {MOST_TURNS} turns: {outcomes}")
    assert len(outcomes) > 3, "the wire was cut at several steps"
    assert outcomes.count(503) >= 3, outcomes


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize("side", ["database", "bucket"])
def test_a_deletion_during_which_one_goes_away_at_any_step(ground: Ground, side: str, when: When) -> None:
    instance, wire = ground.instance("web-1"), wire_of(ground, side)
    visitor, watcher = instance.visitor(), ground.instance("web-2").visitor()
    outcomes = []
    for turn in range(1, MOST_TURNS):
        one, other = (visitor.upload(DATA)["id"] for _ in range(2))
        token = visitor.form()["csrf_token"]
        wire.cut_at(turn, when)
        answer = visitor.delete(one, token=token)
        was_cut = wire.is_down
        wire.mend()
        outcomes.append(answer.status_code)
        found = seen_whole(watcher)
        if answer.status_code == 200:
            assert found == {other}, "what was said to be deleted is gone, whether or not its objects are"
            assert watcher.get(f"/photos/{one}/view.jpg").status_code == 404
        else:
            is_told(answer)
            assert found in ({one, other}, {other}), "gone, or there as before"
            assert visitor.delete(one).status_code == 200
            assert seen_whole(watcher) == {other}
        swept(instance)
        assert visitor.delete(other).json == {"deleted": True}
        if not was_cut:
            break
    else:
        pytest.fail(f"a deletion has more than {MOST_TURNS} turns: {outcomes}")
    if side == "database":
        assert outcomes.count(503) >= 2, outcomes
    else:
        assert set(outcomes) == {200}, "a bucket that is away does not keep a photo from being deleted"
        assert len(outcomes) >= 3


def test_without_the_database_the_pages_say_so_and_recover_by_themselves(ground: Ground) -> None:
    visitor = ground.instance().visitor()
    stored, form = visitor.upload(DATA), visitor.form()
    ground.database.cut()
    for path in ("/", stored["url"], stored["view"]):
        answer = visitor.get(path)
        assert answer.status_code == 503
        assert "The database does not answer" in answer.text
        assert "Retry-After" in answer.headers
    is_told(visitor.send(DATA, form=form))
    is_told(visitor.delete(stored["id"], token=form["csrf_token"]))
    assert visitor.get("/health").status_code == 200, "the instance is well: another would be no better"
    ground.mend()
    assert visitor.gallery() == [stored["id"]]
    assert visitor.upload(DATA, form=form)


def test_without_the_bucket_the_gallery_is_there_and_says_what_is_missing(ground: Ground) -> None:
    instance = ground.instance()
    visitor = instance.visitor()
    stored, form = visitor.upload(DATA, title="Still here"), visitor.form()
    ground.bucket.cut()
    visitor = ground.instance("web-2").visitor()
    page = visitor.get("/")
    assert page.status_code == 200
    assert "Still here" in page.text
    assert "The bucket, where the pictures are, does not answer" in page.text
    assert "does not answer" in visitor.get(stored["url"]).text
    assert visitor.get(stored["view"]).status_code == 503
    is_told(visitor.send(DATA, form=visitor.form()))
    assert instance.visitor().gallery() == [stored["id"]]
    ground.mend()
    assert visitor.get(stored["view"]).status_code == 200
    assert visitor.upload(DATA, form=visitor.form())
    assert form


def test_a_bucket_that_hangs_is_not_waited_for_again_and_again(ground: Ground, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each that waits holds a thread, and the health check needs one."""
    instance = ground.instance()
    visitor = instance.visitor()
    stored = visitor.upload(DATA)
    ground.bucket.freeze()
    instance.album.bucket.forget()
    monkeypatch.setattr(bucket_module, "REMEMBERED", 3600)
    assert "The bucket, where the pictures are, does not answer" in visitor.get("/").text
    turns = ground.bucket.turns
    for path in (stored["view"], stored["thumb"]) * 10:
        is_told(visitor.get(path, Accept="application/json"))
    assert "does not answer" in visitor.get(stored["url"]).text
    assert ground.bucket.turns == turns, "nobody asked it"
    ground.mend()
    monkeypatch.setattr(bucket_module, "REMEMBERED", 0)
    assert instance.album.bucket.answers()
    assert visitor.get(stored["view"]).status_code == 200


def test_who_sends_slowly_leaves_the_pages_to_others(any_ground: Ground) -> None:
    instance, room = any_ground.instance(), guard_module.FORMS_AT_ONCE
    visitor, senders = instance.visitor(), ExitStack()
    form = visitor.form()
    with serving(instance.app) as url, senders:
        for _ in range(room):
            senders.enter_context(half_a_form(url))
        deadline = time.monotonic() + 30
        while (answer := visitor.send(DATA, form=form)).status_code != 503:
            assert time.monotonic() < deadline, "all of them are being taken in"
            # One of them may have come while this visitor's form had the last room, and was refused.
            senders.enter_context(half_a_form(url))
        assert answer.headers["Retry-After"] == "5"
        assert "as many uploads as it can" in answer.json["error"]
        assert visitor.get("/").status_code == visitor.get("/health").status_code == 200
    # They have gone away, and their room is free.
    deadline = time.monotonic() + 30
    while (answer := visitor.send(DATA, form=form)).status_code == 503:
        assert time.monotonic() < deadline, answer.text
    assert answer.status_code in (200, 201)


@contextmanager
def half_a_form(url: str) -> Iterator[None]:
    """Of which no more comes, while the block lasts."""
    parts = urlsplit(url)
    with socket.create_connection((parts.hostname, parts.port), timeout=30) as sender:
        sender.sendall(
            b"POST /photos HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data; boundary=x\r\n"
            b"Content-Length: 1000000\r\n\r\n--x\r\n"
        )
        yield


def test_its_threads_are_more_than_the_forms_that_are_taken_in() -> None:
    for file in ("fairlead.yaml", "fairlead.mysql.yaml"):
        [service] = read(str(EXAMPLE / file), env={}).services
        assert service.program.threads >= guard_module.FORMS_AT_ONCE + 4
    threads = re.search(r"--threads=(\d+)", (EXAMPLE / "own_files.sh").read_text())
    assert threads
    assert int(threads[1]) >= guard_module.FORMS_AT_ONCE + 4


def test_a_photo_whose_objects_somebody_removed_says_so_and_can_be_deleted(ground: Ground) -> None:
    instance = ground.instance()
    visitor = instance.visitor()
    stored = visitor.upload(DATA)
    instance.album.bucket.remove(stored["id"])
    answer = visitor.get(stored["view"])
    assert answer.status_code == 404
    assert "not in the bucket" in answer.text
    token = visitor.form()["csrf_token"]
    assert visitor.client.post(f"{stored['url']}/labels", data={"csrf_token": token}).status_code == 404
    assert visitor.delete(stored["id"]).json == {"deleted": True}


def test_one_that_was_frozen_while_it_uploaded_does_not_write_a_row_late(
    any_ground: Ground, monkeypatch: pytest.MonkeyPatch
) -> None:
    import photos.album

    instance = any_ground.instance()
    visitor = instance.visitor()
    form = visitor.form()
    look = instance.album.detector.look

    def freeze(jpeg: bytes) -> Any:
        now = photos.album.time.time()
        monkeypatch.setattr(photos.album.time, "time", lambda: now + 3700)
        return look(jpeg)

    monkeypatch.setattr(instance.album.detector, "look", freeze)
    answer = visitor.send(DATA, form=form)
    monkeypatch.undo()
    assert answer.status_code == 503
    assert visitor.gallery() == []
    assert visitor.upload(DATA, form=form)


# The sweep


def test_the_sweep_removes_what_is_old_and_has_no_row_and_touches_nothing_else(ground: Ground) -> None:
    instance = ground.instance()
    album, visitor = instance.album, instance.visitor()
    stored = visitor.upload(DATA)["id"]
    orphan = "0b5c3f5e-7a2c-4b7e-9a4e-000000000001"
    album.bucket.put(orphan, (("original", b"x"), ("thumb", b"x")))
    album.bucket._client.put_object(Bucket="photos", Key="notes/of-somebody-else.txt", Body=b"x")
    said: list[str] = []
    assert sweep_module.sweep(album.catalogue, album.bucket, datetime.now(UTC), said.append) == 0, "too young"
    later = datetime.now(UTC) + timedelta(hours=2)
    assert sweep_module.sweep(album.catalogue, album.bucket, later, said.append) == 1
    assert said == [f"removed {orphan}, which has no row"]
    assert objects_of(album) == {stored: 3}
    assert album.bucket._client.get_object(Bucket="photos", Key="notes/of-somebody-else.txt")["Body"].read() == b"x"
    album.bucket._client.delete_object(Bucket="photos", Key="notes/of-somebody-else.txt")


def test_the_sweep_refuses_to_empty_a_bucket_because_of_a_wrong_database(any_ground: Ground) -> None:
    album = any_ground.instance().album
    for number in range(12):
        album.bucket.put(f"0b5c3f5e-7a2c-4b7e-9a4e-{number:012}", (("thumb", b"x"),))
    later = datetime.now(UTC) + timedelta(hours=2)
    with pytest.raises(sweep_module.TooMany, match="12 of 12 photos in the bucket have no row"):
        sweep_module.sweep(album.catalogue, album.bucket, later, print)
    assert len(objects_of(album)) == 12
    assert sweep_module.sweep(album.catalogue, album.bucket, later, print, even_most=True) == 12
    assert objects_of(album) == {}
