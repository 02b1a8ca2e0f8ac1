"""The architecture is import rules, and they are run with the tests."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from .needs import need

ROOT = Path(__file__).parent.parent
SOURCES = sorted((ROOT / "src" / "fairlead").rglob("*.py"))


def test_the_import_rules_hold() -> None:
    program = Path(sys.executable).parent / "lint-imports"
    need(program.exists(), "import-linter is not installed (make setup)")
    done = subprocess.run([str(program), "--no-cache"], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_tells_its_story(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))), f"{path} has no docstring"
