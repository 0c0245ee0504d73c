"""How each function of functions/*/db.py is called on a grown system: by the names of its parameters, as the first person.

A function that is not called is named in known.toml with its reason, so a new one can't be left out.
"""

import importlib
import inspect
from collections.abc import Awaitable, Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from functions.auth.db import Code, Credentials, Flow, Person, SessionRow
from functions.chat_llm.db import Conversation
from functions.location import hours
from functions.location.db import Place, Wanted
from functions.recycle_info import words
from functions.userinfo.db import Avatar, Profile, Settings
from functions.waste.db import Missing
from functions.waste.guides import Advice
from functions.waste.model import Analysis, AnalysisResult, Guide
from runtime.services import load_services
from shared.ids import new_id
from shared.messages import Answered, TaskError
from tests.growth.data import id_of

Call = Callable[[Any], Awaitable[Any]]
# Noon in Korea, when none of data.py's centers is open: what is found must not hang on the hour of a run.
SUNDAY = datetime(2026, 11, 29, 3, tzinfo=UTC)


def values(folder: str, now: datetime) -> dict[str, Any]:
    """What each parameter is, by its name."""
    person, at = id_of("person", 1), now - timedelta(days=1)
    # Rows of the first person's: number 20 of each table.
    found: dict[str, Any] = {
        "user_id": person, "now": now, "at": now, "created_at": now, "limit": 20, "most": 500, "title": "t",
        "after": (now, id_of("x", 1)),
        "name": "n", "email": "person-1@example.com", "expires_at": now + timedelta(days=1), "code": "c", "message": "m",
        "url": "u",
        "error": "e", "key": "k", "kept": [], "position": 9, "before": at, "behind": UUID(int=0),
        "keys": [f"images/{id_of('analysis', 20)}/x.jpg"], "prefix": "images/", "looked_at": 1, "update_sweep.after": "a",
        "old_hash": "x", "new_hash": "y", "but": None,
    }  # fmt: skip
    found |= {
        "auth": {
            "person": Person(new_id(), "new", "new@example.com", now), "password_hash": "x", "login": "person-1",
            "session_id": id_of("session", 1), "credentials": Credentials(person, "x"), "token_hash": "new", "id_": new_id(),
            "session": SessionRow(new_id(), person, "s", now, now), "replaced_at": now, "nonce": b"n", "purpose": "reset",
            "provider": "kakao", "subject": "subject-1", "flow": Flow("s", "kakao", "n", "v", "r", "c", None, now),
            "insert_code.code": Code("c", person, "c", None, None, None, now), "state": "s",
        },
        "chat_llm": {
            "conversation": Conversation(new_id(), "t", now, 0), "conversation_id": id_of("conversation", 20),
            "question": "q", "message_id": id_of("message", 80), "characters": 500, "candidates": [id_of("conversation", 20)],
            "conversations": [id_of("conversation", 20)], "text": "t", "analysis_id": id_of("analysis", 20),
            "record": Answered([], "p", "m", "ko"), "error": TaskError("c", "m"), "after": 0,
        },
        "location": {
            "place_id": id_of("place", 20), "place": Place(id_of("place", 20), "n", "a", 37.5, 127.0, False, now),
            "insert_place.place": Place(new_id(), "n", "a", 37.5, 127.0, False, now),
            "latitude": 35.0, "longitude": 127.0, "radius": 20_000.0, "wanted": Wanted(open_at=hours.moment(SUNDAY)),
            "box": (126.0, 33.0, 130.0, 38.0), "center_id": id_of("center", 20), "query": "한빛20재활용센터",
            "patterns": ["%재활용센터%"], "letters": "한빗20재활용센터", "pattern": "%한빛20%", "source": "grown", "rows": [],
        },
        "recycle_info": {
            "category": "plastic", "select_items.after": ("ㄱ", id_of("x", 1)), "item_id": id_of("item", 1),
            "asked": words.read("페트병"),
            "id_": new_id(), "query": "q", "result": [],
        },
        "userinfo": {
            "profile": Profile(person, "n", None, None, now, "none", None), "settings": Settings(),
            "avatar_id": id_of("avatar", 20),
            "avatar": Avatar(new_id(), person, "k"),
        },
        "waste": {
            "analysis_id": id_of("analysis", 20), "insert_analysis.analysis_id": new_id(),
            "analysis": Analysis(
                id=id_of("analysis", 20), status="success", image_url=None, waste_type="plastic", corrected_type="glass",
                confidence=0.9, analysis_result=None, error=None, error_code=None, images=[], created_at=now, completed_at=now,
            ), "upload_key": "k", "image_url": "u", "urls": {"k": "u"}, "waste_type": "plastic",
            "confidence": 0.5, "result": AnalysisResult(candidates=[], provider="p", model="m", guide=Guide(state="missing")),
            "analyses": [id_of("analysis", 20)],
            "but": ["food"], "missing": Missing(id_of("analysis", 20), "plastic", None), "advice": Advice(Guide(), None),
        },
    }[folder]  # fmt: skip
    return found


def functions() -> Iterator[tuple[str, str, Callable[..., Awaitable[Any]]]]:
    """Folder, name and function of every statement's function."""
    for service in load_services().values():
        if service.is_worker:
            continue
        module = importlib.import_module(f"functions.{service.folder}.db")
        for name, found in vars(module).items():
            if inspect.iscoroutinefunction(found) and found.__module__ == module.__name__:
                yield service.folder, name, found


def arguments(function: Callable[..., Any], given: dict[str, Any]) -> dict[str, Any]:
    """For its parameters behind the connection. KeyError: nothing has that name."""
    names = list(inspect.signature(function).parameters)[1:]
    return {name: given.get(f"{function.__name__}.{name}") or given[name] for name in names}
