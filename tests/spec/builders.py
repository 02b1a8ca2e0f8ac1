"""Files and what reading them says, with everything that a test does not speak of left out."""

from __future__ import annotations

from collections.abc import Mapping

from fairlead.core.model import Service, Stack
from fairlead.errors import SpecError
from fairlead.spec import parse_text
from fairlead.spec.document import parse
from fairlead.spec.interpolate import Interpolated, interpolate
from fairlead.spec.schema.base import keys_of, part_within

FILE = "/srv/shop/fairlead.yaml"


def a_service(lines: str = "", *, program: str = 'app: "app:app"') -> str:
    """A file with one service, `web`, that has these keys besides its program."""
    body = "".join(f"    {line}\n" for line in [program, *lines.splitlines()] if line.strip())
    return f"name: shop\nservices:\n  web:\n{body}"


def a_balancer(lines: str) -> str:
    """A file with the service `web` and these keys in its load balancer."""
    return a_service() + "load_balancer:\n" + "".join(f"  {line}\n" for line in lines.splitlines())


def stack_of(text: str, env: Mapping[str, str] | None = None, dotenv: str = "") -> Stack:
    return parse_text(text, FILE, env or {}, dotenv)


def web_of(text: str, env: Mapping[str, str] | None = None, dotenv: str = "") -> Service:
    return stack_of(text, env, dotenv).service("web")


def error_of(text: str, env: Mapping[str, str] | None = None, dotenv: str = "") -> SpecError:
    try:
        stack = parse_text(text, FILE, env or {}, dotenv)
    except SpecError as error:
        return error
    raise AssertionError(f"nothing is wrong with it: {stack}")


def problems_of(text: str, env: Mapping[str, str] | None = None, dotenv: str = "") -> list[str]:
    """The problems of `text`, one a line; none when it is read."""
    try:
        parse_text(text, FILE, env or {}, dotenv)
    except SpecError as error:
        return list(error.problems)
    return []


def document_of(text: str, env: Mapping[str, str] | None = None) -> Interpolated:
    """The tree of `text`, with its variables replaced."""
    root, problems = parse(text, "fairlead.yaml")
    assert root is not None, problems
    return interpolate(root, env or {}, {})


def every_key(part: type, prefix: str = "") -> set[str]:
    """The dotted name of every key of the schema below `part`, with `ID` for names and indices."""
    keys = set()
    for key, field in keys_of(part).items():
        keys.add(f"{prefix}{key}")
        below, steps = part_within(field.annotation)
        if below:
            keys |= every_key(below, f"{prefix}{key}." + "ID." * steps)
    return keys
