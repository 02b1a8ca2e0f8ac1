"""`fairlead plan`: what an `up` would change, found out without changing anything.

In: what `up` would be sent. Out: the changes, each with its reason, and what the file asks for that the engine does not
enforce. The releases are judged, not built.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fairlead.control.ports import Builder
from fairlead.control.resources import StackResources
from fairlead.control.resources_view import needed_at_rest
from fairlead.control.secrets import Secrets
from fairlead.control.ups import UpRequest, placed
from fairlead.core.desired import Revision
from fairlead.core.differences import differences
from fairlead.core.model import Release, Service
from fairlead.haproxy.base import Balancer
from fairlead.spec import read
from fairlead.spec.dotenv import parse_dotenv
from fairlead.store.database import Store


class Previews:
    """Of one daemon."""

    def __init__(
        self,
        store: Store,
        builder: Builder,
        balancer: Balancer,
        resources_of: Callable[[str], StackResources],
        vault: Secrets,
    ) -> None:
        self._store, self._builder, self._balancer = store, builder, balancer
        self._resources_of, self._secrets = resources_of, vault

    async def plan(self, request: UpRequest) -> dict[str, Any]:
        """See `Supervisor.plan`."""
        stack = read(request.path, env=request.env, dotenv=request.dotenv)
        notes: list[str] = []
        await self._resources_of(stack.name).vet(stack)
        stack = self._secrets.previewed(stack, {**parse_dotenv(request.dotenv)[0], **request.env}, notes.append)
        record = self._store.stack(stack.name)
        if record is not None and record.wanted == "down":
            record = None
        with placed(stack):
            await self._balancer.vet(stack.name, stack.listeners)
        releases, reasons = {}, {}
        for service in (one for one in stack.services if one.runs):
            known = self._store.releases(stack.name, service.name)
            preview = await self._builder.preview(stack, service, known)
            releases[service.name] = preview.release or self._new_release(stack.name, service)
            reasons[service.name] = preview.reasons
        changes = differences(record.desired if record else None, Revision(stack=stack, releases=releases), reasons)
        return {
            "stack": stack.name,
            "first": record is None,
            "changed": bool(changes),
            "changes": [{"service": one.service, "what": one.what, "why": one.why} for one in changes],
            "engine": stack.engine,
            "unenforced": list(stack.unenforced),
            "notes": [*notes, *needed_at_rest(stack, self._store.resources(stack.name))],
            "urls": [listener.url for listener in stack.listeners],
        }

    def _new_release(self, stack: str, service: Service) -> Release:
        """A stand-in for a release that would have to be built: only its number is looked at."""
        return Release(
            service=service.name,
            number=self._store.next_release_number(stack, service.name),
            fingerprint="",
            source="",
            environment_folder=None,
            argv=(),
            address="none",
        )
