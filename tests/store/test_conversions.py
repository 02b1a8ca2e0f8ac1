"""What an earlier schema wrote, read by this one."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from fairlead.core.desired import StackRecord
from fairlead.core.model import Conditions, Forward, Rule, TargetGroupAttributes, forward_to
from fairlead.store import connection
from fairlead.store.conversions import to_0003
from fairlead.store.database import Store
from fairlead.store.records import read

CHECK = {"path": "/health", "host": "localhost"}
SERVICE = {
    "name": "web", "program": {"argv": ["serve"]}, "source": "/src", "health_check": CHECK,
    "deregistration_delay": 7.0, "retry": "off", "minimum": 1, "desired": 1, "maximum": 1,
}  # fmt: skip
RULES = [{"forward": "web", "paths": ["/api/*"], "hosts": []}, {"forward": "web", "paths": [], "hosts": ["a.test"]}]
LISTENERS = [
    {"port": 8080, "default": "web", "rules": RULES, "address": "127.0.0.1", "protocol": "HTTP"},
    {"port": 8081, "default": None, "rules": RULES[1:], "address": "127.0.0.1", "protocol": "HTTP"},
]
STACK = {"name": "shop", "path": "/f", "services": [SERVICE], "listeners": LISTENERS}
RECORD = {
    "name": "shop", "wanted": "up", "desired": {"stack": STACK, "releases": {}}, "deployment": None,
    "previous": {"stack": STACK, "releases": {}}, "check_token": "t",
}  # fmt: skip
GROUP = {"name": "web", "health_check": CHECK, "deregistration_delay": 7.0, "retry": "off"}


def test_a_stack_of_schema_2_keeps_its_rules_and_its_delays() -> None:
    stack = read(StackRecord, to_0003(json.dumps(RECORD))).desired.stack
    assert stack.services[0].target_group == TargetGroupAttributes(deregistration_delay=7.0, retry="off")
    first, second = stack.listeners
    assert first.default == forward_to("web")
    assert second.default is None
    api = Rule(when=Conditions(paths=("/api/*",)), then=Forward(weights=(("web", 1),)))
    assert first.rules == (api, Rule(when=Conditions(hosts=("a.test",)), then=forward_to("web")))


def test_what_it_has_made_it_leaves_as_it_is() -> None:
    once = to_0003(json.dumps({**RECORD, "plan": [{"action": "Configure", "routing": {"groups": [GROUP]}}]}))
    assert to_0003(once) == once
    assert json.loads(once)["plan"][0]["routing"]["groups"][0]["attributes"] == {
        "deregistration_delay": 7.0,
        "retry": "off",
    }


def test_a_home_of_schema_2_is_brought_up_to_date(tmp_path: Path) -> None:
    path = str(tmp_path / "fairlead.db")
    old = sqlite3.connect(path, isolation_level=None)
    for number, script in connection._migrations().items():
        if number <= 2:
            old.executescript(f"{script}\nPRAGMA user_version = {number};")
    old.execute("INSERT INTO stacks VALUES ('shop', 'up', ?)", (json.dumps(RECORD),))
    old.execute("INSERT INTO decisions VALUES (1, 'now', 'shop', ?, '[]')", (json.dumps({"wanted": RECORD}),))
    old.close()
    store = Store.open(path)
    record = store.stack("shop")
    assert record is not None
    assert record.previous is not None
    assert record.previous.stack.listeners[0].services == ("web",)
    (decision,) = store.decisions("shop", 1)
    assert json.loads(decision["snapshot"])["wanted"]["desired"]["stack"]["listeners"][1]["default"] is None
    store.close()
