"""Rows of which one experiment gives several cases: it is made once a round, and each case is told its own part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from tests.bench.peers.base import Peer
from tests.bench.registry import Bench, Sample

__all__ = ["Grouped"]

#: Makes one experiment, and gives what each of its cases came to.
Experiment = Callable[[Bench, Peer], Mapping[str, Sample]]


class Grouped:
    """The `cases` and the `measure` of a row of Holocron's own.

    Args:
        experiments: which cases each experiment gives; a case belongs to one.
    """

    def __init__(self, experiments: Mapping[Experiment, Sequence[str]]) -> None:
        self._makes = {case: experiment for experiment, cases in experiments.items() for case in cases}
        self._told: dict[str, Sample] = {}
        self._failed: dict[Experiment, Exception] = {}

    def cases(self, peer: Peer) -> Sequence[str]:
        """Every case, for Holocron; none for anyone else."""
        return tuple(self._makes) if peer.name == "holocron" else ()

    def measure(self, bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
        """What `case` came to in this round."""
        make = self._makes[case]
        if case not in self._told:
            if make in self._failed:
                # What has failed is not tried again for each of its cases.
                raise self._failed[make]
            try:
                self._told.update(make(bench, peer))
            except Exception as error:
                self._failed[make] = error
                raise
        return [self._told.pop(case)]
