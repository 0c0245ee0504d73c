"""What S3 refuses has one status by its code, wherever it is said: clients decide by it whether they try again."""

import ast
import asyncio
import threading
from typing import Any

from emulator.servers.s3.wire import MAX_BODY, OWN_NAMES, Response, Wire, _environ
from runtime.services import ROOT

STATUS = {
    **dict.fromkeys(("AccessDenied", "InvalidAccessKeyId", "RequestTimeTooSkewed", "SignatureDoesNotMatch"), 403),
    **dict.fromkeys(("NoSuchBucket", "NoSuchUpload"), 404),
    "MethodNotAllowed": 405,
    "InternalError": 500,
    "NotImplemented": 501,
}
# Of another error's own.
HANDED_ON = {"malformed.status", "error.code or 400"}


def test_each_code_has_its_status() -> None:
    said = {}
    for file in sorted((ROOT / "emulator/servers/s3").glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(func=ast.Name(id="S3Error"), args=[status, code, *_]):
                    right = str(STATUS.get(code.value if isinstance(code, ast.Constant) else "", 400))
                    said[f"{file.name}:{node.lineno}"] = ast.unparse(status), right
    assert len(said) > len(STATUS)
    assert {where: pair for where, pair in said.items() if pair[0] != pair[1] and pair[0] not in HANDED_ON} == {}


async def test_what_is_too_large_is_read_to_its_end_so_that_its_sender_sees_the_answer() -> None:
    steps: list[str] = []
    pieces = iter([{"type": "http.request", "body": b"x", "more_body": more} for more in (True, True, False)])

    async def receive() -> Any:
        steps.append("read")
        return next(pieces)

    async def send(message: Any) -> None:
        steps.append(
            "answer" if message["type"] == "http.response.start" else f"more {message.get('more_body', False)}"
        )

    scope = {"method": "PUT", "raw_path": b"/eco2/a", "query_string": b"", "server": None, "client": None}
    scope |= {"http_version": "1.1", "scheme": "http", "headers": [(b"content-length", b"%d" % (MAX_BODY + 1))]}
    await Wire(lambda environ: Response("too large", 400))(scope, receive, send)
    assert steps == ["answer", "more True", "read", "read", "read", "more False"]


def test_a_header_with_an_underscore_does_not_pass_for_the_one_with_a_dash() -> None:
    scope = {"method": "PUT", "raw_path": b"/eco2/a", "query_string": b"", "server": None, "client": None}
    scope |= {"http_version": "1.1", "scheme": "http"}
    headers = [
        (b"x-amz-date", b"signed"),
        (b"x_amz_date", b"forged"),
        (b"x_amz_acl", b"public"),
        (b"x-amz-meta-a_b", b"c"),
    ]
    environ = _environ(scope | {"headers": headers}, b"")
    found = {name: value for name, value in environ.items() if name.startswith("HTTP_")}
    assert found == {"HTTP_X_AMZ_DATE": "signed", "HTTP_X_AMZ_META_A_B": "c"}
    assert environ[OWN_NAMES] == {"HTTP_X_AMZ_META_A_B": "x-amz-meta-a_b"}


async def test_forms_take_turns_and_hold_up_no_one_who_asks_for_something_else() -> None:
    at_once, counting, go_on = [0], threading.Lock(), threading.Event()
    inside = 0

    def answer(environ: Any) -> Response:
        nonlocal inside
        if environ["REQUEST_METHOD"] == "POST":
            with counting:
                inside += 1
                at_once.append(inside)
            assert go_on.wait(60)
            with counting:
                inside -= 1
        return Response("")

    async def ask(method: str) -> None:
        async def receive() -> Any:
            return {"type": "http.request", "body": b"", "more_body": False}

        async def send(_: Any) -> None:
            """To no one."""

        scope = {"method": method, "raw_path": b"/eco2", "query_string": b"", "server": None, "client": None}
        scope |= {"http_version": "1.1", "scheme": "http", "headers": [(b"content-type", b"multipart/form-data")]}
        await wire(scope, receive, send)

    wire = Wire(answer)
    forms = [asyncio.create_task(ask("POST")) for _ in range(5)]
    while max(at_once) < 2:  # noqa: ASYNC110 - it has no event
        await asyncio.sleep(0.001)
    await ask("GET")
    go_on.set()
    await asyncio.gather(*forms)
    assert max(at_once) == 2
