"""fairlead: runs a web service the way a cloud runs it, on one machine."""

__version__ = "0.1.0"
