"""The grammar of `${...}` and what a launch replaces."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fairlead.core.interpolation import ENVIRONMENT, INSTANCE, VARIABLE, env_names, interpolate_instance


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("", ()),
        ("port: ${env.PORT:-8080}", ("PORT",)),
        ("${env.B} ${env.A} ${env.B}", ("B", "A")),
        ("# ${env.IN_A_COMMENT}", ("IN_A_COMMENT",)),
        ("$env.A ${environment.B} ${secrets.C} ${env.1} ${ env.D}", ()),
        ("${env.NEVER_CLOSED", ("NEVER_CLOSED",)),
    ],
)
def test_the_names_of_the_environment_that_a_text_mentions(text: str, names: tuple[str, ...]) -> None:
    assert env_names(text) == names


def test_a_launch_replaces_all_that_an_instance_has() -> None:
    text = "${instance.id} in ${instance.zone} at ${instance.port}${instance.socket}, ${env.X} stays"
    said = interpolate_instance(text, port=20417, socket=None, id="web-1", zone="a")
    assert said == "web-1 in a at 20417, ${env.X} stays"
    assert interpolate_instance("${instance.socket}", port=None, socket="/run/s", id="w-1", zone="b") == "/run/s"
    assert interpolate_instance("<${instance.port}>", port=None, socket="/run/s", id="w-1", zone="b") == "<>"


def test_what_was_put_in_is_not_looked_at_again() -> None:
    said = interpolate_instance("${instance.id}", port=1, socket=None, id="${instance.zone}", zone="a")
    assert said == "${instance.zone}"


@given(st.text(alphabet="${}.:-envistacoporkd\n ", max_size=40))
def test_the_grammar_reads_any_text_and_changes_only_what_it_knows(text: str) -> None:
    for match in VARIABLE.finditer(text):
        inside, closed = match.groups()
        assert match[0] == "${" + inside + closed
        if ENVIRONMENT.fullmatch(inside):
            assert inside.startswith("env.")
    assert INSTANCE.sub("", text) == interpolate_instance(text, port=None, socket="", id="", zone="")
