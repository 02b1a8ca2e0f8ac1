"""Stage one: YAML as fairlead reads it, and the place of everything that is not."""

from __future__ import annotations

import math

import pytest
import yaml

from fairlead.spec import document
from fairlead.spec.document import DEEPEST, MOST_NODES, Mapping, Scalar, Sequence, dotted, find, parse, resolve, walk


def problems_of(text: str) -> list[str]:
    root, problems = parse(text, "fairlead.yaml")
    assert (root is None) == bool(problems)
    return [str(problem) for problem in problems]


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("on", "on"),
        ("NO", "NO"),
        ("yes", "yes"),
        ("1:30", "1:30"),
        ("2026-11-21", "2026-11-21"),
        ("1_000", "1_000"),
        ("012", 12),
        ("-7", -7),
        ("+7", 7),
        ("0o17", 15),
        ("0x1F", 31),
        ("1.5", 1.5),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("true", True),
        ("False", False),
        ("~", None),
        ("", None),
        ("null", None),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("12345678901234567890", 12345678901234567890.0),
        ("0o", "0o"),
        ("3.12.1", "3.12.1"),
    ],
)
def test_plain_scalars_mean_what_yaml_1_2_says(text: str, value: object) -> None:
    assert resolve(text) == value
    assert type(resolve(text)) is type(value)


def test_not_a_number_is_a_number() -> None:
    assert math.isnan(float(resolve(".nan") or 0))


def test_a_tree_knows_where_everything_stands() -> None:
    root, _ = parse('\ufeffname: shop\r\nservices:\r\n  wéb: {app: "a:b", ports: [1, "2"]}\n', "f.yaml")
    assert root is not None
    places = {dotted(path): str(node.place) for path, node in walk(root)}
    assert places == {
        "": "f.yaml:1:1",
        "name": "f.yaml:1:7",
        "services": "f.yaml:3:3",
        "services.wéb": "f.yaml:3:8",
        "services.wéb.app": "f.yaml:3:14",
        "services.wéb.ports": "f.yaml:3:28",
        "services.wéb.ports.0": "f.yaml:3:29",
        "services.wéb.ports.1": "f.yaml:3:32",
    }
    items = find(root, "services", "wéb", "ports")
    assert isinstance(items, Sequence)
    assert [item.value for item in items.items if isinstance(item, Scalar)] == [1, "2"]


def test_finding_what_is_not_there_gives_nothing() -> None:
    root, _ = parse("a: [1]", "f")
    assert isinstance(root, Mapping)
    assert find(root, "b") is find(root, "a", 1) is find(root, "a", "b") is find(root, "a", 0, "b") is None


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "1:1: the file is empty; the smallest file is"),
        ("# nothing\n", "1:1: the file is empty; the smallest file is"),
        ("---\n", "1:1: the file is empty; the smallest file is"),
        ("- a\n", "1:1: the file must hold keys at its top"),
        ("app", "1:1: the file must hold keys at its top"),
        ("a: 1\nb:\n\tc: 2\n", "3:1: a tab cannot indent YAML; use spaces"),
        ("a: b: c\n", '1:5: a ": " stands where no key can begin; put quotes around a value that holds ": "'),
        ("host: *.x\n", "1:8: a * begins an alias of YAML; put quotes around a value that begins with *"),
        ("p: *\n", "1:5: a * begins an alias of YAML; put quotes"),
        ("p: &\n", "1:5: a & begins an anchor of YAML; put quotes"),
        (
            "a:\n  p: {port: ${env.X}}\n",
            "2:14: ${...} cannot stand bare inside { } or [ ]; inside { } or [ ] put quotes",
        ),
        ("a: [${env.X}]\n", "1:6: ${...} cannot stand bare inside { } or [ ]"),
        ("a: [1,2\nb: 3\n", "2:2: a comma or the closing ] is missing"),
        ("a: {b: 1\nc: 3\n", "2:2: a comma or the closing } is missing"),
        ("a: 1\nb: 'x\n\n", "2:4: the quotes opened here are not closed; add the closing quote"),
        ('a: 1\nb: "x\n\n', "2:4: the quotes opened here are not closed; add the closing quote"),
        ("a: @x\n", "1:4: a value cannot begin with @; put quotes around it"),
        ("a: `x\n", "1:4: a value cannot begin with `; put quotes around it"),
        ("a: %x\n", "1:4: a value cannot begin with %; put quotes around it"),
        (
            "a:\n  b: 1\n c: 2\n",
            "3:2: this line does not fit the lines above it; indent it exactly as the keys beside it",
        ),
        ("a:\n  - b\n  c: 2\n", "3:3: this line does not fit the list above it"),
        ('a: "\\q"\n', "1:5: an escape in double quotes that YAML does not know"),
        ("a: 1\nb\nc: 2\n", "2:1: a key without its colon; write `key: value`"),
        ("a: |x\n  b", "1:5: not YAML: did not find expected comment or line break"),
        ("a: x\n--- \nb: 1", "2:1: a second document begins here; remove the line `---`"),
        ("a: 1\na: 2\n", "2:1: a: the key is given twice; the first is on line 1; keep one of the two"),
        ("l:\n  - x\n  - {a: 1, a: {b: 2}}", "3:12: l.1.a: the key is given twice; the first is on line 3"),
        ("a: &x 1\n", "1:4: anchors are not supported in this file: &x; write the value out"),
        ("a: *x\n", "1:4: aliases are not supported in this file: *x; write the value out"),
        ("a: !!str 1\n", "1:4: tags are not supported in this file: !!str; remove it"),
        ("a: !own {}\n", "1:4: tags are not supported in this file: !own; remove it"),
        ("? [a]\n: b\n", "1:3: a key must be a word"),
        ("{a: b}: c\n", "1:1: a key must be a word"),
        ("a: \x1b[1m\n", "1:4: the character U+001B cannot stand in a YAML file; remove it, or write it as an escape"),
        ("a: 1\nbé: \x00\n", "2:5: the character U+0000 cannot stand in a YAML file"),
        ("a: \ud800", "1:4: the character U+D800 cannot stand in a YAML file"),
        ("[" * 100_000, f"1:{DEEPEST + 1}: values are nested more than {DEEPEST} deep"),
        ("a:\n" + " - x\n" * (MOST_NODES + 1), f"9999:4: the file holds more than {MOST_NODES} values"),
    ],
)
def test_what_is_not_yaml_is_said_with_its_place_and_a_way_out(text: str, problem: str) -> None:
    (said,) = problems_of(text)
    assert said.startswith(f"fairlead.yaml:{problem}")


def test_several_things_that_yaml_has_and_this_file_does_not_are_said_at_once() -> None:
    assert [problem[:18] for problem in problems_of("a: &x 1\nb: *x\na: !t 2\nb: 3\n")] == [
        "fairlead.yaml:1:4:",
        "fairlead.yaml:2:4:",
        "fairlead.yaml:3:4:",
        "fairlead.yaml:3:1:",
        "fairlead.yaml:4:1:",
    ]


@pytest.mark.parametrize(
    "text", ['a: "\\UFFFFFFFF"', "a: b: c", "\ta: 1", "a: {p: ${env.X}}", "%FOO\n", "a: @x", "p: *"]
)
def test_without_libyaml_the_same_files_are_refused(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "LOADER", yaml.SafeLoader)
    (said,) = problems_of(text)
    assert said.startswith(("fairlead.yaml:1:", "fairlead.yaml:2:1: not YAML"))


def test_without_libyaml_a_file_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    text = 'a: {b: [1, "2", 3.5]}\nc: |\n  x\n  y\n'
    fast = parse(text, "f")
    monkeypatch.setattr(document, "LOADER", yaml.SafeLoader)
    assert parse(text, "f") == fast
