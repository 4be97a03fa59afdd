"""Strategies for hypothesis: any record, drawn from its own type, so that a new field is tested from its first day."""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec.inspect as look
from hypothesis import strategies as st

from holocron.clock import Instant
from holocron.records import Record

R = TypeVar("R", bound=Record)

# Those of `holocron.records`; what a journal holds is packed in another way and has tests of its own.
KINDS: tuple[type[Record], ...] = tuple(
    sorted(
        (kind for kind in Record.__subclasses__() if kind.__module__ == Record.__module__),
        key=lambda kind: kind.__name__,
    )
)
# All text that UTF-8 can carry: everything but lone surrogates.
CHARACTERS = st.characters(exclude_categories=["Cs"])
# What no test needs more of, to keep the examples small.
_MOST_ROWS = 2


def record(kind: type[R]) -> st.SearchStrategy[R]:
    """Any record of `kind`, of a format that this Holocron knows."""
    return _struct(look.type_info(kind), format=st.just(1))


def instants() -> st.SearchStrategy[Instant]:
    """Any reading of the clocks of a machine that has run for less than a year."""
    seconds = st.floats(0, 3e7, allow_nan=False)
    return st.builds(Instant, seconds, seconds, st.floats(-4e9, 4e9, allow_nan=False))


def _struct(info: look.Type, **given: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    assert isinstance(info, look.StructType)
    fields = {field.name: given.get(field.name, _any(field.type)) for field in info.fields}
    return st.builds(info.cls, **fields)


def _any(info: look.Type) -> st.SearchStrategy[Any]:
    match info:
        case look.Metadata(type=inner):
            return _any(inner)
        case look.NoneType():
            return st.none()
        case look.BoolType():
            return st.booleans()
        case look.IntType(ge=low, le=high):
            return st.integers(low, high)
        case look.StrType(pattern=str(pattern)):
            return st.from_regex(pattern, fullmatch=True)
        case look.StrType(min_length=least, max_length=most):
            return st.text(CHARACTERS, min_size=least or 0, max_size=min(most or 50, 50))
        case look.BytesType():
            return st.binary(max_size=50)
        case look.LiteralType(values=values):
            return st.sampled_from(values)
        case look.UnionType(types=types):
            return st.one_of([_any(one) for one in types])
        case look.DictType(key_type=keys, value_type=values):
            return st.dictionaries(_any(keys), _any(values), max_size=_MOST_ROWS)
        case look.VarTupleType(item_type=item):
            return st.lists(_any(item), max_size=_MOST_ROWS).map(tuple)
        case look.StructType():
            return _struct(info)
    raise AssertionError(f"records hold nothing like {info} yet: say here how to draw one")
