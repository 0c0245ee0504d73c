"""One telephone number that can be dialled, from cells with several numbers, departments, and lost area codes."""

import re
import unicodedata
from collections.abc import Sequence

from msgspec import Struct

from functions.location.regions import Province

_AREA = r"0(?:2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|1[016789]|70|80|50\d?|60)"
_GAP = r"[\s).·\-‐‑‒–—―−_/~]{0,3}"
_FULL = re.compile(rf"(?<!\d)\(?(?P<area>{_AREA}){_GAP}(?P<head>\d{{3,4}}){_GAP}(?P<tail>\d{{4}})(?!\d)")
_ABROAD = re.compile(
    rf"(?<![\d])\+?82{_GAP}\(?0?\)?(?P<area>2|[3-6][1-5]|1[016789]|70){_GAP}(?P<head>\d{{3,4}}){_GAP}(?P<tail>\d{{4}})(?!\d)"
)
_SERVICE = re.compile(rf"(?<!\d)(?P<head>1[568]\d{{2}}){_GAP}(?P<tail>\d{{4}})(?!\d)")
# 31-8075-2706: a spreadsheet took the leading zero.
_CUT = re.compile(r"(?<!\d)(?P<area>2|3[1-3]|4[1-4]|5[1-5]|6[1-4]|10|70)-(?P<head>\d{3,4})-(?P<tail>\d{4})(?!\d)")
# 3180752706: and its hyphens too. Eight digits that begin with 2 are a number of Seoul itself.
_CUT_WHOLE = re.compile(
    r"(?P<area>2(?=\d{4}-?\d{4})|3[1-3]|4[1-4]|5[1-5]|6[1-4]|10|70)(?P<head>\d{3,4})-?(?P<tail>\d{4})(?=\D*$)"
)
_LOCAL = re.compile(r"(?<![\d-])(?P<head>[2-9]\d{2,3})[- .]?(?P<tail>\d{4})(?![\d-])")
# 02-120: a town's call centre.
_TOWN = re.compile(rf"(?<!\d)\(?(?P<area>0(?:2|[3-6][1-5])){_GAP}(?P<head>1[0-3]\d)(?!\d)")
_SHORT = re.compile(r"\D*(?<!\d)(?P<head>1[0-3]\d)\D*")
_FAX = re.compile(r"(?:fax|팩스|팩시밀리|(?<![a-z])f)\s*[.:)]?\s*\(?0[\d)\s.~-]*", re.I)
_NONE = re.compile(r"[\s`'\".?\-~/]*|없음|해당\s*없음|미정|n/?a|null|none", re.I)


class Phone(Struct, frozen=True):
    """`number` has at most 20 characters; `note` is the source's own text where it says more than the number."""

    number: str | None = None
    note: str | None = None
    # The source's field and what was done, in words.
    repairs: tuple[tuple[str, str], ...] = ()


def choose(cells: Sequence[tuple[str, str]], province: Province | None = None) -> Phone:
    """The number of a center from its cells (field, text), the main one first.

    A complete number of a later cell is better than one without area code of an earlier cell.
    """
    filled = [(field, text.strip()) for field, text in cells if not _NONE.fullmatch(text.strip())]
    if not filled:
        return Phone()
    main_field, main_text = filled[0]
    note = None
    repairs: list[tuple[str, str]] = []
    for field, text in filled:  # noqa: B007 - the field that was read is named below
        if (read := _complete(text)) is not None:
            number, repair = read
            break
    else:
        field, text = main_field, main_text
        local = _LOCAL.search(_plain(text))
        if local is None or province is None:
            reason = "no telephone number in it: kept as a note" if local is None else "no area code: kept as a note"
            return Phone(None, main_text, ((main_field, reason),))
        number = f"{province.area_code}-{local['head']}-{local['tail']}"
        if re.fullmatch(r"[\d\s.-]+", _plain(text)):
            return Phone(number, None, ((field, f"the area code of {province.name} put before «{local.group()}»"),))
        repair = f"the area code of {province.name} put before «{local.group()}»"
    if repair:
        repairs.append((field, repair))
    if _digits(main_text) != _digits(number) or re.search(r"\w", re.sub(r"[\d\s()+.\-~]", "", main_text)):
        note = main_text
        reason = "more than one number: the others kept as a note"
        if field != main_field:
            reason = f"no complete number in it: {number} taken from {field}, its text kept as a note"
        elif len(_numbers(main_text)) < 2 and not re.search(r"\d\s*[~,/]\s*\d", main_text):
            reason = "words beside the number kept as a note"
        repairs.append((main_field, reason))
    return Phone(number, note, tuple(repairs))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", text)


def _digits(text: str) -> str:
    """The digits that matter: a leading 0 may be lost, or be +82."""
    return re.sub(r"^(?:82)?0*", "", "".join(re.findall(r"\d", _plain(text))))


def _numbers(text: str) -> list[str]:
    plain = _plain(text)
    return [match.group() for pattern in (_FULL, _SERVICE) for match in pattern.finditer(plain)]


def _complete(text: str) -> tuple[str, str] | None:
    """The first number that can be dialled from anywhere in Korea, and how it was repaired; a fax machine's is none."""
    plain = _FAX.sub(" ", _plain(text))
    found = [match for pattern in (_FULL, _ABROAD, _SERVICE) if (match := pattern.search(plain))]
    if found:
        match = min(found, key=lambda each: (each.start(), -each.end()))
        if match.re is _SERVICE:
            return f"{match['head']}-{match['tail']}", ""
        area = match["area"] if match["area"].startswith("0") else f"0{match['area']}"
        return f"{area}-{match['head']}-{match['tail']}", ""
    if cut := _CUT.search(plain) or _CUT_WHOLE.match(plain.strip()):
        return f"0{cut['area']}-{cut['head']}-{cut['tail']}", f"the lost 0 put before «{cut.group()}»"
    if town := _TOWN.search(plain):
        return f"{town['area']}-{town['head']}", ""
    if short := _SHORT.fullmatch(plain.strip()):
        return short["head"], ""
    return None
