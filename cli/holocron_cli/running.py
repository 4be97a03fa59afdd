"""From the start of a node to its end: signals, `--for`, and what ended it.

Everything that can happen arrives in one queue, and the main thread reads it: a signal, the node's start or its
failure to, the node's own end. The first signal releases leadership and stops the node; the second ends the process
there and then, and the lease is left to lapse.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Literal, cast

from holocron_cli.signals import heard

if TYPE_CHECKING:
    from holocron import Node
    from holocron_cli.hosting import Fleet

__all__ = ["run_node", "wait_for_signal"]

# How long a start that is under way when the signal comes may take to reach its end. Nothing is led before it.
START_GRACE_S = 5.0

Word = tuple[Literal["signal", "started", "failed", "stopped"], object]


@contextlib.contextmanager
def _endings(news: queue.SimpleQueue[Word]) -> Iterator[None]:
    """SIGTERM and SIGINT as words in `news`; the second of them ends the process."""
    seen: list[int] = []

    def tell(number: int) -> None:
        if seen:
            # No clean-up of any kind: whoever sends a second one has lost patience with the first.
            os._exit(128 + number)
        seen.append(number)
        news.put(("signal", number))

    with heard((signal.SIGTERM, signal.SIGINT), tell):
        yield


def run_node(
    start: Callable[[], Node | Fleet],
    for_s: float | None,
    http: str | None = None,
    on_role_change: str | None = None,
) -> None:
    """Start a node, let it stand for election, and stay until a signal, `for_s` seconds, or the node's own end.

    Args:
        http: "HOST:PORT" to serve the node at from beginning to end, if anywhere.
        on_role_change: a command to run at each change of the node's role.

    Raises:
        whatever the start raised, or what stopped the node if it stopped by itself (`Superseded`, say).
    """
    until = None if for_s is None else time.monotonic() + for_s
    news: queue.SimpleQueue[Word] = queue.SimpleQueue()
    with _endings(news), _serving(http) as show:
        # A start can take its time (a probe, a store that does not answer), and a signal must not tear it in two:
        # so it has a thread of its own, and this one stays free to hear.
        threading.Thread(target=_start, args=(start, news), name="holocron-start", daemon=True).start()
        word, value = _next(news, until)
        if word in ("signal", "time"):
            # Leadership is not asked for before `campaign`, so a start that hangs holds nothing and may be left.
            word, value = _next(news, time.monotonic() + START_GRACE_S)
            if word == "started":
                cast("Node | Fleet", value).stop()
            elif word == "time":
                _leave()
            return
        if word == "failed":
            assert isinstance(value, BaseException)
            raise value
        node = cast("Node | Fleet", value)
        with contextlib.ExitStack() as stack:
            if on_role_change is not None or http is not None:
                from holocron_cli.hosting import tell_role_changes

                one = cast("Node", node)
                show(one)
                stack.enter_context(tell_role_changes(one, on_role_change))
            stack.callback(node.stop)
            node.campaign()
            threading.Thread(target=_watch, args=(node, news), name="holocron-watch", daemon=True).start()
            word, _ = _next(news, until)
        if word == "stopped" and node.failure is not None:
            raise node.failure


@contextlib.contextmanager
def _serving(http: str | None) -> Iterator[Callable[[Node], None]]:
    """Endpoints that are there before the node is: a port that is taken must not leave half a start behind."""
    if http is None:
        yield lambda _: None
        return
    from holocron import serve
    from holocron_cli.config import listen

    host, port = listen(http)
    with serve(host=host, port=port) as endpoints:
        yield endpoints.show


def wait_for_signal(for_s: float | None = None) -> None:
    """Return at the first SIGTERM or SIGINT, or after `for_s` seconds."""
    news: queue.SimpleQueue[Word] = queue.SimpleQueue()
    with _endings(news):
        _next(news, None if for_s is None else time.monotonic() + for_s)


def _start(start: Callable[[], Node | Fleet], news: queue.SimpleQueue[Word]) -> None:
    try:
        news.put(("started", start()))
    except BaseException as error:  # noqa: BLE001 - it is raised again, in the main thread
        news.put(("failed", error))


def _watch(node: Node | Fleet, news: queue.SimpleQueue[Word]) -> None:
    node.wait()
    news.put(("stopped", None))


def _next(news: queue.SimpleQueue[Word], until: float | None) -> tuple[str, object]:
    try:
        return news.get(timeout=None if until is None else max(0.0, until - time.monotonic()))
    except queue.Empty:
        return "time", None


def _leave() -> None:
    """End the process although a thread is still in a request: the interpreter's own end would wait for it."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(0)
