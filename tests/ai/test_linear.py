"""A classifier's file is what its command makes of its texts"""

from types import ModuleType

import pytest

from functions.ai.linear import LinearFile, read
from tests.eval import asides, forms, linear, topic, ways


@pytest.mark.parametrize("training", [asides, forms, topic, ways])
def test_the_file_is_what_its_command_makes_of_the_texts(training: ModuleType) -> None:
    given = training.texts()
    kept = read(training.FILE)
    assert kept.data_sha256 == linear.data_hash(given), f"the texts have changed: {training.COMMAND}"
    assert linear.differs(training.train(given), kept) == ""


def test_a_rounding_step_is_no_difference() -> None:
    one = LinearFile(1, topic.COMMAND, "0", 5, {"a": 7})
    assert linear.differs(one, LinearFile(1, topic.COMMAND, "0", 6, {"a": 6, "b": 1})) == ""
    assert linear.differs(one, LinearFile(1, topic.COMMAND, "0", 5, {"a": 9})) == "a number by 2 hundredths"
    assert linear.differs(one, LinearFile(1, topic.COMMAND, "1", 5, {"a": 7})) == "data_sha256: 0 and 1"
