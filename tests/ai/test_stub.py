import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from emulator.servers.ai import environment
from emulator.servers.ai_script import Rule, read_script
from emulator.servers.ai_stub import Stub
from emulator.state.folder import State
from tests import web


def ask(stub: Stub, text: str, **more: object) -> httpx.Response:
    request = {"model": "any", "messages": [{"role": "user", "content": text}], **more}
    headers = {"Authorization": "Bearer sk-very-secret"}
    return web.post(f"{stub.url}/chat/completions", json=request, headers=headers)


def test_rules_answer_in_order_as_often_as_they_may() -> None:
    with Stub([Rule(times=1, status=500), Rule(match="페트", content="라벨"), Rule(content="?")]) as stub:
        assert ask(stub, "페트병").status_code == 500
        assert ask(stub, "페트병").json()["choices"][0]["message"]["content"] == "라벨"
        assert ask(stub, "캔").json()["choices"][0]["message"]["content"] == "?"


def test_a_rule_is_used_up_by_one_request_at_a_time() -> None:
    class Rules(list[Rule]):
        def __iter__(self) -> Iterator[Rule]:
            assert stub._lock.locked()
            return super().__iter__()

    stub = Stub()
    stub.rules = Rules([Rule(times=1, content="하나")])
    assert stub.rule({"messages": []}) is stub.rules[0]
    assert stub.rule({"messages": []}) is None
    stub._server.server_close()


def test_a_stream_ends_with_its_usage_and_done() -> None:
    with Stub([Rule(content="하나 둘")]) as stub:
        lines = ask(stub, "?", stream=True).text.strip().split("\n\n")
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert "".join(c["delta"].get("content", "") for chunk in chunks for c in chunk["choices"]) == "하나 둘"
    assert chunks[-1]["usage"]["total_tokens"] > 0


def test_a_recording_holds_neither_the_key_nor_the_photo(tmp_path: Path) -> None:
    content = [{"type": "image_url", "image_url": {"url": "data:image/jpeg;base64,QUJD"}}]
    with Stub(record=tmp_path / "cassette.jsonl") as stub:
        messages = [{"role": "user", "content": content}]
        web.post(
            f"{stub.url}/chat/completions",
            json={"model": "any", "messages": messages, "response_format": {}},
            headers={"Authorization": "Bearer sk-very-secret"},
        ).raise_for_status()
    text = (tmp_path / "cassette.jsonl").read_text()
    assert "secret" not in text
    assert "QUJD" not in text
    assert "data:sha256," in text


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
def test_what_a_real_server_answered_is_answered_again_without_it(tmp_path: Path, stream: bool) -> None:
    cassette = tmp_path / "cassette.jsonl"
    with Stub([Rule(content="진짜 대답")]) as real, Stub(upstream=real.url, record=cassette) as between:
        first = ask(between, "페트병", stream=stream)
        assert real.headers[0]["authorization"] == "Bearer sk-very-secret"
    assert "진짜" in first.text
    assert "secret" not in cassette.read_text()
    with Stub(replay=cassette) as stub:
        again = ask(stub, "페트병", stream=stream)
        assert (again.status_code, again.headers["content-type"]) == (200, first.headers["content-type"])
        assert again.text == first.text
        assert "진짜" not in ask(stub, "캔", stream=stream).text, "another request was not recorded"


def test_an_error_is_recorded_too_and_a_server_that_is_away_is_an_error(tmp_path: Path) -> None:
    cassette = tmp_path / "cassette.jsonl"
    with Stub([Rule(status=429)]) as real, Stub(upstream=real.url, record=cassette) as between:
        assert ask(between, "?").status_code == 429
    with Stub(replay=cassette) as stub:
        assert ask(stub, "?").status_code == 429
    with Stub(upstream="http://127.0.0.1:9/v1") as stub:
        assert ask(stub, "?").status_code == 502


def test_a_wrong_script_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "script.json").write_text('[{"satus": 500}]')
    with pytest.raises(ValueError, match="satus"):
        read_script(tmp_path / "script.json")
    done = subprocess.run(
        [sys.executable, "-m", "emulator.servers.ai_stub", "--script", str(tmp_path / "none.json")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_eco2_up_with_the_stub_points_the_worker_at_it(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.create()
    with environment("stub", {"A": "1", "OPENAI_API_KEY": "sk-real"}, state) as environ:
        assert environ["OPENAI_API_KEY"] == "stub", "the developer's own key goes nowhere"
        assert web.get(f"{environ['OPENAI_BASE_URL']}/models").status_code == 200
    with environment("embedded", {"OPENAI_API_KEY": "sk-real"}, state) as environ:
        assert "OPENAI_API_KEY" not in environ
    with environment(None, {"OPENAI_API_KEY": "sk-real"}, state) as environ:
        assert environ["OPENAI_API_KEY"] == "sk-real"
