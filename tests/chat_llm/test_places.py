"""The person's default place in a question about a way: fetched with their own token, from a service that may be away."""

import asyncio
import contextlib

import httpx
import pytest

from functions.chat_llm import places
from shared.calls import Calls
from shared.db import Database
from shared.errors import Unavailable
from tests import support
from tests.chat_llm.conftest import Location, ask, give, success
from tests.conftest import Person, Serve, Take
from tests.eval.questions import SETS, read

NOWHERE = "http://127.0.0.1:9"
HOME = {
    "name": "집",
    "address": "서울 마포구 월드컵로 212",
    "latitude": 37.5665,
    "longitude": 126.978,
    "is_default": True,
}
WORK = HOME | {"name": "회사", "latitude": 37.4, "is_default": False}


async def serve_with(serve: Serve, url: str) -> httpx.AsyncClient:
    return await serve("chat_llm", SERVICE_URLS=f"api-location={url},api-waste={NOWHERE}")


async def test_a_question_about_the_nearest_center_carries_the_default_place(
    serve: Serve, person: Person, chat: Database, location: Location
) -> None:
    location.places = [WORK, HOME]
    client = await serve_with(serve, location.url)
    asked = await ask(client, person, chat, "가까운 수거함이 어디예요?")
    here = {"name": "집", "latitude": 37.5665, "longitude": 126.978, "municipality": "마포구"}
    assert asked.message["place"] == here, "no street of the address"
    [request] = location.requests
    assert request.startswith("GET /api/v1/locations/me?")
    assert f"Bearer {person.token}" in request
    # The worker gets the place, never the token.
    assert person.token not in str(asked.message)
    # A follow-up is about the same way.
    follow_up = await ask(client, person, chat, "거기 몇 시까지 해요?", asked.conversation)
    assert follow_up.message["place"]["name"] == "집"


async def test_what_the_assistant_has_said_is_no_reason_to_look_where_somebody_lives(
    serve: Serve, person: Person, chat: Database, location: Location, take: Take
) -> None:
    location.places = [HOME]
    client = await serve_with(serve, location.url)
    asked = await ask(client, person, chat, "건전지 버려도 돼요?")
    await give(take, success(asked, "가까운 수거함에 넣어요."))
    follow_up = await ask(client, person, chat, "왜요?", asked.conversation)
    assert (follow_up.message["place"], location.requests) == (None, [])


async def test_a_default_place_is_found_behind_a_hundred_others(
    serve: Serve, person: Person, chat: Database, location: Location
) -> None:
    location.places, location.next_cursor = [HOME], "second"
    client = await serve_with(serve, location.url)
    asked = await ask(client, person, chat, "가까운 수거함은?")
    assert (asked.message["place"]["name"], len(location.requests)) == ("집", 2)


async def test_a_way_that_was_asked_for_long_ago_is_no_reason_to_look_where_somebody_lives(
    serve: Serve, person: Person, chat: Database, location: Location
) -> None:
    location.places = [HOME]
    client = await serve_with(serve, location.url)
    asked = await ask(client, person, chat, "가까운 수거함은?")
    places_of = [
        (await ask(client, person, chat, "우유팩은 씻어야 해요?", asked.conversation)).message["place"]
        for _ in range(5)
    ]
    assert [place is not None for place in places_of] == [True] * 4 + [False]


async def test_other_questions_do_not_ask_where_somebody_lives(
    serve: Serve, person: Person, chat: Database, location: Location
) -> None:
    location.places = [HOME]
    client = await serve_with(serve, location.url)
    asked = await ask(client, person, chat, "우유팩은 씻어야 해요?")
    assert (asked.message["place"], location.requests) == (None, [])


@pytest.mark.parametrize("stored", [[], [WORK], [HOME | {"latitude": None, "longitude": None}]])
async def test_without_a_usable_default_place_the_question_goes_on(
    serve: Serve, person: Person, chat: Database, location: Location, stored: object
) -> None:
    location.places = stored
    client = await serve_with(serve, location.url)
    asked = await ask(client, person, chat, "nearest center?")
    assert (asked.message["place"], asked.message["place_away"], len(location.requests)) == (None, False, 1)


@pytest.mark.parametrize("stored", [[{"unexpected": True}], "nonsense"])
async def test_an_answer_that_is_no_list_of_places_is_no_answer(
    serve: Serve, person: Person, chat: Database, location: Location, stored: object
) -> None:
    location.places = stored
    client = await serve_with(serve, location.url)
    asked = await ask(client, person, chat, "nearest center?")
    assert (asked.message["place"], asked.message["place_away"]) == (None, True)


async def test_a_question_is_accepted_while_location_is_away(
    serve: Serve, person: Person, chat: Database, free_port: int
) -> None:
    client = await serve_with(serve, f"http://127.0.0.1:{free_port}")
    asked = await ask(client, person, chat, "가까운 수거함은?")
    assert (asked.message["place"], asked.message["place_away"]) == (None, True)


async def test_a_question_is_accepted_while_location_says_nothing(
    serve: Serve, person: Person, chat: Database, location: Location
) -> None:
    location.silent = True
    client = await serve_with(serve, location.url)
    asked = await ask(client, person, chat, "가까운 수거함은?")
    assert (asked.message["place"], asked.message["place_away"], len(location.requests)) == (None, True, 1)


async def test_a_question_is_accepted_while_location_has_its_own_troubles(
    serve: Serve, person: Person, chat: Database, location: Location
) -> None:
    location.status = "503 Service Unavailable"
    client = await serve_with(serve, location.url)
    asked = await ask(client, person, chat, "가까운 수거함은?")
    assert (asked.message["place"], asked.message["place_away"]) == (None, True)


@pytest.mark.parametrize(
    "question",
    [
        "제일 가까운 수거함",
        "우리집 근처에서 버릴 곳",
        "폐건전지 어디에 버려요?",
        "주민센터에 가져가면 되나요",
        "Where can I drop off batteries?",
        "the closest recycling centre",
    ],
)
def test_questions_that_may_ask_the_way_are_noticed(question: str) -> None:
    assert places.may_ask_the_way([question])


@pytest.mark.parametrize("question", ["우유팩은 씻어야 해요?", "Can I recycle a pizza box?", "안녕하세요"])
def test_questions_about_items_ask_no_way(question: str) -> None:
    assert not places.may_ask_the_way([question])


def test_every_question_that_the_evaluation_answers_with_a_way_is_noticed() -> None:
    ways = [asked.text for name in SETS for asked in read(name) if asked.kind == "way"]
    assert [text for text in ways if not places.may_ask_the_way([text])] == []
    assert len(ways) > 15


@pytest.mark.parametrize(
    "question",
    ["종량제봉투 얼마예요?", "수거일이 무슨 요일이야?", "과태료 있나요", "how much is a trash bag?", "which days?"],
)
def test_what_the_municipality_decides_asks_where_somebody_lives(question: str) -> None:
    assert places.may_ask_the_way([question])


@pytest.mark.parametrize(
    ("address", "municipality"),
    [
        ("서울특별시 중구 세종대로 110", "중구"),
        ("서울 마포구 월드컵로 212", "마포구"),
        ("강원특별자치도 춘천시 시청길 11", "춘천시"),
        ("경기 수원시 팔달구 효원로 1", "수원시"),
        ("부산광역시 기장군 기장읍 기장대로 560", "기장군"),
        ("집", ""),
        ("", ""),
    ],
)
def test_of_an_address_only_the_municipality_goes_on(address: str, municipality: str) -> None:
    assert places.municipality(address) == municipality


async def test_a_list_of_places_without_an_end_is_not_read_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(places, "PATIENCE", 0.2)
    page = b'{"items": [], "next_cursor": "more"}'

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while await reader.readuntil(b"\r\n\r\n"):
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(page), page))

    async with support.answering(answer) as address:
        calls = Calls({"api-location": address})
        async with asyncio.timeout(60):
            with pytest.raises(Unavailable):
                await places.default_place(calls, "token")
        await calls.close()
