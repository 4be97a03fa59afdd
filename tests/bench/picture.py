"""The results as a picture: how failover is spread, hand-over against followers, and requests against nodes."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

__all__ = ["draw"]


def draw(told: Mapping[str, Any], path: Path) -> str:
    """Draw what `report.as_json` told of into the PNG `path`, and say so; or say why there is no picture."""
    if importlib.util.find_spec("matplotlib") is None:
        return "no picture: matplotlib is missing (make bench-peers installs it)"
    matplotlib = importlib.import_module("matplotlib")
    matplotlib.use("Agg")
    plots = importlib.import_module("matplotlib.pyplot")
    rows = {row["name"]: row["cells"] for row in told["rows"]}
    figure, (failover, handover, cost) = plots.subplots(1, 3, figsize=(17, 5.5))
    _failover(failover, [*rows.get("failover", []), *rows.get("crash", [])], rows)
    _handover(handover, rows.get("handover", []))
    _cost(cost, rows.get("requests", []))
    figure.tight_layout()
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    plots.close(figure)
    return f"picture: {path}"


def _failover(axes: Any, cells: list[Any], rows: Mapping[str, Any]) -> None:
    """Every sample a dot, the median a bar."""
    crash = {id(cell) for cell in rows.get("crash", [])}
    shown = [cell for cell in cells if cell["samples"]]
    names = []
    for at, cell in enumerate(shown):
        ours = cell["peer"] == "holocron"
        axes.plot(cell["samples"], [at] * len(cell["samples"]), "o", alpha=0.5, color="C0" if ours else "C7")
        axes.plot([cell["median"]], [at], "|", markersize=18, color="black")
        names.append(f"{cell['peer']}, {cell['case']}{', host alive' if id(cell) in crash else ''}")
    axes.set_yticks(range(len(names)), names)
    axes.invert_yaxis()
    axes.set_xlim(left=0)
    axes.set_xlabel("ttl")
    axes.set_title("From SIGKILL of the leader to the next")
    axes.grid(axis="x", alpha=0.3)


def _handover(axes: Any, cells: list[Any]) -> None:
    lines: dict[str, dict[int, float]] = {}
    for cell in cells:
        followers, _, more = cell["case"].partition(" follower")
        if cell["samples"] and followers.isdigit() and "half" not in more:
            name = cell["peer"] + (", with hints" if "hints" in more else "")
            lines.setdefault(name, {})[int(followers)] = cell["median"]
    for name, points in lines.items():
        axes.plot(list(points), list(points.values()), "o-", label=name, linewidth=2.5 if "holocron" in name else 1.2)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("followers")
    axes.set_ylabel("ms, median")
    axes.set_title("From release to the next leader")
    axes.grid(alpha=0.3)
    if lines:
        axes.legend()


def _cost(axes: Any, cells: list[Any]) -> None:
    """A leader and its followers, reckoned from the two that were counted."""
    counted: dict[str, dict[str, float]] = {}
    for cell in cells:
        if cell["samples"]:
            counted.setdefault(cell["peer"], {})[cell["case"]] = cell["median"]
    nodes = (1, 2, 5, 10, 20, 50, 100)
    drawn = {name: of for name, of in counted.items() if {"leader", "follower"} <= set(of)}
    for name, of in drawn.items():
        axes.plot(
            nodes,
            [of["leader"] + (count - 1) * of["follower"] for count in nodes],
            label=name,
            linewidth=2.5 if name == "holocron" else 1.2,
        )
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("nodes")
    axes.set_ylabel("requests a minute at ttl 10 s")
    axes.set_title("Requests of a steady cluster")
    axes.grid(alpha=0.3)
    if drawn:
        axes.legend()
