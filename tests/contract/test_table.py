"""The encoded contract is API.md, and the OpenAPI documents of the running services are the encoded contract."""

import re
from typing import Any

import msgspec
import pytest
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from runtime.http.hosted import Hosted, read_settings
from runtime.services import ROOT, find
from tests.contract.table import NESTED, PREFIXES, TABLE, TICKETS, UNSPOKEN, WASTE_TYPES, Row

API_MD = ROOT.parent / "shared" / "API.md"
_SECTION = re.compile(r"^## [a-z-]+ — `(/api/v1/[a-z]+)`\n(.*?)(?=^## |\Z)", re.M | re.S)
_ROW = re.compile(r"^\| ((?:GET|POST|PUT|PATCH|DELETE)[^|]*)\| (/[^|]*?) \| (.*) \|$", re.M)
_STATUS = re.compile(r"(?:→ |· |, )(\d{3})\b")


def without_names(path: str) -> str:
    return re.sub(r"\{[^}]*\}", "{}", path)


@pytest.mark.skipif(not API_MD.exists(), reason="API.md lies beside the checkout at its authors' only")
def test_the_encoded_table_is_api_md() -> None:
    by_prefix = {prefix: service for service, prefix in PREFIXES.items()}
    found: dict[tuple[str, str, str], tuple[bool, set[str]]] = {}
    named: dict[tuple[str, str, str], set[int]] = {}
    sections = _SECTION.findall(API_MD.read_text(encoding="utf-8"))
    assert [by_prefix[prefix] for prefix, _ in sections] == list(PREFIXES)
    for prefix, text in sections:
        service = by_prefix[prefix]
        for methods, address, rest in _ROW.findall(text):
            path, _, query = address.replace("*idem*", "").strip().partition("?")
            for word in methods.split(","):
                method = word.split()[0]
                key = (service, method, without_names(path))
                queries = {part.partition("=")[0] for part in query.split("&") if part}
                before = found.get(key, (False, set()))
                found[key] = ("*idem*" in word or "*idem*" in address or before[0], queries | before[1])
                named.setdefault(key, set()).update(int(status) for status in _STATUS.findall(rest))
        # Of the whole document: a row may say "as waste".
        words = set(re.findall(r"[a-z][a-z0-9_]*", API_MD.read_text(encoding="utf-8")))
        for row in TABLE:
            if row.service == service:
                fields = set(f"{row.answer} {row.body} {row.query} {row.events}".split())
                fields -= UNSPOKEN.get(service, set())
                assert fields <= words, f"{row.method} {row.path}: API.md does not know {fields - words}"
    assert found == {(r.service, r.method, r.path): (r.idempotent, set(r.query.split())) for r in TABLE}
    for row in TABLE:
        assert set(row.named) <= named[row.service, row.method, row.path], row
    for key, statuses in named.items():
        # A cell states the statuses of all its methods together.
        ours = {s for r in TABLE if (r.service, r.path) == (key[0], key[2]) for s in (*r.named, r.success)}
        assert statuses <= ours, f"{key}: {statuses - ours}"


@pytest.fixture(scope="module")
def documents(environment: dict[str, str]) -> dict[str, dict[str, Any]]:
    """The OpenAPI document of every API service, as the production loader makes it."""
    services = {service: find(service) for service in PREFIXES}
    return {
        name: msgspec.json.decode(Hosted(service, read_settings(service, environment), background=False).document())
        for name, service in services.items()
    }


def resolve(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return schema


def properties(document: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The fields of an object, through references, alternatives and lists."""
    schema = resolve(document, schema)
    found: dict[str, Any] = dict(schema.get("properties", {}))
    for word in ("oneOf", "anyOf", "allOf"):
        for part in schema.get(word, []):
            found |= properties(document, part)
    if "items" in schema:
        found |= properties(document, schema["items"])
    return found


def test_every_path_served_is_in_the_contract_and_every_path_of_it_is_served(
    documents: dict[str, dict[str, Any]],
) -> None:
    served = {
        (service, method.upper(), without_names(path.removeprefix(PREFIXES[service])))
        for service, document in documents.items()
        for path, operations in document["paths"].items()
        for method in operations
    }
    assert served == {(row.service, row.method, row.path) for row in TABLE + TICKETS}


@pytest.mark.parametrize("row", TABLE + TICKETS, ids=lambda row: f"{row.method} {PREFIXES[row.service]}{row.path}")
def test_the_document_says_what_the_contract_says(documents: dict[str, dict[str, Any]], row: Row) -> None:
    document = documents[row.service]
    (operation,) = [
        operations[row.method.lower()]
        for path, operations in document["paths"].items()
        if without_names(path.removeprefix(PREFIXES[row.service])) == row.path and row.method.lower() in operations
    ]
    responses = operation["responses"]
    wanted = {row.success, *row.named}
    wanted |= set() if row.public else {401}
    wanted |= {400, 413, 415} if row.body else set()
    wanted |= {400, 404} if "{}" in row.path else set()
    wanted |= {409} if row.idempotent else set()
    wanted |= {400} if row.paged or row.query else set()
    assert {str(status) for status in wanted} <= set(responses)
    for status, response in responses.items():
        if int(status) >= 400:
            assert list(response["content"]) == ["application/problem+json"], status
            assert {"type", "title", "status", "detail", "instance"} <= set(
                properties(document, response["content"]["application/problem+json"]["schema"])
            )
            for example in response["content"]["application/problem+json"]["examples"].values():
                assert example["value"]["status"] == int(status)
                assert example["value"]["type"].startswith("urn:eco2:")
            assert status not in ("429", "503") or response["headers"]["Retry-After"]["required"]
    given = {parameter["name"] for parameter in operation.get("parameters", []) if parameter["in"] == "query"}
    assert set(row.query.split()) | ({"limit", "cursor"} if row.paged and not row.query else set()) <= given
    headers = {
        parameter["name"].lower() for parameter in operation.get("parameters", []) if parameter["in"] == "header"
    }
    assert ("idempotency-key" in headers) == row.idempotent
    if row.body:
        schema = operation["requestBody"]["content"]["application/json"]["schema"]
        assert set(row.body.split()) == set(properties(document, schema))
    if row.answer:
        fields = properties(document, responses[str(row.success)]["content"]["application/json"]["schema"])
        if row.paged:
            assert {"items", "next_cursor"} <= set(fields)
            fields = properties(document, fields["items"])
        assert set(row.answer.split()) <= set(fields)
        for name in set(row.answer.split()) & set(NESTED) - {"images"}:
            inner = properties(document, fields[name])
            assert set(NESTED[name].split()) <= set(inner), name
            for deeper in set(inner) & set(NESTED):
                assert set(NESTED[deeper].split()) <= set(properties(document, inner[deeper])), deeper
    if row.events:
        event = resolve(document, responses["200"]["content"]["text/event-stream"]["schema"])
        assert set(row.events.split()) == set(event["discriminator"]["mapping"])
        assert {"ticket"} == given
    if not row.public:
        assert operation["security"] == [{"bearer": []}] + ([{"ticket": []}] if row.events else [])


@pytest.mark.parametrize("row", TABLE + TICKETS, ids=lambda row: f"{row.method} {PREFIXES[row.service]}{row.path}")
def test_every_body_has_an_example_that_fits_its_schema(documents: dict[str, dict[str, Any]], row: Row) -> None:
    document = documents[row.service]
    (operation,) = [
        operations[row.method.lower()]
        for path, operations in document["paths"].items()
        if without_names(path.removeprefix(PREFIXES[row.service])) == row.path and row.method.lower() in operations
    ]
    for body in (operation.get("requestBody", {}), *operation["responses"].values()):
        for media in body.get("content", {}).values():
            examples = (
                [one["value"] for one in media["examples"].values()] if "examples" in media else [media["example"]]
            )
            for example in examples:
                validator = OAS31Validator(media["schema"] | {"components": document["components"]})
                assert list(validator.iter_errors(example)) == []
                # What replaces a string whose field says nothing: each one should have its own.
                assert ':"text"' not in msgspec.json.encode(example).decode()


@pytest.mark.parametrize("service", PREFIXES)
def test_the_document_is_valid_openapi_with_unique_operation_names(
    documents: dict[str, dict[str, Any]], service: str
) -> None:
    document = documents[service]
    OpenAPIV31SpecValidator(document).validate()
    names = [operation["operationId"] for path in document["paths"].values() for operation in path.values()]
    assert len(names) == len(set(names))
    assert all(operation.get("summary") for path in document["paths"].values() for operation in path.values())


def test_the_types_of_waste_are_the_contract_s(documents: dict[str, dict[str, Any]]) -> None:
    schema = documents["waste"]["paths"]["/api/v1/waste/analyses/{analysis_id}"]["patch"]["requestBody"]
    body = properties(documents["waste"], schema["content"]["application/json"]["schema"])
    assert set(resolve(documents["waste"], body["waste_type"])["enum"]) == set(WASTE_TYPES.split())
