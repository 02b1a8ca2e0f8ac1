"""Values given beside the file hold as if they stood in it, and their problems name the change."""

from __future__ import annotations

from pathlib import Path

import pytest

from fairlead.core.model import Stack
from fairlead.core.scaling.policies import TargetTracking
from fairlead.errors import SpecError
from fairlead.spec import read
from fairlead.spec.document import parse, walk
from fairlead.spec.overrides import overridden

TEXT = """
name: shop
services:
  web:
    app: "app:app"
    resources: {cpu: 0.5}
    scaling:
      min: 2
      max: 10
      policies:
        - target: {metric: cpu, value: 60%}
        - target: {metric: requests_per_target, value: 100}
  fixed: {command: "true", port: none, instances: 3}
"""


@pytest.fixture
def file(tmp_path: Path) -> str:
    path = tmp_path / "fairlead.yaml"
    path.write_text(TEXT)
    return str(path)


def changed(file: str, *changes: str) -> Stack:
    return read(file, env={"MOST": "7"}, changes=changes)


def problems(file: str, *changes: str) -> tuple[str, ...]:
    with pytest.raises(SpecError) as refused:
        changed(file, *changes)
    return refused.value.problems


def test_a_value_is_replaced_and_the_rest_stays(file: str) -> None:
    before, after = changed(file).service("web"), changed(file, "services.web.scaling.max=6").service("web")
    assert (before.maximum, after.maximum, after.minimum) == (10, 6, 2)
    assert after.scaling == before.scaling
    assert changed(file, "services.web.scaling.max = 6").service("web") == after
    assert changed(file, "services.web.scaling.max=${env.MOST}").service("web").maximum == 7


def test_several_changes_hold_together_the_last_one_most(file: str) -> None:
    web = changed(file, "services.web.scaling.max=6", "services.web.scaling.min=1", "services.web.scaling.max=8")
    assert (web.service("web").minimum, web.service("web").maximum) == (1, 8)


def test_items_of_lists_and_whole_parts_can_be_given(file: str) -> None:
    web = changed(file, "services.web.scaling.policies.0.target.value=50%").service("web")
    assert web.scaling
    assert [one.follows.value for one in web.scaling.policies if isinstance(one.follows, TargetTracking)] == [50, 100]
    web = changed(file, "services.web.scaling.policies=[{target: {metric: outstanding, value: 4}}]").service("web")
    assert web.scaling
    assert [policy.metric for policy in web.scaling.policies] == ["outstanding"]


def test_without_a_value_a_key_goes(file: str) -> None:
    web = changed(file, "services.web.scaling.policies.0=").service("web")
    assert web.scaling
    assert [policy.metric for policy in web.scaling.policies] == ["requests_per_target"]
    fixed = changed(file, "services.fixed.instances=", "services.fixed.scaling.max=4", "services.fixed.scaling.min=2")
    assert (fixed.service("fixed").minimum, fixed.service("fixed").maximum) == (2, 4)


def test_what_lacks_on_the_way_is_made(file: str) -> None:
    assert changed(file, "services.web.health_check.path=/health").service("web").health_check.path == "/health"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("services.wbe.scaling.max=6", "services.wbe: is not in the file; did you mean web?"),
        ("services.x.scaling.max=6", "services.x: is not in the file; there is fixed and web"),
        ("services.web.scalng.max=6", "services.web.scalng: is not a key that fairlead knows here; did you mean `scaling`?"),
        ("servics.web.scaling.max=6", "servics: is not a key that fairlead knows here; did you mean `services`?"),
        ("services.web.scaling.max=many", 'services.web.scaling.max: must be a whole number, not "many"'),
        ("services.web.scaling.max=1", "services.web.scaling.min: is more than `max` (1)"),
        ("services.web.scaling.maxx=", "services.web.scaling.maxx: is not in the file; did you mean `max`?"),
        ("services.web.scaling.policies.2.target.value=1", "services.web.scaling.policies: is a list that has 2, numbered from 0"),
        ("services.web.scaling.policies.first.target.value=1", 'policies: is a list that has 2, numbered from 0: "first" is none'),
        ("services.web.scaling.max", "is no change of a key; write it like services.web.scaling.max=6"),
        ("=6", "is no change of a key"),
        (".".join(["a"] * 40) + "=6", "is nested more than 32 deep"),
        ("services.web.scaling.policies." + "9" * 5000 + ".x=1", "is none of it"),
        ("", "is no change of a key"),
        ("services.web.app=a: b: c", "its value cannot be read"),
        ("services.web.app={a", "its value cannot be read"),
        ("services.web.app=x\ny: 1", "its value cannot be read: it is more than one value"),
        ("services.web.app=&x y", "its value cannot be read: anchors are not supported"),
        ("name.x=1", "name"),
        ("services.web.scaling.max=\x1b[31m", "its value cannot be read"),
    ],
)  # fmt: skip
def test_nonsense_names_the_change_that_it_is(file: str, change: str, says: str) -> None:
    found = problems(file, change)
    assert any(says in problem for problem in found), found
    assert all("\x1b" not in problem for problem in found)
    if "min" not in says:
        assert any(problem.startswith(f"--set {change.strip()}"[:20].replace("\x1b", "\\x1b")) for problem in found)


def test_problems_of_the_file_and_of_changes_are_told_together(file: str) -> None:
    Path(file).write_text(TEXT.replace("cpu: 0.5", "cpu: none"))
    assert len(problems(file, "services.web.scaling.max=6", "services.wbe.scaling.max=6")) == 2
    with pytest.raises(SpecError) as refused:
        changed(file, "services.web.scaling.mx=6")
    assert refused.value.what.startswith("fairlead.yaml with what was set has 2 problems")
    assert "what --set says" in refused.value.next_step


def test_the_tree_of_the_file_stays_as_it_is() -> None:
    root, _ = parse(TEXT, "f.yaml")
    assert root is not None
    before = list(walk(root))
    after, none = overridden(root, ["services.web.scaling.max=6", "services.web.scaling.policies.0="])
    assert not none
    assert list(walk(root)) == before
    assert len(list(walk(after))) == len(before) - 4
