"""What a query is taken apart into."""

import pytest

from functions.recycle_info import variants, words
from tests.support import table


def test_what_is_asked_about_a_thing_is_not_the_thing() -> None:
    assert list(words.read("다 쓴 건전지는 어떻게 버려요?").phrases) == ["건전지"]
    assert list(words.read("how do I recycle an old pizza box").phrases) == ["pizza box"]
    assert list(words.read("치킨뼈는 음식물 쓰레기로 버리나요").phrases) == ["치킨뼈"]


def test_the_text_as_it_was_typed_is_tried_too() -> None:
    assert words.read("음식물처리기").names["음식물처리기"] >= 1


def test_a_head_needs_a_word_of_its_own_or_a_name_before_it() -> None:
    (chair,) = [head for head in words.read("녹슨 의자").heads if head.text == "의자"]
    assert (chair.before, chair.bounded) == ("녹슨", True)
    (can,) = [head for head in words.read("소화캔디").heads if head.text == "캔디"]
    assert (can.before, can.bounded) == ("소화", False)


def test_what_something_came_in_is_no_name_at_the_end() -> None:
    assert not [
        head for text in ("낙엽 봉투", "유튜브") for head in words.read(text).heads if head.text in ("봉투", "튜브")
    ]


@pytest.mark.parametrize(("text", "name"), [("거울깨진거", "거울"), ("핫팩 터진 것", "핫팩")])
def test_a_state_said_after_the_name_is_not_the_thing(text: str, name: str) -> None:
    assert list(words.read(text).phrases) == [name]


@pytest.mark.parametrize("text", ["다시마 건진거", "다시마 한봉지 건진거", "다시마 20키로"])
def test_what_has_become_of_it_and_how_much_there_is_may_be_left_out(text: str) -> None:
    assert "다시마" in words.read(text).names


def test_only_a_verb_before_it_says_how_a_thing_is() -> None:
    assert "다시마" not in words.read("다시마 별거").names


def test_a_long_name_at_the_end_of_a_word_is_what_it_means() -> None:
    bounded = {head.text: head.bounded for head in words.read("마루나무바구니").heads}
    assert bounded["바구니"]
    assert not {head.text: head.bounded for head in words.read("고구마창문").heads}["창문"]


def test_a_word_that_is_another_thing_is_no_misspelt_name() -> None:
    assert not words.read("겨울").phrases
    assert "겨울" in words.read("겨울").names


def test_what_only_says_whose_a_thing_is_is_no_part_of_a_name() -> None:
    assert not words.read("고양이").phrases
    assert words.read("고양이 방석").phrases
    assert words.read("플라스틱").phrases, "a material finds what is of it"


def test_what_it_came_in_may_stand_first() -> None:
    assert "사료캔" in words.read("캔사료").names


@pytest.mark.parametrize("query", ["", "?!", "🍕"])
def test_without_a_letter_nothing_is_asked_for(query: str) -> None:
    assert words.read(query) == words.Asked()


def test_a_spelling_is_read_as_the_dictionary_has_it() -> None:
    assert list(words.read("에어후라이어").phrases) == ["에어프라이어"]
    assert "에어후라이어" in words.read("에어후라이어").names


def test_a_name_may_begin_with_a_word_and_end_in_the_next_one() -> None:
    assert "수은온도계" in words.read("수은 온도계가 깨졌어").parts


@pytest.mark.parametrize(
    "text", ["깨진 거울이 나왔는데 이걸 전부 ", "where can i throw broken glasses ", "이삿짐", "가나다 "]
)
def test_the_work_for_a_text_of_any_length_is_bounded(text: str) -> None:
    asked = words.read((text * 200)[:500])
    assert not asked.phrases
    assert len(asked.words) <= words.MOST_WORDS
    assert len(asked.parts | asked.wholes) + len(asked.heads) < 700


def about(**shares: float) -> dict[str, float]:
    return {text: pytest.approx(share, abs=0.001) for text, share in shares.items()}


@pytest.mark.parametrize(
    ("query", "shares"),
    [
        ("파란 의자", {"파란": 0.4, "의자": 0.6}),
        ("나무 의자", {"나무": 0.25, "의자": 0.75}),  # what a thing is made of says half as much
        ("의자", {}),
        ("b c d e f g h i j", dict.fromkeys("cdefghi", 1 / 8.5) | {"j": 1.5 / 8.5}),
    ],
)
def test_the_last_words_count_by_their_length_and_the_very_last_one_half_as_much_again(
    query: str, shares: dict[str, float]
) -> None:
    assert words.read(query).words == about(**shares)


def test_each_run_of_a_text_has_its_share_more_at_the_end_and_less_where_it_only_says_how_a_thing_is() -> None:
    parts = words.read("믹서기 유리").parts
    assert {run: parts[run] for run in ("믹서기", "믹서", "서기", "유리", "믹서기유")} == about(
        믹서기=0.6, 믹서=0.4, 서기=0.4, 유리=0.2, 믹서기유=0.8
    )
    assert not {"믹", "기유리"} & parts.keys()
    assert words.read("파란 의자").parts["의자"] == pytest.approx(1.15 / 2)


def test_names_phrases_and_runs_have_a_longest_length() -> None:
    letters = "".join(chr(ord("갂") + 29 * number) for number in range(84))  # no two are alike, and no word
    for length, phrases in ((words.LONGEST_NAME, 1), (words.LONGEST_NAME + 1, 0)):
        assert len(words.read(letters[:length]).phrases) == phrases
    parts = words.read(letters).parts
    # And the text as typed, and as far as it is looked at.
    assert {len(run) for run in parts} == {*range(2, words.LONGEST_PART + 1), words.LONGEST, len(letters)}
    assert letters[: words.LONGEST_PART] in parts
    assert letters[-2:] not in parts, "what is behind the longest text is not looked at"
    parts = words.read("b c d e f g h").parts
    assert "bcdef" in parts
    assert "bcdefg" not in parts


def test_a_text_of_many_words_has_no_name_of_three_or_of_all_of_them() -> None:
    for number, found in ((words.LONG_TEXT - 1, True), (words.LONG_TEXT, False)):
        asked = words.read(" ".join("bcdefghjklmnop"[:number]))
        assert bool(asked.words) == ("bcd" in asked.parts) == found
        assert "bc" in asked.parts


def test_the_whole_text_as_typed_is_more_than_all_and_a_topic_less() -> None:
    assert words.read("칫솔은 플라스틱").names == about(
        칫솔플라스틱=1.0, 칫솔은플라스틱=1.2, 플라스틱칫솔=words.ALIKE, 칫솔=0.92
    )


def test_what_is_thrown_away_is_what_is_mentioned_with_its_particle_and_without() -> None:
    names = words.read("장롱이 낡아서 버리려고요").names
    assert {text: names[text] for text in ("장롱", "장롱이", "낡아서")} == about(장롱=0.5, 장롱이=0.55, 낡아서=0.5725)
    assert "장롱" not in words.read("장롱이 낡아서").names
    assert words.read("약이 남았는데 버려요").names["약"] == pytest.approx(0.45)
    assert "나무" not in words.read("나무 의자 버려요").names, "how a thing is is no thing"
    assert "box" not in words.read("throw away the box이").names, "a Korean word's particle"


def test_korean_on_english_keys_is_read_as_korean_and_one_syllable_only_as_a_name() -> None:
    asked = words.read("dkqnd")
    assert (asked.phrases, asked.names) == (about(dkqnd=1.0, 아붕=0.95), about(dkqnd=1.0, 아붕=0.95))
    asked = words.read("dk")
    assert (asked.phrases, asked.names) == (about(dk=1.0), about(dk=1.0, 아=0.95))
    assert list(words.read("통 dkqnd").phrases) == ["통 dkqnd"], "who has written Korean has the right keyboard"


def head(query: str, text: str) -> tuple[str, bool] | None:
    """What is before that end of the query, and whether a word begins there; None where it is no name."""
    found = [(one.before, one.bounded) for one in words.read(query).heads if one.text == text]
    return found[0] if found else None


@pytest.mark.parametrize(
    ("query", "text", "found"),
    [
        ("종이 유리 상자", "상자", ("종이유리", True)),
        ("종이 유리 상자", "유리상자", ("종이", True)),
        ("나무의자", "의자", ("나무", True)),  # what is before says how it is
        ("고양이가방", "가방", ("고양이", True)),  # whatever is before: a bag is a bag
        ("스타벅스 컵", "컵", ("스타벅스", True)),
        ("스타벅스컵", "컵", None),
        ("스타벅스컵", "스컵", ("스타벅", False)),
        ("믹서기 유리", "유리", None),
        ("소파 가죽", "가죽", ("소파", True)),
        ("유리컵 뚜껑", "뚜껑", ("유리컵", True)),
        ("낙엽 봉투", "봉투", None),
        ("pizza boxes", "box", ("pizza", True)),
        ("pizzaboxes", "boxes", None),
    ],
)
def test_the_end_of_a_text_is_a_name_where_a_person_would_read_one(
    query: str, text: str, found: tuple[str, bool] | None
) -> None:
    assert head(query, text) == found


@pytest.mark.parametrize(
    ("phrase", "singulars"),
    [
        ("boxes", {"boxes", "box", "boxe"}),
        ("batteries", {"batteries", "battery", "batteri", "batterie"}),
        ("cans", {"cans", "can"}),
        ("gas", {"gas"}),
        ("피자s", {"피자s"}),
    ],
)
def test_one_of_several_english_things_is_looked_for_too(phrase: str, singulars: set[str]) -> None:
    assert {text for text, share in words.read(phrase).names.items() if share >= 1} == singulars


@pytest.mark.parametrize(
    ("query", "named", "not_named"),
    [
        ("500ml 우유팩", {"우유팩", "우유병"}, set()),  # how much it holds
        ("종이 유리 상자", {"종이상자"}, {"유리상자"}),  # a material in the middle
        ("냄비 유리뚜껑", {"냄비뚜껑"}, {"뚜껑"}),
        ("유리뚜껑", set(), {"뚜껑"}),
        ("냄비 유리", set(), {"냄비"}),
        ("스타벅스 컵", {"커피컵"}, {"커피"}),
        ("오징어다리", {"오징어"}, set()),
        ("닭다리", set(), {"닭"}),
        ("오징어", set(), {"오징어"}),
    ],
)
def test_a_text_is_looked_for_without_what_says_little_of_the_thing(
    query: str, named: set[str], not_named: set[str]
) -> None:
    names = {text for text, share in words.read(query).names.items() if share == words.KIND}
    assert names >= named
    assert not names & not_named
    assert words.read("500ml").phrases == {"500ml": 1.0}


def test_another_word_for_the_end_of_a_text_is_the_same_thing_and_no_text_by_itself() -> None:
    assert words.read("수박껍질").names["수박껍데기"] == words.ALIKE
    assert words.read("수박껍질").names["수박껍질"] == 1.0
    assert words.read("봉지").names == about(봉지=1.0)


def test_a_part_at_the_end_leads_to_the_whole_where_that_is_more_than_a_letter() -> None:
    assert words.read("믹서기 유리").wholes == about(믹서기=0.6)
    assert words.read("컵 유리").wholes == {}


def test_a_text_of_nothing_but_a_question_is_looked_for_as_it_is() -> None:
    assert list(words.read("어떻게").phrases) == ["어떻게"]


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("고추가루", "고춧가루"),  # the ㅅ between two parts of a compound
        ("유아용 변기", "유아변기"),  # for whom it is
        ("뒤집개 실리콘", "실리콘뒤집개"),  # how it is, named after it
        ("계란판종이", "종이계란판"),  # and in the same word
        ("전단지 코팅된거", "코팅된전단지"),  # the same
        ("일회용 컵 플라스틱", "플라스틱컵"),  # what it is of, named after it
        ("선기풍", "선풍기"),  # two syllables in the other order
        ("팩", "우유팩"),  # one of several things that are called so
        ("배 포장망", "과일포장망"),  # what it is a kind of, in one syllable
        ("식용유 쓰던거", "식용유"),  # that it was used
    ],
)
def test_a_name_is_read_as_our_names_say_it(query: str, name: str) -> None:
    assert name in words.read(query).names


@pytest.mark.parametrize(("query", "name"), [("배터리 상자", "과일터리상자"), ("밤에 버려도 돼요", "밤 껍질")])
def test_a_name_is_not_read_as_another_thing(query: str, name: str) -> None:
    assert name not in words.read(query).names


def test_each_rule_makes_of_the_table_s_words_what_stands_beside_them() -> None:
    """A slip in what is taken for another name finds a thing that nobody named, or no longer the one that they did."""
    for rule, text, wanted in table(__file__, "variants.tsv"):
        given = text if rule in ("alike", "singulars") else text.split()
        assert (" ".join(getattr(variants, rule)(given)) or "-") == wanted, (rule, text)
