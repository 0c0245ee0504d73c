"""Spans and uploads go into the recording that is open just now, and nowhere while none is."""

import socket
from pathlib import Path

import pytest

from emulator.recording import folder as recordings
from emulator.recording import form, opened, spanlog
from emulator.recording.spanlog import SpanLog
from emulator.recording.store_tap import StoreTap
from emulator.state.folder import State


@pytest.fixture
def state(tmp_path: Path) -> State:
    found = State(tmp_path / "state")
    found.create()
    return found


def descriptors() -> int:
    return len([*Path("/proc/self/fd").iterdir()])


def test_spans_go_into_the_recording_that_is_open(state: State) -> None:
    log, before = SpanLog(state), descriptors()
    log([b"of no one"])
    first = recordings.begin(state, "first")
    opened.mark_open(state, first, requests=True)
    log([b"1", b"2"])
    second = recordings.begin(state, "second")
    opened.mark_open(state, second, requests=True)
    log([b"3"])
    (state.path / opened.OPEN).unlink()
    log([b"of no one"])
    assert descriptors() == before
    assert (first / form.SPANS).read_bytes() == b"1\n2\n"
    assert (second / form.SPANS).read_bytes() == b"3\n"
    assert (first / form.SPANS).stat().st_mode & 0o077 == 0


def test_spans_take_a_quarter_of_what_a_recording_may_hold(state: State, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spanlog, "LARGEST", 40)
    folder = recordings.begin(state, "day")
    opened.mark_open(state, folder, requests=False)
    log = SpanLog(state)
    for _ in range(4):
        log([b"12345"])
    assert (folder / form.SPANS).stat().st_size == 12


def test_what_the_kernel_could_not_keep_for_a_busy_reader_is_counted() -> None:
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as busy,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as one,
    ):
        busy.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
        busy.bind(("127.0.0.1", 0))
        port = busy.getsockname()[1]
        assert spanlog.lost(port) == 0
        for _ in range(20):
            one.sendto(b"x" * 1000, ("127.0.0.1", port))
        assert 0 < spanlog.lost(port) < 20
        whole = spanlog.widen(busy)
        assert busy.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) > 100_000
        assert whole == (busy.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) >= 8 << 20)


def test_an_upload_is_in_the_recording_that_takes_requests(state: State) -> None:
    tap = StoreTap({"ECO2_STATE": str(state.path)})
    answer, before = (204, [("ETag", "x")], b""), descriptors()
    head = {"content-type": "multipart/form-data", "host": "here", "content-length": "5"}
    tap.posted("/bucket", head, b"photo", answer, 0.5)
    StoreTap({}).posted("/bucket", head, b"photo", answer, 0.5)
    folder = recordings.begin(state, "day")
    opened.mark_open(state, folder, requests=False)
    tap.posted("/bucket", head, b"photo", answer, 0.5)
    opened.mark_open(state, folder, requests=True)
    tap.posted("/bucket", head | {"x-request-id": "mine"}, b"photo", answer, 0.5)
    tap.posted("/bucket", head, b"photo", answer, 0.5)
    one, other = sorted(form.read_exchanges(folder), key=lambda exchange: exchange.id != "mine")
    assert (one.id, one.to, one.method, one.path, one.body.text) == ("mine", "s3", "POST", "/bucket", "photo")
    assert one.headers == [("content-type", "multipart/form-data")]
    assert (one.answer.status, one.answer.headers, one.answer.seconds) == (204, [("etag", "x")], 0.5)
    assert other.id not in ("", "mine")
    assert descriptors() == before
