"""Make the bucket of docker-compose.yml unless it is there; waits for the server to come up."""

from __future__ import annotations

import os
import sys
import time
from typing import Any

import boto3
from botocore.exceptions import ClientError, HTTPClientError
from botocore.exceptions import ConnectionError as Unreachable

SECONDS = 60.0


def main(bucket: str) -> None:
    """Return as soon as the bucket is there; raises what the server said last, after a minute."""
    client = boto3.client("s3", endpoint_url=os.environ["MILLRACE_S3_ENDPOINT_URL"])
    until = time.monotonic() + SECONDS
    while (failure := create(client, bucket)) is not None:
        if time.monotonic() > until:
            raise failure
        time.sleep(1)


def create(client: Any, bucket: str) -> Exception | None:
    """Nothing where the bucket is there now, or why trying again may help."""
    try:
        client.create_bucket(Bucket=bucket)
    except ClientError as error:
        if error.response["Error"]["Code"] == "BucketAlreadyOwnedByYou":
            return None
        if error.response["ResponseMetadata"]["HTTPStatusCode"] < 500:
            raise
        return error
    except (HTTPClientError, Unreachable) as error:
        return error
    return None


if __name__ == "__main__":
    main(sys.argv[1])
