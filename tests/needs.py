"""What a test needs of the machine: missing, it skips with the reason; with FAIRLEAD_REQUIRE=all it fails instead."""

from __future__ import annotations

import os

import pytest


def need(condition: object, reason: str) -> None:
    """Go on when `condition` holds; else skip, or fail where everything is required (CI)."""
    if condition:
        return
    if os.environ.get("FAIRLEAD_REQUIRE") == "all":
        pytest.fail(f"FAIRLEAD_REQUIRE=all, but this machine lacks something: {reason}")
    pytest.skip(reason)
