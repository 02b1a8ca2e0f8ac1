"""The objects: what was uploaded, and the two pictures that were drawn of it. Every access to S3 is here.

Of each photo there are three, named by its id and nothing else: `ID/original`, the bytes as they came, which are kept
and never served; `ID/view.jpg` and `ID/thumb.jpg`, drawn by `pictures`. BucketDown when the bucket does not answer.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any
from urllib.parse import urlsplit

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, ConnectTimeoutError, ReadTimeoutError

from photos.problems import BucketDown
from photos.settings import BucketSettings

KINDS = {"original": "original", "view": "view.jpg", "thumb": "thumb.jpg"}
"""What is stored of a photo -> the end of its name."""

OURS = re.compile(r"([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})/(?:original|view\.jpg|thumb\.jpg)")

LINK_LIFE = 600
"""Seconds that a presigned URL holds."""

ASKING: dict[str, Any] = {"read_timeout": 3, "retries": {"mode": "standard", "total_max_attempts": 1}}
"""How long "is it there?" may take: once."""

REMEMBERED = 2.0
"""Seconds for which its answer is believed."""


class Bucket:
    def __init__(self, settings: BucketSettings) -> None:
        self._name = settings.name
        # A session of our own: boto3's default one is not made for threads. Clients are.
        session = boto3.Session()
        patience: dict[str, Any] = {"connect_timeout": 2, "read_timeout": 10, "max_pool_connections": 16}
        patience["retries"] = {"mode": "standard", "max_attempts": 2}
        own: dict[str, Any] = {"endpoint_url": settings.endpoint or None}
        if settings.endpoint:
            # Servers other than Amazon's may not know the newer checksums.
            patience |= {"request_checksum_calculation": "when_required"}
            patience |= {"response_checksum_validation": "when_required", "s3": {"addressing_style": "path"}}
        self._client = session.client("s3", config=Config(signature_version="s3v4", **patience), **own)
        # "Is it there?" is asked for pages that can do without it, so it is soon given up.
        asking = Config(signature_version="s3v4", **(patience | ASKING))
        self._asker = session.client("s3", config=asking, **own)
        self._public = None
        self.public_origin = ""
        """Where presigned URLs lead; "" when pictures are served through the app."""
        if settings.public_endpoint:
            config = Config(signature_version="s3v4", s3={"addressing_style": "path"})
            self._public = session.client("s3", config=config, endpoint_url=settings.public_endpoint)
            parts = urlsplit(settings.public_endpoint)
            self.public_origin = f"{parts.scheme}://{parts.netloc}"
        self._asking = threading.Lock()
        self._asked_at = float("-inf")
        self._answered: bool | None = None
        """None: nobody has asked yet."""
        self._hangs = False

    def put(self, id: str, objects: Iterable[tuple[str, bytes]]) -> None:
        """Store these (kind, content) of a photo. When one fails the others may be there: `remove` them."""
        with _reached():
            for kind, content in objects:
                type = "application/octet-stream" if kind == "original" else "image/jpeg"
                self._client.put_object(Bucket=self._name, Key=_key(id, kind), Body=content, ContentType=type)

    def get(self, id: str, kind: str) -> bytes | None:
        """The content; None when there is none."""
        # Were each picture waited for, a bucket that hangs would soon have all threads.
        if self._hangs and not self.answers():
            raise BucketDown
        with _reached():
            try:
                answer = self._client.get_object(Bucket=self._name, Key=_key(id, kind))
            except self._client.exceptions.NoSuchKey:
                return None
            content: bytes = answer["Body"].read()
            return content

    def link(self, id: str, kind: str) -> str | None:
        """A URL by which a browser gets it from the bucket itself for some minutes; None when it cannot."""
        if self._public is None:
            return None
        wanted = {"Bucket": self._name, "Key": _key(id, kind), "ResponseContentType": "image/jpeg"}
        url: str = self._public.generate_presigned_url("get_object", Params=wanted, ExpiresIn=LINK_LIFE)
        return url

    def remove(self, id: str, kinds: Iterable[str] = KINDS) -> None:
        """Remove what there is of a photo; it is no error when there is nothing."""
        with _reached():
            for kind in kinds:
                self._client.delete_object(Bucket=self._name, Key=_key(id, kind))

    def ids(self) -> Iterator[tuple[str, datetime]]:
        """(id, when it was stored), once for each object that is ours; others are left alone."""
        with _reached():
            for page in self._client.get_paginator("list_objects_v2").paginate(Bucket=self._name):
                for found in page.get("Contents", ()):
                    if match := OURS.fullmatch(found["Key"]):
                        yield match[1], found["LastModified"]

    def answers(self) -> bool:
        """Whether it does, as of the last two seconds. While one asks, the others go by the answer before."""
        if not self._asking.acquire(blocking=self._answered is None):
            return bool(self._answered)
        try:
            if time.monotonic() - self._asked_at >= REMEMBERED:
                try:
                    self._asker.head_bucket(Bucket=self._name)
                    self._answered, self._hangs = True, False
                except (BotoCoreError, ClientError) as problem:
                    self._answered = False
                    self._hangs = isinstance(problem, ConnectTimeoutError | ReadTimeoutError)
                self._asked_at = time.monotonic()
            return bool(self._answered)
        finally:
            self._asking.release()

    def forget(self) -> None:
        """The next `answers` asks."""
        self._asked_at, self._answered, self._hangs = float("-inf"), None, False

    def close(self) -> None:
        for client in (self._client, self._asker, self._public):
            if client is not None:
                client.close()


def _key(id: str, kind: str) -> str:
    return f"{id}/{KINDS[kind]}"


@contextmanager
def _reached() -> Iterator[None]:
    try:
        yield
    except (BotoCoreError, ClientError) as problem:
        raise BucketDown from problem
