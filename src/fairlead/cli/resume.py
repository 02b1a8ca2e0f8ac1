"""`fairlead resume`: the other half of `suspend`, where it is written."""

from fairlead.cli.suspend import resume as command

__all__ = ["command"]
