"""The deterministic simulator: the code that ships, on simulated time, stores, clocks and misfortune.

`simulate(seed)` runs a whole cluster through a life drawn from `seed` and returns a `Report`: what happened, and every
invariant that did not hold. One seed is one run, to the byte. No thread and no real time is involved.
"""

from holocron.testing.simulation.report import Report, Violation
from holocron.testing.simulation.run import simulate

__all__ = ["Report", "Violation", "simulate"]
