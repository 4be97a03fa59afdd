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
from typing import Any, Protocol, cast

import msgspec

from holocron import events
from holocron.clock import elapsed_holder_s
from holocron.errors import HolocronError, NodeStopped, OutcomeUnknown, RecordUnreadable, SettingsError
from holocron.observe.logs import logger
from holocron.runtime.journal import Journal
from holocron.runtime.waiting import Promised, Signal, start, take
from holocron.state.slots import ENTRY_LIMIT_BYTES

__all__ = ["Host", "Service"]

# How many idempotency keys are remembered; whoever repeats a command later than that many others finds it done again.
_KEYS_KEPT = 10_000
_KEY_LIMIT = 256
_CHECKPOINT_BYTES = 64 * 1024 * 1024


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
        checkpoint_every: take a checkpoint after so many commands (0: however many), if the service can be snapshotted.
        checkpoint_bytes: or after so many bytes of commands (0: however many), whichever comes first; None is 64 MiB,
            or 0 where `checkpoint_every` is 0.
    """

    def __init__(
        self,
        service: Service,
        journal: Journal,
        *,
        checkpoint_every: int = 1000,
        checkpoint_bytes: int | None = None,
    ) -> None:
        if checkpoint_every < 0:
            raise SettingsError(f"checkpoint_every is {checkpoint_every} and cannot be below zero")
        if checkpoint_bytes is None:
            checkpoint_bytes = _CHECKPOINT_BYTES if checkpoint_every else 0
        if checkpoint_bytes < 0:
            raise SettingsError(f"checkpoint_bytes is {checkpoint_bytes} and cannot be below zero")
        self.service = service
        self._journal = journal
        self._clock = journal.clock
        self._every = checkpoint_every
        self._bytes = checkpoint_bytes
        self._log = logger()
        # Held for an instant only, never while anything is waited for.
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
        # Each set while no thread of that kind is at work.
        self._not_applying = Signal(self._clock)
        self._not_checkpointing = Signal(self._clock)
        self._not_applying.set()
        self._not_checkpointing.set()

    def open(self, progress: Callable[[int, int], None] | None = None) -> int:
        """Bring the service to where its last acknowledged command left it; how many commands that is.

        Raises:
            RecordUnreadable: there is a checkpoint that the service cannot restore. And what `Journal.replay` raises.
        """

        def restore(snapshot: bytes, position: int) -> None:
            try:
                kept = msgspec.msgpack.decode(snapshot, type=_Kept)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise RecordUnreadable(f"the checkpoint at position {position} is not a service's: {error}") from None
            restoring = self._optional("restore")
            if restoring is None:
                raise RecordUnreadable(
                    f"there is a checkpoint at position {position} and {type(self.service).__name__} has no restore()"
                )
            restoring(kept.snapshot)
            self._answers = OrderedDict(kept.answers)
            self._since_checkpoint = [0, 0]

        def apply(position: int, data: bytes) -> None:
            try:
                entry = msgspec.msgpack.decode(data, type=_Entry)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:
                raise RecordUnreadable(f"the entry at position {position} is not a command: {error}") from None
            with contextlib.suppress(Exception):
                # It raised the first time too, and changed nothing.
                self._apply(entry)
            # They count: a process that dies early each time would never come to a checkpoint else.
            self._since_checkpoint[0] += 1
            self._since_checkpoint[1] += len(data)

        self._applied = self._journal.replay(apply, restore, progress=progress)
        self._not_applying.clear()
        start(self._clock, self._work, "holocron-apply")
        return self._applied

    def submit(self, command: bytes, key: str = "", timeout: float | None = None) -> bytes:
        """The service's answer to `command`, given once it is durable and applied.

        Args:
            key: names this command for repetitions: one that was applied already, in this incarnation or a former one,
                is not applied again, and its answer is given again. 10,000 keys are remembered.

        Raises:
            what `Service.apply` raises, and what `Journal.append` raises: after `OutcomeUnknown` or `Superseded` repeat
            it with the same key.
        """
        began = self._clock.now()
        answered = self._submit(command, key, timeout)
        left_s = None if timeout is None else max(0.0, timeout - elapsed_holder_s(began, self._clock.now()))
        try:
            return answered.result(left_s)
        except TimeoutError:
            if answered.done():
                # The service's own: it is the answer.
                return answered.result()
            raise OutcomeUnknown("a command was not answered in time; it may yet be applied") from None

    def submit_nowait(self, command: bytes, key: str = "") -> Future[bytes]:
        """As `submit`, without waiting for the answer; it waits for room where the journal is far behind."""
        return self._submit(command, key, None)

    def _submit(self, command: bytes, key: str, timeout: float | None) -> Future[bytes]:
        if len(key) > _KEY_LIMIT:
            raise SettingsError(f"an idempotency key has at most {_KEY_LIMIT} characters, this one has {len(key)}")
        entry = _Entry(key, bytes(command))
        data = msgspec.msgpack.encode(entry)
        if len(data) > ENTRY_LIMIT_BYTES:
            raise SettingsError(
                f"a command is at most {ENTRY_LIMIT_BYTES} bytes with its key, this one has {len(data)}"
            )
        with self._order:
            known = self._known(key)
        if known is not None:
            return known
        self._journal.reserve(len(data), timeout)
        with self._order:
            known = self._known(key)
            if known is not None:
                self._journal.waive(len(data))
                return known
            # In one breath, so that commands are applied in the order in which they are journaled.
            journaled = self._journal.hand_in(data)
            answered = self._promise()
            if key:
                self._under_way[key] = answered
            self._queue.put(_Submitted(entry, len(data), journaled, answered))
            return answered

    def _known(self, key: str) -> Future[bytes] | None:
        """What is known of a command under this key already."""
        if self._failure is not None:
            raise self._failure
        if not key:
            return None
        answer = self._answers.get(key)
        if answer is None:
            return self._under_way.get(key)
        answered = self._promise()
        answered.set_result(answer)
        return answered

    def _promise(self) -> Future[bytes]:
        answered: Promised[bytes] = Promised(self._clock)
        # What was submitted is not taken back.
        answered.set_running_or_notify_cancel()
        return answered

    def close(self, limit_s: float) -> None:
        """Apply what is durable, take one last checkpoint, and no more commands. Calling it again is harmless.

        Where the store or the service takes longer than `limit_s`, neither is waited for: what is not acknowledged by
        then is unknown, and whoever resumes the node applies a few commands more.
        """
        if not self._closing.acquire(blocking=False):
            return
        began = self._clock.now()

        def left_s() -> float:
            return max(0.0, limit_s - elapsed_holder_s(began, self._clock.now()))

        stopped = NodeStopped("the node has stopped, and its service with it")
        with self._order:
            self._failure = stopped
            self._queue.put(None)
        if not self._not_applying.wait(left_s()):
            # It waits for the store, and that is over with this, or else for the service itself.
            self._journal.close(stopped)
            self._not_applying.wait(limit_s)
        self._not_checkpointing.wait(left_s())
        applied, checkpointed = self._not_applying.is_set(), self._not_checkpointing.is_set()
        if (
            (self._every or self._bytes)
            and self._since_checkpoint[0]
            and applied
            and checkpointed
            and self._journal.failure is None
        ):
            # So that whoever resumes the node has next to nothing to apply again.
            self._checkpoint(self._kept(), self._applied, left_s())
        if applied:
            self._call("stop")
        else:
            self._log.warning("A service is still at work on a command and was not told to stop.")

    def told(self, event: events.Event) -> None:
        """What the node's subscribers are told, for a service that stands for election."""
        match event:
            case events.Elected(lease=lease):
                self._call("on_elected", lease)
            case events.Deposed(reason=reason):
                self._call("on_deposed", reason)

    # --- the applying thread ----------------------------------------------------------------------------------------

    def _work(self) -> None:
        try:
            while (submitted := take(self._clock, self._queue)) is not None:
                self._serve(submitted)
        finally:
            self._not_applying.set()

    def _serve(self, submitted: _Submitted) -> None:
        try:
            self._applied = submitted.journaled.result()
        except HolocronError as error:
            # Whatever follows in the queue was journaled after it, and so the journal fails that too.
            self._answer(submitted, error=error)
            return
        try:
            answer = self._apply(submitted.entry)
        except BaseException as error:  # noqa: BLE001 - what the service raises is its answer, and ends no thread
            self._answer(submitted, error=error)
        else:
            self._answer(submitted, answer)
        self._count(submitted.size)

    def _apply(self, entry: _Entry) -> bytes:
        known = self._answers.get(entry.key) if entry.key else None
        if known is not None:
            return known
        answer = self.service.apply(entry.command)
        if not isinstance(answer, bytes):
            raise TypeError(f"{type(self.service).__name__}.apply returned {type(answer).__name__} and not bytes")
        if entry.key:
            self._answers[entry.key] = answer
            while len(self._answers) > _KEYS_KEPT:
                self._answers.popitem(last=False)
        return answer

    def _answer(self, submitted: _Submitted, answer: bytes = b"", error: BaseException | None = None) -> None:
        with self._order:
            self._under_way.pop(submitted.entry.key, None)
        if error is not None:
            submitted.answered.set_exception(error)
        else:
            submitted.answered.set_result(answer)

    # --- checkpoints ------------------------------------------------------------------------------------------------

    def _count(self, size: int) -> None:
        """A checkpoint, if it is time for one: the snapshot is taken here, between two commands, and written aside."""
        self._since_checkpoint[0] += 1
        self._since_checkpoint[1] += size
        commands, volume = self._since_checkpoint
        due = (self._every and commands >= self._every) or (self._bytes and volume >= self._bytes)
        if not due or not self._not_checkpointing.is_set():
            return
        self._since_checkpoint = [0, 0]
        kept, position = self._kept(), self._applied
        if kept is None:
            return
        self._not_checkpointing.clear()

        def keep() -> None:
            try:
                self._checkpoint(kept, position)
            finally:
                self._not_checkpointing.set()

        start(self._clock, keep, "holocron-checkpoint")

    def _kept(self) -> bytes | None:
        """What a checkpoint is to hold, if the service has a snapshot to give."""
        snapshot = self._call("snapshot")
        if snapshot is None:
            return None
        if not isinstance(snapshot, bytes):
            self._log.error(
                f"{type(self.service).__name__}.snapshot returned {type(snapshot).__name__} and not bytes: no "
                "checkpoint was taken"
            )
            return None
        return msgspec.msgpack.encode(_Kept(snapshot, tuple(self._answers.items())))

    def _checkpoint(self, kept: bytes | None, position: int, timeout: float | None = None) -> None:
        if kept is None:
            return
        try:
            self._journal.checkpoint(kept, position, timeout)
        except HolocronError as error:
            # The journal has everything; the next checkpoint has another chance.
            self._log.warning("A checkpoint did not come through.", error=str(error), position=position)

    # --- the service's own ------------------------------------------------------------------------------------------

    def _optional(self, name: str) -> Callable[..., Any] | None:
        return cast("Callable[..., Any] | None", getattr(self.service, name, None))

    def _call(self, name: str, *arguments: object) -> Any:
        """What the service's `name` returns; None where it has none, or where it raises, which is logged."""
        method = self._optional(name)
        if method is None:
            return None
        try:
            return method(*arguments)
        except Exception:  # noqa: BLE001 - the service's fault is logged, and neither the node nor its end waits for it
            self._log.exception(f"{type(self.service).__name__}.{name} raised.")
            return None
