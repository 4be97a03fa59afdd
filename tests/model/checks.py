"""The invariants of the design as they look from outside: true ticks, the true history, and what a process is told.

None of them reads how the protocol explains itself. I4, I5 and the chain's side of I6 are checked where the bucket
changes (bucket.py); I7, I8 and the process's side of I6 from what a process was shown and when (process.py); what
follows here needs both sides.
"""

from __future__ import annotations

from tests.model.bucket import record_of
from tests.model.process import Acked, Finding, Won
from tests.model.state import Bucket, Process

__all__ = ["judged", "several_believe"]


def several_believe(believers: list[Process]) -> str:
    """I1: at most one process answers that it leads."""
    names = [
        f"{p.election.seat.session} (term {p.election.tenure.term if p.election.tenure else '?'})" for p in believers
    ]
    return f"I1: {' and '.join(names)} believe at once"


def judged(finding: Finding, bucket: Bucket, teller: Process, clocks_lie: bool) -> str | None:
    """What is wrong with what a process is told, or None."""
    if isinstance(finding, Won):
        body = bucket.history[finding.epoch - 1] if finding.epoch <= len(bucket.history) else None
        if body is None or record_of(body).nonce != finding.nonce:
            whose = record_of(body).leader.session if body is not None else "nobody"
            return f"I3: is told that it won epoch {finding.epoch}, which is {whose}'s"
        return None
    records = [record_of(body) for body in bucket.history]
    value = finding.value.decode()
    if isinstance(finding, Acked):
        record = records[finding.epoch - 1] if finding.epoch <= len(records) else None
        if record is None or record.published is None or record.published.value != finding.value:
            return f"I2: {value} is acknowledged in epoch {finding.epoch}, and it is not there"
        if record.leader.session != finding.session:
            return f"I2: {value} is acknowledged in epoch {finding.epoch}, which is another's"
        if records[-1].term > record.term and not clocks_lie:
            return f"I2: {value} of term {record.term} is acknowledged, and term {records[-1].term} has sealed"
        return None
    for record in records:
        if record.published is not None and record.published.value == finding.value:
            return f"I10: {value} is refused, and epoch {record.epoch} publishes it"
    return None
