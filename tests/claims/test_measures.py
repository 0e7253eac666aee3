"""What claims measure, against closed forms and values worked by hand."""

import doctest
import math

import pytest
import torch

from kdcore.claims import measures
from kdcore.claims.measures import (
    calibration_error,
    deployed,
    gradient_norms,
    high_temperature,
    judged_at,
    kd_gradient,
    log_slope,
    negative_mass,
    one_batch,
)
from kdcore.engine import Recipe, fit
from kdcore.losses import sp_loss
from kdcore.losses.relation.similarity import SP
from kdcore.types import Clock, Data, Outputs, Task

FRESH = {"row": "teacher", "network": "digits-teacher", "classes": 10}  # a teacher that nobody trained
LEARNER = {"row": "student", "network": "digits-student", "classes": 10}
PAIR = {"data": "digits-100", "student": "digits-student", "teacher": FRESH}
ASKED = {"seed": 0, "profile": "smoke", "recipe": Recipe(steps=3), "device": "cpu"}


@pytest.fixture
def scores() -> tuple[torch.Tensor, torch.Tensor]:
    index = torch.arange(40, dtype=torch.float64).view(4, 10)
    return 4 * torch.sin(0.7 * index + 1), 4 * torch.sin(1.3 * index + 1)


class TestGradients:
    @pytest.mark.parametrize("temperature", [1.0, 4.0])
    def test_the_gradient_of_distillation_in_closed_form(self, scores, temperature):
        """huang2022 eq. 4, its first equality, times the squared temperature."""
        student, teacher = scores
        difference = (student / temperature).softmax(1) - (teacher / temperature).softmax(1)
        torch.testing.assert_close(kd_gradient(*scores, temperature), temperature * difference)

    def test_asking_leaves_the_scores_alone(self, scores):
        kd_gradient(*scores, 2.0)
        assert not scores[0].requires_grad

    def test_slope_of_a_power(self):
        assert log_slope({t: 5 * t**-1.5 for t in (1.0, 3.0, 9.0, 20.0)}) == pytest.approx(-1.5)

    def test_norms_with_the_factor_are_those_without_times_its_square(self):
        asked = {**ASKED, **PAIR, "temperatures": [1.0, 4.0, 16.0, 64.0]}
        plain, squared = (gradient_norms(**asked, squared=squared) for squared in (False, True))
        for temperature, norm in plain["norm"].items():
            assert squared["norm"][temperature] == pytest.approx(float(temperature) ** 2 * norm)
        assert squared["slope"] == pytest.approx(plain["slope"] + 2)

    def test_norms_of_untrained_networks_fall_with_the_square(self):
        found = gradient_norms(**ASKED, **PAIR, temperatures=[1.0, 16.0, 128.0], squared=False)
        assert found["slope"] == pytest.approx(-2, abs=0.05)

    def test_another_seed_asks_about_other_samples(self):
        asked = {**PAIR, "learner": LEARNER, "temperatures": [16.0, 32.0], "squared": True}
        one, two = (gradient_norms(**ASKED | {"seed": seed}, **asked)["norm"]["16"] for seed in (0, 1))
        assert one != two


class TestHighTemperature:
    def test_reaches_the_printed_limit_where_both_means_are_zero(self):
        found = high_temperature(**ASKED, centred=["student", "teacher"], temperatures=[10.0, 1000.0, 10000.0])
        assert found["printed"]["10000"] < 1e-3 and found["printed"] == pytest.approx(found["exact"])
        assert found["printed"]["1000"] == pytest.approx(10 * found["printed"]["10000"], rel=0.05)  # falls as 1 / T

    @pytest.mark.parametrize("centred", [[], ["student"], ["teacher"]])
    def test_misses_it_by_the_means_that_are_left(self, centred):
        """The distance is that of the means: with d = z - u, |d - (d less its mean)| / |d|."""
        found = high_temperature(**ASKED, centred=centred, temperatures=[10000.0])
        assert found["printed"]["10000"] > 0.1 and found["exact"]["10000"] < 1e-3

    def test_a_single_pair_by_hand(self, monkeypatch):
        """z = (3, 1), u = (0, 0), K = 2: the mean of z - u is 2, so a rest of 2 sqrt(2) of sqrt(10) is missed."""
        draws = torch.tensor([[[1 / 3, -1 / 3]], [[1 / 3, 1 / 3]]], dtype=torch.float64)  # 3 x + 2 and 3 x - 1
        monkeypatch.setattr(torch, "randn", lambda *shape, **options: draws)
        found = high_temperature(**ASKED, centred=[], temperatures=[1e6], classes=2)
        assert found["printed"]["1e+06"] == pytest.approx(2 * math.sqrt(2) / math.sqrt(10), rel=1e-5)

    def test_probabilities_tend_to_even_ones_not_to_the_scores(self):
        found = high_temperature(**ASKED, centred=[], temperatures=[1.0, 100.0, 10000.0])["uniform"]
        assert found["1"] > 0.5 > 1e-2 > found["100"] > 1e-3 > found["10000"]

    def test_the_limit_is_the_gradient_of_half_a_square(self):
        assert high_temperature(**ASKED, centred=[], temperatures=[1.0])["half_square"] < 1e-12


class TestNegativeMass:
    def test_grows_with_the_temperature_towards_even_shares(self):
        found = negative_mass(**ASKED, **PAIR, temperatures=[1.0, 4.0, 1000.0])
        assert found["teacher"]["1000"] == pytest.approx(0.9, abs=0.01)

    def test_by_hand(self, monkeypatch):
        """One sample of class 0: the teacher leaves a half; the student, even, is pulled by T (1/3 - p)."""
        teacher, student = torch.tensor([[0.5, 0.3, 0.2]]).double().log(), torch.zeros(1, 3).double()
        said = measures.Pair(torch.nn.Identity(), Outputs(student), Outputs(teacher), torch.tensor([0]))
        monkeypatch.setattr(measures, "pair", lambda *given, **asked: said)
        found = negative_mass(**ASKED, temperatures=[1.0])
        pulls = [1 / 3 - 0.3, 1 / 3 - 0.2]
        assert found["teacher"]["1"] == pytest.approx(0.5)
        assert found["gradient"]["1"] == pytest.approx(sum(pulls))
        assert found["unlike"]["1"] == pytest.approx(pulls[1] - pulls[0])


class TestOneBatch:
    @pytest.mark.parametrize(("what", "numbers"), [("values", 10), ("maps", 16), ("relations", 64)])
    def test_measures_one_loss_before_and_after_training(self, what, numbers):
        found = one_batch(**ASKED, **PAIR, what=what, learner=LEARNER)
        assert found["numbers"] == numbers and found["fresh"] > 0 and found["trained"] > 0
        again = one_batch(**ASKED, **PAIR, what=what, learner=LEARNER)
        assert found == again

    def test_relations_are_those_of_the_library_and_need_no_equal_sizes(self):
        rows = torch.tensor([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]])
        said = lambda rows: Outputs(torch.zeros(3, 2), (rows[:, :, None, None],))
        narrow, wide = said(rows), said(7 * torch.cat([rows, rows], 1))
        assert measures.LOSSES["relations"](narrow, wide).item() == pytest.approx(0, abs=1e-12)
        assert measures.LOSSES["relations"](narrow, said(rows.flip(0))) == sp_loss(rows, rows.flip(0)) > 1e-3

    def test_relations_are_what_the_published_method_compares(self):
        """The row of the figure is `sp` at weight 1: the same layer, the same value."""
        maps = [torch.sin(0.3 * torch.arange(3 * c * 4).view(3, c, 2, 2).float()) for c in (2, 5)]
        student, teacher = (Outputs(torch.zeros(3, 2), (torch.zeros(3, 1, 4, 4), last)) for last in maps)
        batch = Data(torch.zeros(3, 1), torch.zeros(3).long(), Task(), {}).batch(0, Clock(0, 1, 1), 3)
        (term,) = SP().losses(student, teacher, batch).values()
        assert measures.LOSSES["relations"](student, teacher) == term.value > 0


class Says(torch.nn.Module):
    def __init__(self, *logits: float):
        super().__init__()
        self.logits = torch.tensor([logits])

    def forward(self, inputs):
        return Outputs(self.logits.expand(len(inputs), -1))


class TestDeployed:
    def test_calibration_error_by_hand(self):
        """Confidences 0.9, 0.9, 0.6 with right, wrong, right: bins (0.5 - 0.9) x 2/3 and (1 - 0.6) x 1/3."""
        said = torch.tensor([[0.9, 0.1], [0.9, 0.1], [0.4, 0.6]])
        found = calibration_error(said, torch.tensor([0, 1, 1]))
        assert found == pytest.approx(2 / 3 * 0.4 + 1 / 3 * 0.4)

    def test_a_sure_and_right_network_is_calibrated(self):
        assert calibration_error(torch.tensor([[1.0, 0.0]]), torch.tensor([0])) == 0

    def test_softening_keeps_answers_and_moves_confidence(self):
        data = Data(torch.zeros(4, 1), torch.tensor([0, 0, 0, 1]), Task(), {}, classes=2)
        sure = math.log(3)  # three quarters, as often as it is right
        found = judged_at(Says(sure, 0.0), data, 4.0)
        softened = 3**0.25 / (1 + 3**0.25)
        assert found["accuracy_softened"] == 0.75
        assert found["calibration_error"] == pytest.approx(0, abs=1e-6)
        assert found["calibration_error_softened"] == pytest.approx(0.75 - softened, rel=1e-5)

    def test_a_row_is_trained_as_others_and_judged_twice(self):
        settings = {**PAIR, "methods": [["kd", {"temperature": 4.0}]]}
        training = deployed(**ASKED, **settings, temperature=4.0)
        fit([training.run])
        last = training.finish(training.run)["last"]
        assert last["accuracy"] == last["accuracy_softened"]
        assert last["calibration_error"] != last["calibration_error_softened"]

    def test_it_rehearses_like_others(self):
        settings = {**PAIR, "methods": [["kd", {"temperature": -1.0}]]}
        with pytest.raises(ValueError, match="temperature must be above 0, got -1"):
            deployed.rehearse(**ASKED, **settings, temperature=4.0)


def test_the_examples_are_true():
    assert doctest.testmod(measures).failed == 0
