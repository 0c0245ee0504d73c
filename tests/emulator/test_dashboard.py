"""The dashboard's local API, on a running system: what it shows, what it does, and whom it refuses."""

import json
import re
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg import sql

from emulator.dashboard import app as dashboard
from emulator.outside.mailbox import Mailbox
from emulator.running import environment
from runtime.loader import discover
from runtime.services import load_services
from tests import web
from tests.emulator.conftest import Emulator
from tests.support import photo, wait_until


def call(api: httpx.Client, method: str, path: str, **more: Any) -> dict[str, Any]:
    answer = api.post("/call", json={"method": method, "path": path, "person": "mina"} | more)
    assert answer.status_code == 200, answer.text
    found: dict[str, Any] = answer.json()
    return found


@pytest.mark.parametrize(
    "headers",
    [
        {"Host": "rebound.example.com"},
        {"Host": "127.0.0.1.example.com"},
        {"Origin": "http://example.com"},
        {"Origin": "http://127.0.0.1:1"},
        {"Origin": "null"},
    ],
    ids=str,
)
def test_another_page_is_refused_reading_and_writing(api: httpx.Client, headers: dict[str, str]) -> None:
    assert api.get("/system", headers=headers).status_code == 403
    assert api.delete("/faults", headers=headers).status_code == 403
    assert api.post("/clock", json={"seconds": 60}, headers=headers).status_code == 403
    assert api.get("/system").json()["clock"]["ahead"] == 0


def test_a_rebound_page_at_the_dashboards_own_port_is_refused_whatever_it_says_of_a_gateway(emulator: Emulator) -> None:
    address = next(part["address"] for part in emulator.about["parts"] if part["name"] == "dashboard")
    headers = {"Host": "rebound.example.com", "X-Forwarded-Host": "127.0.0.1"}
    with web.Client(base_url=address) as client:
        assert client.get("/_emulator/api/data/tables", headers=headers).status_code == 403
        assert client.get("/_emulator/", headers=headers).status_code == 403
        assert client.get("/_emulator/api/", headers={"X-Eco2-Token": emulator.token}).status_code == 200


def test_another_user_of_this_machine_gets_the_pages_files_and_nothing_else(
    emulator: Emulator, api: httpx.Client
) -> None:
    # Such a program may send whatever Host and Origin it likes; what it can't read is the folder's token.
    file = emulator.folder / "emulator.json"
    assert file.stat().st_mode & 0o077 == 0
    for headers in ({}, {"X-Eco2-Token": ""}, {"X-Eco2-Token": "x" * 32}, {"Origin": emulator.url}):
        with web.Client(base_url=emulator.url, headers=headers) as stranger:
            page = stranger.get("/_emulator/")
            assert page.status_code == 200
            assert emulator.token not in page.text
            for entry in api.get("/").json():
                path = re.sub(r"\{\w+:str\}", "x", entry["path"]).replace("{id:uuid}", str(uuid4()))
                refused = stranger.request(entry["method"], path)
                assert (refused.status_code, "eco2 open" in refused.text) == (401, True), entry
            for path in (
                "/_emulator//api/system",
                "/_emulator/./api/system",
                "//_emulator/api/system",
                "/_emulator/api",
            ):
                assert stranger.get(path).status_code in (401, 404), path
    assert api.get("/system").json()["clock"]["ahead"] == 0


def test_eco2_open_prints_the_address_that_has_the_token(emulator: Emulator) -> None:
    said = emulator.eco2("open", "tasks", "--print").stdout.strip()
    assert said == f"{emulator.url}/_emulator/#token={emulator.token}&page=tasks"
    assert emulator.token not in emulator.eco2("status").stdout


def test_the_page_of_this_machine_is_answered(emulator: Emulator, api: httpx.Client) -> None:
    assert api.get("/system", headers={"Origin": emulator.url}).status_code == 200
    by_name = emulator.url.replace("127.0.0.1", "localhost")
    host = by_name.removeprefix("http://")
    assert api.get("/system", headers={"Host": host, "Origin": by_name}).status_code == 200


def test_the_page_loads_nothing_from_elsewhere(emulator: Emulator) -> None:
    with emulator.client() as client:
        answer = client.get("/_emulator/")
        assert answer.headers["content-security-policy"].startswith("default-src 'self';")
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        for name in [path.name for path in dashboard.STATIC.iterdir()]:
            answer = client.get(f"/_emulator/{name}")
            assert answer.status_code == 200, name
            assert answer.headers["x-content-type-options"] == "nosniff"
        assert client.get("/_emulator/../app.py").status_code == 404
        assert client.get("/_emulator/app.py").status_code == 404


def test_the_index_names_every_address_and_says_what_it_does(api: httpx.Client) -> None:
    listed = api.get("/").json()
    named = {(entry["method"], entry["path"]) for entry in listed}
    handlers = {
        (method, f"/_emulator/api{path}".rstrip("/"))
        for handler in dashboard.HANDLERS
        for path in handler.paths
        for method in handler.http_methods
        if method != "OPTIONS"
    }
    assert {(method, path.rstrip("/")) for method, path in named} == handlers
    assert all(entry["does"] for entry in listed)


def test_the_catalogue_has_every_function_and_what_its_form_needs(api: httpx.Client) -> None:
    shown = api.get("/functions").json()
    expected = {(service.folder, found.name) for service in load_services().values() for found in discover(service)}
    assert {(entry["service"], entry["name"]) for entry in shown} == expected
    http = [entry for entry in shown if entry["trigger"] == "http"]
    assert [entry["path"] for entry in http if "operation" not in entry and entry["name"] != "jwks"] == []
    login = next(entry for entry in http if entry["name"] == "login")
    schema = login["operation"]["requestBody"]["content"]["application/json"]["schema"]
    assert {"username", "password"} <= set(schema["properties"])
    assert login["role"] == load_services()["auth"].database.role
    assert login["file"] == "functions/auth/login.py"
    assert login["limits"].keys() == {"replicas", "cpu", "memory", "threads", "connections"}


def test_the_system_shows_each_part_and_its_connections(api: httpx.Client) -> None:
    system = api.get("/system").json()
    parts = {part["name"]: part for part in system["parts"]}
    assert {part["state"] for part in parts.values()} == {"ready"}
    assert parts["postgres"]["memory"] > 1
    assert {name for link in system["links"] for name in link} <= set(parts)
    assert ["api-waste", "postgres"] in system["links"]
    assert ["worker-ai", "postgres"] not in system["links"]
    assert system["versions"]["postgres"]


def test_a_call_shows_its_statements_and_its_task_across_the_processes(api: httpx.Client) -> None:
    picture = photo()
    upload = call(api, "POST", "/api/v1/waste/uploads", body={"content_type": "image/jpeg", "size_bytes": len(picture)})
    assert upload["status"] == 201, upload["body"]
    rows = upload["timeline"]["rows"]
    assert [row["kind"] for row in rows].count("server") == 1
    assert any(row["kind"] == "sql" and "INSERT INTO uploads" in row["name"] for row in rows)

    ticket = httpx.Response(200, content=upload["body"]).json()
    stored = web.post(ticket["url"], data=ticket["fields"], files={"file": picture}, timeout=60)
    assert stored.status_code < 300, stored.text
    begun = call(api, "POST", "/api/v1/waste/analyses", body={"image_key": ticket["image_key"]})
    assert begun["status"] == 202, begun["body"]

    def whole() -> dict[str, Any] | None:
        found: dict[str, Any] = api.get(f"/traces/{begun['trace']}").json()
        done = {row["name"] for row in found["rows"] if row["kind"] == "result"}
        return found if {"waste/photo_processed", "waste/photo_classified"} <= done else None

    timeline = wait_until(whole, "both results of the photo's trace")
    assert timeline["trace"] == begun["trace"]
    rows = timeline["rows"]
    assert {"waste", "storage", "ai"} <= {row["service"] for row in rows}
    assert {"gateway", "server", "sql", "enqueue", "attempt", "journal", "run", "result", "log"} <= {
        row["kind"] for row in rows
    }
    assert [row["state"] for row in rows if row["kind"] == "task"] == [""] * len(timeline["ids"]["task"])
    listed = api.get("/requests", params={"q": begun["trace"]}).json()
    assert [entry["trace"] for entry in listed] == [begun["trace"]]
    assert listed[0]["attributes"]["status"] == 202

    # One id leads to the others: the request's, as its answer says it, its trace's, and those of its tasks.
    request_id = begun["headers"]["x-request-id"]
    (task,) = [row["facts"]["task"] for row in rows if (row["kind"], row["name"]) == ("task", "storage/process_photo")]
    for name in (request_id, task):
        # Spans of what the workers do may still come in.
        found = api.get(f"/traces/{name}").json()
        assert (found["trace"], len(found["rows"]) >= len(rows)) == (begun["trace"], True)
        assert [entry["trace"] for entry in api.get("/requests", params={"q": name}).json()] == [begun["trace"]]
    assert task in api.get("/requests", params={"q": request_id}).json()[0]["tasks"]
    assert task in {found["id"] for found in api.get("/tasks", params={"q": request_id}).json()}
    assert [found["trace"] for found in api.get("/tasks", params={"q": task}).json()] == [begun["trace"]]

    # One task in full, with the row of its owner that it is about, also after the owner has forgotten the task.
    one = api.get(f"/tasks/{task}").json()
    assert one["task"]["actor"] == "storage/process_photo"
    assert [about["table"] for about in one["subject"]] == ["waste.analyses"]
    assert one["subject"][0]["row"]["id"] == one["task"]["subject"]
    assert [row["state"] for row in one["timeline"]["rows"] if row["kind"] == "run"] == [""]

    for worker in ("storage", "ai"):
        assert api.post(f"/sync/{worker}").json()["ok"]

    def synced() -> bool:
        tasks = [task for task in api.get("/tasks").json() if task.get("trace") == begun["trace"]]
        ended = [task for task in tasks if all(task["stages"].values())]
        return {"storage/process_photo", "ai/classify_photo"} <= {task["actor"] for task in ended}

    wait_until(synced, "both tasks with every stage reached")


def test_tabs_that_ask_for_the_same_new_person_at_once_get_the_same(api: httpx.Client) -> None:
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda path: call(api, "GET", path, person="newcomer"), ["/api/v1/auth/me"] * 3))
    assert {answer["status"] for answer in answers} == {200}
    assert len({answer["body"] for answer in answers}) == 1


def test_a_wait_for_a_row_is_a_row_of_the_timeline_that_names_who_holds_it(
    emulator: Emulator, api: httpx.Client
) -> None:
    change = {"method": "PATCH", "path": "/api/v1/users/me", "body": {"nickname": "미나"}, "person": "mina"}
    assert api.post("/call", json=change).json()["status"] == 200
    dsn = environment(state=emulator.folder)["API_USERS_DB_URL"]
    with (
        psycopg.connect(dsn, application_name="by-hand") as holder,
        psycopg.connect(dsn, autocommit=True) as other,
        ThreadPoolExecutor() as pool,
    ):
        holder.execute("SELECT FROM profiles FOR UPDATE")
        changing = pool.submit(api.post, "/call", json=change)
        asked = """
            SELECT 1
            FROM pg_stat_activity AS asks, pg_stat_activity AS waits
            WHERE asks.application_name = 'eco2-dashboard' AND asks.state = 'idle' AND waits.wait_event_type = 'Lock'
                AND waits.application_name = 'api-userinfo' AND asks.query_start > waits.query_start
            """
        # The dashboard has been answered; or the service has waited for as long as it does.
        wait_until(lambda: other.execute(asked).fetchone() or changing.done(), "the question who holds the row")
        holder.rollback()
        answer = changing.result().json()
    rows = api.get(f"/traces/{answer['trace']}").json()["rows"]
    (place,) = [number for number, row in enumerate(rows) if (row["kind"], row["name"]) == ("gap", "lock")]
    assert rows[place]["note"] == "by-hand, idle in transaction: SELECT FROM profiles FOR UPDATE"
    assert (rows[place - 1]["kind"], rows[place - 1]["depth"]) == ("sql", rows[place]["depth"] - 1)
    assert "INTO profiles" in rows[place - 1]["name"]
    said = emulator.eco2("trace", answer["trace"]).stdout
    assert "┄ waiting for a lock held by by-hand, idle in transaction: SELECT FROM profiles FOR UPDATE" in said


def test_a_bugs_answer_leads_to_its_traceback_its_source_and_the_statement(
    emulator: Emulator, api: httpx.Client
) -> None:
    def renamed(before: str, after: str) -> None:
        names = {"before": sql.Identifier(before), "after": sql.Identifier(after)}
        query = sql.SQL("ALTER TABLE recycle_info.categories RENAME COLUMN {before} TO {after}").format(**names)
        with psycopg.connect(environment(state=emulator.folder)["MIGRATION_DB_URL"]) as conn:
            conn.execute(query)

    table = api.get("/data/tables/recycle_info/categories", params={"as": "recycle_info"}).json()
    column = table["columns"][1]
    renamed(column, "moved")
    try:
        answer = web.get(f"{emulator.url}/api/v1/recycle/categories", params={"x": "1"})
    finally:
        renamed("moved", column)
    assert answer.status_code == 500
    problem, request_id = answer.json(), answer.headers["x-request-id"]
    assert problem["instance"] == request_id
    assert "UndefinedColumn" in problem["traceback"][-2] + problem["traceback"][-1]
    # The request's id is in the service's log, and so is its trace's.
    assert (
        f"request={request_id} trace={problem['trace_id']}"
        in (emulator.folder / "logs/api-recycle-info.log").read_text()
    )

    def whole() -> dict[str, Any] | None:
        found: dict[str, Any] = api.get(f"/traces/{request_id}").json()
        return found if {"gateway", "log"} <= {row["kind"] for row in found["rows"]} else None

    timeline = wait_until(whole, "the request's trace")
    assert (timeline["trace"], timeline["failed"]) == (problem["trace_id"], True)
    said = {row["kind"]: row for row in timeline["rows"] if row["state"] == "failed"}
    assert {"gateway", "server", "sql", "log"} <= set(said)
    assert "UndefinedColumn" in said["log"]["texts"]["stack"]
    assert ">" in said["log"]["texts"]["source"]
    assert "functions/recycle_info/" in said["log"]["texts"]["source"].splitlines()[0]
    printed = emulator.eco2("trace", request_id[:12]).stdout
    assert "GET /api/v1/recycle/categories?x=1 → 500" in printed
    assert "✗ recycle_info error" in printed
    assert said["log"]["texts"]["source"].splitlines()[0] in printed
    assert json.loads(emulator.eco2("trace", request_id, "--json").stdout)["trace"] == problem["trace_id"]
    assert problem["trace_id"] in emulator.eco2("trace").stdout, "without an id: the latest that failed"


def test_bodies_are_in_the_trace_without_what_opens_something(emulator: Emulator, api: httpx.Client) -> None:
    answer = call(api, "POST", "/api/v1/auth/login", body={"username": "nobody", "password": "tell no one"}, person="")
    (first, *_) = answer["timeline"]["rows"]
    assert json.loads(first["texts"]["request_body"]) == {"username": "nobody", "password": "…"}
    assert answer["status"] == json.loads(first["texts"]["answer_body"])["status"]


def test_an_id_of_nothing_is_said_so(emulator: Emulator) -> None:
    done = emulator.eco2("trace", "0" * 12, check=False)
    assert (done.returncode, "no trace is kept" in done.stderr) == (1, True)


def test_a_queue_function_is_called_by_its_message_and_its_failure_explained_and_tried_again(api: httpx.Client) -> None:
    form = api.get("/messages/storage/process_photo").json()
    assert set(form["schema"]["properties"]) == {"image_key", "prefix"}
    assert "waste" in form["owners"]
    assert api.get("/messages/storage/nothing").status_code == 409
    message = {"image_key": "uploads/nothing-there", "prefix": "images/x"}
    refused = api.post("/messages", json={"function": "storage/process_photo", "message": {"prefix": 5}})
    assert (refused.status_code, "no message for storage/process_photo" in refused.json()["detail"]) == (409, True)
    sent = api.post(
        "/messages", json={"function": "storage/process_photo", "message": message, "owner": "waste"}
    ).json()

    def ended(runs: int) -> dict[str, Any] | None:
        found: dict[str, Any] = api.get(f"/tasks/{sent['id']}").json()
        whole = [row for row in found.get("timeline", {}).get("rows", ()) if row["kind"] == "run"]
        task = found.get("task")
        return (
            found if task and task["status"] == "failure" and task["failed_at_owner"] and len(whole) == runs else None
        )

    found = wait_until(lambda: ended(1), "the task's failure")
    assert (found["message"], found["task"]["trace"]) == (message, sent["trace"])
    assert found["task"]["error"]
    assert {"waste.failed_tasks", "journal of storage"} <= set(found["places"])
    (run,) = [row for row in found["timeline"]["rows"] if row["kind"] == "run"]
    assert (run["state"], run["ms"] > 0) == ("failed", True)
    failures = api.get("/tasks", params={"status": "failure", "seconds": 600}).json()
    assert sent["id"] in [task["id"] for task in failures]
    assert api.get("/tasks", params={"q": "no-task-says-this"}).json() == []
    again = api.post("/tasks/retry", json={"service": "storage", "q": sent["id"]}).json()
    assert (again["ok"], sent["id"] in again["said"]) == (True, True)
    wait_until(lambda: ended(2), "another run that failed")
    assert not api.post("/tasks/retry", json={"service": "nobody"}).json()["ok"]
    assert api.get(f"/tasks/{uuid4()}").status_code == 404


def test_what_takes_long_is_added_up_and_explained_under_its_own_role(emulator: Emulator, api: httpx.Client) -> None:
    call(api, "GET", "/api/v1/recycle/categories")
    found = wait_until(
        lambda: (top := api.get("/top", params={"by": "p95"}).json())["functions"] and top, "a function's time"
    )
    one = next(one for one in found["statements"] if one["service"] == "recycle_info")
    asked = {"service": one["service"], "statement": one["statement"]}
    plan = api.post("/top/explain", json=asked).json()
    assert (plan["role"], "cost=" in plan["plan"]) == ("api_recycle_role", True)
    foreign = {"service": "recycle_info", "statement": "SELECT id FROM auth.users"}
    assert api.post("/top/explain", json=foreign).status_code == 404
    assert one["statement"][:30] in emulator.eco2("top", "--by", "p95", "-n", "500").stdout
    assert "cost=" in emulator.eco2("top", "--explain", "1").stdout
    assert emulator.eco2("top", "--explain", "9999", check=False).returncode == 2


def test_the_logs_of_all_parts_are_one_in_the_terminal_and_on_the_page(emulator: Emulator, api: httpx.Client) -> None:
    begun = call(api, "GET", "/api/v1/recycle/categories")
    printed = wait_until(lambda: emulator.eco2("logs", "--search", begun["request_id"]).stdout, "the request's line")
    assert printed.startswith("api-recycle-info")
    assert begun["trace"] in printed
    (line,) = api.get("/logs", params={"q": begun["trace"], "seconds": 600}).json()["lines"]
    assert (line["part"], line["request"]) == ("api-recycle-info", begun["request_id"])
    times = [line["at"] for line in api.get("/logs").json()["lines"]]
    assert times == sorted(times)
    parts = [json.loads(line)["part"] for line in emulator.eco2("logs", "--since", "1h", "--json").stdout.splitlines()]
    assert {"postgres", "redis-broker", "worker-ai", "api-auth"} <= set(parts)
    wrong = emulator.eco2("logs", "api-wast", check=False)
    assert (wrong.returncode, "did you mean api-waste" in wrong.stderr) == (2, True)


def test_following_the_logs_ends_with_ctrl_c_as_the_manual_says(emulator: Emulator, api: httpx.Client) -> None:
    argv = [sys.executable, "-m", "runtime.cli", "logs", "-f", "-n", "1", "--state", str(emulator.folder)]

    def as_in_a_terminal() -> None:  # where a test's own parent ignores SIGINT, its children would too
        signal.signal(signal.SIGINT, signal.default_int_handler)

    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, preexec_fn=as_in_a_terminal) as following:
        assert following.stdout is not None
        following.stdout.readline()  # what was last said: it listens from now on
        begun = call(api, "GET", "/api/v1/recycle/categories")
        assert any(begun["trace"] in line for line in following.stdout)
        following.send_signal(signal.SIGINT)
        assert following.wait(30) == 130
    assert "130" in emulator.eco2("logs", "--help").stdout


def test_an_answer_of_a_function_is_shown_whatever_it_is(api: httpx.Client) -> None:
    refused = call(api, "GET", "/api/v1/users/me", person="")
    assert refused["status"] == 401
    assert api.post("/call", json={"method": "GET", "path": "/_emulator/api/system"}).status_code == 400
    assert api.post("/token", json={"person": "../x"}).status_code == 409


def test_a_table_is_read_as_its_own_role_and_refused_to_another(api: httpx.Client) -> None:
    tables = {(entry["schema"], entry["name"]) for entry in api.get("/data/tables").json()}
    assert {("auth", "users"), ("waste", "analyses"), ("tasks", "task_results")} <= tables
    own = api.get("/data/tables/recycle_info/categories", params={"as": "recycle_info"}).json()
    assert own["role"] == load_services()["recycle_info"].database.role
    assert own["rows"]
    refused = api.get("/data/tables/auth/users", params={"as": "location"})
    assert refused.status_code == 409
    assert "permission denied" in refused.json()["detail"]


def test_sql_changes_nothing_unless_it_is_switched(api: httpx.Client) -> None:
    insert = "INSERT INTO user_locations (id, user_id, name, address, latitude, longitude) VALUES"
    insert += " (gen_random_uuid(), gen_random_uuid(), 'written here', '', 37.5, 127.0)"
    count = {"service": "location", "text": "SELECT count(*) FROM user_locations WHERE name = 'written here'"}
    refused = api.post("/data/sql", json={"service": "location", "text": insert})
    assert refused.status_code == 409
    assert "read-only" in refused.json()["detail"]
    # Nor by a transaction of one's own.
    around = api.post("/data/sql", json={"service": "location", "text": f"COMMIT; BEGIN READ WRITE; {insert}; COMMIT"})
    assert around.status_code == 409
    assert api.post("/data/sql", json=count).json()["rows"] == [[0]]
    written = api.post("/data/sql", json={"service": "location", "text": insert, "write": True})
    assert written.status_code == 200, written.text
    assert api.post("/data/sql", json=count).json()["rows"] == [[1]]


def test_redis_keys_and_objects_are_listed(api: httpx.Client) -> None:
    api.get("/data/redis", params={"which": "broker"}).raise_for_status()
    assert api.get("/data/redis", params={"which": "elsewhere"}).status_code == 400
    wait_until(lambda: api.get("/data/objects", params={"prefix": "images/"}).json(), "the photo's objects")
    key = api.get("/data/objects", params={"prefix": "images/"}).json()[0]["key"]
    picture = api.get("/data/object", params={"key": key})
    assert picture.headers["content-type"].startswith("image/")
    assert api.get("/data/object", params={"key": "images/none"}).status_code == 404


def test_a_fault_begins_is_felt_and_ends(api: httpx.Client) -> None:
    fault = {"target": "postgres", "kind": "cut", "service": "api-recycle-info", "seconds": 60}
    begun = api.post("/faults", json=fault).json()
    assert begun["faults"][0].startswith(f"{begun['id']}: postgres cut from api-recycle-info")
    assert len(api.get("/system").json()["faults"]) == 1
    assert call(api, "GET", "/api/v1/recycle/categories")["status"] == 503
    assert call(api, "GET", "/api/v1/locations/centers", query={"lat": "37.5", "lon": "127"})["status"] == 200
    api.delete("/faults", params={"id": begun["id"]}).raise_for_status()
    assert api.get("/system").json()["faults"] == []
    wait_until(lambda: call(api, "GET", "/api/v1/recycle/categories")["status"] == 200, "an answer after the fault")
    assert api.post("/faults", json=fault | {"target": "nowhere"}).status_code == 409


def test_a_part_is_killed_comes_back_and_its_log_is_read(api: httpx.Client) -> None:
    def location() -> dict[str, Any]:
        parts: list[dict[str, Any]] = api.get("/system").json()["parts"]
        return next(part for part in parts if part["name"] == "api-location")

    before = location()["pid"]
    api.post("/parts/api-location/kill").raise_for_status()
    wait_until(lambda: (now := location())["state"] == "ready" and now["pid"] != before, "api-location again")
    assert {line["part"] for line in api.get("/logs", params={"part": "api-location"}).json()["lines"]} == {
        "api-location"
    }
    assert api.get("/logs", params={"part": "../clock"}).status_code == 404
    assert api.post("/parts/api-location/explode").status_code == 404


def test_a_replica_is_drawn_with_its_own_journal_and_is_acted_on_alone(emulator: Emulator, api: httpx.Client) -> None:
    emulator.eco2("scale", "worker-ai=2")
    try:
        system = api.get("/system").json()
        assert ["worker-ai/2", "syncer-ai/2"] in system["links"]
        assert {name for link in system["links"] for name in link} <= {part["name"] for part in system["parts"]}
        assert api.get("/logs", params={"part": "worker-ai/2"}).json()["lines"]
        assert [part["name"] for part in api.post("/parts/worker-ai.2/kill").json()["parts"]] == ["worker-ai/2"]
        wait_until(lambda: any("ai/2" in reading["journal"] for reading in api.get("/backlog").json()), "its journal")
    finally:
        emulator.eco2("scale", "worker-ai=1")


def test_the_clock_only_goes_forward(api: httpx.Client) -> None:
    ahead = api.get("/system").json()["clock"]["ahead"]
    assert api.post("/clock", json={"seconds": -1}).status_code == 400
    assert api.post("/clock", json={"seconds": 90}).json()["ahead"] == ahead + 90


def test_letters_are_shown_as_eco2_mail_prints_them(emulator: Emulator, api: httpx.Client) -> None:
    box = Mailbox(emulator.folder / "mail")
    box.add(b"Subject: Your code\r\n\r\n123456\r\n", "eco2@example.com", ["reader@example.com"])
    box.add(b"Subject: Hello\r\n\r\nhello\r\n", "eco2@example.com", ["other@example.com"])
    (letter,) = api.get("/mail", params={"to": "Reader@example.com"}).json()
    printed = json.loads(emulator.eco2("mail", "--to", "reader@example.com", "--json").stdout)
    assert (letter["subject"], letter["text"].strip(), letter["to"]) == ("Your code", "123456", ["reader@example.com"])
    assert [letter["id"]] == [one["id"] for one in printed]
    assert len(api.get("/mail", params={"limit": 1}).json()) == 1
