"""The page of all facts is what the tests say, and what they say can be trusted."""

from __future__ import annotations

import importlib
import inspect
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from tests.conformance.facts import FACTS, Fact
from tests.conformance.fidelity import TITLES, collect, page

ROOT = Path(__file__).parents[2]


def function_of(fact: Fact) -> Callable[..., object]:
    found: Callable[..., object] = getattr(importlib.import_module(fact.module), fact.test)
    return found


def test_the_page_is_what_the_facts_say() -> None:
    written = (ROOT / "docs/reference/fidelity.md").read_text(encoding="utf-8")
    assert written == page(), "run: .venv/bin/python -m tests.conformance.fidelity > docs/reference/fidelity.md"


def test_no_fact_is_listed_twice() -> None:
    facts = collect()
    for key in ("test", "text"):
        counts = Counter((fact.section, getattr(fact, key)) for fact in facts)
        assert [name for name, count in counts.items() if count > 1] == []


def test_every_test_of_a_section_proves_a_fact() -> None:
    facts = collect()
    assert {fact.section for fact in FACTS} == set(TITLES)
    for module in {fact.module for fact in facts}:
        tests = {
            name
            for name, _ in inspect.getmembers(importlib.import_module(module), inspect.isfunction)
            if name.startswith("test_")
        }
        assert tests == {fact.test for fact in facts if fact.module == module}


def test_a_quoted_message_is_the_one_that_the_test_compares() -> None:
    for fact in collect():
        takes = "message" in inspect.signature(function_of(fact)).parameters
        assert takes == bool(fact.message), fact.test
        if takes:
            assert re.search(r"assert message in refusal_of\(", inspect.getsource(function_of(fact))), fact.test


def test_the_texts_fit_into_a_table() -> None:
    for fact in collect():
        assert "\n" not in fact.text + fact.how
        assert fact.text[:1] in "`*" or not fact.text.endswith(".")
