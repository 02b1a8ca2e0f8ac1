"""The annotated file in docs/reference: valid as it stands, and what this version refuses of it."""

from __future__ import annotations

from pathlib import Path

from fairlead.spec.document import Mapping, Node, Sequence
from fairlead.spec.schema import File
from fairlead.spec.support import refusals, unenforced
from fairlead.spec.validate import validate
from tests.spec.builders import document_of, every_key

REFERENCE = Path(__file__).parents[2] / "docs/reference/fairlead.yaml"

REFUSED = """
services.web.deploy.rollback_on.error_rate services.web.deploy.rollback_on.latency_p95
services.docs.port services.docs.dockerfile services.docs.user_data aws
"""

UNENFORCED = """
services.web.resources network.cidr network.placement network.nat network.bastion network.security_groups
network.network_acls
"""


def test_the_annotated_file_is_a_valid_fairlead_file() -> None:
    file, problems = validate(document_of(REFERENCE.read_text()))
    assert [str(problem) for problem in problems] == []
    assert file is not None
    assert list(file.services) == ["web", "docs", "legacy", "worker"]


def test_this_version_refuses_exactly_these_keys_of_it() -> None:
    refused = refusals(document_of(REFERENCE.read_text()))
    assert sorted(problem.key for problem in refused) == sorted(REFUSED.split())


def test_this_version_names_exactly_these_keys_of_it_as_not_enforced() -> None:
    assert unenforced(document_of(REFERENCE.read_text()).root) == tuple(UNENFORCED.split())


def test_the_annotated_file_names_every_key() -> None:
    """Where it shows one form of a key, a comment beside it names the others."""
    text = REFERENCE.read_text()
    assert [key for key in every_key(File) if key.rpartition(".")[2] not in text] == []


def test_no_key_of_the_annotated_file_is_unknown_to_the_schema() -> None:
    known = every_key(File)
    names = {key.rpartition(".")[2] for key in known}

    def keys(node: Node) -> set[str]:
        if isinstance(node, Mapping):
            return set(node.entries).union(*(keys(entry.value) for entry in node.entries.values()))
        return set().union(*(keys(item) for item in node.items)) if isinstance(node, Sequence) else set()

    ids = {"web", "docs", "legacy", "worker", "nightly", "sessions", "store", "photos", "queue", "public"}
    values = {"X-Beta", "lang", "*", "LOG_LEVEL", "CACHE_URL", "DATABASE_URL", "team"}
    assert keys(document_of(REFERENCE.read_text()).root) - names - ids - values == set()
