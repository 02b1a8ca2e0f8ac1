"""`fairlead schema`: the JSON Schema of fairlead.yaml, for editors."""

from __future__ import annotations

import click

from fairlead.cli import output
from fairlead.cli.options import home_option


@click.command("schema", short_help="Print the JSON Schema of fairlead.yaml.")
@home_option
def command() -> None:
    """Print the JSON Schema (draft 7) of fairlead.yaml as this version reads it. With it an editor completes keys,
    shows what each means with its default, and marks what is wrong while you type.

    Editors with the YAML language server (VS Code, Neovim, Emacs, Zed, JetBrains) take it from a comment in the first
    line of the file:

    \b
      # yaml-language-server: $schema=fairlead.schema.json

    The schema says what each key may hold. What keys say of each other, and what this machine can do, is said by
    `fairlead plan`, which reads the file as `fairlead up` does and changes nothing.

    \b
    Examples:
      fairlead schema > fairlead.schema.json
      fairlead schema | jq .properties.services.description

    \b
    Exit status:
      0    printed
      2    the command line is not understood
    """
    from json import dumps

    from fairlead.spec.jsonschema import schema

    output.data(dumps(schema(), indent=2))
