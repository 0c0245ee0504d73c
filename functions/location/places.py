"""What a person may write into a place."""

from typing import Annotated

from msgspec import Meta

from shared.errors import BadInput
from shared.text import SEEN

Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=SEEN, examples=["집"])]
Address = Annotated[str, Meta(min_length=1, max_length=500, pattern=SEEN, examples=["서울특별시 중구 세종대로 110"])]
Latitude = Annotated[float, Meta(ge=-90, le=90, examples=[37.5663])]
Longitude = Annotated[float, Meta(ge=-180, le=180, examples=[126.9779])]


def check_point(latitude: float | None, longitude: float | None) -> None:
    """Raises BadInput when only one of the two is there: half a point is not a place."""
    if (latitude is None) != (longitude is None):
        missing = "latitude" if latitude is None else "longitude"
        raise BadInput(missing, "give both coordinates or none")
