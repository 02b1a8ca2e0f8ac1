"""Labels without any account: faces by the Haar cascades that come with OpenCV, colours and light by counting pixels.

It knows a handful of things and says no more than it saw: that a face looks at the camera, not whose; no percentages,
because a cascade has none. It misses much and is sometimes wrong, as detectors of 2001 are.
"""

from __future__ import annotations

import threading

import cv2
import numpy

from photos.catalogue import Label
from photos.labels import DetectorDown

SIDE = 800
"""Pixels of the longer side, as it is looked at."""

DARK, BRIGHT = 60, 190
"""Mean brightness, of 255, below and above which a picture is called so."""

GREY = 40
"""Saturation, of 255, below which a pixel has no colour."""

MOSTLY = 0.4
"""Share of the pixels that a colour needs."""

CASCADES: str = cv2.data.haarcascades  # type: ignore[attr-defined]  # its types leave it out

HUES = (("red", 0, 9), ("orange", 10, 22), ("yellow", 23, 34), ("green", 35, 84), ("blue", 85, 129),
        ("purple", 130, 154), ("pink", 155, 171), ("red", 172, 179))  # fmt: skip
"""Colour, and the hues that are called so, of OpenCV's 180."""


class LocalDetector:
    name = "the local detector (OpenCV Haar cascades, colours)"

    def __init__(self) -> None:
        # One picture at a time on one core: an instance has others to answer.
        cv2.setNumThreads(1)
        self._lock = threading.Lock()
        self._face, self._eyes, self._smile, self._cat = (
            cv2.CascadeClassifier(f"{CASCADES}haarcascade_{name}.xml")
            for name in ("frontalface_default", "eye", "smile", "frontalcatface_extended")
        )

    def look(self, jpeg: bytes) -> tuple[Label, ...]:
        try:
            image = cv2.imdecode(numpy.frombuffer(jpeg, numpy.uint8), cv2.IMREAD_COLOR)
            if image is None:
                raise DetectorDown("OpenCV cannot read the picture")
            image = _scaled(image)
            words = [*self._faces(image), *_light_and_colour(image)]
        except cv2.error as problem:
            raise DetectorDown(f"OpenCV could not look at it: {problem}") from problem
        return tuple(Label(name=word) for word in dict.fromkeys(words))

    def _faces(self, image: numpy.ndarray) -> list[str]:
        grey = cv2.equalizeHist(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY))
        smallest = max(30, min(grey.shape) // 10)
        faces, words = 0, []
        # A cascade keeps what it is working on in itself: it is no thing for two threads.
        with self._lock:
            for x, y, width, height in self._face.detectMultiScale(grey, 1.1, 8, minSize=(smallest, smallest)):
                face = grey[y : y + height, x : x + width]
                eyes = len(self._eyes.detectMultiScale(face[: height * 3 // 5], 1.1, 6))
                # Leaves and clouds have faces for a cascade; one without any eye is left out.
                if not eyes:
                    continue
                faces += 1
                words += ["Eyes"] if eyes >= 2 else []
                words += ["Smile"] if len(self._smile.detectMultiScale(face[height // 2 :], 1.3, 22)) else []
            if len(self._cat.detectMultiScale(grey, 1.1, 6, minSize=(smallest, smallest))):
                words.append("Cat face")
        return [*(["Face"] if faces == 1 else ["Several faces"] if faces else []), *words]


def _scaled(image: numpy.ndarray) -> numpy.ndarray:
    """So that the longer side is no longer than SIDE."""
    height, width = image.shape[:2]
    scale = SIDE / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return cv2.resize(image, size, interpolation=cv2.INTER_AREA)


def _light_and_colour(image: numpy.ndarray) -> list[str]:
    hue, saturation, value = cv2.split(cv2.cvtColor(image, cv2.COLOR_BGR2HSV))
    words = []
    brightness = float(cv2.cvtColor(image, cv2.COLOR_BGR2GRAY).mean())
    if brightness < DARK or brightness > BRIGHT:
        words.append("Dark" if brightness < DARK else "Bright")
    # Nearly black has a hue too, which nobody sees.
    coloured = (saturation >= GREY) & (value >= 40)
    if coloured.mean() < 0.05:
        return [*words, "Black and white"]
    shares: dict[str, float] = {}
    for colour, first, last in HUES:
        share = float((coloured & (hue >= first) & (hue <= last)).mean())
        shares[colour] = shares.get(colour, 0.0) + share
    colour, share = max(shares.items(), key=lambda item: item[1])
    if share >= MOSTLY:
        words.append(f"Mostly {colour}")
    elif sum(one >= 0.08 for one in shares.values()) >= 4:
        words.append("Colourful")
    return words
