"""Event streams, opened again where they break, behind the last event that came."""

import json
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from uuid import UUID

import httpx
from eco2_client.answers import refusal
from eco2_client.client import AuthenticatedClient
from eco2_client.models import (
    AnalysisDoneEvent,
    AnalysisFailedEvent,
    AnalysisProgressEvent,
    MessageDoneEvent,
    MessageFailedEvent,
    MessageRestartEvent,
    MessageTokenEvent,
)

# A comment comes every 15 s: a stream that is silent for longer is broken.
TIMEOUT = httpx.Timeout(10.0, read=40.0)
# How often a stream is opened without success before its error is the caller's; seconds between two of them.
TRIES = 4
PAUSE = 1.0


def follow_analysis(
    client: AuthenticatedClient, analysis_id: UUID
) -> Iterator[AnalysisProgressEvent | AnalysisDoneEvent | AnalysisFailedEvent]:
    """The events of an analysis until it is done or has failed, which is told last and brings the whole analysis.

    Raises:
        ApiError: there is no such analysis of this person's, or the session is over.
        httpx.TransportError: no one answers.
    """
    for event in _follow(client, f"/api/v1/waste/analyses/{analysis_id}/events"):
        match event["event"]:
            case "progress":
                yield AnalysisProgressEvent.from_dict(event)
            case "done":
                yield AnalysisDoneEvent.from_dict(event)
            case "failed":
                yield AnalysisFailedEvent.from_dict(event)


def follow_reply(
    client: AuthenticatedClient, conversation_id: UUID, message_id: UUID
) -> Iterator[MessageTokenEvent | MessageRestartEvent | MessageDoneEvent | MessageFailedEvent]:
    """The events of a reply until it is done or has failed, which is told last and brings the whole message.

    A restart means: discard the tokens that came so far. Raises as `follow_analysis`.
    """
    for event in _follow(client, f"/api/v1/chat/conversations/{conversation_id}/messages/{message_id}/events"):
        match event["event"]:
            case "token":
                yield MessageTokenEvent.from_dict(event)
            case "restart":
                yield MessageRestartEvent.from_dict(event)
            case "done":
                yield MessageDoneEvent.from_dict(event)
            case "failed":
                yield MessageFailedEvent.from_dict(event)


def _follow(client: AuthenticatedClient, path: str) -> Iterator[Mapping[str, Any]]:
    headers: dict[str, str] = {}
    failures = 0
    while True:
        pause = PAUSE
        try:
            with client.get_httpx_client().stream("GET", path, headers=headers, timeout=TIMEOUT) as answer:
                if answer.status_code != 200:
                    refused = refusal(answer)
                    failures += 1
                    if refused.status not in (429, 503) or failures == TRIES:
                        raise refused
                    pause = refused.retry_after or PAUSE
                else:
                    failures = 0
                    for event in _events(answer.iter_lines()):
                        if "id" in event:
                            headers["Last-Event-ID"] = event["id"]
                        yield event
                        if event["event"] in ("done", "failed"):
                            return
        except httpx.TransportError:
            failures += 1
            if failures == TRIES:
                raise
        time.sleep(pause)


def _events(lines: Iterable[str]) -> Iterator[Mapping[str, Any]]:
    """Event, data and id of each event; what has no data is none (a comment, an event that broke off)."""
    fields: dict[str, str] = {}
    for line in lines:
        name, _, text = line.partition(":")
        if line and name:
            fields[name] = text.removeprefix(" ")
        elif not line and "data" in fields:
            yield {"event": "message", **fields, "data": json.loads(fields["data"])}
            fields = {}
        elif not line:
            fields = {}
