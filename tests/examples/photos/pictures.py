"""Pictures for the tests and screenshots of the examples, drawn here: no file of anybody's, the same on every machine."""

from __future__ import annotations

import io
import math
import random

from PIL import Image, ImageDraw, ImageFilter

Colour = tuple[int, int, int]


def jpeg(image: Image.Image, **options: object) -> bytes:
    return encoded(image, "JPEG", **{"quality": 90, **options})


def encoded(image: Image.Image, format: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, format, **options)
    return out.getvalue()


def plain(colour: Colour = (40, 90, 200), size: tuple[int, int] = (320, 240)) -> Image.Image:
    return Image.new("RGB", size, colour)


def blended(upper: Colour, lower: Colour, size: tuple[int, int]) -> Image.Image:
    """From one colour at the top to another at the bottom."""
    column = Image.new("RGB", (1, 256))
    for y in range(256):
        column.putpixel((0, y), tuple(round(a + (b - a) * y / 255) for a, b in zip(upper, lower, strict=True)))
    return column.resize(size, Image.Resampling.BICUBIC)


def ridge(
    draw: ImageDraw.ImageDraw, size: tuple[int, int], level: float, rough: float, colour: Colour, seed: int
) -> None:
    """A line of hills, filled down to the bottom."""
    dice = random.Random(seed)
    waves = [
        (dice.uniform(0.5, 1.5) * rough / n, n * dice.uniform(0.8, 1.3), dice.uniform(0, 6.3)) for n in range(1, 9)
    ]
    width, height = size
    points = [
        (x, height * (level + sum(a * math.sin(n * 6.28 * x / width + p) for a, n, p in waves)))
        for x in range(0, width + 8, 8)
    ]
    draw.polygon([*points, (width, height), (0, height)], fill=colour)


def glow(image: Image.Image, centre: tuple[float, float], radius: float, colour: Colour, blur: float) -> None:
    """A disc of light with soft edges."""
    mask = Image.new("L", image.size, 0)
    x, y = centre[0] * image.width, centre[1] * image.height
    ImageDraw.Draw(mask).ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)
    image.paste(Image.new("RGB", image.size, colour), mask=mask.filter(ImageFilter.GaussianBlur(blur)))


def sunset(size: tuple[int, int] = (1600, 1067)) -> Image.Image:
    image = blended((88, 44, 92), (252, 176, 84), size)
    glow(image, (0.62, 0.6), size[1] * 0.2, (255, 196, 110), size[1] * 0.08)
    glow(image, (0.62, 0.6), size[1] * 0.065, (255, 243, 205), 3)
    draw = ImageDraw.Draw(image)
    for number, colour in enumerate(((176, 82, 74), (118, 52, 66), (64, 30, 48))):
        ridge(draw, size, 0.64 + number * 0.12, 0.035, colour, 7 + number)
    return image


def mountains(size: tuple[int, int] = (1600, 1067)) -> Image.Image:
    image = blended((58, 128, 204), (206, 230, 244), size)
    draw = ImageDraw.Draw(image)
    for number, colour in enumerate(((150, 178, 206), (96, 134, 172), (52, 92, 128), (30, 62, 84))):
        ridge(draw, size, 0.42 + number * 0.15, 0.06 - number * 0.008, colour, 21 + number)
    return image


def forest(size: tuple[int, int] = (1200, 1600)) -> Image.Image:
    image = blended((196, 222, 176), (92, 146, 84), size)
    dice = random.Random(3)
    for layer, colour in enumerate(((128, 172, 116), (78, 130, 74), (42, 92, 52), (22, 58, 36))):
        draw = ImageDraw.Draw(image)
        for _ in range(26 - layer * 4):
            x, foot = dice.uniform(-0.05, 1.05) * size[0], (0.55 + layer * 0.16) * size[1]
            height = dice.uniform(0.25, 0.45) * size[1]
            for step in range(5):
                half = height * (0.05 + 0.035 * step)
                top = foot - height + height * step * 0.19
                draw.polygon([(x, top), (x - half, top + height * 0.27), (x + half, top + height * 0.27)], fill=colour)
        draw.rectangle((0, min(0.54 + layer * 0.16, 1) * size[1], *size), fill=colour)
        image = image.filter(ImageFilter.GaussianBlur(max(0, 4 - layer * 2)))
    return image


def night(size: tuple[int, int] = (1600, 1067)) -> Image.Image:
    image = blended((6, 8, 26), (24, 30, 66), size)
    draw = ImageDraw.Draw(image)
    dice = random.Random(11)
    for _ in range(420):
        x, y, r = dice.uniform(0, size[0]), dice.uniform(0, size[1] * 0.8), dice.choice((0.7, 0.7, 1.1, 1.8))
        light = dice.randint(120, 255)
        draw.ellipse((x - r, y - r, x + r, y + r), fill=(light, light, min(255, light + 20)))
    glow(image, (0.25, 0.26), size[1] * 0.07, (244, 240, 214), 2)
    ridge(ImageDraw.Draw(image), size, 0.82, 0.03, (6, 8, 14), 5)
    return image


def sea(size: tuple[int, int] = (1600, 1067)) -> Image.Image:
    image = blended((150, 206, 236), (224, 240, 246), size)
    draw = ImageDraw.Draw(image)
    for number in range(14):
        share = number / 13
        colour = (round(74 - 60 * share), round(158 - 84 * share), round(190 - 70 * share))
        ridge(draw, size, 0.48 + 0.04 * number, 0.003 + 0.004 * share, colour, 40 + number)
    x, y, unit = size[0] * 0.66, size[1] * 0.5, size[1] * 0.05
    draw.polygon([(x, y - 4 * unit), (x, y - unit * 0.3), (x + 2 * unit, y - unit * 0.3)], fill=(250, 250, 246))
    draw.polygon(
        [(x - 0.2 * unit, y - 3.4 * unit), (x - 0.2 * unit, y - unit * 0.3), (x - 1.4 * unit, y - unit * 0.3)],
        fill=(236, 92, 70),
    )
    draw.polygon(
        [(x - 1.8 * unit, y), (x + 2.2 * unit, y), (x + 1.5 * unit, y + 0.7 * unit), (x - 1.2 * unit, y + 0.7 * unit)],
        fill=(70, 44, 40),
    )
    return image


def balloons(size: tuple[int, int] = (1600, 1200)) -> Image.Image:
    image = blended((120, 190, 240), (230, 242, 250), size)
    dice = random.Random(2)
    colours = [(226, 62, 56), (250, 170, 40), (246, 214, 62), (70, 170, 90), (126, 84, 190), (238, 110, 160)]
    draw = ImageDraw.Draw(image)
    for number in range(11):
        r = size[1] * dice.uniform(0.07, 0.13)
        x, y = size[0] * (0.06 + 0.088 * number), size[1] * dice.uniform(0.2, 0.66)
        colour = colours[number % 6]
        draw.line((x, y + r, x + dice.uniform(-20, 20), y + r * 3.2), fill=(90, 90, 90), width=3)
        draw.ellipse((x - r * 0.86, y - r, x + r * 0.86, y + r * 1.1), fill=colour)
        light = tuple(min(255, c + 70) for c in colour)
        draw.ellipse((x - r * 0.5, y - r * 0.66, x - r * 0.1, y - r * 0.1), fill=light)
    return image.filter(ImageFilter.GaussianBlur(0.8))


def portrait(size: tuple[int, int] = (1200, 1500)) -> Image.Image:
    """A face that a Haar cascade takes for one: it looks for where a face is lighter and darker."""
    width = size[0]
    image = blended((148, 178, 190), (92, 124, 140), size)
    draw = ImageDraw.Draw(image)
    u = width / 1200

    def oval(x: float, y: float, rx: float, ry: float, fill: Colour) -> None:
        draw.ellipse(((x - rx) * u, (y - ry) * u, (x + rx) * u, (y + ry) * u), fill=fill)

    oval(600, 1560, 560, 330, (52, 78, 118))
    draw.rounded_rectangle((480 * u, 960 * u, 720 * u, 1330 * u), 90 * u, fill=(202, 150, 120))
    oval(600, 620, 400, 440, (62, 42, 34))
    oval(600, 740, 330, 420, (232, 186, 154))
    oval(600, 410, 330, 170, (62, 42, 34))
    for side in (-1, 1):
        oval(600 + side * 140, 660, 92, 56, (196, 146, 118))
        draw.arc(
            ((600 + side * 140 - 95) * u, 545 * u, (600 + side * 140 + 95) * u, 680 * u),
            200,
            340,
            fill=(60, 38, 30),
            width=round(24 * u),
        )
        oval(600 + side * 140, 672, 64, 34, (246, 244, 240))
        oval(600 + side * 140, 672, 33, 33, (58, 40, 30))
        oval(600 + side * 140 - 10, 662, 9, 9, (250, 250, 250))
        oval(600 + side * 185, 830, 70, 50, (236, 172, 148))
        oval(600 + side * 38, 838, 20, 13, (168, 112, 92))
    draw.polygon([(580 * u, 660 * u), (620 * u, 660 * u), (650 * u, 830 * u), (550 * u, 830 * u)], fill=(240, 200, 170))
    draw.chord((470 * u, 850 * u, 730 * u, 1010 * u), 10, 170, fill=(150, 60, 62))
    draw.chord((495 * u, 868 * u, 705 * u, 975 * u), 12, 168, fill=(250, 248, 244))
    return image.filter(ImageFilter.GaussianBlur(2.5 * u))


SAMPLES = {
    "Evening over the hills": sunset,
    "Four ridges": mountains,
    "Fir wood in the mist": forest,
    "Full moon": night,
    "Red sail": sea,
    "Eleven balloons": balloons,
    "Self-portrait": portrait,
}
"""Title -> what draws it."""
