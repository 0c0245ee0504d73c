"""How questions are read: cases of each rule, in wording that the evaluation's sets do not hold."""

import pytest

from functions.ai.facts import asked
from functions.ai.interfaces import Question
from functions.ai.retrieval import Neighbours
from functions.ai.rules import understand
from functions.ai.understood import Understood
from shared.calls import Calls
from shared.messages import Turn


def understood(known: Calls, text: str, *said: str) -> Understood:
    history = tuple(turn for before in said for turn in (Turn("user", before), Turn("assistant", "…")))
    return understand(Question(text, history), Neighbours(known))


def names(known: Calls, text: str, *said: str) -> list[str]:
    return [item.name for item in understood(known, text, *said).items]


def test_what_was_done_with_a_thing_stands_between_the_words_of_its_name(known: Calls) -> None:
    assert asked("요구르트 다 마신 병은?") == "요구르트 병은?"
    assert names(known, "메론 먹고 나온 껍질 어디에 버려요?") == names(known, "메론 껍질 어디에 버려요?")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("종이상자에 김치가 묻었는데 버려도 되나요?", "종이상자"),
        ("깨진 유리를 신문지로 싸서 버려도 되나요?", "깨진 유리"),
        ("칫솔은 플라스틱이니까 플라스틱으로 버려요?", "칫솔"),
        ("막걸리 유리병 어떻게 버려요", "유리 음료수병"),
        ("건전지를 생수병에 모아놨는데 버려도 돼요?", "건전지"),
        ("볼펜 한 박스 버리려고 하는데요", "볼펜"),
        ("텔레비전이 고장났어요", "텔레비전"),
        ("my suitcase is broken", "여행용 캐리어"),
        ("창고에 오래된 페인트가 있는데", "페인트"),
        ("아이스팩이 너무 많이 쌓였어요", "아이스팩"),
        ("집 고치고 남은 장판 조각", "장판"),
        ("휴지통 깨졌는데 어디에 버려", "휴지통"),
        ("어묵 유리병 수거함에 넣어도 돼요?", "어묵"),
        ("옷걸이에 걸린 채로 코트 넣어도 되나요?", "코트"),
        ("플라스틱 옷겉이", "플라스틱 옷걸이"),
        ("열두 자 장롱 버리려면", "장롱"),
        ("배추 겉잎 한 바구니 음식물?", "배추"),
        ("김치냉장고 김치통은 플라스틱이죠?", "김치통"),
        ("선풍기 대형폐기물 스티커 붙여야 돼?", "선풍기"),
        ("강아지가 오줌 싼 패드 어디에 버려요", "배변패드"),
        ("떡볶이 배달통 빨갛게 물들었는데 재활용 돼?", "배달 용기"),
        ("제라늄 줄기랑 잎은 어디에 버리나요", "화초"),
    ],
)
def test_one_thing_is_meant_though_others_are_named(known: Calls, text: str, wanted: str) -> None:
    assert names(known, text) == [wanted]


@pytest.mark.parametrize("text", ["생수병 플라스틱으로 재활용돼요?", "can milk cartons be recycled as paper?"])
def test_whether_a_thing_is_recycled_as_something_asks_for_its_bin(known: Calls, text: str) -> None:
    assert understood(known, text).aspects == ("bin",)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("텔레비젼 내놓으려고요", "텔레비전"),
        ("how to get rid of battries", "건전지"),
        ("음식물 쓰레기 비닐봉지째 넣어도 되나요?", "음식물 쓰레기"),
        ("씨 없는 수박 껍질 버리기", "수박 껍질"),
        ("선크림 튜브 버리는 법", "플라스틱 화장품 용기"),
        ("의자 주민센터에 신고해야 하나요", "의자"),
        ("시계에서 뺀 건전지 버리는 곳", "건전지"),
        ("아이스크림 봉다리 버려", "아이스크림 봉지"),
        ("족발 시켜 먹은 플라스틱 그릇", "배달 용기"),
        ("샐러드 용기 세제로 닦아야 해?", "샐러드 용기"),
        ("종이상자에 붙은 우표 버리려고", "우표"),
        ("쌈장 담겨 있던 둥근 통 어디로", "고추장통"),
        ("족발 시키면 딸려 오는 소스통은 어디에", "소스통"),
        ("린스 리필 파우치 어디에 내놓는 게 맞아요", "리필 파우치"),
        ("밥솟 부서졌어요 어디다 둬요", "전기밥솥"),
        ("남은 락스 하수구에 부어도 돼요", "남은 락스"),
    ],
)
def test_a_thing_is_found_as_people_write_it(known: Calls, text: str, wanted: str) -> None:
    assert names(known, text) == [wanted]


@pytest.mark.parametrize("text", ["나쁜 버릇 버리는 법", "여자친구를 못 버리겠어", "how to throw my career away"])
def test_what_is_thrown_away_in_words_alone_is_not_ours(known: Calls, text: str) -> None:
    assert not understood(known, text).on_topic


def test_a_bin_is_not_the_thing_that_goes_into_it(known: Calls) -> None:
    assert names(known, "아니면 일반쓰레기?", "텀블러는 어디에 버려요") == ["텀블러"]


def test_things_of_a_list_are_not_one_name(known: Calls) -> None:
    assert names(known, "식탁, 의자 버려 주세요") == ["식탁", "의자"]


@pytest.mark.parametrize("text", ["더러우면요?", "비에 젖었으면?", "얼마예요?", "어디에 버려요?"])
def test_a_remark_is_about_what_was_spoken_of(known: Calls, text: str) -> None:
    assert names(known, text, "매트리스 버리는 법 알려 주세요") == ["매트리스"]


def test_another_thing_in_a_conversation_is_another_question(known: Calls) -> None:
    assert names(known, "냉동고도 같아요?", "세탁기는 어떻게 버려요?") == ["냉동고"]


@pytest.mark.parametrize(
    "text",
    [
        "책 제목을 잊어버렸어",
        "플라스틱 러브 부른 가수가 누구더라",
        "우산 쓴 남자 그림 누가 그렸지",
        "수박 겉핥기라는 속담 뜻",
        "배터리 30퍼 남았는데 집까지 갈까",
        "how old is Tin Tin",
        "전기밥솥으로 케이크 굽는 법",
        "세탁기가 안 켜져요",
        "근처에 노트북 파는 곳 있어?",
        "책상 밑에 강아지가 있어요",
        "자전거 타려면 어떻게 해",
        "여기서 가까운 은행 어디야?",
        "How do I clean an umbrella?",
        "can I microwave a ceramic mug",
    ],
)
def test_a_thing_of_ours_alone_makes_no_question_of_ours(known: Calls, text: str) -> None:
    assert not understood(known, text).on_topic


def test_can_is_a_thing_only_where_it_is_one(known: Calls) -> None:
    assert names(known, "jeans, can they be recycled?") == ["바지"]
    assert names(known, "how do I recycle a can?") == ["음료수 캔"]


@pytest.mark.parametrize(
    ("said", "text", "wanted"),
    [
        ("솜이불 두꺼운 거", "의류수거함 안 들어간다는 거지?", "솜이불"),
        ("냉장고 새로 샀어", "기사님이 가져가나 내가 불러?", "냉장고"),
        ("보조배터리도 나왔네", "이건 건전지통에 같이?", "보조배터리"),
    ],
)
def test_a_question_that_names_a_bin_or_nothing_is_about_what_was_spoken_of(
    known: Calls, said: str, text: str, wanted: str
) -> None:
    assert names(known, text, said) == [wanted]


def test_a_part_of_which_the_thing_says_nothing_goes_with_it(known: Calls) -> None:
    found = understood(known, "칫솔 손잡이는 플라스틱이야?")
    assert [item.name for item in found.items] == ["칫솔"]
    assert (found.aspects, found.bin, found.part) == (("bin",), "plastic", None)


def test_the_part_of_a_peel_is_the_fruits(known: Calls) -> None:
    assert names(known, "씨도 같이 버려도 되지?", "복숭아 껍질 음식물?") == ["복숭아 씨"]


def test_whether_a_part_comes_off_is_the_things_own_answer(known: Calls) -> None:
    found = understood(known, "전기장판 코드 자르고 버려야 하나")
    assert ([item.name for item in found.items], found.aspects) == (["전기장판"], ("separate",))
