"""`leader_only`: a function that runs only while its node leads."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, Literal, ParamSpec, Protocol, TypeVar, cast, overload

from holocron.errors import HolocronError, NotLeader, SettingsError
from holocron.runtime.leadership import Held, Leadership
from holocron.runtime.lease import Lease

__all__ = ["leader_only"]

_P = ParamSpec("_P")
_R = TypeVar("_R")
_Async = Coroutine[Any, Any, _R]


class _Leading(Protocol):
    """A node, for threads or for asyncio."""

    _leadership: Leadership

    @property
    def id(self) -> str: ...

    @property
    def lease(self) -> Lease | None: ...


class _Skips(Protocol):
    """Decorates: None where the function did not run."""

    @overload
    def __call__(
        self, function: Callable[Concatenate[Lease, _P], _Async[_R]], /
    ) -> Callable[_P, _Async[_R | None]]: ...
    @overload
    def __call__(self, function: Callable[_P, _Async[_R]], /) -> Callable[_P, _Async[_R | None]]: ...
    @overload
    def __call__(self, function: Callable[Concatenate[Lease, _P], _R], /) -> Callable[_P, _R | None]: ...
    @overload
    def __call__(self, function: Callable[_P, _R], /) -> Callable[_P, _R | None]: ...


class _Keeps(Protocol):
    """Decorates: what the function returns."""

    @overload
    def __call__(self, function: Callable[Concatenate[Lease, _P], _R], /) -> Callable[_P, _R]: ...
    @overload
    def __call__(self, function: Callable[_P, _R], /) -> Callable[_P, _R]: ...


@overload
def leader_only(self: _Leading, otherwise: Literal["skip"] = "skip") -> _Skips: ...
@overload
def leader_only(self: _Leading, otherwise: Literal["raise", "wait"]) -> _Keeps: ...
def leader_only(self: _Leading, otherwise: Literal["skip", "raise", "wait"] = "skip") -> _Skips | _Keeps:
    """Decorate a function, sync or async, so that it runs only while this node leads.

        @node.leader_only()
        def tick() -> None: ...

        @node.leader_only(otherwise="wait")
        async def rebuild(lease: Lease, table: str) -> None: ...

    A parameter called `lease` is given the lease, by the decorator and not by the caller (type checkers know that where
    it comes first). The call counts as work that holds the lease: a release waits for it (rule 9). It never ends a
    tenure that `campaign` or a `lead` elsewhere wants; one that nobody else wants is given back when it returns.

    `otherwise` decides what happens before the function begins, and only that:

    * "skip": where this node does not lead, nothing is run and None is returned. Nor does the node stand for election.
    * "raise": the same, and `NotLeader` is raised.
    * "wait": stand for election, wait for leadership, then run. Raises what `lead` raises when it never will come.

    The lease may be lost while the function runs. A sync function runs on to its own end, and its result is the
    call's: let it take `lease`, and ask `lease.valid` before what only a leader does, or wait on `lease.lost`. An async
    function is cancelled where it awaits, and the call raises `LeadershipLost`; one that finishes all the same has its
    result returned. A cancellation from outside stays a cancellation.

    Raises:
        SettingsError: `otherwise` is something else, or the function is a generator, or takes `lease` by position only.
    """
    if otherwise not in ("skip", "raise", "wait"):
        raise SettingsError(f"otherwise is {otherwise!r}, and may be 'skip', 'raise' or 'wait'")

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        call = _Call(function)

        async def in_task(*args: Any, **kwargs: Any) -> Any:
            # Imported here because asyncio takes its time, and whoever comes here has it already.
            from holocron.runtime.holding import holding, taken

            held = await taken(self._leadership, ends=False) if otherwise == "wait" else _held(self, otherwise)
            if held is None:
                return None
            async with holding(self._leadership, held) as lease:
                return await call(lease, args, kwargs)

        def in_thread(*args: Any, **kwargs: Any) -> Any:
            if otherwise == "wait":
                with self._leadership.hold(None, ends=False) as lease:
                    return call(lease, args, kwargs)
            held = _held(self, otherwise)
            if held is None:
                return None
            try:
                return call(held.lease, args, kwargs)
            finally:
                self._leadership.leave(held)

        decorated: Callable[..., Any] = in_task if inspect.iscoroutinefunction(function) else in_thread
        functools.update_wrapper(decorated, function)
        # Whoever looks at the signature (FastAPI, typer) is not to ask anybody for a lease.
        decorated.__signature__ = call.signature  # type: ignore[attr-defined]
        return decorated

    return cast("_Skips | _Keeps", decorate)


def _held(node: _Leading, otherwise: str) -> Held | None:
    """The node's lease, taken for one call; None, or `NotLeader`, where there is none now."""
    held = None
    # Asked first, for that waits on no lock: a fork may have copied one that somebody held.
    if node.lease is not None:
        try:
            held = node._leadership.take(ends=False)
        except HolocronError:
            # The node stops, so it does not lead.
            held = None
    if held is None and otherwise == "raise":
        raise NotLeader(f"node {node.id} does not lead, so what only a leader does was not done")
    return held


class _Call:
    """A function, called with the lease where it asks for one."""

    def __init__(self, function: Callable[..., Any]) -> None:
        if inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function):
            raise SettingsError("a generator runs after the call has returned, so no lease can be held for it")
        self._function = function
        whole = inspect.signature(function)
        parameters = [*whole.parameters.values()]
        self._place = next((at for at, one in enumerate(parameters) if one.name == "lease"), None)
        self._by_position = False
        if self._place is not None:
            kind = parameters.pop(self._place).kind
            if kind not in (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY):
                raise SettingsError("a parameter called lease has to be one that can be given by its name")
            self._by_position = kind is inspect.Parameter.POSITIONAL_OR_KEYWORD
        #: The function's, as its callers see it.
        self.signature = whole.replace(parameters=parameters)

    def __call__(self, lease: Lease, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        if self._place is None:
            return self._function(*args, **kwargs)
        if self._by_position and len(args) >= self._place:
            return self._function(*args[: self._place], lease, *args[self._place :], **kwargs)
        return self._function(*args, **kwargs, lease=lease)
