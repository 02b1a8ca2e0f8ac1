"""Requests as people make them, for wrk: many URLs of a shop, some asked for often and most seldom, and the user agents
of browsers and programs. The same ones in each run."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable

KINDS = 20_000
"""Different requests, asked for in turn."""

PATH = "/api/v1/orders/48213?expand=items&currency=EUR"
AGENT = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0.0.0 Safari/537.36"
"""Of a request where one is enough, as long as those of people: they are part of each line."""

_AGENTS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{n}.0.0.0 Safari/537.36",
    "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{m}.1 "
    "Safari/605.1.15",
    "Mozilla/5.0 (iPhone; CPU iPhone OS {m}_3 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/{m}.3 "
    "Mobile/15E148 Safari/604.1",
    "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/{n}.0.0.0 Mobile Safari/537.36",
    "Mozilla/5.0 (X11; Linux x86_64; rv:{n}.0) Gecko/20100101 Firefox/{n}.0",
    "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)",
    "python-requests/2.{m}.3",
    "curl/8.{m}.0",
)

_WORDS = ("blue", "chair", "garden", "lamp", "oak", "table", "winter", "small", "kitchen", "red", "shelf", "sale")


def requests(kinds: int = KINDS) -> list[tuple[str, dict[str, str]]]:
    """(path, headers) of each."""
    die = random.Random(6)  # noqa: S311 (nothing secret)
    agents = [one.format(n=die.randrange(110, 135), m=die.randrange(14, 19)) for one in _AGENTS for _ in range(6)]
    found = []
    for _ in range(kinds):
        headers = {"Host": "shop.example.com", "Accept": "*/*", "User-Agent": die.choice(agents)}
        found.append((_path(die), headers))
    return found


def script(path: str, asked: Iterable[tuple[str, dict[str, str]]]) -> str:
    """Write the Lua that has wrk make these requests in turn; its path."""
    lines = ["local all, at = {}, 0", "init = function(arguments)"]
    for url, headers in asked:
        told = ", ".join(f"[{json.dumps(name)}] = {json.dumps(value)}" for name, value in headers.items())
        lines.append(f'  all[#all + 1] = wrk.format("GET", {json.dumps(url)}, {{{told}}})')
    lines += ["end", "request = function()", "  at = at % #all + 1", "  return all[at]", "end"]
    with open(path, "w") as file:
        file.write("\n".join(lines) + "\n")
    return path


def _path(die: random.Random) -> str:
    """Pages, pictures and an API."""
    words = "-".join(die.sample(_WORDS, 3))
    common = ("/", "/cart", "/api/v1/session", "/static/app.3f9c1d2e.js", "/static/app.77ab01c4.css", "/favicon.ico")
    kinds = {
        die.choice(common): 30,
        f"/products/{words}-{die.randrange(1, 100_000)}": 20,
        f"/api/v1/products/{die.randrange(1, 100_000)}?expand=prices,stock&currency=EUR": 20,
        f"/search?q={words.replace('-', '+')}&page={die.randrange(1, 30)}&sort=price": 10,
        f"/static/images/{die.getrandbits(64):016x}.webp": 15,
        f"/api/v1/orders/{die.getrandbits(64):016x}-{die.randrange(10**6)}/items?limit=50&offset=0": 5,
    }
    [path] = die.choices(list(kinds), weights=list(kinds.values()))
    return path
