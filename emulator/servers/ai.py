"""Who answers questions about photographs and in words, for the emulator's process."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from emulator.state.folder import State


@contextmanager
def environment(wanted: str | None, environ: Mapping[str, str], state: State) -> Iterator[Mapping[str, str]]:
    """The environment of `eco2 up --ai stub`: the ai worker's OpenAI-compatible provider is a stub in this process.

    With "embedded" there is no such provider, whatever the developer's environment says; without either, that decides. The
    port is the last run's, so that a worker that was left finds the stub again.
    """
    if wanted == "embedded":
        yield {name: value for name, value in environ.items() if name != "OPENAI_API_KEY"}
        return
    if wanted != "stub":
        yield environ
        return
    from emulator.servers.ai_stub import Stub

    with Stub(port=state.port("ai-stub")) as stub:
        yield {**environ, "OPENAI_BASE_URL": stub.url, "OPENAI_API_KEY": "stub"}
