"""Signals that are heard at once, whatever the main thread is doing."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from types import FrameType

__all__ = ["heard", "unwinding"]


@contextlib.contextmanager
def heard(numbers: Sequence[signal.Signals], tell: Callable[[int], None]) -> Iterator[None]:
    """Have `tell` called with each of these signals, on a thread of its own; to be entered by the main thread.

    A handler written in Python runs when the main thread next runs Python, and a signal that comes just before that
    thread goes to sleep does not wake it. So the interpreter's C handler, which runs there and then, writes each
    signal into a pipe, and a thread reads them from it.
    """
    reading, writing = os.pipe()
    os.set_blocking(writing, False)

    def listen() -> None:
        while told := os.read(reading, 64):
            for number in told:
                # The pipe is told of every signal that has a handler, and others may have theirs.
                if number in numbers:
                    tell(number)

    listener = threading.Thread(target=listen, name="holocron-signals", daemon=True)
    listener.start()
    fd_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    before = {number: signal.signal(number, _nothing) for number in numbers}
    masks = threading.local()

    def let_go() -> None:
        signal.set_wakeup_fd(fd_before)
        for number, handler in before.items():
            signal.signal(number, handler)

    # A child that the application forks has the same pipe, and what it is told is not meant for its parent. Until it
    # has let go of the pipe, its signals wait.
    def hold() -> None:
        masks.before = signal.pthread_sigmask(signal.SIG_BLOCK, before)

    def go_on() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.before)

    def forked() -> None:
        if before:
            let_go()
            before.clear()
        go_on()

    os.register_at_fork(before=hold, after_in_parent=go_on, after_in_child=forked)
    try:
        yield
    finally:
        let_go()
        before.clear()
        os.close(writing)
        listener.join()
        os.close(reading)


@contextlib.contextmanager
def unwinding(numbers: Sequence[signal.Signals]) -> Iterator[Callable[[], None]]:
    """Have each of these signals unwind the main thread, whatever it is doing, with the exit code that shells give it.

    What is yielded raises once more what a signal raised that came before: Python drops an exception that comes up in a
    callback of its own, as at the end of each import. So it is to be called wherever the main thread waits for long.
    """
    told: list[int] = []

    def leave(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        raise SystemExit(128 + number)

    def check() -> None:
        if told:
            raise SystemExit(128 + told[0])

    before = {number: signal.signal(number, leave) for number in numbers}
    try:
        yield check
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Stands in for the default handler, which would end the process."""
