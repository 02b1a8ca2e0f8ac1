"""Manual pages (roff, for man(1)) of the commands. Pure: values in, text out; `reference` writes the files.

Everything is escaped: a backslash, a leading dot or quote, and a hyphen, which would be typeset as a dash.
"""

from __future__ import annotations

import re

import click

from fairlead import __version__
from fairlead.cli.manual import Manual, manual_of
from fairlead.cli.see_also import SEE_ALSO


def page(words: tuple[str, ...], command: click.Command, context: click.Context) -> str:
    """The page of `fairlead WORDS...`; no words: of fairlead itself."""
    name, manual = "-".join(("fairlead", *words)), manual_of(command)
    lines = [
        f'.TH {_escaped(name.upper())} 1 "" "fairlead {_escaped(__version__)}" "fairlead"',
        ".SH NAME",
        f"{_escaped(name)} \\- {_escaped(manual.summary[:1].lower() + manual.summary[1:])}",
        ".SH SYNOPSIS",
        f".B {_escaped(' '.join(('fairlead', *words)))}",
        _escaped(" ".join(command.collect_usage_pieces(context))),
        *_description(manual),
        *_options(command, context),
        *_commands(command, context),
        *_kept("EXAMPLES", manual.examples),
        *_statuses(manual),
        ".SH SEE ALSO",
        ", ".join(f"\\fB{_escaped(other)}\\fR(1)" for other in _see_also(words)),
    ]
    return "\n".join(lines) + "\n"


def _description(manual: Manual) -> list[str]:
    lines = [".SH DESCRIPTION"]
    for text, kept in manual.paragraphs:
        body = [_escaped(line) for line in text.splitlines()]
        lines += [".PP", *([".nf", *body, ".fi"] if kept else body)]
    return lines


def _options(command: click.Command, context: click.Context) -> list[str]:
    lines: list[str] = []
    for parameter in command.get_params(context):
        record = parameter.get_help_record(context)
        if record is not None:
            lines += [".TP", f"\\fB{_escaped(record[0])}\\fR", _escaped(record[1])]
    return [".SH OPTIONS", *lines] if lines else []


def _commands(command: click.Command, context: click.Context) -> list[str]:
    if not isinstance(command, click.Group):
        return []
    lines = [".SH COMMANDS"]
    for name in command.list_commands(context):
        found = command.get_command(context, name)
        if found is not None and not found.hidden:
            lines += [".TP", f"\\fB{_escaped(name)}\\fR", _escaped(found.get_short_help_str(200))]
    return lines


def _kept(title: str, lines: tuple[str, ...]) -> list[str]:
    return [f".SH {title}", ".nf", *map(_escaped, lines), ".fi"] if lines else []


def _statuses(manual: Manual) -> list[str]:
    lines: list[str] = []
    for status, meaning in manual.statuses:
        lines += [".TP", f"\\fB{_escaped(status)}\\fR", _escaped(meaning)]
    return [".SH EXIT STATUS", *lines] if lines else []


def _see_also(words: tuple[str, ...]) -> list[str]:
    if not words:
        return [f"fairlead-{name}" for name in SEE_ALSO]
    others = [f"fairlead-{name}" for name in SEE_ALSO.get(words[0], ())]
    above = "-".join(("fairlead", *words[:-1]))
    return list(dict.fromkeys(("fairlead", above, *others)))


def _escaped(text: str) -> str:
    safe = re.sub(r"[\r\n\t]+", " ", text).replace("\\", "\\e").replace("-", "\\-")
    return f"\\&{safe}" if safe[:1] in (".", "'") else safe
