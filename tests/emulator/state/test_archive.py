"""What a colleague sent is read to its end, and yesterday's state opens today."""

import contextlib
import gzip
import tarfile
import zlib
from pathlib import Path

import pytest

from emulator.process import StartError
from emulator.state import archive, snapshots
from emulator.state.folder import State
from tests.emulator.conftest import ROOT, Emulator
from tests.emulator.state.made import make_state, save

OLD = ROOT.parent / "shared" / "data" / "state-0.1.0.tar.gz"


def test_a_colleagues_file_can_be_the_beginning_of_a_state(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    file = tmp_path / "one.tar.gz"
    archive.export(state, "one", file)
    new = State(tmp_path / "not" / "there yet")
    archive.take_in(new, file, "two")
    assert [about["name"] for about in snapshots.every(new)] == ["two"]


def test_what_is_taken_in_is_its_owner_s_alone_whatever_the_file_says(tmp_path: Path) -> None:
    file = tmp_path / "open.tar.gz"
    with tarfile.open(file, "w:gz") as made:
        for name, kind, mode in (("snapshot", tarfile.DIRTYPE, 0o777), ("snapshot/keys", tarfile.REGTYPE, 0o4777)):
            member = tarfile.TarInfo(name)
            member.type, member.mode = kind, mode
            made.addfile(member)
    (into := tmp_path / "into").mkdir()
    archive.unpack(file, into)
    assert {path.stat().st_mode & 0o7777 for path in into.rglob("*")} == {0o700}


@pytest.mark.parametrize("place", range(9))
def test_one_bit_anywhere_is_noticed_and_nothing_is_taken_in(tmp_path: Path, place: int) -> None:
    state = make_state(tmp_path)
    (state.path / "objects" / "more").write_bytes(bytes(range(256)) * 400)
    save(state, "one")
    file = tmp_path / "one.tar.gz"
    archive.export(state, "one", file)
    content = bytearray(file.read_bytes())
    at = 10 + (len(content) - 11) * place // 8  # the first ten bytes are gzip's own, with a time that no one reads
    bit = next(
        bit for bit in range(8) if not same(content, at, bit)
    )  # a few bits of a stream fill it up and mean nothing
    content[at] ^= 1 << bit
    file.write_bytes(bytes(content))
    with pytest.raises(StartError, match=r"is damaged"):
        archive.take_in(state, file, "two")
    assert [about["name"] for about in snapshots.every(state)] == ["one"]


def same(content: bytearray, at: int, bit: int) -> bool:
    """Whether the stream says the same without this bit."""
    changed = bytearray(content)
    changed[at] ^= 1 << bit
    try:
        return gzip.decompress(changed) == gzip.decompress(content)
    except (OSError, EOFError, zlib.error):
        return False


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>not found</html>", "is a web page, not what `eco2 export` wrote"),
        (b"PK\x03\x04", "is not an export, not what `eco2 export` wrote"),
        (b"\x1f\x8b\x08", "is damaged or cut short"),
    ],
)
def test_what_is_not_an_export_is_said_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    state = make_state(tmp_path)
    (tmp_path / "x.tar.gz").write_bytes(content)
    with pytest.raises(StartError, match=says) as refused:
        archive.take_in(state, tmp_path / "x.tar.gz", "two")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("part", [0.2, 0.9, 0.999])
def test_one_cut_short_is_noticed(tmp_path: Path, part: float) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    file = tmp_path / "one.tar.gz"
    archive.export(state, "one", file)
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * part)])
    with pytest.raises(StartError, match="is damaged or cut short; nothing was taken in"):
        archive.take_in(state, file, "two")


@pytest.mark.skipif(
    not OLD.exists(), reason=f"{OLD} is not there: it is beside the checkout where the project is developed"
)
@pytest.mark.slow
def test_the_state_of_0_1_0_opens_today_and_works(own_emulator: Emulator) -> None:
    own_emulator.up()
    own_emulator.eco2("import", str(OLD), "old")
    own_emulator.eco2("snapshot", "restore", "old", "--yes")
    assert own_emulator.sql("SELECT string_agg(username, ' ' ORDER BY 1) FROM auth.users") == "person0 person1 person2"
    with own_emulator.client() as client:
        login = {"username": "person1", "password": "Correct-horse-9"}
        token = client.post("/api/v1/auth/login", json=login).json()["access_token"]
        headers = {"Authorization": f"Bearer {token}"}
        analyses = client.get("/api/v1/waste/analyses", headers=headers).json()["items"]
        states = sorted(analysis["status"] for analysis in analyses)
        assert states == ["failure", *["success"] * 4]
        assert client.get("/api/v1/users/me", headers=headers).json()["nickname"]
        keys = [image["s3_key"] for analysis in analyses for image in analysis.get("images", [])]
        assert keys
        assert client.get(f"/cdn/{keys[0]}").status_code == 200
        # New work goes the whole way: the broker, a worker, its journal, the owner.
        begun = client.post("/api/v1/chat/conversations", headers=headers, json={}).json()["id"]
        asked = {"content": "페트병은 어떻게 버려요?"}
        answer = client.post(f"/api/v1/chat/conversations/{begun}/messages", headers=headers, json=asked)
        assert answer.status_code == 202, answer.text
        reply = f"/api/v1/chat/conversations/{begun}/messages/{answer.json()['reply']['id']}"
        own_emulator.wait(lambda: client.get(reply, headers=headers).json()["status"] == "success")
    own_emulator.down()
    own_emulator.up()
    assert own_emulator.eco2("status").returncode == 0


@pytest.mark.parametrize("name", ["../outside", "/outside", "snapshot/../../outside", "snapshot/link"])
def test_what_leads_out_of_its_folder_is_not_taken_in(tmp_path: Path, name: str) -> None:
    state = make_state(tmp_path)
    member = tarfile.TarInfo(name if name[0] != "/" else f"{tmp_path}{name}")
    if name.endswith("link"):
        member.type, member.linkname = tarfile.SYMTYPE, str(tmp_path / "outside")
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as out:
        out.addfile(member)
    fresh, before = state.path / "snapshots" / "fresh", set(tmp_path.rglob("*"))
    with contextlib.suppress(StartError):
        archive.unpack(tmp_path / "x.tar.gz", fresh)
    new = set(tmp_path.rglob("*")) - before
    assert [path for path in new if fresh not in (path, *path.parents) and path != fresh.parent] == []
    assert not any(path.is_symlink() for path in new)
