"""What came of a simulated life: counts, a transcript, and each invariant that did not hold."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator

import msgspec

__all__ = ["Diary", "Report", "Violation"]


class Violation(msgspec.Struct, frozen=True):
    """An invariant that did not hold, when (true seconds), and what was seen."""

    invariant: str
    at_s: float
    what: str

    def __str__(self) -> str:
        return f"{self.invariant} at {self.at_s:.6f} s: {self.what}"


class Diary:
    """Who did what when, one line each; written as values and made into text only where someone reads it."""

    def __init__(self) -> None:
        self._lines: list[tuple[float, str, str, tuple[object, ...]]] = []

    def note(self, at_s: float, who: str, what: str, *values: object) -> None:
        """Write down that `who` did `what`, a text with a %s for each of `values`."""
        self._lines.append((at_s, who, what, values))

    def lines(self) -> Iterator[str]:
        """The transcript."""
        for at_s, who, what, values in self._lines:
            yield f"{at_s:14.6f}  {who:<10} {what % values if values else what}"


class Report(msgspec.Struct):
    """One simulated life."""

    seed: int
    regime: str
    faults: str
    hints: bool = False
    simulated_s: float = 0.0
    events: int = 0
    takeovers: int = 0
    renewals: int = 0
    published: int = 0
    appended: int = 0
    # How often each kind of misfortune came about.
    misfortunes: Counter[str] = msgspec.field(default_factory=Counter)
    violations: list[Violation] = msgspec.field(default_factory=list)
    transcript: list[str] = msgspec.field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every invariant held."""
        return not self.violations

    @property
    def replay(self) -> str:
        """The command that runs this very life again and prints it."""
        hints = " --hints" if self.hints else ""
        return f"python -m tests.simulation --regime {self.regime} --seed {self.seed}{hints} --transcript"

    @property
    def digest(self) -> str:
        """A digest of the transcript: equal for equal seeds (I13)."""
        return hashlib.sha256("\n".join(self.transcript).encode()).hexdigest()

    def __str__(self) -> str:
        head = (
            f"seed {self.seed} ({self.regime}; {self.faults}): {self.takeovers} takeovers in {self.simulated_s:.0f} s"
        )
        return "\n".join([head, *(f"  {violation}" for violation in self.violations), f"  {self.replay}"])
