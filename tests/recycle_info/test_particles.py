"""Korean particles after a name."""

import pytest

from functions.recycle_info import particles


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("칫솔", "칫솔은 칫솔이 칫솔을 칫솔로"),
        ("지우개", "지우개는 지우개가 지우개를 지우개로"),
        ("장갑", "장갑은 장갑이 장갑을 장갑으로"),
        ("CD", "CD는 CD가 CD를 CD로"),
        ("PVC 파이프", "PVC 파이프는 PVC 파이프가 PVC 파이프를 PVC 파이프로"),
    ],
)
def test_a_particle_fits_the_sound_before_it(name: str, said: str) -> None:
    assert particles.fill("{name:은} {name:이} {name:을} {name:으로}", name, "Thing") == said


def test_a_name_can_be_without_a_particle_and_english_takes_the_english_name() -> None:
    assert particles.fill("‘{name}’이라고 적습니다.", "칼", "Knife") == "‘칼’이라고 적습니다."
    assert particles.fill("Wrap the {name}.", "칼", "Knife") == "Wrap the knife."
