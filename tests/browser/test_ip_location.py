"""ip-location in a real browser: the form, what is shown, without JavaScript, in the dark, on a phone."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from playwright.async_api import Page, expect

from ..examples.ipstack import KEY, NOTHING, place
from ..examples.ipstack import Ipstack as Server
from ..examples.site import PUBLIC, Settings, create_app
from ..examples.valkey import Valkey
from .serving import serving
from .visit import Visit, flaws

pytestmark = [
    pytest.mark.live,
    # cashews 7.6 closes its client in the way of redis-py 4.
    pytest.mark.filterwarnings("ignore:Call to deprecated close:DeprecationWarning"),
]

EVIL = "<script>document.title='broken'</script>"


@pytest.fixture
def valkey(tmp_path: Path) -> Iterator[Valkey]:
    valkey = Valkey(tmp_path)
    valkey.start()
    yield valkey
    valkey.stop()


@pytest.fixture
async def server() -> AsyncIterator[Server]:
    async with Server() as server:
        server.says("130.161.1.2", place("130.161.1.2", country_code="NL", country_name="Netherlands", region_name="South Holland", city="Delft", latitude=52.0, longitude=4.37))  # fmt: skip
        yield server


@pytest.fixture
def settings(valkey: Valkey, server: Server) -> Settings:
    return Settings(cache_url=valkey.url, cache_timeout=10, key=KEY, url=server.url, timeout=30, instance="web-1")


@pytest.fixture
async def site(settings: Settings) -> AsyncIterator[str]:
    async with serving(create_app(settings)) as url:
        yield url


@pytest.fixture
async def bundled() -> AsyncIterator[str]:
    """Without a key and without a cache."""
    async with serving(create_app(Settings(instance="web-1"))) as url:
        yield url


async def look_up(page: Page, typed: str) -> None:
    await page.get_by_label("IP address").fill(typed)
    await page.get_by_role("button", name="Look up").click()


async def fact(page: Page, name: str) -> str:
    """The value beside a name."""
    return (await page.locator("dl div", has=page.get_by_text(name, exact=True)).locator("dd").inner_text()).strip()


async def test_somebody_looks_an_address_up_twice(site: str, visit: Visit, server: Server) -> None:
    page = await visit(site)
    await look_up(page, "130.161.1.2")
    await expect(page.get_by_role("heading", name="Delft")).to_be_visible()
    assert await fact(page, "Answer from") == "the provider, just now"
    await look_up(page, " 130.161.1.2 ")
    await expect(page.get_by_text("the cache", exact=True)).to_be_visible()
    assert await fact(page, "Country") == "Netherlands"
    assert await fact(page, "Region") == "South Holland"
    assert (await fact(page, "Coordinates")).replace("\u00a0", " ") == "52.00° N, 4.37° E"
    assert await fact(page, "Instance") == "web-1"
    assert (await page.title()).startswith("Delft")
    assert server.calls == ["130.161.1.2"]
    await expect(page.get_by_role("img", name="Flag of Netherlands")).to_be_visible()
    await expect(page.get_by_role("img", name="A map of the world with a mark at")).to_be_visible()


async def test_the_mark_is_where_the_place_is(site: str, visit: Visit) -> None:
    page = await visit(f"{site}/?ip=130.161.1.2")
    world, mark = await page.locator("svg.map").bounding_box(), await page.locator("circle.point").bounding_box()
    assert world
    assert mark
    across = (mark["x"] + mark["width"] / 2 - world["x"]) / world["width"]
    down = (mark["y"] + mark["height"] / 2 - world["y"]) / world["height"]
    assert across == pytest.approx((180 + 4.37) / 360, abs=0.005)
    assert down == pytest.approx((84 - 52.0) / (84 + 58), abs=0.01)


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 1280])
async def test_every_state_of_the_page_is_usable(
    bundled: str, visit: Visit, width: int, dark: bool, tmp_path: Path
) -> None:
    page = await visit(bundled, width=width, dark=dark)
    for name, query, status in (
        ("start", "", 200),
        ("city", "?ip=193.0.14.129", 200),
        ("country", "?ip=8.8.8.8", 200),
        ("registry", "?ip=2a00:1450:4001:0812:1234:5678:9abc:def0", 200),
        ("private", "?ip=10.0.0.1", 200),
        ("mapped", "?ip=::ffff:255.255.255.255", 200),
        ("nobody", "?ip=3000::1", 200),
        ("malformed", "?ip=" + "x" * 100, 400),
    ):
        response = await page.goto(f"{bundled}/{query}")
        assert response
        assert response.status == status
        assert await flaws(page) == [], name
        await page.screenshot(path=tmp_path / f"{name}.png", full_page=True)


async def test_an_answer_that_failed_and_one_that_is_old_are_told(
    settings: Settings, visit: Visit, server: Server
) -> None:
    app = create_app(replace(settings, lifetime=0.001))
    async with serving(app) as site:
        page = await visit(f"{site}/?ip={PUBLIC}")
        await expect(page.get_by_role("heading", name="Los Angeles")).to_be_visible()
        server.always(NOTHING)
        page = await visit(f"{site}/?ip={PUBLIC}")
        await expect(page.get_by_text("This answer is old.")).to_be_visible()
        assert await fact(page, "Fresh for") == "no longer"
        assert await flaws(page) == []
        page = await visit(f"{site}/?ip=9.9.9.9", expect=502)
        await expect(page.get_by_role("alert")).to_contain_text("Try again in")
        assert await flaws(page) == []


async def test_the_cache_goes_and_comes_back(site: str, visit: Visit, valkey: Valkey) -> None:
    page = await visit(f"{site}/?ip={PUBLIC}")
    warning = page.get_by_text("The cache cannot be reached.")
    await expect(warning).not_to_be_visible()
    valkey.kill()
    await page.reload()
    await expect(warning).to_be_visible()
    await expect(page.get_by_role("heading", name="Los Angeles")).to_be_visible()
    assert await fact(page, "Answer from") == "this instance's memory"
    assert await flaws(page) == []
    valkey.start()
    await expect(warning).to_be_visible()
    for _ in range(100):
        await page.reload()
        if not await warning.is_visible():
            break
        await page.wait_for_timeout(100)
    await expect(warning).not_to_be_visible()


async def test_nothing_needs_javascript(site: str, visit: Visit) -> None:
    page = await visit(site, javascript=False)
    await look_up(page, "130.161.1.2")
    await expect(page.get_by_role("heading", name="Delft")).to_be_visible()


async def test_the_keyboard_is_enough(site: str, visit: Visit) -> None:
    page = await visit(site)
    field = page.get_by_label("IP address")
    for _ in range(5):
        await page.keyboard.press("Tab")
        if await field.evaluate("element => element === document.activeElement"):
            break
    await page.keyboard.press("Control+A")
    await page.keyboard.type("130.161.1.2")
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("heading", name="Delft")).to_be_visible()


async def test_markup_stays_text_wherever_it_comes_from(site: str, visit: Visit, server: Server) -> None:
    page = await visit(site)
    await look_up(page, EVIL)
    await expect(page.get_by_role("alert")).to_contain_text(EVIL)
    server.says(PUBLIC, place(PUBLIC, city=EVIL, country_name=EVIL, region_name=EVIL))
    page = await visit(f"{site}/?ip={PUBLIC}")
    await expect(page.get_by_role("heading", name=EVIL)).to_be_visible()
    assert (await page.title()) != "broken"
    assert await page.locator("script").count() == 0


async def test_the_policy_stops_a_script_that_came_in_all_the_same(site: str, chromium: object) -> None:
    """So that the test above does not pass because nothing is ever noted."""
    from .visit import visits

    async with visits(chromium.endpoint, strict=False) as visit:  # type: ignore[attr-defined]
        page = await visit(site)
        noted: list[str] = []
        page.on("console", lambda message: noted.append(message.text))
        await page.evaluate("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">x</p>')")
        await page.evaluate(
            "document.body.append(Object.assign(document.createElement('img'), {src: 'http://127.0.0.1:1/x.png'}))"
        )
        for _ in range(100):
            if len(noted) >= 2:
                break
            await page.wait_for_timeout(50)
        assert all("Content Security Policy" in one for one in noted)
        assert len(noted) >= 2
