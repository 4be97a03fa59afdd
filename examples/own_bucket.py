"""A node with a bucket of its own, and the least that its credentials have to allow.

What the cluster shares (who leads, who is there) lies in one bucket; what the node is and knows lies in another, which
nobody else may read. The node is resumed from its own bucket alone, for its identity there names the cluster.

python examples/own_bucket.py s3://team-bucket/leader s3://billing-bucket
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path

import holocron
from holocron.testing.server import spawn

SETTINGS = holocron.Settings(ttl_s=1.0)


def policy(cluster: str, home: str) -> dict[str, object]:
    """What a node may do in both buckets, and nothing else: read, create, list; retention also deletes."""

    def resource(uri: str, what: str = "/*") -> str:
        return f"arn:aws:s3:::{uri.removeprefix('s3://')}{what}"

    def listing(uri: str) -> dict[str, object]:
        bucket, _, prefix = uri.removeprefix("s3://").partition("/")
        # Without the right to list, S3 answers 403 for a key that is not there, and a node takes that for an error.
        return {
            "Effect": "Allow",
            "Action": "s3:ListBucket",
            "Resource": f"arn:aws:s3:::{bucket}",
            "Condition": {"StringLike": {"s3:prefix": f"{prefix}/*" if prefix else "*"}},
        }

    objects = {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject"]}
    return {
        "Version": "2012-10-17",
        "Statement": [{**objects, "Resource": [resource(cluster), resource(home)]}, listing(cluster), listing(home)],
    }


def main(cluster: str, home: str) -> None:
    """Live in both places, and come back from one."""
    statements = policy(cluster, home)["Statement"] if cluster.startswith("s3://") else []
    for statement in json.loads(json.dumps(statements)):
        print("allow", statement["Action"], "on", statement["Resource"])
    with holocron.Node.start(cluster, node_id="billing", home=home, settings=SETTINGS) as node:
        with node.lead(timeout=60) as lease:
            print(f"billing leads with token {lease.token}")
        print(f"its journal says {node.journal.append(b'invoice 1')}")
    with holocron.Node.resume(home, "billing", settings=SETTINGS) as node:
        entries: list[bytes] = []
        node.journal.replay(lambda position, entry: entries.append(entry))
        print(f"resumed from its own bucket, incarnation {node.incarnation}")
        print(f"back in its cluster: {node.location == cluster}")
        print(f"its journal says {entries}")


if __name__ == "__main__":
    if len(sys.argv) > 2:
        main(sys.argv[1], sys.argv[2])
    elif len(sys.argv) > 1:
        with tempfile.TemporaryDirectory() as room:
            main(sys.argv[1], Path(room).as_uri())
    else:
        with spawn(buckets=("team", "billing")) as s3:
            os.environ.update(s3.environment())
            main("s3://team/leader", "s3://billing")
