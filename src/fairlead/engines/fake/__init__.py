"""Engine `fake`: the port in memory and in any clock, with scripted programs and scripted faults."""

from fairlead.engines.fake.engine import FakeEngine
from fairlead.engines.fake.script import Fault, Script

__all__ = ["FakeEngine", "Fault", "Script"]
