"""What a question takes with it from its conversation, and what a conversation is called after it."""

from collections.abc import Iterable

from shared.messages import Turn

# The most turns that are looked at, and characters of one turn and of all: an answer's cost grows with them, and what
# a follow-up follows is near the end.
TURNS = 10
TURN_CHARACTERS = 1000
CHARACTERS = 4000
TITLE_CHARACTERS = 60


def within_budget(newest_first: Iterable[Turn]) -> list[Turn]:
    """The last turns that fit into the budget, oldest first, beginning with something that the person said."""
    kept: list[Turn] = []
    left = CHARACTERS
    for turn in newest_first:
        left -= len(turn.content)
        if left < 0:
            break
        kept.append(turn)
    kept.reverse()
    while kept and kept[0].role != "user":
        del kept[0]
    return kept


def title_of(question: str) -> str | None:
    """The question's beginning on one line, cut after a word where that does not cost much; None for white space."""
    line = " ".join(question.split())
    if len(line) > TITLE_CHARACTERS:
        line = line[: TITLE_CHARACTERS - 1]
        words = line.rpartition(" ")[0]
        line = (words if len(words) >= TITLE_CHARACTERS // 2 else line) + "…"
    return line or None
