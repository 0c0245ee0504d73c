"""A recording for a colleague: nothing of the person in it, and still the same replay."""

import gzip
import shutil
import tarfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from emulator.recording import folder as recordings
from emulator.recording import form
from emulator.state.folder import State
from tests.emulator.conftest import Emulator, copied, make
from tests.emulator.recording.scenes import ADDRESS, EMAIL, PASSWORD, Visitor, a_day

pytestmark = pytest.mark.slow

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


@pytest.mark.parametrize("place", range(1, 6))
def test_a_damaged_file_is_not_taken_in(exported: tuple[Emulator, Path, str], tmp_path: Path, place: int) -> None:
    _, file, _ = exported
    content = bytearray(file.read_bytes())
    at = len(content) * place // 6
    content[at] ^= 0xFF
    (tmp_path / "bent.tar.gz").write_bytes(bytes(content))
    state = State(tmp_path / "state")
    state.create()
    from emulator.process import StartError
    from emulator.recording import exporting

    with pytest.raises(StartError, match="is damaged"):
        exporting.take_in(state, tmp_path / "bent.tar.gz", "bent")
    assert recordings.every(state) == []
