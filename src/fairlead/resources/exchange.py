"""Two folders change places in one step, so that there is never a moment without one: renameat2(2)."""

from __future__ import annotations

import ctypes
import os

_HERE = -100
"""AT_FDCWD."""

_EXCHANGE = 2
"""RENAME_EXCHANGE, from linux/fs.h."""


def exchange(one: str, other: str) -> None:
    """Each gets the other's name. OSError: one is not there, or the file system cannot (NFS)."""
    libc = ctypes.CDLL(None, use_errno=True)
    call = libc.renameat2
    call.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)
    if call(_HERE, os.fsencode(one), _HERE, os.fsencode(other), _EXCHANGE):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), other)
