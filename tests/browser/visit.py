"""A visit of a page, as a person's browser makes it, and what can be asked of what is then seen.

    async with visits(endpoint) as visit:
        page = await visit(url, width=390, dark=True)
        ...
        assert await flaws(page) == []

A visit notes what the browser complains of: errors on the console, violations of the content security policy, scripts
that fail, requests that fail or go elsewhere than to loopback. `visits` asserts at its end that there was nothing.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, Page, async_playwright, expect

PATIENCE = 30_000
"""Milliseconds that an element may take to appear."""

expect.set_options(timeout=PATIENCE)

Visit = Callable[..., Awaitable[Page]]


@asynccontextmanager
async def visits(endpoint: str, *, strict: bool = True) -> AsyncIterator[Visit]:
    """Gives `visit(url, width=1280, height=800, dark=False, javascript=True, expect=200, **context)`: a page in a fresh
    profile, once it has loaded with the status that is expected."""
    complaints: list[str] = []
    async with async_playwright() as playwright, AsyncExitStack() as stack:
        browser = await playwright.chromium.connect_over_cdp(endpoint)

        async def visit(url: str, *, expect: int = 200, **how: Any) -> Page:
            page = await _page(browser, stack, complaints, **how)
            response = await page.goto(url)
            assert response is not None
            assert response.status == expect, f"{url} answered with {response.status}"
            return page

        yield visit
    if strict:
        assert not complaints, complaints


async def _page(
    browser: Browser, stack: AsyncExitStack, complaints: list[str], *, width: int = 1280, height: int = 800, dark: bool = False,
    javascript: bool = True, **context: Any,
) -> Page:  # fmt: skip
    fresh = await browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        java_script_enabled=javascript,
        locale="en-US",
        timezone_id="UTC",
        **context,
    )
    stack.push_async_callback(fresh.close)
    page = await fresh.new_page()
    page.set_default_timeout(PATIENCE)

    def said(message: Any) -> None:
        # That a page itself has another status than 200 is for the test to judge; of everything else it is a complaint.
        of_the_page = message.text.startswith("Failed to load resource") and message.location.get("url") == page.url
        if message.type in ("error", "warning") and not of_the_page:
            complaints.append(f"{page.url}: {message.text}")

    def asked(request: Any) -> None:
        if urlsplit(request.url).hostname not in (None, "127.0.0.1"):
            complaints.append(f"{page.url} asks for {request.url}")

    def failed(request: Any) -> None:
        if request.failure != "net::ERR_ABORTED":  # the visitor went on before it was there
            complaints.append(f"{page.url}: {request.url}: {request.failure}")

    page.on("console", said)
    page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
    page.on("requestfailed", failed)
    page.on("request", asked)
    return page


async def flaws(page: Page) -> list[str]:
    """What would keep somebody from using the page, as far as a program can tell: names that are missing, text that is
    too faint (under 4.5 to 1, large text 3 to 1), anything wider than the window. [] is well."""
    found: list[str] = await page.evaluate(FLAWS)
    return found


FLAWS = """() => {
  const flaws = [];
  const say = (element, what) => flaws.push(`${what}: ${element.outerHTML.slice(0, 120)}`);
  const all = (words) => [...document.querySelectorAll(words)];
  if (!document.documentElement.lang) flaws.push("the page has no language");
  if (!document.title.trim()) flaws.push("the page has no title");
  if (all("h1").length !== 1) flaws.push(`the page has ${all("h1").length} h1`);
  if (!document.querySelector("main")) flaws.push("the page has no main");
  const ids = all("[id]").map((element) => element.id);
  ids.filter((id, place) => ids.indexOf(id) !== place).forEach((id) => flaws.push(`two elements have the id ${id}`));
  const named = (id) => (document.getElementById(id)?.textContent || "").trim();
  all("[aria-labelledby], [aria-describedby]").forEach((element) =>
    `${element.getAttribute("aria-labelledby") || ""} ${element.getAttribute("aria-describedby") || ""}`
      .split(/\\s+/).filter(Boolean).filter((id) => !named(id)).forEach((id) => say(element, `refers to ${id}, which says nothing`)));
  const name = (element) => element.getAttribute("aria-label") || (element.getAttribute("aria-labelledby") || "")
    .split(/\\s+/).map(named).join(" ").trim();
  all("input:not([type=hidden]), select, textarea").forEach((element) => {
    if (!name(element) && ![...(element.labels || [])].some((label) => label.textContent.trim())) say(element, "has no label");
  });
  all("button, a[href], summary").forEach((element) => {
    if (!name(element) && !element.textContent.trim() && !element.querySelector("img[alt]:not([alt=''])")) say(element, "has no name");
  });
  all("img").forEach((element) => { if (!element.hasAttribute("alt")) say(element, "has no alt"); });
  all("svg").forEach((element) => {
    if (element.getAttribute("aria-hidden") !== "true" && !name(element)) say(element, "has no name");
  });
  let level = 0;
  all("h1, h2, h3, h4, h5, h6").forEach((element) => {
    const next = Number(element.tagName[1]);
    if (next > level + 1) say(element, "skips a level");
    level = next;
  });
  if (document.documentElement.scrollWidth > window.innerWidth) flaws.push("the page is wider than the window");

  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const over = (top, bottom) => top.slice(0, 3).map((one, place) => one * top[3] + bottom[place] * (1 - top[3])).concat(1);
  const rgba = (text) => {
    canvas.clearRect(0, 0, 1, 1); canvas.fillStyle = text; canvas.fillRect(0, 0, 1, 1);
    const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
    return [red, green, blue, alpha / 255];
  };
  const behind = (element) => {
    const layers = [];
    for (let one = element; one; one = one.parentElement) layers.push(rgba(getComputedStyle(one).backgroundColor));
    const page = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18, 1] : [255, 255, 255, 1];
    return layers.reverse().reduce((below, above) => over(above, below), page);
  };
  const light = (colour) => colour.slice(0, 3).map((one) => one / 255)
    .map((one) => one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4)
    .reduce((sum, one, place) => sum + one * [0.2126, 0.7152, 0.0722][place], 0);
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const seen = new Set();
  while (walker.nextNode()) {
    const element = walker.currentNode.parentElement;
    if (!walker.currentNode.textContent.trim() || seen.has(element) || element.closest("svg, script, style, noscript")) continue;
    seen.add(element);
    const style = getComputedStyle(element), box = element.getBoundingClientRect();
    if (style.visibility === "hidden" || !box.width || !box.height || element.closest("[disabled]")) continue;
    const below = behind(element), ink = over(rgba(style.color), below);
    const [high, low] = [light(ink), light(below)].sort((one, other) => other - one);
    const ratio = (high + 0.05) / (low + 0.05), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) say(element, `is too faint (${ratio.toFixed(1)} to 1)`);
  }
  return flaws;
}"""
