"""Objects that Holocron did not write, anywhere under the prefix, as each command that looks or administers sees them.

One matrix: each kind of junk under each key, and every command run on it in this process. How whole nodes live with
such objects is another matter; `test_bad_records.py` has the program itself start and resume beside them.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator

import pytest

from holocron.layout import (
    CLUSTER,
    CONTROL,
    EPOCH_FLOOR,
    EPOCHS,
    MEMBERS,
    PROBE,
    history_key,
    identity_key,
    member_key,
    numbered,
    state_key,
)
from holocron.records import Control, Marker, State
from holocron.runtime.keeper import tidy
from holocron.settings import Settings
from holocron.store.base import Found, Get
from holocron.store.chain import Chain
from holocron.store.drive import drive
from holocron.store.memory import MemoryStore
from tests.cli.conftest import Run
from tests.runtime.made import UUID, chain, deadline, epoch, genesis, keys, node, put, row

HEAD = 20
OTHER = "99999999-8888-7777-6666-555555555555"
PAST = history_key(1, 5)

# --- junk: what someone may have put there, made of what belongs there ----------------------------------------------


def _reworded(body: bytes, pattern: bytes, words: bytes) -> bytes:
    """`body` with every match of `pattern` replaced, or a foreign object of that shape where there is none."""
    changed = re.sub(pattern, words, body)
    return changed if changed != body else b'{"format": 1, "cluster": ' + words + b"}"


JUNK: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda _: b"",
    "foreign": lambda _: b"<html>503 Service Unavailable</html>",
    "another type": lambda _: b'["not", "an", "object"]',
    "truncated": lambda body: body[: len(body) // 2] or b"{",
    "huge": lambda body: body + b" " * (17 * 1024 * 1024),
    "deep": lambda _: b'{"format": 1, "nonce": ' + b"[" * 200_000,
    "full of NaN": lambda body: _reworded(body, rb": [0-9]+", b": NaN"),
    "not UTF-8": lambda body: _reworded(body, rb'": "', b'": "\xff\xfe'),
    "of a newer format": lambda body: _reworded(body, rb'"format": 1', b'"format": 99'),
    "of another cluster": lambda body: _reworded(body, UUID.encode(), OTHER.encode()),
    "out of all bounds": lambda body: _reworded(body, rb": [0-9]+", b": 99999999999999999999999"),
}

# Every key of a cluster, and some that are nobody's.
PLACES = (
    CLUSTER,
    EPOCH_FLOOR,
    numbered(EPOCHS, HEAD),
    numbered(EPOCHS, HEAD - 1),
    numbered(EPOCHS, HEAD + 1),
    f"{EPOCHS}latest.json",
    member_key("alpha"),
    member_key("nobody"),
    f"{MEMBERS}Not An Id.json",
    identity_key("alpha"),
    state_key("alpha"),
    numbered(CONTROL, 1),
    numbered(CONTROL, 2),
    PAST,
    PROBE,
    "notes.txt",
)
# Keys that mean nothing to anybody: what lies there is passed over.
NOBODYS = (f"{EPOCHS}latest.json", f"{MEMBERS}Not An Id.json", "notes.txt")

LOOKING = (
    ("node", "list"),
    ("node", "show", "alpha"),
    ("leader", "show"),
    ("topology",),
    ("topology", "--epoch", f"{HEAD - 1}"),
    ("topology", "--epoch", "3"),
    ("history",),
    ("history", "--epochs"),
)
# Each with the keys that it may change, create or delete.
ADMINISTERING = (
    (("node", "forget", "alpha"), rf"{identity_key('alpha')}|{member_key('alpha')}"),
    (("leader", "step-down", "--wait", "0s"), rf"{CONTROL}[0-9]{{16}}.json"),
    (("epoch", "gc"), rf"{EPOCHS}[0-9]{{16}}.json|{EPOCH_FLOOR}|history/[0-9]{{16}}-[0-9]{{16}}.json"),
)


def _whole() -> dict[str, bytes]:
    """All objects of a cluster of two nodes, with a history, a request to its leader and what its nodes last knew."""
    store = MemoryStore()
    genesis(store)
    chain(store, *(epoch(number, topology=(row("alpha"), row("beta", 2))) for number in range(1, HEAD + 1)))
    for name in ("alpha", "beta"):
        node(store, name, stopped=name == "alpha")
        last = epoch(HEAD, topology=(row("alpha"),))
        put(
            store,
            state_key(name),
            State(
                cluster=UUID,
                nonce="s",
                node=name,
                incarnation=1,
                epoch=HEAD,
                term=1,
                role="leader",
                leader=last.leader,
                topology=last.topology,
                topology_epoch=HEAD,
                written="then",
            ),
        )
    control = Control(
        cluster=UUID, nonce="c", number=1, request="step-down", term=1, heir=None, by="someone", written="then"
    )
    put(store, numbered(CONTROL, 1), control)
    put(store, PROBE, Marker(cluster=UUID, nonce="p", probed="then", rounds=9, clock_agrees=True))
    settings = Settings(keep_epochs=HEAD - 5, keep_age_s=0, trim_batch=5)
    kept = Chain(store, EPOCHS, EPOCH_FLOOR, UUID)
    drive(tidy(kept, store, HEAD, UUID, "t", settings, None, deadline()))
    return _all(store)


def _all(store: MemoryStore) -> dict[str, bytes]:
    found = {key: store.perform(Get(key, 64 * 1024 * 1024), 1.0) for key in keys(store, "")}
    return {key: answer.body for key, answer in found.items() if isinstance(answer, Found)}


WHOLE = _whole()
_NAMES = itertools.count()


Spoilt = Callable[[str, str], tuple[MemoryStore, str, bytes]]


@pytest.fixture
def spoilt() -> Iterator[Spoilt]:
    """Make the cluster with junk under a key: its store, the URI of that, and the bytes of the junk."""
    made: list[str] = []

    def make(key: str, junk: str) -> tuple[MemoryStore, str, bytes]:
        name = f"foreign-{next(_NAMES)}"
        store = MemoryStore(name, "leader")
        made.append(name)
        body = JUNK[junk](WHOLE.get(key, WHOLE[numbered(EPOCHS, HEAD)]))
        for one, there in {**WHOLE, key: body}.items():
            put(store, one, there)
        return store, f"memory://{name}", body

    yield make
    # A named store in memory lives as long as the process, and some junk is large.
    for name in made:
        MemoryStore.forget(name)


def _judged(told: tuple[int, str, str]) -> int:
    """The exit code of a command that ended as one has to: with its data, or with one line that says why not."""
    code, _, err = told
    assert code in {0, 1, 4, 5}, told
    assert "unexpected" not in err, told
    if code == 0:
        assert err == ""
    else:
        assert re.fullmatch(r"holocron: [^\n]{20,500}\n", err), told
        assert err.rstrip("\n").isprintable(), told
    return code


def test_the_whole_cluster_is_fine(run: Run, spoilt: Spoilt) -> None:
    """Without junk every command does its work, so that what is said below is said because of the junk."""
    assert {PAST, EPOCH_FLOOR, PROBE, numbered(EPOCHS, 6)} <= WHOLE.keys()
    for command in (*LOOKING, *(one for one, _ in ADMINISTERING)):
        _, uri, _ = spoilt("notes.txt", "foreign")
        told = run(*command, "--store", uri)
        assert told[0] == 0, told


@pytest.mark.parametrize("key", PLACES)
@pytest.mark.parametrize("junk", JUNK)
def test_looking_beside_junk(run: Run, spoilt: Spoilt, key: str, junk: str) -> None:
    """Every look ends with data or with one line, and changes nothing; junk is never taken for "nothing" (I12)."""
    store, uri, _ = spoilt(key, junk)
    before = _all(store)
    codes = {command: _judged(run(*command, "--store", uri)) for command in LOOKING}
    assert _all(store) == before
    if key in NOBODYS:
        assert set(codes.values()) == {0}
    if key == CLUSTER:
        assert set(codes.values()) <= {1, 5}
    # There is a leader, so nobody may be told that there is none.
    assert 4 not in codes.values()
    if key in (numbered(EPOCHS, HEAD), numbered(EPOCHS, HEAD + 1)):
        # The newest epoch cannot be read: held by someone we cannot read, which is neither this leader nor none.
        assert codes[("leader", "show")] == codes[("topology",)] == 1
    if key.startswith(MEMBERS):
        assert codes[("node", "list")] == codes[("leader", "show")] == 0


@pytest.mark.parametrize("key", PLACES)
@pytest.mark.parametrize("junk", JUNK)
def test_administering_beside_junk(run: Run, spoilt: Spoilt, key: str, junk: str) -> None:
    """No command overwrites or deletes what it cannot read, nor anything that is not its business (I12)."""
    for command, own in ADMINISTERING:
        store, uri, body = spoilt(key, junk)
        before = _all(store)
        _judged(run(*command, "--store", uri))
        after = _all(store)
        assert after.get(key) == body, command
        changed = {one for one in before.keys() | after.keys() if before.get(one) != after.get(one)}
        assert all(re.fullmatch(own, one) for one in changed), (command, changed)
        if key == CLUSTER:
            assert changed == set()


@pytest.mark.parametrize("junk", JUNK)
def test_only_force_takes_a_beacon_away_that_cannot_be_read(run: Run, spoilt: Spoilt, junk: str) -> None:
    """Whoever says --force vouches for the node; its identity, where that cannot be read, stays even then."""
    store, uri, body = spoilt(member_key("alpha"), junk)
    assert _judged(run("node", "forget", "alpha", "--store", uri)) == 1
    assert _all(store)[member_key("alpha")] == body
    assert _judged(run("node", "forget", "alpha", "--force", "--store", uri)) == 0
    assert member_key("alpha") not in _all(store)
    store, uri, body = spoilt(identity_key("alpha"), junk)
    before = _all(store)
    assert _judged(run("node", "forget", "alpha", "--force", "--store", uri)) == 1
    assert _all(store) == before
