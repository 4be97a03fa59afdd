"""boto3 as anyone would use it, beside which Holocron's own way to S3 is measured."""

from __future__ import annotations

from collections.abc import Callable

from holocron.testing.server import CREDENTIALS

__all__ = ["BODY", "bare_put"]

BODY = b"x" * 600  # About the size of a lock file.


def bare_put(address: str) -> Callable[[str], None]:
    """A function that creates the object of a key, with no retries, so that one call is one request."""
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "s3",
        endpoint_url=f"http://{address}",
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        config=Config(retries={"total_max_attempts": 1}, s3={"addressing_style": "path"}),
    )

    def put(key: str) -> None:
        client.put_object(Bucket="holocron", Key=f"bare/{key}", Body=BODY, IfNoneMatch="*")

    return put
