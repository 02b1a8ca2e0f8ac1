"""The album in a real browser: upload by the form, gallery, one photo, labels, delete; with and without JavaScript."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from ..examples.photos import pictures
from ..examples.photos.ground import Ground, Instance, cleared, ground_of, migrate
from ..examples.photos.serving import serving
from .visit import Visit, flaws

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]


@pytest.fixture(scope="module")
def ground() -> Iterator[Ground]:
    with ground_of("postgres") as ground:
        yield ground


@pytest.fixture
def instance(ground: Ground) -> Iterator[Instance]:
    ground.mend()
    instance = ground.instance("web-1")
    migrate(instance.album.catalogue.engine)
    cleared(instance)
    yield instance
    ground.tidy()


@pytest.fixture
async def site(instance: Instance) -> AsyncIterator[str]:
    with serving(instance.app) as url:
        yield url


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Pictures, and what is none."""
    for name, draw in {"sea": pictures.sea, "forest": pictures.forest, "portrait": pictures.portrait}.items():
        (tmp_path / f"{name}.jpg").write_bytes(pictures.jpeg(draw()))
    (tmp_path / "paper.pdf").write_bytes(b"%PDF-1.7 no picture")
    (tmp_path / "large.jpg").write_bytes(b"\0" * 21_000_000)
    return tmp_path


async def upload(page: Page, file: Path, title: str = "") -> None:
    # A large one goes to the browser through its remote control, in text.
    await page.locator("input[type=file]").set_input_files(file, timeout=120_000)
    await page.get_by_label("Title").fill(title)
    await page.get_by_role("button", name="Upload").click()


async def picture_is_drawn(page: Page, name: str) -> None:
    await page.wait_for_function("name => [...document.images].some(one => one.alt === name && one.complete && one.naturalWidth > 0)", arg=name)  # fmt: skip


@pytest.mark.parametrize("javascript", [True, False], ids=["with JavaScript", "without"])
async def test_somebody_uploads_a_photo_finds_it_by_its_label_and_deletes_it(
    site: str, visit: Visit, files: Path, javascript: bool
) -> None:
    page = await visit(site, javascript=javascript)
    await expect(page.get_by_text("No photos yet.")).to_be_visible()
    await upload(page, files / "portrait.jpg", "Me, <i>drawn</i>")
    await expect(page.get_by_role("heading", name="Me, <i>drawn</i>")).to_be_visible()
    await expect(page.get_by_text("Stored.")).to_be_visible()
    if javascript:
        await picture_is_drawn(page, "Me, <i>drawn</i>")
    await expect(page.get_by_text("found by the local detector")).to_be_visible()
    await expect(page.get_by_text("answered by web-1 in zone a")).to_be_visible()

    await page.get_by_role("link", name="Photos").click()
    await upload(page, files / "forest.jpg", "Fir wood")
    await page.get_by_role("link", name="Photos").click()
    await expect(page.get_by_text("2 photos")).to_be_visible()
    await page.get_by_role("navigation", name="Labels").get_by_role("link", name="Face").click()
    cards = page.locator(".grid li")
    await expect(cards).to_have_count(1)
    await cards.get_by_role("link").click()
    await expect(page.get_by_role("heading", name="Me, <i>drawn</i>")).to_be_visible()

    await page.get_by_text("Delete", exact=True).click()
    await page.get_by_role("button", name="Delete for ever").click()
    await expect(page.get_by_text("Deleted.")).to_be_visible()
    await expect(page.locator(".grid li")).to_have_count(1)
    await expect(page.get_by_text("1 photo", exact=True)).to_be_visible()


async def test_keys_lead_from_photo_to_photo(site: str, visit: Visit, files: Path) -> None:
    page = await visit(site)
    for name in ("sea", "forest", "portrait"):
        await upload(page, files / f"{name}.jpg", name)
        await page.get_by_role("link", name="Photos").click()
    await page.locator(".grid a").first.click()
    await expect(page.get_by_role("heading", name="portrait")).to_be_visible()
    for key, name in (("ArrowRight", "forest"), ("ArrowRight", "sea"), ("ArrowRight", "sea"), ("ArrowLeft", "forest")):
        await page.wait_for_load_state()
        await page.keyboard.press(key)
        await expect(page.get_by_role("heading", name=name)).to_be_visible()


async def test_what_is_no_photo_is_refused_on_a_page_that_leads_back(site: str, visit: Visit, files: Path) -> None:
    page = await visit(site)
    await upload(page, files / "paper.pdf")
    await expect(page.get_by_role("heading", name="This is no JPEG, PNG, WebP or GIF.")).to_be_visible()
    assert await flaws(page) == []
    await page.get_by_role("link", name="To the gallery").click()
    await expect(page.get_by_text("No photos yet.")).to_be_visible()


async def test_a_file_that_is_too_large_is_not_even_sent(site: str, visit: Visit, files: Path) -> None:
    page = await visit(site)
    await upload(page, files / "large.jpg")
    assert page.url == f"{site}/"
    said = await page.locator("input[type=file]").evaluate("input => input.validationMessage")
    assert "more than 20 MB" in said
    await upload(page, files / "sea.jpg", "smaller")
    await expect(page.get_by_role("heading", name="smaller")).to_be_visible()


async def test_loading_again_and_the_back_button_store_nothing_twice(
    site: str, instance: Instance, visit: Visit, files: Path
) -> None:
    page = await visit(site)
    await upload(page, files / "sea.jpg", "Sea")
    await expect(page.get_by_text("Stored.")).to_be_visible()
    await page.reload()
    # A page that the browser kept is not loaded anew.
    await page.go_back(wait_until="commit")
    await expect(page.get_by_role("button", name="Upload")).to_be_enabled()
    await upload(page, files / "sea.jpg", "Sea")
    await expect(page.get_by_role("heading", name="Sea")).to_be_visible()
    assert instance.album.catalogue.count() in (1, 2), "the page may have been loaded anew, with another form"
    await page.goto(site)
    shown = await page.locator(".grid li").count()
    assert shown == instance.album.catalogue.count()


async def test_a_form_of_another_site_is_refused(site: str, visit: Visit, instance: Instance) -> None:
    page = await visit(site)
    # As if it stood on another page: the cookie goes along, the token is not known there.
    await page.locator("input[name=csrf_token]").evaluate("field => { field.value = 'guessed' }")
    await page.locator("input[type=file]").set_input_files({"name": "x.png", "mimeType": "image/png", "buffer": pictures.encoded(pictures.plain(), "PNG")})  # fmt: skip
    await page.get_by_role("button", name="Upload").click()
    await expect(page.get_by_role("heading", name="This form is too old, or it did not come from this site.")).to_be_visible()  # fmt: skip
    assert instance.album.catalogue.count() == 0


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
async def test_every_page_is_usable(
    site: str, instance: Instance, visit: Visit, width: int, dark: bool, tmp_path: Path
) -> None:
    visitor = instance.visitor()
    page = await visit(site, width=width, dark=dark)
    assert await flaws(page) == []
    stored = [visitor.upload(pictures.jpeg(draw((400, 300))), title=title) for title, draw in pictures.SAMPLES.items()]
    long = visitor.upload(pictures.encoded(pictures.plain(size=(3000, 200)), "PNG"), title="Panorama" * 20)
    pages = ("/", "/?label=Mostly+blue", stored[3]["url"], stored[6]["url"], long["url"], "/nothing")
    for path in pages:
        await page.goto(f"{site}{path}")
        assert await flaws(page) == [], path
        await page.screenshot(path=tmp_path / "page.png", full_page=True)
    await page.goto(f"{site}{stored[0]['url']}")
    await page.get_by_text("Delete", exact=True).click()
    assert await flaws(page) == []


async def test_without_bucket_or_database_the_pages_say_so(
    site: str, ground: Ground, instance: Instance, chromium: object, files: Path
) -> None:
    from .chromium import Chromium
    from .visit import visits

    assert isinstance(chromium, Chromium)
    stored = instance.visitor().upload(pictures.jpeg(pictures.sea()), title="Sea")
    # Pictures that cannot be shown are complaints of the browser's here.
    with ExitStack() as after:
        after.callback(ground.mend)
        async with visits(chromium.endpoint, strict=False) as visit:
            ground.bucket.cut()
            await_gone(instance)
            page = await visit(site)
            await expect(page.get_by_role("alert")).to_contain_text("The photos are safe.")
            assert await flaws(page) == []
            page = await visit(f"{site}{stored['url']}", dark=True)
            await expect(page.get_by_role("alert")).to_contain_text("The photo is safe.")
            assert await flaws(page) == []
            ground.mend()
            ground.database.cut()
            page = await visit(site, expect=503)
            await expect(page.get_by_role("heading", name="The database does not answer.")).to_be_visible()
            assert await flaws(page) == []
            ground.mend()
            await page.reload()
            await expect(page.get_by_text("1 photo", exact=True)).to_be_visible()


def await_gone(instance: Instance) -> None:
    """An answer of the bucket is believed for two seconds."""
    import time

    deadline = time.monotonic() + 30
    while instance.album.bucket.answers():
        assert time.monotonic() < deadline
        time.sleep(0.05)
