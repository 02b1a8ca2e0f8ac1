"""The first example: its file says what it seems to say, and its app answers."""

from __future__ import annotations

import importlib.util
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from fairlead.core.model import App
from fairlead.releases.runner import detect
from fairlead.spec import read

EXAMPLE = Path(__file__).parents[2] / "examples" / "host-date"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr("sys.dont_write_bytecode", True)
    spec = importlib.util.spec_from_file_location("host_date_app", EXAMPLE / "app.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.app


def test_host_is_the_instance_else_the_machine(app: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert detect(app) == ("wsgi", app)
    monkeypatch.setenv("FAIRLEAD_INSTANCE", "web-7")
    assert app.test_client().get("/host").text == "web-7\n"
    monkeypatch.delenv("FAIRLEAD_INSTANCE")
    assert app.test_client().get("/host").text == f"{socket.gethostname()}\n"


def test_date_is_in_utc_and_health_is_well(app: Any) -> None:
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC\n", app.test_client().get("/date").text)
    assert app.test_client().get("/health").status_code == 200


def test_the_file_declares_two_instances_behind_a_port_of_choice() -> None:
    stack = read(str(EXAMPLE / "fairlead.yaml"), env={})
    web = stack.service("web")
    assert (stack.name, web.program, web.desired, web.health_check.path) == (
        "host-date",
        App(target="app:app"),
        2,
        "/health",
    )
    assert [listener.port for listener in stack.listeners] == [8080]
    chosen = read(str(EXAMPLE / "fairlead.yaml"), env={"PORT": "9090"})
    assert [listener.port for listener in chosen.listeners] == [9090]
