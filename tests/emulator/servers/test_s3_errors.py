"""What S3 refuses has one status by its code, wherever it is said: clients decide by it whether they try again."""

import ast

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
