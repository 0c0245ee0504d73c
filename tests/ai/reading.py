"""What tests read of what a task left behind."""

import os

import msgspec

from shared import progress
from shared.redis import connect
from tests.eval.at_work import AtWork


def tokens(task: AtWork) -> list[tuple[str, str]]:
    """(run, text) of every token published for the task."""
    client = connect(os.environ["BROKER_REDIS_URL"])
    entries = client.xrange(progress.stream(task.subject))
    return [
        (fields["run"], msgspec.json.decode(fields["data"])["text"])
        for _, fields in entries
        if fields["name"] == "token"
    ]
