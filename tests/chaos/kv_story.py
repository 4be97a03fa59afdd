"""A hosted key-value service, killed at random instants and resumed each time, and a client that writes down what it
was told: python -m tests.chaos.kv_story --kills 200.

A client keeps several commands under way, each with an idempotency key, and repeats what was not answered to whoever
has resumed the node. It keeps a log of its own. At the end that log alone is read, and held against what the service
says it has: nothing that was acknowledged may be missing, in another place, or there twice.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any, TextIO

from holocron.testing.server import spawn

LIVENESS_S = 90.0
NODE = "shelf"
THINGS = ("nuts", "bolts", "screws")
# How many commands the client keeps under way.
UNDER_WAY = 8


class Life:
    """One process that serves, and the thread that listens to it."""

    def __init__(
        self, location: str, environment: dict[str, str], log: TextIO, heard: Callable[[Life, Any], None]
    ) -> None:
        self.began_s = time.monotonic()
        self.ready_after_s: float | None = None
        self.incarnation = 0
        self._heard = heard
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.chaos.kv_service", location, NODE],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def say(self, **what: Any) -> None:
        """Send a line; to nobody, where it was killed."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(what) + "\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass

    def kill(self) -> None:
        """SIGKILL, and whatever it had said until then is heard."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._listener.join()

    def end(self) -> int:
        """Let it stop by itself; its exit status."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        status = self._process.wait(LIVENESS_S)
        self._listener.join()
        return status

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                what = json.loads(line)
            except ValueError:
                # Torn by the kill: as good as never said.
                continue
            if "ready" in what:
                self.ready_after_s = time.monotonic() - self.began_s
                self.incarnation = what["ready"]
            self._heard(self, what)


class Story:
    """The client, its log, and whoever kills.

    Args:
        room: where the client's log and the processes' own go.
    """

    def __init__(self, room: Path, seed: int) -> None:
        self.log = room / "client.jsonl"
        self.kills: Counter[str] = Counter()
        self.incarnations = 0
        self.errors: Counter[str] = Counter()
        self._stderr = room / "service.log"
        self._random = Random(seed)
        self._file = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._changed = threading.Condition()
        # What was asked for and not answered yet, by key.
        self._open: dict[str, dict[str, str]] = {}
        self._asked = 0
        self._closing = False
        self._dumps: list[dict[str, list[str]]] = []
        self._ready: Life | None = None

    def run(self, kills: int) -> list[str]:
        """Live through so many kills; what was wrong."""
        with spawn() as server, self._stderr.open("a") as log:
            environment = {**os.environ, **server.environment(), "PYTHONPATH": os.pathsep.join(sys.path)}

            def begin() -> Life:
                return Life("s3://holocron/kv", environment, log, self._heard)

            life = begin()
            self._await(lambda: self._ready is life, "the first life is ready")
            usual_s = life.ready_after_s or 1.0
            for _ in range(kills):
                former = None
                # Somewhere between its first instruction and some while at work.
                time.sleep(self._random.uniform(0.0, 1.5 * usual_s + 0.5))
                if self._random.random() < 0.2:
                    # Resumed elsewhere while it lives: the former self goes on answering as long as it may.
                    former, life = life, begin()
                    time.sleep(self._random.uniform(0.0, 1.5 * usual_s + 0.5))
                    self._kill(former, "superseded")
                else:
                    self._kill(life, "serving" if life.ready_after_s is not None else "coming back")
                    life = begin()
                if life.ready_after_s is not None:
                    usual_s = 0.7 * usual_s + 0.3 * life.ready_after_s
            with self._changed:
                self._closing = True
            self._await(lambda: self._ready is life, "the last life is ready")
            self._await(lambda: not self._open, "everything asked for is answered")
            dumps = [self._dump(life)]
            wrong = [f"the service ended with {status}"] if (status := life.end()) else []
            # What it says while it lives, and what comes back from the bucket alone.
            after = begin()
            self._await(lambda: self._ready is after, "the node is resumed to be read")
            dumps.append(self._dump(after))
            self.incarnations = after.incarnation
            wrong += [f"the reader ended with {status}"] if (status := after.end()) else []
        os.close(self._file)
        for dump in dumps:
            wrong += judge(self.log, dump)
        return wrong

    def _kill(self, life: Life, when: str) -> None:
        life.kill()
        self.kills[when] += 1

    def _dump(self, life: Life) -> dict[str, list[str]]:
        before = len(self._dumps)
        life.say(dump=True)
        self._await(lambda: len(self._dumps) > before, "the service says what it has")
        return self._dumps[-1]

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        with self._changed:
            if not self._changed.wait_for(condition, LIVENESS_S):
                raise AssertionError(f"never came true: {what}\n{self._stderr.read_text()[-3000:]}")

    # --- the client -------------------------------------------------------------------------------------------------

    def _write(self, **line: Any) -> None:
        os.write(self._file, json.dumps(line).encode() + b"\n")

    def _heard(self, life: Life, what: dict[str, Any]) -> None:
        with self._changed:
            if "ready" in what:
                self._ready = life
                for order in self._open.values():
                    life.say(**order)
                while len(self._open) < UNDER_WAY and not self._closing:
                    self._ask(life)
            elif "dump" in what:
                self._dumps.append(what["dump"])
            elif "index" in what:
                self._write(what="answered", key=what["key"], index=what["index"])
                if self._open.pop(what["key"], None) is not None and not self._closing and self._ready is not None:
                    self._ask(self._ready)
            elif "error" in what:
                # It stays open, and whoever resumes the node is asked again.
                self.errors[what["error"].partition(":")[0]] += 1
            self._changed.notify_all()

    def _ask(self, life: Life) -> None:
        self._asked += 1
        order = {
            "key": f"key-{self._asked}",
            "thing": self._random.choice(THINGS),
            "token": f"token-{self._asked}",
        }
        self._open[order["key"]] = order
        self._write(what="asked", **order)
        life.say(**order)


def judge(log: Path, things: dict[str, list[str]]) -> list[str]:
    """What is wrong with `things`, the service's state, by the client's own `log` alone."""
    asked: dict[str, tuple[str, str]] = {}
    answered: dict[str, int] = {}
    wrong: list[str] = []
    for line in map(json.loads, log.read_text().splitlines()):
        if line["what"] == "asked":
            asked[line["key"]] = (line["thing"], line["token"])
        elif answered.setdefault(line["key"], line["index"]) != line["index"]:
            wrong.append(f"{line['key']} was answered with {answered[line['key']]} and with {line['index']}")
    there = Counter((thing, token) for thing, tokens in things.items() for token in tokens)
    for what, times in there.items():
        if times > 1:
            wrong.append(f"doubled: {what} is there {times} times")
    for what in there.keys() - set(asked.values()):
        wrong.append(f"never asked for: {what}")
    for key, index in answered.items():
        thing, token = asked[key]
        tokens = things.get(thing, [])
        if not there[thing, token]:
            wrong.append(f"lost: {token} was acknowledged and is not there")
        elif tokens[index : index + 1] != [token]:
            wrong.append(f"moved: {token} was acknowledged at {index} of {thing}")
    return wrong


def told(log: Path) -> Counter[str]:
    """How many lines of each kind the client's log has."""
    return Counter(json.loads(line)["what"] for line in log.read_text().splitlines())


def main(arguments: list[str]) -> int:
    """One story; 1 if anything was wrong in it."""
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.kv_story", description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args(arguments)
    began_s = time.monotonic()
    with tempfile.TemporaryDirectory() as room:
        story = Story(Path(room), options.seed)
        wrong = story.run(options.kills)
        lines = told(story.log)
    kills = ", ".join(f"{count} while {when}" for when, count in sorted(story.kills.items()))
    print(f"{sum(story.kills.values())} SIGKILLs ({kills}), {story.incarnations} incarnations,")
    print(
        f"{lines['asked']} commands asked, {lines['answered']} acknowledged, unsettled on the way: {dict(story.errors)}"
    )
    print(f"{len(wrong)} lost, doubled or moved; {time.monotonic() - began_s:.0f} s")
    for what in wrong:
        print(f"  {what}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
