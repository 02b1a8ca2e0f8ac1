"""The first fairlead.yaml of a project, written from what its folder holds; behind `fairlead init`.

`folder` reads (bounded, nothing is run), `python_code`, `django`, `node` and `procfile` find what can be served,
`routes` proposes a health path, `traps` says what will bite, `draft` puts them together, `write` makes the text and
`place` puts it there. `trial`, with its program `probe.py`, starts the app once, and only when it is asked to.
"""
