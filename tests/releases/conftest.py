"""Homes for releases: short, passable for other users, and gone afterwards."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from fairlead.core.layout import Layout, layout_of
from fairlead.releases.folders import remove

# looptime asks for the default event loop before every plain test, which would make one that nobody closes.
asyncio.set_event_loop(None)


def new_home() -> Layout:
    home = tempfile.mkdtemp(prefix="fl-")
    os.chmod(home, 0o711)
    return layout_of(home, os.geteuid())


@pytest.fixture
def layout() -> Iterator[Layout]:
    layout = new_home()
    yield layout
    remove(layout.home)


@pytest.fixture(scope="module")
def shared_layout() -> Iterator[Layout]:
    """One home for a module, so that environments and the server are made once."""
    layout = new_home()
    yield layout
    remove(layout.home)


@pytest.fixture
def source() -> Iterator[Path]:
    """An empty source folder."""
    folder = Path(tempfile.mkdtemp(prefix="fl-src-"))
    yield folder
    shutil.rmtree(folder)
