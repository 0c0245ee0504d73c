"""The providers that people can sign in with here."""

from typing import Annotated

from litestar import get
from msgspec import Meta, Struct

from functions.auth import providers


class ProviderName(Struct, frozen=True):
    """A provider to sign in with.

    Attributes:
        provider: its name in addresses.
        name: in Korean, for a button.
    """

    provider: Annotated[str, Meta(examples=["kakao"])]
    name: Annotated[str, Meta(examples=["카카오"])]


@get("/oauth/providers", summary="List providers")
async def list_providers(set_up: providers.SetUp) -> list[ProviderName]:
    return [ProviderName(name, provider.name) for name, provider in set_up.known().items()]
