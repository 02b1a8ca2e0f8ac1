"""What makes two trees, environments or releases the same, as text: sha256 over unambiguous bytes.

`releases` feeds it what it read from the disk; nothing here looks there. The laws: equal content gives equal text
whatever the order or time of reading, and any change gives another.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from typing import Any


def tree_hash(entries: Iterable[tuple[bytes, bytes, bytes]]) -> str:
    """The hash of a source tree, 64 hexadecimal digits.

    entries: (relative path, mark, sha256 of the content), in any order; the mark is the executable bits of a file, or
    `link` for a symlink, whose content is its target. Paths hold no NUL and digests are 32 bytes, so no two trees feed
    the same bytes.
    """
    whole = hashlib.sha256()
    for path, mark, digest in sorted(entries):
        whole.update(path + b"\0" + mark + b"\0" + digest)
    return whole.hexdigest()


def fields_hash(fields: Mapping[str, Any]) -> str:
    """The hash of named values (text, numbers, lists, mappings, None), 64 hexadecimal digits, whatever their order."""
    text = json.dumps(fields, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()
