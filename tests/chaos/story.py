"""Real processes on a real S3 server, and all that is done to them: killed, frozen, cut off, starved, doubled."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from random import Random
from unittest import mock

from holocron.store.opening import StoreOptions, open_store
from holocron.testing.server import spawn
from tests.chaos.judge import Verdict, chain_of, judge, read_evidence
from tests.s3.faults import (
    Action,
    FaultProxy,
    anything,
    deny,
    fail_after,
    hang,
    lose_response,
    on,
    reset,
    storm,
)

__all__ = ["Story"]

NODES = ("n1", "n2", "n3")
# Where nothing is wrong any more, a leader exists long before this; it bounds a hang and measures nothing.
LIVENESS_S = 60.0


class Member:
    """A node's present process, and the proxy between it and the store."""

    def __init__(self, node: str, proxy: FaultProxy) -> None:
        self.node = node
        self.proxy = proxy
        self.processes: list[subprocess.Popen[bytes]] = []

    @property
    def process(self) -> subprocess.Popen[bytes]:
        """The newest one."""
        return self.processes[-1]

    @property
    def alive(self) -> bool:
        """Whether the newest process runs."""
        return bool(self.processes) and self.process.poll() is None


class Story:
    """One cluster's bad time.

    Args:
        room: an empty directory for the evidence.
        ttl_s: the lease of every node.
    """

    def __init__(self, room: Path, seed: int, ttl_s: float = 1.0) -> None:
        self.done: Counter[str] = Counter()
        self._room = room
        self._random = Random(seed)
        self._ttl_s = ttl_s
        self._stack = contextlib.ExitStack()
        self._members: list[Member] = []
        self._hogs: list[subprocess.Popen[bytes]] = []
        self._environment: dict[str, str] = {}
        self._url = ""
        self._harms: dict[str, Callable[[], None]] = {
            "kill": self._kill,
            "kill the leader": self._kill_the_leader,
            "freeze": self._freeze,
            "freeze the leader": self._freeze_the_leader,
            "reset": lambda: self._faults(reset),
            "hang": lambda: self._faults(hang),
            "500 after apply": lambda: self._faults(fail_after),
            "answer lost": lambda: self._faults(lose_response),
            "503 storm": lambda: self._faults(storm),
            "credentials revoked": lambda: self._faults(deny),
            "partition": self._partition,
            "resume of a live node": self._usurp,
            "starvation": self._starve,
            "stop": self._stop,
        }

    def __enter__(self) -> Story:
        server = self._stack.enter_context(spawn())
        self._url = server.url
        # For the judge too, who reads the bucket from this process.
        self._stack.enter_context(mock.patch.dict(os.environ, server.environment()))
        self._environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        for node in NODES:
            proxy = self._stack.enter_context(FaultProxy(server.url))
            self._members.append(Member(node, proxy))
        self._stack.callback(self._end)
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def run(self, for_s: float) -> Verdict:
        """Live through `for_s` seconds of harm, then let everything heal, and judge."""
        for member in self._members:
            self._begin(member, resume=False)
        self._await_leader()
        end_s = time.monotonic() + for_s
        while time.monotonic() < end_s:
            # In turn and in another order each time, so that a short story has something of everything.
            for harm in self._random.sample(sorted(self._harms), len(self._harms)):
                if time.monotonic() >= end_s:
                    break
                self._harms[harm]()
                self.done[harm] += 1
                self._revive()
        self._heal()
        self._await_leader()
        self._end()
        options = StoreOptions(endpoint_url=self._url)
        store = open_store("s3://holocron/chaos", options)
        try:
            return judge(read_evidence(sorted(self._room.glob("*.jsonl"))), chain_of(store))
        finally:
            store.close()

    # --- processes --------------------------------------------------------------------------------------------------

    def _begin(self, member: Member, resume: bool) -> None:
        path = self._room / f"{member.node}.jsonl"
        command = [sys.executable, "-m", "tests.chaos.worker", "s3://holocron/chaos", member.node]
        command += [str(path), str(self._ttl_s), *(["--resume"] if resume else [])]
        environment = {**self._environment, "AWS_ENDPOINT_URL_S3": member.proxy.url}
        log = (self._room / f"{member.node}.log").open("ab")
        with log:
            process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        member.processes.append(process)

    def _revive(self) -> None:
        """Whoever has died is resumed, most of the time at once."""
        for member in self._members:
            if not member.alive and self._random.random() < 0.8:
                self._begin(member, resume=self._was_aboard(member))

    def _was_aboard(self, member: Member) -> bool:
        path = self._room / f"{member.node}.jsonl"
        return path.exists() and any(line["what"] == "aboard" for line in read_evidence([path]))

    def _victim(self) -> Member:
        return self._random.choice([member for member in self._members if member.alive] or self._members)

    def _leader(self) -> Member | None:
        """Whoever believed last, by the evidence."""
        evidence = read_evidence(self._room.glob("*.jsonl"))
        last = next((line for line in reversed(evidence) if line["what"] == "believed"), None)
        if last is None:
            return None
        return next((member for member in self._members if member.alive and member.process.pid == last["pid"]), None)

    def _await_leader(self) -> None:
        """Wait until someone believes from now on."""
        now_s = time.clock_gettime(time.CLOCK_MONOTONIC)
        until_s = time.monotonic() + LIVENESS_S
        while time.monotonic() < until_s:
            evidence = read_evidence(self._room.glob("*.jsonl"))
            if any(line["what"] == "believed" and line["at"] > now_s for line in evidence[-2000:]):
                return
            for member in self._members:
                if not member.alive:
                    self._begin(member, resume=self._was_aboard(member))
            time.sleep(0.2)
        logs = "\n".join(path.read_text()[-2000:] for path in sorted(self._room.glob("*.log")))
        raise AssertionError(f"nobody leads {LIVENESS_S:g} s after the last fault:\n{logs}")

    # --- harm -------------------------------------------------------------------------------------------------------

    def _wait(self, ttls: float) -> None:
        # Harm takes its time: this is how long a fault lasts, not a wait for something to come true.
        time.sleep(ttls * self._ttl_s)

    def _kill(self, member: Member | None = None) -> None:
        victim = member or self._victim()
        if victim.alive:
            victim.process.send_signal(signal.SIGKILL)
            victim.process.wait()
        self._wait(self._random.uniform(0.2, 1.5))

    def _kill_the_leader(self) -> None:
        self._kill(self._leader())

    def _freeze(self, member: Member | None = None) -> None:
        victim = member or self._victim()
        if victim.alive:
            victim.process.send_signal(signal.SIGSTOP)
            self._wait(10.0 if self._random.random() < 0.1 else self._random.choice([0.5, 0.9, 1.1, 1.5, 2.0, 3.0]))
            victim.process.send_signal(signal.SIGCONT)
        self._wait(0.3)

    def _freeze_the_leader(self) -> None:
        self._freeze(self._leader())

    def _faults(self, action: Action) -> None:
        victim = self._leader() or self._victim()
        rule = victim.proxy.rule(self._random.choice([anything, on("PUT")]), action)
        self._wait(self._random.uniform(0.3, 2.5))
        rule.end()
        victim.proxy.heal()
        self._wait(0.2)

    def _partition(self) -> None:
        victim = self._leader() or self._victim()
        victim.proxy.partition(self._random.choice(["silent", "cut"]))
        self._wait(self._random.uniform(0.5, 2.5))
        victim.proxy.heal()
        self._wait(0.3)

    def _usurp(self) -> None:
        victim = self._leader() or self._victim()
        self._begin(victim, resume=self._was_aboard(victim))
        self._wait(2.0)

    def _starve(self) -> None:
        self._hogs = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
        self._wait(1.5)
        self._end_hogs()

    def _stop(self) -> None:
        victim = self._victim()
        if victim.alive:
            victim.process.send_signal(signal.SIGTERM)
        self._wait(0.5)

    # --- the end ----------------------------------------------------------------------------------------------------

    def _heal(self) -> None:
        for member in self._members:
            member.proxy.heal()
            member.proxy.clear()
        self._revive()

    def _end_hogs(self) -> None:
        for hog in self._hogs:
            hog.kill()
            hog.wait()
        self._hogs = []

    def _end(self) -> None:
        self._end_hogs()
        processes = [process for member in self._members for process in member.processes]
        for process in processes:
            if process.poll() is None:
                process.send_signal(signal.SIGCONT)
                process.send_signal(signal.SIGTERM)
        for process in processes:
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
