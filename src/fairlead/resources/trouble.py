"""What goes wrong with processes, folders, ports and connections of a resource, told as trouble of resources."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager

from fairlead.errors import FairleadError, ResourceError

SILENT = (OSError, EOFError, ValueError, IndexError, struct.error)
"""What asking a server by its own protocol may end with, beside the server's own refusal."""


def silence(problem: Exception, protocol: str, patience: float) -> str:
    """Why a server did not answer, in a clause. problem: one of SILENT. patience: seconds that it had."""
    match problem:
        case TimeoutError():
            return f"it did not answer within {patience:g} s"
        case FileNotFoundError() | ConnectionRefusedError():
            return "it does not accept connections yet"
        case OSError() | EOFError():
            return f"it broke the connection off: {problem}"
    return f"it does not speak {protocol}'s protocol"


@contextmanager
def as_resource_error(what: str = "") -> Iterator[None]:
    """Raises ResourceError for what comes from below as another error of ours, or as OSError. what: what has failed
    with the latter, as in `the backup of the cache sessions failed`; "": only the file is named."""
    try:
        yield
    except ResourceError:
        raise
    except FairleadError as error:
        raise ResourceError(error.what, error.why, error.next_step, place=error.place, detail=error.detail) from error
    except OSError as error:
        why = error.strerror or str(error)
        if what:
            raise ResourceError(what, f"{error.filename}: {why}" if error.filename else why) from error
        raise ResourceError(f"{error.filename or 'a file'} cannot be used", why) from error
