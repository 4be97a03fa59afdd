"""Elections over real HTTP: one suite, run against each S3 server that the tests have."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable, Iterator

import pytest

import holocron
from holocron import Node, Settings, StoreOptions, events
from holocron.errors import LeadershipLost, NotLeader, Superseded

# Long enough for any machine that runs the tests; every wait ends as soon as its condition holds.
LIVENESS_S = 40.0
SETTINGS = Settings(ttl_s=2.0)


def until(condition: Callable[[], bool], what: str) -> None:
    """Wait until `condition` holds."""
    end = time.monotonic() + LIVENESS_S
    while not condition():
        assert time.monotonic() < end, f"never came true: {what}"
        time.sleep(0.02)


class ElectionSuite:
    """What every S3 server must carry; a subclass brings the fixture `endpoint`, its URL."""

    @pytest.fixture
    def location(self) -> str:
        return f"s3://holocron/e-{secrets.token_hex(6)}"

    @pytest.fixture
    def nodes(self, endpoint: str, location: str) -> Iterator[Callable[..., Node]]:
        """Start nodes, or resume one by its id, and stop them all at the end."""
        running: list[Node] = []

        def start(node_id: str | None = None, *, url: str = endpoint, settings: Settings = SETTINGS) -> Node:
            options = StoreOptions(endpoint_url=url)
            if node_id is None:
                node = Node.start(location, settings=settings, options=options)
            else:
                node = Node.resume(location, node_id, settings=settings, options=options)
            running.append(node)
            return node

        yield start
        for node in running:
            node.stop()

    def test_one_of_three_leads_and_a_follower_takes_over(self, nodes: Callable[..., Node]) -> None:
        """Three nodes elect one leader; when it releases, another follows with a higher token (I1, I2, rule 9)."""
        three = [nodes() for _ in range(3)]
        for node in three:
            node.campaign()
        until(lambda: sum(node.role == "leader" for node in three) == 1, "one leader")
        first = next(node for node in three if node.role == "leader")
        until(lambda: all(node.leader() is not None for node in three), "everyone knows who leads")
        assert {node.leader().node for node in three if node.leader()} == {first.id}  # type: ignore[union-attr]  # just seen
        term = first.term
        assert term is not None
        first.stop()
        until(lambda: any(node.role == "leader" for node in three if node is not first), "a follower leads")
        second = next(node for node in three if node.role == "leader")
        assert second.term is not None
        assert second.term > term

    def test_resumed_node_is_back_with_what_it_knew(self, nodes: Callable[..., Node]) -> None:
        """A resume is a higher incarnation of the same node, and the former self stops, superseded (rule 11, I9)."""
        former = nodes()
        with former.lead(timeout=LIVENESS_S) as lease:
            until(lambda: any(member.node == former.id for member in former.members()), "it is in its own topology")
            again = nodes(former.id)
            assert again.id == former.id
            assert again.incarnation == former.incarnation + 1
            assert former.wait(LIVENESS_S)
            assert isinstance(former.failure, Superseded)
            assert not lease.valid
        with again.lead(timeout=LIVENESS_S) as lease:
            assert lease.token > 1
            assert again.epoch >= former.epoch

    def test_published_values_are_seen_by_followers(self, nodes: Callable[..., Node]) -> None:
        """What the leader publishes rides in the next epoch, and every follower sees it (design, section 6)."""
        leader, follower = nodes(), nodes()
        with pytest.raises(NotLeader):
            follower.publish(b"not mine to say")
        with leader.lead(timeout=LIVENESS_S):
            epoch = leader.publish(b"http://10.0.0.7:8080")
            until(lambda: follower.published() is not None, "the follower sees the value")
            published = follower.published()
            assert published is not None
            assert (published.value, published.epoch) == (b"http://10.0.0.7:8080", epoch)

    def test_named_heir_goes_first(self, nodes: Callable[..., Node], endpoint: str, location: str) -> None:
        """An operator's request to hand over, naming an heir, makes that heir the leader (rule 9)."""
        three = [nodes() for _ in range(3)]
        for node in three:
            node.campaign()
        until(lambda: any(node.role == "leader" for node in three), "a leader")
        leader = next(node for node in three if node.role == "leader")
        heir = next(node for node in three if node is not leader)
        until(lambda: heir.id in {m.node for m in leader.members() if m.standing}, "the leader knows its heir")
        with holocron.Cluster.open(location, options=StoreOptions(endpoint_url=endpoint)) as cluster:
            cluster.step_down(to=heir.id, by="a test")
        until(lambda: heir.role == "leader", "the heir leads")
        assert heir.history(limit=1)[0].cause == "handover"

    def test_racing_claims_have_one_winner(self, nodes: Callable[..., Node]) -> None:
        """However many nodes claim at once, never two believe at the same instant, and tokens only rise (I1, I3)."""
        crowd = [nodes(settings=Settings(ttl_s=1.5)) for _ in range(5)]
        log: list[int] = []
        inside: list[str] = []
        overlap = threading.Event()

        def work(node: Node) -> None:
            for _ in range(2):
                with node.lead(timeout=LIVENESS_S * 2) as lease:
                    inside.append(node.id)
                    if len(inside) > 1:
                        overlap.set()
                    log.append(lease.token)
                    inside.remove(node.id)

        threads = [threading.Thread(target=work, args=(node,)) for node in crowd]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(LIVENESS_S * 3)
        assert not overlap.is_set()
        assert len(log) == 10
        assert log == sorted(log)
        assert len(set(log)) == 10

    def test_deposed_never_comes_without_elected(self, nodes: Callable[..., Node]) -> None:
        """A subscriber that raises hurts nothing, and sees `Elected` before every `Deposed` (section 7)."""
        node = nodes()
        seen: list[events.Event] = []

        def callback(event: events.Event) -> None:
            seen.append(event)
            raise LookupError("the application's own fault")

        node.subscribe(callback)
        with node.lead(timeout=LIVENESS_S) as lease:
            until(lambda: any(isinstance(event, events.Elected) for event in seen), "Elected was told")
        until(lambda: any(isinstance(event, events.Deposed) for event in seen), "Deposed was told")
        told = [type(event).__name__ for event in seen if isinstance(event, events.Elected | events.Deposed)]
        assert told == ["Elected", "Deposed"]
        with pytest.raises(LeadershipLost):
            lease.check()
