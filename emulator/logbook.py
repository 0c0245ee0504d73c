"""The logs of all parts as one: read, merged by time, chosen by part, level, time and words. For `eco2 logs` and the dashboard.

Our own lines are runtime/telemetry.py's, text or JSON; PostgreSQL's and Redis's have their own form; what has none (a traceback,
a program's bare words) belongs to the line before it. Merged by the machine's time, whatever the system's clock says.
"""

import re
import time
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

LEVELS = ("debug", "info", "warning", "error", "critical")
# Bytes read of the end of a log: mostly a little is enough; the second is bounded too.
_READ = (200_000, 4_000_000)
# Lines that a call gives at most, and lines of one record that are kept.
MOST, _MORE = 5000, 200

_OURS = re.compile(
    r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) (debug|info|warning|error|critical) +([\w.-]+): (.*?)(?:  \[([^\[\]]*)\])?"
)
_POSTGRES = re.compile(r"(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}) UTC \[\d+\] (\S*) ([A-Z]+\d?): +(.*)")
_REDIS = re.compile(r"\d+:[A-Z] (\d\d \w{3} \d{4} \d\d:\d\d:\d\d\.\d{3}) ([.*#-]) (.*)")
_POSTGRES_LEVELS = {"WARNING": "warning", "ERROR": "error", "FATAL": "error", "PANIC": "critical"}
_REDIS_LEVELS = {".": "debug", "-": "debug", "*": "info", "#": "warning"}
# Said by every server that starts on an ordinary machine, whose few megabytes need no more, or ends as it was told to;
# and to whoever asks before it has started.
_REDIS_USUAL = re.compile(r"WARNING Memory overcommit must be enabled|\w+ is now ready to exit")
_POSTGRES_USUAL = re.compile(r"the database system is (starting up|not yet accepting connections)")
# They say more of the line before.
_POSTGRES_MORE = ("DETAIL", "HINT", "CONTEXT", "STATEMENT", "QUERY", "LOCATION")
_SKIPPED = re.compile(r"reload\..*|template|prepare|model|samples")


_WRONG = re.compile(r"it ended|not reloaded|was not ready|could not|can't|failed|damaged")


class Line(Struct):
    """One record of a log. `at` is seconds since the epoch by the machine's clock, `time` what the log says."""

    at: float
    time: str
    part: str
    level: str
    text: str
    logger: str = ""
    request: str = ""
    trace: str = ""
    more: list[str] = []


class Wanted(Struct, frozen=True):
    """Which lines: all where a field is empty. `since` is seconds since the epoch, by the machine's clock."""

    parts: Sequence[str] = ()
    since: float = 0.0
    level: str = "debug"
    words: str = ""
    limit: int = MOST


def parts(folder: Path) -> list[str]:
    """The parts that have a log, by name; a replica's is `worker-ai/2`, as everywhere."""
    names = [log.name.removesuffix(".log") for log in folder.glob("*.log")]
    return sorted(name_of(name) for name in names if not _SKIPPED.fullmatch(name))


def name_of(stem: str) -> str:
    return re.sub(r"\.(\d+)$", r"/\1", stem)


def path_of(folder: Path, part: str) -> Path:
    return folder / f"{part.replace('/', '.')}.log"


def read(folder: Path, wanted: Wanted, until: Mapping[str, int] | None = None) -> list[Line]:
    """The last fitting lines of the parts, oldest first; of each log as far as `until` says, where a follower goes on."""
    found: list[Line] = []
    for part in wanted.parts or parts(folder):
        found += _fitting(path_of(folder, part), part, wanted, (until or {}).get(part))
    found.sort(key=lambda line: line.at)
    return found[-wanted.limit :] if wanted.limit else []


def fits(line: Line, wanted: Wanted) -> bool:
    """Whether a line is wanted. Words are looked for in the whole record and its ids, whatever the case."""
    if line.at < wanted.since or LEVELS.index(line.level) < LEVELS.index(wanted.level):
        return False
    words = wanted.words.lower()
    if not words:
        return True
    whole = f"{line.part} {line.logger} {line.text} {line.request} {line.trace}".lower()
    return words in whole or any(words in more.lower() for more in line.more)


def _fitting(log: Path, part: str, wanted: Wanted, until: int | None) -> list[Line]:
    """The last fitting lines of one log: a little of its end where that is enough, what was set aside of it where it is not."""
    found: list[Line] = []
    for size in _READ:
        found, whole = [], True
        for path in (log.with_suffix(".log.1"), log):
            try:
                changed = path.stat().st_mtime
                if changed < wanted.since or (path != log and size != _READ[-1]):
                    continue
                with path.open("rb") as file:
                    end = file.seek(0, 2) if path != log or until is None else until
                    start = max(0, end - size)
                    file.seek(start)
                    lines = Reader(part, changed).read(file.read(end - start))
            except OSError:
                continue
            whole = whole and not start and path != log
            found += [line for line in (lines[1:] if start else lines) if fits(line, wanted)]
            if lines and lines[0].at < wanted.since:
                return found
        if whole or len(found) >= wanted.limit:
            break
    return found


class Reader:
    """Makes records of one log's lines, as they come. `otherwise` is the time of what has none, at its beginning."""

    def __init__(self, part: str, otherwise: float | None = None) -> None:
        self.part = part
        self._at = otherwise
        self._rest = b""

    def read(self, data: bytes) -> list[Line]:
        """The records of what came; a line that is not whole yet waits for its rest."""
        *whole, self._rest = (self._rest + data).split(b"\n")
        found: list[Line] = []
        for raw in whole:
            text = raw.decode(errors="replace").rstrip("\r")
            line = self._line(text)
            if line is not None:
                self._at = line.at
                found.append(line)
            elif not text.strip():
                continue
            elif found:
                if len(found[-1].more) < _MORE:
                    found[-1].more.append(_said_more(text))
            else:
                found.append(Line(self._at or time.time(), "", self.part, "info", text))
        return found

    def _line(self, text: str) -> Line | None:
        if (ours := _OURS.fullmatch(text)) is not None:
            ids = dict(pair.partition("=")[::2] for pair in (ours[5] or "").split(" ") if "=" in pair)
            if ours[5] and not ids.keys() <= {"request", "trace", "ahead"}:
                ids, said = {}, f"{ours[4]}  [{ours[5]}]"
            else:
                said = ours[4]
            at = _moment(ours[1]) - _number(ids.get("ahead", "0"))
            return Line(at, ours[1], self.part, ours[2], said, ours[3], ids.get("request", ""), ids.get("trace", ""))
        if (theirs := _POSTGRES.fullmatch(text)) is not None and theirs[3] not in _POSTGRES_MORE:
            level = "info" if _POSTGRES_USUAL.match(theirs[4]) else _POSTGRES_LEVELS.get(theirs[3], "info")
            who = "" if theirs[2] == "@" else theirs[2]
            return Line(_moment(theirs[1]), theirs[1], self.part, level, theirs[4], who)
        if (theirs := _REDIS.fullmatch(text)) is not None:
            when = datetime.strptime(theirs[1], "%d %b %Y %H:%M:%S.%f").replace(tzinfo=UTC)
            level = "info" if _REDIS_USUAL.match(theirs[3]) else _REDIS_LEVELS[theirs[2]]
            return Line(when.timestamp(), _said(when), self.part, level, theirs[3])
        return self._json(text) if text.startswith('{"') else None

    def _json(self, text: str) -> Line | None:
        try:
            entry: dict[str, Any] = msgspec.json.decode(text, type=dict[str, Any])
            when = datetime.fromisoformat(entry["time"])
            level = entry["level"] if entry["level"] in LEVELS else "info"
            said = str(entry["message"])
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            return None
        if said == "request":
            said = f"{entry.get('status')} {entry.get('method')} {entry.get('path')} {entry.get('ms')} ms"
        request, trace = (str(entry.get(name, "")) for name in ("request_id", "trace_id"))
        at = when.timestamp() - _number(entry.get("ahead", 0))
        stack = str(entry.get("stack", "")).splitlines()
        return Line(at, _said(when), self.part, level, said, str(entry.get("logger", "request")), request, trace, stack)


class Follower:
    """What the logs get from now on, in the order of time within each look; a part that begins later is seen too."""

    def __init__(self, folder: Path, wanted: Wanted) -> None:
        self._folder, self._wanted = folder, wanted
        self._places: dict[str, int] = {}
        self._readers: dict[str, Reader] = {}
        for part in wanted.parts or parts(folder):
            self._places[part] = _whole(path_of(folder, part))

    def before(self) -> list[Line]:
        """The last fitting lines of what it does not give."""
        return read(self._folder, self._wanted, self._places)

    def look(self) -> list[Line]:
        """The fitting lines that have come since the last look."""
        found: list[Line] = []
        for part in self._wanted.parts or parts(self._folder):
            found += self._new(part)
        return sorted((line for line in found if fits(line, self._wanted)), key=lambda line: line.at)

    def _new(self, part: str) -> Iterable[Line]:
        log = path_of(self._folder, part)
        place = self._places.get(part, 0)
        try:
            size = log.stat().st_size
            if size < place:  # a log that has grown too long begins anew
                place = 0
                self._readers.pop(part, None)
            if size == place:
                return []
            with log.open("rb") as file:
                file.seek(place)
                data = file.read(_READ[-1])
        except OSError:
            return []
        self._places[part] = place + len(data)
        return self._readers.setdefault(part, Reader(part)).read(data)


def _whole(log: Path) -> int:
    """The bytes of a log's whole lines: one that is being written is read when it is there."""
    try:
        with log.open("rb") as file:
            start = max(0, file.seek(0, 2) - _READ[0])
            file.seek(start)
            return start + file.read().rfind(b"\n") + 1
    except FileNotFoundError:
        return 0


def _said_more(text: str) -> str:
    """A further line of a record: of PostgreSQL's without the time, which is that of the first."""
    theirs = _POSTGRES.fullmatch(text)
    return f"{theirs[3]}: {theirs[4]}" if theirs else text


def own(text: str) -> str:
    """A line for the emulator's own log, with what went wrong as a warning."""
    level = "warning" if _WRONG.search(text) else "info"
    return f"{_said(datetime.now(UTC))} {level:7} eco2: {text}"


def _moment(text: str) -> float:
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def _said(when: datetime) -> str:
    when = when.astimezone(UTC)
    return f"{when:%Y-%m-%d %H:%M:%S}.{when.microsecond // 1000:03}"


def _number(value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        return 0.0
