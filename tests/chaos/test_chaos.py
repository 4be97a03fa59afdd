"""A short chapter of chaos with real processes, and the judge himself on trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from holocron.records import Epoch, Leader, Published
from tests.chaos.judge import judge
from tests.chaos.story import Story

CHAPTER_S = 45.0


@pytest.mark.timeout(300)
def test_real_processes_keep_the_invariants_whatever_is_done_to_them(tmp_path: Path) -> None:
    """I1, I2, I3, I5, I7, I9, I10 under SIGKILL, SIGSTOP, lost answers, storms, partitions, starvation and usurpers."""
    with Story(tmp_path, seed=1) as story:
        verdict = story.run(CHAPTER_S)
    print(verdict, dict(story.done))
    assert verdict.wrong == []
    # A story in which nothing happened would prove nothing.
    assert sum(story.done.values()) >= 8
    assert verdict.terms >= 3
    assert verdict.answers > 100


def epoch(number: int, term: int, node: str = "n1", published: Published | None = None) -> Epoch:
    """An epoch of a chain that is whole."""
    return Epoch(
        cluster="c",
        nonce=f"e{number}",
        epoch=number,
        term=term,
        kind="lease",
        cause="first",
        leader=Leader(node=node, incarnation=1, session="s"),
        previous=f"e{number - 1}" if number > 1 else "",
        ttl_ms=1000,
        renew_ms=300,
        floor=1,
        control=0,
        heir=None,
        published=published,
        topology=(),
        written="",
    )


def line(what: str, at: float, node: str = "n1", pid: int = 1, **values: Any) -> dict[str, Any]:
    """A line of evidence."""
    return {"at": at, "pid": pid, "node": node, "what": what, **values}


def believed(at: float, term: int, node: str = "n1", pid: int = 1) -> dict[str, Any]:
    """A lease that was valid."""
    return line("believed", at, node, pid, term=term, before=at - 0.001, after=at)


HONEST = [line("aboard", 0, incarnation=1, epoch=0), line("aboard", 0, "n2", 2, incarnation=1, epoch=0)]
CHAIN = {1: epoch(1, 1), 2: epoch(2, 2, "n2")}


def test_the_judge_passes_an_honest_story() -> None:
    """Two that lead one after the other are no offence."""
    evidence = [*HONEST, believed(1, 1), believed(2, 1), believed(3, 2, "n2", 2), believed(4, 2, "n2", 2)]
    verdict = judge(evidence, CHAIN)
    assert verdict.wrong == []
    assert verdict.beliefs == 2


@pytest.mark.parametrize(
    ("what", "evidence", "chain"),
    [
        ("I1", [believed(1, 1), believed(3, 1), believed(2, 2, "n2", 2), believed(4, 2, "n2", 2)], CHAIN),
        ("I3", [believed(1, 2)], CHAIN),
        ("I3", [believed(1, 7)], CHAIN),
        ("I2", [line("publishing", 1, value="n1/1/1", term=1), line("published", 2, value="n1/1/1", epoch=1)], CHAIN),
        (
            "I10",
            [line("publish refused", 1, value="n1/1/1")],
            {1: epoch(1, 1, published=Published(value=b"n1/1/1", epoch=1, term=1))},
        ),
        ("I5", [], {1: epoch(1, 1), 3: epoch(3, 1)}),
        ("I5", [], {1: epoch(1, 1), 2: epoch(2, 0)}),
        ("I7", [line("saw", 1, epoch=5, term=5), line("saw", 2, epoch=4, term=4)], CHAIN),
        ("I9", [line("aboard", 1, incarnation=1, epoch=0)], CHAIN),
    ],
)
def test_the_judge_sees_what_cannot_be(what: str, evidence: list[dict[str, Any]], chain: dict[int, Epoch]) -> None:
    """Each invariant that the judge answers for is broken on purpose, and he says which."""
    verdict = judge([*HONEST, *evidence], chain)
    assert any(wrong.startswith(f"{what}:") for wrong in verdict.wrong), verdict.wrong
