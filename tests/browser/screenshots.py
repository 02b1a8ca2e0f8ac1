"""The pictures in the READMEs of the examples: `python -m tests.browser.screenshots [EXAMPLE ...]`

Each example has a module `shots_NAME.py` beside this one, with `async def shoot(visit, save)`: it brings up what it
needs, and calls `await save(page, "found")` for `examples/EXAMPLE/found.png`, or "gallery.jpg" for a page that is full of
photos. Flags need a font: `apt install fonts-noto-color-emoji`.
"""

from __future__ import annotations

import asyncio
import importlib
import io
import sys
import warnings
from pathlib import Path
from typing import Any

from PIL import Image

from .chromium import Chromium, program
from .visit import visits

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples"
LARGEST = 150_000
COLOURS = (256, 128, 64)
"""Of a picture; the most that keep it under LARGEST bytes."""


def main() -> int:
    names = sys.argv[1:] or [
        path.stem.removeprefix("shots_").replace("_", "-") for path in sorted(HERE.glob("shots_*.py"))
    ]
    path = program()
    if path is None:
        print("Chromium is not installed: apt install chromium", file=sys.stderr)
        return 2
    warnings.simplefilter("ignore")
    with Chromium(path) as chromium:
        for name in names:
            shots = importlib.import_module(f".shots_{name.replace('-', '_')}", __package__)
            asyncio.run(_shoot(chromium.endpoint, shots.shoot, EXAMPLES / name))
    return 0


async def _shoot(endpoint: str, shoot: Any, folder: Path) -> None:
    async def save(page: Any, name: str) -> None:
        as_photo = name.endswith(".jpg")
        picture = (_jpeg if as_photo else _small)(await page.screenshot(full_page=True))
        file = folder / (name if as_photo else f"{name}.png")
        file.write_bytes(picture)
        print(f"{folder.name}/{file.name}: {len(picture):,} bytes")

    async with visits(endpoint, strict=False) as visit:
        await shoot(visit, save)


def _small(png: bytes) -> bytes:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    for colours in COLOURS:
        told = io.BytesIO()
        # Of the ways to choose colours this is the one that keeps those of large plain areas.
        image.quantize(colours, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE, kmeans=3).save(
            told, "PNG", optimize=True
        )
        if told.tell() <= LARGEST:
            return told.getvalue()
    raise SystemExit(f"a picture of {image.size} has more than {LARGEST:,} bytes")


def _jpeg(png: bytes) -> bytes:
    """Of colours that run into each other a palette would make steps."""
    told = io.BytesIO()
    Image.open(io.BytesIO(png)).convert("RGB").save(told, "JPEG", quality=86, optimize=True, subsampling=0)
    return told.getvalue()


if __name__ == "__main__":
    sys.exit(main())
