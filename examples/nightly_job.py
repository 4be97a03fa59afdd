"""A cron job on three machines that runs on one of them: `holocron run`, as it would stand in each crontab.

    0 3 * * *  holocron run --store s3://my-bucket --prefix nightly --wait 1s -- /usr/local/bin/nightly-job

Whoever leads runs the job; the others wait for as long as they are told and give up with exit code 75. Should the
machine that runs it die, the job dies with its lease, and the next one to come runs it under a higher token.

python examples/nightly_job.py s3://my-bucket
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from holocron.testing.server import spawn

MACHINES = 3
JOB = "echo job runs with token $HOLOCRON_TERM; sleep 3"


def main(store: str) -> None:
    """It is three o'clock on every machine, twice."""
    program = str(Path(sys.executable).with_name("holocron"))
    command = [program, "run", "--store", store, "--prefix", "nightly", "--ttl", "2s", "--wait", "1s"]
    command += ["--log-level", "error", "--", "sh", "-c", JOB]
    for night in (1, 2):
        machines = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
            for _ in range(MACHINES)
        ]
        said = [machine.communicate()[0] for machine in machines]
        codes = sorted(machine.returncode for machine in machines)
        print(f"night {night}: {''.join(said).strip()}")
        print(f"night {night}: exit codes {codes}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(sys.argv[1])
    else:
        with spawn() as s3:
            os.environ.update(s3.environment())
            main("s3://holocron")
