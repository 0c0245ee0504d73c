"""The signing keys and their rotation"""

import os
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path

import httpx
import jwt
import msgspec
import pytest

from functions.auth import keys
from runtime.http.host import build
from shared import clock, identity
from shared.identity import KeySetError, Verifier
from shared.settings import SettingsError
from tests.auth.conftest import PASSWORD, Account, bearer


def test_a_damaged_public_file_is_written_anew_from_the_private_one(tmp_path: Path) -> None:
    keys.init(tmp_path)
    public = tmp_path / keys.JWKS_FILE
    sound = public.read_bytes()
    public.write_bytes(b"{}")
    keys.init(tmp_path)
    assert public.read_bytes() == sound


def test_init_makes_both_files_once_for_their_owner_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert keys.main(["init", str(tmp_path / "keys")]) == 0
    first = keys.read_signing_keys(tmp_path / "keys" / keys.SIGNING_FILE)
    assert capsys.readouterr().out == f"{first.keys[0].kid}\n"
    for name in (keys.SIGNING_FILE, keys.JWKS_FILE):
        assert stat.S_IMODE((tmp_path / "keys" / name).stat().st_mode) == 0o600
    assert keys.init(tmp_path / "keys") == first
    assert sorted(file.name for file in (tmp_path / "keys").iterdir()) == [keys.JWKS_FILE, keys.SIGNING_FILE]


def test_new_keys_are_on_the_disk_before_they_have_their_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flush, files = os.fsync, [tmp_path / keys.JWKS_FILE, tmp_path / keys.SIGNING_FILE]
    flushed: list[tuple[int, int]] = []

    def noted(file: int) -> None:
        flushed.append((os.fstat(file).st_ino, os.fstat(file).st_size))
        assert flushed[-1][0] not in [there.stat().st_ino for there in files if there.exists()]
        flush(file)

    monkeypatch.setattr(os, "fsync", noted)
    for make in (keys.init, keys.rotate):
        flushed.clear()
        make(tmp_path)
        assert flushed == [(file.stat().st_ino, file.stat().st_size) for file in files]


def test_a_lost_public_file_is_made_again_from_the_private_one(tmp_path: Path) -> None:
    keys.init(tmp_path)
    before = (tmp_path / keys.JWKS_FILE).read_bytes()
    (tmp_path / keys.JWKS_FILE).unlink()
    keys.init(tmp_path)
    assert (tmp_path / keys.JWKS_FILE).read_bytes() == before


def test_the_public_file_holds_no_private_part(tmp_path: Path) -> None:
    private = keys.init(tmp_path).keys[0]
    public = (tmp_path / keys.JWKS_FILE).read_text()
    assert private.d not in public
    assert '"d"' not in public


def test_a_new_key_is_public_before_it_signs(tmp_path: Path) -> None:
    old = keys.init(tmp_path).keys[0]
    new = keys.rotate(tmp_path, after=600).keys[0]
    signer = keys.Signer(tmp_path / keys.SIGNING_FILE)
    assert [key.kid for key in signer.public().keys] == [new.kid, old.kid]
    assert jwt.get_unverified_header(signer.sign({}))["kid"] == old.kid
    keys._write(tmp_path, keys.SigningKeys([msgspec.structs.replace(new, sign_from=clock.time() - 1), old]))
    assert jwt.get_unverified_header(keys.Signer(tmp_path / keys.SIGNING_FILE).sign({}))["kid"] == new.kid


def test_a_key_goes_only_when_no_token_of_it_can_be_alive(tmp_path: Path) -> None:
    first = keys.init(tmp_path).keys[0]
    second = keys.rotate(tmp_path, after=-10).keys[0]
    third = keys.rotate(tmp_path, after=-10).keys
    assert [key.kid for key in third[1:]] == [second.kid, first.kid]
    long_ago = clock.time() - keys.KEPT_SECONDS - 1
    keys._write(tmp_path, keys.SigningKeys([msgspec.structs.replace(second, sign_from=long_ago), first]))
    assert first.kid not in {key.kid for key in keys.rotate(tmp_path).keys}


def test_tokens_verify_all_through_a_rotation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(identity, "LOOK_EVERY", 0.0)
    keys.init(tmp_path)
    signer, verifier = keys.Signer(tmp_path / keys.SIGNING_FILE), Verifier(tmp_path / keys.JWKS_FILE)
    now = int(clock.time())
    claims = {
        "iss": identity.ISSUER,
        "aud": identity.AUDIENCE,
        "sub": "00000000-0000-0000-0000-000000000001",
        "sid": "00000000-0000-0000-0000-000000000002",
        "exp": now + 900,
    }
    before = signer.sign(claims)
    for _ in range(3):
        keys.rotate(tmp_path, after=-1)
        assert verifier.authenticate(f"Bearer {signer.sign(claims)}")
        assert verifier.authenticate(f"Bearer {before}")


def test_a_signer_takes_up_a_file_that_was_replaced_within_one_tick_of_the_clock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "LOOK_EVERY", 0.0)
    keys.init(tmp_path)
    file = tmp_path / keys.SIGNING_FILE
    signer, before = keys.Signer(file), file.stat().st_mtime_ns
    newest = keys.rotate(tmp_path, after=-1).keys[0].kid
    os.utime(file, ns=(before, before))
    assert signer.public().keys[0].kid == newest


def test_a_signer_takes_up_what_the_file_says_now_and_keeps_its_keys_when_that_is_broken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "LOOK_EVERY", 0.0)
    keys.init(tmp_path)
    signer = keys.Signer(tmp_path / keys.SIGNING_FILE)
    for public in (True, False):
        newest = keys.rotate(tmp_path, after=-1).keys[0].kid
        if public:
            assert signer.public().keys[0].kid == newest
        assert jwt.get_unverified_header(signer.sign({}))["kid"] == newest
    (tmp_path / keys.SIGNING_FILE).write_text("{}")
    assert jwt.get_unverified_header(signer.sign({}))["kid"] == newest
    keys.rotate(keys_again(tmp_path, newest), after=-1)
    assert signer.public().keys[0].kid != newest


def keys_again(folder: Path, other_than: str) -> Path:
    """A folder whose private file was lost and made anew."""
    (folder / keys.SIGNING_FILE).unlink()
    assert keys.init(folder).keys[0].kid != other_than
    return folder


def test_a_key_is_never_private_before_it_is_public_and_nothing_half_written_stays(tmp_path: Path) -> None:
    keys.init(tmp_path)
    before = keys.read_signing_keys(tmp_path / keys.SIGNING_FILE)
    (tmp_path / keys.SIGNING_FILE).unlink()
    (tmp_path / keys.SIGNING_FILE / "in the way").mkdir(parents=True)
    new = keys.SigningKeys([keys.new_key(0.0), *before.keys])
    with pytest.raises(OSError, match=keys.SIGNING_FILE):
        keys._write(tmp_path, new)
    assert new.keys[0].kid in (tmp_path / keys.JWKS_FILE).read_text()
    assert sorted(file.name for file in tmp_path.iterdir()) == [keys.JWKS_FILE, keys.SIGNING_FILE]


@pytest.mark.parametrize("content", [None, "", "{}", '{"keys": []}', '{"keys": [{"kid": "a"}]}'])
def test_an_unusable_file_is_one_line_that_names_it(
    tmp_path: Path, content: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / keys.SIGNING_FILE
    if content is not None:
        file.write_text(content)
    with pytest.raises(KeySetError, match=keys.SIGNING_FILE):
        keys.Signer(file)
    assert keys.main(["rotate", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert keys.SIGNING_FILE in error
    assert error.count("\n") == 1


async def test_a_signing_key_that_can_not_be_read_stops_the_start_with_its_name(
    environment: dict[str, str], tmp_path: Path
) -> None:
    with pytest.raises(SettingsError, match="AUTH_SIGNING_KEY_FILE"):
        build(["auth"], environment | {"AUTH_SIGNING_KEY_FILE": str(tmp_path / "nowhere.json")})


async def test_without_a_usable_key_nobody_logs_in_and_tokens_go_on(
    account: Account, serve: Callable[..., Awaitable[httpx.AsyncClient]], tmp_path: Path
) -> None:
    tokens = await account.login()
    file = tmp_path / "signing.json"
    file.write_text("{}")
    broken = await serve("auth", AUTH_SIGNING_KEY_FILE=str(file))
    login = await broken.post("/api/v1/auth/login", json={"username": account.username, "password": PASSWORD})
    assert login.status_code == 503
    assert login.headers["retry-after"]
    assert (await broken.get("/api/v1/auth/me", headers=bearer(tokens))).status_code == 200


def test_before_any_key_s_time_has_come_the_oldest_signs(tmp_path: Path) -> None:
    """A clock that was moved back: everybody knows that key."""
    now = clock.time()
    newer, older = keys.new_key(now + 200), keys.new_key(now + 100)
    keys._write(tmp_path, keys.SigningKeys([newer, older]))
    signer = keys.Signer(tmp_path / keys.SIGNING_FILE)
    assert jwt.get_unverified_header(signer.sign({}))["kid"] == older.kid


def test_the_command_rotates_after_as_many_seconds_as_it_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "not" / "there yet"
    assert keys.main(["init", str(folder)]) == 0
    for words, seconds in (([], keys.TAKEOVER_SECONDS), (["--after", "7000"], 7000.0)):
        assert keys.main(["rotate", str(folder), *words]) == 0
        newest = keys.read_signing_keys(folder / keys.SIGNING_FILE).keys[0]
        assert abs(newest.sign_from - clock.time() - seconds) < 300
    capsys.readouterr()
    (tmp_path / "a file").write_text("")
    assert keys.main(["init", str(tmp_path / "a file")]) == 1
    assert "a file" in capsys.readouterr().err


def test_whoever_is_interrupted_while_keys_are_written_leaves_none_beside_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys.init(tmp_path)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}

    def interrupted(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupted)
    with pytest.raises(KeyboardInterrupt):
        keys.rotate(tmp_path)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
