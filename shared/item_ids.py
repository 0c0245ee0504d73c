"""Ids of recycle-info's items. An item's id is made from its slug: the same in every installation, so an answer may name it."""

from uuid import UUID, uuid5

_NAMESPACE = UUID("9d1c2f86-4d57-5c1b-9a3a-6f0c7a52e1b4")


def item_id(slug: str) -> UUID:
    """The id of the item whose entry has this slug."""
    return uuid5(_NAMESPACE, slug)
