"""A real Chromium for the tests: one process a session and worker, a fresh profile for each visit.

It is started by us and talked to by Playwright over its debugging port: so it outlives the event loop of a test, and
Debian's package does, where Playwright would fetch a build of its own.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

DEADLINE = 60.0

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # root's Chromium does not start with it
    "--remote-debugging-port=0",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-dev-shm-usage",
    "--disable-extensions",
    "--disable-gpu",
    "--disable-sync",
    "--force-color-profile=srgb",
    "--hide-scrollbars",
    "--mute-audio",
    "--no-first-run",
    "--no-proxy-server",
    "--password-store=basic",
)


def program() -> str | None:
    """The installed one's path."""
    return next(
        (path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None
    )


class Chromium:
    """Running from the beginning of the `with` block to its end. endpoint: what Playwright connects to."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._profile = Path(tempfile.mkdtemp(prefix="fl-chromium-"))
        self.endpoint = ""

    def __enter__(self) -> Chromium:
        self._log = (self._profile / "log").open("wb")
        self._process = subprocess.Popen(
            [self._path, *FLAGS, f"--user-data-dir={self._profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            start_new_session=True,
            env={**os.environ, "HOME": str(self._profile), "LANG": "en_US.UTF-8", "TZ": "UTC"},
        )
        told = self._profile / "DevToolsActivePort"
        deadline = time.monotonic() + DEADLINE
        while not (told.exists() and told.read_text().count("\n")):
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.__exit__()
                raise AssertionError(f"{self._path} does not start: {self._said[-2000:]}")
            time.sleep(0.05)
        self.endpoint = f"http://127.0.0.1:{told.read_text().split()[0]}"
        return self

    def __exit__(self, *_: object) -> None:
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(DEADLINE)
        self._log.close()
        self._said = (self._profile / "log").read_text(errors="replace")
        shutil.rmtree(self._profile, ignore_errors=True)
