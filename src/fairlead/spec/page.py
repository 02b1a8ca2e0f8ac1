"""docs/reference/file.md, every key in tables: `python -m fairlead.spec.page > FILE`. A test compares the two."""

from __future__ import annotations

from fairlead.spec.describe import Key, as_text, keys, shape_of, written_default
from fairlead.spec.schema import File
from fairlead.spec.support import answers

INTRODUCTION = """\
# The keys of fairlead.yaml

This page is generated from the schema by `python -m fairlead.spec.page`; a test compares the two. The annotated
example is [fairlead.yaml](fairlead.yaml). For editors there is a JSON Schema,
[fairlead.schema.json](fairlead.schema.json), which `fairlead schema` prints: an editor with a YAML language server
completes and checks a file that begins with `# yaml-language-server: $schema=fairlead.schema.json`.

- `ID` stands for a name of yours, or for the place in a list.
- Durations: `500ms`, `30s`, `5m`, `1h`, `7d`. Sizes: `256MB`, `1GB` (powers of 1000; `MiB`, `GiB` of 1024).
  Percentages: `90%`.
- `${env.NAME}` may stand in any value. `${instance.port}` and its kin, and addresses such as `${databases.ID.host}`,
  may stand in a service's `command` and `environment`; of addresses, `url` and `password` only in `environment`.
  `${secrets.NAME}` may stand in `environment`, in the `webhook` of an alarm, and in the `url` of a custom metric, a
  cache, a database or a bucket.
- The last column says what this version does on engine `local`. **yes**: it is done. **refused**: a file that has the
  key is refused, with a sentence that says what to do. **only** some values: a file with another one is refused. **not
  enforced**: it is taken, and named at every `up`, in `status` and in `plan`.
"""

_HEADING = "| key | meaning | value | default | this version |\n|---|---|---|---|---|\n"


def page_text() -> str:
    """The whole page."""
    tables: dict[str, list[Key]] = {}
    for key in keys(File):
        tables.setdefault(key.name.rpartition(".")[0], []).append(key)
    parts = [INTRODUCTION]
    for name, rows in tables.items():
        title = f"`{name}`" if name else "At the top"
        parts.append(f"## {title}\n\n{_HEADING}{''.join(map(_row, rows))}")
    return "\n".join(parts)


def _row(key: Key) -> str:
    default = written_default(key.field)
    shown = "required" if key.field.is_required() else f"`{as_text(default)}`" if default not in ("", None) else ""
    word = f"`{key.name.rpartition('.')[2]}`"
    cells = (word, key.meaning, shape_of(key.field, key.name).form, shown, answers()[key.name])
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |\n"


if __name__ == "__main__":
    print(page_text(), end="")
