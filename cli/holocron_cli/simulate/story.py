"""The story that `holocron simulate` tells, step by step; a step that does not happen ends it with an error."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from holocron_cli import show
from holocron_cli.commands.cluster import tenures_table
from holocron_cli.exits import StepFailed
from holocron_cli.simulate.cost import SOURCE, cost_usd, per_month, show_usd
from holocron_cli.simulate.processes import Event, NodeProcess, Troupe

if TYPE_CHECKING:
    from rich.console import Console

    from holocron import Cluster
    from holocron_cli.simulate.command import Stage

__all__ = ["Story"]

T = TypeVar("T")

NAMES = ("alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu")
ACQUIRED = "Acquired cluster leadership."
# A cold interpreter on a busy machine takes a while; nothing here is a promise about speed.
START_S = 60.0
LOOK_EVERY_S = 0.2


class Story:
    """One cluster from its first election to its history."""

    def __init__(self, stage: Stage, troupe: Troupe, nodes: int, ttl_s: float) -> None:
        self._stage = stage
        self._troupe = troupe
        self._nodes = nodes
        self._ttl_s = ttl_s
        # Whatever waits for a lease to end or for heartbeats to be seen; generous, for slow stores.
        self._patience_s = 4 * ttl_s + 20
        self._console: Console = show.console()
        self._began = time.monotonic()

    def tell(self) -> None:
        """Play all steps.

        Raises:
            StepFailed: for the step that did not happen, with what the process in question said last.
        """
        self._line(self._stage.words)
        leader = self._elect()
        from holocron import Cluster

        with Cluster.open(self._stage.config.location, self._stage.config.options()) as cluster:
            self._settle(cluster, self._nodes, "Topology")
            dead, known = leader, self._remembered(cluster, str(leader.node))
            self._kill(cluster, leader)
            self._resume(cluster, dead, known)
            self._hand_over(dead)
            self._finish(cluster)

    # --- the steps ----------------------------------------------------------------------------------------------

    def _elect(self) -> NodeProcess:
        self._head(f"Start {self._nodes} nodes, each a process of its own, with leases of {self._ttl_s:g}s")
        started = [self._troupe.start(NAMES[number]) for number in range(self._nodes)]
        event = self._acquired(lambda _: True, START_S, "a leader", started)
        self._up(started)
        self._line(f"Elected: {_who(event.process)} leads, {_where(event)}", "green")
        return event.process

    def _up(self, started: list[NodeProcess]) -> None:
        for process in started:
            event = self._first(process, "Starting node")
            self._line(f"{_who(event.process)} is up, process {event.process.popen.pid}")

    def _settle(self, cluster: Cluster, count: int, words: str) -> Any:
        """Wait until the leader's topology, which rides in every lock file, shows `count` nodes alive."""

        def look() -> Any:
            view = cluster.topology()
            if view is None or sum(one.status == "alive" for one in view.members) < count:
                return None
            return view

        view = self._until(look, f"{count} nodes in the topology")
        names = ", ".join(f"{one.name or one.node} (rank {one.rank})" for one in view.members if one.status == "alive")
        self._line(f"{words}: epoch {view.epoch} lists {names}")
        return view

    def _remembered(self, cluster: Cluster, node: str) -> Any:
        """What the store knows of `node`, once that includes the epoch and the topology that it last saw."""

        def look() -> Any:
            view = cluster.node(node)
            return view if view.state is not None and view.state.epoch and view.state.topology else None

        return self._until(look, f"{node} to write down what it knows")

    def _why(self, cluster: Cluster) -> str:
        """Why it took so long, or so short."""
        tenure = next(iter(cluster.history(1)), None)
        if tenure is not None and tenure.cause == "released":
            return "the dead one's guardian had released for it, so there was no lease to wait out"
        return f"of that, up to {self._ttl_s:g}s is the dead leader's lease, which has to run out"

    def _kill(self, cluster: Cluster, leader: NodeProcess) -> NodeProcess:
        self._head("Kill the leader")
        killed_s = leader.kill()
        self._line(f"kill -9 {leader.popen.pid}: {_who(leader)} is gone, and could not say a word", "red")
        event = self._acquired(lambda event: event.at_s > killed_s, self._patience_s, "a takeover")
        took = event.at_s - killed_s
        self._line(
            f"Takeover: {_who(event.process)} leads {took:.1f}s after the kill, {_where(event)} ({self._why(cluster)})",
            "green",
        )
        return event.process

    def _resume(self, cluster: Cluster, dead: NodeProcess, known: Any) -> None:
        node = str(dead.node)
        self._head("Resume the dead node on fresh compute: a new process, an empty directory, its id, and the store")
        back = self._troupe.resume(dead.label, node)
        self._line(f"$ holocron node resume --node-id {node}   (in {back.directory})")
        event = self._first(back, "Resumed node")
        now = cluster.node(node)
        same = (now.identity.node, now.identity.cluster, now.identity.name, now.identity.created) == (
            known.identity.node,
            known.identity.cluster,
            known.identity.name,
            known.identity.created,
        )
        self._check(same, f"{node} did not keep its identity")
        self._check(
            now.identity.incarnation == known.identity.incarnation + 1, f"{node} did not become a new incarnation"
        )
        self._line(
            f"Identity: the same node {node}, called {now.identity.name}, created {now.identity.created}; "
            f"incarnation {known.identity.incarnation} is now {now.identity.incarnation}",
            "green",
        )
        epoch, last = event.fields.get("epoch"), known.state
        self._check(isinstance(epoch, int) and epoch >= last.epoch, f"{node} came back with an older epoch")
        self._line(f"Epoch: it last wrote down {last.epoch}, and came back knowing {epoch}", "green")
        names = ", ".join(one.name or one.node for one in last.topology)
        self._line(f"Topology: the view it had when it died was in the store: {names}", "green")

        def look() -> bool | None:
            view = cluster.topology()
            mine = None if view is None else next((one for one in view.members if one.node == node), None)
            ready = mine is not None and mine.status == "alive" and mine.standing
            return True if ready and mine.incarnation == now.identity.incarnation else None  # type: ignore[union-attr]  # ready says that it is there

        self._until(look, f"{node} in the topology again")
        self._settle(cluster, self._nodes, "Back in the election")

    def _hand_over(self, heir: NodeProcess) -> None:
        node = str(heir.node)
        self._head("Hand leadership over to it")
        asked_s = time.monotonic()
        self._line(f"$ holocron leader step-down --to {node}")
        run = self._troupe.run("leader", "step-down", "--to", node, within_s=START_S)
        self._check(run.returncode == 0, f"the hand-over was refused: {run.stderr.strip() or run.stdout.strip()}")
        event = self._acquired(
            lambda event: event.at_s > asked_s and event.process.node == node, self._patience_s, "the hand-over"
        )
        self._line(f"Handed over: {_who(event.process)} leads, {_where(event)}; no lease had to run out", "green")

    def _finish(self, cluster: Cluster) -> None:
        self._head("Stop everyone")
        left = self._troupe.stop_all()
        words = "; ".join(f"{_who(one)}: {_last_words(one)}" for one in left)
        self._check(not left, f"some did not stop as they should: {words}")
        self._line("Every node released, said goodbye and ended with exit code 0")
        self._head("History (holocron history)")
        tenures = cluster.history(20)
        self._check(len(tenures) >= 3, f"the history has {len(tenures)} tenures, and three were told")
        show.put(tenures_table(tenures))
        self._head("Requests, and what they cost")
        self._cost(cluster)
        self._line(f"That was all, in {time.monotonic() - self._began:.0f}s.", "bold")

    def _cost(self, cluster: Cluster) -> None:
        if self._stage.requests is not None:
            counts, of = self._stage.requests(), "The server counted, looking on included"
        else:
            counts, of = dict(cluster.requests), "The processes counted (the killed one could not)"
            for event in self._troupe.events:
                own = event.fields.get("requests")
                if event.words == "Stopped node" and isinstance(own, dict):
                    counts = {kind: counts.get(kind, 0) + int(own.get(kind, 0)) for kind in {*counts, *own}}
        counted = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()) if count)
        self._line(f"{of}: {counted or 'none'}: {show_usd(cost_usd(counts))}")
        steady = per_month(self._nodes, 10.0)
        parts = ", ".join(f"{count:,.0f} {kind}" for kind, count in steady.items())
        self._line(
            f"A steady cluster of {self._nodes} with the default ttl of 10s, in 30 days, as budgeted and not counted: "
            f"{parts}: {show_usd(cost_usd(steady))}"
        )
        self._line(f"({SOURCE})")

    # --- waiting ------------------------------------------------------------------------------------------------

    def _first(self, process: NodeProcess, words: str) -> Event:
        """The event `words` of this one process, which says that it is up."""
        return self._expect(
            lambda event: event.process is process and event.words == words,
            START_S,
            f"{process.label} to start",
            [process],
        )

    def _acquired(
        self, wanted: Callable[[Event], bool], within_s: float, what: str, suspects: list[NodeProcess] | None = None
    ) -> Event:
        return self._expect(lambda event: event.words == ACQUIRED and wanted(event), within_s, what, suspects)

    def _expect(
        self, wanted: Callable[[Event], bool], within_s: float, what: str, suspects: list[NodeProcess] | None = None
    ) -> Event:
        """The first event that is `wanted`; `StepFailed` if it does not come, at once if all `suspects` have ended."""
        until = time.monotonic() + within_s
        while time.monotonic() < until:
            event = self._troupe.heard(lambda events: next(filter(wanted, events), None), 0.5)
            if event is not None:
                return event
            if suspects and not any(one.alive for one in suspects):
                break
        said = "; ".join(
            f"{one.label}: {_last_words(one)}" for one in suspects or self._troupe.processes if one.last_words
        )
        raise StepFailed(f"waited {within_s:g}s for {what}, in vain" + (f" ({said})" if said else ""))

    def _until(self, look: Callable[[], T | None], what: str) -> T:
        until = time.monotonic() + self._patience_s
        while True:
            self._troupe.check()
            found = look()
            if found is not None:
                return found
            if time.monotonic() >= until:
                raise StepFailed(f"waited {self._patience_s:g}s for {what}, in vain")
            time.sleep(LOOK_EVERY_S)

    def _check(self, held: bool, otherwise: str) -> None:
        if not held:
            raise StepFailed(otherwise)

    # --- telling ------------------------------------------------------------------------------------------------

    def _head(self, words: str) -> None:
        self._console.print()
        self._console.print(words, style="bold", markup=False)

    def _line(self, words: str, style: str = "") -> None:
        self._console.print(f"{time.monotonic() - self._began:6.1f}s  {words}", style=style, markup=False)
        sys.stdout.flush()


def _who(process: NodeProcess) -> str:
    return f"{process.label} ({process.node})" if process.node else process.label


def _where(event: Event) -> str:
    return f"epoch {event.fields.get('epoch')}, term {event.fields.get('term')}"


def _last_words(process: NodeProcess) -> str:
    code = process.popen.poll()
    said = process.last_words[-1] if process.last_words else "said nothing"
    return f"{said} (exit code {code})" if code is not None else f"{said} (still running)"
