"""Ten thousand exchanges as one could have recorded them, always the same, and the app that answers them. Pure.

A request says in `X-Answer` what it wants: the app needs no state, so that it gives the same answer to the same request,
whoever else asks. Most answers tell what the app was sent, digests of bodies included."""

from __future__ import annotations

import gzip
import hashlib
import json
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

Fields = list[tuple[str, str]]

HOP_BY_HOP = frozenset(("connection", "keep-alive", "proxy-connection", "te", "transfer-encoding", "upgrade"))
ADDED = frozenset(("x-forwarded-for", "x-forwarded-proto", "x-forwarded-port", "x-amzn-trace-id"))
"""What the balancer adds to requests (aws-semantics A6): left out of what the app tells."""

LARGE = (1_000_000, 3_000_000, 10_000_000)


@dataclass(frozen=True)
class Asked:
    """A request. chunks: sizes of its body's chunks, none when it has a length or no body."""

    number: int
    method: str
    target: str
    fields: Fields
    body: bytes = b""
    chunks: tuple[int, ...] = ()
    trailers: Fields = field(default_factory=list)
    version: str = "HTTP/1.1"

    @property
    def expects(self) -> bool:
        return any(name == "Expect" for name, _ in self.fields)

    @property
    def closes(self) -> bool:
        return self.version == "HTTP/1.0" or ("Connection", "close") in self.fields

    @property
    def head(self) -> bytes:
        lines = [f"{self.method} {self.target} {self.version}", *(f"{name}: {value}" for name, value in self.fields)]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    @property
    def sent_body(self) -> bytes:
        """As it goes over the wire."""
        return chunked(self.body, self.chunks, self.trailers) if self.chunks else self.body


@dataclass(frozen=True)
class Reply:
    """An answer. framing: how its end is told; interim: (status, fields) each, before it."""

    status: int
    fields: Fields
    body: bytes = b""
    framing: str = "length"
    chunks: tuple[int, ...] = ()
    trailers: Fields = field(default_factory=list)
    interim: tuple[tuple[int, Fields], ...] = ()


def chunked(body: bytes, sizes: tuple[int, ...], trailers: Fields) -> bytes:
    """`body` in chunks of those sizes, again and again."""
    parts, at, turn = [], 0, 0
    while at < len(body):
        part = body[at : at + sizes[turn % len(sizes)]]
        parts.append(f"{len(part):x}\r\n".encode() + part + b"\r\n")
        at, turn = at + len(part), turn + 1
    ends = "".join(f"{name}: {value}\r\n" for name, value in trailers).encode("latin-1")
    return b"".join(parts) + b"0\r\n" + ends + b"\r\n"


# --- requests --------------------------------------------------------------------------------------------------------

METHODS = (
    *("GET",) * 50, *("POST",) * 18, *("HEAD",) * 6, *("PUT",) * 6, *("PATCH",) * 4, *("DELETE",) * 4,
    *("OPTIONS",) * 4, "PROPFIND", "REPORT", "MKCOL", "LOCK", "PURGE", "QUERY", "M-SEARCH", "FROBNICATE", "get",
    "x_custom", "CONNECTION", "TRACE",
)  # fmt: skip
WITH_BODY = frozenset(("POST", "PUT", "PATCH", "PROPFIND", "REPORT", "QUERY", "FROBNICATE"))

PATHS = (
    "/", "/index.html", "/api/v1/users", "/api/v1/users/42", "/a/b/c/d/e/f", "/static/app.3f2a.js", "/caf%C3%A9",
    "/%7Euser/", "/a%20b", "/a+b", "/100%25", "/a%2Fb", "/a%2fb", "/a%00b", "/%2e%2e/etc/passwd", "/a/../b", "/a/./b",
    "/../x", "/a/..", "//", "//double//slash", "/a//b/", "/;jsessionid=1", "/a;b=c/d", "/@user", "/a:b", "/a,b", "/a=b",
    "/~", "/$", "/!", "/(x)", "/'q'", "/*", "/a|b", "/[1]", "/{id}", "/a\\b", "/a^b", "/a`b", '/a"b', "/<x>", "/.well-known/x",
    "/favicon.ico", "/a.b.c", "/%E2%82%AC", "/%zz", "/%", "/a%", "/UPPER/lower", "/" + "deep/" * 60, "/" + "x" * 2000,
)  # fmt: skip
QUERIES = (
    "", "", "", "", "?", "?a=1", "?a=1&b=2", "?a=1&a=2", "?a", "?a=", "?=b", "?&&", "?a=b=c", "?q=caf%C3%A9&x=%20", "?a+b",
    "?a=1?b=2", "?/path?x", "?redirect=http://example.com/?x=1", "?a[]=1&a[]=2", "?%00", "?x=%0d%0aSet-Cookie:y", "?a;b",
    "?utm_source=x&utm_medium=y", "?q=" + "long" * 1500,
)  # fmt: skip
AGENTS = ("curl/8.5.0", "Mozilla/5.0 (X11; Linux x86_64) Gecko/20100101 Firefox/130.0", "python-requests/2.32", "")


def recorded(count: int, seed: int = 5) -> Iterator[Asked]:
    """`count` requests, the same for the same seed."""
    for number in range(count):
        yield _one(number, random.Random(seed * 1_000_003 + number), large=number % (count // 8 or 1) == 7)


def _one(number: int, dice: random.Random, *, large: bool) -> Asked:
    method = dice.choice(METHODS)
    target = dice.choice(PATHS) + dice.choice(QUERIES)
    if method == "OPTIONS" and dice.random() < 0.4:
        target = "*"
    elif dice.random() < 0.02:
        target = "http://shop.test" + dice.choice(PATHS[:6])
    answer = "large" if large and number % 2 else _answer(dice)
    fields = [("Host", "shop.test"), ("X-Answer", f"{answer} {number}"), *_fields(dice)]
    if answer == "range":
        fields.append(
            (
                "Range",
                dice.choice(("bytes=0-99", "bytes=100-", "bytes=-50", "bytes=0-0", "bytes=0-9,20-29", "bytes=9999-")),
            )
        )
    if answer == "conditional":
        tag = dice.choice(('"v1"', 'W/"v1"', '"v0"', "*", '"v0", "v1"'))
        fields.append((dice.choice(("If-None-Match", "If-Match")), tag))
    if dice.random() < 0.03:
        fields.append(("Connection", dice.choice(("close", "keep-alive", "Keep-Alive"))))
    version = "HTTP/1.0" if dice.random() < 0.01 else "HTTP/1.1"
    body = _body(dice, large) if method in WITH_BODY or dice.random() < 0.02 or (large and method == "GET") else None
    if body is None:
        if dice.random() < 0.05:
            fields.append(("Content-Length", "0"))
        return Asked(number, method, target, fields, version=version)
    return _with_body(Asked(number, method, target, fields, body, version=version), dice)


def _with_body(asked: Asked, dice: random.Random) -> Asked:
    fields, body = list(asked.fields), asked.body
    if dice.random() < 0.1 and len(body) < 100_000:
        body = gzip.compress(body, mtime=0)
        fields.append(("Content-Encoding", "gzip"))
    fields.append(
        ("Content-Type", dice.choice(("application/json", "text/plain; charset=utf-8", "application/octet-stream")))
    )
    if body and dice.random() < 0.1 and asked.version == "HTTP/1.1":
        fields.append(("Expect", "100-continue"))
    chunks: tuple[int, ...] = ()
    trailers: Fields = []
    if dice.random() < 0.35 and asked.version == "HTTP/1.1":
        chunks = tuple(dice.choice((1, 7, 100, 4096, 16384, 70000)) + 13 * (len(body) > 10_000) for _ in range(3))
        fields.append(("Transfer-Encoding", "chunked"))
        if dice.random() < 0.2:
            trailers = [("X-Checksum", hashlib.md5(body).hexdigest()), ("X-Done", "yes")]
            fields.append(("Trailer", "X-Checksum, X-Done"))
    else:
        fields.append(("Content-Length", str(len(body))))
    return Asked(asked.number, asked.method, asked.target, fields, body, chunks, trailers, asked.version)


def _body(dice: random.Random, large: bool) -> bytes:
    if large:
        return dice.randbytes(dice.choice(LARGE))
    return dice.randbytes(
        dice.choice((0, 0, 1, 2, 10, 100, 512, 1000, 1460, 4096, 8192, 15_000, 16_384, 20_000, 65_536))
    )


def _fields(dice: random.Random) -> Fields:
    found: Fields = [("User-Agent", dice.choice(AGENTS)), ("Accept", "*/*")]
    if dice.random() < 0.3:
        found.append(("Cookie", "; ".join(f"c{n}={dice.getrandbits(64):x}" for n in range(dice.randrange(1, 9)))))
    if dice.random() < 0.05:
        found += [("Cookie", "second=line"), ("cookie", "third=line")]
    if dice.random() < 0.1:
        found += [("X-Repeated", "one"), ("X-Repeated", "two"), ("x-repeated", "three"), ("Accept", "text/html;q=0.9")]
    if dice.random() < 0.05:
        found += [(f"X-Many-{n}", "v" * dice.randrange(60)) for n in range(dice.randrange(20, 100))]
    if dice.random() < 0.05:
        found += [
            ("X_Under", "score"),
            ("X.Dot", "dot"),
            ("X-Empty", ""),
            ("X-Inner", 'a  b\tc, "d, e"'),
            ("X-Latin", "caf\xe9"),
        ]
    if dice.random() < 0.1:
        found += [
            ("Authorization", "Bearer " + "t" * dice.randrange(20, 900)),
            ("Accept-Encoding", "gzip, deflate, br"),
        ]
    if dice.random() < 0.05:
        found += [
            ("Forwarded", "for=1.2.3.4"),
            ("Via", "1.1 other"),
            ("Origin", "https://shop.test"),
            ("Cache-Control", "no-cache"),
        ]
    if dice.random() < 0.03:
        found += [("TE", "trailers"), ("Max-Forwards", "3"), ("Accept-Language", "de-CH, de;q=0.9, *;q=0.1")]
    return found


def _answer(dice: random.Random) -> str:
    return dice.choice(
        ("echo",) * 12 + ("chunked",) * 5 + ("close",) * 2 + ("status",) * 6
        + ("range", "range", "conditional", "conditional", "gzip", "hints", "cookies", "many", "trailers", "sized", "early")
    )  # fmt: skip


# --- the app ---------------------------------------------------------------------------------------------------------

FILE = bytes(range(256)) * 4
STATUSES = (204, 205, 301, 302, 303, 307, 308, 304, 400, 401, 403, 404, 405, 406, 408, 409, 410, 411, 412, 413, 415, 417,
            418, 421, 422, 425, 429, 431, 451, 500, 501, 502, 503, 504, 505, 507, 511, 599, 201, 202, 203, 207, 226, 300)  # fmt: skip


def refuses_early(fields: Fields) -> bool:
    """Whether the app answers an `Expect: 100-continue` with 417 instead, without reading the body."""
    return _kind(fields)[0] == "early"


def answer_to(method: str, target: str, fields: Fields, body: bytes, trailers: Fields) -> Reply:
    """What the app says. fields: with names in lower case."""
    kind, number = _kind(fields)
    dice = random.Random(number)
    told = json.dumps(
        {
            "method": method,
            "target": target,
            "fields": [(name, value) for name, value in fields if name not in HOP_BY_HOP | ADDED],
            "body": (len(body), hashlib.sha256(body).hexdigest()),
            "trailers": trailers,
        }
    ).encode()
    plain: Fields = [
        ("Content-Type", "application/json"),
        ("X-Number", str(number)),
        ("Server", "an-app/1.0"),
        ("Date", "Sat, 21 Nov 2026 16:00:00 GMT"),
    ]
    if kind == "chunked":
        return Reply(200, plain, told, "chunked", tuple(dice.choice((1, 50, 333, 5000)) for _ in range(3)))
    if kind == "trailers":
        return Reply(
            200, [*plain, ("Trailer", "X-Sum")], told, "chunked", (200,), [("X-Sum", hashlib.md5(told).hexdigest())]
        )
    if kind == "close":
        return Reply(200, plain, told, "close")
    if kind == "status":
        return _status(STATUSES[number % len(STATUSES)], plain, told)
    if kind == "range":
        return _range(dict(fields).get("range", ""), plain)
    if kind == "conditional":
        return _conditional(dict(fields), plain)
    if kind == "gzip":
        return Reply(
            200, [*plain, ("Content-Encoding", "gzip"), ("Vary", "Accept-Encoding")], gzip.compress(told, mtime=0)
        )
    if kind == "hints":
        hints = tuple((103, [("Link", f"</style-{n}.css>; rel=preload")]) for n in range(1 + number % 3))
        return Reply(200, plain, told, interim=hints)
    if kind == "cookies":
        return Reply(
            200,
            [
                *plain,
                *(("Set-Cookie", f"c{n}={number}; Path=/; HttpOnly") for n in range(5)),
                ("Link", "<a>"),
                ("link", "<b>"),
            ],
            told,
        )
    if kind == "many":
        return Reply(
            200,
            [
                *plain,
                *((f"X-Many-{n}", "v" * (n % 50)) for n in range(90)),
                ("X-Empty", ""),
                ("X_Under", "x"),
                ("X-Latin", "\xfc"),
            ],
            told,
        )
    if kind == "sized":
        return Reply(
            200,
            plain,
            dice.randbytes(dice.choice((0, 1, 1000, 14_000, 15_360, 16_384, 16_385, 70_000))),
            dice.choice(("length", "chunked")),
            (16_384, 1),
        )
    if kind == "large":
        return Reply(
            200, plain, dice.randbytes(dice.choice(LARGE)), dice.choice(("length", "chunked", "close")), (65_536,)
        )
    return Reply(200, plain, told)


def _kind(fields: Fields) -> tuple[str, int]:
    kind, _, number = dict(fields).get("x-answer", "echo 0").partition(" ")
    return kind, int(number)


def _status(status: int, plain: Fields, told: bytes) -> Reply:
    if status in (204, 304):
        return Reply(status, [*plain, ("ETag", '"v1"')], framing="none")
    more: Fields = []
    if 300 <= status < 400:
        more = [("Location", "https://shop.test/elsewhere?x=1#y")]
    if status == 401:
        more = [("WWW-Authenticate", 'Basic realm="a"'), ("WWW-Authenticate", "Bearer")]
    if status in (429, 503):
        more = [("Retry-After", "3")]
    return Reply(status, [*plain, *more], b"" if status == 205 else told)


def _range(wanted: str, plain: Fields) -> Reply:
    size, plain = len(FILE), [*plain, ("Accept-Ranges", "bytes")]
    spans = []
    for part in wanted.removeprefix("bytes=").split(","):
        first, _, last = part.partition("-")
        spans.append((size - int(last), size - 1) if not first else (int(first), min(int(last or size), size - 1)))
    if spans[0][0] >= size:
        return Reply(416, [*plain, ("Content-Range", f"bytes */{size}")])
    if len(spans) == 1:
        ((first_byte, last_byte),) = spans
        return Reply(
            206, [*plain, ("Content-Range", f"bytes {first_byte}-{last_byte}/{size}")], FILE[first_byte : last_byte + 1]
        )
    parts = b"".join(
        f"--cut\r\nContent-Range: bytes {one}-{other}/{size}\r\n\r\n".encode() + FILE[one : other + 1] + b"\r\n"
        for one, other in spans
    )
    return Reply(206, [("Content-Type", "multipart/byteranges; boundary=cut"), *plain[1:]], parts + b"--cut--\r\n")


def _conditional(fields: dict[str, str], plain: Fields) -> Reply:
    tags = [
        tag.strip().removeprefix("W/") for tag in fields.get("if-none-match", fields.get("if-match", "")).split(",")
    ]
    hit, tagged = (
        '"v1"' in tags or "*" in tags,
        [*plain, ("ETag", '"v1"'), ("Last-Modified", "Sat, 21 Nov 2026 00:00:00 GMT")],
    )
    if "if-none-match" in fields and hit:
        return Reply(304, tagged, framing="none")
    if "if-match" in fields and not hit:
        return Reply(412, tagged, b"no")
    return Reply(200, tagged, FILE)
