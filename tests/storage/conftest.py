from collections.abc import Iterator
from typing import Any

import boto3
import pytest

from shared.ids import new_id
from shared.objects import ObjectStore
from shared.settings import Settings
from tests.support import S3


@pytest.fixture(scope="session")
def client(s3: S3) -> Any:
    """boto3's own, for what our services never ask."""
    return boto3.client(
        "s3",
        endpoint_url=s3.url,
        aws_access_key_id=s3.access_key,
        aws_secret_access_key=s3.secret_key,
        region_name="ap-northeast-2",
    )


@pytest.fixture
def store(s3: S3, client: Any) -> Iterator[ObjectStore]:
    """A new bucket."""
    store = ObjectStore(
        Settings(
            s3_endpoint_url=s3.url,
            s3_bucket=f"photos-{new_id()}",
            aws_access_key_id=s3.access_key,
            aws_secret_access_key=s3.secret_key,
            cdn_base_url="http://cdn.test",
        )
    )
    client.create_bucket(Bucket=store.bucket, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"})
    yield store
    store.close()
