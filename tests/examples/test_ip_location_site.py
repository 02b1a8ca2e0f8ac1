"""What ip-location shows, and what it is set up with: pages, headers, settings, the bundled table, the map."""

from __future__ import annotations

import re
import socket
from html.parser import HTMLParser
from ipaddress import ip_address
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.spec import read

from .ipstack import KEY, place
from .ipstack import Ipstack as Server
from .site import EXAMPLE, PUBLIC, Settings, instances

from iplocation.bundled import Bundled, networks  # isort: skip (site.py knows where it is)
from iplocation.places import Place  # isort: skip
from iplocation.settings import SettingsError, settings_of  # isort: skip
from iplocation.words import span  # isort: skip
from iplocation.worldmap import map_of  # isort: skip

EVIL = "<script>alert('x')</script><img src=x onerror=alert(1)>\"'&"


class Page(HTMLParser):
    """The tags of a page, with their attributes; it fails when they are not closed in order."""

    VOID = ("meta", "link", "input", "img", "br", "hr")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self._open: list[str] = []
        self.feed(text)
        assert not self._open, f"not closed: {self._open}"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def names(self) -> set[str]:
        return {tag for tag, _ in self.tags}


# Pages


async def test_every_answer_says_which_instance_gave_it_and_lets_a_browser_run_nothing() -> None:
    async with instances(Settings()) as [one]:
        for path in (
            "/",
            f"/?ip={PUBLIC}",
            "/?ip=",
            "/?ip=x",
            f"/api/{PUBLIC}",
            "/health",
            "/static/style.css",
            "/nowhere",
        ):
            answer = await one.get(path)
            assert answer.headers["X-Instance"] == "web-1"
            assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'; style-src 'self'")
            assert "unsafe" not in answer.headers["Content-Security-Policy"]
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert ("no-store" in answer.headers.get("Cache-Control", "")) != path.startswith("/static/")
        assert (await one.client.head("/health")).status_code == 200
        assert (await one.client.post("/")).status_code == 405


async def test_no_path_leads_to_the_host_that_a_request_names() -> None:
    async with instances(Settings()) as [one]:
        for path in ("/status/", "/health/", "/static", "/api//elsewhere.test", "/elsewhere.test/"):
            answer = await one.get(path, Host="elsewhere.test")
            assert (answer.status_code in (400, 404), "location" in answer.headers) == (True, False), path


async def test_a_page_has_no_script_no_style_of_its_own_and_nothing_from_elsewhere() -> None:
    async with instances(Settings()) as [one]:
        for path in ("/", f"/?ip={PUBLIC}", "/?ip=193.0.14.129", "/?ip=10.0.0.1", "/?ip=x", "/?ip=::ffff:8.8.8.8"):
            page = Page((await one.get(path)).text)
            assert not page.names() & {"script", "style", "iframe", "object", "embed", "base"}
            for _, attributes in page.tags:
                assert not [name for name in attributes if name.startswith("on") or name == "style"]
                for name in ("src", "href", "action"):
                    assert (attributes.get(name) or "/").startswith("/"), attributes
                    assert not (attributes.get(name) or "").startswith("//"), attributes


async def test_what_was_typed_is_shown_again_as_text() -> None:
    async with instances(Settings()) as [one]:
        answer = await one.client.get("/", params={"ip": EVIL[:50]})
        assert answer.status_code == 400
        page = Page(answer.text)
        assert not page.names() & {"script", "img"}
        [field] = [attributes for tag, attributes in page.tags if tag == "input"]
        assert field["value"] == EVIL[:50]
        assert field["aria-invalid"] == "true"


async def test_what_a_provider_says_is_shown_as_text() -> None:
    async with Server() as server, instances(Settings(key=KEY, url=server.url, timeout=30)) as [one]:
        server.says(PUBLIC, place(PUBLIC, city=EVIL, region_name=EVIL, country_name=EVIL))
        answer = await one.get(f"/?ip={PUBLIC}")
        assert answer.status_code == 200
        assert not Page(answer.text).names() & {"script", "img"}
        assert "&lt;script&gt;" in answer.text


@given(st.text(alphabet="<>\"'&{}%${}/\\ab01.:[]", max_size=60))
def test_no_text_becomes_markup(text: str) -> None:
    import asyncio

    async def ask() -> str:
        async with instances(Settings()) as [one]:
            return (await one.client.get("/", params={"ip": text})).text

    page = Page(asyncio.run(ask()))
    assert page.names() <= KNOWN


KNOWN = {
    "html", "head", "meta", "title", "link", "body", "header", "h1", "a", "form", "label", "div", "input", "button", "p", "main",
    "article", "h2", "svg", "path", "circle", "dl", "dt", "dd", "footer", "span", "strong", "code",
}  # fmt: skip


async def test_who_asks_is_offered_their_own_address() -> None:
    async with instances(Settings()) as [one]:
        answer = await one.get("/", x_forwarded_for="8.8.8.8, 198.51.100.4")
        assert 'value="198.51.100.4"' in answer.text
        assert (await one.get("/api", x_forwarded_for="1.2.3.4, 10.1.2.3")).json()["ip"] == "10.1.2.3"
        assert (await one.get("/api")).json()["ip"] == "203.0.113.9", "without a load balancer, whoever connects"
        evil = await one.get("/", x_forwarded_for=EVIL)
        assert 'value=""' in evil.text
        assert "script" not in Page(evil.text).names()
        assert (await one.get("/api", x_forwarded_for=EVIL)).status_code == 400


async def test_the_page_tells_where_the_answer_is_from_how_old_it_is_and_who_gave_it() -> None:
    async with instances(Settings()) as [one]:
        first, second = [(await one.get("/?ip=193.0.14.129")).text for _ in range(2)]
        assert "the provider, just now" in first
        assert "this instance&#39;s memory" in second
        for text in (first, second):
            facts = dict(re.findall(r"<dt>(.*?)</dt>\s*<dd>(.*?)</dd>", text))
            assert facts["City"] == "Amsterdam"
            assert facts["Country"] == "Netherlands"
            assert facts["Instance"] == "web-1"
            assert facts["Age"].endswith(" s")
            assert facts["Fresh for"] in ("1 d", "23 h 59 min")
            assert "\U0001f1f3\U0001f1f1" in text
            assert "From the bundled table." in text


async def test_with_a_key_the_page_says_nothing_of_the_bundled_table() -> None:
    async with Server() as server, instances(Settings(key=KEY, url=server.url, timeout=30)) as [one]:
        text = (await one.get(f"/?ip={PUBLIC}")).text
        assert "Los Angeles" in text
        assert "bundled" not in text.lower()


def test_spans_are_in_words() -> None:
    spans = {
        0: "under 1 s",
        0.9: "under 1 s",
        1: "1 s",
        61: "1 min 1 s",
        3600: "1 h",
        5400: "1 h 30 min",
        90061: "1 d 1 h",
    }
    assert {seconds: span(seconds) for seconds in spans} == spans
    assert span(86400 * 30) == "30 d"
    assert span(3605) == "1 h", "seconds are nothing beside hours"


# The map


def test_a_point_is_where_it_belongs() -> None:
    greenwich = map_of(Place(latitude=0, longitude=0))
    assert (greenwich.x, greenwich.y, greenwich.view) == (360, 180, "0 12 720 284")
    sydney = map_of(Place(latitude=-33.9, longitude=151.2, city="Sydney"))
    assert (sydney.x, sydney.y) == (662.4, 247.8)
    assert "33.90°" in sydney.words
    assert map_of(None).radius == map_of(Place(region="Europe", precision="registry")).radius == 0
    assert map_of(Place(latitude=1, longitude=1, precision="country")).radius > greenwich.radius


def test_at_the_south_pole_the_map_goes_down_to_it() -> None:
    assert map_of(Place(latitude=-77.8, longitude=166.7)).view == "0 12 720 348"


def test_the_land_is_small_and_within_the_picture() -> None:
    text = (EXAMPLE / "iplocation/templates/land.svg").read_text()
    assert len(text) < 12_000
    path = re.search(r'd="([^"]+)"', text)
    assert path
    for part in path[1].split("\n"):
        numbers = [int(one) for one in re.findall(r"-?\d+", part)]
        x, y = numbers[:2]
        for dx, dy in zip(numbers[2::2], numbers[3::2], strict=True):
            x, y = x + dx, y + dy
            assert -10 <= x <= 730
            assert 0 <= y <= 360


# The bundled table


@pytest.mark.parametrize(
    ("ip", "title", "precision"),
    [
        ("193.0.14.129", "Amsterdam", "city"),
        ("2001:dc3::35", "Tokyo", "city"),
        ("8.8.8.8", "United States", "country"),
        ("18.1.2.3", "Cambridge", "city"),
        ("18.32.0.0", "North America", "registry"),
        ("41.0.0.1", "Africa", "registry"),
        ("200.1.1.1", "Latin America and the Caribbean", "registry"),
        ("2a00:1450::1", "Europe, the Middle East and Central Asia", "registry"),
        ("2400:cb00::1", "Asia and the Pacific", "registry"),
    ],
)
async def test_the_bundled_table_says_no_more_than_it_knows(ip: str, title: str, precision: str) -> None:
    found = await Bundled().find(ip_address(ip))
    assert found
    assert (found.title, found.precision) == (title, precision)
    assert bool(found.coordinates) == (precision != "registry")
    assert found.about


async def test_what_the_bundled_table_does_not_know_is_unknown() -> None:
    assert await Bundled().find(ip_address("3000::1")) is None


def test_every_network_of_the_bundled_table_is_public_and_complete() -> None:
    from iplocation.addresses import parse

    assert len(networks()) > 90
    for network, found in networks():
        assert parse(str(network[1])).public
        assert found.country
        assert found.about.endswith(".")
        assert found.coordinates
        assert bool(found.city) == (found.precision == "city")


# Settings


def test_the_environment_of_the_reference_system_is_understood() -> None:
    settings = settings_of({"CACHING_SERVER": "cache.internal", "IPSTACK_KEY": " abc \n", "CACHE_LIFETIME": "600"})
    assert (settings.cache_url, settings.key, settings.lifetime) == ("redis://cache.internal", "abc", 600)
    assert settings.instance == socket.gethostname()
    assert settings_of({"FAIRLEAD_INSTANCE": "web-3"}).instance == "web-3"


def test_nothing_set_is_the_same_as_empty() -> None:
    names = ("CACHING_SERVER", "IPSTACK_KEY", "CACHE_LIFETIME", "IPSTACK_URL", "UPSTREAM_BUDGET", "UPSTREAM_TIMEOUT")
    assert settings_of(dict.fromkeys(names, " ")) == settings_of({})
    assert settings_of({}).budget == 100


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("cache", "redis://cache"),
        ("cache:6380", "redis://cache:6380"),
        ("127.0.0.1:18000", "redis://127.0.0.1:18000"),
        ("2001:db8::5", "redis://[2001:db8::5]"),
        ("[2001:db8::5]:6380", "redis://[2001:db8::5]:6380"),
        ("redis://:se%2Fcret@cache:6379/2", "redis://:se%2Fcret@cache:6379/2"),
        ("rediss://user:secret@cache", "rediss://user:secret@cache"),
    ],
)
def test_the_caching_server_may_be_a_host_a_host_with_a_port_or_a_url(server: str, url: str) -> None:
    assert settings_of({"CACHING_SERVER": server}).cache_url == url


@pytest.mark.parametrize(
    "wrong",
    [
        {"CACHING_SERVER": "http://cache"}, {"CACHING_SERVER": "redis://:planted@"}, {"CACHING_SERVER": "cache:port"},
        {"CACHING_SERVER": "cache:99999"}, {"CACHING_SERVER": "a b"}, {"CACHING_SERVER": "redis://:planted@cache:x"},
        {"CACHE_LIFETIME": "soon"}, {"CACHE_LIFETIME": "-1"}, {"CACHE_LIFETIME": "0"}, {"CACHE_LIFETIME": "1e9"}, {"CACHE_LIFETIME": "nan"},
        {"CACHE_LIFETIME": "١"}, {"CACHE_TIMEOUT": "inf"}, {"UPSTREAM_BUDGET": "1.5"}, {"UPSTREAM_BUDGET": "-1"}, {"UPSTREAM_BUDGET": "many"},
        {"UPSTREAM_TIMEOUT": "0s"}, {"IPSTACK_URL": "ftp://x"}, {"IPSTACK_URL": "api.ipstack.com"}, {"IPSTACK_URL": "https://x/?access_key=planted"},
        {"IPSTACK_URL": "https://me:planted@x"}, {"IPSTACK_KEY": "planted key"}, {"IPSTACK_KEY": "planted\x07"}, {"IPSTACK_KEY": "plantedé"},
    ],
    ids=str,
)  # fmt: skip
def test_a_setting_that_makes_no_sense_stops_the_app_with_a_sentence_without_secrets(wrong: dict[str, str]) -> None:
    [name] = wrong
    with pytest.raises(SettingsError, match=name) as raised:
        settings_of(wrong)
    assert "planted" not in str(raised.value)


def test_the_settings_show_no_secret() -> None:
    assert "planted" not in repr(settings_of({"IPSTACK_KEY": "planted", "CACHING_SERVER": "redis://:planted@cache"}))


# The example as a whole


def test_its_file_declares_five_instances_in_two_zones_and_a_cache() -> None:
    stack = read(str(EXAMPLE / "fairlead.yaml"), env={})
    [service] = stack.services
    assert (stack.name, service.desired, service.health_check.path) == ("ip-location", 5, "/health")
    assert [resource.id for resource in stack.resources] == ["lookups"]


def test_the_files_are_small_enough_to_read() -> None:
    for path in [*EXAMPLE.rglob("*.py"), *EXAMPLE.rglob("*.html"), *EXAMPLE.rglob("*.css")]:
        assert len(path.read_text().splitlines()) < 300, path.name


def test_the_pictures_of_the_readme_are_there_and_light() -> None:
    for name in re.findall(r"!\[[^]]+\]\(([^)]+)\)", (EXAMPLE / "README.md").read_text()):
        assert 5_000 < Path(EXAMPLE / name).stat().st_size <= 150_000
