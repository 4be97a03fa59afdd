"""What `node start` and `node resume` run on a node besides the election: an app, a command at each change of role."""

from __future__ import annotations

import contextlib
import importlib
import os
import queue
import re
import shlex
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

from holocron import events
from holocron.errors import SettingsError

if TYPE_CHECKING:
    from holocron import Node

__all__ = ["Fleet", "app_of", "checkpoints", "hosting", "tell_role_changes"]

# A replay of fewer slots, and of less time, needs no progress bar.
_BAR_FROM_SLOTS = 100
_BAR_AFTER_S = 1.0
_UNITS = {
    "B": 1,
    "kB": 1000,
    "MB": 1000**2,
    "GB": 1000**3,
    "KiB": 1024,
    "MiB": 1024**2,
    "GiB": 1024**3,
}


def app_of(spec: str) -> Callable[[], Any]:
    """What makes the service that `spec` ("package.module:Class") names; the current folder is looked in first."""
    module_name, sign, name = spec.partition(":")
    if not (sign and name.isidentifier() and all(part.isidentifier() for part in module_name.split("."))):
        raise SettingsError(f"--app wants package.module:Class, not {spec[:80]!r}")
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is not None and (module_name == error.name or module_name.startswith(f"{error.name}.")):
            raise SettingsError(
                f"--app: there is no module {module_name} in {here} or among what is installed"
            ) from None
        raise SettingsError(f"--app: {module_name} needs {error.name}, which is not installed") from None
    made = getattr(module, name, None)
    if not callable(made):
        raise SettingsError(f"--app: {module_name} has no class {name}")
    if not callable(getattr(made, "apply", None)):
        raise SettingsError(f"--app: {module_name}:{name} has no method apply(command), so it is no service")
    return made  # type: ignore[no-any-return]  # whatever it is, it can be called


class Checkpoints(NamedTuple):
    """When a hosted service has checkpoints taken, as `Node.host` wants it told."""

    every: int
    size: int | None


def checkpoints(every: str) -> Checkpoints:
    """What a flag says of when checkpoints are taken: "1000" (commands), "64MiB" (of commands), "0" (never).

    Raises `SettingsError` for what is neither.
    """
    said = re.fullmatch(r"([0-9]{1,15})\s*(B|[kMG]B|[KMG]iB)?", every.strip())
    if said is None:
        raise SettingsError(
            f"--checkpoint-every wants a number of commands (1000), or a size (64MiB, 500kB), not {every[:80]!r}"
        )
    number, unit = int(said[1]), said[2]
    if unit is None:
        return Checkpoints(number, None)
    return Checkpoints(0, number * _UNITS[unit])


def hosting(node: Node, made: Callable[[], Any] | None, when: Checkpoints) -> Node:
    """`node`, hosting what `made` makes, if anything, with checkpoints `when` it says; stopped if it cannot."""
    if made is not None:
        try:
            _host(node, made, when)
        except BaseException:
            node.stop()
            raise
    return node


def _host(node: Node, made: Callable[[], Any], when: Checkpoints) -> None:
    """Host a new service on `node`, and show how the replay goes where someone is watching."""
    if not sys.stderr.isatty():
        node.host(made(), checkpoint_every=when.every, checkpoint_bytes=when.size)
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Replaying the journal"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    began_s = time.monotonic()
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        task = progress.add_task("replay", total=None, visible=False)

        def show(slots: int, of: int) -> None:
            wanted = of >= _BAR_FROM_SLOTS or time.monotonic() - began_s >= _BAR_AFTER_S
            progress.update(task, completed=slots, total=of, visible=wanted)

        node.host(made(), checkpoint_every=when.every, checkpoint_bytes=when.size, progress=show)


@contextlib.contextmanager
def tell_role_changes(node: Node, command: str | None) -> Iterator[None]:
    """Run `command` each time the node becomes leader or is leader no more, one run after another.

    It never holds up the node: a run that takes long delays the next run and nothing else. It finds HOLOCRON_ROLE
    ("leader" or "follower"), HOLOCRON_NODE_ID, HOLOCRON_TERM and HOLOCRON_REASON in its environment.
    """
    if command is None:
        yield
        return
    words = shlex.split(command)
    changes: queue.SimpleQueue[dict[str, str] | None] = queue.SimpleQueue()
    term = ""

    def told(event: events.Event) -> None:
        nonlocal term
        match event:
            case events.Elected(lease=lease):
                term = str(lease.term)
                changes.put({"HOLOCRON_ROLE": "leader", "HOLOCRON_TERM": term, "HOLOCRON_REASON": ""})
            case events.Deposed(reason=reason):
                changes.put({"HOLOCRON_ROLE": "follower", "HOLOCRON_TERM": term, "HOLOCRON_REASON": reason.value})

    def work() -> None:
        while (change := changes.get()) is not None:
            environment = {**os.environ, "HOLOCRON_NODE_ID": node.id, **change}
            try:
                code = subprocess.run(words, env=environment, check=False).returncode  # noqa: S603 - it is what was asked
            except OSError as error:
                sys.stderr.write(f"holocron: --on-role-change: {words[0]} cannot be run: {error.strerror}\n")
                continue
            if code:
                sys.stderr.write(f"holocron: --on-role-change: {words[0]} ended with {code}\n")

    worker = threading.Thread(target=work, name="holocron-role-change", daemon=True)
    worker.start()
    unsubscribe = node.subscribe(told)
    try:
        yield
    finally:
        # The node has stopped, and its last change was told.
        unsubscribe()
        changes.put(None)
        worker.join()


class Fleet:
    """Many nodes of one process, begun and ended as one."""

    def __init__(self, nodes: tuple[Node, ...], stop: Callable[[], None]) -> None:
        self._nodes = nodes
        self._stop = stop

    def campaign(self) -> None:
        """Have each of them stand for election."""
        for node in self._nodes:
            node.campaign()

    def wait(self) -> None:
        """Return when all of them have stopped."""
        for node in self._nodes:
            node.wait()

    def stop(self) -> None:
        """Stop them all."""
        self._stop()

    @property
    def failure(self) -> BaseException | None:
        """Why the first of them stopped by itself, if any did."""
        return next((node.failure for node in self._nodes if node.failure is not None), None)
