"""How a backup is called unless its maker says otherwise; by this name releases leave it out of what they copy."""

from __future__ import annotations

import re
from datetime import datetime

_NAME = re.compile(r".+-[0-9]{8}-[0-9]{4}\.(redis|postgres|mysql|s3)\.dump(\.partial)?", re.DOTALL)


def backup_name(stack: str, id: str, engine: str, now: datetime) -> str:
    """`shop-store-20261122-0133.postgres.dump`. now: local time, as folders show it."""
    return f"{stack}-{id}-{now:%Y%m%d-%H%M}.{engine}.dump"


def is_backup(name: str) -> bool:
    """Whether a file of that name is one, or one that is being written."""
    return _NAME.fullmatch(name) is not None
