"""What may go from the chain of epochs (rule 12), and the form in which it stays. Pure."""

from __future__ import annotations

from holocron.records import History, Past
from holocron.settings import Settings

__all__ = ["BATCHES_AT_ONCE", "compact", "plan"]

# A chain that was left alone for long is caught up with in steps, so that no step takes long.
BATCHES_AT_ONCE = 8


def plan(numbers_with_age: tuple[tuple[int, float], ...], head: int, floor: int, settings: Settings) -> int | None:
    """The number below which everything may go, or None where it is not worth it.

    Kept are the newest `keep_epochs`, whatever is younger than `keep_age_s`, and everything above a gap or an epoch
    that must stay. Whole batches go: 1 to 8 times `trim_batch`.

    Args:
        numbers_with_age: each epoch and its age in seconds, ascending from `floor`.
    """
    may_go = 0
    for number, age_s in numbers_with_age:
        # Written so that an age that is no number keeps the epoch.
        if number != floor + may_go or number > head - settings.keep_epochs or not age_s >= settings.keep_age_s:
            break
        may_go += 1
    batches = min(may_go // settings.trim_batch, BATCHES_AT_ONCE)
    return floor + batches * settings.trim_batch if batches else None


def compact(first: int, last: int, pasts: tuple[Past, ...], cluster: str, nonce: str) -> History:
    """Epochs `first` to `last`, all of them, in order, as one record of the history."""
    if [past.epoch for past in pasts] != list(range(first, last + 1)):
        raise ValueError(f"a history of {first} to {last} wants each of these epochs once, in order")
    return History(cluster=cluster, nonce=nonce, first=first, last=last, epochs=pasts)
