"""Removes what failed uploads and deletions left in the bucket: `python -m photos.sweep`, a job in fairlead.yaml."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from photos.bucket import Bucket
from photos.catalogue import Catalogue
from photos.problems import Problem
from photos.settings import SettingsError, bucket_of, database_of

GRACE = timedelta(hours=1)
"""How old an object without a row must be: the row of a younger one may be on its way."""

FEW = 10
"""So many without a row surprise nobody, whatever their share."""

AT_ONCE = 500


class TooMany(Exception):
    """Most of the bucket would be removed."""


def sweep(
    catalogue: Catalogue, bucket: Bucket, now: datetime, say: Callable[[str], None], *, even_most: bool = False
) -> int:
    """Remove the objects that have had no row for longer than the grace; the number of photos they were of.

    TooMany, and nothing is removed, when that is more than half of the bucket. DatabaseDown, BucketDown: some may have
    been removed."""
    youngest: dict[str, datetime] = {}
    for id, stored_at in bucket.ids():
        youngest[id] = max(stored_at, youngest.get(id, stored_at))
    old = [id for id, stored_at in youngest.items() if now - stored_at > GRACE]
    orphans: list[str] = []
    for first in range(0, len(old), AT_ONCE):
        some = old[first : first + AT_ONCE]
        orphans += sorted(set(some) - catalogue.known(some))
    if len(orphans) > max(FEW, len(youngest) // 2) and not even_most:
        raise TooMany(
            f"{len(orphans)} of {len(youngest)} photos in the bucket have no row. Is this the right database, and not "
            "an older one? Nothing was removed; with --even-most it would be"
        )
    for id in orphans:
        bucket.remove(id)
        say(f"removed {id}, which has no row")
    return len(orphans)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m photos.sweep", description=__doc__)
    parser.add_argument("--even-most", action="store_true", help="also when that is most of the bucket")
    given = parser.parse_args()
    try:
        catalogue, bucket = Catalogue(database_of(os.environ)), Bucket(bucket_of(os.environ))
        removed = sweep(catalogue, bucket, datetime.now(UTC), print, even_most=given.even_most)
    except (SettingsError, Problem, TooMany) as problem:
        print(f"not swept: {problem}", file=sys.stderr)
        return 1
    print(f"{removed} removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
