"""`fairlead init`: write the first fairlead.yaml, from what the folder holds; the finding itself is scaffold's."""

from __future__ import annotations

import os

import click

from fairlead.cli import output
from fairlead.cli.options import home_option


@click.command("init", short_help="Write a fairlead.yaml from what the folder holds.")
@click.argument("path", default=".", metavar="[PATH]")
@click.option("--name", metavar="NAME", help="The stack's name. Default: made from the folder's.")
@click.option("--command", "program", metavar="TEXT", help="What to run, instead of what is found; $PORT is its port.")
@click.option("--probe", is_flag=True, help="Start the app once, and take a health path that answered 200.")
@click.option("--print", "to_stdout", is_flag=True, help="Print the file on stdout and write nothing.")
@home_option
def command(path: str, name: str | None, program: str | None, probe: bool, to_stdout: bool) -> None:
    """Write a commented fairlead.yaml into the folder PATH (default: here), from what it finds there: a Procfile,
    Django, the app object or factory of Flask, FastAPI, Starlette and others, a plain WSGI or ASGI function, or a
    package.json.

    The files are read and nothing of them is run, unless --probe asks for it: then the app is started once, in the
    project's own environment (.venv, or the active one). Each key says whether it was found or assumed, and the file
    ends with what will bite. A fairlead.yaml that is there already is never overwritten.

    \b
    Examples:
      fairlead init
      fairlead init --probe shop
      fairlead init --print | less
      fairlead init --name shop --command './serve --port $PORT'

    \b
    Exit status:
      0    written, or printed
      1    --probe could not try the app, or the file cannot be written
      2    there is a fairlead.yaml already, nothing to serve was found, or a wrong command line
    """
    from fairlead.scaffold import place, write
    from fairlead.scaffold.draft import draft_of

    folder = place.folder_of(path)
    if not to_stdout:
        place.refuse_existing(folder)
    draft = draft_of(folder, name, program)
    said = ""
    if probe:
        import asyncio

        from fairlead.scaffold.trial import tried

        output.note("starting the app once, to see what it answers")
        draft, trial = asyncio.run(tried(draft, folder, dict(os.environ)))
        for asked, status in trial.statuses.items():
            output.note(f"  {output.cell(asked)}: {status or 'no answer'}")
        said = "started the app once (--probe)"
    text = place.checked(write.text(draft, said), folder)
    for service in draft.services:
        path_said = f", health check {service.health.path}" if service.health else ", serves no requests"
        output.note(f"found {output.cell(service.summary)}: service {service.name}{output.cell(path_said)}")
    for warning in draft.warnings:
        output.note(f"note: {output.cell(warning)}")
    if to_stdout:
        output.data(text.rstrip("\n"))
        return
    output.data(output.cell(place.write(text, folder)))
    where = "" if folder == os.getcwd() else f" {output.word(os.path.relpath(folder))}"
    output.next_commands(f"fairlead up{where}", f"fairlead plan{where}")
