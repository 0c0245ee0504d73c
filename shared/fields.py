"""Types of fields that several answers have. A title makes a type a schema of that name in the OpenAPI documents."""

from datetime import datetime
from typing import Annotated, Literal

from msgspec import Meta

Status = Annotated[
    Literal["pending", "success", "failure"],
    Meta(title="Status", description="How far the work is: under way, done, or failed for good."),
]
Language = Annotated[Literal["ko", "en"], Meta(title="Language", description="Korean or English.")]
# With its offset from UTC, as RFC 3339 wants it.
Time = Annotated[datetime, Meta(tz=True)]
# What fits PostgreSQL's integer.
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Share = Annotated[float, Meta(ge=0, le=1)]
