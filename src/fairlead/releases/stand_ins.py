"""What references stand for while an app is only looked at: a release is made before any database of it runs, and no
secret is needed to import a module.

In: texts with `${secrets.NAME}`, `${databases.ID.url}` and their kin, and the resources that there are. Out: values
that are shaped like the real ones. Nothing listens where they point to; a resource that exists already and whose `url`
holds no secret is itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from fairlead.core.interpolation import SECRET, references
from fairlead.core.resources.addresses import addresses_here, addresses_of_url
from fairlead.core.resources.model import Database, Resource

STAND_IN = "c3RhbmQtaW4uLi4uLi4uLi4uLi4uLi4uLi4uLi4uLi4="
"""`stand-in........................` in base64: apps check that a secret is long, or make a key of 32 bytes of it."""

NO_PORT = 1
"""A connection to it is refused at once."""


def stand_ins(texts: Iterable[str], resources: Iterable[Resource]) -> dict[str, str]:
    """`secrets.NAME`, `databases.ID.url` -> a value, for all that `texts` refer to."""
    by_id = {one.id: one for one in resources}
    values: dict[str, str] = {}
    for parts in (parts for text in texts for parts in references(text)):
        if parts[0] == "secrets":
            values[".".join(parts)] = STAND_IN
        elif parts[1] in by_id:
            values[".".join(parts)] = _attributes(by_id[parts[1]]).get(parts[2], STAND_IN)
    return values


def _attributes(resource: Resource) -> dict[str, str]:
    if resource.url is not None and not SECRET.search(resource.url):
        return addresses_of_url(resource, resource.url)
    if isinstance(resource, Database):
        resource = replace(resource, name=resource.name or "name", user=resource.user or "user")
    return addresses_here(resource, NO_PORT, STAND_IN)
