"""A bucket by hand: a rig with a real rclone, spoken to by boto3."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Iterator
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config

from fairlead.core.resources.addresses import addresses_here
from fairlead.core.resources.model import Bucket
from fairlead.resources.recipe import Search
from fairlead.resources.s3 import S3
from fairlead.resources.s3_ask import server_of
from tests.resources.rig import SOON, Rig, a_folder

PATH = "/usr/sbin:/usr/bin"
NAME = "photos"


@contextlib.contextmanager
def a_bucket(copies: str, id: str = NAME) -> Iterator[Rig]:
    with a_folder() as folder:
        search = Search(path=PATH, copies=copies)
        rig = Rig(recipe=S3(), resource=Bucket(id=id, name=id), folder=folder, search=search)
        try:
            yield rig
        finally:
            rig.end()


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
