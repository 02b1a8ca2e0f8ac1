"""How a backup is called unless its maker says otherwise; by this name releases leave it out of what they copy."""

from __future__ import annotations

import re

_NAME = re.compile(r".+-[0-9]{8}-[0-9]{6}\.(redis|postgres|mysql|s3)\.dump(\.fairlead-partial)?", re.DOTALL)


STAMP = "%Y%m%d-%H%M%S"
"""How its moment is written, for strftime: local time, as folders show it."""


def backup_name(stack: str, id: str, engine: str, stamp: str) -> str:
    """`shop-store-20261122-013305.postgres.dump`. stamp: its moment, as STAMP writes it."""
    return f"{stack}-{id}-{stamp}.{engine}.dump"


def is_backup(name: str) -> bool:
    """Whether a file of that name is one, or one that is being written."""
    return _NAME.fullmatch(name) is not None
