"""`fairlead daemon relocate` removes what was built in the home it is asked for, and in no other."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

import pytest

from fairlead.core.layout import layout_of
from fairlead.store.database import Store
from tests.cli.terminal import fairlead_argv

pytestmark = pytest.mark.live


def test_a_star_in_the_name_of_a_home_means_no_other_home() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home, other = f"{folder}/a*b", f"{folder}/a-b"
        for one in (home, other):
            for built in ("envs", "python", "stacks/shop/releases"):
                os.makedirs(f"{one}/{built}/something")
        layout = layout_of(home, os.geteuid())
        Store.open(layout.database).close()
        words = fairlead_argv("daemon", "relocate", "--home", home)
        done = subprocess.run(words, capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0, done.stderr
        left = [str(path.relative_to(other)) for path in sorted(Path(other).rglob("something"))]
        assert left == ["envs/something", "python/something", "stacks/shop/releases/something"]
        assert not list(Path(home).rglob("something"))
