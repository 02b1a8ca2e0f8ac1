"""What the tests of releases build on: trees, services, and a quick look at whether packages can be had."""

from __future__ import annotations

import functools
import os
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from uv import find_uv_bin

from fairlead.core.layout import Layout
from fairlead.core.model import App, Command, Service, Stack
from fairlead.releases.build import ReleaseBuilder
from tests.needs import need

PLACES = {
    "services.web.app": "fairlead.yaml:3:10",
    "services.web.python": "fairlead.yaml:4:13",
    "services.web.source": "fairlead.yaml:5:13",
}


def a_tree(root: Path, files: Mapping[str, str | bytes]) -> Path:
    """Files by relative name, made below `root`."""
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return root


def an_app(source: Path, target: str = "app:app", threads: int = 16, **fields: Any) -> Service:
    return Service(name="web", program=App(target=target, threads=threads), source=str(source), **fields)


def a_command(source: Path, *argv: str, **fields: Any) -> Service:
    return Service(name="web", program=Command(argv=argv), source=str(source), **fields)


def a_stack(service: Service) -> Stack:
    return Stack(name="demo", path="/x/fairlead.yaml", services=(service,), places=PLACES)


def a_builder(layout: Layout, **fields: Any) -> ReleaseBuilder:
    given: dict[str, Any] = {"env": dict(os.environ), "builder_user": None, "app_user": None}
    return ReleaseBuilder(layout, **(given | fields))


@functools.cache
def _uv_can_resolve() -> bool:
    with tempfile.TemporaryDirectory() as cache:
        argv = [find_uv_bin(), "pip", "compile", "-q", "--cache-dir", cache, "-"]
        done = subprocess.run(argv, input=b"itsdangerous", capture_output=True, timeout=20, cwd="/", check=False)
    return done.returncode == 0


def need_packages() -> None:
    """Skip, or fail where all is required, when uv cannot get packages."""
    need(_uv_can_resolve(), "a package index that uv can reach")
