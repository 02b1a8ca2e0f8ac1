"""Visitors of the album over HTTP: forms, cookies, uploads, and many uploads at a steady rate."""

from __future__ import annotations

import http.client
import json
import re
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType
from typing import Any
from urllib.parse import urlsplit

from . import pictures
from .ground import multipart

PATIENCE = 30.0

SIZE = (1200, 900)
"""Of the pictures of a load: drawing and looking at one takes a while, in which something can happen."""

Form = dict[str, str]


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    """Names in lower case."""
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Visitor:
    """One browser; each request on a connection of its own. headers: sent with every one."""

    def __init__(self, url: str, headers: Mapping[str, str] | None = None) -> None:
        parts = urlsplit(url)
        self._place, self._headers = (parts.hostname or "", parts.port or 80), dict(headers or {})
        self._cookies: dict[str, str] = {}

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """OSError or http.client.HTTPException when no whole answer came."""
        connection = http.client.HTTPConnection(*self._place, timeout=PATIENCE)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            if self._cookies:
                named["Cookie"] = "; ".join(f"{name}={value}" for name, value in self._cookies.items())
            connection.request(method, path, body, {**self._headers, **named})
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            answer = Answer(response.status, found, response.read())
        finally:
            connection.close()
        for line in response.headers.get_all("Set-Cookie") or ():
            name, _, value = line.split(";")[0].partition("=")
            self._cookies[name] = value
        return answer

    def get(self, path: str = "/", **headers: str) -> Answer:
        return self.ask("GET", path, **headers)

    def form(self) -> Form:
        """The hidden fields of the upload form. AssertionError when there is no gallery."""
        answer = self.get("/")
        assert answer.status == 200, f"the gallery answered {answer.status}"
        return {name: re.search(rf'name="{name}" value="([^"]+)"', answer.text)[1] for name in ("csrf_token", "submission")}  # type: ignore[index]  # fmt: skip

    def send(self, form: Form, data: bytes, title: str = "") -> Answer:
        body, kind = multipart({**form, "title": title}, {"photo": ("photo.jpg", data)})
        return self.ask("POST", "/photos", body, Content_Type=kind, Accept="application/json")

    def upload(self, data: bytes, title: str = "") -> dict[str, Any]:
        answer = self.send(self.form(), data, title)
        assert answer.status == 201, (answer.status, answer.text)
        stored: dict[str, Any] = answer.json
        return stored

    def act(self, path: str) -> Answer:
        """A form of one button: `/photos/ID/delete`."""
        token = self.form()["csrf_token"]
        body = f"csrf_token={token}".encode()
        kind = "application/x-www-form-urlencoded"
        return self.ask("POST", path, body, Content_Type=kind, Accept="application/json")

    def gallery(self) -> list[str]:
        """Every photo that is listed, newest first, page by page."""
        found, path = [], "/"
        while path:
            answer = self.get(path)
            assert answer.status == 200, f"{path} answered {answer.status}"
            found += re.findall(r'<a href="/photos/([0-9a-f-]{36})">', answer.text)
            older = re.search(r'href="([^"]+)" rel="next"', answer.text)
            path = older[1].replace("&amp;", "&") if older else ""
        return found


@dataclass
class Sent:
    """One upload of the load: what was sent, and what came of it."""

    title: str
    form: Form
    data: bytes
    visitor: Visitor
    answer: Answer | None = None
    """None: no whole answer came."""
    problem: str = ""

    @property
    def is_acknowledged(self) -> bool:
        return self.answer is not None and self.answer.status in (200, 201)


class Uploads:
    """While the block lasts so many uploads a second begin, whether or not earlier ones were answered."""

    MOST = 24
    """At once; beyond that one that is due waits for its turn."""

    def __init__(self, url: str, rate: float) -> None:
        self._url, self._rate = url, rate
        self._over = threading.Event()
        self._threads = ThreadPoolExecutor(self.MOST)
        self._lock = threading.Lock()
        self.sent: list[Sent] = []
        self.without_form: list[str] = []
        """Why no form could be had, of uploads that were never sent."""

    def __enter__(self) -> Uploads:
        self._clock = threading.Thread(target=self._tick)
        self._clock.start()
        return self

    def __exit__(self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None) -> None:
        self._over.set()
        self._clock.join()
        self._threads.shutdown(wait=True)

    @property
    def acknowledged(self) -> list[Sent]:
        return [one for one in list(self.sent) if one.is_acknowledged]

    def settle(self, count: int) -> None:
        """Until so many more were acknowledged."""
        wanted, deadline = len(self.acknowledged) + count, time.monotonic() + 90
        while len(self.acknowledged) < wanted:
            assert time.monotonic() < deadline, f"only {len(self.acknowledged)} of {wanted}: {self.sent[-3:]}"
            time.sleep(0.02)

    def _tick(self) -> None:
        began, number = time.monotonic(), 0
        while not self._over.wait(max(0.0, began + number / self._rate - time.monotonic())):
            self._threads.submit(self._one, number)
            number += 1

    def _one(self, number: int) -> None:
        if self._over.is_set():
            return
        visitor = Visitor(self._url)
        try:
            form = visitor.form()
        except (OSError, http.client.HTTPException, AssertionError) as problem:
            self.without_form.append(repr(problem))
            return
        colour = (number * 37 % 256, number * 91 % 256, number * 151 % 256)
        one = Sent(f"number {number}", form, pictures.jpeg(pictures.plain(colour, SIZE)), visitor)
        try:
            one.answer = visitor.send(form, one.data, one.title)
        except (OSError, http.client.HTTPException) as problem:
            one.problem = repr(problem)
        with self._lock:
            self.sent.append(one)
