"""What `${secrets.NAME}` and `${databases.ID.url}` stand for, looked up when a program is launched and kept nowhere.

In: a stack's name and the texts that are to be filled in. Out: the values of what they mention, for
`core.interpolation`. What has no value is left out: whoever fills in a text that needs it says so.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from fairlead.core.interpolation import interpolate_url, references
from fairlead.core.model import Release, Stack
from fairlead.core.resources.addresses import addresses_here, addresses_of_url
from fairlead.core.resources.model import Resource
from fairlead.store.database import Store

_PASSWORD = "resource:"  # noqa: S105 (how a name begins)

_PRESENT: Mapping[str, int] = {}
"""Of every secret the value of now."""


def password_name(id: str) -> str:
    """Under which the vault keeps the generated password of a resource; no user's secret can have that name."""
    return f"{_PASSWORD}{id}"


def resource_of(name: str) -> str:
    """The resource whose password the vault keeps under `name`; "" when it is a user's secret."""
    return name.removeprefix(_PASSWORD) if name.startswith(_PASSWORD) else ""


class References:
    """Of one home."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def of_release(self, stack: str, release: Release) -> dict[str, str]:
        """What a program of the release needs: the values it was made with, as long as they are kept."""
        return self.of(stack, (*release.argv, *release.environment.values()), release.secrets)

    def of(self, stack: str, texts: Iterable[str], numbers: Mapping[str, int] = _PRESENT) -> dict[str, str]:
        """`secrets.NAME`, `databases.ID.url` -> its value, for all that `texts` mention. numbers: of the secrets whose
        present value is not the one that is meant."""
        values: dict[str, str] = {}
        known: dict[str, dict[str, str]] = {}
        for parts in (parts for text in texts for parts in references(text)):
            if parts[0] == "secrets":
                value = self._store.vault.value(stack, parts[1], numbers.get(parts[1]))
            else:
                _, id, attribute = parts
                if id not in known:
                    known[id] = self.attributes(stack, id, numbers)
                value = known[id].get(attribute)
            if value is not None:
                values[".".join(parts)] = value
        return values

    def numbered(self, stack: Stack, others: Mapping[str, int] = _PRESENT) -> Stack:
        """`stack` with the numbers that its secrets have in the vault; 0 for one that is not set. others: numbers that
        hold instead."""
        numbers = {**self._store.vault.numbers(stack.name), **others}
        services = tuple(
            replace(one, secrets={name: numbers.get(name, 0) for name in one.secrets}) for one in stack.services
        )
        return replace(stack, services=services)

    def filled(self, stack: str, url: str, numbers: Mapping[str, int] = _PRESENT) -> str:
        """`url` with its references put in. NotFound when one has no value."""
        return interpolate_url(url, self.of(stack, (url,), numbers))

    def attributes(self, stack: str, id: str, numbers: Mapping[str, int] = _PRESENT) -> dict[str, str]:
        """All that can be asked of a resource; nothing of one that is not there yet."""
        resource = self._resource(stack, id)
        if resource is None:
            return {}
        if resource.url is not None:
            return addresses_of_url(resource, self.filled(stack, resource.url, numbers))
        record, password = self._store.resource(stack, id), self._store.vault.value(stack, password_name(id))
        return addresses_here(resource, record.port, password) if record and password else {}

    def _resource(self, stack: str, id: str) -> Resource | None:
        record = self._store.stack(stack)
        if record is None:
            return None
        revisions = (record.desired, record.previous)
        found = (one for revision in revisions if revision for one in revision.stack.resources)
        return next((one for one in found if one.id == id), None)
