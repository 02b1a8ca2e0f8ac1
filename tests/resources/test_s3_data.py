"""Backups of buckets, and back."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import stat
import subprocess
import tarfile
import threading
from pathlib import Path
from typing import Any

import botocore.exceptions
import pytest
from botocore.config import Config

from fairlead.aiokit.polling import wait_until
from fairlead.errors import ResourceError
from tests.resources.rig import SOON, Rig
from tests.resources.s3_rig import (
    NAME,
    a_bucket,
    backed_up,
    connect,
    contents,
    keys,
    kill,
    put,
    read,
    restored,
)

pytestmark = pytest.mark.live


async def test_a_backup_brings_everything_back(bucket: Rig, copies: str) -> None:
    for key, body in {"a.jpg": b"A", "deep/er/b": os.urandom(100_000), "empty": b"", "Grüße 😀": b"C", "k/" * 60 + "l": b"D",
                      "m" * 255: b"E"}.items():  # fmt: skip
        put(bucket, key, body)
    before, times = contents(bucket), modified(bucket)
    file = await backed_up(bucket)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    client = connect(bucket)
    for key in before:
        client.delete_object(Bucket=NAME, Key=key)
    put(bucket, "a.jpg/now a folder", b"new")
    await restored(bucket, file)
    assert contents(bucket) == before
    assert modified(bucket) == times
    assert sorted(os.listdir(bucket.folder / "r")) == ["data"]
    assert os.listdir(bucket.place.data) == [NAME]
    await kill(bucket)
    await bucket.start()
    assert contents(bucket) == before
    with a_bucket(copies) as other:
        await other.start()
        await restored(other, file)
        assert contents(other) == before
        put(other, "and", b"more")
        assert read(other, "and") == b"more"


def modified(bucket: Rig) -> dict[str, Any]:
    found = connect(bucket).list_objects_v2(Bucket=NAME)["Contents"]
    return {one["Key"]: one["LastModified"].replace(microsecond=0) for one in found}


async def test_an_empty_bucket_can_be_backed_up_and_brought_back(bucket: Rig) -> None:
    file = await backed_up(bucket)
    put(bucket, "a", b"1")
    await restored(bucket, file)
    assert keys(bucket) == []
    put(bucket, "b", b"2")
    assert contents(bucket) == {"b": b"2"}


async def test_a_backup_under_load_holds_whole_objects(bucket: Rig) -> None:
    bodies, stop = [bytes([number]) * 400_000 for number in range(6)], threading.Event()
    for number in range(20):
        put(bucket, f"k{number}", bodies[0])

    def churn() -> None:
        client, turn = connect(bucket), 0
        while not stop.is_set():
            turn += 1
            client.put_object(Bucket=NAME, Key=f"k{turn % 20}", Body=bodies[turn % 6])

    churner = threading.Thread(target=churn)
    churner.start()
    try:
        files = [await backed_up(bucket, f"backup-{number}") for number in range(5)]
    finally:
        stop.set()
        churner.join()
    for file in files:
        with tarfile.open(file) as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        assert len(members) == 20
        assert all(body in bodies for body in members.values())


async def test_a_compressed_backup_is_read_as_well(bucket: Rig) -> None:
    put(bucket, "a/b", b"1")
    file = await backed_up(bucket)
    subprocess.run(["gzip", file], check=True)
    put(bucket, "a/b", b"2")
    await restored(bucket, f"{file}.gz")
    assert contents(bucket) == {"a/b": b"1"}


def archive(path: Path, *members: tuple[str, bytes | None, str]) -> str:
    """A tar file of (type, content, name)."""
    with tarfile.open(path, "w") as tar:
        for type, content, name in members:
            member = tarfile.TarInfo(name)
            member.type, member.linkname = type.encode(), "/etc/passwd"
            member.size = len(content or b"")
            tar.addfile(member, io.BytesIO(content or b""))
    return str(path)


FILE, LINK, SYMLINK, DEVICE, FOLDER, PIPE = "0", "1", "2", "3", "5", "6"


@pytest.mark.parametrize(
    "members",
    [
        [(SYMLINK, None, "link")], [(LINK, None, "link")], [(DEVICE, None, "device")], [(PIPE, None, "pipe")],
        [(FILE, b"x", "/etc/cron.d/x")], [(FILE, b"x", "../x")], [(FILE, b"x", "a/../../x")], [(FILE, b"x", "a//b")],
        [(FILE, b"x", "a/./b")], [(FILE, b"x", "a"), (FILE, b"y", "a")], [(FILE, b"x", "a"), (FILE, b"y", "a/b")],
        [(FILE, b"x", "a/b"), (FILE, b"y", "a")], [(FILE, b"x", "a"), (FOLDER, None, "a/b")],
        [(FOLDER, None, "a"), (FILE, b"x", "a")], [(FILE, b"x", "y" * 256)], [(FILE, b"x", "y/" * 600 + "z")],
        [(FILE, b"x", "good"), (SYMLINK, None, "late")], [(FOLDER, None, "../folder")],
    ],
    ids=lambda members: " ".join(f"{type}{name[:14]}" for type, _, name in members),
)  # fmt: skip
async def test_an_archive_of_anything_but_objects_changes_nothing(
    shared: Rig, tmp_path: Path, members: list[tuple[str, bytes | None, str]]
) -> None:
    put(shared, "stays", b"x")
    before, tree = contents(shared), sorted(Path(shared.folder).rglob("*"))
    with pytest.raises(ResourceError, match="is no backup of a bucket"):
        await restored(shared, archive(tmp_path / "tar", *members))
    assert contents(shared) == before
    assert sorted(Path(shared.folder).rglob("*")) == tree


@pytest.mark.parametrize(
    "content",
    [b"", b"REDIS0011\xfa", b"PGDMP\x01", b"\x1f\x8b\x08\x00garbage", b"PK\x03\x04", b"x" * 5000, b"\0" * 100],
    ids=repr,
)
async def test_a_file_that_is_no_archive_changes_nothing(shared: Rig, tmp_path: Path, content: bytes) -> None:
    put(shared, "stays", b"x")
    foreign = tmp_path / "foreign"
    foreign.write_bytes(content)
    before = contents(shared)
    with pytest.raises(ResourceError, match="is no backup of a bucket") as refused:
        await restored(shared, str(foreign))
    assert "\n" not in refused.value.sentence
    assert contents(shared) == before


async def test_an_archive_that_was_cut_short_changes_nothing(bucket: Rig) -> None:
    for number in range(5):
        put(bucket, f"k{number}", os.urandom(3000))
    before, file = contents(bucket), Path(await backed_up(bucket))
    whole = file.read_bytes()
    for length in range(512, len(whole) - 10240, 1024):
        file.write_bytes(whole[:length])
        with pytest.raises(ResourceError, match="is no backup of a bucket"):
            await restored(bucket, str(file))
    assert contents(bucket) == before


async def test_what_does_not_fit_on_the_disk_is_refused(shared: Rig, tmp_path: Path) -> None:
    put(shared, "stays", b"x")
    member = tarfile.TarInfo("huge")
    member.size = 1 << 60
    file = tmp_path / "tar"
    file.write_bytes(member.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(ResourceError, match="do not fit"):
        await restored(shared, str(file))
    assert read(shared, "stays") == b"x"


async def test_a_restore_that_is_given_up_changes_nothing_and_leaves_nothing(bucket: Rig) -> None:
    for number in range(30):
        put(bucket, f"k{number}", os.urandom(1_000_000))
    file = await backed_up(bucket)
    put(bucket, "since", b"x")
    before = contents(bucket)
    task = asyncio.create_task(restored(bucket, file))
    fresh = Path(f"{bucket.place.data}.restore")
    await wait_until(lambda: fresh.exists() or task.done(), SOON, "the restore to begin")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
        return  # it was quicker
    assert contents(bucket) == before
    assert not fresh.exists()


async def test_a_client_that_tries_again_notices_no_restore(bucket: Rig) -> None:
    put(bucket, "always", b"x" * 1000)
    for number in range(20):
        put(bucket, f"k{number}", os.urandom(100_000))
    file, stop, failures, count = await backed_up(bucket), threading.Event(), [], [0]
    patient = Config(retries={"total_max_attempts": 20, "mode": "standard"}, signature_version="s3v4")

    def look() -> None:
        client = connect(bucket, config=patient)
        while not stop.is_set():
            try:
                if client.get_object(Bucket=NAME, Key="always")["Body"].read() != b"x" * 1000:
                    failures.append("other bytes")
                count[0] += 1
            except botocore.exceptions.ResponseStreamingError:
                count[0] += 1  # cut in the middle of its body: the client sees that
            except Exception as problem:
                failures.append(repr(problem))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(3):
            await restored(bucket, file)
        at = count[0]
        await wait_until(lambda: count[0] > at + 10, SOON, "some more reads")
    finally:
        stop.set()
        looker.join()
    assert failures == []
