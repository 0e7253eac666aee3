"""What a reader may rely on in the ways of pairing layers, one claim a test."""

import pytest

from kdcore.losses.feature.mapping import block_by_block, last, layer_by_layer, skip, top
from kdcore.types import Refusal

SIZES = [(1, 1), (2, 4), (3, 7), (4, 2), (5, 12), (12, 12)]


@pytest.mark.parametrize(("student", "teacher"), SIZES)
class TestMappings:
    def test_stay_inside_both_networks_and_never_cross(self, student, teacher):
        smaller = min(student, teacher)
        for pairs in (
            layer_by_layer(student, teacher),
            skip(student, teacher),
            last(student, teacher, smaller),
            top(student, teacher),
        ):
            mine, theirs = zip(*pairs)
            assert 0 <= min(mine) <= max(mine) < student and 0 <= min(theirs) <= max(theirs) < teacher
            assert list(mine) == sorted(set(mine)) and list(theirs) == sorted(set(theirs))

    def test_meet_at_the_bottom_or_at_the_top_as_they_say(self, student, teacher):
        assert layer_by_layer(student, teacher)[0] == (0, 0)
        highest = (student - 1, teacher - 1)
        assert skip(student, teacher)[-1] == last(student, teacher, 1)[-1] == top(student, teacher)[0] == highest


class TestSkip:
    def test_with_a_whole_multiple_it_takes_every_so_many_th_layer(self):
        assert skip(3, 12) == ((0, 3), (1, 7), (2, 11)) and skip(12, 3) == ((3, 0), (7, 1), (11, 2))

    def test_between_equal_networks_all_but_the_partial_mappings_are_one(self):
        assert skip(4, 4) == layer_by_layer(4, 4) == last(4, 4, 4) == block_by_block((1,) * 4, (1,) * 4)

    def test_of_blocks_with_one_layer_in_the_student_it_is_block_by_block(self):
        assert skip(2, 4) == block_by_block((1, 1), (2, 2)) and skip(2, 4) != block_by_block((1, 1), (1, 3))


class TestBlockByBlock:
    def test_pairs_the_ends_of_blocks(self):
        assert block_by_block((3, 3, 3), (9, 9, 9)) == ((2, 8), (5, 17), (8, 26))  # ResNet20 and ResNet56


class TestRefusals:
    @pytest.mark.parametrize(
        ("ask", "says"),
        [
            (lambda: skip(0, 4), "numbers of layers must be at least 1, got 0, 4"),
            (lambda: last(3, 2, 3), "count must be at most 2, the layers of the smaller network, got 3"),
            (
                lambda: block_by_block((1, 1), (2,)),
                "blocks are paired one for one, the student has 2 and the teacher 1",
            ),
            (lambda: block_by_block((), ()), "numbers of layers must be at least 1"),
        ],
    )
    def test_are_told_in_a_sentence(self, ask, says):
        with pytest.raises(Refusal, match=says):
            ask()
