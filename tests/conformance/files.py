"""Texts of small fairlead.yaml files, with all that a fact does not speak of left out."""

from __future__ import annotations


def with_rule(rule: str) -> str:
    """A file with one rule before the default."""
    return with_rules([rule])


def with_rules(rules: list[str]) -> str:
    lines = "".join(f"        - {rule}\n" for rule in rules)
    return f"""\
name: rules
services: {{web: {{targets: ["127.0.0.1:9000"]}}}}
load_balancer:
  listeners:
    - port: ${{env.PORT}}
      rules:
{lines}      default: {{forward: web}}
"""


def with_balancer(line: str) -> str:
    """A file with this key in its load balancer."""
    return f"""\
name: balancer
services: {{web: {{targets: ["127.0.0.1:9000"]}}}}
load_balancer:
  {line}
  listeners: [{{port: "${{env.PORT}}", default: {{forward: web}}}}]
"""


def with_listener(keys: str) -> str:
    """A file with these keys in its listener."""
    return f"""\
name: listener
services: {{web: {{targets: ["127.0.0.1:9000"]}}}}
load_balancer:
  listeners: [{{port: "${{env.PORT}}", {keys}, default: {{forward: web}}}}]
"""


def with_group(keys: str) -> str:
    """A file with these keys in its target group."""
    return with_service(f"target_group: {{{keys}}}")


def with_check(keys: str) -> str:
    """A file with these keys in its health check."""
    return with_service(f"health_check: {{{keys}}}")


def with_service(key: str) -> str:
    return f"""\
name: service
services:
  web:
    targets: ["127.0.0.1:9000"]
    {key}
"""
