"""A recording for a colleague: the same requests on the same state, made again by a replay without personal details.

Nothing of the old answers, statements or files is in it: the replaced requests are sent to a second system on the replaced state,
and what that one records is the export. So it fits together, and what was overlooked in an answer can't be in it.
"""

import contextlib
import json
import re
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from msgspec import Struct

from emulator.process import StartError
from emulator.recording import anonymous, form, second
from emulator.recording import folder as recordings
from emulator.recording.align import Aligned
from emulator.recording.beside import beside
from emulator.recording.compare import Recorded
from emulator.recording.form import Exchange
from emulator.recording.photos import without_metadata
from emulator.recording.replacing import Replacer, rule
from emulator.recording.replay import again
from emulator.recording.sending import Transform
from emulator.state import archive, manifest
from emulator.state.folder import State
from runtime.services import ROOT

# What a service reads of a request's head; of the client's program, address and cookies nothing is left.
HEADERS = dict.fromkeys(
    (
        *(
            "accept",
            "accept-language",
            "authorization",
            "content-type",
            "content-encoding",
            "idempotency-key",
            "if-match",
        ),
        *("if-none-match", "if-modified-since", "if-unmodified-since", "last-event-id", "origin", "range"),
        *("access-control-request-method", "access-control-request-headers", "prefer"),
    )
)
_SHORTEST = 6


class Exported(Struct):
    """`counts`: how often a rule was applied, by where and rule. `changed`: requests whose status is now another one."""

    counts: Counter[tuple[str, str]]
    requests: int
    changed: list[tuple[str, str, int, int]]


def export(state: State, name: str, file: Path) -> Exported:
    """Write a recording to one file, with personal details replaced.

    Raises:
        StartError: it is damaged, a column has no rule, or the file can't be written.
    """
    source = recordings.find(state, name)
    about = recordings.check(source)
    was = Recorded(source)
    aligned = Aligned(float(about["at"]))
    with _states() as (old, new):
        signer = anonymous.new_keys(new)
        replacer = Replacer(signer.sign)
        given = _look_through(was, replacer)
        passwords = anonymous.Passwords(given, replacer)
        snapshot = anonymous.build(source / form.SNAPSHOT, old, new, replacer, passwords)
        replacer.leave = aligned.is_new
        if (state.path / "model").exists():
            (new.path / "model").symlink_to(state.path / "model")
        with beside(
            new, snapshot, float(about["at"]), ROOT, str(about.get("ai", "")), about.get("settings") or {}
        ) as there:
            made = again(was, there, was.exchanges, aligned, _Replaced(replacer))
            snapshot.rename(made / form.SNAPSHOT)
            mine = recordings.read_about(made) | {"name": name, "exported": _told(replacer)}
            mine["bytes"] = sum(path.stat().st_size for path in made.rglob("*") if path.is_file())
            manifest.write(made, mine)
            recordings.write_about(made, mine)
            _nothing_left(made, replacer)
            archive.pack(made, archive.RECORDING, file)
            now = Recorded(made).by_id()
        changed = [
            (one.id, f"{one.method} {one.path.partition('?')[0]}", one.answer.status, now[one.id].answer.status)
            for one in was.exchanges
            if one.id in now and now[one.id].answer.status != one.answer.status
        ]
        return Exported(replacer.counts, len(now), changed)


def take_in(state: State, file: Path, name: str) -> dict[str, object]:
    """Read a colleague's file as a recording of that name. StartError, and nothing is taken in, when it is damaged."""
    folder = recordings.home(state) / recordings.check_name(name)
    if folder.exists():
        raise StartError(f"there is a recording {name} already; `eco2 record delete {name}` removes it")
    recordings.home(state).mkdir(mode=0o700, exist_ok=True)
    fresh = folder.with_name(f".new-{name}")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    try:
        archive.unpack(file, fresh)
        inner = fresh / archive.RECORDING
        about = recordings.check(inner)
        recordings.write_about(inner, recordings.read_about(inner) | {"name": name})
        inner.rename(folder)
        return about | {"name": name}
    finally:
        shutil.rmtree(fresh, ignore_errors=True)


@contextlib.contextmanager
def _states() -> Iterator[tuple[State, State]]:
    """Two empty state folders for the time of an export."""
    made = [State(Path(tempfile.mkdtemp(prefix=second.PREFIX))) for _ in range(2)]
    with contextlib.ExitStack() as stack:
        for one in made:
            stack.callback(second.remove, one.path)
            one.create()
            stack.enter_context(one.lock())  # so that no other replay takes it for a forgotten one
        yield made[0], made[1]


def _look_through(was: Recorded, replacer: Replacer) -> list[tuple[str, str]]:
    """Learn who is who, and the tokens that requests name, before the state is replaced; the logins that are tried."""
    given = []
    for exchange in was.exchanges:
        body = _json(form.content_of(was.folder, exchange.body))
        if not isinstance(body, dict):
            continue
        name, email = (str(body.get(key) or "") for key in ("username", "email"))
        if name and email:
            replacer.same_person(name, email)
        for key in rule()["fields"]["secret"]:
            if isinstance(body.get(key), str):
                replacer.value("secret", body[key], "")
        password = body.get("password") or body.get("current_password")
        if isinstance(password, str) and (name or email):
            given.append((name or email, password))
    replacer.counts.clear()
    return given


class _Replaced(Transform):
    """Requests without personal details."""

    def __init__(self, replacer: Replacer) -> None:
        self._replacer = replacer

    def path(self, path: str) -> str:
        address, mark, query = path.partition("?")
        return address + (mark + self._replacer.query(query, "query") if mark else "")

    def headers(self, headers: list[tuple[str, str]]) -> list[tuple[str, str]]:
        return self._replacer.headers(headers, HEADERS)

    def body(self, exchange: Exchange, content: bytes) -> bytes:
        kind = exchange.header("content-type")
        if kind.startswith("multipart/form-data"):
            return self._form(kind, content)
        value = _json(content)
        if value is None:
            return self._replacer.text(content.decode("utf-8", "replace")).encode()
        return json.dumps(self._replacer.json(value, "request"), ensure_ascii=False).encode()

    def _form(self, kind: str, content: bytes) -> bytes:
        boundary = re.search(r'boundary="?([^";]+)', kind)
        if boundary is None:
            return content
        parts = content.split(b"--" + boundary[1].encode("latin-1"))
        for number, part in enumerate(parts):
            head, gap, data = part.partition(b"\r\n\r\n")
            if b'name="file"' in head:
                head = re.sub(rb'filename="[^"]*"', b'filename="photo"', head)
                clean = without_metadata(data[:-2]) + data[-2:]
                self._replacer.counts["upload", "photo"] += clean != data
                parts[number] = head + gap + clean
        return (b"--" + boundary[1].encode("latin-1")).join(parts)


def _json(content: bytes) -> object:
    try:
        return json.loads(content)
    except ValueError:
        return None


def _told(replacer: Replacer) -> dict[str, dict[str, object]]:
    """What was replaced, for who reads the export."""
    return {
        f"{where}: {kind}": {"times": n, "by": rule()["shown"].get(kind, "")}
        for (where, kind), n in replacer.counts.items()
    }


def _nothing_left(folder: Path, replacer: Replacer) -> None:
    """Look through every byte of what is given away for what was replaced. StartError when any of it is there."""
    wanted = {value.encode(): kind for value, kind in replacer.replaced() if len(value) >= _SHORTEST}
    pattern = re.compile(b"|".join(map(re.escape, sorted(wanted, key=len, reverse=True)))) if wanted else None
    for path in folder.rglob("*"):
        if pattern is not None and path.is_file() and (found := pattern.search(path.read_bytes())):
            raise StartError(
                f"nothing was written: {path.relative_to(folder)} would still hold one {wanted[found[0]]} of the recording; "
                "this is a fault of Eco², please report it"
            )
