"""The public names: all there, typed, documented, and quick to import."""

from __future__ import annotations

import ast
import importlib.metadata
import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

import holocron
import holocron.aio
import holocron.errors
import holocron.events
import holocron.testing.server

ROOT = Path(holocron.__file__).resolve().parent
MODULES: tuple[ModuleType, ...] = (holocron, holocron.aio, holocron.errors, holocron.events, holocron.testing.server)
# What is loaded where it is used: an SDK when a store of its kind is opened, a server when it is started.
HEAVY = ("boto3", "botocore", "moto", "obstore", "prometheus_client", "rich", "structlog", "tenacity", "typer")

# A program of a user, who checks it as strictly as mypy can. An unused `ignore` is an error too, so each of those
# below says that a mistake is found.
PROGRAM = """
import threading
from collections.abc import Callable, Mapping
from typing import assert_type

import holocron
from holocron import Cluster, Lease, LeadershipLost, Node, Reason, Settings, StoreOptions, Tenure, Topology
from holocron import aio, errors, events
{every_name}

settings = Settings(ttl_s=2.0, keep_epochs=64)
assert_type(settings.drift, float)
Settings(ttl_s="2s")  # type: ignore[arg-type]
Settings(2.0)  # type: ignore[call-arg]

def write(fence: int) -> None: ...

with Node.start("s3://bucket/leader", labels={{"zone": "a"}}, settings=settings, options=StoreOptions()) as node:
    assert_type(node, Node)
    assert_type(node.id, str)
    assert_type(node.incarnation, int)
    assert_type(node.term, int | None)
    with node.lead(timeout=60) as lease:
        assert_type(lease, Lease)
        assert_type(lease.token, int)
        assert_type(lease.valid, bool)
        assert_type(lease.remaining_s, float)
        assert_type(lease.lost, threading.Event)
        assert_type(lease.reason, Reason | None)
        assert_type(node.publish(b"value"), int)
        node.publish("value")  # type: ignore[arg-type]
        write(fence=lease.token)
        write(fence=lease)  # type: ignore[arg-type]
    node.lead(timeout="60")  # type: ignore[arg-type]
    assert_type(node.run(lambda lease: [lease.token]), list[int])
    node.run(write)  # type: ignore[arg-type]
    assert_type(node.history(limit=20), tuple[Tenure, ...])
    assert_type(node.topology(), Topology | None)
    assert_type([member.node for member in node.members()], list[str])
    assert_type(node.failure, errors.HolocronError | None)
    leader = node.leader()
    leader.address  # type: ignore[union-attr]
    if leader is not None:
        assert_type(leader.address, str)

def told(event: events.Event) -> None:
    match event:
        case events.Elected(lease=lease):
            assert_type(lease, Lease)
        case events.Deposed(reason=reason):
            assert_type(reason, Reason)
        case events.LeaderChanged(epoch=epoch, term=term):
            assert_type(epoch, int)
            assert_type(term, int | None)
        case events.TopologyChanged(topology=topology):
            assert_type(topology, Topology)
        case events.Superseded(incarnation=incarnation):
            assert_type(incarnation, int)
        case _:
            pass

again = Node.resume("s3://bucket/leader", "3f10d2708fce", assume_dead=True)
assert_type(again.subscribe(told), Callable[[], None])
again.subscribe(write)  # type: ignore[arg-type]
try:
    lease.check()
except LeadershipLost as lost:
    assert_type(lost.reason, str)

with Cluster.open("file:///var/lib/holocron/leader") as cluster:
    assert_type(cluster, Cluster)
    assert_type(cluster.step_down(to=None), int)
    assert_type(cluster.requests, dict[str, int])

async def tasks() -> None:
    async with aio.Node.start("s3://bucket/leader", name="one", settings=settings) as node:
        assert_type(node, aio.Node)
        async with node.lead(timeout=60) as lease:
            assert_type(lease, Lease)
            assert_type(await node.publish(b"value"), int)
            assert_type(await node.journal.append(b"entry"), int)
        async for event in node.events():
            assert_type(event, events.Event)
        assert_type(await node.history(), tuple[Tenure, ...])

        @node.leader_only()
        async def tick(lease: Lease, number: int) -> int:
            return number

        assert_type(await tick(1), int | None)
        await tick("1")  # type: ignore[arg-type]
    assert_type(await aio.Node.resume("s3://bucket/leader", "3f10d2708fce"), aio.Node)
    aio.Node.start(1)  # type: ignore[arg-type]

@again.leader_only(otherwise="wait")
def rebuild(table: str) -> bool:
    return True

assert_type(rebuild("t"), bool)
again.leader_only(otherwise="hope")  # type: ignore[call-overload]
holocron.no_such_name  # type: ignore[attr-defined]
"""


def _public(module: ModuleType) -> Iterator[tuple[str, object]]:
    """The names of a module, and the public members of its classes."""
    for name in module.__all__:
        value = getattr(module, name)
        yield name, value
        if inspect.isclass(value):
            # What a class inherits from another of ours is as public as what it defines itself.
            ours = [base for base in value.__mro__ if base.__module__.startswith("holocron")]
            for own, member in ((own, member) for base in ours for own, member in vars(base).items()):
                plain = member.fget if isinstance(member, property) else getattr(member, "__func__", member)
                if not own.startswith("_") and inspect.isfunction(plain):
                    yield f"{name}.{own}", plain


@pytest.mark.parametrize("module", MODULES, ids=lambda module: module.__name__)
def test_every_public_name_is_there_and_documented(module: ModuleType) -> None:
    """Each name that a module offers can be had from it, and it and its members say what they promise."""
    assert len(module.__all__) == len(set(module.__all__))
    modules = {name for name, value in _public(module) if inspect.ismodule(value)}
    assert modules == ({"errors", "events"} if module is holocron else set())
    documented = [(name, value) for name, value in _public(module) if inspect.ismodule(value) or callable(value)]
    assert [name for name, value in documented if not (value.__doc__ or "").strip()] == []


def test_the_names_are_one_list() -> None:
    """What can be had, what `dir` shows and what `import *` brings are the same; anything else is an AttributeError."""
    brought: dict[str, object] = {}
    exec("from holocron import *", brought)
    brought.pop("__builtins__")
    assert set(brought) == set(holocron.__all__)
    assert dir(holocron) == sorted(holocron.__all__)
    with pytest.raises(AttributeError, match="no_such_name"):
        holocron.no_such_name  # type: ignore[attr-defined]  # noqa: B018 - that it is not there is the point


def test_every_error_can_be_had_from_the_top() -> None:
    """The whole tree of errors is importable from `holocron`, and has one root."""
    for name in holocron.errors.__all__:
        error = getattr(holocron, name)
        assert error is getattr(holocron.errors, name)
        assert issubclass(error, holocron.HolocronError)


def test_the_bare_import_loads_nothing_else() -> None:
    """`import holocron` alone loads none of its own modules, and nobody else's: each name brings what it needs."""
    script = "import sys; before = {*sys.modules}; import holocron; print(sorted({*sys.modules} - before))"
    loaded = set(_python(script))
    assert {name for name in loaded if name.partition(".")[0] == "holocron"} == {"holocron"}
    assert {name.partition(".")[0] for name in loaded} - {"holocron"} <= sys.stdlib_module_names


def test_all_names_together_load_nothing_heavy() -> None:
    """No public name needs an SDK, a server or what only the command line uses, as long as it is only a name."""
    script = "import sys; from holocron import *; import holocron.testing.server; print(sorted(sys.modules))"
    assert set(_python(script)).isdisjoint(HEAVY)


def _python(script: str) -> list[str]:
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    names = ast.literal_eval(done.stdout)
    assert isinstance(names, list)
    return names


def test_a_users_program_is_checked_strictly(tmp_path: Path) -> None:
    """The types that are shipped (py.typed) let mypy --strict accept right programs and find mistakes in wrong ones."""
    assert (ROOT / "py.typed").is_file()
    every_name = "\n".join(f"from holocron import {name} as {name}" for name in holocron.__all__)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM.format(every_name=every_name))
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file", "", "--cache-dir", str(tmp_path / "cache")]
    done = subprocess.run([*mypy, str(program)], cwd=tmp_path, capture_output=True, text=True, timeout=115, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_version_is_the_distributions() -> None:
    """`holocron-runtime` is installed, and offers the command."""
    assert importlib.metadata.version("holocron-runtime")
    scripts = importlib.metadata.entry_points(group="console_scripts", name="holocron")
    (script,) = {*scripts}
    assert script.value == "holocron_cli.app:main"
