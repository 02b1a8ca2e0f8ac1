"""Upload and delete: the order in which bucket and database are written, so that no step that fails shows.

The laws: what is listed can be seen (objects are written before the row, and the row is removed before the objects);
what was acknowledged is there; the same form sent twice is stored once. Whatever is left over when a step fails is an
object without a row, which nobody can see, and which `photos.sweep` removes.
"""

from __future__ import annotations

import hashlib
import logging
import time
import uuid
from contextlib import suppress
from datetime import UTC, datetime

from photos import pictures
from photos.bucket import Bucket
from photos.catalogue import Catalogue, Label, Photo
from photos.labels import Detector, DetectorDown
from photos.problems import BucketDown, Busy, Missing

LONGEST_UPLOAD = 600.0
"""Seconds after which a row is not written any more: an instance may have been frozen meanwhile, and its objects swept
(`photos.sweep` spares what is younger than an hour)."""

LONGEST_TITLE = 200

JOINERS = "\N{ZERO WIDTH NON-JOINER}\N{ZERO WIDTH JOINER}"
"""Unseen, and yet part of what is written: of Persian words, and of emoji that are made of several."""

logger = logging.getLogger(__name__)


class Album:
    def __init__(self, catalogue: Catalogue, bucket: Bucket, detector: Detector) -> None:
        self.catalogue, self.bucket, self.detector = catalogue, bucket, detector

    def upload(self, data: bytes, *, title: str, submission: str, instance: str) -> tuple[Photo, bool]:
        """Keep a picture; the photo, and whether it is new. submission: names the form that it came by.

        A Problem, and nothing that anybody can see, when it is no picture or something does not answer."""
        picture = pictures.drawn(data)
        receipt = hashlib.sha256(submission.encode() + hashlib.sha256(data).digest()).hexdigest()
        # Also tells that the database is there before anything is written.
        if known := self.catalogue.find_receipt(receipt):
            return known, False
        began, id = time.time(), str(uuid.uuid4())
        try:
            self.bucket.put(id, (("original", data), ("view", picture.view), ("thumb", picture.thumb)))
        except BucketDown:
            self._discard(id)
            raise
        labels, by = self._labels(picture.view)
        photo = Photo(
            id=id,
            receipt=receipt,
            title=_cleaned(title),
            format=picture.format,
            width=picture.width,
            height=picture.height,
            size=len(data),
            uploaded_at=datetime.now(UTC),
            uploaded_by=instance,
            labelled_by=by,
            labels=labels,
        )
        if time.time() - began > LONGEST_UPLOAD:
            raise Busy("Storing the picture took too long.")
        # When this fails the objects stay: the row may have been written, and only the answer lost.
        if self.catalogue.add(photo):
            return photo, True
        self._discard(id)
        if known := self.catalogue.find_receipt(receipt):
            return known, False
        raise Missing("This photo was deleted while it was being uploaded again.")

    def delete(self, id: str) -> bool:
        """False when there is no such photo (any more)."""
        if not self.catalogue.remove(id):
            return False
        self._discard(id)
        return True

    def look_again(self, id: str) -> bool:
        """Find its labels anew. False when the detector cannot be asked; then the earlier ones stay. Missing."""
        view = self.bucket.get(id, "view") if self.catalogue.find(id) else None
        if view is None:
            raise Missing
        labels, by = self._labels(view)
        if by and not self.catalogue.relabel(id, labels, by):
            raise Missing
        return bool(by)

    def _labels(self, view: bytes) -> tuple[tuple[Label, ...], str]:
        """The labels, and who found them; none, and "", when nobody could be asked: that does not stop an upload."""
        try:
            return self.detector.look(view), self.detector.name
        except DetectorDown as problem:
            logger.warning("no labels: %s", problem)
            return (), ""

    def _discard(self, id: str) -> None:
        """Remove the objects of a photo that has no row. What cannot be removed now is swept later."""
        with suppress(BucketDown):
            self.bucket.remove(id)


def _cleaned(title: str) -> str:
    """One line without control characters, which databases and terminals do not bear."""
    kept = "".join(char if char.isprintable() or char in JOINERS else " " for char in title)
    return " ".join(kept.split())[:LONGEST_TITLE]
