"""What was published stays published, whatever a stranger puts on top of it."""

from __future__ import annotations

from holocron import Node, Settings
from holocron.layout import EPOCHS, numbered
from holocron.store.base import Put, Written
from holocron.store.memory import MemoryStore

# The shortest lease there is, for an epoch that nobody can read is waited out for the longest that the cluster allows.
SETTINGS = Settings(ttl_s=1.0, ttl_max_s=1.0)


def test_a_published_value_survives_an_epoch_that_nobody_can_read() -> None:
    """Who comes new and finds the head spoilt reads below it what was acknowledged there (I2, I12, rule 13)."""
    store = MemoryStore()
    with Node.start(store, settings=SETTINGS) as first, first.lead(timeout=30):
        first.publish(b"http://10.0.0.7:8080")
    spoilt = numbered(EPOCHS, first.epoch + 1)
    assert isinstance(store.perform(Put(spoilt, b"not an epoch"), 1.0), Written)
    with Node.start(store, settings=SETTINGS) as second, second.lead(timeout=30) as lease:
        published = second.published()
        assert published is not None
        assert published.value == b"http://10.0.0.7:8080"
        assert lease.token > first.epoch + 1


def test_a_strangers_file_does_not_keep_a_cluster_from_being_founded() -> None:
    """What is not numbered is no sign of a cluster that lost its genesis (I12)."""
    store = MemoryStore()
    store.perform(Put(f"{EPOCHS}readme.txt", b"hello"), 1.0)
    with Node.start(store, settings=SETTINGS) as node, node.lead(timeout=30) as lease:
        assert lease.token == 1
