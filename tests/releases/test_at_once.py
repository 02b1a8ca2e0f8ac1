"""Builds of several stacks at once: what they share is made once, whole, by whoever comes first."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

from fairlead.releases import runner
from fairlead.releases.detect import runner_copy


def test_builds_at_once_all_get_the_same_whole_runner(tmp_path: Path) -> None:
    many, rounds = 8, 20
    barrier = Barrier(many, timeout=10)

    def copy(programs: Path) -> str:
        barrier.wait()
        return runner_copy(str(programs))

    for number in range(rounds):
        programs = tmp_path / str(number)
        with ThreadPoolExecutor(many) as threads:
            (path,) = set(threads.map(copy, [programs] * many))
        assert Path(path).read_text() == Path(runner.__file__ or "").read_text()
        assert os.listdir(os.path.dirname(path)) == ["runner.py"]
