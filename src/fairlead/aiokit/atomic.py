"""Write a file so that a reader finds the old text or the new one, whole.

In: a path, the text, the mode of the file. The law: temporary file beside it, write, rename; `durable` flushes the file
and its folder too, so that it holds also after a crash of the machine. It blocks for the disk (some milliseconds when
durable): from a loop, call it by `asyncio.to_thread`. Raises OSError, and then the old file is untouched and no
temporary file is left.
"""

from __future__ import annotations

import contextlib
import os
import tempfile


def write_atomically(path: str, text: str, mode: int = 0o600, *, durable: bool = True) -> None:
    """Make `text` (UTF-8, undecodable bytes as surrogates) the content of `path`. durable: not needed for what means
    nothing after a restart of the machine."""
    folder, name = os.path.split(path)
    descriptor, temporary = tempfile.mkstemp(prefix=f".{name}.", dir=folder or ".")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(text.encode(errors="surrogateescape"))
            file.flush()
            if durable:
                os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    if durable:
        flush_folder(folder or ".")


def flush_folder(folder: str) -> None:
    """Put the names in it on the disk, so that they are there after a power cut. OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
