"""Everything the store keeps comes back as it was."""

from __future__ import annotations

import dataclasses
import json
from types import MappingProxyType
from typing import get_type_hints

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fairlead.core.desired import StackRecord
from fairlead.core.model import Release, Service
from fairlead.core.observed import InstanceRecord
from fairlead.errors import StoreError
from fairlead.store import records
from tests.store.builders import a_release, a_stack_record, an_instance

# File names may hold bytes that are not UTF-8; Python keeps them as surrogates.
texts = st.text(st.characters(exclude_categories=[]), max_size=8)
st.register_type_strategy(str, texts)
st.register_type_strategy(float, st.floats(allow_nan=False, allow_infinity=False))


def any_of(kind: type) -> st.SearchStrategy:  # type: ignore[type-arg]
    """Any value of a dataclass, every field drawn from its annotation, defaults included."""
    hints = get_type_hints(kind)
    drawn = {field.name: st.from_type(hints[field.name]) for field in dataclasses.fields(kind)}
    return st.builds(kind, **drawn)


st.register_type_strategy(Service, any_of(Service))


@pytest.mark.parametrize("kind", records.KINDS, ids=lambda kind: kind.__name__)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_record_comes_back_as_it_was(kind: type, data: st.DataObject) -> None:
    value = data.draw(any_of(kind))
    stored = records.text(value)
    assert stored.isascii()
    assert records.read(kind, stored) == value


def test_the_places_of_a_stack_come_back_too() -> None:
    back = records.read(StackRecord, records.text(a_stack_record()))
    assert back.desired.stack.place("services.web.app") == "fairlead.yaml:3:3"


def test_a_mapping_that_cannot_be_written_to_is_kept_like_any_other() -> None:
    release = a_release(environment=MappingProxyType({"A": "1"}))
    assert records.read(Release, records.text(release)) == release


def test_a_field_that_a_later_version_added_is_passed_over() -> None:
    stored = json.loads(records.text(an_instance()))
    assert records.read(InstanceRecord, json.dumps(stored | {"mood": "good"})) == an_instance()


@pytest.mark.parametrize("damaged", ["", "{", "[]", '{"stack": "shop"}', '{"state": "asleep"}'])
def test_a_damaged_record_is_named_not_guessed(damaged: str) -> None:
    with pytest.raises(StoreError, match="a stored InstanceRecord cannot be read") as caught:
        records.read(InstanceRecord, damaged)
    assert "backup" in caught.value.next_step
