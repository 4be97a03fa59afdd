"""The whole world in one number: the bucket, every process, retention, writes under way, and what may still go wrong.

A transition is a few look-ups, the set of visited states is exact (no digest, no collision), and what a part may do is
worked out only once, however many states it is in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from msgspec.structs import replace

from holocron.store.base import Request
from tests.model.bounds import BUDGETS, Bounds
from tests.model.bucket import answer_to, apply, empty, record_of
from tests.model.checks import judged, several_believe
from tests.model.numbering import Late, Numbered, Parts, call_of
from tests.model.procedures import continued
from tests.model.process import Members, Move, Refused
from tests.model.state import NAMES, NOW, Bucket, Call, Heard, Keeper, Part, Process
from tests.model.subject import Subject
from tests.model.symmetry import ORDERS, Symmetry, in_order

__all__ = ["FORMER", "KEEPER", "Successor", "World"]

# How many bits each number has: bucket, three nodes and a former self, retention, late writes, budgets, refused values.
_BUCKET, _PART, _LATE, _BUDGET = 20, 22, 14, 2 * len(BUDGETS)
FORMER, KEEPER = 3, 4
_AT = [_BUCKET + slot * _PART for slot in range(5)]
_LATE_AT = _AT[KEEPER] + _PART
_BUDGET_AT = _LATE_AT + _LATE
_REFUSED_AT = _BUDGET_AT + _BUDGET
_BUCKET_MASK, _PART_MASK, _LATE_MASK, _BUDGET_MASK = ((1 << bits) - 1 for bits in (_BUCKET, _PART, _LATE, _BUDGET))
_COST = {name: 2 * i for i, name in enumerate(BUDGETS)}

# The next state, what is wrong with it, the slot that acted (or -1), and what happened.
Successor = tuple[int, str | None, int, Any]
# What a move comes to: the part after it, the budget it draws on (shift, exact amount, unit), its late write, itself.
_Known = tuple[int, int, int | None, int, int, Move]


class _Scene:
    """A state taken apart."""

    __slots__ = ("bucket", "budget", "late", "refused", "slots")

    def __init__(self, state: int) -> None:
        self.bucket = state & _BUCKET_MASK
        self.slots = [
            state >> _AT[0] & _PART_MASK,
            state >> _AT[1] & _PART_MASK,
            state >> _AT[2] & _PART_MASK,
            state >> _AT[3] & _PART_MASK,
            state >> _AT[4] & _PART_MASK,
        ]
        self.late = state >> _LATE_AT & _LATE_MASK
        self.budget = state >> _BUDGET_AT & _BUDGET_MASK
        self.refused = state >> _REFUSED_AT


class World:
    """Every state within `bounds` that `subject` can come to, one step at a time."""

    def __init__(self, subject: Subject, bounds: Bounds) -> None:
        self.subject = subject
        self.bounds = bounds
        self.members = Members(subject, bounds)
        self.buckets = Numbered(_BUCKET)
        self.parts = Parts(_PART, self.members.believes)
        self.lates = Numbered(_LATE)
        self._symmetry = None if bounds.ranked else Symmetry(self.parts, self.buckets, self.lates)
        self._exchanging = True
        # What was worked out before.
        self._moves: tuple[dict[int, list[_Known]], dict[int, list[_Known]]] = ({}, {})
        self._seen: dict[tuple[int, int], int] = {}
        self._written: dict[tuple[int, int], tuple[int, str | None, int, int]] = {}
        self._landed: dict[tuple[int, int, int], tuple[int, int, str | None, int]] = {}
        self._moved_in: dict[int, int] = {0: 0}
        self._keepers: dict[tuple[int, int], int] = {}
        self._joined: dict[tuple[int, int], int] = {}
        self._aged: dict[int, int] = {0: 0}
        self._overdue: dict[int, bool] = {0: False}
        # Polls under way that take no time, and what they come to.
        self._polls: set[int] = set()
        self._polled: dict[int, tuple[int, str | None]] = {}

    # --- reading a state --------------------------------------------------------------------------------------------

    def bucket(self, state: int) -> Bucket:
        """What lies in the bucket."""
        return self.buckets.values[_Scene(state).bucket]  # type: ignore[no-any-return]

    def part(self, state: int, slot: int) -> Part | None:
        """Who is in `slot`: 0 to 2 the nodes, 3 a former self or a guardian, 4 retention."""
        return self.parts.values[_Scene(state).slots[slot]]  # type: ignore[no-any-return]

    def late(self, state: int) -> tuple[Request, ...]:
        """Writes that nobody waits for any more and that may still land."""
        late = self.lates.values[_Scene(state).late]
        return late.requests if late is not None else ()

    def quiet(self, state: int) -> bool:
        """Nobody leads, no write is under way, and somebody who would lead is there."""
        scene = _Scene(state)
        if scene.late or any(self.parts.busy[number] for number in scene.slots):
            return False
        return any(self.parts.stands[number] for number in scene.slots)

    # --- names kept -------------------------------------------------------------------------------------------------

    @contextmanager
    def names_kept(self) -> Iterator[None]:
        """While this lasts no nodes are exchanged, so that one can be followed by its name."""
        self._exchanging = False
        try:
            yield
        finally:
            self._exchanging = True

    def alike(self, state: int, other: int) -> bool:
        """Whether the two are one state but for the names of nodes that nothing tells apart."""
        if state == other or self._symmetry is None:
            return state == other
        mine, theirs = _Scene(state), _Scene(other)
        if (mine.budget, mine.refused) != (theirs.budget, theirs.refused):
            return False
        wanted = theirs.bucket, theirs.slots, theirs.late
        return any(self._symmetry.exchanged(mine.bucket, mine.slots, mine.late, order) == wanted for order in ORDERS)

    def moved_in(self, other: World, state: int) -> int:
        """`state` of `other` as a state of this world, with this world's budgets."""
        scene = _Scene(state)
        slots = []
        for number in scene.slots:
            moved = self._moved_in.get(number)
            if moved is None:
                moved = self._moved_in[number] = self.parts.of(other.parts.values[number])
            slots.append(moved)
        bucket = self.buckets.of(other.buckets.values[scene.bucket])
        return self._state(bucket, slots, self.lates.of(other.lates.values[scene.late]), 0, 0)

    # --- the first state --------------------------------------------------------------------------------------------

    def first(self) -> int:
        """A founded cluster and its nodes, just come aboard; or, where it is led, with a leader that all know of."""
        nodes = [self.members.fresh(name, 1, None, (0, 0)) for name in NAMES[: self.bounds.nodes]]
        budget = sum(getattr(self.bounds.budget, name) << _COST[name] for name in BUDGETS)
        bucket = self.buckets.of(empty())
        slots = [self._see(self.parts.of(node), bucket) for node in nodes] + [0] * (5 - len(nodes))
        exchanging, self._exchanging = self._exchanging, False
        state = self._state(bucket, slots, 0, budget, 0)
        for slot in range(self.bounds.nodes) if self.bounds.led else ():
            while call_of(self.part(state, slot)) is not None:
                state = next(each[0] for each in self.successors(state) if each[2] == slot and self.prompt(state, each))
        self._exchanging = exchanging
        scene = _Scene(state)
        return self._state(scene.bucket, scene.slots, scene.late, scene.budget, scene.refused)

    def prompt(self, state: int, successor: Successor) -> bool:
        """Whether this is no more than a request that is answered as the bucket is now."""
        _, _, slot, what = successor
        if what == "write":
            return True
        if not isinstance(what, Move) or what.kind != "told" or what.cost:
            return False
        call = call_of(self.part(state, slot))
        if call is None or call.stage != "reading" or what.heard is None:
            return True
        assert call.request is not None
        return what.heard.answer == answer_to(self.bucket(state), call.request)

    def _state(self, bucket: int, slots: list[int], late: int, budget: int, refused: int) -> int:
        if self._exchanging and self._symmetry is not None and self.bounds.nodes == 3:
            order = self._symmetry.order(slots)
            if order is not None:
                bucket, slots, late = self._symmetry.exchanged(bucket, slots, late, order)
        return (
            bucket
            | slots[0] << _AT[0]
            | slots[1] << _AT[1]
            | slots[2] << _AT[2]
            | slots[3] << _AT[3]
            | slots[4] << _AT[4]
            | late << _LATE_AT
            | budget << _BUDGET_AT
            | refused << _REFUSED_AT
        )

    # --- steps ------------------------------------------------------------------------------------------------------

    def successors(self, state: int) -> list[Successor]:
        """Everything that may happen next."""
        scene = _Scene(state)
        found: list[Successor] = []
        for slot, number in enumerate(scene.slots):
            if number:
                self._act(found, scene, slot, number)
                if self.parts.writes[number]:
                    self._write(found, scene, slot, number)
        if scene.late:
            self._land(found, scene)
        self._pass_time(found, scene)
        if scene.budget >> _COST["usurped"] & 3 and not scene.slots[FORMER]:
            self._usurp(found, scene)
        if scene.budget >> _COST["trimmed"] & 3 and not scene.slots[KEEPER]:
            self._trim(found, scene)
        return found

    def _add(
        self,
        found: list[Successor],
        wrong: str | None,
        slot: int,
        what: Any,
        bucket: int,
        slots: list[int],
        late: int,
        budget: int,
        refused: int,
    ) -> None:
        """One more successor, looked at by the one check that looks at every state: I1."""
        believes = self.parts.believes
        believers = believes[slots[0]] + believes[slots[1]] + believes[slots[2]] + believes[slots[3]]
        if believers > 1 and wrong is None and not self.bounds.clocks_lie:
            wrong = several_believe([self.parts.values[number] for number in slots[:4] if believes[number]])
        found.append((self._state(bucket, slots, late, budget, refused), wrong, slot, what))

    def _act(self, found: list[Successor], scene: _Scene, slot: int, number: int) -> None:
        """What the part in `slot` may do or be told."""
        moves = self._moves[slot == FORMER].get(number)
        if moves is None:
            moves = self._moves_of(number, slot == FORMER)
        bucket, late, budget, refused = scene.bucket, scene.late, scene.budget, scene.refused
        for after, shift, exactly, unit, adrift, move in moves:
            if unit:
                had = budget >> shift & 3
                if not had or (exactly is not None and had != exactly):
                    continue
            wrong, now_refused = move.wrong, refused
            if self.parts.reads[after]:
                after = self._see(after, bucket)
                if after in self._polls:
                    answered = self._answer_poll(after, bucket, wrong)
                    if answered is None:
                        continue
                    after, wrong = answered
            slots = scene.slots.copy()
            slots[slot] = after
            if move.guardian is not None:
                if slots[FORMER]:
                    continue
                slots[FORMER] = self._see(self.parts.of(move.guardian), bucket)
            for finding in move.findings:
                teller = self.parts.values[number]
                wrong = wrong or judged(finding, self.buckets.values[bucket], teller, self.bounds.clocks_lie)
                if isinstance(finding, Refused):
                    now_refused |= _bit(finding.value)
            now_late = late if not adrift else self._with_late(late, adrift)
            self._add(found, wrong, slot, move, bucket, slots, now_late, budget - unit, now_refused)

    def _moves_of(self, number: int, former: bool) -> list[_Known]:
        moves: list[_Known] = []
        for move in self.members.moves(self.parts.values[number], former):
            after = self.parts.of(move.part)
            shift = _COST[move.cost] if move.cost else 0
            # What becomes of the part is kept by its number alone.
            kept = replace(move, part=None)
            adrift = self._with_late(0, move.late) if move.late is not None else 0
            moves.append((after, shift, move.exactly, 1 << shift if move.cost else 0, adrift, kept))
        self._moves[former][number] = moves
        return moves

    # --- what the store does ----------------------------------------------------------------------------------------

    def _see(self, number: int, bucket: int) -> int:
        """A read under way may also be answered from this bucket."""
        if not self.parts.reads[number]:
            return number
        after = self._seen.get((number, bucket))
        if after is None:
            part = self.parts.values[number]
            answer = answer_to(self.buckets.values[bucket], part.call.request)
            heard = Heard(type(answer).__name__, answer)
            after = number
            if heard not in part.call.answers:
                call = replace(part.call, answers=(*part.call.answers, heard))
                if call.head is None:
                    call = replace(call, head=len(self.buckets.values[bucket].history))
                after = self.parts.of(in_order(replace(part, call=call)))
                if part.call.kind == "poll" and not self.bounds.paced:
                    self._polls.add(after)
            self._seen[number, bucket] = after
        return after

    def _answer_poll(self, number: int, bucket: int, wrong: str | None) -> tuple[int, str | None] | None:
        """A poll that takes no time: this part when it has been answered, and what is wrong with that.

        None where it found what would be followed by an epoch beyond the bounds: this does not happen here.
        """
        while number in self._polls:
            after = self._polled.get(number)
            if after is None:
                moves = self.members.moves(self.parts.values[number], False)
                told = next((move for move in moves if move.kind == "told"), None)
                if told is None:
                    return None
                after = self._polled[number] = self.parts.of(told.part), told.wrong
            number, wrong = self._see(after[0], bucket), wrong or after[1]
        return number, wrong

    def _write(self, found: list[Successor], scene: _Scene, slot: int, number: int) -> None:
        """The write that this part has sent takes effect."""
        written = self._written.get((number, scene.bucket))
        if written is None:
            written = self._written[number, scene.bucket] = self._work_out_write(number, scene.bucket)
        bucket, wrong, after, value = written
        slots = self._shown(scene.slots, scene.bucket, bucket)
        slots[slot] = after
        wrong = wrong or _resurrected(value, scene.refused)
        self._add(found, wrong, slot, "write", bucket, slots, scene.late, scene.budget, scene.refused)

    def _work_out_write(self, number: int, bucket: int) -> tuple[int, str | None, int, int]:
        part = self.parts.values[number]
        call = part.call
        before = self.buckets.values[bucket]
        after, answer, wrong = apply(before, call.request)
        heard = Heard(type(answer).__name__, answer)
        then = replace(part, call=replace(call, stage="answered", answers=(heard,)))
        if isinstance(then, Process):
            then = replace(then, tardy=0)
        return self.buckets.of(after), wrong, self.parts.of(then), _value_in(before, after)

    def _shown(self, slots: list[int], before: int, after: int) -> list[int]:
        """Everyone when the bucket has changed: what is being read may be read from either."""
        if before == after:
            return slots.copy()
        reads = self.parts.reads
        return [self._see(number, after) if reads[number] else number for number in slots]

    def _with_late(self, late: int, request: Request | int) -> int:
        if isinstance(request, int):
            if not late:
                return request
            joined = self._joined.get((late, request))
            if joined is None:
                requests = (*self.lates.values[late].requests, *self.lates.values[request].requests)
                joined = self._joined[late, request] = self.lates.of(in_order(Late(requests)))
            return joined
        return self.lates.of(Late((request,)))

    def _land(self, found: list[Successor], scene: _Scene) -> None:
        """A late write takes effect."""
        requests = self.lates.values[scene.late].requests
        for i, request in enumerate(requests):
            landed = self._landed.get((scene.late, i, scene.bucket))
            if landed is None:
                before = self.buckets.values[scene.bucket]
                after, _, wrong = apply(before, request)
                rest = requests[:i] + requests[i + 1 :]
                late = self.lates.of(Late(rest)) if rest else 0
                landed = self.buckets.of(after), late, wrong, _value_in(before, after)
                self._landed[scene.late, i, scene.bucket] = landed
            bucket, late, wrong, value = landed
            slots = self._shown(scene.slots, scene.bucket, bucket)
            wrong = wrong or _resurrected(value, scene.refused)
            self._add(found, wrong, -1, request, bucket, slots, late, scene.budget, scene.refused)

    # --- time -------------------------------------------------------------------------------------------------------

    def _pass_time(self, found: list[Successor], scene: _Scene) -> None:
        """A tick, on every clock; or, where clocks may run apart, on all but one or on one alone."""
        slots = scene.slots
        if self.bounds.slack is not None and any(self._is_overdue(number) for number in slots[:4]):
            return
        bucket, late, budget, refused = scene.bucket, scene.late, scene.budget, scene.refused
        ticked = [self._older(number) for number in slots]
        self._add(found, None, -1, "tick", bucket, ticked, late, budget, refused)
        if not budget >> _COST["skewed"] & 3:
            return
        left = budget - (1 << _COST["skewed"])
        for slot in range(4):
            if slots[slot]:
                slow, fast = ticked.copy(), slots.copy()
                slow[slot], fast[slot] = slots[slot], ticked[slot]
                self._add(found, None, slot, "slow tick", bucket, slow, late, left, refused)
                self._add(found, None, slot, "fast tick", bucket, fast, late, left, refused)

    def _older(self, number: int) -> int:
        """The part one tick later; which of its clocks have gone on depends on how it sleeps."""
        after = self._aged.get(number)
        if after is None:
            part = self.parts.values[number]
            asleep = part.asleep if isinstance(part, Process) else ""
            boot = 0 if asleep == "snapshot" else 1
            mono = 0 if asleep in ("snapshot", "suspended") else 1
            after = self._aged[number] = self.parts.of(self.members.passed(part, boot, mono, 1))
        return after

    def _is_overdue(self, number: int) -> bool:
        overdue = self._overdue.get(number)
        if overdue is None:
            overdue = self._overdue[number] = self.members.overdue(self.parts.values[number])
        return overdue

    # --- what only the whole world can do ---------------------------------------------------------------------------

    def _usurp(self, found: list[Successor], scene: _Scene) -> None:
        """A node is resumed while its former self lives on."""
        left = scene.budget - (1 << _COST["usurped"])
        for slot in range(3):
            part = self.parts.values[scene.slots[slot]]
            if not isinstance(part, Process):
                continue
            seat, head = part.election.seat, part.election.head
            for hint in (None, head.epoch) if head is not None else (None,):
                fresh = self.members.fresh(seat.node, seat.incarnation + 1, hint, part.told)
                slots = scene.slots.copy()
                slots[FORMER] = slots[slot]
                slots[slot] = self._see(self.parts.of(fresh), scene.bucket)
                self._add(found, None, slot, "usurped", scene.bucket, slots, scene.late, left, scene.refused)

    def _trim(self, found: list[Successor], scene: _Scene) -> None:
        """Retention begins, as far up as it may ever go."""
        bucket = self.buckets.values[scene.bucket]
        serial = scene.budget >> _COST["trimmed"] & 3
        left = scene.budget - (1 << _COST["trimmed"])
        for below in range(bucket.floor + 1, len(bucket.history) + 1):
            keeper = self._keepers.get((below, serial))
            if keeper is None:
                begun = continued(self.subject, Call("trim", NOW, number=below, serial=serial), None, None, 1, None)
                assert isinstance(begun, Call)
                keeper = self._keepers[below, serial] = self.parts.of(Keeper(begun))
            slots = scene.slots.copy()
            slots[KEEPER] = self._see(keeper, scene.bucket)
            self._add(found, None, KEEPER, "trim", scene.bucket, slots, scene.late, left, scene.refused)


def _bit(value: bytes) -> int:
    """Values are numbered, and so are the bits that say which were refused."""
    return 1 << int(value[-1:]) - 1


def _value_in(before: Bucket, after: Bucket) -> int:
    """The bit of the value that the newest epoch publishes, if it has just come about and publishes one; else 0."""
    if len(after.history) == len(before.history):
        return 0
    record = record_of(after.history[-1])
    if record.published is None or record.published.epoch != record.epoch:
        return 0
    return _bit(record.published.value)


def _resurrected(value: int, refused: int) -> str | None:
    if not value & refused:
        return None
    return f"I10: value-{value.bit_length()} is published, and its publisher was told that it never would be"
