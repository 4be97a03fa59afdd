"""What lies under a prefix, as any S3 client sees and changes it: the tests' own hand in the bucket."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Self

import boto3

__all__ = ["Objects"]


class Objects:
    """The objects of the cluster's place that `env` names, by their keys below its prefix."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self.client = boto3.client(
            "s3",
            endpoint_url=env["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
            aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
            region_name=env["AWS_DEFAULT_REGION"],
        )
        self._bucket = env["HOLOCRON_BUCKET"]
        self._root = env["HOLOCRON_PREFIX"] + "/"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.client.close()

    def put(self, key: str, body: bytes) -> None:
        """Write an object, whatever is there."""
        self.client.put_object(Bucket=self._bucket, Key=self._root + key, Body=body)

    def get(self, key: str) -> bytes:
        """An object's bytes."""
        return self.client.get_object(Bucket=self._bucket, Key=self._root + key)["Body"].read()

    def all(self) -> dict[str, bytes]:
        """Every object and its bytes."""
        pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=self._root)
        keys = [entry["Key"] for page in pages for entry in page.get("Contents", ())]
        return {key.removeprefix(self._root): self.get(key.removeprefix(self._root)) for key in keys}
