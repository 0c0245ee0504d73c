"""A point from two cells of text: read where it is clear, repaired where the repair can be checked, left out where not.

A wrong point sends a person to the wrong place, so nothing is guessed: a restored digit must put the point into the
province that the address names, and a point elsewhere is dropped (its center is still found by name and address).
"""

import re
import unicodedata
from decimal import Decimal

from msgspec import Struct

from functions.location.regions import Province, in_korea

_NUMBER = re.compile(r"\d{1,7}(?:\.\d+)?")
_DEGREES = re.compile(
    r"(\d{1,3})\s*[°도]\s*(\d{1,2})\s*['′’분]\s*(\d{1,2}(?:\.\d+)?)?\s*(?:[\"″”초]|'')?\s*[ne]?", re.I
)
_EIGHT = Decimal("0.00000001")


class Repair(Struct, frozen=True):
    """What was done to which of the two cells (`latitude`, `longitude`), in words."""

    field: str
    reason: str


class Point(Struct, frozen=True):
    """Degrees with at most eight decimals, both or none; and what was repaired on the way."""

    latitude: Decimal | None
    longitude: Decimal | None
    repairs: tuple[Repair, ...] = ()


def repair(latitude: str, longitude: str, province: Province | None = None) -> Point:
    """Read a latitude and a longitude. `province` is the one that the address names, if it names one."""
    if not latitude.strip() and not longitude.strip():
        return Point(None, None, (Repair("latitude", "no coordinates: found by name and address only"),))
    repairs: list[Repair] = []
    values: list[Decimal] = []
    for field, text in (("latitude", latitude), ("longitude", longitude)):
        value, reason = _read(text)
        if value is None:
            return _dropped(field, reason)
        if reason:
            repairs.append(Repair(field, reason))
        values.append(value)
    lat, lon = values
    if not _fits(lat, lon, province) and _fits(lon, lat, province):
        lat, lon = lon, lat
        repairs.append(Repair("latitude", "latitude and longitude were swapped"))
    if not _fits(lat, lon, province):
        restored = _restore(lat, lon, province) if province else None
        if restored is None or province is None:
            where = "Korea" if province is None or not in_korea(float(lat), float(lon)) else province.name
            return _dropped("latitude", f"{_show(lat)}, {_show(lon)} lies outside {where}")
        for field, old, new in (("latitude", lat, restored[0]), ("longitude", lon, restored[1])):
            if old != new:
                reason = f"a digit of {_show(old)} was lost: {_show(new)} lies in {province.name} as the address says"
                repairs.append(Repair(field, reason))
        lat, lon = restored
    return Point(lat.quantize(_EIGHT), lon.quantize(_EIGHT), tuple(repairs))


def _dropped(field: str, reason: str) -> Point:
    return Point(None, None, (Repair(field, f"{reason}: left out, found by name and address only"),))


def _read(text: str) -> tuple[Decimal | None, str]:
    """The number in a cell and what was done to read it; or None and why not."""
    plain = unicodedata.normalize("NFKC", text).strip()
    shown = text.strip()[:40]
    if not plain:
        return None, "one of the two coordinates is missing"
    if re.fullmatch(r"\d{1,7}(?:\.\d+)?", plain):
        return Decimal(plain), ""
    if degrees := _DEGREES.fullmatch(plain):
        whole, minutes, seconds = int(degrees[1]), int(degrees[2]), Decimal(degrees[3] or 0)
        if minutes < 60 and seconds < 60:
            value = whole + Decimal(minutes) / 60 + seconds / 3600
            return value.quantize(_EIGHT), f"«{shown}» read as degrees, minutes and seconds"
        return None, f"«{shown}» is no coordinate"
    if re.fullmatch(r"\d{2,3},\d{3,}", plain):
        return Decimal(plain.replace(",", ".")), f"the comma in «{shown}» read as a decimal point"
    # A spreadsheet's 1.27E+02 has lost the digits that matter; a minus sign or a second number is no stray character.
    numbers = _NUMBER.findall(plain)
    stray = _NUMBER.sub("", plain)
    if len(numbers) == 1 and not re.search(r"[.\d-]", stray) and not re.search(r"\d[eE][+-]?\d", plain):
        return Decimal(numbers[0]), f"stray characters left out of «{shown}»"
    return None, f"«{shown}» is no coordinate"


def _fits(lat: Decimal, lon: Decimal, province: Province | None) -> bool:
    if province is not None:
        return province.holds(float(lat), float(lon))
    return in_korea(float(lat), float(lon))


def _restore(lat: Decimal, lon: Decimal, province: Province) -> tuple[Decimal, Decimal] | None:
    """Put back a lost or mistyped leading digit of one of the two: latitudes here begin with 3, longitudes with 12 or 13."""
    candidates = []
    if not 33 <= lat < 39 and lat < 100:
        candidates = [(Decimal(30) + lat % 10, lon)]
    elif not 124 <= lon < 132 and lon < 1000:
        candidates = [(lat, Decimal(tens) + lon % 10) for tens in (120, 130)]
    fitting = [(a, b) for a, b in candidates if province.holds(float(a), float(b))]
    return fitting[0] if len(fitting) == 1 else None


def _show(value: Decimal) -> str:
    return format(value.normalize(), "f")
