"""What is published of the schema: the JSON Schema for editors, and the page of all keys."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from fairlead.spec.describe import keys
from fairlead.spec.document import Mapping, Node, Sequence, parse
from fairlead.spec.jsonschema import schema_text
from fairlead.spec.page import page_text
from fairlead.spec.schema import File
from fairlead.spec.support import SUPPORTED, UNENFORCED, answers
from tests.spec.builders import a_balancer, a_service, every_key, problems_of
from tests.spec.test_whole_applications import EACH, WHOLE

ROOT = Path(__file__).parents[2]
REFERENCE = ROOT / "docs/reference"
SCHEMA = json.loads(schema_text())
VALIDATOR = jsonschema.Draft7Validator(SCHEMA)


def value_of(node: Node) -> Any:
    """A tree as an editor sees it."""
    if isinstance(node, Mapping):
        return {key: value_of(entry.value) for key, entry in node.entries.items()}
    return [value_of(item) for item in node.items] if isinstance(node, Sequence) else node.value


def fits(text: str) -> bool:
    root, problems = parse(text, "fairlead.yaml")
    assert root is not None, problems
    return bool(VALIDATOR.is_valid(value_of(root)))


def described(schema: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every key that the schema has properties for, with its own schema."""
    if isinstance(schema, list):
        for each in schema:
            yield from described(each, name)
    elif isinstance(schema, dict):
        for key, value in schema.get("properties", {}).items():
            yield f"{name}{key}", value
            yield from described(value, f"{name}{key}.")
        for key in ("anyOf", "additionalProperties", "items"):
            if key in schema:
                yield from described(schema[key], name if key == "anyOf" else f"{name}ID.")


@pytest.mark.parametrize(
    ("file", "text", "module"),
    [
        ("fairlead.schema.json", schema_text, "fairlead.spec.jsonschema"),
        ("file.md", page_text, "fairlead.spec.page"),
    ],
)
def test_what_is_published_is_what_the_schema_says(file: str, text: Any, module: str) -> None:
    made = subprocess.run([sys.executable, "-m", module], capture_output=True, text=True, check=True, timeout=60)
    assert made.stdout == text()
    published = (REFERENCE / file).read_text(encoding="utf-8")
    assert published == made.stdout, f"run: .venv/bin/python -m {module} > docs/reference/{file}"


def test_it_is_a_json_schema_that_editors_know() -> None:
    jsonschema.Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert (SCHEMA["required"], SCHEMA["additionalProperties"]) == (["name", "services"], False)


def test_every_key_is_in_it_with_its_meaning() -> None:
    found = dict(described(SCHEMA))
    assert set(found) == every_key(File)
    for name, schema in found.items():
        assert re.match(r"[A-Z0-9].{5,}\.", schema["description"]), f"{name}: {schema['description']}"


def test_every_mapping_of_known_keys_is_closed() -> None:
    def open_ones(schema: Any) -> Iterator[Any]:
        if isinstance(schema, dict):
            if "properties" in schema and schema.get("additionalProperties") is not False:
                yield schema
            for value in schema.values():
                yield from open_ones(value)
        elif isinstance(schema, list):
            for value in schema:
                yield from open_ones(value)

    assert list(open_ones(SCHEMA)) == []


def test_a_default_is_one_that_the_file_could_say() -> None:
    defaults = {name: schema["default"] for name, schema in described(SCHEMA) if "default" in schema}
    assert defaults["services.ID.health_check.interval"] == "5s"
    assert defaults["services.ID.deploy.max_healthy"] == "200%"
    assert defaults["services.ID.port"] == 8000
    assert defaults["alarms.ID.for"] == "60s"
    assert defaults["load_balancer.access_log"] is True
    for name, schema in described(SCHEMA):
        if "default" in schema:
            jsonschema.Draft7Validator({**schema, "definitions": SCHEMA["definitions"]}).validate(schema["default"])
            assert (
                f"Default: `{str(schema['default']).replace('True', 'true').replace('False', 'false')}`."
                in schema["description"]
            ), name


@pytest.mark.parametrize(
    "file",
    [REFERENCE / "fairlead.yaml", *sorted((ROOT / "examples").rglob("fairlead.yaml"))],
    ids=lambda path: path.parent.name,
)
def test_the_annotated_file_and_the_examples_fit_it(file: Path) -> None:
    root, _ = parse(file.read_text(encoding="utf-8"), "fairlead.yaml")
    assert root is not None
    assert [f"{list(error.path)}: {error.message}" for error in VALIDATOR.iter_errors(value_of(root))] == []


@pytest.mark.parametrize(
    "text",
    [
        a_service(),
        EACH,
        WHOLE,
        a_service("target_group: {protocol: GRPC}\nhealth_check: {matcher: 0, path: /x}", program="targets: ['127.0.0.1:1']")
        + "load_balancer: {listeners: [{port: 443, protocol: HTTPS, certificates: local, default: {forward: web}}]}",
        a_service("environment: {A: 8080, B: true, C: 1.5, D: text}\npython: 3.12\nhealth_check: {matcher: 204}"),
        a_service("instances: ${env.N}\nthreads: \"${env.T:-4}\"\nhealth_check: {interval: '${env.I}', enabled: '${env.E}'}"),
        a_service("build: [[make, 3], npm ci]\nbefore_traffic: [migrate, 1]", program="command: [node, x, --port, 3000]"),
        a_balancer("listeners: [{port: 80, rules: [{when: {host: a.b}, forward: web}]}]"),
        a_service('target_group: {stickiness: none}'),
        a_balancer("listeners: [{port: 443, protocol: HTTPS, certificates: local, default: {forward: web}}]"),
    ],
)  # fmt: skip
def test_what_fairlead_reads_fits_it(text: str) -> None:
    assert [
        problem
        for problem in problems_of(text, env={"N": "2", "I": "5s", "E": "true"})
        if "not supported" not in problem
    ] == []
    assert fits(text)


@pytest.mark.parametrize(
    "text",
    [
        "name: shop\n",
        "services: {web: {app: 'a:b'}}\n",
        "name: Shop\nservices: {web: {app: 'a:b'}}\n",
        "name: shop\nservices: {}\n",
        "name: shop\nservices: {Web: {app: 'a:b'}}\n",
        "name: shop\nservices: {web: 'a:b'}\n",
        "name: shop\nservices: [web]\n",
        a_service(program="app: app"),
        a_service("colour: blue"),
        a_service("instances: 0"),
        a_service("instances: 1.5"),
        a_service("instances: many"),
        a_service("instances: [2]"),
        a_service("port: none!"),
        a_service("python: two"),
        a_service("build: {a: b}"),
        a_service("max_memory: 512"),
        a_service("max_memory: 512 MB"),
        a_service("max_lifetime: 7 days"),
        a_service("environment: [A]"),
        a_service("environment: {A-B: c}"),
        a_service("environment: {A: [b]}"),
        a_service("environment: {A: }"),
        a_service("after: web"),
        a_service("health_check: {interval: 5}"),
        a_service("health_check: {path: health}"),
        a_service("health_check: {path: '/{x}'}"),
        a_service("health_check: {enabled: on}"),
        a_service("health_check: {matcher: 2xx}"),
        a_service("health_check: {retries: 3}"),
        a_service("deploy: {strategy: roling}"),
        a_service("deploy: {min_healthy: 50}"),
        a_service("target_group: {stickiness: some}"),
        a_service("resources: {memory: 64}"),
        a_service() + "jobs: {j: {service: web, command: x}}",
        a_service() + "jobs: {j: {service: web, command: x, cron: '* * *'}}",
        a_service() + "jobs: {j: {service: web, command: x, cron: '* * * * *', timezone: '../x'}}",
        a_service() + "alarms: {when: healthy_targets}",
        a_service() + "alarms: [{when: healthy_targetz, above: 1, command: x}]",
        a_service() + "alarms: [{when: healthy_targets, above: high, command: x}]",
        a_service() + "alarms: [{when: healthy_targets, above: 1, webhook: 'mailto:me'}]",
        a_service() + "network: {zones: 7}",
        a_service() + "network: {cidr: ten}",
        a_service() + "engine: k8s",
        a_balancer("listeners: []"),
        a_balancer("listeners: [{default: {forward: web}}]"),
        a_balancer("listeners: [{port: 70000, default: {forward: web}}]"),
        a_balancer("listeners: [{port: 80, default: web}]"),
        a_balancer("listeners: [{port: 80, default: {forward: {web: many}}}]"),
        a_balancer("listeners: [{port: 80, default: {forward: web}, rules: [{forward: web}]}]"),
        a_balancer("listeners: [{port: 80, default: {forward: web}, rules: [{when: {path: x}, forward: web}]}]"),
        a_balancer("listeners: [{port: 80, default: {forward: web}, rules: [{when: {host: 'a.b:80'}, forward: web}]}]"),
        a_balancer("listeners: [{port: 80, default: {forward: web}, rules: [{when: {path: []}, forward: web}]}]"),
        a_balancer("listeners: [{port: 80, default: {forward: web}, rules: [{when: {method: get}, forward: web}]}]"),
        a_balancer("listeners: [{port: 80, default: {forward: web}, rules: [{when: {header: {'X Y': a}}, forward: web}]}]"),
        a_balancer("listeners: [{port: 80, default: {forward: web}, rules: [{when: {query: {a: 'b c'}}, forward: web}]}]"),
        a_balancer("listeners: [{port: 80, default: {forward: web}, rules: [{when: {source_ip: office}, forward: web}]}]"),
        a_balancer("listeners: [{port: 80, default: {redirect: {path: 'a', status: 301}}}]"),
        a_balancer("listeners: [{port: 80, default: {redirect: {path: '/#{query}', status: 301}}}]"),
        a_balancer("listeners: [{port: 80, default: {redirect: {path: '/', query: '?a', status: 301}}}]"),
        a_balancer("listeners: [{port: 80, default: {redirect: {host: 'a:80', status: 301}}}]"),
        a_balancer("listeners: [{port: 80, default: {respond: {status: 302}}}]"),
        a_balancer("listeners: [{port: 80, default: {forward: {web: 1, api: 1}, stickiness: 60}}]"),
        a_service(program="targets: [db.internal]"),
        a_service(program="targets: ['db.internal:80']"),
    ],
)  # fmt: skip
def test_what_has_the_wrong_shape_does_not_fit_it(text: str) -> None:
    assert [problem for problem in problems_of(text) if "not supported" not in problem]
    assert not fits(text)


def test_the_page_has_every_key_with_its_meaning_form_default_and_answer() -> None:
    page = page_text()
    tables = re.findall(
        r"^## (.+)\n\n\| key \| meaning \| value \| default \| this version \|\n\|[-|]+\n((?:\|.+\n)+)", page, re.M
    )
    found = {}
    for title, rows in tables:
        prefix = "" if title == "At the top" else title.strip("`") + "."
        for row in rows.splitlines():
            name, *cells = re.split(r"(?<!\\) ?\| ?", row.strip("| "))
            found[prefix + name.strip("`")] = cells
    assert set(found) == every_key(File) == {key.name for key in keys(File)}
    for name, cells in found.items():
        assert len(cells) == 4, name
        assert all(cells[:2]), name
        assert cells[3] == answers()[name], name
    assert found["services.ID.health_check.interval"][1:] == ["duration, 200ms to 5m", "`5s`", "yes"]
    assert found["services.ID.resources.cpu"][3] == found["network.nat"][3] == "not enforced"
    assert found["services.ID.port"][2:] == ["`8000`", "only `none` and `8000`"]
    assert found["load_balancer.listeners.ID.certificates"][3] == "see its keys or `local`"
    assert found["services.ID.target_group.stickiness"][3] == "see its keys or `none`"
    assert found["services.ID.scaling.min"][3] == "yes"
    assert found["services.ID.scaling"][3] == found["services.ID.custom_metrics"][3] == "see its keys"
    assert found["services.ID.user_data"][3] == found["aws"][3] == "refused"
    assert found["caches"][3] == found["databases"][3] == found["buckets"][3] == "see its keys"


def test_the_answers_are_those_of_the_tables() -> None:
    found = answers()
    assert {name for name, answer in found.items() if answer == "yes"} == SUPPORTED
    assert {name for name in UNENFORCED if found[name] != "not enforced"} == set()
