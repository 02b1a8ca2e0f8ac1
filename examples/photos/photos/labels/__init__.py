"""What is on a photo, in words: by Amazon Rekognition when there are keys for it, else by a local detector.

Each says its own name, which is shown beside its labels: nobody shall take the one for the other.
"""

from __future__ import annotations

from typing import Protocol

from photos.catalogue import Label
from photos.settings import Settings


class DetectorDown(Exception):
    """It could not be asked; the photo is kept without labels, and can be looked at again."""


class Detector(Protocol):
    name: str
    """As it is shown: `local detector (OpenCV)`."""

    def look(self, jpeg: bytes) -> tuple[Label, ...]:
        """The labels of a picture, the surest first, each name once. DetectorDown."""
        ...


def detector_of(settings: Settings) -> Detector:
    # Imported here: each of them brings a library that the other does not need.
    if settings.rekognition is not None:
        from photos.labels.rekognition import Rekognition

        return Rekognition(settings.rekognition)
    from photos.labels.local import LocalDetector

    return LocalDetector()
