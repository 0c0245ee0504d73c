"""The running dashboard's API, for commands that show what its pages show."""

from typing import Any

import httpx

from emulator import control
from emulator.plain_http import PLAIN
from emulator.process import StartError
from emulator.state.folder import State


def ask(state: State, path: str, json: Any = None, **query: Any) -> Any:
    """What the API answers to GET `path`, or to POST where there is `json`. StartError where nothing runs or it says no."""
    about = control.find(state)
    url = f"{about['gateway']}/_emulator/api{path}"
    given = {name: value for name, value in query.items() if value is not None}
    try:
        with httpx.Client(headers={"X-Eco2-Token": about["token"]}, timeout=30, **PLAIN) as client:
            answer = client.request("GET" if json is None else "POST", url, params=given, json=json)
    except httpx.HTTPError as error:
        raise StartError(f"the dashboard does not answer: {type(error).__name__}") from None
    if answer.status_code != 200:
        detail = answer.json().get("detail", "") if "json" in answer.headers.get("content-type", "") else answer.text
        raise StartError(f"the dashboard says {answer.status_code}: {str(detail)[:300]}")
    return answer.json()
