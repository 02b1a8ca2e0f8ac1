"""What may come in, and what is made of it: bytes of strangers, and pictures of ours."""

from __future__ import annotations

import io
import threading

import pytest
from PIL import Image, ImageChops, ImageCms

from . import malformed, pictures
from .ground import Ground, objects_of, picture_module
from .malformed import MARK, accepted, refused, with_orientation

# Pillow grumbles at what is odd and reads on.
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:PIL")

drawn = picture_module.drawn


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def near(pixel: object, colour: tuple[int, int, int], by: int = 12) -> bool:
    assert isinstance(pixel, tuple)
    return all(abs(one - other) <= by for one, other in zip(pixel, colour, strict=True))


# Through the app, with everything behind it


@pytest.mark.live
@pytest.mark.timeout(300)
def test_a_hundred_uploads_that_are_no_photos_are_refused_and_leave_nothing(any_ground: Ground) -> None:
    instance = any_ground.instance()
    visitor = instance.visitor()
    kept = visitor.upload(malformed.JPEG)["id"]
    form, tried = visitor.form(), 0
    for name, data, statuses in refused():
        answer = visitor.send(data, form=form, name=name)
        assert answer.status_code in statuses, (name, answer.status_code, answer.text)
        assert set(answer.json) == {"error", "next"}
        assert name not in answer.text, "the name that came with it is not repeated"
        tried += 1
    assert tried >= 100
    assert visitor.gallery() == [kept]
    assert objects_of(instance.album) == {kept: 3}
    assert visitor.upload(malformed.PNG, form=form)["format"] == "PNG", "and the next photo is taken"


@pytest.mark.live
@pytest.mark.timeout(300)
def test_of_odd_pictures_and_polyglots_only_pixels_are_served(any_ground: Ground) -> None:
    visitor, tried = any_ground.instance().visitor(), 0
    for name, data in accepted():
        stored = visitor.upload(data, name=name)
        for kind in ("view", "thumb"):
            answer = visitor.get(stored[kind])
            assert answer.mimetype == "image/jpeg", name
            served = opened(answer.data)
            assert (served.format, served.mode, getattr(served, "n_frames", 1)) == ("JPEG", "RGB", 1), name
            assert MARK not in answer.data, name
            assert not served.getexif(), name
            assert set(served.info) <= {"jfif", "jfif_version", "jfif_unit", "jfif_density", "progressive", "progression"}, name  # fmt: skip
        tried += 1
    assert tried >= 50
    assert len(any_ground.instance().album.catalogue.page(100).photos) == tried


@pytest.mark.live
def test_a_refusal_is_a_page_that_says_what_to_do(any_ground: Ground) -> None:
    visitor = any_ground.instance().visitor()
    for data, status, words in (
        (b"%PDF-1.7", 415, "its content decides"),
        (pictures.jpeg(pictures.sea())[:20000], 422, "cut off"),
        (malformed.resized_jpeg(65000, 65000), 413, "50 million are the most"),
        (b"\0" * 21_000_000, 413, "20 MB"),
    ):
        answer = visitor.post_form("/photos", visitor.form(), {"photo": ("x.jpg", data)})
        assert answer.status_code == status
        assert words in answer.text
        assert "Retry-After" not in answer.headers


# What is drawn


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "GIF"])
def test_a_picture_is_drawn_in_two_sizes_with_its_proportions(format: str) -> None:
    image = pictures.blended((200, 40, 30), (20, 60, 200), (3000, 1500))
    picture = drawn(pictures.encoded(image, format))
    assert (picture.width, picture.height) == (3000, 1500)
    assert picture.format == {"WEBP": "WebP"}.get(format, format)
    view, thumb = opened(picture.view), opened(picture.thumb)
    assert (view.size, thumb.size) == ((2048, 1024), (640, 320))
    assert near(view.getpixel((1024, 20)), (198, 40, 32), 24)
    assert near(view.getpixel((1024, 1004)), (22, 60, 198), 24)


def test_a_small_picture_stays_small() -> None:
    picture = drawn(pictures.encoded(pictures.plain(size=(7, 5)), "PNG"))
    assert opened(picture.view).size == opened(picture.thumb).size == (7, 5)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_shown_the_way_the_camera_was_held(orientation: int) -> None:
    upright = Image.new("RGB", (90, 60), (250, 250, 250))
    upright.paste((230, 20, 20), (0, 0, 30, 20))  # top left
    upright.paste((20, 20, 230), (60, 40, 90, 60))  # bottom right
    # What a camera writes that is held so: the inverse of what is done to look at it.
    undo = {2: 0, 3: 3, 4: 1, 5: 5, 6: 2, 7: 6, 8: 4}
    written = upright.transpose(Image.Transpose(undo[orientation])) if orientation > 1 else upright
    data = with_orientation(pictures.jpeg(written, quality=95), 3, bytes((0, orientation, 0, 0)))
    picture = drawn(data)
    view = opened(picture.view)
    assert (picture.width, picture.height) == view.size == (90, 60)
    assert near(view.getpixel((10, 8)), (230, 20, 20), 30)
    assert near(view.getpixel((80, 52)), (20, 20, 230), 30)


def test_where_and_by_whom_it_was_taken_is_not_passed_on() -> None:
    data = pictures.encoded(malformed.SMALL, "JPEG", exif=malformed.exif(), comment=b"planted")
    assert opened(data).getexif().get_ifd(0x8825), "the upload does say where"
    picture = drawn(data)
    for served in (picture.view, picture.thumb):
        assert not opened(served).getexif()
        assert b"Exif" not in served
        assert b"Planted" not in served
        assert b"planted" not in served


def test_what_is_transparent_is_white_and_what_is_half_so_is_between() -> None:
    image = Image.new("RGBA", (30, 10), (255, 0, 0, 255))
    image.paste((255, 0, 0, 0), (10, 0, 20, 10))
    image.paste((0, 0, 0, 128), (20, 0, 30, 10))
    for format in ("PNG", "WEBP"):
        view = opened(drawn(pictures.encoded(image, format, lossless=True)).view)
        assert near(view.getpixel((4, 5)), (255, 0, 0), 40)
        assert near(view.getpixel((15, 5)), (255, 255, 255), 40)
        assert near(view.getpixel((27, 5)), (127, 127, 127), 40)


def test_sixteen_bits_of_grey_are_not_all_white() -> None:
    image = Image.new("I;16", (20, 20), 0x8000)
    view = opened(drawn(pictures.encoded(image, "PNG")).view)
    assert near(view.getpixel((10, 10)), (128, 128, 128))


def test_cmyk_has_its_colours_the_right_way_round() -> None:
    image = pictures.plain((240, 230, 20)).convert("CMYK")
    assert near(opened(drawn(pictures.encoded(image, "JPEG")).view).getpixel((50, 50)), (240, 230, 20), 25)


def test_the_colours_of_a_profile_are_kept_and_the_profile_is_not() -> None:
    # XYZ with a profile of its own: without it the numbers would mean other colours.
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    data = pictures.encoded(pictures.plain((200, 90, 40)), "JPEG", icc_profile=profile)
    view = opened(drawn(data).view)
    assert near(view.getpixel((50, 50)), (200, 90, 40))
    assert "icc_profile" not in view.info


def test_of_an_animation_the_first_picture_is_shown() -> None:
    frames = [pictures.plain((250, 20, 20)), pictures.plain((20, 250, 20))]
    for format in ("GIF", "WEBP", "PNG"):
        data = pictures.encoded(frames[0], format, save_all=True, append_images=frames[1:], duration=50)
        assert near(opened(drawn(data).view).getpixel((50, 50)), (250, 20, 20), 30), format


def test_what_is_drawn_looks_like_what_came() -> None:
    image = pictures.mountains()
    view = opened(drawn(pictures.jpeg(image)).view)
    difference = ImageChops.difference(image, view).convert("L")
    assert sum(difference.histogram()[16:]) < 0.01 * image.width * image.height


def test_a_large_photo_of_a_camera_is_not_decoded_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[tuple[int, int]] = []
    monkeypatch.setattr(picture_module, "_orientation", lambda image: decoded.append(image.size) or 1)
    picture = drawn(pictures.jpeg(pictures.plain(size=(8000, 6000))))
    assert decoded == [(4000, 3000)], "a quarter of the memory"
    assert (picture.width, picture.height) == (8000, 6000)
    assert opened(picture.view).size == (2048, 1536)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "1", "I;16"])
def test_a_large_picture_is_made_smaller_before_it_is_worked_on(monkeypatch: pytest.MonkeyPatch, mode: str) -> None:
    """Other than a JPEG, it can only be decoded whole."""
    ramp = Image.linear_gradient("L").resize((6500, 4100))
    image = Image.merge("LA", (ramp, ramp)).convert(mode) if "A" in mode else ramp.convert(mode)
    worked_on, in_srgb = [], picture_module._in_srgb
    monkeypatch.setattr(picture_module, "_in_srgb", lambda image: worked_on.append(image.size) or in_srgb(image))
    picture = drawn(pictures.encoded(image, "PNG", compress_level=1))
    assert worked_on == [(2167, 1367)], "a third each way"
    assert (picture.width, picture.height) == (6500, 4100)
    view = opened(picture.view).convert("L")
    assert view.size == (2048, 1292)
    small = image.convert("RGBA").reduce(3).resize(view.size)
    behind = Image.new("RGBA", view.size, "white")
    behind.alpha_composite(small)
    difference = ImageChops.difference(behind.convert("L"), view)
    if mode != "I;16":
        assert sum(difference.histogram()[24:]) < 0.01 * view.width * view.height
    else:
        assert view.getextrema()[1] <= 1, "256 is one of 65,536"


@pytest.mark.parametrize("size", [(1, 9000), (9000, 1), (4095, 10), (4096, 4097), (20_000, 37)])
def test_a_large_picture_of_any_shape_keeps_it_to_a_pixel_or_two(size: tuple[int, int]) -> None:
    picture = drawn(pictures.encoded(pictures.plain(size=size), "PNG"))
    view = opened(picture.view)
    scale = 2048 / max(size)
    assert view.size == tuple(pytest.approx(max(1, side * scale), abs=2) for side in size)
    assert near(view.getpixel((view.width - 1, view.height - 1)), (40, 90, 200))


def test_only_so_many_are_worked_on_at_once_and_the_others_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(picture_module, "PATIENCE", 0.05)
    data, at_work, leave = malformed.JPEG, threading.Semaphore(0), threading.Event()

    def linger(image: Image.Image) -> int:
        at_work.release()
        assert leave.wait(30)
        return 1

    monkeypatch.setattr(picture_module, "_orientation", linger)
    threads = [threading.Thread(target=drawn, args=(data,)) for _ in range(picture_module.AT_ONCE)]
    for thread in threads:
        thread.start()
    try:
        assert all(at_work.acquire(timeout=30) for _ in threads)
        with pytest.raises(picture_module.Busy):
            drawn(data)
    finally:
        leave.set()
        for thread in threads:
            thread.join(30)
    monkeypatch.undo()
    assert drawn(data).format == "JPEG"
