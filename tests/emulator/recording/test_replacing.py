"""The same comes in the place of the same, wherever it is; and every column has a rule."""

import hashlib

import psycopg
import pytest

from emulator.recording import anonymous
from emulator.recording.replacing import ADDRESS, Replacer
from emulator.servers.postgres import Postgres


@pytest.fixture
def replacer() -> Replacer:
    return Replacer(lambda claims: f"eyJh.{claims['sub']}.signed")


def test_a_name_and_an_address_of_one_person_are_one_person_everywhere(replacer: Replacer) -> None:
    replacer.same_person("Mina", "mina.kim@example.com")
    made = replacer.json({"username": "mina", "email": "Mina.Kim@example.com", "password": "correct horse"}, "request")
    assert (made["username"], made["email"]) == ("person-1", "person-1@example.com")
    assert made["password"] != "correct horse"
    assert (
        replacer.json({"login": "mina.kim@example.com", "password": "correct horse"}, "")["password"]
        == made["password"]
    )
    assert replacer.json({"content": "I am MINA, write to mina.kim@example.com"}, "")["content"] == (
        "I am person-1, write to person-1@example.com"
    )


def test_free_text_keeps_what_is_no_ones(replacer: Replacer) -> None:
    replacer.value("name", "ann", "")
    replacer.value("place", "할머니댁", "")
    replacer.value("address", "서울특별시 마포구 월드컵로 212", "")
    said = (
        "annual plan of Ann at 할머니댁에서, 서울특별시 마포구 월드컵로 212, 010-1234-5678, park@test.kr: 우유팩 0.5kg"
    )
    kept = f"annual plan of person-1 at place-1에서, {ADDRESS}, 02-000-0000, person-2@example.com: 우유팩 0.5kg"
    assert replacer.text(said) == kept


def test_positions_are_rounded_and_stay_numbers_or_texts(replacer: Replacer) -> None:
    assert replacer.json({"latitude": 37.5665, "longitude": 126.9018, "lat": None}, "") == {
        "latitude": 37.6,
        "longitude": 126.9,
        "lat": None,
    }
    assert replacer.query("bbox=126.97,37.56,126.99,37.57", "query") == "bbox=126.9%2C37.5%2C127.0%2C37.6"
    assert replacer.query("lat=37.5665&q=%ED%8E%98&lon=126.90", "query") == "lat=37.6&q=%ED%8E%98&lon=126.9"


def test_a_token_is_signed_anew_with_its_claims_once(replacer: Replacer) -> None:
    token = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwMTlhIn0.c2lnbmF0dXJl"  # {"sub": "019a"}
    headers = [("authorization", f"Bearer {token}"), ("user-agent", "Mina's browser"), ("accept", "*/*")]
    made = replacer.headers(headers, {"authorization": None, "accept": None})
    assert made == [("authorization", "Bearer eyJh.019a.signed"), ("accept", "*/*")]
    assert replacer.headers(made, {"authorization": None, "accept": None}) == made
    assert dict(replacer.counts) == {("header authorization", "token"): 1, ("header", "header"): 1}


def test_what_the_replay_made_is_left(replacer: Replacer) -> None:
    made, before = "mYq3QjKxY0nI1kXoJrW9Dg6vT5bS2hLzE8uFcRaPwN4", "NVo9uQ2hXk1sZr7TgY4bWcD0eFjLmPaS8iHvRnKtUyo"
    replacer.leave = lambda value: value == made
    assert replacer.json({"refresh_token": made}, "") == {"refresh_token": made}
    assert replacer.json({"refresh_token": before}, "") != {"refresh_token": before}
    assert replacer.json({"state": "complete", "code": "upload-missing"}, "") == {
        "state": "complete",
        "code": "upload-missing",
    }


def test_a_token_is_one_in_a_field_too_and_one_that_the_replay_made_is_left_there_and_in_texts(
    replacer: Replacer,
) -> None:
    theirs = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwMTlhIn0.c2lnbmF0dXJl"  # {"sub": "019a"}
    made = "eyJhbGciOiJFZERTQSJ9.eyJzdWIiOiIwMTliIn0.c2lnbmF0dXJl"  # {"sub": "019b"}
    replacer.leave = lambda value: value == made
    assert replacer.json({"access_token": theirs, "said": f"with {theirs}, {made}"}, "") == {
        "access_token": "eyJh.019a.signed",
        "said": f"with eyJh.019a.signed, {made}",
    }
    assert replacer.json({"access_token": made}, "") == {"access_token": made}


def test_a_field_with_more_in_it_is_looked_through_and_a_name_without_a_value_stays_in_a_query(
    replacer: Replacer,
) -> None:
    assert replacer.json({"address": {"city": "서울", "phone": "010-1234-5678"}, "email": ["a@b.kr"]}, "") == {
        "address": {"city": "서울", "phone": "02-000-0000"},
        "email": ["person-1@example.com"],
    }
    assert replacer.query("q=&page=2", "query") == "q=&page=2"


def test_every_column_of_every_table_has_a_rule(postgres: Postgres) -> None:
    with psycopg.connect(postgres.dsn("postgres")) as connection:
        found = anonymous.columns_of(connection)
    chosen = {f"{table.schema}.{table.name}" for table in anonymous.tables(found)}
    assert {"auth.users", "chat_llm.messages", "locations.user_locations", "waste.outbox"} <= chosen
    assert "auth.idempotency" not in chosen


def test_a_column_that_nobody_has_thought_about_stops_the_export() -> None:
    with pytest.raises(anonymous.NoRule, match=r"no rule for auth\.users\.birthday: say"):
        anonymous.tables({("auth", "users"): ["id", "username", "birthday"]})
    with pytest.raises(anonymous.NoRule, match=r"no rule for weather\.places\.name"):
        anonymous.tables({("weather", "places"): ["name"]})


SECRET = "mYq3QjKxY0nI1kXoJrW9Dg6vT5bS2hLzE8uFcRaPwN4"


def test_every_kind_of_detail_is_another_one_and_counted_where_it_was(replacer: Replacer) -> None:
    given = {
        "username": "mina",
        "email": "mina@example.org",
        "current_password": "correct horse",
        "label": "우리집",
        "address": "서울특별시 마포구 월드컵로 212",
        "latitude": "37.5665",
        "bbox": "126.97,37.56,126.99,37.57",
        "nonce": SECRET,
        "phone": "010-1234-5678",
        "nested": [{"note": "call 010-1234-5678, 900101-1234567"}, [{"tel": "010-9999-8888"}]],
    }
    made = replacer.json(given, "request")
    assert {name: made[name] for name in ("username", "email", "label", "address", "latitude", "bbox", "phone")} == {
        "username": "person-1",
        "email": "person-2@example.com",
        "label": "place-1",
        "address": ADDRESS,
        "latitude": "37.6",
        "bbox": "126.9,37.5,127.0,37.6",
        "phone": "02-000-0000",
    }
    assert made["nested"] == [{"note": "call 02-000-0000, 000000-0000000"}, [{"tel": "02-000-0000"}]]
    assert made["nonce"] not in (SECRET, "")
    assert replacer.passwords == {"correct horse": made["current_password"]}
    kinds = {"username": "name", "email": "email", "current_password": "password", "label": "place"}
    kinds |= {"address": "address", "latitude": "position", "bbox": "box", "nonce": "secret", "phone": "phone"}
    kinds |= {"note": "text", "tel": "phone"}
    assert dict(replacer.counts) == {(f"request {name}", kind): 1 for name, kind in kinds.items()}
    assert replacer.json(given, "request") == made, "the same for the same"


def test_what_is_empty_stays_and_counts_for_nothing(replacer: Replacer) -> None:
    given = {"username": "", "email": None, "content": "페트병", "code": ["a"], "count": 3, "done": True}
    assert replacer.json(given, "request") == given
    assert dict(replacer.counts) == {}


def test_a_name_is_a_place_in_a_request_alone(replacer: Replacer) -> None:
    assert replacer.json({"name": "우리집"}, "request") == {"name": "place-1"}
    assert replacer.json({"name": "페트병"}, "answer") == {"name": "페트병"}


def test_a_kept_hash_is_of_what_came_in_the_token_s_place(replacer: Replacer) -> None:
    made = replacer.json({"refresh_token": SECRET}, "")["refresh_token"]
    assert replacer.value("digest", hashlib.sha256(SECRET.encode()).hexdigest(), "") == (
        hashlib.sha256(made.encode()).hexdigest()
    )
    another = hashlib.sha256(b"another").hexdigest()
    found = replacer.value("digest", another, "")
    assert found != another
    assert len(found) == 64
    assert replacer.value("digest", another, "") == found


def test_what_was_replaced_is_looked_for_everywhere_afterwards(replacer: Replacer) -> None:
    for kind, value in (
        ("email", "mina@example.org"),
        ("address", "월드컵로 212"),
        ("place", "우리집"),
        ("name", "mina"),
    ):
        replacer.value(kind, value, "")
    replacer.value("address", ADDRESS, "")
    replacer.value("password", "correct horse", "")
    replacer.value("secret", SECRET, "")
    assert sorted(replacer.replaced()) == sorted(
        [
            ("mina@example.org", "e-mail address"),
            ("월드컵로 212", "address"),
            ("우리집", "place"),
            ("correct horse", "password"),
            (SECRET, "token"),
        ]
    )


def test_a_letter_is_no_name_in_a_text_and_a_name_that_comes_later_is_found_too(replacer: Replacer) -> None:
    replacer.value("name", "a", "")
    replacer.value("name", "민아", "")
    assert replacer.text("a bottle of 민아") == "a bottle of person-2"
    replacer.value("name", "지훈", "")
    assert replacer.text("민아, 지훈") == "person-2, person-3"
