"""What a question is about: between the rules, which find it, and the answers, which word it."""

from msgspec import Struct

from functions.ai.facts import Language
from functions.ai.retrieval import Category, Item
from functions.ai.vocabulary import Collection, Situation, Unknown
from shared.messages import Photo


class Understood(Struct, frozen=True):
    """What a question is about, for whoever words the answer.

    `aspects` are what may be asked of the things (names of an item's `answers`, or `bin` with `bin` the category asked for), the
    likeliest first; `cases` are how the things are. The `text`, as the rules read it, wants yes or no (`polar`) or more (`open`).
    A `situation` is a danger, whose line comes first. `unknown` is what the municipality knows.
    """

    rule: str
    language: Language
    items: tuple[Item, ...] = ()
    part: tuple[str, str] | None = None
    near: bool = False
    on_topic: bool = True
    guesses: tuple[Item, ...] = ()
    aspects: tuple[str, ...] = ()
    bin: str | None = None
    negated: bool = False
    omitted: bool = False
    """Whether it is asked what is when something is not done with the thing."""
    may: bool = False
    """Whether it is asked if something may be done, rather than must."""
    reason: bool = False
    barred: bool = False
    """Whether it is asked if something is not allowed: yes and no would both be taken both ways."""
    polar: bool = False
    open: bool = False
    text: str = ""
    cases: tuple[str, ...] = ()
    situation: Situation | None = None
    unknown: Unknown | None = None
    photo: Photo | None = None
    category: Category | None = None
    collection: Collection | None = None
    """What is collected, where our own lines answer and no item."""
    why: bool = False
    every: bool = False
    """Whether it is asked of all of a kind."""
    together: bool = False
    apart: bool = False
    not_taken: bool = False
    said_type: str | None = None
    """The kind of waste that the person says it is, against the photo's."""
