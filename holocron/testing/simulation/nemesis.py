"""Who does the harm: it kills, halts, cuts off, resumes twice, meddles with the bucket, and at last lets be."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from msgspec.structs import replace

from holocron.layout import EPOCHS, MEMBERS, checkpoint_prefix, history_key, number_of, numbered
from holocron.records import Control, Epoch, Heir, Leader, encode
from holocron.store.base import Delete, Found, Get, List, Listed, Put, Written
from holocron.testing.simulation.chronicle import Applied

if TYPE_CHECKING:
    from holocron.testing.simulation.process import Process
    from holocron.testing.simulation.run import Life

__all__ = ["Nemesis"]

_STRANGE = (
    b"",
    b"{",
    b"\xff\xfe\x00not text",
    b"[" * 5000,
    b'{"format": 1}',
    b'{"format": 2, "made_by": "a newer Holocron"}',
    b"x" * 100_000,
)


class Nemesis:
    """Draws from one source of chance when each kind of harm comes about, and to whom."""

    def __init__(self, life: Life) -> None:
        self._life = life
        self._random = Random(life.random.getrandbits(64))
        # The newer kinds of harm are drawn apart: see `misfortune.draw`.
        self._apart = Random(f"harm apart/{life.report.seed}")
        self._holding = Random(f"harm hold/{life.report.seed}")
        self._active = True
        # How to wake each process that is halted.
        self._waking: dict[str, Callable[[], None]] = {}
        self._harms: dict[str, Callable[[], None]] = {
            "crash": self._crash,
            "leave": self._leave,
            "pause": lambda: self._halt("pause"),
            "suspend": lambda: self._halt("suspend"),
            "snapshot": lambda: self._halt("snapshot"),
            "wall_step": self._wall_step,
            "partition": lambda: self._link("cut"),
            "deaf": lambda: self._link("deaf"),
            "mute": lambda: self._link("mute"),
            "outage": self._outage,
            "denied": self._denied,
            "usurp": self._usurp,
            "step_down": self._step_down,
            "release": self._release,
            "foreign": self._foreign,
            "unreadable_next": self._unreadable_next,
            "rot": self._rot,
            "twins": self._twins,
            "zombie": self._zombie,
            "hold": self._hold,
        }
        # The checkpoints of each node that were damaged.
        self._rotten: dict[str, list[str]] = {}

    def begin(self) -> None:
        """From now on there is harm, each kind at its own rate."""
        for kind, rate in self._life.misfortune.world.items():
            self._arrange(kind, rate)
        self._look_after()
        if self._life.misfortune.betrayal:
            when_s = self._random.uniform(8, 20) * self._life.ttl_s
            if self._life.misfortune.betrayal == "wiped":
                self._life.timeline.after(when_s, lambda: self._betray(()))
            else:
                # The backup may be of the very moment: a replica that lags has lost the last few writes.
                earlier_s = self._random.uniform(0.2, 1.0) * when_s
                if self._life.misfortune.betrayal == "lagging":
                    earlier_s = when_s - self._random.random() * self._life.ttl_s
                self._life.timeline.after(earlier_s, lambda: self._remember(when_s - earlier_s))

    def heal(self) -> None:
        """The last fault is over: everything runs again, is joined again, and each node has one process."""
        self._active = False
        life = self._life
        life.network.calm()
        life.guards.calm()
        for process in life.processes:
            process.link = "up"
            if process.leaving or process.engine is None:
                process.kill("it was on its way out" if process.leaving else "it was not aboard yet")
        for wake in list(self._waking.values()):
            wake()
        if life.chronicle.betrayed_s is not None:
            return
        for node in life.nodes:
            self._resume_if_gone(node)

    # --- chance -----------------------------------------------------------------------------------------------------

    def _arrange(self, kind: str, rate: float) -> None:
        """The next time that `kind` comes about; `rate` is how often it does in a lease's time, for each node."""
        mean_s = self._life.ttl_s / (rate * len(self._life.nodes))

        def strike() -> None:
            if self._active:
                self._life.report.misfortunes[kind] += 1
                self._harms[kind]()
                self._arrange(kind, rate)

        chance = self._apart if kind in ("rot", "twins", "zombie") else self._random
        chance = self._holding if kind == "hold" else chance
        self._life.timeline.after(chance.expovariate(1 / mean_s), strike)

    def _victim(self) -> Process | None:
        """Someone who runs; the leader as often as not, for that is where it hurts."""
        running = [process for process in self._life.processes if process.alive and not process.halted]
        leaders = [process for process in running if process.leading]
        if leaders and self._random.random() < 0.5:
            return self._random.choice(leaders)
        return self._random.choice(running) if running else None

    def _a_while_s(self) -> float:
        """Half a lease to ten: most often about one, for that is where it matters."""
        return self._life.ttl_s * self._random.choice([0.3, 0.8, 1.0, 1.1, 1.5, 2.0, 3.0, 10.0])

    # --- processes and machines -------------------------------------------------------------------------------------

    def _look_after(self) -> None:
        """An operator resumes what has died, after a while, on fresh compute."""

        def visit() -> None:
            if not self._active:
                return
            for node in self._life.nodes:
                if self._random.random() < 0.5:
                    self._resume_if_gone(node)
            self._look_after()

        self._life.timeline.after(self._random.expovariate(1 / (2 * self._life.ttl_s)), visit)

    def _resume_if_gone(self, node: str) -> None:
        mine = [process for process in self._life.processes if process.node == node]
        running = [process for process in mine if process.alive and process.stopped is None]
        if not self._active:
            # A former self that has yet to find out is about to stop: in peace its node would be gone for good.
            newest = max((process.incarnation or 0 for process in mine), default=0)
            running = [process for process in running if process.incarnation == newest]
        if running:
            return
        for process in mine:
            process.kill("its node is resumed elsewhere")
        if not mine and not self._active:
            return
        known = node in self._life.chronicle.incarnations
        # Whoever vouches for a death has to be right, and here every former self is dead.
        self._life.spawn(node, resume=known, assume_dead=known and self._random.random() < 0.3)

    def _crash(self) -> None:
        victim = self._victim()
        if victim is not None:
            victim.kill("SIGKILL")

    def _leave(self) -> None:
        """Someone shuts a process down in good order."""
        victim = self._victim()
        if victim is not None:
            victim.enter(victim.leave)

    def _halt(self, kind: str) -> None:
        victim = self._victim()
        if victim is not None:
            self._put_to_sleep(victim, kind, self._a_while_s())

    def stall(self, victim: Process) -> None:
        """`victim` stands still, at the very place where it is."""
        if not victim.halted:
            self._put_to_sleep(victim, "pause", self._life.ttl_s * self._random.uniform(0.1, 1.5))

    def _put_to_sleep(self, victim: Process, kind: str, slept_s: float) -> None:
        self._life.say(victim.name, "%s for %.3f s", kind, slept_s)
        victim.halt()
        if kind != "pause":
            victim.clock.sleep(boot_too=kind == "snapshot")

        # Healing may wake it earlier.
        wake = self._waking[victim.name] = lambda: self._wake(victim)
        self._life.timeline.after(slept_s, wake)

    def _wake(self, victim: Process) -> None:
        if self._waking.pop(victim.name, None) is None:
            return
        victim.clock.wake()
        self._life.say(victim.name, "runs again")
        victim.thaw()

    def _wall_step(self) -> None:
        victim = self._victim()
        if victim is not None:
            by_s = self._random.uniform(-3600.0, 3600.0)
            self._life.say(victim.name, "wall clock is set by %.1f s", by_s)
            victim.clock.step_wall(by_s)

    def _usurp(self) -> None:
        """Someone resumes a node whose process is alive and well."""
        victim = self._victim()
        if victim is not None and victim.incarnation is not None:
            self._life.spawn(victim.node, resume=True)

    def _twins(self) -> None:
        """Two computes resume one node at the same instant: one of them wins, and the other is told who holds it."""
        # Whoever vouched, and has not come aboard yet, is to stay right: the former selves are dead, and stay alone.
        vouched = {p.node for p in self._life.processes if p.alive and p.assume_dead and p.incarnation is None}
        known = [n for n in self._life.nodes if n in self._life.chronicle.incarnations and n not in vouched]
        if known:
            node = self._apart.choice(known)
            for _ in range(2):
                self._life.spawn(node, resume=True)

    def _zombie(self) -> None:
        """A process is taken for dead, and is not: it runs again long after its node was resumed."""
        running = [p for p in self._life.processes if p.alive and not p.halted and p.incarnation is not None]
        if running:
            victim = self._apart.choice(running)
            self._put_to_sleep(victim, "pause", self._life.ttl_s * self._apart.choice([2.0, 3.0, 5.0, 10.0]))
            self._life.spawn(victim.node, resume=True)

    # --- the network and the store ----------------------------------------------------------------------------------

    def _link(self, state: str) -> None:
        victim = self._victim()
        if victim is None:
            return
        self._life.say(victim.name, "link is %s", state)
        victim.link = state

        def mend() -> None:
            if victim.link == state:
                victim.link = "up"
                self._life.say(victim.name, "link is up")

        self._life.timeline.after(self._a_while_s(), mend)

    def _outage(self) -> None:
        until_s = self._life.timeline.now_s + self._a_while_s() / 2
        self._life.say("store", "503 until %.3f", until_s)
        self._life.network.outage_until_s = until_s

    def _denied(self) -> None:
        until_s = self._life.timeline.now_s + self._a_while_s() / 2
        self._life.say("store", "403 until %.3f", until_s)
        self._life.network.denied_until_s = until_s

    # --- people -----------------------------------------------------------------------------------------------------

    def _leader(self) -> Process | None:
        return next((process for process in self._life.processes if process.alive and process.leading), None)

    def _release(self) -> None:
        leader = self._leader()
        if leader is not None and not leader.halted:
            leader.enter(lambda: leader.release(self._heir()))

    def _heir(self) -> str | None:
        return self._random.choice([None, *self._life.nodes, "nobody"])

    def _step_down(self) -> None:
        asked = self._request()
        if asked is not None:
            heir = self._heir()
            self._ask(replace(asked, heir=Heir(node=heir) if heir is not None else None), self._random)

    def _hold(self) -> None:
        """An operator has leadership stay where it is for a while, which a lease may outlast or not; or no longer."""
        asked = self._request()
        if asked is None:
            return
        if self._holding.random() < 0.2:
            self._life.say("operator", "has term %s held no more", asked.term)
            self._ask(replace(asked, request="unpause"), self._holding)
            return
        for_s = self._life.ttl_s * self._holding.choice([0.5, 1.0, 2.0, 4.0, 8.0])
        self._life.say("operator", "has term %s held for %.3f s", asked.term, for_s)
        self._ask(replace(asked, request="pause", for_ms=round(for_s * 1000)), self._holding)

    def _request(self) -> Control | None:
        """A request to whoever leads, to step down unless it is made another one."""
        leader = self._leader()
        cluster = self._life.chronicle.cluster
        if leader is None or cluster is None or leader.term is None:
            return None
        answer = self._life.store.perform(List("control/"), 1.0)
        assert isinstance(answer, Listed)
        number = len(answer.entries) + 1
        return Control(
            cluster=cluster, nonce="", number=number, request="step-down", term=leader.term, heir=None, by="operator",
            written="",
        )  # fmt: skip

    def _ask(self, control: Control, chance: Random) -> None:
        control = replace(control, nonce=f"{chance.getrandbits(64):016x}")
        self._put(numbered("control/", control.number), encode(control))

    # --- strangers --------------------------------------------------------------------------------------------------

    def _foreign(self) -> None:
        """A stranger puts something under the prefix where it has no business."""
        head = self._life.chronicle.head
        # Where retention is about to put what it takes out.
        first = self._life.chronicle.floor + self._random.randint(0, 2) * self._life.batch
        somewhere = [
            numbered(EPOCHS, head + self._random.randint(3, 40)),
            f"{EPOCHS}readme.txt",
            f"{MEMBERS}stranger.json",
            f"{MEMBERS}stranger/nested.json",
            numbered("control/", self._random.randint(1, 5)),
            history_key(first, first + self._life.batch - 1),
            "nodes/stranger/state.json",
            "unrelated",
        ]
        self._strange(self._random.choice(somewhere))

    def _unreadable_next(self) -> None:
        """A stranger takes the very next epoch: held by someone we cannot read."""
        self._strange(numbered(EPOCHS, self._life.chronicle.head + 1))

    def _strange(self, key: str) -> None:
        if self._life.chronicle.head == 0 and number_of(EPOCHS, key) is not None:
            # A numbered object under a prefix that is no cluster yet keeps it from ever being founded, and rightly so.
            return
        body = self._random.choice([*_STRANGE, self._neighbours(key)])
        if self._put(key, body):
            self._life.strange[key] = body

    def _neighbours(self, key: str) -> bytes:
        """What another cluster, told to use the same prefix, would put where an epoch belongs."""
        number = number_of(EPOCHS, key) or 1
        before = self._life.chronicle.sealed.get(number - 1)
        epoch = Epoch(
            cluster="another",
            nonce=f"{self._random.getrandbits(64):016x}",
            epoch=number,
            term=number,
            kind="lease",
            cause="expired",
            leader=Leader(node="neighbour", incarnation=1, session="theirs"),
            previous=before.mark if before is not None else "",
            ttl_ms=1000,
            renew_ms=300,
            floor=1,
            control=0,
            heir=None,
            published=None,
            topology=(),
            written="",
        )
        return encode(epoch)

    def _put(self, key: str, body: bytes) -> bool:
        request = Put(key, body)
        answer = self._life.store.perform(request, 1.0)
        self._life.witness(Applied(self._life.timeline.now_s, None, request, answer, None))
        return isinstance(answer, Written)

    # --- a store that rots ------------------------------------------------------------------------------------------

    def _rot(self) -> None:
        """The newest checkpoint of a node is damaged where it lies, if the one before it is good."""
        life = self._life
        node = self._apart.choice(life.nodes)
        home, prefix = life.home(node), checkpoint_prefix(node)
        if home is None:
            return
        listed = home.perform(List(prefix), 1.0)
        assert isinstance(listed, Listed)
        rotten = self._rotten.setdefault(node, [])
        # By what was taken, not by what is left: that two good ones are always left is for the node to see to.
        good = sorted(key for key in life.chronicle.checkpoints if key.startswith(prefix) and key not in rotten)
        if len(good) < 2 or not listed.entries or good[-1] != listed.entries[-1].key:
            return
        key, etag, size = good[-1], listed.entries[-1].etag, listed.entries[-1].size
        found = home.perform(Get(key, limit_bytes=size), 1.0)
        assert isinstance(found, Found)
        at = self._apart.randrange(len(found.body))
        body = found.body[:at] + bytes([found.body[at] ^ 0xFF]) + found.body[at + 1 :]
        home.perform(Put(key, body, etag), 1.0)
        rotten.append(key)
        life.say("store", "%s of %s is damaged", key, node)

    # --- betrayal ---------------------------------------------------------------------------------------------------

    def _all(self) -> tuple[tuple[str, bytes], ...]:
        """Every object of the store."""
        found: list[tuple[str, bytes]] = []
        after: str | None = None
        while True:
            page = self._life.store.perform(List("", after), 1.0)
            assert isinstance(page, Listed)
            for entry in page.entries:
                answer = self._life.store.perform(Get(entry.key), 1.0)
                assert isinstance(answer, Found)
                found.append((entry.key, answer.body))
            if not page.more:
                return tuple(found)
            after = page.entries[-1].key

    def _remember(self, until_betrayal_s: float) -> None:
        backup = self._all()
        self._life.timeline.after(until_betrayal_s, lambda: self._betray(backup))

    def _betray(self, backup: tuple[tuple[str, bytes], ...]) -> None:
        """The store is put back to `backup`, and the world is otherwise at peace from now on: will anyone notice?"""
        life = self._life
        for key, _ in self._all():
            life.store.perform(Delete(key), 1.0)
        life.store.unmark()
        for key, body in backup:
            life.store.perform(Put(key, body), 1.0)
        held = life.held_epochs()
        life.chronicle.betrayed_s = life.timeline.now_s
        newest = max(held, default=0)
        life.say("store", "%s: %s objects, newest epoch %s", life.misfortune.betrayal, len(backup), newest)
        life.betrayed(dict(backup))
        for process in life.processes:
            process.lost_epoch = process.seen_epoch if process.alive and process.seen_epoch > newest else 0
        self.heal()
