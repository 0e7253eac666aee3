"""What a reader may rely on in the banks: when they learn, what they hold, which rows are drawn."""

import copy
import math

import pytest
import torch
import torch.nn.functional as F

from kdcore.losses.contrastive._memory import Memory, draw_others
from kdcore.randomness import generator, seeded


@pytest.fixture
def memory() -> Memory:
    return seeded(lambda: Memory(20, 8, momentum=0.25), 0)


@pytest.fixture
def directions(sines):
    def made(step: int):
        return tuple(F.normalize(sines(3, 8, speed=s + step, dtype=torch.float32)) for s in (0.7, 1.3))

    return made


class TestMemory:
    def test_first_rows_are_of_length_one_on_average(self):
        memory = seeded(lambda: Memory(4000, 16, momentum=0.5), 0)
        bound = math.sqrt(3 / 16)
        assert memory.students.abs().max() <= bound and memory.students.square().sum(1).mean() == pytest.approx(1, 0.02)
        exact = seeded(lambda: Memory(20, 16, momentum=0.5, directions=True), 0)
        torch.testing.assert_close(exact.teachers.norm(dim=1), torch.ones(20))

    def test_learns_a_batch_when_the_next_is_asked_about(self, memory, directions):
        before, index = memory.students.clone(), torch.tensor([4, 9, 2])
        memory.turn_to(index)
        memory.remember(index, *directions(0))
        assert torch.equal(memory.students, before)
        memory.turn_to(torch.tensor([1, 2, 3]))
        expected = F.normalize(0.25 * before[index] + 0.75 * directions(0)[0])
        torch.testing.assert_close(memory.students[index], expected)
        rest = [row for row in range(20) if row not in index.tolist()]
        assert torch.equal(memory.students[rest], before[rest])

    def test_a_batch_asked_about_twice_counts_once(self, memory, directions):
        twin, index = copy.deepcopy(memory), torch.tensor([4, 9, 2])
        for one, times in ((memory, 2), (twin, 1)):
            for _ in range(times):
                one.turn_to(index)
                one.remember(index, *directions(0))
            one.turn_to(torch.tensor([0]))
        assert torch.equal(memory.teachers, twin.teachers)

    def test_remembers_nothing_outside_training(self, memory, directions):
        before, index = memory.students.clone(), torch.tensor([4, 9, 2])
        memory.eval()
        memory.remember(index, *directions(0))
        memory.turn_to(torch.tensor([0]))
        assert torch.equal(memory.students, before)

    def test_constants_are_those_of_the_first_batch(self, memory, sines):
        first, later = (sines(2, 5, speed=s) for s in (0.7, 1.9))
        found = memory.normalisers(first, 2 * first)
        expected = [(20 * x.exp().mean()).log().item() for x in (first, 2 * first)]
        assert found.tolist() == pytest.approx(expected, rel=1e-10) and memory.normalised
        assert memory.normalisers(later, later).tolist() == pytest.approx(expected, rel=1e-6)

    def test_constants_leave_out_what_is_no_negative_and_are_not_set_outside_training(self, memory, sines):
        scores = sines(2, 5, speed=0.7)
        masked = torch.cat([scores, torch.full((2, 3), -math.inf)], 1)
        found = memory.eval().normalisers(masked, scores)
        assert found[0].item() == pytest.approx(found[1].item()) and not memory.normalised

    def test_what_waits_is_saved_and_taken_up(self, memory, directions):
        index = torch.tensor([4, 9, 2])
        memory.turn_to(index)
        memory.normalisers(*directions(0))
        memory.remember(index, *directions(0))
        again = Memory(20, 8, momentum=0.25)
        again.load_state_dict(copy.deepcopy(memory.state_dict()))
        assert again.normalised
        for one in (memory, again):
            one.turn_to(torch.tensor([7]))
        assert all(torch.equal(a, b) for a, b in zip(memory.state_dict().values(), again.state_dict().values()))


class TestDrawOthers:
    targets = torch.arange(12) % 3

    @pytest.mark.parametrize(("count", "replacement"), [(8, False), (5, False), (30, True)])
    def test_never_of_the_own_class(self, count, replacement):
        drawn = draw_others(self.targets[:7], self.targets, count, generator(0, "x"), replacement=replacement)
        assert drawn.shape == (7, count) and (drawn >= 0).all()
        assert (self.targets[drawn] != self.targets[:7, None]).all()
        assert replacement or all(len(set(row)) == count for row in drawn.tolist())

    @pytest.mark.parametrize("replacement", [False, True])
    def test_all_others_are_equally_likely(self, replacement):
        random = generator(0, "y")
        drawn = draw_others(self.targets[:1].expand(4000), self.targets, 2, random, replacement=replacement)
        counts = torch.bincount(drawn.flatten(), minlength=12)
        assert counts[self.targets == 0].sum() == 0
        assert (counts[self.targets != 0] - 1000).abs().max() < 150  # five deviations of a binomial

    def test_the_same_stream_draws_the_same(self):
        draws = [draw_others(self.targets, self.targets, 4, generator(0, s), replacement=False) for s in "aab"]
        assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])

    @pytest.mark.parametrize("replacement", [False, True])
    def test_where_none_is_left_it_says_so(self, replacement):
        one = torch.zeros(3, dtype=torch.long)
        drawn = draw_others(one, one, 3, generator(0, "z"), replacement=replacement)
        assert (drawn == -1).all()
