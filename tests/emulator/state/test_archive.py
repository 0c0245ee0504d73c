"""What a colleague sent is read to its end, and yesterday's state opens today."""

import contextlib
import gzip
import json
import os
import tarfile
import zlib
from pathlib import Path

import pytest

from emulator.process import StartError
from emulator.state import archive, manifest, snapshots, version
from emulator.state.folder import State
from tests.emulator.conftest import ROOT, Emulator
from tests.emulator.state.made import make_state, save

OLD = ROOT.parent / "shared" / "data" / "state-0.1.0.tar.gz"


def test_a_colleagues_file_can_be_the_beginning_of_a_state(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    file = tmp_path / "one.tar.gz"
    archive.export(state, "one", file)
    assert file.stat().st_mode & 0o777 == 0o600, "it holds everybody's data and the signing keys"
    new = State(tmp_path / "not" / "there yet")
    assert archive.take_in(new, file, "two")["name"] == "two"
    assert [about["name"] for about in snapshots.every(new)] == ["two"]
    taken = snapshots.folder_of(new, "two")
    assert json.loads((taken / "about.json").read_text())["name"] == "two"
    assert [path.name for path in (new.path / "snapshots").iterdir()] == ["two"], "nothing is left of the taking in"
    # From there it goes on to a third.
    archive.export(new, "two", tmp_path / "again.tar.gz")
    archive.take_in(state, tmp_path / "again.tar.gz", "three")
    assert (snapshots.folder_of(state, "three") / "objects/o").read_text() == "old"


def test_a_file_that_arrived_whole_is_believed_no_more_than_what_is_in_it(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    (snapshots.folder_of(state, "one") / "objects/o").write_text("odd")
    archive.pack(snapshots.folder_of(state, "one"), archive.SNAPSHOT, tmp_path / "one.tar.gz")
    with pytest.raises(StartError, match="is damaged"):
        archive.take_in(state, tmp_path / "one.tar.gz", "two")
    assert [about["name"] for about in snapshots.every(state)] == ["one"]


def test_a_damaged_snapshot_is_not_given_to_a_colleague(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    (snapshots.folder_of(state, "one") / "objects/o").write_text("new")
    with pytest.raises(StartError, match=r"the snapshot one is damaged: .* first objects/o"):
        archive.export(state, "one", tmp_path / "one.tar.gz")
    assert not (tmp_path / "one.tar.gz").exists()


def test_a_file_that_can_not_be_written_leaves_nothing_half_written_and_one_that_was_left_is_no_hindrance(
    tmp_path: Path,
) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    (tmp_path / "one.tar.gz").mkdir()  # in whose place no file can be put
    with pytest.raises(StartError, match=r"one\.tar\.gz was not written: "):
        archive.export(state, "one", tmp_path / "one.tar.gz")
    assert [path.name for path in tmp_path.glob(".*")] == []
    (tmp_path / ".two.tar.gz.part").write_text("of one that was killed")
    archive.export(state, "one", tmp_path / "two.tar.gz")
    assert archive.kind_of(tmp_path / "two.tar.gz") == archive.SNAPSHOT
    with pytest.raises(StartError, match=r"three\.tar\.gz was not written: No such file or directory"):
        archive.export(state, "one", tmp_path / "nowhere" / "three.tar.gz")


def test_a_snapshot_of_the_first_form_is_listed_when_it_is_taken_in_and_checked_like_any_other(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    folder = snapshots.folder_of(state, "one")
    about = json.loads((folder / "about.json").read_text())
    (folder / "about.json").write_text(json.dumps({key: value for key, value in about.items() if key != "format"}))
    (folder / manifest.FILE).unlink()
    archive.pack(folder, archive.SNAPSHOT, tmp_path / "old.tar.gz")
    archive.take_in(state, tmp_path / "old.tar.gz", "two")
    taken = snapshots.folder_of(state, "two")
    written = json.loads((taken / "about.json").read_text())
    assert (written["format"], written["name"]) == (version.FORMAT, "two")
    assert snapshots.check(taken, "it")["name"] == "two"
    (taken / "objects/o").write_text("new")
    with pytest.raises(StartError, match="it is damaged"):
        snapshots.check(taken, "it")


def test_what_is_taken_in_keeps_its_own_words_where_it_is_of_the_form_of_today(tmp_path: Path) -> None:
    state = make_state(tmp_path)
    save(state, "one")
    folder = snapshots.folder_of(state, "one")
    archive.export(state, "one", tmp_path / "one.tar.gz")
    archive.take_in(state, tmp_path / "one.tar.gz", "two")
    listed = [json.loads((one / manifest.FILE).read_text()) for one in (folder, snapshots.folder_of(state, "two"))]
    assert listed[0] == listed[1]


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


def test_files_come_before_their_folders_or_without_them_and_none_comes_twice(tmp_path: Path) -> None:
    def pack(*names: str) -> Path:
        with tarfile.open(tmp_path / "x.tar.gz", "w:gz") as made:
            for name in names:
                member = tarfile.TarInfo(name)
                member.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
                made.addfile(member)
        return tmp_path / "x.tar.gz"

    mask = os.umask(0)
    try:
        archive.unpack(
            pack("snapshot/a/b/c", "snapshot/a/b/d", "snapshot/a/", "snapshot/e/f/"), tmp_path / "into" / "it"
        )
    finally:
        os.umask(mask)
    made = list((tmp_path / "into/it/snapshot").rglob("*"))
    assert sorted(path.name for path in made) == ["a", "b", "c", "d", "e", "f"]
    assert (tmp_path / "into/it/snapshot/a/b").stat().st_mode & 0o777 == 0o700
    with pytest.raises(StartError, match="was not taken in: File exists"):
        archive.unpack(pack("snapshot/a", "snapshot/a"), tmp_path / "again")


def test_an_archive_with_nothing_in_it_is_no_export(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "x.tar.gz", "w:gz"):
        pass
    with pytest.raises(StartError, match="is damaged or cut short; nothing was taken in"):
        archive.kind_of(tmp_path / "x.tar.gz")


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
