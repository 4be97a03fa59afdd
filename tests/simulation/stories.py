"""Three short lives, told line by line, for whoever wants to see the protocol at work before reading its rules.

python -m tests.simulation.stories            # print them
python -m tests.simulation.stories --write    # rewrite testdata/, after a change that is meant to change them
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from holocron.testing.simulation.misfortune import Misfortune
from holocron.testing.simulation.process import Process
from holocron.testing.simulation.run import Life

__all__ = ["STORIES", "TESTDATA", "told"]

TESTDATA = Path(__file__).with_name("testdata")
# Seconds of true time; by then there was a renewal.
_SETTLED_S = 3.0


def _begun() -> tuple[Life, Process, Process]:
    """Ada leads, Bob follows, and nothing goes wrong."""
    life = Life(17, "production", Misfortune({}, {}))
    life.nodes, life.journaling, life.publishing = ["ada", "bob"], False, 0.0
    ada = life.spawn("ada", resume=False)
    life.run_until(0.5)
    bob = life.spawn("bob", resume=False)
    life.run_until(_SETTLED_S)
    return life, ada, bob


def _until(life: Life, done: Callable[[], bool]) -> None:
    """Let time pass until `done()`, and a moment more."""
    end_s = life.timeline.now_s + 30.0
    while not done():
        assert life.timeline.now_s < end_s, "the story does not come to its end"
        life.run_until(life.timeline.now_s + 0.05)
    life.run_until(life.timeline.now_s + 0.3)


def takeover() -> Life:
    """The leader is killed. The follower finds nothing new, waits the lease out, LISTs, and leads with a new term."""
    life, ada, bob = _begun()
    ada.kill("SIGKILL")
    _until(life, lambda: bob.leading)
    return life


def resume() -> Life:
    """The leader freezes and is followed. Its node is resumed elsewhere; when it runs again it finds out, and stops."""
    life, ada, bob = _begun()
    life.say(ada.name, "is frozen")
    ada.halt()
    _until(life, lambda: bob.leading)
    fresh = life.spawn("ada", resume=True)
    _until(life, lambda: fresh.incarnation is not None)
    life.say(ada.name, "runs again")
    ada.thaw()
    _until(life, lambda: ada.stopped is not None)
    return life


def publish() -> Life:
    """The answer to a publish is lost. The same bytes are sent again, and the 412 is read back: it was our own."""
    life, ada, _ = _begun()
    ada.link = "deaf"
    life.say(ada.name, "hears no answers")
    epoch = ada.seen_epoch
    ada.enter(ada.publish)
    _until(life, lambda: life.chronicle.head > epoch)
    ada.link = "up"
    life.say(ada.name, "hears again")
    _until(life, lambda: life.report.published > 0)
    return life


STORIES: dict[str, Callable[[], Life]] = {"takeover": takeover, "resume": resume, "publish": publish}


def told(name: str) -> str:
    """The transcript of the story `name`, with what it is about on top."""
    life = STORIES[name]()
    assert life.report.ok, life.report
    about = STORIES[name].__doc__
    return "\n".join([f"# {about}", *life.diary.lines(), ""])


def main(arguments: list[str]) -> None:
    """Print the stories, or write them down."""
    for name in STORIES:
        if "--write" in arguments:
            TESTDATA.mkdir(exist_ok=True)
            (TESTDATA / f"{name}.txt").write_text(told(name))
        else:
            print(told(name))


if __name__ == "__main__":
    main(sys.argv[1:])
