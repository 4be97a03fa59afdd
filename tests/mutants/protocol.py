"""Mutants of the rules: of holocron/protocol, the clocks and the settings that it goes by."""

from __future__ import annotations

from holocron import clock
from holocron.protocol import election, following, retention, state, turns
from holocron.runtime import keeper
from holocron.settings import Settings
from holocron.store import chain
from tests.mutants.breaking import CUT_OFF, DOZING, HELD, ROLLED_BACK, SLUGGISH, Mutant, edit

__all__ = ["MUTANTS"]

_COUNTED = "business.since, state.rules.belief_s"
_WAITED = "max(0.0, record.ttl_ms / 1000 - head.credit_s)"

_HOLDER = "max(now.boot_s - since.boot_s, now.wall_s - since.wall_s)"
_WAITER = "min(now.boot_s - since.boot_s, now.mono_s - since.mono_s)"

MUTANTS = (
    # --- leases and clocks ------------------------------------------------------------------------------------------
    Mutant(
        name="a lease is counted from the answer",
        rule="rule 2",
        edits=(edit(election._won, _COUNTED, "now, state.rules.belief_s"),),
        misfortune=SLUGGISH,
    ),
    Mutant(
        name="the holder believes for the whole ttl",
        rule="rule 3",
        edits=(edit(Settings.belief_s, "self.ttl_s - self.margin", "self.ttl_s"),),
        misfortune=CUT_OFF,
    ),
    Mutant(
        name="a follower waits its own ttl",
        rule="rule 3",
        edits=(edit(turns._lease_s, _WAITED, "max(0.0, state.rules.ttl_s - head.credit_s)"),),
    ),
    Mutant(
        name="a takeover does not wait",
        rule="rule 3",
        edits=(edit(turns._lease_s, _WAITED, "0.0"),),
    ),
    Mutant(
        name="a lease is waited out by the wall clock, from when it says it was written",
        rule="rule 4",
        edits=(
            edit(
                turns.turn_has_come,
                "waited_s = elapsed_waiter_s(head.read, now)",
                "waited_s = (elapsed_waiter_s(head.read, now) if head.record is None else now.wall_s - "
                "__import__('datetime').datetime.fromisoformat(head.record.written).timestamp())",
            ),
        ),
    ),
    Mutant(
        name="unreadable is read as free",
        rule="rule 3",
        edits=(edit(turns._lease_s, "return state.rules.ttl_max_s", "return 0.0"),),
    ),
    Mutant(
        name="the holder counts MONOTONIC",
        rule="rule 4",
        edits=(edit(clock.elapsed_holder_s, _HOLDER, "now.mono_s - since.mono_s"),),
    ),
    Mutant(
        name="the holder counts BOOTTIME alone",
        rule="rule 4",
        edits=(edit(clock.elapsed_holder_s, _HOLDER, "now.boot_s - since.boot_s"),),
    ),
    Mutant(
        name="the waiter counts the wall clock too",
        rule="rule 4",
        edits=(
            edit(
                clock.elapsed_waiter_s,
                _WAITER,
                "max(now.boot_s - since.boot_s, now.wall_s - since.wall_s)",
            ),
        ),
    ),
    # --- terms ------------------------------------------------------------------------------------------------------
    Mutant(
        name="a late renewal keeps its term",
        rule="rule 6",
        edits=(
            edit(
                election._won,
                'if not believes(mine, now) or (business.kind == "renew" and tenure is None):',
                "if not believes(mine, now):",
            ),
        ),
        regime="production",
        misfortune=DOZING,
    ),
    Mutant(
        name="a lapse is not looked for when an event comes",
        rule="rule 6",
        edits=(edit(election.step, "if state.tenure is not None and not believes(state.tenure, now):", "if False:"),),
    ),
    Mutant(
        name="a takeover keeps the term that it found",
        rule="rule 6",
        edits=(
            edit(
                election._take,
                "_draft(state, number, number,",
                "_draft(state, number, state.head.record.term if state.head and state.head.record else number,",
            ),
        ),
    ),
    Mutant(
        name="a deposed leader goes on renewing",
        rule="rule 6",
        edits=(
            edit(
                election._not_won,
                'if business.kind == "renew" and state.tenure is not None:',
                'if business.kind == "renew" and state.tenure is not None and isinstance(event, ClaimUnknown):',
            ),
        ),
    ),
    Mutant(
        name="a renewal that is not known is tried again under another nonce",
        rule="rule 6",
        edits=(
            edit(
                election._not_won,
                "isinstance(event, ClaimRefused) and",
                "isinstance(event, ClaimRefused | ClaimUnknown) and",
            ),
        ),
    ),
    # --- takeovers --------------------------------------------------------------------------------------------------
    Mutant(
        name="a 404 is taken for the head, without a LIST",
        rule="rule 7",
        edits=(
            edit(
                election._act,
                "        if state.turn_checked or place(state, state.head.record) == 0:\n"
                "            return _look(state, now, takeover=True)\n",
                "        if state.turn_checked:\n            return _take(state, now, _cause(state, state.head))\n",
            ),
        ),
    ),
    Mutant(
        name="an epoch does not name its predecessor",
        rule="I5",
        edits=(edit(election._draft, "state.head.mark if", '"x" if'),),
    ),
    Mutant(
        name="the order of heirs is ignored",
        rule="rule 8",
        edits=(edit(turns.place, "order = _order.of(record)", "return 0\n    order = _order.of(record)"),),
    ),
    Mutant(
        name="priority 0 leads",
        rule="rule 8",
        edits=(edit(turns.may_stand, " and state.seat.priority > 0", ""),),
    ),
    Mutant(
        name="resume inherits the lease of the former self",
        rule="rule 11",
        edits=(edit(turns._lease_s, "state.rules.assume_dead and former_self", "former_self"),),
    ),
    Mutant(
        name="who vouches for one death vouches for all",
        rule="rule 11",
        edits=(edit(turns._lease_s, "state.rules.assume_dead and former_self", "state.rules.assume_dead"),),
    ),
    # --- polls ------------------------------------------------------------------------------------------------------
    Mutant(
        name="a follower polls four times a round",
        rule="I14",
        edits=(edit(following.adopt, "after_s = every_s * 31 / 32", "after_s = every_s / 4"),),
        regime="production",
    ),
    Mutant(
        name="who does not stand never looks",
        rule="rule 10",
        edits=(edit(election._act, "state.misses and state.misses % 16 == 0 and not may_stand(state)", "False"),),
    ),
    # --- releases ---------------------------------------------------------------------------------------------------
    Mutant(
        name="a release is sent while a renewal is in flight",
        rule="rule 9",
        edits=(
            edit(
                election._act,
                "if state.business is not None:",
                'if state.business is not None and not (state.releasing and state.business.kind == "renew"):',
            ),
            edit(election._won, "assert business is not None", "if business is None:\n        return state, []"),
            edit(election._not_won, "assert business is not None", "if business is None:\n        return state, []"),
        ),
        regime="production",
    ),
    Mutant(
        name="belief ends only when the release is known to be written",
        rule="rule 9",
        edits=(
            edit(
                election._lead,
                "state, actions = end(state, Reason.RELEASED)",
                "state, actions = replace(state, releasing=False, heir=None), []",
            ),
            edit(
                election._won,
                'if business.kind == "release":\n',
                'if business.kind == "release":\n'
                "        if state.tenure is not None:\n"
                "            state, ended = end(state, Reason.RELEASED)\n"
                "            actions += ended\n",
            ),
        ),
        regime="production",
    ),
    Mutant(
        name="a named heir is overtaken",
        rule="rule 9",
        edits=(edit(turns._lease_s, "return record.renew_ms / 1000 * 1.25", "return 0.0"),),
    ),
    Mutant(
        name="whoever releases stands again at once",
        rule="rule 9",
        edits=(edit(turns._lease_s, "return record.ttl_ms / 1000\n", "return 0.0\n"),),
    ),
    # --- pauses -----------------------------------------------------------------------------------------------------
    Mutant(
        name="a paused leader is followed when its lease is over",
        rule="rule 14",
        edits=(edit(turns._lease_s, "max(record.ttl_ms, record.paused_ms)", "record.ttl_ms"),),
        misfortune=HELD,
    ),
    Mutant(
        name="a pause that is shorter than the lease shortens the wait for it",
        rule="I8",
        edits=(edit(turns._lease_s, "max(record.ttl_ms, record.paused_ms)", "record.paused_ms"),),
        misfortune=HELD,
    ),
    Mutant(
        name="a pause never ends",
        rule="rule 14",
        edits=(
            edit(
                state.paused_s,
                "max(0.0, pause.for_s - max(0.0, elapsed_holder_s(pause.since, now)))",
                "pause.for_s",
            ),
        ),
        misfortune=HELD,
    ),
    Mutant(
        name="a takeover ends a pause",
        rule="rule 14",
        edits=(edit(election._take, "paused_s(state.pause, since)", "0.0"),),
        misfortune=HELD,
    ),
    Mutant(
        name="a paused leader believes for as long as it is paused",
        rule="I1",
        edits=(
            edit(
                election._won,
                "business.since, state.rules.belief_s)",
                "business.since, max(state.rules.belief_s, 0.0 if paused is None else paused.for_s))",
            ),
        ),
        misfortune=HELD,
    ),
    # --- publishing -------------------------------------------------------------------------------------------------
    Mutant(
        name="a value is acknowledged before the win",
        rule="rule 13",
        edits=(
            edit(
                election._lead,
                "waiting=()), [CreateEpoch(",
                "waiting=()), [*(SettlePublish(p.ticket, number) for p in state.waiting), CreateEpoch(",
            ),
        ),
    ),
    Mutant(
        name="a value that may be published is refused",
        rule="I10",
        edits=(edit(election._not_won, "known = not isinstance(event, ClaimUnknown)", "known = True"),),
    ),
    Mutant(
        name="what was published is lost under an epoch that cannot be read",
        rule="I2",
        edits=(edit(following.adopt, "seen.carried or state.published", "None"),),
    ),
    # --- what is noticed --------------------------------------------------------------------------------------------
    Mutant(
        name="a head that goes back is believed",
        rule="I7",
        edits=(
            edit(following.adopt, "if seen.epoch < head.epoch:", "if False:"),
            edit(
                chain.Chain.head,
                "elif start == known:\n",
                "elif start == known:\n            start = known = None\n        elif False:\n",
            ),
        ),
        misfortune=ROLLED_BACK,
    ),
    # --- retention --------------------------------------------------------------------------------------------------
    Mutant(
        name="retention deletes the head",
        rule="I4",
        edits=(
            edit(retention.plan, "number > head - settings.keep_epochs", "number > head"),
            edit(keeper.tidy, "if head - settings.keep_epochs - floor + 1 <", "if head - floor + 1 <"),
        ),
    ),
    Mutant(
        name="retention keeps the head alone",
        rule="rule 12",
        edits=(
            edit(retention.plan, "number > head - settings.keep_epochs", "number > head - 1"),
            edit(keeper.tidy, "if head - settings.keep_epochs - floor + 1 <", "if head - floor <"),
        ),
    ),
    Mutant(
        name="retention takes what is too young",
        rule="rule 12",
        edits=(edit(retention.plan, " or not age_s >= settings.keep_age_s", ""),),
        regime="production",
    ),
)
