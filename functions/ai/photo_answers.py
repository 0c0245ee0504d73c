"""What a photo shows, in words."""

from functions.ai.understood import Understood
from functions.ai.vocabulary import MATERIALS
from shared.messages import Photo

_SURE = 0.8
_LIKELY = 0.55
_AFTER_CONSONANT = {"예요": "이에요", "로": "으로", "라면": "이라면"}


class Noun(str):
    """A word that a sentence may give a particle: `{kind:로}` is 종이로 and 종이팩으로."""

    def __format__(self, particle: str) -> str:
        if not particle:
            return str(self)
        last = (ord(self[-1]) - ord("가")) % 28 if self and "가" <= self[-1] <= "힣" else 0
        closed = last > 0 and not (particle == "로" and last == 8)  # 서울로
        return str(self) + (_AFTER_CONSONANT[particle] if closed else particle)


def said(understood: Understood, texts: dict[str, str]) -> list[str]:
    """What the photo shows, how sure that is, and where it can be mended."""
    photo = understood.photo
    assert photo is not None
    if photo.status != "success":
        return [texts[f"photo_{'pending' if photo.status == 'pending' else 'failed'}"]]
    language = understood.language
    if understood.said_type is not None:
        return [texts["photo_if"].format(kind=kind(understood.said_type, language)), texts["photo_mend"]]
    if photo.waste_type in (None, "unknown"):
        return [texts["photo_unknown"], *([photo.ask] if photo.ask and language == "ko" else [])]
    seen = kind(photo.waste_type or "", language)
    if understood.items:
        lines = [texts["photo_item"].format(name=Noun(understood.items[0].called(language)), kind=seen)]
    elif photo.chosen:
        lines = [texts["photo_chosen"].format(kind=seen)]
    else:
        sure = photo.confidence or 0.0
        how = "photo_sure" if sure >= _SURE else "photo_likely" if sure >= _LIKELY else "photo_unsure"
        lines = [texts[how].format(kind=seen)]
    return lines + (_reasons(understood, photo, texts) if understood.why else [])


def _reasons(understood: Understood, photo: Photo, texts: dict[str, str]) -> list[str]:
    language = understood.language
    lines = []
    if photo.confidence is not None and not photo.chosen:
        lines.append(texts["photo_percent"].format(percent=round(photo.confidence * 100)))
    others = [kind(one.waste_type, language) for one in photo.candidates if one.waste_type != photo.waste_type][:3]
    if others:
        lines.append(texts["photo_others"].format(names=", ".join(others)))
    lines += [reason for item in understood.items if (reason := item.reason(language))]
    lines += [photo.ask] if photo.ask and language == "ko" else []
    return [*lines, texts["photo_mend"]]


def kind(waste_type: str, language: str) -> Noun:
    """A kind of waste as a sentence names it."""
    words = MATERIALS.get(waste_type)
    return Noun((words.is_en if language == "en" else words.is_ko) if words else waste_type)
