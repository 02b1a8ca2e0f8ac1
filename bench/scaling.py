"""Auto scaling in figures: how soon it answers a load step, what deciding costs, how long a simulated day takes."""

from __future__ import annotations

from bench import deciding, reaction, simulated, watched


def measure() -> bool:
    """Print the tables; whether the bars were held."""
    held = [deciding.measure(), simulated.measure(), reaction.measure(), watched.measure()]
    return all(held)
