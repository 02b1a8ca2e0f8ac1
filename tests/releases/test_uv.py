"""What uv is given and what is made of its words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from fairlead.core.layout import Layout
from fairlead.releases.uv import Uv, complaint
from tests.needs import need

UNSATISFIABLE = """\
Using Python 3.11.7 environment at: /x/E
warning: Failed to hardlink files; falling back to full copy.
         If this is intentional, set `export UV_LINK_MODE=copy`
error: No solution found when resolving dependencies
  cause: Because there is no version of flask==9999 and you require flask==9999, your requirements are unsatisfiable.
warning: something else
  more of it
hint: `flask` was found on another index
"""

PARSE = """\
error: Couldn't parse requirement in `requirements.txt` at position 13
  cause: Unexpected end of version specifier, expected version
         requests>=
                 ^^
"""

OLD = """\
  × No solution found when resolving dependencies:
  ╰─▶ Because there is no version of flask==9999 and you require
      flask==9999, we can conclude that your requirements are unsatisfiable.
"""


def test_errors_causes_and_hints_are_kept_and_warnings_dropped() -> None:
    assert complaint(UNSATISFIABLE) == (
        "error: No solution found when resolving dependencies",
        "  cause: Because there is no version of flask==9999 and you require flask==9999, "
        "your requirements are unsatisfiable.",
        "hint: `flask` was found on another index",
    )


@pytest.mark.parametrize("text", [PARSE, OLD])
def test_blocks_keep_their_shape(text: str) -> None:
    assert complaint(text) == tuple(text.splitlines())


def test_success_is_no_complaint() -> None:
    assert complaint("Resolved 2 packages in 3ms\n + flask==3.0.3\n") == ()


async def environment_of_uv(layout: Layout, env: dict[str, str], builder: tuple[int, int] | None) -> dict[str, str]:
    """What a uv that prints its environment gets to see."""
    os.makedirs(f"{layout.home}/bin")
    fake = Path(layout.home) / "bin" / "uv"
    fake.write_text(f"#!/bin/sh\nenv >{layout.home}/seen/env\n")
    fake.chmod(0o755)
    os.makedirs(f"{layout.home}/seen")
    os.chmod(f"{layout.home}/seen", 0o777)
    uv = Uv(layout, env, builder, "/usr/bin:/bin")
    uv._binary = str(fake)
    await uv.call(["venv"], what="", mend="", cwd="/", log=f"{layout.home}/log")
    lines = Path(f"{layout.home}/seen/env").read_text().splitlines()
    return dict(line.split("=", 1) for line in lines if not line.startswith(("PWD=", "_=", "SHLVL=", "OLDPWD=")))


async def test_uv_gets_the_network_settings_and_none_that_lead_it_away(layout: Layout) -> None:
    given = {
        "HTTPS_PROXY": "http://p",
        "no_proxy": "x",
        "SSL_CERT_FILE": "/c.pem",
        "UV_INDEX_URL": "https://i",
        "NETRC": "/n",
        "HOME": "/home/me",
        "UV_PYTHON": "3.8",
        "UV_CACHE_DIR": "/elsewhere",
        "UV_PROJECT_ENVIRONMENT": "/elsewhere",
        "VIRTUAL_ENV": "/venv",
        "PYTHONPATH": "/p",
        "DATABASE_PASSWORD": "secret",
    }
    assert await environment_of_uv(layout, given, None) == {
        "HTTPS_PROXY": "http://p",
        "no_proxy": "x",
        "SSL_CERT_FILE": "/c.pem",
        "UV_INDEX_URL": "https://i",
        "NETRC": "/n",
        "HOME": "/home/me",
        "PATH": "/usr/bin:/bin",
        "FAIRLEAD_HOME": layout.home,
        "UV_CACHE_DIR": layout.uv_cache,
        "UV_NO_PROGRESS": "1",
        "UV_NO_EDITABLE": "1",
        "UV_PYTHON_DOWNLOADS": "never",
    }


async def test_the_build_user_does_not_get_roots_home(layout: Layout) -> None:
    need(os.geteuid() == 0, "root, to run as the build user")
    seen = await environment_of_uv(layout, {"HOME": "/root", "XDG_CONFIG_HOME": "/root/.config"}, (61001, 61001))
    assert seen["HOME"] == f"{layout.home}/cache"
    assert "XDG_CONFIG_HOME" not in seen
