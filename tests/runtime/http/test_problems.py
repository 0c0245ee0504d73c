"""What went wrong, as an answer: no input of a client's is a fault of ours."""

import psycopg
import pytest
from litestar.exceptions import ClientException, HTTPException, MethodNotAllowedException, NotFoundException
from litestar.exceptions import ValidationException as Invalid

from runtime.http import problems
from shared.errors import NotFound, Unavailable


def broken(data: bytes) -> UnicodeDecodeError:
    with pytest.raises(UnicodeDecodeError) as caught:
        data.decode()
    return caught.value


@pytest.mark.parametrize(
    ("error", "status", "fields"),
    [
        (NotFound(), 404, []),
        (Unavailable("database"), 503, []),
        (RecursionError(), 400, ["body"]),
        (broken(b"\xff"), 400, ["body"]),
        (psycopg.DataError(), 400, ["request"]),
        (NotFoundException(), 404, []),
        (HTTPException(status_code=413), 413, []),
        (HTTPException(status_code=415), 415, []),
        (HTTPException(status_code=409), 409, []),
        (ClientException("no JSON"), 400, ["body"]),
        (Invalid("x", extra=[{"message": "'data'", "key": "data", "source": "body"}]), 400, ["body"]),
        (Invalid("x", extra=[{"message": "is not", "key": "if_match", "source": "header"}]), 400, ["If-Match"]),
        (Invalid("Missing required query parameter 'lat' for path /x"), 400, ["lat"]),
        (MethodNotAllowedException(), 405, []),
        (ValueError("what no one foresaw"), 500, []),
        (HTTPException(status_code=502), 500, []),
    ],
    ids=lambda one: type(one).__name__ if isinstance(one, Exception) else None,
)
def test_each_error_has_its_status_and_names_what_the_client_can_mend(
    error: Exception, status: int, fields: list[str]
) -> None:
    problem = problems.classify(error)
    assert (problem.status, [one.field for one in problem.errors]) == (status, fields)
    assert problem.type.startswith("urn:eco2:") or status == 500
    answered, _, body = problems.answer(problem, "r-1", error)
    assert answered == status
    assert b"no one foresaw" not in body
