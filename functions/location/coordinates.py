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
    r"[ne]?\s*(\d{1,3})\s*[°º도]\s*(\d{1,2}(?:\.\d+)?)\s*['′’분]\s*(\d{1,2}(?:\.\d+)?)?\s*(?:[\"″”초]|'')?\s*[ne]?",
    re.I,
)
# 37-30-12.5, 37:30:12.5: no number could be meant.
_PARTS = re.compile(r"(\d{2,3})\s*[-:]\s*(\d{1,2})\s*[-:]\s*(\d{1,2}(?:\.\d+)?)")
_BOTH = re.compile(r"\(?\s*(\d{1,3}\.\d+)\s*[,;/\s]\s*(\d{1,3}\.\d+)\s*\)?")
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
    whole, other = (latitude, longitude) if latitude.strip() else (longitude, latitude)
    if (both := _BOTH.fullmatch(unicodedata.normalize("NFKC", whole).strip())) and other.strip() in ("", whole.strip()):
        latitude, longitude = both.groups()
        repairs.append(Repair("latitude", f"both coordinates stood in one cell: «{whole.strip()[:40]}»"))
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
        if restored is None or lat == lon or province is None:
            where = "Korea" if province is None or not in_korea(float(lat), float(lon)) else province.name
            return _dropped("latitude", f"{_show(lat)}, {_show(lon)} lies outside {where}")
        for field, old, new in (("latitude", lat, restored[0]), ("longitude", lon, restored[1])):
            if old != new:
                lost = "the decimal point" if _digits(old) == _digits(new) else "a digit"
                reason = f"{lost} of {_show(old)} was lost: {_show(new)} lies in {province.name} as the address says"
                repairs.append(Repair(field, reason))
        lat, lon = restored
    if lat % 1 == lon % 1 and len(str(lat % 1)) > 4:
        return _dropped(
            "latitude", f"{_show(lat)} and {_show(lon)} have the same decimals: one is copied from the other"
        )
    return Point(lat.quantize(_EIGHT), lon.quantize(_EIGHT), tuple(repairs))


def _dropped(field: str, reason: str) -> Point:
    return Point(None, None, (Repair(field, f"{reason}: left out, found by name and address only"),))


def _read(text: str) -> tuple[Decimal | None, str]:
    """The number in a cell and what was done to read it; or None and why not."""
    plain = unicodedata.normalize("NFKC", text).strip()
    shown = text.strip()[:40]
    if not plain:
        return None, "one of the two coordinates is missing"
    if re.fullmatch(r"\d{1,12}(?:\.\d+)?", plain):
        return Decimal(plain), ""
    if degrees := _DEGREES.fullmatch(plain) or _PARTS.fullmatch(plain):
        whole, minutes, seconds = int(degrees[1]), Decimal(degrees[2]), Decimal(degrees[3] or 0)
        if minutes < 60 and seconds < 60 and not (minutes % 1 and degrees[3]):
            value = whole + minutes / 60 + seconds / 3600
            return value.quantize(_EIGHT), f"«{shown}» read as degrees, minutes and seconds"
        return None, f"«{shown}» is no coordinate"
    if re.fullmatch(r"\d{2,3},\d{3,}", plain):
        return Decimal(plain.replace(",", ".")), f"the comma in «{shown}» read as a decimal point"
    if spaced := re.fullmatch(r"(\d{1,3})\s*\.[\s.]*(\d+)\.?", plain):
        return Decimal(f"{spaced[1]}.{spaced[2]}"), f"stray characters left out of «{shown}»"
    # A spreadsheet's 1.27E+02 has lost the digits that matter; a minus sign or a second number is not a stray character.
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
    """Put back a lost or mistyped leading digit of one of the two, or the lost decimal points.

    Latitudes here begin with 3 and have two digits before the point, longitudes with 12 or 13 and have three.
    """
    candidates = {(_pointed(lat, 2), _pointed(lon, 3))}
    if not 33 <= lat < 39 and lat < 100:
        candidates.add((Decimal(30) + lat % 10, lon))
    # From 100 to 147 degrees lie China and Japan: a point there is one, not a slip.
    elif not 100 <= lon < 147 and lon < 1000:
        candidates.update((lat, Decimal(tens) + lon % 10) for tens in (120, 130))
    fitting = [(a, b) for a, b in candidates if province.holds(float(a), float(b))]
    return fitting[0] if len(fitting) == 1 else None


def _pointed(value: Decimal, whole: int) -> Decimal:
    """The same digits with the point behind the first `whole` of them."""
    digits = _digits(value)
    return Decimal(f"{digits[:whole]}.{digits[whole:]}") if len(digits) > whole else value


def _digits(value: Decimal) -> str:
    return re.sub(r"\D", "", _show(value)).strip("0")


def _show(value: Decimal) -> str:
    return format(value.normalize(), "f")
