"""What an instance is started with: its words and its whole environment, from its release and its record.

The environment is clean: PATH, HOME, LANG, TZ, the user's variables, and fairlead's own, which win. Values that only an
instance has (`${instance.port}` and its like) are put in here, once, and never interpreted again.
"""

from __future__ import annotations

from dataclasses import dataclass

from fairlead.core.interpolation import interpolate_instance
from fairlead.core.layout import Layout
from fairlead.core.model import Release
from fairlead.core.observed import InstanceRecord

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


def start_of(release: Release, record: InstanceRecord, layout: Layout, around: Surroundings) -> Start:
    """How to start `record`, an instance of `release`."""
    socket = record.address.removeprefix("unix:") if record.address.startswith("unix:") else None
    port = None if socket is not None else int(record.address.rpartition(":")[2])

    def filled(text: str) -> str:
        return interpolate_instance(text, port=port, socket=socket, id=record.id, zone=record.zone)

    path = SYSTEM_PATH
    if release.environment_folder is not None:
        path = f"{release.environment_folder}/bin:{path}"
    environment = {
        "PATH": path,
        "HOME": layout.instance_run(record.stack, record.id),
        "LANG": around.lang,
        "PYTHONUNBUFFERED": "1",  # stdout is a file: Python would keep lines back (local.md 2.2)
    }
    if around.timezone:
        environment["TZ"] = around.timezone
    environment.update((name, filled(value)) for name, value in release.environment.items())
    environment.update(
        FAIRLEAD_INSTANCE=record.id,
        FAIRLEAD_RUN=layout.instance(record.stack, record.id),
        FAIRLEAD_SERVICE=record.service,
        FAIRLEAD_RELEASE=str(record.release),
        FAIRLEAD_ZONE=record.zone,
    )
    environment.update({"PORT": str(port)} if socket is None else {"SOCKET": socket})
    return Start(tuple(filled(word) for word in release.argv), environment, release.source)
