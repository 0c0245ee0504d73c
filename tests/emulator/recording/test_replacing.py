"""The same comes in the place of the same, wherever it is; and every column has a rule."""

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
