"""A hundred uploads and more that are no photos, or strange ones: what is sent, and what the answer must be.

REFUSED must be answered with one of these statuses and leave nothing behind. ACCEPTED are pictures, if odd ones: what is
served of them is drawn anew, so that nothing of MARK is ever in it.
"""

from __future__ import annotations

import gzip
import io
import random
import struct
import zipfile
import zlib
from collections.abc import Iterator

from PIL import Image, ImageCms, PngImagePlugin

from .pictures import blended, encoded, jpeg, plain

MARK = b"<script>alert('planted')</script>"
"""Stands in every polyglot."""

Status = tuple[int, ...]
NONE, TYPE, BROKEN, LARGE = (400,), (415,), (422,), (413,)

SMALL = plain(size=(64, 48))
JPEG, PNG, WEBP, GIF = jpeg(SMALL), encoded(SMALL, "PNG"), encoded(SMALL, "WEBP"), encoded(SMALL, "GIF")
GOOD = {"jpg": JPEG, "png": PNG, "webp": WEBP, "gif": GIF}


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, *, depth: int = 8, colour: int = 2, body: bytes = b"", before: bytes = b"") -> bytes:
    """With any head, and `before` the pixels."""
    head = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + before + png_chunk(b"IDAT", body) + png_chunk(b"IEND", b"")


def zeros(count: int) -> bytes:
    """So many zero bytes, compressed."""
    squeeze = zlib.compressobj(9)
    block = b"\0" * 1_000_000
    parts = [squeeze.compress(block) for _ in range(count // len(block))]
    return b"".join((*parts, squeeze.compress(b"\0" * (count % len(block))), squeeze.flush()))


def resized_jpeg(width: int, height: int) -> bytes:
    """A JPEG whose head claims another size."""
    at = JPEG.index(b"\xff\xc0") + 5
    return JPEG[:at] + struct.pack(">HH", height, width) + JPEG[at + 4 :]


def resized_gif(width: int, height: int) -> bytes:
    """A GIF whose screen and frame claim another size."""
    at = GIF.index(b"\x2c", 13 + 3 * 2 ** ((GIF[10] & 7) + 1)) + 5
    size = struct.pack("<HH", width, height)
    return GIF[:6] + size + GIF[10:at] + size + GIF[at + 4 :]


def many_scans(count: int, between: bytes = b"") -> bytes:
    """A JPEG of one block that is gone over `count` times, with `between` before each."""

    def segment(marker: int, body: bytes) -> bytes:
        return b"\xff" + bytes([marker]) + struct.pack(">H", len(body) + 2) + body

    head = segment(0xDB, b"\0" + b"\1" * 64) + segment(0xC2, b"\x08\0\x08\0\x08\1\1\x11\0")
    tables = segment(0xC4, b"\0\1" + b"\0" * 16) + segment(0xC4, b"\x10\1" + b"\0" * 16)
    first = segment(0xDA, b"\1\1\0\0\0\0") + b"\x7f"
    again = between + segment(0xDA, b"\1\1\0\1\x3f\0") + b"\x7f"
    return b"\xff\xd8" + head + tables + first + again * (count - 1) + b"\xff\xd9"


def zipped(name: str, content: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return out.getvalue()


def refused() -> Iterator[tuple[str, bytes, Status]]:
    """(name of the file, its bytes, statuses)."""
    html = b"<!doctype html><html><body>" + MARK + b"</body></html>"
    svg = b'<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)">' + MARK + b"</svg>"
    dice = random.Random(1)
    yield "empty.jpg", b"", TYPE
    yield "one-byte.jpg", b"\xff", TYPE
    yield "zeros.jpg", b"\0" * 5000, TYPE
    yield "noise.jpg", dice.randbytes(100_000), TYPE
    yield "text.jpg", b"I am a photo, believe me.\n" * 50, TYPE
    # Other types under the name of a picture.
    yield "page.html", html, TYPE
    yield "page.jpg", html, TYPE
    yield "drawing.svg", svg, TYPE
    yield "drawing.jpg", svg, TYPE
    yield "drawing.xml.png", b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "file:///etc/passwd">]>' + svg, TYPE
    yield "bomb.xml.png", b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;&a;">]><svg>&b;</svg>', TYPE
    yield "shell.php.jpg", b"<?php system($_GET['c']); ?>", TYPE
    yield "template.png", b"{{ config }} {% for x in ().__class__.__base__.__subclasses__() %}{% endfor %}", TYPE
    yield "pickle.gif", b"cos\nsystem\n(S'true'\ntR.", TYPE
    yield "program.jpg", b"\x7fELF\x02\x01\x01" + b"\0" * 500, TYPE
    yield "program.exe.png", b"MZ\x90\0" + b"\0" * 500, TYPE
    yield "paper.pdf", b"%PDF-1.7\n1 0 obj<</OpenAction<</S/JavaScript/JS(app.alert(1))>>>>endobj\n%%EOF", TYPE
    yield "archive.zip", zipped("x.html", html), TYPE
    yield "archive.png", zipped("../../../../tmp/x", html), TYPE
    yield "archive.gz.jpg", gzip.compress(JPEG), TYPE
    yield "film.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + b"\0" * 500, TYPE
    yield "phone.heic", b"\0\0\0\x18ftypheic\0\0\0\0heicmif1" + b"\0" * 500, TYPE
    yield "avif.jpg", b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf" + b"\0" * 500, TYPE
    yield "sound.webp", b"RIFF\x24\0\0\0WAVEfmt " + b"\0" * 500, TYPE
    yield "icon.ico", b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0" + b"\0" * 500, TYPE
    yield "eps.jpg", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(%pipe%id) (w) file\n", TYPE
    yield "wmf.jpg", b"\xd7\xcd\xc6\x9a" + b"\0" * 500, TYPE
    yield "magick.mvg.jpg", b"push graphic-context\nviewbox 0 0 640 480\nfill 'url(https://x.test/|ls)'\n", TYPE
    yield "font.png", b"\0\x01\0\0\0\x0c\0\x80" + b"\0" * 500, TYPE
    yield "form.jpg", b"--x\r\nContent-Disposition: form-data; name=photo\r\n\r\n" + JPEG + b"\r\n--x--", TYPE
    for format, name in (("BMP", "bmp"), ("TIFF", "tif"), ("PPM", "ppm"), ("TGA", "tga"), ("ICNS", "icns"), ("PCX", "pcx"),
                         ("SGI", "sgi"), ("JPEG2000", "jp2"), ("PDF", "pdf"), ("XBM", "xbm"), ("QOI", "qoi"), ("DDS", "dds")):  # fmt: skip
        image = SMALL.convert("1") if format == "XBM" else SMALL.resize((64, 64))
        yield f"other.{name}.jpg", encoded(image, format), TYPE
    # A beginning that fits, and nothing behind it.
    for name, magic in (
        ("jpg", b"\xff\xd8\xff\xe0"),
        ("png", b"\x89PNG\r\n\x1a\n"),
        ("gif", b"GIF89a"),
        ("webp", b"RIFF\x24\0\0\0WEBPVP8 "),
    ):
        yield f"magic-only.{name}", magic, (*TYPE, *BROKEN)
        yield f"magic-and-page.{name}", magic + html, (*TYPE, *BROKEN)
        yield f"magic-and-noise.{name}", magic + dice.randbytes(3000), (*TYPE, *BROKEN, *LARGE)
    # Cut off, at places where each format stumbles in another way.
    big = blended((200, 40, 30), (20, 60, 200), (640, 480))
    for name, format in (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("gif", "GIF")):
        whole = encoded(big, format)
        for part in (0.02, 0.1, 0.5, 0.8):
            yield f"cut-at-{part}.{name}", whole[: int(len(whole) * part)], (*TYPE, *BROKEN)
    # Broken inside.
    spoilt = bytearray(encoded(big, "PNG"))
    spoilt[len(spoilt) // 2] ^= 0xFF
    yield "wrong-checksum.png", bytes(spoilt), BROKEN
    yield "no-pixels.png", png(64, 48), BROKEN
    yield "garbage-pixels.png", png(64, 48, body=b"not zlib at all"), BROKEN
    yield "few-pixels.png", png(640, 480, body=zlib.compress(b"\0" * 100)), BROKEN
    yield "no-size.png", png(0, 0, body=zlib.compress(b"\0")), (*TYPE, *BROKEN)
    yield "no-width.png", png(0, 10, body=zlib.compress(b"\0" * 10)), (*TYPE, *BROKEN)
    yield "odd-depth.png", png(8, 8, depth=7, body=zlib.compress(b"\0" * 100)), (*TYPE, *BROKEN)
    yield "odd-colour.png", png(8, 8, colour=5, body=zlib.compress(b"\0" * 100)), (*TYPE, *BROKEN)
    yield "misnamed-chunk.png", PNG.replace(b"IDAT", b"1DAT"), (*TYPE, *BROKEN)
    yield "two-heads.png", PNG[:33] + PNG[8:33] * 3 + PNG[41:], (*TYPE, *BROKEN)
    yield "text-bomb.png", png(64, 48, body=zlib.compress(b"\0" * 10000), before=png_chunk(b"zTXt", b"c\0\0" + zeros(80_000_000))), (*TYPE, *BROKEN)  # fmt: skip
    yield "no-tables.jpg", JPEG[:2] + JPEG[JPEG.index(b"\xff\xc0") :], (*TYPE, *BROKEN)
    yield "no-scan.jpg", JPEG[: JPEG.index(b"\xff\xda")] + b"\xff\xd9", (*TYPE, *BROKEN)
    yield "no-size.jpg", resized_jpeg(0, 0), (*TYPE, *BROKEN)
    yield "long-segment.jpg", b"\xff\xd8\xff\xe1\xff\xff" + b"Exif\0\0" + b"A" * 20, (*TYPE, *BROKEN)
    yield "twelve-bits.jpg", JPEG.replace(b"\xff\xc0\x00\x11\x08", b"\xff\xc0\x00\x11\x0c"), (*TYPE, *BROKEN)
    yield "no-frame.gif", GIF[:13] + b"\x3b", (*TYPE, *BROKEN)
    yield "no-size.gif", resized_gif(0, 0), (*TYPE, *BROKEN)
    yield "wrong-length.webp", b"RIFF\xff\xff\xff\x7f" + WEBP[8:40], (*TYPE, *BROKEN)
    yield "empty-frame.webp", b"RIFF\x12\0\0\0WEBPVP8 \x06\0\0\0\0\0\0\0\0\0", (*TYPE, *BROKEN)
    # Small files that claim to be huge.
    yield "bomb.png", png(30_000, 30_000, colour=0, body=zeros(30_001 * 30_000 // 20)), LARGE
    yield "tall-bomb.png", png(1, 2_000_000_000, body=zeros(1_000_000)), LARGE
    yield "wide-bomb.png", png(2_000_000_000, 1, body=zeros(1_000_000)), LARGE
    yield "just-too-large.png", png(8000, 6251, colour=0, body=zeros(1_000_000)), LARGE
    yield "whole-bomb.png", png(10_000, 9_000, colour=0, body=zeros(10_001 * 9_000)), LARGE
    yield "bomb.jpg", resized_jpeg(65_500, 65_500), LARGE
    yield "bomb.gif", resized_gif(65_535, 65_535), LARGE
    yield (
        "bomb.webp",
        b"RIFF\x1e\0\0\0WEBPVP8X\x0a\0\0\0\0\0\0\0" + b"\xff\x3f\0" * 2 + b"VP8 \0\0\0\0",
        (*LARGE, *TYPE, *BROKEN),
    )
    # Small files that are long to look at.
    yield "scans.jpg", many_scans(3000), BROKEN
    yield "scans-filled-up.jpg", many_scans(3000, b"\xff\xff"), BROKEN
    yield "scans-behind-markers-without-length.jpg", many_scans(3000, b"\xff\x01\xff\xff\xff\xd0\xff\xff"), BROKEN
    yield "scans-behind-comments.jpg", many_scans(3000, b"\xff\xfe\0\x05\xff\xd9\0"), BROKEN
    # More bytes than are taken.
    yield "50-MB.jpg", JPEG + b"\0" * 50_000_000, LARGE
    yield "just-over.png", PNG + b"\0" * (20 * 1024 * 1024), LARGE


def exif(**tags: object) -> Image.Exif:
    """Of a camera that knows where it is."""
    made = Image.Exif()
    made[0x010F] = "Planted Camera " + MARK.decode()
    made[0x9286] = MARK.decode()
    gps = made.get_ifd(0x8825)
    gps[1], gps[2], gps[3], gps[4] = "N", (48.0, 51.0, 30.0), "E", (2.0, 17.0, 40.0)
    for name, value in tags.items():
        made[int(name.removeprefix("tag"))] = value
    return made


def accepted() -> Iterator[tuple[str, bytes]]:
    """Odd pictures, and pictures with something behind or between."""
    comment = PngImagePlugin.PngInfo()
    comment.add_text("Comment", MARK.decode())
    comment.add_itxt("XML:com.adobe.xmp", MARK.decode(), zip=True)
    for name, data in GOOD.items():
        yield f"page-behind.{name}", data + MARK
        yield f"archive-behind.{name}", data + zipped("x.html", MARK)
        yield f"named-wrong.{'png' if name == 'jpg' else 'jpg'}", data
    yield "scans-as-programs-write-them.jpg", many_scans(20)
    yield "scans-in-a-comment.jpg", encoded(SMALL, "JPEG", comment=b"\xff\xda" * 5000)
    yield "film-behind.jpg", JPEG + b"\xff\xda" * 5000
    yield "comment.jpg", encoded(SMALL, "JPEG", comment=MARK)
    yield "comment.png", encoded(SMALL, "PNG", pnginfo=comment)
    yield "comment.gif", encoded(SMALL, "GIF", comment=MARK)
    yield "exif.jpg", encoded(SMALL, "JPEG", exif=exif())
    yield "exif.png", encoded(SMALL, "PNG", exif=exif())
    yield "exif.webp", encoded(SMALL, "WEBP", exif=exif(), xmp=MARK)
    yield "gifar.gif", GIF[:6] + GIF[6:] + zipped("META-INF/MANIFEST.MF", MARK)
    yield "script.gif", GIF[:-1] + b"\x21\xfe\x21" + MARK[:33] + b"\0\x3b"
    yield "pixels-that-read.png", encoded(Image.frombytes("RGB", (11, 1), MARK), "PNG")
    yield "long-chunk.png", PNG[:33] + b"\x7f\xff\xff\xffIDAT" + PNG[41:]
    for number, (type, value) in enumerate(
        ((3, b"\0\0\0\0"), (3, b"\0\x09\0\0"), (3, b"\xff" * 4), (2, b"up\0\0"), (99, b"\0\1\0\0")), 1
    ):
        yield f"odd-orientation-{number}.jpg", with_orientation(JPEG, type, value)
    yield "broken-exif.jpg", b"\xff\xd8\xff\xe1\x00\x14Exif\0\0MM\0\x2a\xff\xff\xff\xff\0\0\0\0" + JPEG[2:]
    yield "looping-exif.jpg", b"\xff\xd8\xff\xe1\x00\x1cExif\0\0MM\0\x2a\0\0\0\x08\0\0\0\0\0\x08\0\0\0\0\0\0" + JPEG[2:]
    yield "cut-exif.jpg", b"\xff\xd8\xff\xe1\x00\x0aExif\0\0MM" + JPEG[2:]
    yield "broken-profile.jpg", encoded(SMALL, "JPEG", icc_profile=b"no profile at all" * 20)
    lab = ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes()
    yield "profile-of-another-kind.jpg", encoded(SMALL, "JPEG", icc_profile=lab)
    yield "one-pixel.png", encoded(plain(size=(1, 1)), "PNG")
    yield "one-line.png", encoded(plain(size=(20_000, 1)), "PNG")
    yield "one-column.gif", encoded(plain(size=(1, 5000)), "GIF")
    yield "largest.png", png(8000, 6250, colour=0, body=zeros(8001 * 6250))
    yield "animated.gif", encoded(SMALL, "GIF", save_all=True, append_images=[plain((250, 0, 0), (64, 48))] * 20)
    yield "animated.webp", encoded(SMALL, "WEBP", save_all=True, append_images=[plain((250, 0, 0), (64, 48))] * 5)
    yield "animated.png", encoded(SMALL, "PNG", save_all=True, append_images=[plain((250, 0, 0), (64, 48))] * 5)
    yield "many-pictures.mpo.jpg", encoded(SMALL, "MPO", save_all=True, append_images=[SMALL, SMALL])
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        yield (
            f"mode-{mode.replace(';', '-')}.png",
            encoded(SMALL.convert("L" if mode == "I;16" else mode).convert(mode), "PNG"),
        )
    yield "mode-CMYK.jpg", encoded(SMALL.convert("CMYK"), "JPEG")
    yield "mode-L.jpg", encoded(SMALL.convert("L"), "JPEG")
    yield "clear.webp", encoded(Image.new("RGBA", (40, 40), (0, 0, 0, 0)), "WEBP")
    yield "clear.gif", encoded(Image.new("P", (40, 40), 0), "GIF", transparency=0)
    yield "interlaced.png", png_interlaced()
    yield "progressive.jpg", encoded(SMALL, "JPEG", progressive=True)
    yield "sixteen-bits.png", png(8, 8, depth=16, body=zlib.compress((b"\0" + b"\x80\x01" * 24) * 8))


def with_orientation(data: bytes, type: int, value: bytes) -> bytes:
    """A JPEG with an EXIF of this one entry. type, value: as TIFF has them; value in four bytes."""
    tiff = b"MM\0\x2a\0\0\0\x08" + struct.pack(">HHHI", 1, 0x0112, type, 1) + value + b"\0\0\0\0"
    segment = b"Exif\0\0" + tiff
    return data[:2] + b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment + data[2:]


def png_interlaced() -> bytes:
    """One pixel, in seven passes."""
    head = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 1)
    body = png_chunk(b"IDAT", zlib.compress(b"\0\x40\x80\xc0"))
    return b"\x89PNG\r\n\x1a\n" + png_chunk(b"IHDR", head) + body + png_chunk(b"IEND", b"")
