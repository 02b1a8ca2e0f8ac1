"""For every test of every folder."""

from __future__ import annotations

import asyncio

# pytest-asyncio asks for the current loop before each test; with none set, Python 3.11 makes one that nobody closes.
asyncio.set_event_loop(None)
