"""What goes wrong with processes, folders and ports of a resource, told as trouble of resources."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from fairlead.errors import FairleadError, ResourceError


@contextmanager
def as_resource_error() -> Iterator[None]:
    """Raises ResourceError for what comes from below as another error of ours, or as OSError."""
    try:
        yield
    except ResourceError:
        raise
    except FairleadError as error:
        raise ResourceError(error.what, error.why, error.next_step, place=error.place, detail=error.detail) from error
    except OSError as error:
        raise ResourceError(f"{error.filename or 'a file'} cannot be used", error.strerror or str(error)) from error
