"""A real object store on this machine: Ceph's object gateway over one monitor and one in-memory disk.

Everything listens on free ports of 127.0.0.1 and lies in one directory; nothing in it is authenticated except S3
itself, and nothing outlives the fixture. Tests that use the fixture `ceph` carry the mark of the same name.
"""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Self

import pytest

from holocron.testing.server import CREDENTIALS

PROGRAMS = ("ceph", "ceph-mon", "ceph-osd", "monmaptool", "radosgw", "radosgw-admin")
PACKAGES = "radosgw ceph-mon ceph-osd ceph-mgr ceph-common"
BUCKET = "holocron"
# It starts in a quarter of a minute on an idle machine; this only bounds a start that hangs.
START_S = 120.0

_CONFIG = """\
[global]
fsid = {fsid}
mon initial members = a
mon host = [v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
ms bind ipv6 = false
{cipherless}
auth cluster required = none
auth service required = none
auth client required = none
run dir = {room}
pid file = {room}/$name.pid
admin socket = {room}/$name.asok
log file = {room}/log/$name.log
# One disk holds everything once.
osd crush chooseleaf type = 0
osd pool default size = 1
osd pool default min size = 1
mon allow pool size one = true
# The gateway makes many pools, and there is no manager to spread them.
osd pool default pg num = 4
osd pool default pgp num = 4
osd pool default pg autoscale mode = off
rgw rados pool pg num min = 4
mon max pg per osd = 2000
# A nearly full disk of the machine is no concern of a store in memory.
mon data avail warn = 1
mon data avail crit = 1

[mon]
mon data = {room}/mon
mon cluster log file = {room}/log/cluster.log

[osd]
osd data = {room}/osd
osd objectstore = memstore
memstore device bytes = 2147483648
osd class load list = *
osd class default list = *

[client.rgw]
# Without tcp_nodelay, an answer to a GET or LIST waits 40 ms for an acknowledgement.
rgw frontends = beast endpoint=127.0.0.1:{rgw} tcp_nodelay=1
rgw dns name = 127.0.0.1
rgw data = {room}/rgw
rgw enable usage log = false
rgw enable gc threads = false
rgw enable lc threads = false
rgw dynamic resharding = false
"""
_CIPHERLESS = "\n".join(
    f"ms {channel} mode = crc"
    for channel in ("cluster", "service", "client", "mon cluster", "mon service", "mon client")
)


class Ceph:
    """A gateway that runs; `start` makes one and `stop` ends it."""

    def __init__(self, room: Path) -> None:
        self.room = room
        self.url = ""
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def environment(self) -> dict[str, str]:
        """Environment variables that point any AWS SDK or command at this gateway."""
        return {**CREDENTIALS, "AWS_ENDPOINT_URL_S3": self.url}

    @classmethod
    def start(cls) -> Self:
        """Start one in a new directory, with a user and a bucket; whatever was begun is ended if that fails."""
        # Not under pytest's directories: the path of a Unix socket may have 107 characters.
        ceph = cls(Path(tempfile.mkdtemp(prefix="holocron-ceph-")))
        try:
            ceph._start()
        except BaseException:
            ceph.stop()
            raise
        return ceph

    def stop(self) -> None:
        """End every process and remove everything. Idempotent."""
        # All are killed before one is waited for, so that an interrupted wait leaves none of them behind.
        for process in self._daemons.values():
            process.kill()
        for process in self._daemons.values():
            process.wait()
        self._daemons.clear()
        shutil.rmtree(self.room, ignore_errors=True)

    def _start(self) -> None:
        for folder in ("mon", "osd", "log", "rgw"):
            (self.room / folder).mkdir()
        fsid, osd = str(uuid.uuid4()), str(uuid.uuid4())
        mon_v2, mon_v1, rgw = _free_ports(3)
        (self.room / "ceph.conf").write_text(
            _CONFIG.format(room=self.room, fsid=fsid, mon_v2=mon_v2, mon_v1=mon_v1, rgw=rgw, cipherless=_CIPHERLESS)
        )
        monitors = f"[v2:127.0.0.1:{mon_v2},v1:127.0.0.1:{mon_v1}]"
        monmap = str(self.room / "monmap")
        _run(["monmaptool", "--create", "--fsid", fsid, "--addv", "a", monitors, monmap], self._check)
        self._run("ceph-mon", "-i", "a", "--mkfs", "--monmap", monmap)
        self._spawn("ceph-mon", "-i", "a")
        self._run("ceph", "osd", "new", osd)
        self._run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd)
        self._spawn("ceph-osd", "-i", "0")
        self._await("its disk", lambda: "1 up" in self._run("ceph", "osd", "stat"))
        self._spawn("radosgw", "-n", "client.rgw")
        self.url = f"http://127.0.0.1:{rgw}"
        self._await("its gateway", lambda: _answers(self.url))
        self._run(
            *("radosgw-admin", "user", "create", "--uid=holocron", "--display-name=holocron"),
            f"--access-key={CREDENTIALS['AWS_ACCESS_KEY_ID']}",
            f"--secret={CREDENTIALS['AWS_SECRET_ACCESS_KEY']}",
        )
        _create_bucket(self.url, BUCKET)

    def _run(self, program: str, *arguments: str) -> str:
        """Run a program of Ceph's to its end, for as long as every daemon lives: without one it would wait for ever."""
        return _run([program, "-c", str(self.room / "ceph.conf"), *arguments], self._check)

    def _spawn(self, program: str, *arguments: str) -> None:
        # In the foreground, so that it is our child.
        command = _mortal([program, "-c", str(self.room / "ceph.conf"), "-f", *arguments])
        with (self.room / "log" / f"{program}.out").open("wb") as out:
            self._daemons[program] = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
            )

    def _await(self, what: str, ready: Callable[[], bool]) -> None:
        until = time.monotonic() + START_S
        while not ready():
            self._check()
            if time.monotonic() > until:
                raise RuntimeError(f"Ceph did not start {what} in {START_S:g} s\n{self._last_words('*')}")
            time.sleep(0.05)  # Ceph tells nobody when it is ready: it has to be asked again.

    def _check(self) -> None:
        for program, process in self._daemons.items():
            if process.poll() is not None:
                raise RuntimeError(f"{program} ended with {process.returncode}\n{self._last_words(f'{program}.out')}")

    def _last_words(self, pattern: str) -> str:
        logs = sorted((self.room / "log").glob(pattern))
        return "\n".join(f"{log.name}: {log.read_text(errors='replace')[-2000:]}" for log in logs)


def missing() -> list[str]:
    """The programs that are not installed."""
    return [program for program in PROGRAMS if shutil.which(program) is None]


@pytest.fixture(scope="session")
def ceph() -> Iterator[Ceph]:
    """Ceph's object gateway, running, with the bucket `BUCKET`; skipped where it is not installed.

    Under `make test-ceph` it has to be there, and a test that cannot have it fails.
    """
    lacking = missing()
    if lacking:
        reason = f"needs Ceph ({', '.join(lacking)} missing): apt-get install --no-install-recommends {PACKAGES}"
        if os.environ.get("HOLOCRON_REQUIRE_CEPH"):
            pytest.fail(reason)
        pytest.skip(reason)
    running = Ceph.start()
    try:
        yield running
    finally:
        running.stop()


def _mortal(command: Sequence[str]) -> Sequence[str]:
    """`command`, so that it ends with us even where we are killed."""
    return ["setpriv", "--pdeathsig", "KILL", *command] if shutil.which("setpriv") else command


def _run(command: Sequence[str], check: Callable[[], None]) -> str:
    """What a program says on stdout, while `check` raises nothing."""
    with subprocess.Popen(_mortal(command), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            out, err = _said(process, check)
        except BaseException:
            process.kill()
            raise
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} failed:\n{out}{err}")
    return out


def _said(process: subprocess.Popen[str], check: Callable[[], None]) -> tuple[str, str]:
    until = time.monotonic() + START_S
    while True:
        try:
            return process.communicate(timeout=0.2)
        except subprocess.TimeoutExpired:
            check()
            if time.monotonic() > until:
                raise


def _free_ports(count: int) -> list[int]:
    """Ports that nothing listens on, below the range from which the kernel serves whoever asks for any port.

    Drawn at random, so that two starts at once do not both find the same ones free.
    """
    ports: list[int] = []
    with contextlib.ExitStack() as stack:
        while len(ports) < count:
            candidate = random.randrange(10_000, 30_000)
            with contextlib.suppress(OSError):
                held = stack.enter_context(socket.socket())
                held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                held.bind(("127.0.0.1", candidate))
                ports.append(candidate)
    return ports


def _answers(url: str) -> bool:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(url, timeout=10):
            return True
    except urllib.error.HTTPError:
        return True
    except OSError:
        return False


def _create_bucket(url: str, name: str) -> None:
    import boto3

    client = boto3.client(
        "s3",
        endpoint_url=url,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
    )
    with contextlib.closing(client):
        client.create_bucket(Bucket=name)
