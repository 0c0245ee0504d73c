"""A recording for a colleague: nothing of the person in it, and still the same replay."""

import gzip
import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.process import StartError
from emulator.recording import exporting, form, second
from emulator.recording import folder as recordings
from emulator.recording.compare import Recorded
from emulator.recording.form import Answer, Body, Exchange
from emulator.recording.photos import without_metadata
from emulator.recording.replacing import Replacer
from emulator.state import archive, version
from emulator.state.folder import State
from tests.emulator.conftest import Emulator, copied, make
from tests.emulator.recording.scenes import ADDRESS, EMAIL, PASSWORD, Visitor, a_day, photo_with_position

NAME = "kimmina1987"
PLACE = "할머니댁 별채"
LATITUDE, LONGITUDE = 37.56651, 126.90187
EARLY = {"name": "leeyuna1990", "email": "yuna.lee@mail.example.org"}


@pytest.fixture(scope="module")
def exported(started_once: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Emulator, Path, str]]:
    """An emulator that recorded a day of two people, the file of its export, and what the export said."""
    emulator = copied(started_once)
    file = tmp_path_factory.mktemp("export") / "day.tar.gz"
    try:
        emulator.up()
        early = Visitor(emulator.url, **EARLY)
        early.register()
        early.log_in()
        early.photograph()
        emulator.eco2("record", "on", "day")
        early.ask("GET", "/auth/me", 200)  # with a token from before
        early.ask("POST", "/auth/refresh", 200, json={"refresh_token": early.refresh_token})
        person = a_day(emulator.url, NAME, EMAIL)
        place = {"name": PLACE, "address": ADDRESS, "latitude": LATITUDE, "longitude": LONGITUDE}
        person.ask("POST", "/locations/me", 201, json=place)
        person.ask("GET", "/locations/centers", 200, params={"lat": LATITUDE, "lon": LONGITUDE})
        person.ask("PATCH", "/users/me", 200, json={"nickname": "미나짱구리", "bio": f"{EMAIL}, 010-9876-5432"})
        person.question(f"{NAME}입니다. {ADDRESS}에서 폐건전지는?")
        emulator.eco2("record", "off")
        said = emulator.eco2("export", str(file), "--recording", "day", timeout=400).stdout
        yield emulator, file, said
    finally:
        emulator.destroy()


def personal(folder: Path) -> list[bytes]:
    """What a recording knows of people: what they said of themselves, and every token, in every spelling."""
    kept = (folder / form.REQUESTS).read_bytes() + (folder / form.SPANS).read_bytes()
    exchanges = form.read_exchanges(folder)
    tokens = {exchange.header("authorization").removeprefix("Bearer ") for exchange in exchanges} - {""}
    words = [
        EMAIL,
        PASSWORD,
        ADDRESS,
        NAME,
        PLACE,
        "미나짱구리",
        "010-9876-5432",
        *EARLY.values(),
        *tokens,
        str(LATITUDE),
        str(LONGITUDE),
    ]
    words += ["Kim Mina", "mina at home", "kim-mina.jpg", "python-httpx"]
    assert all(word.encode() in kept for word in (EMAIL, PASSWORD, ADDRESS, NAME, "python-httpx")), (
        "else this looks for nothing"
    )
    return [word.encode() for word in words] + [word.encode("utf-16-le") for word in words]


@pytest.mark.slow
def test_nothing_of_the_people_is_in_the_file(exported: tuple[Emulator, Path, str], tmp_path: Path) -> None:
    emulator, file, _ = exported
    wanted = personal(emulator.folder / "recordings" / "day")
    whole = gzip.decompress(file.read_bytes())
    assert [word for word in wanted if word in whole] == []
    with tarfile.open(file) as archive:
        archive.extractall(tmp_path, filter="data")
    stored = next(e for e in form.read_exchanges(tmp_path / "recording") if e.to == "s3")
    photo = form.content_of(tmp_path / "recording", stored.body)
    assert b"\xff\xd8" in photo
    assert b"Telephone" not in photo, "nor the camera, nor where it was"
    for key in ("signing.json", "jwks.json"):
        new, old = tmp_path / "recording" / "snapshot" / "keys" / key, emulator.folder / "keys" / key
        assert new.read_bytes() != old.read_bytes()


@pytest.mark.slow
def test_the_rule_is_shown_with_what_it_was_applied_to(exported: tuple[Emulator, Path, str]) -> None:
    _, file, said = exported
    for words in (
        "auth.users username",
        "person-1, person-2",
        "request password",
        "upload",
        "all other metadata",
        "header authorization",
    ):
        assert words in said
    assert "answers" not in said, "every request is answered with the same status as before"
    assert EMAIL not in said
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_a_colleague_replays_it_without_a_difference(
    exported: tuple[Emulator, Path, str], model: Path, tmp_path: Path
) -> None:
    _, file, _ = exported
    colleague = make(model)
    try:
        colleague.folder.mkdir(exist_ok=True)
        shutil.copy(file, tmp_path / "from-mina.tar.gz")
        said = colleague.eco2("import", str(tmp_path / "from-mina.tar.gz")).stdout
        assert "from-mina: a recording of 24 requests" in said
        done = colleague.eco2("replay", "from-mina", check=False, timeout=400)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "no difference in 24 requests" in done.stdout
        again = colleague.eco2("import", str(tmp_path / "from-mina.tar.gz"), check=False)
        assert (again.returncode, "there is a recording from-mina already" in again.stderr) == (1, True)
    finally:
        colleague.destroy()


@pytest.mark.slow
@pytest.mark.parametrize("place", range(1, 6))
def test_a_damaged_file_is_not_taken_in(exported: tuple[Emulator, Path, str], tmp_path: Path, place: int) -> None:
    _, file, _ = exported
    content = bytearray(file.read_bytes())
    at = len(content) * place // 6
    content[at] ^= 0xFF
    (tmp_path / "bent.tar.gz").write_bytes(bytes(content))
    state = State(tmp_path / "state")
    state.create()
    with pytest.raises(StartError, match="is damaged"):
        exporting.take_in(state, tmp_path / "bent.tar.gz", "bent")
    assert recordings.every(state) == []


# What becomes of one request


@pytest.fixture
def replacer() -> Replacer:
    found = Replacer(lambda claims: f"eyJh.{claims['sub']}.signed")
    found.value("name", "kimmina", "")
    return found


def asked(content: bytes, kind: str = "application/json") -> Exchange:
    body = Body(len(content), content.decode("utf-8", "replace"))
    return Exchange(
        "a", 0.0, "gateway", "POST", "/a", [("content-type", kind)], body, "t", Answer(200, [], Body(), 0.1)
    )


def test_of_a_request_s_head_what_a_service_reads_is_kept_and_its_query_is_replaced(replacer: Replacer) -> None:
    made = exporting._Replaced(replacer)
    head = [
        ("accept", "*/*"),
        ("cookie", "a=b"),
        ("user-agent", "mine"),
        ("x-forwarded-for", "1.2.3.4"),
        ("range", "bytes=0-1"),
    ]
    assert made.headers(head) == [("accept", "*/*"), ("range", "bytes=0-1")]
    assert made.path("/api/v1/users/me") == "/api/v1/users/me"
    assert made.path("/centers?lat=37.56651&q=kimmina") == "/centers?lat=37.6&q=person-1"


def test_a_request_s_body_is_replaced_whatever_it_is(replacer: Replacer) -> None:
    made = exporting._Replaced(replacer)
    said = json.dumps({"username": "kimmina", "note": "종이컵"}, ensure_ascii=False).encode()
    assert json.loads(made.body(asked(said), said)) == {"username": "person-1", "note": "종이컵"}
    assert "종이컵".encode() in made.body(asked(said), said)
    assert made.body(asked(b"I am kimmina", "text/plain"), b"I am kimmina") == b"I am person-1"


def test_a_form_s_file_loses_its_name_and_metadata_and_nothing_else_of_it_changes(replacer: Replacer) -> None:
    photo = photo_with_position()

    def form_with(name: bytes, content: bytes) -> bytes:
        return (
            b'--mine\r\nContent-Disposition: form-data; name="key"\r\n\r\nuploads/1\r\n'
            b'--mine\r\nContent-Disposition: form-data; name="file"; filename="'
            + name
            + b'"\r\n\r\n'
            + content
            + b"\r\n--mine--\r\n"
        )

    made = exporting._Replaced(replacer)
    kind = "multipart/form-data; boundary=mine"
    given = form_with(b"kim-mina.jpg", photo)
    assert made.body(asked(b"", kind), given) == form_with(b"photo", without_metadata(photo))
    assert replacer.counts["upload", "photo"] == 1
    assert made.body(asked(b"", "multipart/form-data"), given) == given, "no one can tell its parts apart"


def test_who_is_who_is_learnt_before_anything_is_replaced(tmp_path: Path, replacer: Replacer) -> None:
    (tmp_path / form.BODIES).mkdir()
    log = form.Log(tmp_path)
    bodies: list[object] = [
        {"username": "leeyuna", "email": "yuna@example.org", "password": "right 1A"},
        {"username": "leeyuna", "current_password": "right 3C"},
        {"email": "mina@example.org", "password": "right 2B"},
        {"password": "of no one"},
        {"username": "leeyuna", "password": 7},
        {"refresh_token": "R" * 20 + "1"},
        ["no object"],
    ]
    for number, body in enumerate(bodies):
        exchange = asked(json.dumps(body).encode())
        exchange.at = float(number)
        log.write(exchange)
    log.close()
    given = exporting._look_through(Recorded(tmp_path), replacer)
    assert replacer.counts == {}, "what was looked at only is not counted"
    assert given == [("leeyuna", "right 1A"), ("leeyuna", "right 3C"), ("mina@example.org", "right 2B")]
    assert replacer.value("email", "yuna@example.org", "") == f"{replacer.value('name', 'leeyuna', '')}@example.com"
    assert replacer.value("email", "mina@example.org", "") != replacer.value("email", "yuna@example.org", "")
    assert ("R" * 20 + "1", "token") in replacer.replaced()


def test_what_would_still_hold_a_detail_is_not_given_away(tmp_path: Path, replacer: Replacer) -> None:
    (tmp_path / "deep").mkdir()
    kept = tmp_path / "deep/kept"
    kept.write_bytes(b"\x00mina@example.org\xff home")
    exporting._nothing_left(tmp_path, replacer)  # nothing was replaced that it could hold
    replacer.value("place", "home", "")
    exporting._nothing_left(tmp_path, replacer)  # a word like any other
    replacer.value("email", "mina@example.org", "")
    with pytest.raises(StartError, match=r"^nothing was written: deep/kept would still hold one e-mail address of"):
        exporting._nothing_left(tmp_path, replacer)


def test_an_export_s_two_states_are_its_own_and_leave_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with exporting._states() as (old, new):
        assert old.path != new.path
        for one in (old, new):  # of an export that takes very long
            os.utime(one.path, (0, 0))
        second.remove_left()
        assert sorted(tmp_path.iterdir()) == sorted([old.path, new.path])
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_taken_in_under_another_name_for_its_owner_alone(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.create()
    made = recordings.begin(state, "day")
    recordings.write_about(made, version.mark() | {"name": "day", "at": 1.0, "ended": "open"})
    recordings.finish(made, "off", 2.0)
    archive.pack(made, archive.RECORDING, tmp_path / "day.tar.gz")
    other = State(tmp_path / "other")
    other.create()
    for name in ("first", "second"):
        assert exporting.take_in(other, tmp_path / "day.tar.gz", name)["name"] == name
        folder = recordings.find(other, name)
        assert recordings.check(folder)["requests"] == 0
        assert recordings.read_about(folder)["name"] == name
        assert (folder.stat().st_mode | folder.parent.stat().st_mode) & 0o077 == 0
    assert sorted(path.name for path in recordings.home(other).iterdir()) == ["first", "second"]


def test_a_name_that_is_taken_and_a_file_that_is_none_are_not_taken_in(tmp_path: Path) -> None:
    state = State(tmp_path / "state")
    state.create()
    (tmp_path / "none.tar.gz").write_bytes(b"none")
    with pytest.raises(StartError):
        exporting.take_in(state, tmp_path / "none.tar.gz", "day")
    assert list(recordings.home(state).iterdir()) == []
    recordings.begin(state, "day")
    with pytest.raises(StartError, match="there is a recording day already"):
        exporting.take_in(state, tmp_path / "none.tar.gz", "day")
