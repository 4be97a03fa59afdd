"""The bench itself: its rows measure, its table tells of whatever befell a peer. No figure is asserted."""

from __future__ import annotations

import contextlib
import json
import re
import socket
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from holocron.records import encode
from tests.bench.__main__ import main
from tests.bench.grouped import Grouped
from tests.bench.peers.all import PEERS
from tests.bench.peers.base import Candidate, Job, Peer, Unavailable
from tests.bench.picture import draw
from tests.bench.proxy import Proxy, _Claims, _Frames, _Matches
from tests.bench.registry import Bench, Limit, Row, Sample, load
from tests.bench.report import as_json, as_text, shortfalls, verdicts
from tests.bench.run import measure
from tests.runtime.made import epoch


class _Fake(Peer):
    """A peer with a server that answers nothing, which the rows here do not mind."""

    client = "no-such-client"
    notes = "not used at all"

    def __init__(self, name: str, missing: str = "") -> None:
        self.name = name
        self._missing = missing

    def missing(self) -> str:
        return self._missing

    @contextlib.contextmanager
    def serve(self) -> Iterator[str]:
        if self.name == "broken":
            raise RuntimeError("no port")
        yield "127.0.0.1:1"

    def candidates(self, job: Job) -> Sequence[Candidate]:
        return []


def _row(name: str, samples: dict[str, list[Sample]], order: list[str], *limits: Limit) -> Row:
    def measured(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
        bench.address(peer)
        order.append(peer.name)
        if peer.name == "absent":
            raise Unavailable("no such thing here")
        if peer.name not in samples:
            raise ValueError("it broke")
        return samples[peer.name]

    return Row(name, "what is measured", "ms", lambda _: ("the case",), measured, limits)


def test_peers_take_turns_and_ratios_are_to_holocron() -> None:
    """Every round asks each peer once, in order, and the ratio is that of the medians."""
    peers: dict[str, Peer] = {name: _Fake(name) for name in ("holocron", "other")}
    order: list[str] = []
    results = measure([_row("one", {"holocron": [2.0], "other": [6.0]}, order)], list(peers.values()), 3)
    assert order == ["holocron", "other"] * 3
    cells = as_json(results, peers, {})["rows"][0]["cells"]
    assert [cell["samples"] for cell in cells] == [[2.0] * 3, [6.0] * 3]
    assert [cell["ratio"] for cell in cells] == [1.0, 3.0]
    assert re.search(r"other +the case +6\.000 +6\.000 +6\.000 +3 +3\.00", as_text(results, peers))


def test_whatever_befalls_a_peer_is_told_and_ends_nothing() -> None:
    """One that is missing, one that fails, one whose server does not start: each is named with its reason."""
    names = ("broken", "failing", "absent", "holocron")
    peers: dict[str, Peer] = {name: _Fake(name) for name in names}
    peers["gone"] = _Fake("gone", "a server that nobody packs")
    order: list[str] = []
    results = measure([_row("one", {"holocron": [1.0, "not in 30 s"]}, order)], list(peers.values()), 2)
    text = as_text(results, peers)
    assert "missing: gone (a server that nobody packs)" in text
    assert re.search(r"broken .* failed: RuntimeError: its server: no port", text)
    assert re.search(r"failing .* failed: ValueError: it broke", text)
    assert re.search(r"absent .* missing: no such thing here", text)
    assert "not in 30 s (2 times)" in text
    assert order.count("failing") == 1, "what has failed is not tried again"
    assert results.cells["one", "holocron", "the case"].samples == [1.0, 1.0]


def test_what_falls_short_is_named() -> None:
    """A limit that is kept is silent; one that is not, or that cannot be judged, has a line."""
    peers = [_Fake("holocron")]
    kept, missed = Limit("the case", "median", most=2.0), Limit("the case", "min", least=1.5)
    results = measure([_row("one", {"holocron": [1.0, 3.0]}, [], kept, missed)], peers, 1)
    assert shortfalls(results) == ["one, the case: min is 1 ms, wanted at least 1.5"]
    results = measure([_row("one", {"holocron": ["never"]}, [], kept)], peers, 1)
    assert shortfalls(results) == ["one, the case: median cannot be judged: never"]


def test_a_limit_may_rest_on_what_the_same_run_measured() -> None:
    """The bound is reckoned from medians of other cases, and cannot be judged where one of them is not there."""
    told: dict[str, list[Sample]] = {"one": [8.0], "many": [21.0], "alone": [3.0, 5.0], "failed": ["never"]}
    limits = (
        Limit("one", "median", most=10.0, plus=(("alone", 1.0),)),
        Limit("many", "max", most=0.0, plus=(("one", 2.0), ("alone", 1.0))),
        Limit("many", "max", most=0.0, plus=(("failed", 2.0),)),
        Limit("many", "max", most=0.0, plus=(("no such case", 2.0),)),
    )
    row = Row("one", "a row", "ms", lambda _: tuple(told), lambda _, __, case: told[case], limits)
    results = measure([row], [_Fake("holocron")], 1)
    assert [(verdict.kept, verdict.line.rpartition("wanted ")[2]) for verdict in verdicts(results)[:2]] == [
        (True, "at most 14"),
        (False, "at most 20"),
    ]
    assert [verdict.kept for verdict in verdicts(results)[2:]] == [None, None]
    text = as_text(results, {"holocron": _Fake("holocron")})
    assert "what Holocron must reach: 1 of 4 reached" in text
    assert re.search(r"falls short +one, many: max is 21 ms, wanted at most 20", text)
    assert re.search(r"unknown +one, many: max cannot be judged: failed was not measured", text)


def test_one_experiment_gives_several_cases() -> None:
    """It is made once a round; where it fails, each of its cases is told why, and it is not made again."""
    made: list[str] = []

    def good(bench: Bench, peer: Peer) -> dict[str, Sample]:
        made.append("good")
        return {"a": float(len(made)), "b": "words"}

    def bad(bench: Bench, peer: Peer) -> dict[str, Sample]:
        made.append("bad")
        raise ValueError("it broke")

    grouped = Grouped({good: ("a", "b"), bad: ("c", "d")})
    row = Row("one", "a row", "", grouped.cases, grouped.measure)
    results = measure([row], [_Fake("holocron"), _Fake("other")], 2)
    assert made == ["good", "bad", "good"]
    cells = {cell.case: cell for cell in results.of(row)}
    assert (cells["a"].samples, dict(cells["b"].words)) == ([1.0, 3.0], {"words": 2})
    assert cells["c"].failed == cells["d"].failed == "ValueError: it broke"


def test_attempts_at_an_epoch_are_seen_wherever_a_piece_of_the_stream_ends() -> None:
    """Which epoch, and whose it would be; other requests are none, whatever they look like."""
    record = encode(epoch(7))
    stream = (
        b'PUT /b/x/members/7.json HTTP/1.1\r\nHost: x\r\n\r\n{"leader": {"node": "beta"}}'
        b"GET /b/x/epochs/0000000000000006.json HTTP/1.1\r\n\r\n"
        b"PUT /b/x/epochs/0000000000000007.json HTTP/1.1\r\nHost: x\r\n\r\n" + record
    )
    for step in (1, 7, len(stream)):
        seen: list[tuple[int, str]] = []
        counter = _Claims(lambda number, node, seen=seen: seen.append((number, node)))  # type: ignore[misc]  # bound now
        assert sum(counter.feed(stream[at : at + step]) for at in range(0, len(stream), step)) == 1
        assert seen == [(7, "alpha")]


def test_what_an_election_left_behind_is_forgotten_but_for_what_is_to_last() -> None:
    """Each sample finds the server as the first one did."""
    forgotten: list[str] = []

    class Forgetful(_Fake):
        def forget(self, address: str, keys: Sequence[str]) -> None:
            forgotten.extend(keys)

    keys: list[str] = []

    def measured(bench: Bench, peer: Peer, case: str) -> Sequence[Sample]:
        keys.append(bench.key())
        keys.append(bench.key(lasting=True))
        return [1.0]

    measure([Row("one", "a row", "", lambda _: ("a", "b"), measured)], [Forgetful("holocron")], 1)
    assert forgotten == keys[::2]
    assert len(set(keys)) == 4


def test_a_peer_that_is_not_installed_says_how_to_have_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every peer that packages can bring names them."""
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    for name in ("zookeeper", "etcd", "redis", "dynamodb"):
        assert "make bench-peers" in PEERS[name].missing()
        assert PEERS[name].client in PEERS[name].missing()
    assert "API server" in PEERS["kubernetes"].missing()


def test_a_row_runs_against_holocron(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The program as `make bench` begins it: real processes, one killed, and everything told in both forms."""
    path = tmp_path / "folder" / "bench.json"
    assert "failover" in load()
    only = ["--only", "crash", "--only", "request", "--only", "token", "--only", "frozen"]
    arguments = ["--peers", "holocron,kubernetes", "--quick", "--ttl", "1", "--json", str(path), *only]
    assert main(arguments) == 0
    told = json.loads(path.read_text())
    assert told["missing"].keys() == {"kubernetes"}
    rows = {row["name"]: row["cells"] for row in told["rows"]}
    assert rows.keys() == {"crash", "request", "token", "frozen"}
    for crash in rows["crash"]:
        assert "failed" not in crash
        assert "missing" in crash or (len(crash["samples"]) == 1 and crash["samples"][0] > 0)
    processor, _ = rows["request"]
    assert processor["min"] <= processor["median"] <= processor["max"]
    frozen, _ = rows["frozen"]
    assert frozen["samples"] == [0.0], "nobody is told yes by a lease that was waited out (I1)"
    text = capsys.readouterr().out
    assert "lease.token" in text
    assert "missing: kubernetes" in text
    assert draw(told, tmp_path / "bench.png").startswith(("picture: ", "no picture: "))


def test_wrong_arguments_are_told_in_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    """A row or a peer that there is not ends the program with 2, and with the names that there are."""
    for arguments, word in ((["--only", "nothing"], "failover"), (["--peers", "nobody"], "holocron")):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
        assert word in capsys.readouterr().err.splitlines()[-1]


def test_requests_are_counted_wherever_a_piece_of_the_stream_ends() -> None:
    """Each protocol's counter sees as many requests byte by byte as at once."""
    http = b"PUT /a HTTP/1.1\r\nHost: x\r\n\r\nGET /b HTTP/1.1\r\n\r\n"
    redis = b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*1\r\n$4\r\nPING\r\n"
    packets = (3).to_bytes(4, "big") + b"abc" + (1).to_bytes(4, "big") + b"d"
    data, other = (
        (2).to_bytes(3, "big") + b"\x00\x00" + bytes(4) + b"ab",
        (1).to_bytes(3, "big") + b"\x01" + bytes(5) + b"h",
    )
    grpc = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + other + data + other + data
    for stream, counter in (
        (http, lambda: _Matches(re.compile(rb" HTTP/1\.1\r\n"), 10)),
        (redis, lambda: _Matches(re.compile(rb"(?:^|\r\n)\*\d+\r\n\$"), 12)),
        (packets, lambda: _Frames(grpc=False)),
        (grpc, lambda: _Frames(grpc=True)),
    ):
        assert counter().feed(stream) == 2
        slow = counter()
        assert sum(slow.feed(stream[at : at + 1]) for at in range(len(stream))) == 2


def test_a_proxy_that_falls_silent_closes_nothing() -> None:
    """What is sent is taken, nothing comes back, and neither side is told of an end."""
    with socket.create_server(("127.0.0.1", 0)) as server, Proxy(f"127.0.0.1:{server.getsockname()[1]}") as way:
        host, port = way.address.split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            inside, _ = server.accept()
            with inside:
                client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                assert inside.recv(100).startswith(b"GET")
                assert way.requests == 1
                way.fall_silent()
                client.sendall(b"GET / HTTP/1.1\r\n\r\n")
                for one in (inside, client):
                    one.settimeout(0.2)
                    with pytest.raises(TimeoutError):
                        one.recv(1)
                assert way.requests == 1
