"""The lease as the application holds it: what it answers, and at which instant (rules 2, 4 and 6; I1)."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from holocron import Lease, Node, Reason
from holocron.errors import LeadershipLost, NotLeader
from holocron.events import Deposed, Elected
from holocron.protocol.messages import Tenure
from tests.runtime.clocks import SetClock, ShiftedClock
from tests.runtime.waiting import Heard

BELIEF_S = 8.0


@pytest.fixture
def clock() -> SetClock:
    return SetClock()


@pytest.fixture
def lapses() -> list[str]:
    """One entry for each time that a lease has said that it is over by the clock."""
    return []


@pytest.fixture
def lease(clock: SetClock, lapses: list[str]) -> Lease:
    """The lease of term 7, believed in for BELIEF_S from now."""
    return Lease(Tenure(7, 7, clock.now(), BELIEF_S), clock, "alpha", lambda: lapses.append("lapsed"))


def test_a_lease_is_valid_until_its_deadline_and_not_at_it(lease: Lease, clock: SetClock, lapses: list[str]) -> None:
    """Belief lasts `belief_s` from before the lease was asked for, and each answer is read off the clock (rule 2)."""
    assert lease.valid
    assert (lease.token, lease.term, lease.epoch, lease.reason) == (7, 7, 7, None)
    assert lease.remaining_s == BELIEF_S
    clock.run(BELIEF_S - 0.25)
    assert lease.valid
    assert lease.remaining_s == 0.25
    lease.check()
    assert not lease.lost.is_set()
    assert lapses == []
    clock.run(0.25)
    assert not lease.valid
    assert lapses == ["lapsed"]
    assert lease.remaining_s == 0.0
    assert lease.lost.is_set()
    assert lease.reason is Reason.EXPIRED


def test_check_says_which_term_was_lost_and_why(lease: Lease, clock: SetClock) -> None:
    """`LeadershipLost` names node, term and reason, and is a `NotLeader` for those who need no more."""
    clock.run(BELIEF_S)
    with pytest.raises(LeadershipLost, match=r"node alpha lost the leadership of term 7 \(expired\)") as lost:
        lease.check()
    assert lost.value.reason == Reason.EXPIRED
    assert isinstance(lost.value, NotLeader)


@pytest.mark.parametrize("passing", [SetClock.run, SetClock.suspend, SetClock.pause_machine])
def test_no_kind_of_sleep_is_slept_through(
    lease: Lease, clock: SetClock, passing: Callable[[SetClock, float], None]
) -> None:
    """A suspend stands still on one clock and a paused machine shows on the wall clock alone: all count (rule 4)."""
    passing(clock, BELIEF_S - 0.25)
    assert lease.valid
    assert lease.remaining_s == 0.25
    passing(clock, 0.25)
    assert not lease.valid


def test_a_wall_clock_set_back_lengthens_nothing(lease: Lease, clock: SetClock) -> None:
    """The holder takes the larger delta, so a step back of the wall clock gains it no time (rule 4)."""
    clock.step_wall(-3600.0)
    assert lease.remaining_s == BELIEF_S
    clock.run(BELIEF_S)
    assert not lease.valid


def test_a_clock_that_began_anew_proves_nothing(lease: Lease, clock: SetClock) -> None:
    """Clocks that all stand before the lease began (a restored snapshot) cannot vouch for it (rule 4)."""
    clock.run(-1.0)
    assert not lease.valid


def test_once_no_is_never_yes_again(lease: Lease, clock: SetClock) -> None:
    """Neither a clock that goes back nor a renewal that comes late brings a lapsed lease back (rule 6)."""
    clock.run(BELIEF_S)
    assert not lease.valid
    clock.run(-BELIEF_S)
    assert not lease.valid
    assert not lease.extend(Tenure(7, 8, clock.now(), BELIEF_S))
    assert not lease.valid
    assert lease.epoch == 7
    lease.end(Reason.RELEASED)
    assert lease.reason is Reason.EXPIRED


def test_a_renewal_in_time_goes_on_under_the_same_token(lease: Lease, clock: SetClock) -> None:
    """What a renewal changes is the epoch and the deadline, never the term (rule 6)."""
    clock.run(BELIEF_S - 1.0)
    assert lease.extend(Tenure(7, 8, clock.now(), BELIEF_S))
    clock.run(BELIEF_S - 1.0)
    assert lease.valid
    assert (lease.token, lease.epoch, lease.remaining_s) == (7, 8, 1.0)


def test_an_end_is_at_once_and_wakes_who_waits(lease: Lease, lapses: list[str]) -> None:
    """A lease that ends before its time is over the moment it is told so, and `lost` wakes those who wait on it."""
    woken = threading.Event()
    waiter = threading.Thread(target=lambda: woken.set() if lease.lost.wait(30) else None)
    waiter.start()
    lease.end(Reason.TAKEN_OVER)
    waiter.join(30)
    assert woken.is_set()
    assert not lease.valid
    assert lapses == []
    assert "taken over" in repr(lease)
    with pytest.raises(LeadershipLost, match="taken over"):
        lease.check()


def test_every_question_reads_the_clock(lease: Lease, clock: SetClock) -> None:
    """No answer is kept from one question to the next, as no timer can be trusted to have run (rule 4)."""
    before = clock.reads
    for _ in range(100):
        assert lease.valid
    assert clock.reads - before == 100


def test_a_question_waits_for_nobody(nodes: Callable[..., Node]) -> None:
    """With every lock of the node held by a thread that hangs, the lease still answers, and truly (section 11)."""
    node = nodes()
    with node.lead(timeout=30) as lease:
        answers: list[bool] = []

        def ask() -> None:
            while lease.valid:
                answers.append(True)
            answers.append(False)

        # The renewing thread itself is made to hang, with the lock on which everyone else in the node would wait.
        let_go, hanging = threading.Event(), threading.Event()

        def hang() -> None:
            with node._leadership._changed:
                hanging.set()
                let_go.wait(30)

        node._loop.post(hang)
        assert hanging.wait(30)
        asker = threading.Thread(target=ask)
        asker.start()
        asker.join(30)
        assert not asker.is_alive(), "a question waited for the hanging thread"
        assert answers[-2:] == [True, False]
        assert lease.reason is Reason.EXPIRED
        let_go.set()


def test_a_suspend_ends_the_term_of_a_node(nodes: Callable[..., Node]) -> None:
    """The first question after a suspend is answered no, the node says `Deposed`, and what follows is a new term."""
    clock, heard = ShiftedClock(), Heard()
    node = nodes(clock=clock)
    node.subscribe(heard)
    node.campaign()
    first = heard.wait(Elected).lease
    clock.suspend(3600.0)
    assert not first.valid
    assert heard.wait(Deposed).reason is Reason.EXPIRED
    second = heard.wait(Elected, 2).lease
    assert second.valid
    assert second.token > first.token
    assert not first.valid


FORK = """
import json, os, sys, time
from pathlib import Path
import holocron

with holocron.Node.start(Path(sys.argv[1]).as_uri(), settings=holocron.Settings(ttl_s=2.0, renew_every_s=0.25)) as node:
    with node.lead(timeout=30) as lease:
        assert lease.valid
        into, out = os.pipe()
        child = os.fork()
        if child == 0:
            # A fork that leaves by the end of both `with` statements, as one does that knows nothing of them.
            told = {"valid": lease.valid, "remaining_s": lease.remaining_s, "role": node.role, "term": node.term}
            told["lost"] = lease.lost.wait(10)
            try:
                lease.check()
            except holocron.LeadershipLost:
                told["check"] = "lost"
            try:
                node.publish(b"from a fork")
            except holocron.NodeStopped:
                told["publish"] = "stopped"
            began = time.monotonic()
        else:
            os.close(out)
            before = lease.epoch
            told = json.loads(os.fdopen(into).read())
            os.waitpid(child, 0)
            while lease.valid and lease.epoch < before + 4:
                time.sleep(0.01)
            told["parent"] = lease.valid
            told["token"] = lease.token
if child == 0:
    told["left_s"] = time.monotonic() - began
    os.write(out, json.dumps(told).encode())
    os._exit(0)
print(json.dumps(told))
"""


def test_a_fork_never_holds_the_lease(tmp_path: Path) -> None:
    """A forked child is no leader, writes nothing, and leaves without waiting; its parent leads on (section 7)."""
    done = subprocess.run(
        [sys.executable, "-c", FORK, str(tmp_path)], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["valid"], told["remaining_s"], told["lost"], told["check"]) == (False, 0.0, True, "lost")
    assert (told["role"], told["term"], told["publish"]) == ("stopped", None, "stopped")
    assert told["left_s"] < 0.5, "the child waited for threads that it does not have"
    assert told["parent"] is True
    epochs = [json.loads(path.read_bytes()) for path in sorted(tmp_path.rglob("epochs/*.json"))]
    assert {(one["term"], one["leader"]["session"]) for one in epochs} == {(1, epochs[0]["leader"]["session"])}
    assert [one["kind"] for one in epochs].count("release") == 1
    assert epochs[-1]["kind"] == "release"


def test_the_lease_outlives_a_busy_application(nodes: Callable[..., Node]) -> None:
    """A thread that never gives way cannot starve the renewals, which have threads of their own (section 7)."""
    node = nodes()
    with node.lead(timeout=30) as lease:
        goal, end = lease.epoch + 12, time.monotonic() + 30
        while lease.epoch < goal and time.monotonic() < end:
            pass
        assert lease.epoch >= goal, "no renewals came through"
        assert lease.valid
        assert lease.token == lease.term == 1
