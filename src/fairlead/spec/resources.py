"""What a file says of its caches, databases and buckets that no key says alone: names that depend on an id, and who
asks for an address that is not there. And the values that they become.

Rules work on the tree, as those of `references`, and pass over what is not shaped as it should be.
"""

from __future__ import annotations

from collections.abc import Iterator

from pydantic_core import PydanticCustomError

from fairlead.core.interpolation import SECRET
from fairlead.core.resources import model
from fairlead.core.resources.addresses import addresses_of_url
from fairlead.errors import UsageError
from fairlead.spec.document import Entry, Mapping, Scalar, dotted, find
from fairlead.spec.interpolate import Interpolated, Reference
from fairlead.spec.problems import Problem, nearest
from fairlead.spec.references import entries
from fairlead.spec.schema import File
from fairlead.spec.schema.data import URLS, Bucket, Cache, Database, engine_of

OWN_NAMES: dict[str, dict[str, tuple[str, ...]]] = {
    "postgres": {"name": ("postgres", "template0", "template1"), "user": ("postgres", "public", "none")},
    "mysql": {
        "name": ("mysql", "information_schema", "performance_schema", "sys"),
        "user": ("mysql", "root", "public", "none"),
    },
}
"""Databases and users that a server has or keeps for itself."""


def resource_problems(document: Interpolated) -> Iterator[Problem]:
    """Every problem of this kind, in no order."""
    for id, entry in entries(find(document.root, "databases")).items():
        yield from _names(document, id, entry)
    for reference in document.references:
        if reference.kind != "secrets":
            yield from _address(document, reference)


def resources_of(file: File, root: Mapping) -> tuple[model.Resource, ...]:
    """All of them, in the order of the file."""
    sections: dict[str, list[model.Resource]] = {
        "caches": [_cache(id, cache) for id, cache in file.caches.items()],
        "databases": [_database(id, database) for id, database in file.databases.items()],
        "buckets": [_bucket(id, bucket) for id, bucket in file.buckets.items()],
    }
    return tuple(one for section in root.entries for one in sections.get(section, ()))


def default_name(id: str) -> str:
    """What a database and its owner are called when the file does not say: a name that needs no quotes in SQL."""
    return id.replace("-", "_")


def _cache(id: str, cache: Cache) -> model.Cache:
    return model.Cache(id=id, url=cache.url, memory=cache.memory, eviction=cache.eviction, persist=cache.persist)


def _database(id: str, database: Database) -> model.Database:
    if database.url is not None:
        engine = engine_of(database.url) or database.engine
        assert engine is not None, "its conflicts say so"
        return model.Database(id=id, engine=engine, url=database.url)
    assert database.engine is not None, "its conflicts say so"
    usual = default_name(id)
    name, user = database.name or usual, database.user or usual
    return model.Database(id=id, engine=database.engine, name=name, user=user, version=database.version)


def _bucket(id: str, bucket: Bucket) -> model.Bucket:
    return model.Bucket(id=id, url=bucket.url, name="" if bucket.url else id)


def _names(document: Interpolated, id: str, entry: Entry) -> Iterator[Problem]:
    """A database or an owner that the server has already."""
    engine = find(entry.value, "engine")
    if not isinstance(engine, Scalar) or engine.text not in OWN_NAMES or find(entry.value, "url") is not None:
        return
    for key, taken in OWN_NAMES[engine.text].items():
        path, node = ("databases", id, key), find(entry.value, key)
        if path in document.unknown or (node is not None and not isinstance(node, Scalar)):
            continue
        name = node.text if node else default_name(id)
        if name.lower() in taken or (key == "user" and name.lower().startswith("pg_") and engine.text == "postgres"):
            what = "the default, the id, is" if node is None else "is"
            reason = f"{what} a name that the server keeps for itself"
            yield Problem((node or entry).place, dotted(path), reason, f"write another, such as `{key}: app`")


def _address(document: Interpolated, reference: Reference) -> Iterator[Problem]:
    """A reference to what is not there, or to what a URL does not tell."""
    place, key = reference.node.place, dotted(reference.path)
    known = entries(find(document.root, reference.kind))
    if reference.id not in known:
        sections = (name for name in model.ATTRIBUTES_OF if reference.id in entries(find(document.root, name)))
        close = nearest(reference.id, known)
        advice = f"did you mean {close}?" if close else f"add it to `{reference.kind}`"
        if there := next(sections, ""):
            advice = f"write ${{{there}.{reference.id}.{reference.attribute}}}"
        yield Problem(place, key, f"{reference.text}: there is no {reference.kind}.{reference.id}", advice)
        return
    path = (reference.kind, reference.id, "url")
    url = find(document.root, *path)
    # What a secret holds is known only when a program is launched.
    if not isinstance(url, Scalar) or path in document.unknown or SECRET.search(url.text):
        return
    if (told := _told(reference.kind, reference.id, url.text)) is not None and not told.get(reference.attribute):
        reason = f"{reference.text}: the url of {reference.kind}.{reference.id} does not tell its {reference.attribute}"
        yield Problem(place, key, reason, "add it there, or do without it")


def _told(section: str, id: str, url: str) -> dict[str, str] | None:
    """The attributes that a URL tells; None when it is none, which has its own problem."""
    resource: model.Resource = model.Cache(id=id)
    if section == "databases":
        resource = model.Database(id=id, engine=engine_of(url) or "postgres")
    elif section == "buckets":
        resource = model.Bucket(id=id)
    try:
        return addresses_of_url(resource, URLS[section].read(url))
    except (PydanticCustomError, UsageError):
        return None
