"""Figures of fairlead on this machine, measured side by side with what else one would use: `python -m bench`."""
