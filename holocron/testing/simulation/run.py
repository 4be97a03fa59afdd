"""One simulated life: a cluster is founded, suffers what its seed says, is left in peace, and is judged."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Callable
from random import Random

from holocron.clock import Instant
from holocron.layout import EPOCHS, number_of
from holocron.protocol.messages import (
    HeadChanged,
    NoteElectionLost,
    NoteReleased,
    NoteStopped,
    NoteTenureBegan,
    NoteTenureEnded,
    NoteTenureRenewed,
    SettlePublish,
)
from holocron.runtime.notices import NewerIncarnation, Notice, StoodDown, StoreLost, StoreRegained, Unreadable
from holocron.settings import Settings
from holocron.store.base import Answer, Delete, Found, Get, List, Listed, Put, Request, Store, Written
from holocron.testing.simulation.bucket import BucketStore
from holocron.testing.simulation.checks import Check, every_invariant
from holocron.testing.simulation.chronicle import Applied, Chronicle
from holocron.testing.simulation.cost import Meter
from holocron.testing.simulation.doubts import every_doubt
from holocron.testing.simulation.guardian import Guards
from holocron.testing.simulation.misfortune import Misfortune, Regime, draw
from holocron.testing.simulation.nemesis import Nemesis
from holocron.testing.simulation.network import Network, brief
from holocron.testing.simulation.post import Post
from holocron.testing.simulation.process import Process
from holocron.testing.simulation.reader import Reader
from holocron.testing.simulation.register import Operation, linearizable
from holocron.testing.simulation.report import Diary, Report, Violation
from holocron.testing.simulation.rules import every_rule
from holocron.testing.simulation.scribe import Books
from holocron.testing.simulation.timeline import ProcessClock, Timeline

__all__ = ["Life", "simulate"]

# How many leases' time a life is full of misfortune, before it is left in peace.
_TURMOIL_TTLS = 30.0
# More things than this at one instant are a busy loop.
_MOST_AT_ONCE = 5000
# A life that is known to be wrong need not be lived to its end.
_ENOUGH_VIOLATIONS = 5


class Life:
    """Everything in one simulated life."""

    def __init__(self, seed: int, regime: Regime, misfortune: Misfortune | None = None, *, hints: bool = False) -> None:
        self.random = Random(f"{regime}/{seed}")
        self.misfortune = misfortune if misfortune is not None else _drawn(self.random, regime, seed)
        self.regime = regime
        self.report = Report(seed, regime, str(self.misfortune), hints=hints)
        self.timeline = Timeline()
        self.diary = Diary()
        self.chronicle = Chronicle()
        # The server has a clock of its own, which no rule may depend on.
        offset_s = self.random.uniform(0, 2e9)
        self.store = BucketStore(
            "cluster", lambda: offset_s + self.timeline.now_s, self.misfortune.versions, self.report.misfortunes
        )
        self.network = Network(
            self.timeline,
            self.random,
            self.misfortune,
            regime,
            self._apply,
            self._heard,
            self._stall,
            self.diary,
            self.report.misfortunes,
        )
        self.processes: list[Process] = []
        # Those that were given a lease which nobody has ended.
        self.holding: list[Process] = []
        self.publishing = self.random.choice([0.0, 0.5, 1.0])
        # What strangers put under the prefix: it has to stay as it is.
        self.strange: dict[str, bytes] = {}
        self._settings_of: dict[str, Settings] = {}
        self._homes: dict[str, Store] = {}
        self._priorities: dict[str, int] = {}
        self._operations: list[Operation] = []
        self._publishes: dict[tuple[str, int], float] = {}
        self._checks = [*every_invariant(self), *every_rule(self), *every_doubt(self)]
        self._hearing = [check for check in self._checks if type(check).heard is not Check.heard]
        self.ttl_s = self.random.uniform(1.0, 2.0) if regime == "tight" else self.random.uniform(2.0, 12.0)
        self.ttl_max_s = self.ttl_s * 2
        # Retention from as usual to as greedy as can be.
        self._keep = self.random.choice([2, 2, 3, 8, 64])
        if self.misfortune.betrayal:
            # A leader that its heartbeats told nothing finds out with its next retention: let that come in time.
            self._keep = min(self._keep, 8)
        self.batch = self.random.choice([1, 1, 2, 8])
        if self.misfortune.greed:
            self._keep, self.batch = 2, 1
        self.nodes = [f"node{number}" for number in range(1, self.random.randint(2, 5) + 1)]
        # Every other life keeps journals too: they make it busier, and the election is to be seen without them as well.
        self.journaling = seed % 2 == 0
        self.books = Books()
        self.guards = Guards(self, seed)
        self.nemesis = Nemesis(self)
        self.reader = Reader(self)
        # It draws by itself, so that a life without hints is what it was before there were any.
        self.post = Post(self, Random(f"hints/{regime}/{seed}")) if hints else None

    # --- making processes -------------------------------------------------------------------------------------------

    def settings(self, node: str) -> Settings:
        """The settings of `node`, which may differ from everyone else's."""
        known = self._settings_of.get(node)
        if known is None:
            ttl_s = self.ttl_s if self.random.random() < 0.7 else self.random.uniform(1.0, self.ttl_max_s)
            known = Settings(
                ttl_s=ttl_s,
                ttl_max_s=self.ttl_max_s,
                margin_s=max(ttl_s * 0.1, 0.1),
                keep_epochs=self._keep,
                trim_batch=self.batch,
                keep_age_s=0.0 if self.misfortune.greed else self.random.choice([0.0, 0.0, ttl_s]),
                heartbeat_every_s=ttl_s * self.random.uniform(0.5, 1.5),
                stagger_s=0.15 if self.regime == "production" else 0.02,
            )
            self._settings_of[node] = known
        return known

    def spawn(self, node: str, *, resume: bool, assume_dead: bool = False) -> Process:
        """A new process, on a machine of its own, that comes aboard as `node`."""
        settings = self.settings(node)
        if node not in self._homes:
            own = self.random.random() < 0.2
            self._homes[node] = self.store.rooted(f"homes/{node}") if own else self.store
            self._priorities[node] = self.random.choice([0, 1, 1, 2, 5]) if node != self.nodes[0] else 1
        clock = ProcessClock(self.timeline, self._rate(), self.random.uniform(0, 2e9))
        process = Process(
            self, node, len(self.processes) + 1, clock, settings, self._homes[node],
            Random(self.random.getrandbits(64)), self._priorities[node], assume_dead,
        )  # fmt: skip
        self.processes.append(process)
        self.say(process.name, "begins, clock rate %.4f, ttl %.3f s", clock.rate, settings.ttl_s)
        process.board(resume)
        return process

    def _rate(self) -> float:
        """A clock's rate. Of any two, the faster gains on the slower no more than the margin allows (rule 3)."""
        # The least margin of any node: a tenth of its ttl. Holders believe for 0.9 ttl, waiters wait for one.
        worst = 1 / 0.9
        if self.regime == "tight":
            return self.random.choice([1.0, worst * (1 - 1e-9)])
        return 1.0 + self.random.random() * 0.01

    # --- what everything reports to ---------------------------------------------------------------------------------

    def say(self, who: str, what: str, *values: object) -> None:
        """A line of the transcript."""
        self.diary.note(self.timeline.now_s, who, what, *values)

    def violate(self, invariant: str, what: str) -> None:
        """An invariant did not hold."""
        self.report.violations.append(Violation(invariant, self.timeline.now_s, what))
        self.say("VIOLATION", "%s: %s", invariant, what)

    def _apply(self, process: Process, store: Store, request: Request, sent: Instant) -> Answer:
        answer = store.perform(request, 1.0)
        self.witness(Applied(self.timeline.now_s, process, request, answer, sent))
        return answer

    def _heard(self, process: Process, request: Request, answer: Answer) -> None:
        for check in self._hearing:
            check.heard(process, request, answer)

    def betrayed(self, backup: dict[str, bytes]) -> None:
        """The store was put back to `backup` behind everyone's back."""
        for check in self._checks:
            check.betrayed(backup)

    def _stall(self, process: Process) -> None:
        self.nemesis.stall(process)

    def witness(self, applied: Applied) -> None:
        """Something took effect on the store."""
        writing = isinstance(applied.request, Put | Delete)
        readings = {p.name: p.now() for p in self.processes if p.alive} if writing else {}
        if self.chronicle.cluster is None:
            self.chronicle.cluster = self._founded()
        sealed = self.chronicle.record(applied, readings)
        if isinstance(applied.answer, Written):
            who = applied.process.name if applied.process is not None else "stranger"
            self.say(who, "= %s", brief(applied.request))
        if writing or self.chronicle.betrayed_s is not None:
            for check in self._checks:
                if self._holds(check.survives_betrayal):
                    for what in check.applied(applied, sealed):
                        self.violate(check.name, what)

    def _founded(self) -> str | None:
        from holocron.layout import CLUSTER
        from holocron.records import Genesis, decode

        answer = self.store.perform(Get(CLUSTER), 1.0)
        return decode(Genesis, answer.body, CLUSTER).cluster if isinstance(answer, Found) else None

    def _holds(self, survives: bool) -> bool:
        return survives or self.chronicle.betrayed_s is None

    def noticed(self, process: Process, notice: Notice) -> None:
        """An engine told its process something."""
        for check in self._checks:
            if self._holds(check.survives_betrayal):
                for what in check.noticed(process, notice):
                    self.violate(check.name, what)
        match notice:
            case NoteTenureBegan(tenure=tenure):
                self.report.takeovers += 1
                self.say(process.name, "leads, term %s", tenure.term)
            case NoteTenureRenewed(tenure=tenure):
                self.report.renewals += 1
                self.say(process.name, "leads on, epoch %s", tenure.epoch)
            case NoteTenureEnded(reason=reason):
                self.say(process.name, "leads no more: %s", reason.value)
            case NoteReleased(epoch=epoch):
                self.say(process.name, "release: %s", epoch)
            case NoteStopped(reason=reason, why=why):
                self.say(process.name, "stops: %s, %s", reason.value, why)
            case NoteElectionLost():
                self.say(process.name, "did not win")
            case HeadChanged(seen=seen):
                self.say(process.name, "sees epoch %s", seen.epoch)
            case SettlePublish(ticket=ticket, epoch=epoch, refused=refused):
                value = process.publishings[ticket][0]
                said = f"is in epoch {epoch}" if epoch is not None else "never will be" if refused else "is not known"
                self.say(process.name, "publish %s: %s", value.decode(), said)
                sealed = self.chronicle.sealed.get(epoch) if epoch is not None else None
                if epoch is not None and sealed is not None and sealed.body.find(b64encode(value)) >= 0:
                    self.report.published += 1
                    began_s = self._publishes[process.name, ticket]
                    self.operated(
                        Operation("publish", process.name, began_s, self.timeline.now_s, epoch, value),
                    )
            case StoodDown() | StoreLost() | StoreRegained() | Unreadable() | NewerIncarnation():
                self.say(process.name, "%s", type(notice).__name__)

    def publish_began(self, process: Process, ticket: int) -> None:
        """A publish was handed in."""
        self._publishes[process.name, ticket] = self.timeline.now_s

    def operated(self, operation: Operation) -> None:
        """An operation on the published value came to its end."""
        if self.chronicle.betrayed_s is None:
            self._operations.append(operation)

    def home(self, node: str) -> Store | None:
        """Where `node` keeps its own records; None before it first came aboard."""
        return self._homes.get(node)

    def held_epochs(self) -> set[int]:
        """The numbers of the epochs that the store holds now."""
        answer = self.store.perform(List(EPOCHS), 1.0)
        assert isinstance(answer, Listed)
        return {number for entry in answer.entries if (number := number_of(EPOCHS, entry.key)) is not None}

    # --- living -----------------------------------------------------------------------------------------------------

    def live(self) -> Report:
        """The whole life."""
        turmoil_s = _TURMOIL_TTLS * self.ttl_s
        for position, node in enumerate(self.nodes):
            delay_s = 0.0 if position == 0 else self.random.uniform(0, self.ttl_s)
            self.timeline.after(delay_s, self._first(node))
        self.nemesis.begin()
        self.guards.begin()
        if self.post is not None:
            self.post.begin()
        self.reader.begin()
        self.run_until(turmoil_s)
        if self.chronicle.betrayed_s is None:
            self._peace()
        else:
            self.nemesis.heal()
            self.run_until(self.timeline.now_s + 8 * self.ttl_max_s)
        self._judge()
        return self.report

    def _first(self, node: str) -> Callable[[], None]:
        def spawn() -> None:
            self.spawn(node, resume=False)

        return spawn

    def run_until(self, until_s: float) -> None:
        """Let happen what happens up to `until_s`, in true seconds from the beginning."""
        stepped = [check for check in self._checks if type(check).stepped is not Check.stepped]
        instant_s, at_once = -1.0, 0
        while len(self.report.violations) < _ENOUGH_VIOLATIONS and self.timeline.step(until_s):
            self.report.events += 1
            at_once = at_once + 1 if self.timeline.now_s == instant_s else 0
            instant_s = self.timeline.now_s
            if at_once > _MOST_AT_ONCE:
                self.violate("I14", "the engine spins: time does not pass")
                return
            for check in stepped:
                if self._holds(check.survives_betrayal):
                    for what in check.stepped():
                        self.violate(check.name, what)

    def _peace(self) -> None:
        """Faults are over: a leader has to exist soon (I11) and to stay (rule 5)."""
        self.nemesis.heal()
        # What is still under way may be as late as any request ever is; no fault is over before it is.
        slack_s = 3 * self.network.round_trip_s + 1.0
        polls_s = 2 * self.ttl_max_s / 3
        staggers_s = len(self.nodes) * max(0.15, 12 * self.network.round_trip_s) * 2
        longest_s = self._longest_lease_s()
        bound_s = (longest_s + polls_s + slack_s + staggers_s) * 1.2 + self._last_failure_s()
        began_s = self.timeline.now_s
        while not any(process.believes for process in self.processes):
            if self.timeline.now_s - began_s > bound_s or self.report.violations:
                break
            self.run_until(self.timeline.now_s + self.ttl_s / 10)
        if not any(process.believes for process in self.processes):
            self.violate("I11", f"nobody leads {bound_s:.1f} s after the last fault")
            return
        self._stability()

    def _longest_lease_s(self) -> float:
        """How long the head may have to be waited out: its ttl, or the cluster's longest where it cannot be read."""
        return self.ttl_max_s

    def _last_failure_s(self) -> float:
        """How long a node may pause between two tries of a store that did not answer."""
        return self.ttl_max_s / 3 * 1.25 + self.ttl_max_s / 5

    def _stability(self) -> None:
        """A healthy leader is left alone (rule 5)."""
        # Former selves that have run again only now still have to find out that they are superseded.
        self.run_until(self.timeline.now_s + 3 * self.ttl_max_s)
        before, head, meter = self.report.takeovers, self.chronicle.head, Meter(self)
        self.run_until(self.timeline.now_s + 3 * self.ttl_max_s)
        for process in self.processes:
            if process.alive and process.stopped is None and process.seen_epoch < head:
                self.violate("rule 10", f"{process.name} is at epoch {process.seen_epoch}, and {head} is long there")
        # A stranger's object in the way of the chain is waited out like a lease that nobody can read, and whoever
        # followed it may hear only now that it won.
        if any((number_of(EPOCHS, key) or 0) >= head - 1 for key in self.strange):
            return
        for what in meter.overspent():
            self.violate("I14", what)
        if self.report.takeovers != before:
            self.violate("rule 5", f"{self.report.takeovers - before} takeovers among healthy nodes")

    def _judge(self) -> None:
        for check in self._checks:
            if self._holds(check.survives_betrayal):
                for what in check.ended():
                    self.violate(check.name, what)
        if self.chronicle.betrayed_s is None:
            written = {
                number: sealed.record.published.value
                for number, sealed in self.chronicle.sealed.items()
                if sealed.record is not None
                and sealed.record.published is not None
                and sealed.record.published.epoch == number
            }
            for what in linearizable(self._operations, written):
                self.violate("I2", what)
        self.report.simulated_s = self.timeline.now_s
        self.report.transcript = list(self.diary.lines())


def _drawn(random: Random, regime: Regime, seed: int) -> Misfortune:
    return draw(random, Random(f"apart/{regime}/{seed}"), Random(f"hold/{regime}/{seed}"))


def simulate(
    seed: int, regime: Regime = "production", misfortune: Misfortune | None = None, *, hints: bool = False
) -> Report:
    """The life of `seed`.

    Args:
        regime: "production" has the timing of a real store; "tight" has no latency, clocks that differ by all that the
            margin allows, and nothing to spare anywhere.
        misfortune: what may go wrong, instead of what the seed would draw.
        hints: whether nodes hint each other, and a stranger them.
    """
    return Life(seed, regime, misfortune, hints=hints).live()
