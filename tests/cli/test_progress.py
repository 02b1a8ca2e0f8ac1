"""Live progress on a real terminal: one line a step, a live last line, and nothing left over."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys

import pytest

pytestmark = pytest.mark.live

PROGRAM = """
import time
from fairlead.cli.progress import Progress
with Progress() as progress:
    progress.step("building")
    time.sleep(0.35)
    progress.step("starting " + "x" * 300 + "\\x1b[2J")
    time.sleep(0.15)
"""


def on_a_terminal(program: str, **environment: str) -> str:
    """Everything the program wrote to the terminal that is its stderr."""
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", program], stderr=follower, env={**os.environ, "TERM": "xterm", **environment}
    ) as process:
        os.close(follower)
        written = b""
        while True:
            try:
                piece = os.read(leader, 65536)
            except OSError:
                break
            written += piece
        os.close(leader)
        assert process.wait(10) == 0
    return written.decode()


def test_a_step_is_live_while_it_lasts_and_a_line_afterwards() -> None:
    written = on_a_terminal(PROGRAM, NO_COLOR="1", COLUMNS="60")
    drawn = written.split("\r")
    live = [text for text in drawn if re.match(r"[|/\\-] *\d\.\d s  building", text)]
    assert len(live) >= 3
    assert len({text[0] for text in live}) >= 3
    lines = [text.split("\x1b[K")[-1] for text in written.split("\r\n")]
    assert re.fullmatch(r" *0\.0 s  building", lines[0])
    assert re.match(r" *0\.[34] s  starting x", lines[1])
    assert lines[2:] == [""]


def test_a_live_line_never_wraps_and_no_text_obeys() -> None:
    written = on_a_terminal(PROGRAM, NO_COLOR="1", COLUMNS="60")
    live = [text for text in written.split("\r") if re.match(r"[|/\\-] *\d\.\d s  starting", text)]
    assert live
    assert {len(text.removesuffix("\x1b[K")) for text in live} == {59}
    assert "\x1b[2J" not in written
    assert "\x1b[" in written
    assert set(re.findall(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", written)) == {"\x1b[K"}


def test_colour_is_used_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[2m" in on_a_terminal(PROGRAM)
