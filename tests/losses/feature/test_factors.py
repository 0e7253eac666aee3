"""What a reader may rely on in factor transfer, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore.losses import factor_transfer_loss
from kdcore.losses.feature.factors import FactorTransfer, Paraphraser
from kdcore.types import Outputs, Refusal


class TestFactorTransfer:
    def test_value_worked_by_hand(self):
        student, teacher = torch.tensor([[[[3.0, 4.0]]]]), torch.tensor([[[[5.0, 0.0]]]])  # (0.6, 0.8) and (1, 0)
        assert factor_transfer_loss(student, teacher).item() == pytest.approx((0.4 + 0.8) / 2)

    def test_is_the_equation(self, maps):
        each = []
        for s, t in zip(*(m.flatten(1).tolist() for m in maps)):
            long, other = (math.sqrt(sum(x * x for x in factor)) for factor in (s, t))
            each.append(sum(abs(a / long - b / other) for a, b in zip(s, t)) / 96)
        assert factor_transfer_loss(*maps, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_the_authors_and_other_peoples_code(self, maps, reference, found, theirs):
        for known in reference("factor-transfer"):
            mine = found(factor_transfer_loss(*maps), maps[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_does_not_care_how_loud_a_factor_is_as_a_whole_but_for_its_sign_and_its_parts(self, maps):
        student, teacher = maps
        value = factor_transfer_loss(student, teacher)
        louder = student * torch.tensor([1.0, 2.0, 0.1, 7.0], dtype=torch.float64)[:, None, None, None]
        torch.testing.assert_close(factor_transfer_loss(louder, teacher), value)
        assert factor_transfer_loss(3 * teacher, teacher).item() == pytest.approx(0, abs=1e-12)
        assert factor_transfer_loss(-teacher, teacher) > 0.1
        assert factor_transfer_loss(teacher[:, [1, 0, 2, 3, 4, 5]], teacher) > 0.01

    def test_a_dead_factor_costs_something_and_its_gradient_stays_small(self, maps):
        dead = torch.zeros(4, 6, 4, 4, dtype=torch.float64, requires_grad=True)
        value = factor_transfer_loss(dead, maps[1])
        assert value > 0 and torch.autograd.grad(value, dead)[0].abs().max() < 1

    def test_larger_factors_are_averaged_down_to_the_smaller(self, maps, sines):
        large = sines(4, 6, 8, 8, speed=1.3)
        small = factor_transfer_loss(maps[0], F.avg_pool2d(large, 2))
        torch.testing.assert_close(factor_transfer_loss(maps[0], large), small)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_features": torch.zeros(4, 5, 4, 4)}, "same number of channels, got 6 and 5"),
            ({"reduction": "average"}, "reduction must be"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, change, says):
        with pytest.raises(ValueError, match=says):
            factor_transfer_loss(**dict(zip(("student_features", "teacher_features"), maps)) | change)

    def test_paraphraser_is_an_autoencoder_of_six_layers_and_the_translator_an_encoder_of_three(self):
        paraphraser = Paraphraser(6, 3)
        maps = torch.ones(2, 6, 4, 4)
        assert paraphraser.encoder(maps).shape == (2, 3, 4, 4) and paraphraser(maps).shape == maps.shape
        kinds = [type(layer) for layer in (*paraphraser.encoder, *paraphraser.decoder)]
        assert kinds.count(nn.Conv2d) == kinds.count(nn.ConvTranspose2d) == 3 and kinds.count(nn.LeakyReLU) == 6
        assert sum(isinstance(layer, nn.Conv2d) for layer in FactorTransfer(4, 6).translator) == 3

    def test_first_stage_trains_the_paraphraser_alone_without_labels(self, trained):
        run = trained(lambda setting: FactorTransfer.build(setting, share=0.5), steps=8, stop=4)
        before = {name: value.clone() for name, value in run.scheme.state_dict().items()}
        assert [stage.name for stage in run.stages] == ["paraphraser", "main"] and run.at == 1
        assert set(run.curve[-1]["terms"]) == {"paraphraser/reconstruction"}
        while run.active:
            run.advance()
        moved = {
            name.split(".")[0]
            for name, value in run.scheme.state_dict().items()
            if not torch.equal(value, before[name])
        }
        resting = [name for name in before if "paraphraser" in name]
        assert moved == {"student", "methods"} and resting
        assert all(torch.equal(before[name], run.scheme.state_dict()[name]) for name in resting)

    def test_paraphraser_learns_the_teachers_map(self, trained, small):
        _, teacher, data = small
        maps = teacher(data.inputs).features[1]
        build = lambda setting: FactorTransfer.build(setting, share=1.0)
        errors = []
        for stop in (1, 60):
            (method,) = trained(build, steps=60, stop=stop, optimizer="adam").scheme.methods
            errors.append((method.paraphraser(maps) - maps).abs().mean())
        assert errors[1] < 0.8 * errors[0]

    def test_method_takes_the_last_stages_and_half_the_teachers_channels(self, sized, layers, batch):
        shapes = [(4, 8, 8), (6, 2, 2)], [(5, 8, 8), (9, 4, 4)]
        method = FactorTransfer.build(sized(*shapes)).double()
        student, teacher = (
            Outputs(torch.zeros(8, 10), tuple(layers(8, each, speed))) for each, speed in zip(shapes, (0.7, 1.3))
        )
        (term,) = method.losses(student, teacher, batch).values()
        factor = method.paraphraser.encoder(teacher.features[1])
        value = factor_transfer_loss(method.translator(student.features[1]), factor)
        torch.testing.assert_close(term.value, value)
        assert method.pair == (1, 1) and factor.shape[1] == round(4.5) and term.weight == 500
        assert method.adapters() == [method.translator]
        assert FactorTransfer.build(sized(*shapes), student_stage=0, teacher_stage=1).pair == (0, 1)

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"rate": 0.01}, "a rate of 0.01 leaves no channel of the teacher's 6 for the factor"),
            ({"share": 0.0}, "share must be above 0, got 0"),
            ({"weight": -1.0}, "weight must be at least 0, got -1"),
        ],
    )
    def test_method_refuses_settings_out_of_range(self, settings, says):
        with pytest.raises(Refusal, match=says):
            FactorTransfer(4, 6, **settings)
