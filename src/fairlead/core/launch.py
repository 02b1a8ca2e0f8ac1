"""What a program of a release is started with: its words and its whole environment.

In: a release, and the record of an instance or of a run. Out: a `Start`, ready for an engine. The environment is clean:
PATH, HOME, LANG, TZ, what resources ask for, the user's variables, and fairlead's own, which win. Values that only an
instance has (`${instance.port}` and its like), secrets and the addresses of resources are put in here, once, and never
interpreted again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from fairlead.core.interpolation import interpolate_launch
from fairlead.core.layout import Layout
from fairlead.core.model import Release
from fairlead.core.observed import InstanceRecord
from fairlead.core.resources.addresses import clients_need

SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the machine lends to every instance."""

    lang: str = "C.UTF-8"
    timezone: str = ""
    """TZ, when the daemon has one."""


@dataclass(frozen=True, slots=True)
class Start:
    """Ready for an engine."""

    argv: tuple[str, ...]
    environment: dict[str, str]
    working_folder: str


def start_of(
    release: Release, record: InstanceRecord, layout: Layout, around: Surroundings, values: Mapping[str, str]
) -> Start:
    """How to start `record`, an instance of `release`. values: `secrets.NAME`, `databases.ID.url` -> what each stands
    for (`control.references`). NotFound when one is missing."""
    place = _Place(record.stack, record.id, record.zone, record.address, values)
    environment = _environment(release, place, layout, around)
    if record.address.startswith("unix:"):
        environment["SOCKET"] = record.address.removeprefix("unix:")
    elif record.address:
        environment["PORT"] = record.address.rpartition(":")[2]
    return Start(tuple(place.filled(word) for word in release.argv), environment, release.source)


def start_once(
    release: Release, argv: tuple[str, ...], stack: str, id: str, layout: Layout, around: Surroundings,
    values: Mapping[str, str],
) -> Start:  # fmt: skip
    """How to start `argv` once in `release` and its environment: a job, `before_traffic`, `fairlead run`.

    id: what it knows itself by (FAIRLEAD_INSTANCE). It has no address, so `${instance.port}` and `${instance.socket}`
    in the user's variables read as "". values: as in `start_of`."""
    place = _Place(stack, id, "", "", values)
    return Start(argv, _environment(release, place, layout, around), release.source)


@dataclass(frozen=True, slots=True)
class _Place:
    """What one program knows of itself."""

    stack: str
    id: str
    zone: str
    address: str
    values: Mapping[str, str]

    def filled(self, text: str) -> str:
        socket = self.address.removeprefix("unix:") if self.address.startswith("unix:") else None
        port = int(self.address.rpartition(":")[2]) if self.address and socket is None else None
        return interpolate_launch(text, port=port, socket=socket, id=self.id, zone=self.zone, values=self.values)


def _environment(release: Release, place: _Place, layout: Layout, around: Surroundings) -> dict[str, str]:
    path = SYSTEM_PATH
    if release.environment_folder is not None:
        path = f"{release.environment_folder}/bin:{path}"
    environment = {
        "PATH": path,
        "HOME": layout.instance_run(place.stack, place.id),
        "LANG": around.lang,
        "PYTHONUNBUFFERED": "1",  # stdout is a file: Python would keep lines back (local.md 2.2)
    }
    if around.timezone:
        environment["TZ"] = around.timezone
    environment.update(clients_need(release.environment.values()))
    environment.update((name, place.filled(value)) for name, value in release.environment.items())
    environment.update(
        FAIRLEAD_INSTANCE=place.id,
        FAIRLEAD_RUN=layout.instance(place.stack, place.id),
        FAIRLEAD_SERVICE=release.service,
        FAIRLEAD_RELEASE=str(release.number),
        FAIRLEAD_ZONE=place.zone,
    )
    return environment
