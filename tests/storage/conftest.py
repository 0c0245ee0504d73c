from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto.server import ThreadedMotoServer

from shared.ids import new_id
from shared.objects import ObjectStore
from shared.settings import Settings


@pytest.fixture(scope="session")
def bucket_address() -> Iterator[str]:
    server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(scope="session")
def client(bucket_address: str) -> Any:
    """boto3's own, for what our services never ask."""
    given = {"aws_access_key_id": "test", "aws_secret_access_key": "test", "region_name": "ap-northeast-2"}
    return boto3.client("s3", endpoint_url=bucket_address, **given)


@pytest.fixture
def store(bucket_address: str, client: Any) -> Iterator[ObjectStore]:
    """A new bucket on moto's server."""
    store = ObjectStore(
        Settings(
            s3_endpoint_url=bucket_address,
            s3_bucket=f"photos-{new_id()}",
            aws_access_key_id="test",
            aws_secret_access_key="test",
            cdn_base_url="http://cdn.test",
        )
    )
    client.create_bucket(Bucket=store.bucket, CreateBucketConfiguration={"LocationConstraint": "ap-northeast-2"})
    yield store
    store.close()
