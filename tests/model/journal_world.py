"""A whole journal in one number: the store, every incarnation, writes under way, and what may still go wrong.

A request takes effect, or is answered, at one moment of its own, and its procedure goes on at that moment: nobody else
can see how long an answer took. Only where several reads are under way side by side may they have been answered at
different times, so there each keeps what it may be answered.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import msgspec
from msgspec.structs import replace

from holocron.store.base import Answer, Clash, Conflict, Delete, Denied, Put, Request, Unclear, Written
from tests.model.journal_bounds import BUDGETS, JournalBounds
from tests.model.journal_bucket import Home, answer_to, apply, damaged
from tests.model.journal_checks import Ledger, acked, changed, entries_in, replayed
from tests.model.journal_driver import Driver
from tests.model.journal_parts import Acked, Broken, Call, Ended, Finding, Heard, Incarnation, Replayed, Stepped
from tests.model.journal_process import SHIPPED, JournalSubject, acting
from tests.model.numbering import Late, Numbered
from tests.model.state import key_of

__all__ = ["Happened", "JournalWorld", "Successor"]

_HOME, _PART, _LATE, _LEDGER, _COUNT = 20, 20, 16, 12, 3
_AT = [_HOME + place * _PART for place in range(3)]
_LATE_AT = _AT[2] + _PART
_LEDGER_AT = _LATE_AT + _LATE
_BORN_AT = _LEDGER_AT + _LEDGER
_BUDGET_AT = _BORN_AT + 2
_COST = {name: _COUNT * i for i, name in enumerate(BUDGETS)}
_ENTRIES = b"abcdefg"

LOST = Unclear("no answer")
STRANGE: tuple[tuple[str, Answer], ...] = (
    ("refused", Unclear("connection refused", sent=False)),
    ("conflict", Conflict()),
    ("denied", Denied("403")),
)


class Happened(msgspec.Struct, frozen=True):
    """One thing that happened: what, to whose request, and what was answered or handed in."""

    kind: str
    whose: int = 0
    requests: tuple[Request, ...] = ()
    heard: Heard | None = None
    applied: bool = False
    entry: bytes = b""
    findings: tuple[Finding, ...] = ()


# The next state, what is wrong with it, the place of the incarnation that acted (or -1), and what happened.
Successor = tuple[int, str | None, int, Happened]
# As in a state: the store, the incarnations, late writes, the ledger, how many were ever born, the budgets.
_Scene = tuple[int, tuple[int, ...], int, int, int, int]


class JournalWorld:
    """Every state within `bounds` that `subject` can come to, one step at a time."""

    def __init__(self, subject: JournalSubject, bounds: JournalBounds) -> None:
        self.subject = subject
        self.bounds = bounds
        self._driver = Driver(subject)
        # How many checkpoints have to serve from the floor on.
        self._serving = bounds.kept - min(bounds.budget.damaged, 1)
        self.homes = Numbered(_HOME)
        self.parts = Numbered(_PART)
        self.lates = Numbered(_LATE)
        self.ledgers = Numbered(_LEDGER)
        # What was worked out before.
        self._requested: dict[tuple[int, Request], tuple[int, Answer, str | None]] = {}
        self._stepped: dict[tuple[int, int, bytes], tuple[int, tuple[Finding, ...], tuple[Request, ...]]] = {}
        self._asked: dict[tuple[int, str], tuple[int, tuple[Finding, ...], tuple[Request, ...]]] = {}
        self._seen: dict[tuple[int, int], int] = {}
        self._side_by_side: dict[int, bool] = {0: False}
        self._resumable: dict[int, str | None] = {}
        self._judged: dict[tuple[tuple[Finding, ...], int, int, bool], tuple[int, str | None]] = {}

    # --- reading a state --------------------------------------------------------------------------------------------

    def _scene(self, state: int) -> _Scene:
        parts = tuple(state >> at & (1 << _PART) - 1 for at in _AT)
        late, ledger = state >> _LATE_AT & (1 << _LATE) - 1, state >> _LEDGER_AT & (1 << _LEDGER) - 1
        return state & (1 << _HOME) - 1, parts, late, ledger, state >> _BORN_AT & 3, state >> _BUDGET_AT

    def _state(self, scene: _Scene) -> int:
        home, parts, late, ledger, born, budget = scene
        state = home | late << _LATE_AT | ledger << _LEDGER_AT | born << _BORN_AT | budget << _BUDGET_AT
        for at, part in zip(_AT, parts, strict=True):
            state |= part << at
        return state

    def home(self, state: int) -> Home:
        """What lies in the store."""
        return self.homes.values[self._scene(state)[0]]  # type: ignore[no-any-return]

    def incarnation(self, state: int, place: int) -> Incarnation | None:
        """Whoever is in `place`, one less than the number of the incarnation."""
        return self.parts.values[self._scene(state)[1][place]]  # type: ignore[no-any-return]

    def late(self, state: int) -> tuple[Request, ...]:
        """Writes that nobody waits for any more and that may still land."""
        late = self.lates.values[self._scene(state)[2]]
        return late.requests if late is not None else ()

    # --- the first state --------------------------------------------------------------------------------------------

    def first(self) -> int:
        """A node that was begun as the bounds say, nothing under way."""
        budget = sum(getattr(self.bounds.budget, name) << _COST[name] for name in BUDGETS)
        home, part = Home(), Incarnation(1)
        ledger = Ledger()
        if self.bounds.begun is not None:
            with acting(SHIPPED, self.bounds):
                driver = Driver(SHIPPED)
                script = [driver.opening(part)]
                for n, wish in enumerate(self.bounds.begun):
                    home, part, ledger = _through(driver, home, script.pop(), ledger)
                    script.append(driver.appended(part, b"0%d" % n) if wish == "a" else driver.checkpointing(part))
                home, part, ledger = _through(driver, home, script.pop(), ledger)
        parts = (self.parts.of(part), 0, 0)
        return self._state((self.homes.of(home), parts, 0, self._ledger(ledger), 1, budget))

    # --- steps ------------------------------------------------------------------------------------------------------

    def successors(self, state: int) -> list[Successor]:
        """Everything that may happen next."""
        scene = self._scene(state)
        found: list[Successor] = []
        with acting(self.subject, self.bounds):
            for place, number in enumerate(scene[1]):
                if number:
                    self._act(found, scene, place, number)
            self._land(found, scene)
            self._resume(found, scene)
            self._damage(found, scene)
        return found

    def _act(self, found: list[Successor], scene: _Scene, place: int, number: int) -> None:
        part: Incarnation = self.parts.values[number]
        for index, call in enumerate(part.calls):
            if len(call.answers) > 0:
                self._answer_all(found, scene, place, number, index)
            else:
                self._answer(found, scene, place, number, index)
        for kind in self._wishes(scene, part):
            cost = kind if kind in BUDGETS else ""
            entry = self._entry(scene, part) if kind == "append" else b""
            after, findings, adrift = self._wished(number, kind, entry)
            what = Happened(kind, part.number, entry=entry, findings=findings)
            self._add(found, scene, place, after, what, adrift, cost)

    def _wishes(self, scene: _Scene, part: Incarnation) -> Iterator[str]:
        """What a process does of its own accord."""
        if part.writer is None and not part.calls:
            yield "open"
        if part.writer is not None and self._left(scene, "append"):
            yield "append"
        idle = all(call.batch is not None for call in part.calls)
        if part.writer is not None and idle and self._left(scene, "checkpoint"):
            yield "checkpoint"
        if self._left(scene, "crash"):
            yield "crash"

    def _entry(self, scene: _Scene, part: Incarnation) -> bytes:
        """An entry that there is no other of."""
        return b"%d%c" % (part.number, _ENTRIES[self.bounds.budget.append - self._left(scene, "append")])

    def _wished(self, number: int, kind: str, entry: bytes) -> tuple[int, tuple[Finding, ...], tuple[Request, ...]]:
        known = self._asked.get((number, kind + entry.decode()))
        if known is None:
            part = self.parts.values[number]
            match kind:
                case "open":
                    stepped = self._driver.opening(part)
                case "append":
                    stepped = self._driver.appended(part, entry)
                case "checkpoint":
                    stepped = self._driver.checkpointing(part)
                case _:
                    stepped = self._driver.crashed(part)
            known = self._asked[number, kind + entry.decode()] = self._kept(stepped)
        return known

    def _kept(self, stepped: Stepped) -> tuple[int, tuple[Finding, ...], tuple[Request, ...]]:
        return self.parts.of(stepped.after), stepped.findings, stepped.adrift

    # --- answers ----------------------------------------------------------------------------------------------------

    def _answer(self, found: list[Successor], scene: _Scene, place: int, number: int, index: int) -> None:
        """One request takes effect or does not, and is answered or is not."""
        call: Call = self.parts.values[number].calls[index]
        request = call.requests[0]
        home, answer, wrong = self._request(scene[0], request)
        here = home, wrong
        there = scene[0], None
        self._tell(found, scene, place, number, index, "told", Heard((answer,)), here)
        writes = isinstance(request, Put | Delete)
        if self._left(scene, "lost"):
            # A read that is asked again is a read that took long.
            if writes:
                self._tell(found, scene, place, number, index, "lost", Heard((LOST,)), there, "lost")
                self._tell(found, scene, place, number, index, "lost", Heard((LOST,)), here, "lost")
                self._tell(found, scene, place, number, index, "given up", Heard((LOST,), False), here, "lost")
            self._tell(found, scene, place, number, index, "given up", Heard((LOST,), False), there, "lost")
            if isinstance(request, Put) and isinstance(answer, Written):
                self._tell(found, scene, place, number, index, "told", Heard((Clash(),)), here, "lost")
            for kind, strange in STRANGE if self.bounds.strange_answers else ():
                if writes or kind == "denied":
                    self._tell(found, scene, place, number, index, kind, Heard((strange,)), there, "lost")
        if writes and self._left(scene, "late"):
            for heard in (Heard((LOST,)), Heard((LOST,), False)):
                self._tell(found, scene, place, number, index, "late", heard, there, "late", (request,))

    def _answer_all(self, found: list[Successor], scene: _Scene, place: int, number: int, index: int) -> None:
        """Reads side by side are all answered, each as the store was at any time since; or one never is."""
        call: Call = self.parts.values[number].calls[index]
        for answers in itertools.product(*call.answers):
            self._tell(found, scene, place, number, index, "told", Heard(answers), (scene[0], None))
        if self._left(scene, "lost"):
            heard = Heard((LOST, *(answers[0] for answers in call.answers[1:])), False)
            self._tell(found, scene, place, number, index, "given up", heard, (scene[0], None), "lost")

    def _tell(
        self, found: list[Successor], scene: _Scene, place: int, number: int, index: int, kind: str, heard: Heard,
        at: tuple[int, str | None], cost: str = "", late: tuple[Request, ...] = (),
    ) -> None:  # fmt: skip
        part: Incarnation = self.parts.values[number]
        call = part.calls[index]
        key = number, index, key_of(heard)
        known = self._stepped.get(key)
        if known is None:
            known = self._stepped[key] = self._kept(self._driver.told(part, call, heard))
        after, findings, adrift = known
        what = Happened(kind, part.number, call.requests, heard, at[0] != scene[0], findings=findings)
        self._add(found, scene, place, after, what, (*late, *adrift), cost, at)

    def _request(self, home: int, request: Request) -> tuple[int, Answer, str | None]:
        known = self._requested.get((home, request))
        if known is None:
            before: Home = self.homes.values[home]
            if isinstance(request, Put | Delete):
                after, answer = apply(before, request)
                wrong = changed(before, after, request, self._serving)
                known = self.homes.of(after), answer, wrong
            else:
                known = home, answer_to(before, request), None
            self._requested[home, request] = known
        return known

    # --- what no incarnation does -----------------------------------------------------------------------------------

    def _land(self, found: list[Successor], scene: _Scene) -> None:
        """A late write takes effect."""
        late = self.lates.values[scene[2]]
        requests: tuple[Request, ...] = late.requests if late is not None else ()
        for i, request in enumerate(requests):
            home, _, wrong = self._request(scene[0], request)
            rest = requests[:i] + requests[i + 1 :]
            left = self.lates.of(Late(rest)) if rest else 0
            what = Happened("landed", requests=(request,), applied=home != scene[0])
            self._add(found, (*scene[:2], left, *scene[3:]), -1, 0, what, (), "", (home, wrong))

    def _resume(self, found: list[Successor], scene: _Scene) -> None:
        """The node is resumed: its last process is dead, or lives on and does not know."""
        home, parts, late, ledger, born, budget = scene
        lives = parts[born - 1] != 0
        if born == self.bounds.incarnations or (lives and not self._left(scene, "usurped")):
            return
        number = self.parts.of(Incarnation(born + 1))
        after, findings, adrift = self._wished(number, "open", b"")
        what = Happened("usurped" if lives else "resumed", born + 1, findings=findings)
        scene = home, parts, late, ledger, born + 1, budget
        self._add(found, scene, born, after, what, adrift, "usurped" if lives else "")

    def _damage(self, found: list[Successor], scene: _Scene) -> None:
        if not self._left(scene, "damaged"):
            return
        spoilt = damaged(self.homes.values[scene[0]])
        if spoilt is not None:
            self._add(found, scene, -1, 0, Happened("damaged"), (), "damaged", (self.homes.of(spoilt), None))

    # --- one more ---------------------------------------------------------------------------------------------------

    def _left(self, scene: _Scene, name: str) -> int:
        return scene[5] >> _COST[name] & (1 << _COUNT) - 1

    def _add(
        self, found: list[Successor], scene: _Scene, place: int, after: int, what: Happened,
        adrift: tuple[Request, ...], cost: str, at: tuple[int, str | None] | None = None,
    ) -> None:  # fmt: skip
        before, parts, late, ledger, born, budget = scene
        home, wrong = at if at is not None else (before, None)
        now = list(parts)
        if place >= 0:
            now[place] = after
        for i, number in enumerate(now):
            if number and (home != before or i == place):
                now[i] = self._see(number, home)
        if adrift:
            had = self.lates.values[late]
            requests = (*(had.requests if had is not None else ()), *adrift)
            late = self.lates.of(Late(tuple(sorted(requests, key=key_of))))
        if what.findings:
            key = what.findings, home, ledger, what.whose == born
            judged = self._judged.get(key)
            if judged is None:
                judged = self._judged[key] = self._judge(*key)
            ledger, wrong = judged[0], wrong or judged[1]
        if home != before:
            wrong = wrong or self._resumed_at_once(home)
        if cost:
            budget -= 1 << _COST[cost]
        found.append((self._state((home, tuple(now), late, ledger, born, budget)), wrong, place, what))

    def _see(self, number: int, home: int) -> int:
        """Reads side by side may also be answered from this store."""
        known = self._side_by_side.get(number)
        if known is None:
            part: Incarnation = self.parts.values[number]
            known = self._side_by_side[number] = any(len(call.requests) > 1 for call in part.calls)
        if not known:
            return number
        after = self._seen.get((number, home))
        if after is None:
            part = self.parts.values[number]
            calls = tuple(self._shown(call, home) if len(call.requests) > 1 else call for call in part.calls)
            after = self._seen[number, home] = self.parts.of(replace(part, calls=calls))
        return after

    def _shown(self, call: Call, home: int) -> Call:
        now = [answer_to(self.homes.values[home], request) for request in call.requests]
        had = call.answers or ((),) * len(now)
        answers = tuple(
            known if answer in known else tuple(sorted((*known, answer), key=key_of))
            for known, answer in zip(had, now, strict=True)
        )
        return replace(call, answers=answers)

    def _judge(self, findings: tuple[Finding, ...], home: int, ledger: int, newest: bool) -> tuple[int, str | None]:
        wrong = None
        kept: Ledger = self.ledgers.values[ledger]
        for finding in findings:
            kept, so = _judgement(finding, self.homes.values[home], kept)
            if isinstance(finding, Ended) and finding.fenced and newest:
                so = f"I9: incarnation {finding.whose} is fenced, and there is none newer: {finding.error}"
            if isinstance(finding, Ended) and not finding.final and self.bounds.budget.damaged:
                # It was to take a checkpoint where a damaged one lies.
                so = None
            wrong = wrong or so
        return self._ledger(kept), wrong

    def _ledger(self, ledger: Ledger) -> int:
        return self.ledgers.of(ledger)

    def _resumed_at_once(self, home: int) -> str | None:
        """Why a node that is resumed at this very moment would not stand where it should, with nobody else about."""
        if home not in self._resumable:
            there: Home = self.homes.values[home]
            self._resumable[home] = self._why_not(there)
        return self._resumable[home]

    def _why_not(self, home: Home) -> str | None:
        stepped = self._driver.opening(Incarnation(self.bounds.incarnations + 1))
        before = entries_in(home)
        while (part := stepped.after) is not None and part.calls:
            home, heard = _at_once(home, part.calls[0])
            stepped = self._driver.told(part, part.calls[0], heard)
        log = next((finding.log for finding in stepped.findings if isinstance(finding, Replayed)), None)
        if log == before:
            return None
        return f"I9: resumed at this moment the node comes to {log if log is not None else stepped.findings}"


def _judgement(finding: Finding, home: Home, ledger: Ledger) -> tuple[Ledger, str | None]:
    match finding:
        case Acked():
            return acked(finding, home, ledger)
        case Replayed():
            return replayed(finding, home, ledger)
        case Broken():
            return ledger, finding.wrong
    wrong = (
        None if finding.fenced else f"rule 13: incarnation {finding.whose} calls its journal spoilt: {finding.error}"
    )
    return ledger, wrong


def _at_once(home: Home, call: Call) -> tuple[Home, Heard]:
    """The store after `call`'s requests, and what they are answered."""
    answers: list[Answer] = []
    for request in call.requests:
        if isinstance(request, Put | Delete):
            home, answer = apply(home, request)
        else:
            answer = answer_to(home, request)
        answers.append(answer)
    return home, Heard(tuple(answers))


def _through(driver: Driver, home: Home, stepped: Stepped, ledger: Ledger) -> tuple[Home, Incarnation, Ledger]:
    """`stepped` once every request is answered at once, and nothing is wrong with that."""
    while True:
        for finding in stepped.findings:
            ledger, wrong = _judgement(finding, home, ledger)
            assert wrong is None, wrong
        part = stepped.after
        assert part is not None, stepped.findings
        if not part.calls:
            return home, part, ledger
        home, heard = _at_once(home, part.calls[0])
        stepped = driver.told(part, part.calls[0], heard)
