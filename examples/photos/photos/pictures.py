"""From bytes that a stranger sent to pictures that are ours.

In: the bytes of a file. Out: two JPEGs, one to look at and one for the gallery, drawn anew from the pixels, so that
nothing of the file is ever served: no markup behind the picture, no script in its comments, no place where it was
taken. A file is what it contains, never what it is called. NotAPicture, BrokenPicture or TooLarge when it is not one.
"""

from __future__ import annotations

import io
import re
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from PIL import Image, ImageCms

from photos.problems import BrokenPicture, Busy, NotAPicture, TooLarge

FORMATS = {"JPEG": "JPEG", "MPO": "JPEG", "PNG": "PNG", "WEBP": "WebP", "GIF": "GIF"}
"""What is accepted, by Pillow's name -> as people call it. An MPO is a JPEG of a phone, with another behind it."""

MOST_PIXELS = 50_000_000
"""Of a picture; four bytes each while it is worked on. A small file can claim to hold any number."""

MOST_SCANS = 100
"""Of a JPEG. Programs write about ten; each goes over the whole picture again, and may be seventy bytes long, so that a
file of 20 MB could keep a processor busy for a quarter of an hour."""

VIEW, THUMB = (2048, 2048), (640, 640)
"""The boxes that the two fit into."""

STRIP = 32
"""Rows, once it is small, of what is made smaller at a time."""

AT_ONCE = 2
"""Pictures that an instance works on at a time: what bounds its memory."""

PATIENCE = 20.0
"""Seconds to wait for a turn."""

BEHIND = (255, 255, 255)
"""What is seen through transparent pixels."""

# Pillow warns of a bomb, and refuses it from twice that on.
Image.MAX_IMAGE_PIXELS = MOST_PIXELS
warnings.simplefilter("error", Image.DecompressionBombWarning)
_turns = threading.BoundedSemaphore(AT_ONCE)


@dataclass(frozen=True, kw_only=True)
class Picture:
    format: str
    width: int
    height: int
    """Of what was uploaded, the right way up."""
    view: bytes
    thumb: bytes


def drawn(data: bytes) -> Picture:
    """`data`, decoded and drawn anew."""
    with _a_turn(), _opened(data) as image:
        format = FORMATS[image.format or ""]
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise _too_many(width, height)
        if format == "JPEG" and _has_too_many_scans(data):
            raise BrokenPicture("This JPEG goes over its picture again and again, as none does that a program saved.")
        try:
            # A JPEG can be decoded at a half, a quarter or an eighth of its size: less work, and less memory.
            image.draft("RGB", VIEW)
            # Before anything else is asked of it: what cannot be decoded must fail here.
            image.load()
            orientation = _orientation(image)
            upright = _turned(_in_srgb(_smaller(image)), orientation)
            if orientation >= 5:
                width, height = height, width
            upright.thumbnail(VIEW, Image.Resampling.LANCZOS)
            view = _jpeg(upright, 88)
            upright.thumbnail(THUMB, Image.Resampling.LANCZOS)
            return Picture(format=format, width=width, height=height, view=view, thumb=_jpeg(upright, 82))
        except MemoryError as problem:
            raise _too_many(width, height) from problem
        except Exception as problem:
            # Decoders meet bytes that were made to upset them, and raise whatever comes.
            raise BrokenPicture(f"This {format} cannot be read.") from problem


@contextmanager
def _a_turn() -> Iterator[None]:
    if not _turns.acquire(timeout=PATIENCE):
        raise Busy
    try:
        yield
    finally:
        _turns.release()


def _opened(data: bytes) -> Image.Image:
    """Only its head is read here: format and size."""
    try:
        return Image.open(io.BytesIO(data), formats=("JPEG", "PNG", "WEBP", "GIF"))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as problem:
        raise _too_many() from problem
    except Exception as problem:
        raise NotAPicture from problem


def _too_many(width: int = 0, height: int = 0) -> TooLarge:
    size = f"{width} x {height} pixels" if width else "far too many pixels"
    most = MOST_PIXELS // 1_000_000
    return TooLarge(f"This picture has {size}; {most} million are the most.", "Save it smaller and upload that.")


_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
"""Of a JPEG, with a length behind it. After FF, 00 is a byte of the picture; 01, and D0 to D7, have no length; another
FF fills up."""


def _has_too_many_scans(jpeg: bytes) -> bool:
    """Of its first picture: phones put others, and films, behind it."""
    scans, at = 0, 2
    while (marker := _MARKER.search(jpeg, at)) and marker[1] != b"\xd9":
        scans += marker[1] == b"\xda"
        if scans > MOST_SCANS:
            return True
        # The length counts itself; what it spans may look like markers.
        at = marker.end() + int.from_bytes(jpeg[marker.end() : marker.end() + 2], "big")
    return False


def _orientation(image: Image.Image) -> int:
    """How the camera was held, as EXIF numbers it; 1, upright, when that is missing or broken."""
    try:
        found = image.getexif().get(0x0112, 1)
    except Exception:
        return 1
    return found if found in range(1, 9) else 1


_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(_TURNS[orientation]) if orientation in _TURNS else image


def _smaller(image: Image.Image) -> Image.Image:
    """In a mode that can be worked with, and less than twice the view's size; a JPEG was decoded so already.

    Strip by strip: a copy of the whole in another mode may need 200 MB, and what follows would need several."""
    factor = max(image.width // VIEW[0], image.height // VIEW[1])
    if factor < 2:
        return _plain(image)
    small: Image.Image | None = None
    for top in range(0, image.height, STRIP * factor):
        strip = image.crop((0, top, image.width, min(top + STRIP * factor, image.height)))
        strip = _plain(strip).reduce(factor)
        small = small or Image.new(strip.mode, (strip.width, -(-image.height // factor)))
        small.paste(strip, (0, top // factor))
    assert small is not None, "a picture has a row"
    small.info = {key: image.info[key] for key in ("icc_profile",) if key in image.info}
    return small


def _plain(image: Image.Image) -> Image.Image:
    """Eight bits for each colour, no palette, no bits for pixels."""
    if image.mode.startswith("I"):
        # 16 bits of grey: the upper eight are what can be shown.
        image = image.point(lambda value: value / 256, "L") if image.mode == "I" else _upper_bits(image)
    if image.mode in ("P", "PA", "LA", "La", "RGBa") or "transparency" in image.info:
        return image.convert("RGBA")
    return image.convert("L") if image.mode == "1" else image


def _in_srgb(image: Image.Image) -> Image.Image:
    """As opaque RGB, in the colours that browsers expect of a picture that does not say."""
    profile = image.info.get("icc_profile")
    image = _by_profile(image, profile) if profile else image
    if image.mode == "RGBA":
        behind = Image.new("RGB", image.size, BEHIND)
        behind.paste(image, mask=image.getchannel("A"))
        return behind
    return image.convert("RGB")


def _upper_bits(image: Image.Image) -> Image.Image:
    """`I;16` and its kin have few operations; as 32 bits there are all."""
    return image.convert("I").point(lambda value: value / 256, "L")


def _by_profile(image: Image.Image, profile: bytes) -> Image.Image:
    """The colours that its profile means. A profile that is broken, or of another kind of picture, means nothing."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        return ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode) or image
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return image


def _jpeg(image: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    # Not even what Pillow would carry over by itself.
    image.info = {}
    image.save(out, "JPEG", quality=quality, optimize=True, progressive=True)
    return out.getvalue()
