"""Engine `local`: instances are processes of this machine."""

from fairlead.engines.local.engine import LocalEngine

__all__ = ["LocalEngine"]
