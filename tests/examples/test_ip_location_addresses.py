"""What people type, and what the rules of addresses make of it: nothing of this reaches the provider."""

from __future__ import annotations

from ipaddress import ip_address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from .site import PUBLIC, Settings, instances

from iplocation.addresses import asker, parse  # isort: skip (site.py knows where it is)
from iplocation.places import Place, place_of  # isort: skip
from iplocation.providers import Failed  # isort: skip

HINTS = {
    "nothing to look up": ["", " ", "\t", "\n", "\r\n", "  \t "],
    "characters that no address has": [
        "١.١.١.١", "８.８.８.８", "1。1。1。1", "8.8.8.8\u200b", "\ufeff8.8.8.8", "8.8.8.٨", "२.२.२.२", "①.1.1.1", "8．8．8．8",
        "é", "::ﬀ", "日本", "🏠", "8.8.8.8\u00a0", "8.8.8.8\u2028", "８.8.8.8", "1.1.1.1́", "٠.0.0.0", "𝟏.1.1.1", "a\u0301.b",
        "1.1.1.²", "Ⅷ.8.8.8", "::１", "fe80::１", "‮8.8.8.8",
    ],
    "blanks or control characters": [
        "8. 8.8.8", "8.8.8.8 1.1.1.1", "8.8\t.8.8", "8.8.8\n.8", "8.8.8.8\x008", "\x008.8.8.8", "8.8.8.8\x7f", "\x1b[31m8.8.8.8",
        "8 8 8 8", ":: 1", "8.8.8.8\r\nX-Header: 1", "GET / HTTP/1.1", "1.1.1.1 or 1=1", "' or '1' = '1", "8.8.8.8; rm -rf", "a b",
    ],
    "a network or a path": [
        "10.0.0.0/8", "8.8.8.8/32", "2001:db8::/32", "http://8.8.8.8", "../../etc/passwd", "8.8.8.8/", "/", "//", "8.8.8.8/255.255.255.0",
        "https://example.com/?q=1", "<script>alert(1)</script>", "</title><b>", "file:///etc/hosts", "1/2", "..%2f/etc",
    ],
    "a zone": ["fe80::1%eth0", "fe80::1%25eth0", "::1%1", "8.8.8.8%", "%00", "%", "2001:db8::1%", "%2e%2e", "%s%s%s", "8.8.8.8%0a"],
    "without brackets": ["[::1]", "[2001:db8::1]:443", "[8.8.8.8]", "[", "]", "[]", "a[0]", "[::ffff:8.8.8.8]"],
    "longer than any address": ["1" * 46, "8." * 100, ":" * 50, "a" * 1000, "9" * 5000, "ffff:" * 20, "1.1.1." + "1" * 60, "x" * 100000],
    "begins with 0": [
        "08.8.8.8", "010.0.0.1", "8.8.8.08", "00.0.0.0", "8.008.8.8", "0177.0.0.01", "127.0.0.01", "1.1.1.00", "01.01.01.01", "192.168.01.1",
        "000.000.000.000", "0127.1", "001.1.1.1",
    ],
    "one number": ["134744072", "0x08080808", "0XFF", "1", "0", "4294967295", "9999999999", "0x7f000001", "127", "0xdeadbeef"],
    "four numbers": ["127.1", "8.8", "8.8.8", "192.168.1", "1.2", "10.1.1"],
    "at most 255": ["256.1.1.1", "8.8.8.256", "999.999.999.999", "1.1.1.1000", "300.0.0.1", "8.8.8.99999"],
    "without the port": ["8.8.8.8:53", "127.0.0.1:8080", "1.1.1.1:0", "8.8.8.8:99999"],
    "eight groups": [
        ":::", "1::2::3", "2001:db8", "12345::", "::12345", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9", ":", "::1:", ":1::", "1:2:3:4:5:6:7:8::",
        "2001:db8:::1", "fe80:::1", "::256.1.1.1", "::1.1.1", "1:2", "a:b", "::ffff:8.8.8", "::ffff:8.8.8.8.8", "1::1.2.3.4:5", "2001:0db8:00001::",
        "::08.8.8.8", "abcd:", ":abcd", "::1::", "0:0:0:0:0:0:0", "1:2:3:4:5:6:7:", ":2:3:4:5:6:7:8",
    ],
    "a name": [
        "localhost", "example.com", "www.example.com.", "dead.beef", "a", "8.8.8.8a", "x8.8.8.8", "8.8.8.x", "0x8.0x8.0x8.0x8", "1e3.1.1.1", "ipv4",
        "eth0", "example.com.", "null", "None", "undefined", "NaN", "8.8.8.8.example.com", "one.two.three.four", "127.0.0.one",
        "0b1.1.1.1", "8.8.8.8L", "1.1.1.1e0", "my-host", "my_host.local", "8.8.8.0x8", "o.o.o.o", "I27.0.0.1",
    ],
    "no IPv4 address": [
        "8,8,8,8", "8-8-8-8", "1_0.0.0.1", "8..8.8", ".8.8.8.8", "8.8.8.8.", "....", "8.8.8.8.8", "+8.8.8.8", "-1.8.8.8", "8.8.8.-8", "1.1.1.1,2.2.2.2", "1.1.1.1;", "1.1.1.1#",
        "::g", "1.1.1.1?x=1", "{{7*7}}", "${env.HOME}", "`id`", "\\\\host", "@", "*", "a@b", "'", '"', "&lt;", "~", "!", "1.1.1.1'", "$IFS",
        "2001:db8::zz", "g::1", "=", "(8.8.8.8)", "8.8.8.8\\", "::ffff:8.8.8.8,",
    ],
}  # fmt: skip
"""What the sentence must hold, for each malformed text."""

MALFORMED = [(text, hint) for hint, texts in HINTS.items() for text in texts]


def test_there_are_at_least_two_hundred_malformed_addresses_and_no_two_are_the_same() -> None:
    texts = [text for text, _ in MALFORMED]
    assert len(texts) == len(set(texts)) >= 200


@pytest.mark.parametrize(("text", "hint"), MALFORMED, ids=[f"{number:03}" for number in range(len(MALFORMED))])
def test_a_malformed_address_is_told_what_is_wrong_with_it(text: str, hint: str) -> None:
    found = parse(text)
    assert (found.kind, found.ip) == ("malformed", None)
    assert hint in found.reason
    assert len(found.text) <= 61
    assert found.text.isprintable(), "what is shown again can be shown"


KINDS = {
    "private": ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "fc00::1", "fd12:3456::1", "fec0::1"],
    "loopback": ["127.0.0.1", "127.255.255.255", "::1"],
    "link-local": ["169.254.169.254", "fe80::1", "febf::1"],
    "shared": ["100.64.0.1", "100.127.255.255"],
    "documentation": ["192.0.2.1", "198.51.100.7", "203.0.113.9", "2001:db8::1", "3fff::1", "3fff:fff:ffff::1"],
    "multicast": ["224.0.0.1", "239.255.255.255", "ff02::1", "ff0e::1"],
    "reserved": ["240.0.0.1", "192.0.0.8", "192.88.99.1", "4000::1", "1::1", "2001:100::1", "2001:20::1", "5f00::1"],
    "broadcast": ["255.255.255.255"],
    "unspecified": ["0.0.0.0", "0.1.2.3", "::"],
    "benchmarking": ["198.18.0.1", "198.19.255.255", "2001:2::1"],
    "tunnel": ["2002:c000:204::1", "2001:0:4136:e378::1"],
    "translated": ["64:ff9b::8.8.8.8", "64:ff9b:1::1"],
    "discard": ["100::1"],
    "mapped": ["::ffff:8.8.8.8", "::ffff:10.0.0.1", "::FFFF:808:808"],
    "public": [
        PUBLIC, "8.8.8.8", "1.1.1.1", "9.255.255.255", "11.0.0.0", "100.63.255.255", "100.128.0.0", "126.255.255.255",
        "128.0.0.0", "169.253.255.255", "172.15.255.255", "172.32.0.0", "192.0.1.0", "192.0.3.0", "192.167.255.255",
        "192.169.0.0", "198.17.255.255", "198.20.0.0", "223.255.255.255", "2001:200::1", "2001:4860:4860::8888",
        "2a00:1450::1", "3ffe::1", "2003::1", "2606:4700:4700::1111", " 8.8.8.8 ", "2001:DC3::35",
    ],
}  # fmt: skip


@pytest.mark.parametrize(("text", "kind"), [(text, kind) for kind, texts in KINDS.items() for text in texts])
def test_an_address_has_the_kind_that_the_registries_give_it(text: str, kind: str) -> None:
    found = parse(text)
    assert found.kind == kind
    assert found.public == (kind == "public") == (found.reason == "")
    assert found.text == str(ip_address(text.strip())), "written as everybody writes it"


def test_a_mapped_address_names_the_one_that_it_is() -> None:
    assert "8.8.8.8" in parse("::ffff:8.8.8.8").reason


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_every_address_has_a_kind_and_every_special_one_a_reason(ip: object) -> None:
    found = parse(str(ip))
    assert found.kind != "malformed"
    assert found.ip == ip
    assert found.public != bool(found.reason)


@given(st.text(max_size=80))
def test_no_text_breaks_it(text: str) -> None:
    found = parse(text)
    assert found.kind == "malformed" or found.ip is not None
    assert found.text.isprintable()


@pytest.mark.parametrize(
    ("forwarded", "client", "asked"),
    [
        ("203.0.113.7", "127.0.0.1", "203.0.113.7"),
        ("8.8.8.8, 203.0.113.7", "127.0.0.1", "203.0.113.7"),
        ("evil, <b>, 2001:db8::7", "", "2001:db8::7"),
        ("", "198.51.100.1", "198.51.100.1"),
        ("::ffff:198.51.100.1", "", "198.51.100.1"),
        ("198.51.100.1, not an address", "127.0.0.1", ""),
        ("", "", ""),
        ("", "/run/some.sock", ""),
    ],
)
def test_who_asks_is_the_last_that_the_load_balancer_wrote(forwarded: str, client: str, asked: str) -> None:
    assert asker(forwarded, client) == asked


class Never:
    """A provider that must not be asked."""

    name, metered = "never", False

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def find(self, ip: object) -> Place | None:
        self.asked.append(str(ip))
        raise Failed("it was asked")

    async def close(self) -> None:
        return


async def test_only_public_addresses_reach_the_provider() -> None:
    never = Never()
    async with instances(Settings(), provider=never) as [one]:
        for kind, texts in KINDS.items():
            for text in texts:
                page, data = await one.client.get("/", params={"ip": text}), await one.api(text.strip())
                assert data["kind"] == kind
                if kind == "public":
                    assert (page.status_code, data["answered_from"]) == (502, "nobody")
                else:
                    assert (page.status_code, data["answered_from"], data["place"]) == (200, "rules", None)
                    assert data["reason"]
                    assert "It has no place in the world" in page.text
        asked = len(never.asked)
        assert set(never.asked) == {str(ip_address(text.strip())) for text in KINDS["public"]}
        for text, hint in MALFORMED:
            if len(text) > 10_000:
                continue  # more than a URL can be; the load balancer refuses it
            page = await one.client.get("/", params={"ip": text})
            assert page.status_code == 400
            assert hint in page.text.replace("&#39;", "'")
        assert len(never.asked) == asked


async def test_the_api_tells_a_malformed_address_from_a_path_that_is_not_there() -> None:
    async with instances(Settings()) as [one]:
        assert (await one.get("/api/10.0.0.0/8")).json()["kind"] == "malformed"
        assert (await one.get("/api/%3Cscript%3E")).json()["ip"] == "<script>"
        assert (await one.get("/nowhere")).status_code == 404
        assert (await one.get("/api/8.8.8.8/../../etc/passwd")).status_code in (400, 404)


def test_a_place_lets_nothing_through_that_cannot_be_shown() -> None:
    place = place_of(
        {"country_code": "nl", "city": "Am\x00ster\u202edam" + "x" * 500, "latitude": 52, "longitude": 4.9}
    )
    assert place.country_code == "NL"
    assert place.city.startswith("Amsterdam")
    assert len(place.city) == 160
    assert place.flag == "\U0001f1f3\U0001f1f1"
    assert place_of({"latitude": 1}).coordinates == "", "half a point is none"
