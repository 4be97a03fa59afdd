"""Loading much that stays: a module of hundreds of classes, the description of a service."""

from __future__ import annotations

import contextlib
import gc
from collections.abc import Iterator

__all__ = ["loading"]


@contextlib.contextmanager
def loading() -> Iterator[None]:
    """Hold the garbage collector off, for a tenth of a second or so in which nothing becomes garbage.

    It would go through all that is loaded again and again: a fifth of the time from the start of a process until it
    leads (`make bench BENCH='--only start-ratio'`). Where the application has switched it off, it stays off.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
    finally:
        gc.enable()
