import pytest

from kdcore.entry import Refusal
from kdcore.experiments import get
from kdcore.experiments.cost import cost_of, cost_of_row, noise
from kdcore.experiments.types import Row


class TestCostOfARow:
    def test_on_the_quick_pair_it_is_the_methods_own(self):
        table = get("response")
        found, own = cost_of_row(table, table.row("kd"), "quick"), cost_of("kd")
        assert found.arithmetic == pytest.approx(own.arithmetic, rel=0.01) and found.parameters == 0

    def test_a_larger_teacher_is_asked_once_a_step(self):
        """ResNet56 and ResNet20: 125.8 and 40.8 million multiplications; a training step takes about three of these."""
        table = get("si2023-table1")
        assert cost_of_row(table, table.row("student"), "short").arithmetic == 1.0
        assert cost_of_row(table, table.row("kd"), "short").arithmetic == pytest.approx(1 + 125.8 / 3 / 40.8, abs=0.02)

    def test_three_teachers_are_asked_three_times(self):
        table, own = get("si2023-table1"), 125.8 / 3 / 40.8
        found = cost_of_row(table, table.row("amtml-kd"), "paper")
        assert found.arithmetic == pytest.approx(1 + 3 * own, abs=0.05)

    def test_every_stage_counts_as_long_as_it_is(self):
        """An assistant is trained by the teacher as long as the student is trained by it."""
        table = get("si2023-table1")
        takd, kd = (cost_of_row(table, table.row(key), "short").arithmetic for key in ("takd", "kd"))
        resnet32 = (40.8 + (125.8 - 40.8) / 3) / 40.8  # a third of the way in depth, and so in arithmetic
        assert takd == pytest.approx((kd - 1 + resnet32) + (1 + resnet32 / 3), abs=0.05)

    def test_half_the_steps_cost_half(self):
        table = get("zhao2026-table2")
        half, whole = (cost_of_row(table, table.row(key), "quick") for key in ("crld", "crld-all-steps"))
        assert half.arithmetic == pytest.approx(whole.arithmetic / 2, rel=1e-3)

    def test_what_is_learned_beside_the_student_is_counted_at_its_real_size(self):
        table = get("si2023-table1")
        found = cost_of_row(table, table.row("fitnet-joint"), "short")
        assert found.parameters > cost_of_row(table, table.row("fitnet-joint"), "quick").parameters > 0

    def test_a_row_that_trains_nothing_is_refused(self):
        with pytest.raises(Refusal, match="row bound of response trains no student on images"):
            cost_of_row(get("response"), Row("bound", measure="somewhere:else"), "quick")


class TestNoise:
    @pytest.mark.parametrize(("like", "classes"), [("cifar10", 10), ("cifar100", 100)])
    def test_has_the_size_of_what_it_stands_for(self, like, classes):
        data = noise("cpu", like)
        assert data.inputs.shape[1:] == (3, 32, 32) and data.classes == classes and "strong" in data.views
        assert data.targets.max() < classes and len(data.splits["test"]) < len(data)

    def test_digits_come_with_a_package_and_are_themselves(self):
        assert noise("cpu", "digits-100").inputs.shape == (100, 1, 8, 8)
