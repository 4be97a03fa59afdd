"""Real processes on S3 over HTTP: killed, frozen and brought back (I1, I2, I9, I11; rules 2, 6, 11)."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import time
from collections.abc import Callable, Iterator

import pytest

from holocron import Cluster, open_store
from holocron.records import Epoch
from holocron.testing.server import SpawnedServer, spawn
from tests.runtime.made import begun
from tests.runtime.processes import LIVENESS_S, Line, Worker
from tests.runtime.worker import now_s

TTL_S = 2.0
# On a machine that has other things to do, too: what I11 allows, and this much.
SLACK_S = 15.0

Begin = Callable[..., Worker]


@pytest.fixture(scope="module")
def server() -> Iterator[SpawnedServer]:
    """A server in a process of its own, so that nothing done to the nodes is done to the store."""
    with spawn() as made:
        yield made


@pytest.fixture
def location(server: SpawnedServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """A cluster that has begun, and an environment that leads there and nowhere else."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            monkeypatch.delenv(name)
    for name, value in server.environment().items():
        monkeypatch.setenv(name, value)
    place = f"s3://holocron/p-{secrets.token_hex(6)}"
    with contextlib.closing(open_store(place)) as store:
        begun(store)
    return place


@pytest.fixture
def begin(server: SpawnedServer, location: str) -> Iterator[Begin]:
    """Begin a worker as a new node or as the next incarnation of one; all are gone at the end."""
    workers: list[Worker] = []

    def one(what: str = "start") -> Worker:
        worker = Worker(location, TTL_S, what, server.environment())
        workers.append(worker)
        return worker

    yield one
    for worker in workers:
        worker.end()


@pytest.fixture
def cluster(location: str) -> Iterator[Cluster]:
    """The same cluster, to look at."""
    with Cluster.open(location) as opened:
        yield opened


def chain(cluster: Cluster) -> dict[int, Epoch]:
    """Every lock file, by number."""
    found = {one.epoch: one for one in cluster.epochs(10_000)}
    assert list(found) == sorted(found, reverse=True)
    return found


def first_elected(workers: list[Worker]) -> tuple[Worker, Line]:
    """Whichever of them is elected first, waited for."""
    end = now_s() + LIVENESS_S
    while now_s() < end:
        for worker in workers:
            for line in worker.lines("elected"):
                return worker, line
        time.sleep(0.02)
    raise AssertionError("nobody was elected")


def check_acknowledged(cluster: Cluster, workers: list[Worker]) -> int:
    """Whatever was acknowledged stands in the epoch that was named, under the term that was held (I2); how much."""
    written = chain(cluster)
    count = 0
    for worker in workers:
        for line in worker.lines("published"):
            record = written[line["epoch"]]
            assert record.term == line["token"], line
            assert record.published is not None
            assert record.published.value == line["value"].encode(), line
            count += 1
        for line in worker.lines("refused"):
            if line["error"] != "OutcomeUnknown":
                values = [one.published.value for one in written.values() if one.published is not None]
                assert line["value"].encode() not in values, line
    terms = [written[number].term for number in sorted(written)]
    assert terms == sorted(terms), "a token went down"
    return count


def test_a_killed_leader_is_followed_and_comes_back_as_itself(begin: Begin, cluster: Cluster) -> None:
    """SIGKILL: a follower leads within a ttl and a little; the dead id lives on in a fresh process (I9, I11)."""
    first = begin()
    aboard = first.hear("aboard")
    elected = first.hear("elected")
    others = [begin(), begin()]
    ids = {aboard["id"], *(worker.hear("aboard")["id"] for worker in others)}
    first.hear("published", 3)
    while {member.node for member in cluster.members() if member.rank is not None} != ids:
        first.hear("published", len(first.lines("published")) + 5)
    first.signal(signal.SIGKILL)
    killed_s = now_s()
    assert first.popen.wait() == -signal.SIGKILL

    leader = cluster.leader()
    assert leader is not None
    last = leader.epoch
    second, taken = first_elected(others)
    took_s = taken["at_s"] - killed_s
    told = f"after SIGKILL a follower led in {took_s:.2f} s (ttl {TTL_S} s)"
    print(told)
    assert took_s < TTL_S + SLACK_S, told
    assert taken["valid"]
    assert taken["token"] > last >= elected["token"]

    again = begin(aboard["id"])
    back = again.hear("aboard")
    assert (back["id"], back["incarnation"], back["name"]) == (aboard["id"], 2, "worker")
    # The moment it is aboard, before it has looked at the chain.
    assert back["epoch"] >= elected["token"]
    assert set(back["members"]) <= ids
    assert aboard["id"] in back["members"]
    second.hear("published", 3)
    second.leave()
    second.hear("lost")
    for worker in others:
        if worker is not second:
            worker.end()
    third = again.hear("elected")
    assert third["token"] > taken["token"]
    again.hear("published", 3)
    again.leave()
    assert check_acknowledged(cluster, [first, *others, again]) >= 9


def test_a_frozen_leader_is_never_valid_again_and_its_writes_are_fenced(begin: Begin, cluster: Cluster) -> None:
    """SIGSTOP past the ttl, SIGCONT: no question is answered yes again, no publish is acknowledged (I1, I2)."""
    frozen = begin()
    frozen.hear("aboard")
    first = frozen.hear("elected")
    other = begin()
    other.hear("aboard")
    frozen.hear("published", 5)
    frozen.signal(signal.SIGSTOP)
    second = other.hear("elected")
    assert second["token"] > first["token"]
    other.hear("published", 3)
    frozen.signal(signal.SIGCONT)
    lost = frozen.hear("lost")
    assert lost["token"] == first["token"]
    assert lost["last_yes_s"] < second["at_s"], "a leader of the past believed beside the present one"
    assert (lost["again"], lost["remaining_s"]) == (False, 0.0)
    frozen.hear("deposed")
    refused = frozen.hear("refused")
    assert refused["token"] == first["token"]
    assert refused["error"] in {"OutcomeUnknown", "LeadershipLost", "NotLeader"}
    # It follows, and leads again under a new term when the other has gone.
    other.leave()
    third = frozen.hear("elected", 2)
    assert third["token"] > second["token"]
    assert lost["at_s"] < third["at_s"]
    frozen.hear("published", wanted=lambda line: bool(line["token"] == third["token"]))
    frozen.leave()
    sealed = min(one.epoch for one in chain(cluster).values() if one.term == second["token"])
    assert all(line["epoch"] < sealed for line in frozen.lines("published") if line["token"] == first["token"])
    assert check_acknowledged(cluster, [frozen, other]) >= 9


def test_a_frozen_leader_nobody_followed_begins_a_new_term(begin: Begin, cluster: Cluster) -> None:
    """Even where nobody else was there, a lease that lapsed in the freeze is over: what follows has a new token (6)."""
    alone = begin()
    first = alone.hear("elected")
    alone.hear("published", 2)
    alone.signal(signal.SIGSTOP)
    began_s = now_s()
    # Nothing happens while it is frozen: it is the time itself that is waited for.
    while (left_s := TTL_S - (now_s() - began_s)) > 0:
        time.sleep(left_s)
    alone.signal(signal.SIGCONT)
    lost = alone.hear("lost")
    assert lost["last_yes_s"] <= began_s + 0.5
    second = alone.hear("elected", 2)
    assert second["token"] > first["token"]
    alone.hear("published", wanted=lambda line: bool(line["token"] == second["token"]))
    alone.leave()
    assert check_acknowledged(cluster, [alone]) >= 3


def test_the_former_self_in_another_process_is_superseded(begin: Begin, cluster: Cluster) -> None:
    """A node that is resumed elsewhere while it still runs stops there; acknowledged writes stay (I9, rule 11)."""
    former = begin()
    node = former.hear("aboard")["id"]
    first = former.hear("elected")
    former.hear("published", 3)
    again = begin(node)
    assert again.hear("aboard")["incarnation"] == 2
    assert former.hear("deposed")["reason"] == "superseded"
    assert former.hear("stopping")["failure"] == "Superseded"
    assert former.popen.wait(45) == 0
    lost = former.hear("lost")
    second = again.hear("elected")
    assert second["token"] > first["token"]
    assert lost["last_yes_s"] < second["at_s"]
    again.hear("published", 3)
    again.leave()
    assert check_acknowledged(cluster, [former, again]) >= 6
