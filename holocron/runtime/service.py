"""Hosting a stateful service: a plain class whose state is what its acknowledged commands made of it.

A command is journaled, then applied, then answered. Kill the process, resume the node elsewhere, and the service stands
where its last acknowledged command left it: the newest checkpoint is restored and the commands behind it are applied
again, in the same order.
"""

from __future__ import annotations

import contextlib
import queue
import threading
from collections import OrderedDict
from collections.abc import Callable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from functools import partial
from typing import Any, Protocol, cast

import msgspec

from holocron import events
from holocron.errors import HolocronError, NodeStopped, OutcomeUnknown, RecordUnreadable, SettingsError
from holocron.observe.logs import logger
from holocron.runtime.journal import Journal
from holocron.runtime.waiting import Promised, start, take

__all__ = ["Host", "Service"]

# How many idempotency keys are remembered; whoever repeats a command later than that many others finds it done again.
_KEYS_KEPT = 10_000
_KEY_LIMIT = 256


class Service(Protocol):
    """What can be hosted. Only `apply` is needed; a host looks for the others by name:

    `snapshot() -> bytes` and `restore(snapshot: bytes)`: without them every command ever given is applied again.
    `on_elected(lease)` and `on_deposed(reason)`: leadership, if the service stands for it.
    `stop()`: the node is about to stop.
    """

    def apply(self, command: bytes) -> bytes:
        """Change the state as `command` says; the answer. The same commands in the same order must always have the same
        effect: no clock, no randomness, no I/O that matters. Raise before you change anything: a command that raises
        has not happened, and whoever repeats it has it tried again.
        """
        ...


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    """A command as the journal keeps it."""

    key: str
    command: bytes


class _Kept(msgspec.Struct, frozen=True, array_like=True):
    """What a checkpoint holds: the service's own snapshot, and the answers to the keys that are remembered."""

    snapshot: bytes
    answers: tuple[tuple[str, bytes], ...]


class _Submitted(msgspec.Struct, frozen=True):
    entry: _Entry
    size: int
    journaled: Future[int]
    answered: Future[bytes]


class Host:
    """One service on one node's journal.

    Args:
        checkpoint_every: take a checkpoint after so many commands (0: never), if the service can be snapshotted.
        checkpoint_bytes: or after so many bytes of commands, whichever comes first.
    """

    def __init__(
        self, service: Service, journal: Journal, *, checkpoint_every: int = 1000, checkpoint_bytes: int = 64 << 20
    ) -> None:
        if checkpoint_every < 0:
            raise SettingsError(f"checkpoint_every is {checkpoint_every} and cannot be below zero")
        self.service = service
        self._journal = journal
        self._every = checkpoint_every
        self._bytes = checkpoint_bytes
        self._log = logger()
        self._order = threading.Lock()
        # Taken once and never given back.
        self._closing = threading.Lock()
        self._queue: queue.SimpleQueue[_Submitted | None] = queue.SimpleQueue()
        # The answers to keys, oldest first, and those under way.
        self._answers: OrderedDict[str, bytes] = OrderedDict()
        self._under_way: dict[str, Future[bytes]] = {}
        self._failure: HolocronError | None = None
        # The position of the command that was applied last, and how many and how much since the last checkpoint.
        self._applied = 0
        self._since_checkpoint = [0, 0]
        self._checkpointing: threading.Thread | None = None
        self._applier: threading.Thread | None = None

    def open(self, progress: Callable[[int], None] | None = None) -> int:
        """Bring the service to where its last acknowledged command left it; how many commands that is.

        Raises:
            RecordUnreadable: there is a checkpoint that the service cannot restore. And what `Journal.replay` raises.
        """

        def restore(snapshot: bytes, position: int) -> None:
            try:
                kept = msgspec.msgpack.decode(snapshot, type=_Kept)
            except msgspec.DecodeError as error:
                raise RecordUnreadable(f"the checkpoint at position {position} is not a service's: {error}") from None
            restoring = self._optional("restore")
            if restoring is None:
                raise RecordUnreadable(
                    f"there is a checkpoint at position {position} and {type(self.service).__name__} has no restore()"
                )
            restoring(kept.snapshot)
            self._answers = OrderedDict(kept.answers)

        def apply(position: int, data: bytes) -> None:
            try:
                entry = msgspec.msgpack.decode(data, type=_Entry)
            except msgspec.DecodeError as error:
                raise RecordUnreadable(f"the entry at position {position} is not a command: {error}") from None
            with contextlib.suppress(Exception):
                # It raised the first time too, and changed nothing.
                self._apply(entry)
            if progress is not None:
                progress(position)

        position = self._journal.replay(apply, restore)
        self._applier = start(self._journal.clock, self._work, "holocron-apply")
        return position

    def submit(self, command: bytes, key: str = "", timeout: float | None = None) -> bytes:
        """The service's answer to `command`, given once it is durable and applied.

        Args:
            key: names this command for repetitions: one that was applied already, in this incarnation or a former one,
                is not applied again, and its answer is given again. 10,000 keys are remembered.

        Raises:
            what `Service.apply` raises, and what `Journal.append` raises: after `OutcomeUnknown` or `Superseded` repeat
            it with the same key.
        """
        if len(key) > _KEY_LIMIT:
            raise SettingsError(f"an idempotency key has at most {_KEY_LIMIT} characters, this one has {len(key)}")
        try:
            return self.submit_nowait(command, key).result(timeout)
        except FutureTimeout:
            raise OutcomeUnknown("a command was not answered in time; it may yet be applied") from None

    def submit_nowait(self, command: bytes, key: str = "") -> Future[bytes]:
        """As `submit`, without waiting for the answer."""
        entry = _Entry(key, bytes(command))
        data = msgspec.msgpack.encode(entry)
        with self._order:
            if self._failure is not None:
                raise self._failure
            answered: Promised[bytes] = Promised(self._journal.clock)
            if key:
                if key in self._answers:
                    answered.set_result(self._answers[key])
                    return answered
                if key in self._under_way:
                    return self._under_way[key]
            # In one breath, so that commands are applied in the order in which they are journaled.
            journaled = self._journal.append_nowait(data)
            if key:
                self._under_way[key] = answered
            self._queue.put(_Submitted(entry, len(data), journaled, answered))
            return answered

    def close(self) -> None:
        """Apply what is durable, take one last checkpoint, and no more commands. Calling it again is harmless."""
        if not self._closing.acquire(blocking=False):
            return
        with self._order:
            self._failure = self._failure or NodeStopped("the node has stopped, and its service with it")
        if self._applier is not None:
            self._queue.put(None)
            self._applier.join()
        if self._checkpointing is not None:
            self._checkpointing.join()
        snapshot = self._optional("snapshot")
        if self._every and self._since_checkpoint[0] and snapshot is not None:
            # So that whoever resumes the node has next to nothing to apply again.
            self._checkpoint(self._kept(snapshot), self._applied)
        self._call("stop")

    def _kept(self, snapshot: Callable[[], bytes]) -> bytes:
        return msgspec.msgpack.encode(_Kept(snapshot(), tuple(self._answers.items())))

    def told(self, event: events.Event) -> None:
        """What the node's subscribers are told, for a service that stands for election."""
        match event:
            case events.Elected(lease=lease):
                self._call("on_elected", lease)
            case events.Deposed(reason=reason):
                self._call("on_deposed", reason)

    # --- the applying thread ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        while (submitted := take(self._journal.clock, self._queue)) is not None:
            try:
                self._applied = submitted.journaled.result()
            except HolocronError as error:
                # Whatever follows in the queue was journaled after it, so none of it can be acknowledged either.
                self._fail(error)
                self._answer(submitted, error=error)
                continue
            try:
                answer = self._apply(submitted.entry)
            except Exception as error:  # noqa: BLE001 - what the service raises is its answer
                self._answer(submitted, error=error)
            else:
                self._answer(submitted, answer)
            self._count(submitted.size)

    def _apply(self, entry: _Entry) -> bytes:
        if entry.key and entry.key in self._answers:
            return self._answers[entry.key]
        answer = self.service.apply(entry.command)
        if entry.key:
            self._answers[entry.key] = answer
            while len(self._answers) > _KEYS_KEPT:
                self._answers.popitem(last=False)
        return answer

    def _answer(self, submitted: _Submitted, answer: bytes = b"", error: Exception | None = None) -> None:
        with self._order:
            self._under_way.pop(submitted.entry.key, None)
        if error is not None:
            submitted.answered.set_exception(error)
        else:
            submitted.answered.set_result(answer)

    def _fail(self, error: HolocronError) -> None:
        with self._order:
            self._failure = self._failure or error

    def _count(self, size: int) -> None:
        """A checkpoint, if it is time for one: the snapshot is taken here, between two commands, and written aside."""
        self._since_checkpoint[0] += 1
        self._since_checkpoint[1] += size
        commands, volume = self._since_checkpoint
        due = self._every and (commands >= self._every or volume >= self._bytes)
        if not due or (self._checkpointing is not None and self._checkpointing.is_alive()):
            return
        snapshot = self._optional("snapshot")
        if snapshot is None:
            return
        self._since_checkpoint = [0, 0]
        work = partial(self._checkpoint, self._kept(snapshot), self._applied)
        self._checkpointing = start(self._journal.clock, work, "holocron-checkpoint")

    def _checkpoint(self, kept: bytes, position: int) -> None:
        try:
            self._journal.checkpoint(kept, position)
        except HolocronError as error:
            # The journal has everything; the next checkpoint has another chance.
            self._log.warning("A checkpoint was not taken.", error=str(error), position=position)

    def _optional(self, name: str) -> Callable[..., Any] | None:
        return cast("Callable[..., Any] | None", getattr(self.service, name, None))

    def _call(self, name: str, *arguments: object) -> None:
        method = self._optional(name)
        if method is not None:
            method(*arguments)
