"""The results as a table to read, and as JSON."""

from __future__ import annotations

import datetime
import os
import platform
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from tests.bench.peers.base import Peer
from tests.bench.registry import Limit, Row
from tests.bench.run import Cell, Results

__all__ = ["Verdict", "as_json", "as_text", "shortfalls", "verdicts"]

_WORDS = {True: "reached", False: "falls short", None: "unknown"}


def statistic(cell: Cell, name: str) -> float:
    """The `min`, `median` or `max` of what was measured."""
    if name == "median":
        return statistics.median(cell.samples)
    return min(cell.samples) if name == "min" else max(cell.samples)


def ratio(results: Results, row: Row, cell: Cell) -> float | None:
    """The median to Holocron's in the same case; None where one of the two is not a number."""
    ours = results.cells.get((row.name, "holocron", cell.case))
    if ours is None or not ours.samples or not cell.samples or statistic(ours, "median") == 0:
        return None
    return statistic(cell, "median") / statistic(ours, "median")


@dataclass(frozen=True)
class Verdict:
    """Whether a limit was kept; None where it cannot be judged. And what was measured and wanted, in a line."""

    kept: bool | None
    line: str


def verdicts(results: Results) -> list[Verdict]:
    """One for each limit on a case that was measured, in the order of the table."""
    found = []
    for row in results.rows:
        for limit in row.limits:
            cell = results.cells.get((row.name, "holocron", limit.case))
            if cell is not None:
                found.append(_verdict(results, row, limit, cell))
    return found


def _verdict(results: Results, row: Row, limit: Limit, cell: Cell) -> Verdict:
    what = f"{row.name}, {limit.case}: {limit.statistic}"
    if cell.words or cell.failed or cell.missing or not cell.samples:
        why = cell.failed or cell.missing or ", ".join(cell.words) or "nothing was measured"
        return Verdict(None, f"{what} cannot be judged: {why}")
    most = limit.most
    for case, times in limit.plus:
        other = results.cells.get((row.name, "holocron", case))
        if most is None or other is None or not other.samples:
            return Verdict(None, f"{what} cannot be judged: {case} was not measured")
        most += times * statistic(other, "median")
    value = statistic(cell, limit.statistic)
    kept = (most is None or value <= most) and (limit.least is None or value >= limit.least)
    bound = f"at most {most:.4g}" if most is not None else f"at least {limit.least:.4g}"
    return Verdict(kept, f"{what} is {value:.3g} {row.unit}, wanted {bound}".replace(" ,", ",").replace("  ", " "))


def shortfalls(results: Results) -> list[str]:
    """One line for each limit that Holocron did not keep, or that could not be judged."""
    return [verdict.line for verdict in verdicts(results) if not verdict.kept]


def as_text(results: Results, peers: Mapping[str, Peer]) -> str:
    """The whole table, the limits that were not kept, and how each peer was used."""
    lines: list[str] = []
    for row in results.rows:
        cells = results.of(row)
        if not cells:
            continue
        lines.append(f"{row.name}: {row.title}{f' [{row.unit}]' if row.unit else ''}")
        lines.append(f"  {'':44}{'min':>10}{'median':>10}{'max':>10}{'n':>5}{'ratio':>8}")
        lines += [_line(results, row, cell) for cell in cells]
        lines += [f"  {name:12}{'missing':32}" for name in results.missing if row.cases(peers[name])]
        lines.append("")
    for name, why in results.missing.items():
        lines.append(f"missing: {name} ({why})")
    judged = verdicts(results)
    kept = sum(verdict.kept is True for verdict in judged)
    lines += ["", f"what Holocron must reach: {kept} of {len(judged)} reached"]
    lines += [f"  {_WORDS[verdict.kept]:13}{verdict.line}" for verdict in judged]
    lines += ["", "how each is used:"]
    for name in dict.fromkeys(cell.peer for cell in results.cells.values()):
        peer = peers[name]
        lines.append(f"  {name} ({peer.client} {peer.version()}): {peer.notes}")
    lines.append(f"measured in {results.took_s:.0f} s; ratio: the median to Holocron's in the same case")
    return "\n".join(lines)


def _line(results: Results, row: Row, cell: Cell) -> str:
    head = f"  {cell.peer:12}{cell.case:32}"
    if cell.missing:
        return f"{head} missing: {cell.missing}"
    words = ", ".join(f"{word} ({count} times)" if count > 1 else word for word, count in cell.words.items())
    if cell.failed:
        words = f"{words}, then failed: {cell.failed}" if words else f"failed: {cell.failed}"
    if not cell.samples:
        return f"{head} {words or 'nothing measured'}"
    numbers = "".join(f"{_number(statistic(cell, name)):>10}" for name in ("min", "median", "max"))
    to_ours = ratio(results, row, cell)
    shown = "" if to_ours is None or cell.peer == "holocron" else f"{to_ours:.2f}"
    return f"{head}{numbers}{len(cell.samples):>5}{shown:>8}{'  ' + words if words else ''}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"


def as_json(results: Results, peers: Mapping[str, Peer], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Everything, every sample included, for a program to read."""
    return {
        "at": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "machine": {
            "cores": os.cpu_count(),
            "load": os.getloadavg()[0],
            "python": platform.python_version(),
            "system": platform.platform(),
        },
        "settings": dict(settings),
        "took_s": round(results.took_s, 1),
        "missing": results.missing,
        "peers": {
            name: {"client": peer.client, "version": peer.version(), "notes": peer.notes, "token": peer.token}
            for name, peer in peers.items()
        },
        "limits": [{"kept": verdict.kept, "line": verdict.line} for verdict in verdicts(results)],
        "rows": [
            {
                "name": row.name,
                "title": row.title,
                "unit": row.unit,
                "lower_is_better": row.lower_is_better,
                "cells": [_cell(results, row, cell) for cell in results.of(row)],
            }
            for row in results.rows
        ],
    }


def _cell(results: Results, row: Row, cell: Cell) -> dict[str, Any]:
    told: dict[str, Any] = {"peer": cell.peer, "case": cell.case, "samples": cell.samples, "words": dict(cell.words)}
    if cell.samples:
        told |= {name: statistic(cell, name) for name in ("min", "median", "max")}
        told["ratio"] = ratio(results, row, cell)
    if cell.failed:
        told["failed"] = cell.failed
    if cell.missing:
        told["missing"] = cell.missing
    return told
