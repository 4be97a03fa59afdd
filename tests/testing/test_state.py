"""A node's own state on a cluster under test: journal and hosted services keep to its time (design, section 6)."""

from __future__ import annotations

import pytest

from holocron import OutcomeUnknown, Superseded
from holocron.testing import MakeCluster


class Sum:
    """A service that adds up what it is given."""

    def __init__(self) -> None:
        self.total = 0

    def apply(self, command: bytes) -> bytes:
        self.total += int(command)
        return str(self.total).encode()

    def snapshot(self) -> bytes:
        return str(self.total).encode()

    def restore(self, snapshot: bytes) -> None:
        self.total = int(snapshot)


def test_a_service_stands_where_its_last_acknowledged_command_left_it(holocron_cluster: MakeCluster) -> None:
    """Killed between two commands and resumed on fresh compute, from a checkpoint and the commands behind it (I9)."""
    cluster = holocron_cluster(1)
    cluster[0].node.host(Sum(), checkpoint_every=4)
    assert [cluster[0].node.submit(b"1") for _ in range(10)] == [str(total).encode() for total in range(1, 11)]
    cluster[0].kill()
    service = Sum()
    fresh = cluster[0].resume()
    fresh.node.host(service, checkpoint_every=4)
    assert service.total == 10
    assert fresh.node.submit(b"5") == b"15"
    fresh.node.stop()


def test_an_answer_that_is_lost_is_applied_once(holocron_cluster: MakeCluster) -> None:
    """The write stood, its answer did not come: it is settled by reading back, and nothing happens twice (I10)."""
    cluster = holocron_cluster(1)
    service = Sum()
    cluster[0].node.host(service)
    cluster[0].lose_response()
    assert cluster[0].node.submit(b"7") == b"7"
    assert service.total == 7
    assert cluster.now_s > 0


def test_what_a_partition_swallows_is_unknown_in_the_clusters_time(holocron_cluster: MakeCluster) -> None:
    """A limit on `append` counts seconds of the cluster, and the entry may still become durable when it heals."""
    cluster = holocron_cluster(1)
    journal = cluster[0].node.journal
    assert journal.append(b"one") == 1
    cluster[0].partition()
    with pytest.raises(OutcomeUnknown):
        journal.append(b"two", timeout=20)
    assert cluster.now_s == pytest.approx(20, abs=1)
    cluster[0].heal()
    journal.flush(timeout=60)
    assert journal.position == 2


def test_a_former_self_gets_nothing_acknowledged(holocron_cluster: MakeCluster) -> None:
    """A frozen process that comes back behind its successor's fence is told so (I9)."""
    cluster = holocron_cluster(1)
    former = cluster[0]
    assert former.node.journal.append(b"mine") == 1
    former.freeze()
    fresh = former.resume()
    entries: list[bytes] = []
    fresh.node.journal.replay(lambda _, entry: entries.append(entry))
    assert entries == [b"mine"]
    assert fresh.node.journal.append(b"mine now") == 2
    late = former.node.journal.append_nowait(b"late")
    former.thaw()
    with pytest.raises(Superseded):
        late.result(60)
