"""What running a cluster costs, counted on the S3 store against a server over HTTP (design, section 10; I14).

Every request of every node goes through a journal in front of its own store, and the server's own count has to agree
with all of them together, so nothing is sent that is not told. Each test prints what it measured (`pytest -rP`).
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Iterator

import pytest

from holocron import Node, Settings, StoreOptions, open_store
from holocron.events import Elected
from holocron.layout import CONTROL, EPOCH_FLOOR, EPOCHS, MEMBERS, member_key, numbered
from holocron.runtime import session
from holocron.store.base import Store
from holocron.testing.server import CREDENTIALS, Server, serve
from tests.runtime.made import begun
from tests.runtime.stores import Meddler, Trip
from tests.runtime.waiting import LIVENESS_S, Heard, until

Open = Callable[..., Meddler]
Start = Callable[..., Node]

# What is measured is a healthy leader, however busy the machine: a long lease, renewed often. Heartbeats are so far
# apart that none falls into what is counted.
QUIET = Settings(ttl_s=10.0, renew_every_s=0.4, heartbeat_every_s=600.0)


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with serve() as made:
        yield made


@pytest.fixture(autouse=True)
def credentials(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody's own AWS settings count."""
    for name in list(os.environ):
        if name.startswith("AWS_") or name.lower() in {"http_proxy", "https_proxy", "all_proxy"}:
            monkeypatch.delenv(name)
    for name, value in CREDENTIALS.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def location(server: Server) -> str:
    """A cluster that has begun, on a store that has shown what it promises: what comes once is not what is counted."""
    place = f"s3://holocron/b-{secrets.token_hex(6)}"
    store = open_store(place, StoreOptions(endpoint_url=server.url))
    begun(store)
    store.close()
    return place


@pytest.fixture
def journal(server: Server, location: str) -> Iterator[Open]:
    """The cluster's store, or another place, behind a journal of its own."""
    opened: dict[str, Store] = {}

    def make(place: str = location, delay_s: float = 0.0) -> Meddler:
        if place not in opened:
            opened[place] = open_store(place, StoreOptions(endpoint_url=server.url))
        return Meddler(opened[place], delay_s)

    yield make
    for store in opened.values():
        store.close()


def requests(journals: list[Meddler]) -> dict[str, int]:
    """What all of them sent, by verb."""
    counts: dict[str, int] = {}
    for one in journals:
        for trip in one.trips():
            counts[trip.verb] = counts.get(trip.verb, 0) + 1
    return counts


def depth(trips: list[Trip]) -> int:
    """The most requests that were made one after another, each begun when the one before had been answered."""
    rounds, end = 0, float("-inf")
    for trip in sorted(trips, key=lambda one: one.ended):
        if trip.began >= end:
            rounds, end = rounds + 1, trip.ended
    return rounds


def test_a_round_of_the_leader_is_one_put_and_two_gets(server: Server, journal: Open, nodes: Start) -> None:
    """A renewal, the floor, the next control request, and nothing else (section 10)."""
    store = journal()
    node = nodes(location=store, settings=QUIET)
    with node.lead(timeout=LIVENESS_S) as lease:
        until(lambda: lease.epoch >= 4, "what comes once has come")
        store.forget()
        before = server.requests()
        first = lease.epoch
        until(lambda: lease.epoch >= first + 10, "ten rounds")
        after = server.requests()
        trips = store.trips()
        rounds = lease.epoch - first
    counts = {
        "PUT of an epoch": len([trip for trip in trips if trip.verb == "PUT" and trip.key.startswith(EPOCHS)]),
        "GET of the floor": len([trip for trip in trips if (trip.verb, trip.key) == ("GET", EPOCH_FLOOR)]),
        "GET of a request": len([trip for trip in trips if trip.verb == "GET" and trip.key.startswith(CONTROL)]),
    }
    told = f"leader, {rounds} rounds: {counts}, {len(trips)} requests in all, {len(trips) / rounds:.2f} per round"
    print(told)
    assert sum(counts.values()) == len(trips), told
    # One round may be under way at either end of the count.
    assert all(abs(count - rounds) <= 1 for count in counts.values()), told
    assert abs(sum(after.values()) - sum(before.values()) - len(trips)) <= 2, told


def test_a_follower_of_a_healthy_leader_reads_at_most_one_and_a_half_times_a_round(journal: Open, nodes: Start) -> None:
    """It polls in phase: a little early each time, so that it misses now and then and knows it is up to date (10)."""
    stores = [journal() for _ in range(4)]
    leader, *followers = [nodes(location=store, settings=QUIET) for store in stores]
    with leader.lead(timeout=LIVENESS_S) as lease:
        # The beat is found within some rounds of joining.
        first = lease.epoch
        until(lambda: lease.epoch >= first + 4, "the followers have found the beat")
        for store in stores[1:]:
            store.forget()
        first = lease.epoch
        until(lambda: lease.epoch >= first + 16, "sixteen rounds")
        rounds = lease.epoch - first
        gets = [len(store.trips("GET")) for store in stores[1:]]
        others = [trip for store in stores[1:] for trip in store.trips() if trip.verb != "GET"]
        assert all(node.epoch >= lease.epoch - 1 for node in followers)
    told = f"followers, {rounds} rounds: {gets} GETs, {', '.join(f'{count / rounds:.2f}' for count in gets)} per round"
    print(told)
    assert others == [], told
    assert all(count <= 1.5 * rounds for count in gets), told


def test_a_heartbeat_is_one_put_and_the_leader_lists_once_and_reads_who_is_new(journal: Open, nodes: Start) -> None:
    """Per interval: one PUT for each node; for the leader one LIST, and a GET for each beacon that is new (10)."""
    settings = Settings(ttl_s=10.0, renew_every_s=0.5, heartbeat_every_s=0.5)
    stores = [journal() for _ in range(3)]
    leader, *others = [nodes(location=store, settings=settings) for store in stores]
    with leader.lead(timeout=LIVENESS_S):
        until(lambda: len(leader.members()) == 3, "the leader knows everyone")
        for store in stores:
            store.forget()
        until(lambda: len(stores[0].trips("LIST", MEMBERS)) >= 6, "six intervals")
        beats = [len(store.trips("PUT", MEMBERS)) for store in stores]
        lists = [len(store.trips("LIST")) for store in stores]
        gets = [len(store.trips("GET", MEMBERS)) for store in stores]
        told = f"heartbeats, {lists[0]} intervals: PUTs {beats}, LISTs {lists}, GETs of beacons {gets}"
        print(told)
        assert lists[1:] == [0, 0], told
        assert gets == [0, 0, 0], told
        assert all(abs(count - lists[0]) <= 1 for count in beats), told
        # Who is new, or of a new incarnation, is read once.
        third = nodes(location=journal(), settings=settings)
        until(lambda: len(leader.members()) == 4, "the leader knows who is new")
        others[0].stop()
        nodes(others[0].id, location=journal(), settings=settings)
        until(lambda: any(m.node == others[0].id and m.incarnation == 2 for m in leader.members()), "and who is back")
        read = [trip.key for trip in stores[0].trips("GET", MEMBERS)]
    told = f"a node that is new: {read.count(member_key(third.id))} GET; one that stopped and came back: "
    told += f"{read.count(member_key(others[0].id))} GET (goodbye and return, seen together or one by one)"
    print(told)
    assert read.count(member_key(third.id)) == 1, told
    assert 1 <= read.count(member_key(others[0].id)) <= 2, told
    assert len(read) == read.count(member_key(third.id)) + read.count(member_key(others[0].id)), told


@pytest.mark.parametrize("how", ["crash", "release"])
def test_a_failover_is_one_list_one_put_and_one_get_however_many_follow(journal: Open, nodes: Start, how: str) -> None:
    """The heirs know their order: one looks, claims and reads the floor, the others only see it happen (rule 8)."""
    # The stagger is wider than what a busy machine may hold up the first heir: contention is not what is measured.
    settings = Settings(ttl_s=3.0, renew_every_s=0.5, heartbeat_every_s=0.5, stagger_s=1.0)
    stores = [journal() for _ in range(9)]
    leader, *followers = [nodes(location=store, settings=settings) for store in stores]
    leader.campaign()
    until(lambda: leader.role == "leader", "it leads")
    for node in followers:
        node.campaign()
    until(lambda: sum(member.standing for member in leader.members()) == 9, "the leader knows all of its heirs")
    until(lambda: all(sum(m.standing for m in node.members()) == 9 for node in followers), "and they know it too")
    for store in stores:
        store.forget()
    if how == "crash":
        leader._loop.close()
        leader._gone.set()
    else:
        leader.stop()
    until(lambda: any(node.term is not None for node in followers), "another leads")
    term = max(node.term or 0 for node in followers)
    until(lambda: all(node.epoch >= term for node in followers), "and all follow")
    trips = [trip for store in stores[1:] for trip in store.trips()]
    claims = [trip for trip in trips if trip.verb == "PUT" and trip.key == numbered(EPOCHS, term)]
    lists = [trip for trip in trips if trip.verb == "LIST" and trip.key.startswith(EPOCHS)]
    renewals = [trip for trip in trips if trip.verb == "PUT" and trip.key > numbered(EPOCHS, term)]
    renewals = [trip for trip in renewals if trip.key.startswith(EPOCHS)]
    floors = [trip for trip in trips if (trip.verb, trip.key) == ("GET", EPOCH_FLOOR)]
    polls = [
        trip for trip in trips if trip.verb == "GET" and trip.key.startswith(EPOCHS) and trip.ended < claims[0].ended
    ]
    told = (
        f"failover by {how}, 8 followers: {len(lists)} LIST, {len(claims)} PUT, "
        f"{len(floors) - len(renewals)} GET of the floor; {len(polls)} polls while they waited "
        f"({len(polls) / 8:.1f} each)"
    )
    print(told)
    # A release is followed from the read that found it (rule 7).
    assert len(lists) == (0 if how == "release" else 1), told
    assert len(claims) == 1, told
    assert len(floors) - len(renewals) in {0, 1}, told
    assert floors[0].began >= claims[0].ended, told


@pytest.mark.parametrize("followers", [1, 8])
def test_a_hinted_hand_over_is_three_requests_in_a_row(journal: Open, nodes: Start, followers: int) -> None:
    """The heir reads the release, claims, and reads the floor; nobody else asks anything (rules 7, 16)."""
    # A round is so long that no poll falls into what is counted.
    settings = Settings(ttl_s=600.0, renew_every_s=200.0, heartbeat_every_s=0.5, stagger_s=20.0)
    stores = [journal(delay_s=0.02) for _ in range(followers + 1)]
    leader, *others = [nodes(location=store, settings=settings, hints="127.0.0.1:0") for store in stores]
    leader.campaign()
    until(lambda: leader.term is not None, "it leads")
    for node in others:
        node.campaign()

    def known() -> bool:
        leader.publish(b"again")
        return sum(member.standing for member in leader.members()) == followers + 1

    until(known, "the leader knows all of its heirs")
    until(lambda: all(node.epoch == leader.epoch for node in others), "and they know it too")
    for store in stores:
        store.forget()
    leader.step_down()
    until(lambda: any(node.term is not None for node in others), "another leads")
    heir = next(node for node in others if node.term is not None)
    until(lambda: all(node.epoch == heir.term for node in (leader, *others)), "and all follow")
    release, claim = numbered(EPOCHS, (heir.term or 0) - 1), numbered(EPOCHS, heir.term or 0)
    trips = [trip for trip in stores[1 + others.index(heir)].trips() if trip.key.startswith("epochs")]
    sent = sorted((trip.verb, trip.key) for trip in trips)
    told = f"hinted hand-over, {followers} followers: {depth(trips)} requests in a row at the heir, {sent}"
    print(told)
    assert sent == sorted([("GET", release), ("PUT", claim), ("GET", EPOCH_FLOOR)]), told
    assert depth(trips) == 3, told
    # The others are told by whoever leads: two epochs each, and no LIST.
    rest = [store.trips() for node, store in zip(others, stores[1:], strict=True) if node is not heir]
    asked = [sorted((trip.verb, trip.key) for trip in one if trip.key.startswith("epochs")) for one in rest]
    assert all(one == [("GET", release), ("GET", claim)] for one in asked), asked


@pytest.mark.parametrize(("home", "allowed"), [("cluster", 3), ("own", 3), ("own, alone", 4)])
def test_a_resumed_node_is_a_candidate_after_four_round_trips(
    journal: Open, nodes: Start, location: str, home: str, allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All there is to know at once, the identity, the LIST beside the epoch known last (10); a home alone first names
    the cluster. Where others led meanwhile the head is one read more."""
    place = location if home == "cluster" else f"{location}-home"
    former = nodes(location=journal(), home=None if home == "cluster" else journal(place))
    with former.lead(timeout=LIVENESS_S):
        pass
    former.stop()
    opened: list[Meddler] = []

    def slow(uri: str, options: StoreOptions | None = None) -> Meddler:
        opened.append(journal(uri, delay_s=0.05))
        # What a node opens itself it closes, too; the store behind the journal is the test's.
        monkeypatch.setattr(opened[-1], "close", lambda: None)
        return opened[-1]

    monkeypatch.setattr(session, "open_store", slow)
    node = nodes(former.id, location=place if home == "own, alone" else location, home=place if home == "own" else None)
    heard = Heard()
    node.subscribe(heard)
    node.campaign()
    lease = heard.wait(Elected).lease
    trips = [trip for one in opened for trip in one.trips()]
    claim = next(trip for trip in trips if trip.verb == "PUT" and trip.key == numbered(EPOCHS, lease.token))
    before = [trip for trip in trips if trip.ended <= claim.began]
    told = f"resume, home {home}: {depth(before)} round trips in sequence and {len(before)} requests until it claims"
    print(told)
    assert depth(before) <= allowed, told


def test_a_steady_cluster_writes_nothing_else(server: Server, journal: Open, nodes: Start) -> None:
    """Leader and followers, heartbeats and all: the server counts what the budget says and no request more (I14)."""
    settings = Settings(ttl_s=10.0, renew_every_s=0.5, heartbeat_every_s=1.5)
    stores = [journal() for _ in range(3)]
    leader, *_ = [nodes(location=store, settings=settings) for store in stores]
    with leader.lead(timeout=LIVENESS_S) as lease:
        until(lambda: len(leader.members()) == 3, "the leader knows everyone")
        first = lease.epoch
        until(lambda: lease.epoch >= first + 3, "and everyone knows it")
        for store in stores:
            store.forget()
        before, first = server.requests(), lease.epoch
        until(lambda: lease.epoch >= first + 12, "four intervals of three rounds")
        after, rounds = server.requests(), lease.epoch - first
        sent = requests(stores)
    counted = {verb: after.get(verb, 0) - before.get(verb, 0) for verb in after}
    intervals = rounds / 3
    told = f"three nodes, {rounds} rounds, {intervals:.0f} heartbeats: {counted} at the server, {sent} sent"
    print(told)
    assert counted.get("DELETE", 0) == 0, told
    assert counted["PUT"] <= rounds + 3 * (intervals + 1) + 1, told
    assert counted["LIST"] <= intervals + 1, told
    assert counted["GET"] <= (2 + 2 * 1.5) * rounds + 4, told
    assert abs(sum(counted.values()) - sum(sent.values())) <= 6, told
