"""Hints over real UDP: who is told of what, and that nothing but timing comes of it (rule 16).

Where a hand-over is to be explained by a hint alone, a round lasts minutes: without one, nobody would look for longer
than these tests wait.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from holocron import Cluster, Node, Runtime, Settings, aio
from holocron.errors import SettingsError
from holocron.layout import EPOCHS
from holocron.protocol.hinting import MOST_WASTED
from holocron.records import Member
from holocron.runtime.hearing import Ear, listen
from holocron.runtime.hinter import tell_heirs
from holocron.runtime.hinting import Hint, Kind, datagram, send, topic, understood
from holocron.store.memory import MemoryStore
from tests.runtime import made
from tests.runtime.conftest import SETTINGS
from tests.runtime.made import keys
from tests.runtime.stores import Meddler
from tests.runtime.waiting import LIVENESS_S, until

Start = Callable[..., Node]

# Polls are 50 s apart at the least.
SLOW = Settings(ttl_s=600.0, renew_every_s=200.0, heartbeat_every_s=0.2)
HERE = "127.0.0.1:0"


def address_of(node: Node) -> str:
    """Where `node` listens."""
    assert node._session.ear is not None
    return node._session.ear.address


def knows(leader: Node, *nodes: Node) -> None:
    """Wait until the leader's lock file has all of `nodes` standing, and where they listen."""

    def known() -> bool:
        leader.publish(b"again")
        rows = {row.node: row for row in leader.members()}
        return all(
            node.id in rows and rows[node.id].standing and rows[node.id].incarnation == node.incarnation
            for node in nodes
        )

    until(known, "the leader knows its heirs")


def led_by(nodes: Start, *, followers: int, **more: object) -> tuple[Node, list[Node]]:
    """A leader and followers that stand, all of which listen, on a store where a round lasts minutes."""
    leader = nodes(**{"settings": SLOW, "hints": HERE, **more})
    leader.campaign()
    until(lambda: leader.term is not None, "it leads")
    others = [nodes(**{"settings": SLOW, "hints": HERE, **more}) for _ in range(followers)]
    for node in others:
        node.campaign()
    knows(leader, *others)
    return leader, others


# --- who is told ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["stop", "step_down"])
def test_the_heir_follows_a_release_at_once(nodes: Start, how: str) -> None:
    """The heir is told and reads; nothing else would have made it look within this test (rules 9, 16)."""
    leader, (heir,) = led_by(nodes, followers=1)
    if how == "stop":
        leader.stop()
    else:
        leader.step_down()
    until(lambda: heir.term is not None, "the heir leads")


def test_everyone_learns_of_the_next_leader_at_once(nodes: Start) -> None:
    """Whoever leads now tells all others, the one before it included, and they follow (rule 16)."""
    leader, others = led_by(nodes, followers=3)
    leader.step_down()
    until(lambda: any(node.term is not None for node in others), "another leads")
    successor = next(node for node in others if node.term is not None).id

    def follows(node: Node) -> bool:
        leader = node.leader()
        return leader is not None and leader.node == successor

    for node in (leader, *others):
        until(partial(follows, node), "and all follow it")


def test_a_named_heir_is_told_first(nodes: Start) -> None:
    """A planned hand-over goes to whom it was planned for, whatever the order of the others (rules 9, 16)."""
    leader, others = led_by(nodes, followers=3)
    leader.step_down(to=others[-1].id)
    until(lambda: others[-1].term is not None, "the named heir leads")


def test_a_later_heir_follows_where_the_first_is_gone(nodes: Start) -> None:
    """The next heirs are told a little later, and follow in their turn where the first one does not (rules 8, 16)."""
    leader, (first, second) = led_by(nodes, followers=2)
    first._loop.close()
    first._gone.set()
    assert first._session.ear is not None
    first._session.ear.close()
    leader.step_down()
    until(lambda: second.term is not None, "the second heir leads")


def test_a_published_value_is_seen_at_once(nodes: Start) -> None:
    """Followers are told of each value, and read it (rule 16)."""
    leader, others = led_by(nodes, followers=3)

    def sees(node: Node, value: bytes) -> bool:
        published = node.published()
        return published is not None and published.value == value

    for value in (b"one", b"two", b"three"):
        leader.publish(value)
        for node in others:
            until(partial(sees, node, value), "they see it")


def test_a_request_to_step_down_is_read_at_once(nodes: Start, place: str) -> None:
    """The operator's request tells the leader that it is there; it would have come to look minutes later (rule 16)."""
    leader, (heir,) = led_by(nodes, followers=1)
    with Cluster.open(place) as cluster:
        cluster.step_down(by="test")
    until(lambda: heir.term is not None, "it has handed over")
    assert leader.term is None


def test_asyncio_nodes_and_nodes_of_one_runtime_hint_too(place: str) -> None:
    """`hints` is taken wherever a node is made, and nodes of one process may share an address."""

    async def hand_over() -> None:
        async with aio.Node.start(place, settings=SLOW, hints=HERE) as leader:
            await leader.campaign()
            while leader.term is None:
                await asyncio.sleep(0.01)
            with Runtime(place, settings=SLOW) as runtime:
                others = runtime.start_many(5, hints=HERE)
                for node in others:
                    node.campaign()
                while sum(row.standing for row in leader.members()) < 6:
                    await leader.publish(b"again")
                await leader.step_down()
                while not any(node.term for node in others):
                    await asyncio.sleep(0.01)

    asyncio.run(asyncio.wait_for(hand_over(), LIVENESS_S))


LEADER = """
import sys, time
from holocron import Node, Settings
SLOW = Settings(ttl_s=600.0, renew_every_s=200.0, heartbeat_every_s=0.2)
node = Node.start(sys.argv[1], hints="127.0.0.1:0", settings=SLOW)
node.campaign()
while True:
    if node.term is not None:
        node.publish(b"again")
        print(sum(row.standing for row in node.members()), flush=True)
    time.sleep(0.05)
"""


def test_the_heir_of_a_killed_process_is_told_by_its_guardian(nodes: Start, tmp_path: Path) -> None:
    """The guardian writes the release and says so; the heir would have looked minutes later (rules 16, 15)."""
    where = f"file://{tmp_path}/c"
    with subprocess.Popen([sys.executable, "-c", LEADER, where], stdout=subprocess.PIPE, text=True) as leader:
        try:
            assert leader.stdout is not None
            assert leader.stdout.readline().strip() in {"0", "1"}
            heir = nodes(location=where, settings=SLOW, hints=HERE)
            heir.campaign()
            assert any(line.strip() == "2" for line in leader.stdout), "the leader knows its heir"
        finally:
            leader.kill()
    until(lambda: heir.term is not None, "the heir leads")


def test_a_guardian_tells_the_heirs_of_the_dead_each_by_its_place() -> None:
    """The first heir is told that it may follow, the next two that there is news, nobody else (rules 8, 16)."""
    sent: list[tuple[tuple[str, ...], int, Kind, str]] = []

    def note(addresses: Iterable[str], cluster: str, number: int, *, kind: Kind = "news", node: str = "") -> int:
        assert cluster == made.UUID
        sent.append((tuple(addresses), number, kind, node))
        return len(sent[-1][0])

    def listening(node: str, rank: int, **more: object) -> Member:
        return replace(made.row(node, rank), hints=f"10.0.0.{rank}:7400", **{"standing": True, **more})

    heirs = [listening(node, rank) for rank, node in enumerate("bcde", start=2)]
    view = (listening("alpha", 1), listening("gone", 9, status="gone"), listening("aside", 8, standing=False), *heirs)
    release = replace(made.epoch(4, topology=view), kind="release")
    assert tell_heirs(release, note) == 3
    assert sent == [
        (("10.0.0.2:7400",), 4, "news", "b"),
        (("10.0.0.3:7400",), 4, "news", "c"),
        (("10.0.0.4:7400",), 4, "news", "d"),
    ]
    sent.clear()
    # Whoever listens nowhere has no part in it; a leader that did not listen sent none, and neither does its guardian.
    deaf = replace(release, topology=(view[0], replace(made.row("b", 2), standing=True), *heirs[1:]))
    assert tell_heirs(deaf, note) == 2
    assert sent[0] == ((), 4, "news", "b")
    sent.clear()
    assert tell_heirs(replace(release, topology=(made.row("alpha"), *heirs)), note) == 0
    assert tell_heirs(replace(release, topology=tuple(heirs)), note) == 0
    assert sent == []


def test_hints_are_counted(nodes: Start) -> None:
    """What was sent, heard and dropped is told in the node's statistics."""
    leader, (heir,) = led_by(nodes, followers=1, hints="127.0.0.1:0")
    leader.step_down()
    until(lambda: heir.term is not None, "the heir leads")
    until(lambda: heir.statistics().hints["sent"] >= 1, "it has told the others")
    assert leader.statistics().hints["sent"] >= 2
    assert heir.statistics().hints["heard"] >= 1
    before = heir.statistics().hints["dropped"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        stranger.sendto(b"what?", _where(address_of(heir)))
    until(lambda: heir.statistics().hints["dropped"] == before + 1, "noise is counted")


def test_nobody_listens_who_was_not_told_to(nodes: Start) -> None:
    """Without an address no socket is opened, nothing is sent, and the records have no word of hints."""
    leader, heir = nodes(), nodes()
    leader.campaign()
    heir.campaign()
    until(lambda: any(len(node.members()) == 2 for node in (leader, heir)), "they know each other")
    for node in (leader, heir):
        assert node._session.ear is None
        assert node.statistics().hints == {"sent": 0, "heard": 0, "dropped": 0}
        assert not any(row.hints for row in node.members())


def test_the_same_node_on_other_compute_listens_elsewhere(nodes: Start) -> None:
    """Hints go to the process that is the node now; what still listens under its id hears nothing of use (rule 11)."""
    leader, (former,) = led_by(nodes, followers=1, hints=f"127.0.0.1:{_free()}")
    elsewhere = f"127.0.0.1:{_free()}"
    present = nodes(former.id, settings=SLOW, hints=elsewhere)
    present.campaign()
    knows(leader, present)
    until(lambda: any(row.hints == elsewhere for row in leader.members()), "the leader knows where it listens")
    # Whoever is told by mistake reads, and finds that it is superseded or nothing new.
    send([address_of(former)], leader.cluster, 10**6, node=former.id)
    leader.step_down()
    until(lambda: present.term is not None, "the node's present self leads")
    assert former.term is None


# --- what is not so -------------------------------------------------------------------------------------------------


def test_lost_hints_change_nothing_but_timing(nodes: Start) -> None:
    """Where every hint is lost the heir finds the release at its next poll, as without any (rules 10, 16)."""

    class Mute(Ear):
        @staticmethod
        def send(addresses: Iterable[str], cluster: str, number: int, *, kind: Kind = "news", node: str = "") -> int:
            return len(list(addresses))

    def mute() -> Ear:
        ear = listen(HERE)
        ear.__class__ = Mute
        return ear

    leader = nodes(hints=mute())
    leader.campaign()
    until(lambda: leader.term is not None, "it leads")
    heir = nodes(hints=mute())
    heir.campaign()
    until(lambda: len([row for row in leader.members() if row.standing]) == 2, "the leader knows its heir")
    leader.step_down()
    until(lambda: heir.term is not None, "the heir leads")
    assert heir.statistics().hints["heard"] == 0


@pytest.fixture
def flood() -> Iterator[Callable[[str, str], None]]:
    """Send to an address, as fast as one thread can, forged hints for a cluster and noise, until the test is over."""
    over = threading.Event()
    threads: list[threading.Thread] = []

    def begin(address: str, cluster: str) -> None:
        def send_on() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
                stranger.setblocking(False)
                forged = [datagram(Hint(topic(cluster), kind, 2**53 - 1)) for kind in ("news", "control")]
                while not over.is_set():
                    for data in (*forged, b"", b"\0" * 29, secrets.token_bytes(29), b"x" * 1400):
                        try:
                            stranger.sendto(data, _where(address))
                        except BlockingIOError:
                            over.wait(0.001)
                    # Thousands in a second are a flood, and leave something of a small machine for those who suffer it.
                    over.wait(0.001)

        threads.append(threading.Thread(target=send_on, daemon=True))
        threads[-1].start()

    yield begin
    over.set()
    for thread in threads:
        thread.join(LIVENESS_S)


def test_a_flood_makes_a_follower_read_a_bounded_number_of_times(
    nodes: Start, place: str, store: MemoryStore, flood: Callable[[str, str], None]
) -> None:
    """Two reads for nothing in a round of minutes, and no more, whatever a stranger sends (rule 16, I14)."""
    journal = Meddler(store)
    leader = nodes(settings=SLOW)
    leader.campaign()
    until(lambda: leader.term is not None, "it leads")
    follower = nodes(location=journal, settings=SLOW, hints=HERE)
    follower.campaign()
    until(lambda: follower.epoch == leader.epoch, "it follows")
    journal.forget()
    flood(address_of(follower), follower.cluster)
    until(lambda: follower.statistics().hints["heard"] >= 100, "it heard a hundred")
    until(lambda: follower.statistics().hints["dropped"] >= 100, "and dropped a hundred")
    reads = journal.trips("GET", EPOCHS) + journal.trips("LIST", EPOCHS)
    assert len(journal.trips("GET", EPOCHS)) <= MOST_WASTED, reads
    assert len(journal.trips("LIST", EPOCHS)) <= MOST_WASTED, reads
    assert len(reads) >= 1, "forged hints were read for, as long as there was reason"
    assert follower.role == "follower"
    assert follower.epoch == leader.epoch


def test_a_flood_does_not_starve_a_leader(nodes: Start, flood: Callable[[str, str], None]) -> None:
    """A leader renews in time while strangers send what they like; it reads control no more than it may (rule 16)."""
    leader = nodes(hints=HERE, settings=Settings(ttl_s=10.0, renew_every_s=0.5, heartbeat_every_s=0.5))
    with leader.lead(timeout=LIVENESS_S) as lease:
        before, first = leader.requests, lease.epoch
        flood(address_of(leader), leader.cluster)
        until(lambda: lease.epoch >= first + 4, "four rounds")
        assert lease.valid
        rounds = lease.epoch - first + 1
        # The floor and the request of each round, and two more looks for a request.
        assert leader.requests["GET"] - before["GET"] <= (2 + MOST_WASTED) * (rounds + 1)
    assert leader.statistics().losses["expired"] == 0


def test_what_is_no_hint_is_not_understood() -> None:
    """Only what has exactly the form of a hint is one (I12)."""
    good = Hint(topic("c", "n"), "news", 7)
    data = datagram(good)
    assert understood(data) == good
    spoilt = [data[:-1], data + b"\0", b"", b"x" * len(data), b"hol2" + data[4:], data[:4] + b"\3" + data[5:]]
    spoilt += [data[:-8] + b"\0" * 8, data[:-8] + b"\xff" * 8]
    assert [understood(one) for one in spoilt] == [None] * len(spoilt)
    for size in range(64):
        understood(os.urandom(size))


@pytest.mark.parametrize(
    "address",
    [
        *("", ":", "1.2.3.4", "1.2.3.4:0", "1.2.3.4:65536", "a-host:80", "0.0.0.0:80", "239.1.1.1:80", "[::]:80"),
        *("255.255.255.255:80", "[ff02::1]:80", "[::1:80", "::1:80", "1.2.3.4:x", "1.2.3.4\0:80", "[fe80::1%lo]:80"),
        "x" * 5000,
    ],
)
def test_a_hint_goes_to_one_machine_by_its_number_or_nowhere(address: str) -> None:
    """A beacon may say anything: no name is looked up, nothing is sent to many at once, and nothing is raised (I12)."""
    assert send([address], "c", 1) == 0


def test_sending_to_nobody_is_no_error() -> None:
    """Nobody listens at an address any more: the datagram is gone, and so is the matter."""
    gone = f"127.0.0.1:{_free()}"
    for _ in range(3):
        send([gone, gone, "[::1]:9"], "c", 1)


# --- where a node listens -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("hints", "why"),
    [
        ("nonsense", "HOST:PORT"),
        ("127.0.0.1", "HOST:PORT"),
        ("127.0.0.1:70000", "up to 65535"),
        ("127.0.0.1:-1", "HOST:PORT"),
        ("::1:80", "HOST:PORT"),
        ("0.0.0.0:0", "name this machine's own"),
        ("[::]:0", "name this machine's own"),
        ("239.1.1.1:7000", "name this machine's own"),
        ("no.such.host.invalid:7000", "there is no host"),
        ("192.0.2.1:7000", "cannot listen there"),
    ],
)
def test_an_address_that_is_no_good_is_refused_before_anything_is_written(
    place: str, store: MemoryStore, hints: str, why: str
) -> None:
    """Nobody could listen there, or nobody could be told of it: one clear line, and nothing in the store."""
    with pytest.raises(SettingsError, match=why) as raised:
        Node.start(place, settings=SETTINGS, hints=hints)
    assert "\n" not in str(raised.value)
    assert keys(store, "") == []


def test_an_address_that_another_process_has_is_refused(place: str, store: MemoryStore) -> None:
    """A port that is taken is named in the error, and nothing was written."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
        other.bind(("127.0.0.1", 0))
        taken = f"127.0.0.1:{other.getsockname()[1]}"
        with pytest.raises(SettingsError, match=taken):
            Node.start(place, settings=SETTINGS, hints=taken)
    assert keys(store, "") == []


def test_nodes_of_one_process_share_an_address_and_one_thread(nodes: Start) -> None:
    """However many listen, there is one socket for an address; each hears what is for it; the last ends it all."""
    place = f"127.0.0.1:{_free()}"
    heard: list[str] = []
    ears = [listen(place) for _ in range(20)]
    for number, ear in enumerate(ears):
        ear.hear("c", f"n{number}", lambda kind, epoch, delay_s, number=number: heard.append(f"n{number}"))  # type: ignore[misc]  # bound now
    assert {ear.address for ear in ears} == {place}
    assert _threads() == 1
    send([place], "c", 1, node="n7")
    until(lambda: heard == ["n7"], "one was meant, and one heard")
    send([place], "c", 2)
    until(lambda: len(heard) == 21, "all were meant")
    send([place], "another", 2)
    until(lambda: ears[0].dropped == 1, "none was meant")
    for ear in ears:
        ear.close()
        ear.close()
    until(lambda: _threads() == 0, "the thread has ended")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
        free.bind(_where(place))


def test_those_who_share_an_address_do_not_all_look_at_once() -> None:
    """A hint to all is passed on in waves, so that a renewal finds a thread among their reads (rule 16)."""
    delays: list[float] = []
    ears = [listen(HERE) for _ in range(40)]
    for number, ear in enumerate(ears):
        ear.hear("c", f"n{number}", lambda kind, epoch, delay_s: delays.append(delay_s))
    send([ears[0].address], "c", 1)
    until(lambda: len(delays) == 40, "all heard")
    assert max(delays) > 0
    assert max(delays.count(delay) for delay in delays) <= 16
    for ear in ears:
        ear.close()


def test_a_fork_neither_hears_nor_disturbs() -> None:
    """A child has no share in its parent's sockets: closing them there leaves the parent's as they are."""
    heard: list[int] = []
    ear = listen(HERE)
    ear.hear("c", "n", lambda kind, epoch, delay_s: heard.append(epoch))
    child = os.fork()
    if child == 0:
        try:
            ear.close()
            own = listen(HERE)
            own.close()
            os._exit(0 if own.address != ear.address else 2)
        finally:
            os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    send([ear.address], "c", 5)
    until(lambda: heard == [5], "the parent still hears")
    ear.close()


def _threads() -> int:
    return len([thread for thread in threading.enumerate() if thread.name == "holocron-hints"])


def _free() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _where(address: str) -> tuple[str, int]:
    host, _, port = address.rpartition(":")
    return host, int(port)
