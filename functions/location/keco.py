"""One row of the public list «재활용품 유가보상 위치정보» of the Korea Environment Corporation, read as a center."""

from collections.abc import Mapping, Set

from msgspec import Struct

from functions.location import addresses, coordinates, hours_text, items, phones
from functions.location.csv_rows import BROKEN
from functions.location.db import CenterRow
from shared.ids import new_id

NAME, ROAD, LOT = "positnNm", "positnRdnmAddr", "positnLotnoAddr"
SERIAL, REGION, SPOT = "positnSn", "positnRgnNm", "positnPstnAddExpln"
LATITUDE, LONGITUDE = "positnPstnLat", "positnPstnLot"
PHONES = ("bscTelnoCn", "rprsTelnoCn", "indivTelnoCn")
ITEMS = "clctItemCn"
HOURS = {
    "mon": "monSalsHrExplnCn",
    "tue": "tuesSalsHrExplnCn",
    "wed": "wedSalsHrExplnCn",
    "thu": "thurSalsHrExplnCn",
    "fri": "friSalsHrExplnCn",
    "sat": "satSalsHrExplnCn",
    "sun": "sunSalsHrExplnCn",
    "holiday": "lhldySalsHrExplnCn",
}
# What the holidays' column leaves open, this one may say.
HOLIDAYS_OFF = "lhldyDyoffCn"
COLUMNS = (SERIAL, NAME, REGION, LOT, ROAD, SPOT, LATITUDE, LONGITUDE, *HOURS.values(), HOLIDAYS_OFF, *PHONES, ITEMS)
NEEDED = ((NAME,), (ROAD, LOT))
# The fields of a center that a file without these columns says nothing about.
SILENT = {
    ("other_address",): (LOT,),
    ("latitude", "longitude"): (LATITUDE, LONGITUDE),
    ("phone", "phone_note"): PHONES,
    ("operating_hours",): tuple(HOURS.values()),
    ("items", "item_names"): (ITEMS,),
    ("source_serial",): (SERIAL,),
    ("source_region",): (REGION,),
}
# Half a point is not a place, and a week without its Monday no week: without one of these the others say nothing either.
_WHOLE = {LATITUDE, LONGITUDE, *HOURS.values()} - {HOURS["holiday"]}
_LONGEST_NAME = 200
_LONGEST_CELL = 2000


class Rejected(Exception):
    """This row is not loaded: the column, and the reason in words."""

    def __init__(self, field: str, reason: str) -> None:
        self.field = field
        self.reason = reason
        super().__init__(f"{field}: {reason}")


class Reading(Struct):
    """The center, and each repair as (column, what was done)."""

    center: CenterRow
    repairs: list[tuple[str, str]]


def silent(listed: Set[str]) -> tuple[list[str], list[str]]:
    """The facts of which a file with these columns says nothing, and the columns that it would need for them."""
    facts: list[str] = []
    missing: list[str] = []
    for about, columns in SILENT.items():
        absent = [column for column in columns if column not in listed]
        if len(absent) == len(columns) or _WHOLE.intersection(absent):
            facts += about
            missing += absent
    return facts, missing


def read(cells: Mapping[str, str]) -> Reading:
    """Read a row by its columns' names; a column that is not there is an empty cell.

    A row without usable coordinates is loaded: its center is found by name and address, and most people look for a place
    whose name they know. One without a name or any address is not, because it could not be found at all.

    Raises:
        Rejected: the row can't be loaded.
    """
    row = {column: cells.get(column, "") for column in COLUMNS}
    for column, text in row.items():
        if BROKEN.search(text):
            raise Rejected(column, "holds bytes that are no text")
        if len(text) > _LONGEST_CELL:
            raise Rejected(column, f"has {len(text)} characters: is a quotation mark missing?")
    name = " ".join(row[NAME].split())
    if not name:
        raise Rejected(NAME, "has no name")
    if name.casefold() == NAME.casefold():
        raise Rejected(NAME, "is the header once more: were two files joined?")
    if len(name) > _LONGEST_NAME:
        raise Rejected(NAME, f"has {len(name)} characters, {_LONGEST_NAME} at most fit")
    repairs: list[tuple[str, str]] = []
    address = _address(row, repairs)
    point = coordinates.repair(row[LATITUDE], row[LONGITUDE], address.province)
    columns = {"latitude": LATITUDE, "longitude": LONGITUDE}
    repairs += [(columns[repair.field], repair.reason) for repair in point.repairs]
    phone = phones.choose([(column, row[column]) for column in PHONES], address.province)
    repairs += phone.repairs
    taken = items.read(row[ITEMS])
    repairs += [(ITEMS, f"«{wrong}» read as {right}") for wrong, right in taken.misspelt]
    repairs += [(ITEMS, f"no waste type for «{word}»: kept as a word") for word in taken.unmapped]
    center = CenterRow(
        id=new_id(),
        name=name,
        address=address.text,
        other_address=address.other,
        latitude=None if point.latitude is None else float(point.latitude),
        longitude=None if point.longitude is None else float(point.longitude),
        phone=phone.number,
        phone_note=phone.note,
        operating_hours=_hours(row, repairs),
        items=taken.types,
        item_names=taken.names,
        source_serial=row[SERIAL].strip() or None,
        source_region=" ".join(row[REGION].split()) or None,
    )
    return Reading(center, repairs)


def _address(row: Mapping[str, str], repairs: list[tuple[str, str]]) -> addresses.Address:
    found = addresses.choose(row[ROAD], row[LOT], [row[REGION]])
    columns = {"road": ROAD, "lot": LOT}
    repairs += [(columns[field], reason) for field, reason in found.repairs]
    if found.text:
        return found
    found = addresses.choose(row[SPOT], "", [row[REGION]])
    if not found.text:
        raise Rejected(ROAD, "has neither a road nor a lot address")
    repairs.append((ROAD, f"no address: {SPOT} taken instead"))
    return found


def _hours(row: Mapping[str, str], repairs: list[tuple[str, str]]) -> dict[str, object] | None:
    texts = {key: row[column] for key, column in HOURS.items()}
    texts["holiday"] = texts["holiday"] if texts["holiday"].strip() else row[HOLIDAYS_OFF]
    noted: dict[str, str] = {}
    for key, text in texts.items():
        reading = hours_text.read(text, key)
        if reading.repair:
            repairs.append((HOURS[key], reading.repair))
        if reading.note and reading.note not in noted:
            noted[reading.note] = HOURS[key]
            how = "kept as a note" if reading.spans is None else "read in part, and kept as a note"
            repairs.append((HOURS[key], f"«{' '.join(reading.note.split())[:60]}» {how}"))
    return hours_text.compose(texts)
