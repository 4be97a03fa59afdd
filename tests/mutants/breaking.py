"""Breaking the code that ships, for the length of a `with`: a piece of a function's text for another.

The function object stays and is given other code, so the break is in force wherever the function is known, under
whatever name it was imported. An edit whose text is not there exactly once is an error: a mutant that no longer
breaks anything would prove nothing.
"""

from __future__ import annotations
import __future__

import ast
import inspect
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import CodeType, FunctionType
from typing import Any

import msgspec

from holocron.testing.simulation.misfortune import Misfortune, Regime

__all__ = [
    "BELATED",
    "BURIED",
    "CUT_OFF",
    "DOZING",
    "GREEDY",
    "HELD",
    "LAGGING",
    "MEDDLED",
    "RESUMED_SINCE",
    "ROLLED_BACK",
    "ROTTING",
    "SET_BACK",
    "SLUGGISH",
    "SUPERSEDED",
    "TRIMMED_MEANWHILE",
    "UNCERTAIN",
    "WIPED",
    "Edit",
    "Mutant",
    "broken",
    "edit",
]

# What the lives of some mutants suffer instead of what their seeds draw, where one thing alone shows the fault.
# A leader hears of its renewals late, and is then cut off: another leads while it would still believe.
SLUGGISH = Misfortune({"slow": 0.3}, {"partition": 0.3, "mute": 0.2})
# Answers take long, and leaders die.
BELATED = Misfortune({"slow": 0.1}, {"crash": 0.3})
# Nobody can say whether a write was done, and then the store refuses to do any more.
UNCERTAIN = Misfortune({"failed_after": 0.4, "conflict": 0.5}, {"denied": 0.5})
# Answers take long, and retention takes all that it may meanwhile.
TRIMMED_MEANWHILE = Misfortune({"slow": 0.2}, {}, greed=True)
# A leader is cut off, and nothing else disturbs those who wait for its lease to end.
CUT_OFF = Misfortune({}, {"partition": 0.3, "mute": 0.2})
# A process stands still with a request under way.
DOZING = Misfortune({"stall_after": 0.03}, {"release": 0.2})
# A process stands still before it writes, while others go on and retention takes all that it may.
GREEDY = Misfortune({"stall_before": 0.1}, {"release": 0.5}, greed=True)
# Leadership is to stay with nodes that are killed, cut off and resumed, and answers are late.
HELD = Misfortune(
    {"slow": 0.1, "failed_before": 0.1},
    {"hold": 0.4, "crash": 0.1, "usurp": 0.1, "zombie": 0.1, "partition": 0.2, "release": 0.2},
)
# Strangers put their files everywhere while it takes long to found the cluster.
MEDDLED = Misfortune({"request_lost": 0.7}, {"foreign": 3.0})
# Nodes are resumed while their former selves live on, halt and run again; and old journal slots go at once.
SUPERSEDED = Misfortune(
    {"stall_before": 0.05, "slow": 0.05, "answer_lost": 0.05, "crash_after": 0.003},
    {"zombie": 0.3, "usurp": 0.1, "crash": 0.1},
    greed=True,
)
# A node is resumed and goes on in peace, until retention has let go all that its former self knew; then that wakes.
BURIED = Misfortune({}, {"zombie": 0.1}, greed=True)
# Checkpoints are damaged where they lie, and nodes are resumed from them.
ROTTING = Misfortune({}, {"rot": 0.5, "crash": 0.3}, greed=True)
# The store is put back to an earlier state or wiped, and little else happens, or nothing.
ROLLED_BACK = Misfortune({}, {"crash": 0.05, "pause": 0.1}, "rolled back")
RESUMED_SINCE = Misfortune({}, {"crash": 0.3}, "rolled back")
LAGGING = Misfortune({}, {"pause": 0.1}, "lagging")
SET_BACK = Misfortune({}, {}, "rolled back")
WIPED = Misfortune({}, {}, "wiped")


class Edit(msgspec.Struct, frozen=True):
    """In the text of `function`, `new` stands where `old` stood."""

    # A `FunctionType`, which as the type of a field would be taken for a method of this class.
    function: Any
    old: str
    new: str


class Mutant(msgspec.Struct, frozen=True, kw_only=True):
    """The code that ships with one thing wrong; `rule` is what it breaks, in one word or two.

    `regime` is where its first hundred seeds are tried. `misfortune` is what its lives suffer, where those that a
    seed draws for itself show the fault too seldom. `hints` says that its nodes hint each other, and a stranger them.
    `crashes` says that a process that dies of it is the symptom; with any other mutant such a death would only show
    that the edit itself is wrong.
    """

    name: str
    rule: str
    edits: tuple[Edit, ...]
    regime: Regime = "tight"
    misfortune: Misfortune | None = None
    hints: bool = False
    crashes: bool = False


def edit(function: Callable[..., object] | property, old: str, new: str) -> Edit:
    """An edit of a function, a method or the getter of a property."""
    subject = function.fget if isinstance(function, property) else function
    assert isinstance(subject, FunctionType), f"{subject!r} has no code of its own"
    return Edit(subject, old, new)


@contextmanager
def broken(mutant: Mutant) -> Iterator[None]:
    """The code that ships is `mutant` meanwhile."""
    texts: dict[FunctionType, str] = {}
    for one in mutant.edits:
        text = texts.get(one.function) or textwrap.dedent(inspect.getsource(one.function))
        found = text.count(one.old)
        assert found == 1, f"{mutant.name}: {one.old!r} is {found} times in {one.function.__qualname__}"
        texts[one.function] = text.replace(one.old, one.new)
    codes = {function: _compiled(function, text) for function, text in texts.items()}
    whole = {function: function.__code__ for function in codes}
    try:
        for function, code in codes.items():
            function.__code__ = code
        yield
    finally:
        for function, code in whole.items():
            function.__code__ = code


def _compiled(function: FunctionType, text: str) -> CodeType:
    tree = ast.parse(text)
    definition = tree.body[0]
    assert isinstance(definition, ast.FunctionDef)
    # A property or a context manager is made already; only the code within it changes.
    definition.decorator_list = []
    flags = __future__.annotations.compiler_flag
    made: dict[str, object] = {}
    code = compile(tree, f"<{function.__qualname__}, broken>", "exec", flags, dont_inherit=True)
    exec(code, dict(function.__globals__), made)
    result = made[function.__name__]
    assert isinstance(result, FunctionType)
    return result.__code__
