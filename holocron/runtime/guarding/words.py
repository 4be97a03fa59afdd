"""What a process tells its guardian: one word on each line, and nothing that it does not need; never a secret."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from holocron.protocol.guarding import Charge
from holocron.protocol.messages import NoteTenureBegan, NoteTenureEnded, NoteTenureRenewed
from holocron.runtime.notices import Notice
from holocron.store.opening import StoreOptions

__all__ = ["Charges", "Entrusted", "Led", "Left", "StoodDown", "Word", "decode", "encode", "word_of"]


class Entrusted(msgspec.Struct, frozen=True, tag=True):
    """Node `number` of this process came under guard: who it is, where its cluster is, and how long its lease lasts.

    Credentials are not in it: the guardian finds them where the process found its own, in the environment.
    """

    number: int
    uri: str
    options: StoreOptions
    cluster: str
    node: str
    incarnation: int
    session: str
    ttl_s: float
    attempt_s: float


class Led(msgspec.Struct, frozen=True, tag=True):
    """Node `number` was confirmed as leader of `term`, with `epoch`."""

    number: int
    term: int
    epoch: int


class StoodDown(msgspec.Struct, frozen=True, tag=True):
    """Node `number` leads no more."""

    number: int


class Left(msgspec.Struct, frozen=True, tag=True):
    """Node `number` has stopped."""

    number: int


Word = Entrusted | Led | StoodDown | Left

_decoder: msgspec.json.Decoder[Word] = msgspec.json.Decoder(Word)


def encode(word: Word) -> bytes:
    """`word` as one line."""
    return msgspec.json.encode(word) + b"\n"


def decode(line: bytes) -> Word:
    """The word on `line`."""
    return _decoder.decode(line)


def word_of(number: int, notice: Notice) -> Led | StoodDown | None:
    """What is to be said of `notice`, if anything: a tenure as far as it is confirmed, and its end."""
    match notice:
        case NoteTenureBegan(tenure=tenure) | NoteTenureRenewed(tenure=tenure):
            return Led(number, tenure.term, tenure.epoch)
        case NoteTenureEnded():
            return StoodDown(number)
        case _:
            return None


class Charges:
    """What a guardian knows: who is under guard, and the tenure that each holds, if it does."""

    def __init__(self) -> None:
        self._entrusted: dict[int, Entrusted] = {}
        self._led: dict[int, Led] = {}

    def hear(self, word: Word) -> None:
        """Take in `word`."""
        match word:
            case Entrusted():
                self._entrusted[word.number] = word
            case Led():
                self._led[word.number] = word
            case StoodDown():
                self._led.pop(word.number, None)
            case Left():
                self._led.pop(word.number, None)
                self._entrusted.pop(word.number, None)

    def leading(self) -> Iterator[tuple[Entrusted, Charge]]:
        """Those who held a tenure when they were last heard of."""
        for number, led in self._led.items():
            whose = self._entrusted.get(number)
            if whose is not None:
                yield whose, Charge(whose.node, whose.incarnation, whose.session, led.term, led.epoch)
