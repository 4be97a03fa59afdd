"""The looking commands over a cluster that only pretends: what they show, and how they end."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from types import SimpleNamespace as Thing
from typing import Any

import msgspec
import pytest

import holocron
from holocron.errors import HolocronError
from holocron.records import Leader, Member
from tests.cli.conftest import Run


class LeaderView(msgspec.Struct, frozen=True, kw_only=True):
    """What `Cluster.leader` tells."""

    node: str
    name: str = "one"
    address: str = ""
    incarnation: int = 1
    epoch: int
    term: int
    ttl_s: float = 10.0
    cause: str = "first"
    written: str = "2026-01-01T00:00:00.000Z"
    value: bytes | None = None
    age_s: float | None = 1.5
    released: bool = False
    expired: bool | None = None
    paused_s: float = 0.0
    control: int = 0


class View(msgspec.Struct, frozen=True, kw_only=True):
    """What `Cluster.topology` tells."""

    epoch: int
    term: int
    leader: Leader
    members: tuple[Member, ...]


class Tenure(msgspec.Struct, frozen=True, kw_only=True):
    """What `Cluster.history` tells."""

    term: int
    leader: Leader
    cause: str
    first_epoch: int
    last_epoch: int
    began: str = "2026-01-01T00:00:00.000Z"
    ended: str | None = None
    released: bool = False


ALPHA = Leader(node="alpha", incarnation=2, session="s")


class Pretender:
    """A cluster that answers what it was told to and takes down what it was asked."""

    def __init__(self) -> None:
        self.answers: dict[str, list[Any]] = {}
        self.asked: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []

    def open(self, location: str, *args: Any, **more: Any) -> Pretender:
        self.asked.append(("open", (location, *args), more))
        return self

    def __enter__(self) -> Pretender:
        return self

    def __exit__(self, *_: object) -> None:
        self.asked.append(("close", (), {}))

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def answer(*args: Any, **more: Any) -> Any:
            self.asked.append((name, args, more))
            left = self.answers[name]
            # The last answer stands for all that are asked after it.
            one = left.pop(0) if len(left) > 1 else left[0]
            if isinstance(one, Exception):
                raise one
            return one

        return answer


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Pretender]:
    """The cluster that every command opens."""
    pretender = Pretender()
    monkeypatch.setattr(holocron, "Cluster", pretender, raising=False)
    monkeypatch.setenv("HOLOCRON_STORE", "memory://pretended")
    yield pretender
    # Whatever happened, what was opened was closed.
    assert [name for name, *_ in pretender.asked].count("open") == [n for n, *_ in pretender.asked].count("close")


def test_leader_show_tells_who_leads(cluster: Pretender, run: Run) -> None:
    """A leader that leads is shown with exit code 0, and its published value is text where it is text."""
    cluster.answers["leader"] = [LeaderView(node="alpha", epoch=9, term=3, value=b"http://10.0.0.7")]
    code, out, err = run("leader", "show")
    assert (code, err) == (0, "")
    rows = dict(line.split(maxsplit=1) for line in out.splitlines())
    assert (rows["leader"], rows["epoch"], rows["term"], rows["state"]) == ("alpha", "9", "3", "leading")
    assert rows["value"] == "http://10.0.0.7"
    code, out, _ = run("leader", "show", "-o", "json")
    assert (code, json.loads(out)["value"]) == (0, "http://10.0.0.7")
    assert cluster.asked[0][1][0] == "memory://pretended/leader"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (None, "never had one"),
        (LeaderView(node="alpha", epoch=9, term=3, released=True), "released"),
        (LeaderView(node="alpha", epoch=9, term=3, expired=True), "lease of alpha is over"),
    ],
)
def test_no_leader_is_exit_code_4(cluster: Pretender, run: Run, answer: LeaderView | None, words: str) -> None:
    """Whoever scripts on exit codes is not told 0 for a leader of the past; stdout still says what there is."""
    cluster.answers["leader"] = [answer]
    code, out, err = run("leader", "show", "-o", "json")
    assert code == 4
    assert words in err
    assert (json.loads(out) or {"node": None})["node"] == (answer and answer.node)


def test_step_down_waits_for_the_next_leader(cluster: Pretender, run: Run) -> None:
    """A hand-over is over when another term has begun (rule 9)."""
    before, after = LeaderView(node="alpha", epoch=9, term=3), LeaderView(node="beta", epoch=11, term=11)
    released = LeaderView(node="alpha", epoch=10, term=3, released=True)
    cluster.answers["leader"] = [before, before, released, after]
    cluster.answers["step_down"] = [1]
    code, out, err = run("leader", "step-down", "--to", "beta")
    assert (code, err) == (0, "")
    assert out.startswith("alpha handed over to beta in ")
    asked = next(more for name, _, more in cluster.asked if name == "step_down")
    assert asked["to"] == "beta"
    assert "@" in asked["by"]


def test_step_down_says_who_took_it_instead(cluster: Pretender, run: Run) -> None:
    """An heir that did not take it is not passed over in silence."""
    cluster.answers["leader"] = [
        LeaderView(node="alpha", epoch=9, term=3),
        LeaderView(node="gamma", epoch=11, term=11),
    ]
    cluster.answers["step_down"] = [1]
    code, out, _ = run("leader", "step-down", "--to", "beta")
    assert code == 0
    assert "not to beta" in out


def test_pause_waits_until_the_leader_has_said_so(cluster: Pretender, run: Run) -> None:
    """A pause is one once it stands in the lock file, with what was asked for dealt with (rule 14)."""
    before = LeaderView(node="alpha", epoch=9, term=3)
    handled = LeaderView(node="alpha", epoch=10, term=3, control=1)
    after = LeaderView(node="alpha", epoch=11, term=3, control=1, paused_s=599.0)
    cluster.answers["leader"] = [before, before, handled, after]
    cluster.answers["pause"] = [1]
    code, out, err = run("leader", "pause", "--for", "10m")
    assert (code, err) == (0, "")
    assert out == "leadership stays with alpha for 10m, unless it is handed to a named heir\n"
    _, given, more = next(one for one in cluster.asked if one[0] == "pause")
    assert (given, "@" in more["by"]) == ((600.0,), True)


@pytest.mark.parametrize("command", ["pause", "unpause"])
def test_a_pause_that_the_leader_does_not_confirm_is_75(cluster: Pretender, run: Run, command: str) -> None:
    """Nobody is told that it is so when it is not: an older leader passes over it, a new one was not asked."""
    cluster.answers["leader"] = [LeaderView(node="alpha", epoch=9, term=3)]
    cluster.answers[command] = [1]
    code, out, err = run("leader", command, "--wait", "300ms")
    assert (code, out) == (75, "")
    assert "its lock file did not say so within 300ms" in err
    cluster.answers["leader"] = [LeaderView(node="alpha", epoch=9, term=3), LeaderView(node="beta", epoch=10, term=10)]
    cluster.answers[command] = [2]
    code, out, err = run("leader", command)
    assert (code, out) == (75, "")
    assert "leads no more: ask again" in err


@pytest.mark.parametrize("command", ["pause", "unpause"])
def test_a_dead_leader_cannot_pause(cluster: Pretender, run: Run, command: str) -> None:
    """Exit code 4, and in a pause the way out of it (rule 14)."""
    cluster.answers["leader"] = [LeaderView(node="alpha", epoch=9, term=3, expired=True, paused_s=60.0)]
    code, out, err = run("leader", command)
    assert (code, out) == (4, "")
    assert "resume alpha, which may lead again at once, or wait until the pause is over" in err


def test_step_down_that_nobody_follows_is_75(cluster: Pretender, run: Run) -> None:
    """Timed out waiting is 75: asking again may help."""
    cluster.answers["leader"] = [LeaderView(node="alpha", epoch=9, term=3)]
    cluster.answers["step_down"] = [1]
    code, out, err = run("leader", "step-down", "--wait", "300ms")
    assert (code, out) == (75, "")
    assert "alpha was asked" in err
    code, out, err = run("leader", "step-down", "--wait", "0s")
    assert (code, out, err) == (0, "asked alpha to hand over\n", "")


def test_step_down_whose_leader_comes_back_is_75(cluster: Pretender, run: Run) -> None:
    """Where nobody else took over, nothing was handed over, and nobody is told so."""
    cluster.answers["leader"] = [
        LeaderView(node="alpha", epoch=9, term=3),
        LeaderView(node="alpha", epoch=11, term=11),
    ]
    cluster.answers["step_down"] = [1]
    code, out, err = run("leader", "step-down")
    assert (code, out) == (75, "")
    assert "alpha stepped down and leads again" in err


@pytest.mark.parametrize(
    "answer",
    [
        None,
        LeaderView(node="alpha", epoch=9, term=3, released=True),
        LeaderView(node="alpha", epoch=9, term=3, expired=True),
    ],
)
def test_step_down_without_a_leader_is_4(cluster: Pretender, run: Run, answer: LeaderView | None) -> None:
    """Nobody can be asked to hand over, and nothing is written."""
    cluster.answers["leader"] = [answer]
    assert run("leader", "step-down")[0] == 4
    assert "step_down" not in [name for name, *_ in cluster.asked]


def _view(epoch: int, *nodes: str) -> View:
    members = tuple(
        Member(node=node, incarnation=1, status="alive", rank=rank, labels={"zone": "a"})
        for rank, node in enumerate(nodes)
    )
    return View(epoch=epoch, term=3, leader=ALPHA, members=members)


def test_topology_marks_the_leader(cluster: Pretender, run: Run) -> None:
    """Each member has a row; one of them leads; the epoch is named."""
    cluster.answers["topology"] = [_view(9, "alpha", "beta")]
    code, out, _ = run("topology", "--epoch", "9")
    assert code == 0
    rows = [line.split() for line in out.splitlines()]
    assert [(row[0], row[3]) for row in rows[1:3]] == [("alpha", "leader"), ("beta", "follower")]
    assert "epoch 9, term 3" in out
    assert ("topology", (9,), {}) in cluster.asked


def test_an_epoch_that_never_was_is_an_error_and_an_empty_cluster_is_4(cluster: Pretender, run: Run) -> None:
    """Nothing there is told apart from nothing yet."""
    cluster.answers["topology"] = [None]
    assert run("topology", "--epoch", "9")[0] == 1
    assert run("topology")[0] == 4


def test_watch_shows_changes_and_only_changes(cluster: Pretender, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same view twice is one line; `--for` ends it."""
    monkeypatch.setattr("holocron_cli.show.LOOK_EVERY_S", 0.05)
    cluster.answers["topology"] = [None, _view(9, "alpha"), _view(9, "alpha"), _view(10, "alpha", "beta")]
    code, out, _ = run("topology", "--watch", "-o", "json", "--for", "1s")
    assert code == 0
    told = [json.loads(line) for line in out.splitlines()]
    assert [one and one["epoch"] for one in told] == [None, 9, 10]


def test_history_shows_tenures_and_epochs(cluster: Pretender, run: Run) -> None:
    """A line for each tenure, newest first, as the library gives them."""
    cluster.answers["history"] = [
        (
            Tenure(term=11, leader=ALPHA, cause="handover", first_epoch=11, last_epoch=14),
            Tenure(term=1, leader=ALPHA, cause="first", first_epoch=1, last_epoch=10, ended="2026", released=True),
        )
    ]
    code, out, _ = run("history", "--limit", "2")
    rows = [line.split() for line in out.splitlines()]
    assert code == 0
    assert [row[0] for row in rows] == ["TERM", "11", "1"]
    assert ("history", (2,), {}) in cluster.asked
    assert json.loads(run("history", "-o", "json")[1])[1]["released"] is True


def test_node_list_tells_the_stopped_from_the_late(cluster: Pretender, run: Run) -> None:
    """A node that said goodbye is stopped, whatever the leader's view still says of it."""
    row = {"name": "", "standing": True, "priority": 1, "incarnation": 1, "epoch": 3, "address": "", "labels": {}}
    alpha = Thing(node="alpha", status="alive", stopped=False, written="2026", unreadable=None, **row)
    beta = Thing(node="beta", status="late", stopped=True, written="2026", unreadable=None, **row)
    gamma = Thing(node="gamma", status="late", stopped=False, written="2026", unreadable=None, **row)
    cluster.answers["members"] = [(alpha, beta, gamma)]
    code, out, _ = run("node", "list")
    assert code == 0
    assert [line.split()[2] for line in out.splitlines()[1:]] == ["alive", "stopped", "late"]


def test_node_list_names_the_beacon_that_cannot_be_read(cluster: Pretender, run: Run) -> None:
    """One foreign object hides nobody: its node is in the list, and below it stands what is wrong (I12)."""
    row = {"name": "N", "standing": True, "priority": 1, "incarnation": 1, "address": "", "labels": {}}
    alpha = Thing(node="alpha", status="alive", stopped=False, epoch=3, written="2026", unreadable=None, **row)
    why = "members/beta.json is not a Beacon"
    beta = Thing(node="beta", status="late", stopped=False, epoch=None, written=None, unreadable=why, **row)
    cluster.answers["members"] = [(alpha, beta)]
    code, out, _ = run("node", "list")
    lines = out.splitlines()
    assert (code, len(lines)) == (0, 4)
    assert [line.split()[2] for line in lines[1:3]] == ["alive", "unreadable"]
    assert lines[3].strip() == why


@pytest.mark.parametrize(
    ("result", "words"),
    [
        (Thing(removed=12, first=1, last=12, floor=13), "took out 12 epochs, 1 to 12; the floor is 13"),
        (Thing(removed=0, first=None, last=None, floor=1), "nothing to take out; the floor is 1"),
    ],
)
def test_gc_tells_what_it_took_out(cluster: Pretender, run: Run, result: Thing, words: str) -> None:
    """What is gone from the chain is named."""
    cluster.answers["gc"] = [result]
    assert run("epoch", "gc")[:2] == (0, words + "\n")


def test_what_the_library_refuses_is_one_line(cluster: Pretender, run: Run) -> None:
    """`forget` of a living node is refused by the library, in its words."""
    cluster.answers["forget"] = [HolocronError("alpha is alive: stop it first, or say --force")]
    assert run("node", "forget", "alpha") == (1, "", "holocron: alpha is alive: stop it first, or say --force\n")
    cluster.answers["forget"] = [None]
    assert run("node", "forget", "alpha", "--force")[:2] == (0, "forgot alpha\n")
    assert ("forget", ("alpha",), {"force": True}) in cluster.asked
