"""What a reader may rely on in the common form of contrastive losses, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore.losses import contrastive_kd_generic_loss, crcd_loss, crd_loss
from kdcore.losses.contrastive.generic import ContrastiveKD
from kdcore.types import Outputs, Refusal, Setting


@pytest.fixture
def scores(sines):
    """Five examples, one partner and six others each."""
    return sines(5, speed=0.7).requires_grad_(), sines(5, 6, speed=1.3)


def naive(own: float, others: list[float], form: str, weight: float) -> float:
    if form == "softmax":
        return -math.log(math.exp(own) / (math.exp(own) + weight * sum(map(math.exp, others))))
    if form == "binary":
        chance = lambda s: 1 / (1 + math.exp(-s))
        return -math.log(chance(own)) - weight * sum(math.log(chance(-s)) for s in others)
    return -own + weight * sum(others)


def setting(student: int | None, teacher: int | None) -> Setting:
    def outputs(size):
        embedding = None if size is None else torch.empty(2, size, device="meta")
        return Outputs(torch.empty(2, 4, device="meta"), embedding=embedding)

    return Setting(outputs(student), outputs(teacher), classes=4, samples=40, teacher_network=nn.Identity())


class TestContrastiveKD:
    def test_value_worked_by_hand(self):
        own, others = torch.tensor([math.log(3.0)]), torch.tensor([[0.0, math.log(2.0)]])
        assert contrastive_kd_generic_loss(own, others).item() == pytest.approx(math.log(6 / 3))
        binary = contrastive_kd_generic_loss(own, others, form="binary").item()
        assert binary == pytest.approx(math.log(4 / 3) + math.log(2) + math.log(3))
        assert contrastive_kd_generic_loss(own, others, form="linear").item() == pytest.approx(math.log(2 / 3))

    @pytest.mark.parametrize("form", ["softmax", "binary", "linear"])
    @pytest.mark.parametrize("weight", [1.0, 0.25, 3.0])
    def test_is_the_equation(self, scores, form, weight):
        own, others = scores
        each = [naive(s, row, form, weight) for s, row in zip(own.tolist(), others.tolist())]
        found = contrastive_kd_generic_loss(*scores, form=form, negative_weight=weight, reduction="none")
        assert found.tolist() == pytest.approx(each, rel=1e-10)

    @pytest.mark.parametrize("form", ["softmax", "binary", "linear"])
    def test_minus_infinity_stands_for_no_negative(self, scores, form):
        own, others = scores
        masked = torch.cat([others, torch.full((5, 2), -math.inf, dtype=others.dtype)], 1)
        value = contrastive_kd_generic_loss(own, masked, form=form)
        torch.testing.assert_close(value, contrastive_kd_generic_loss(own, others, form=form))
        (gradient,) = torch.autograd.grad(value, own)
        assert gradient.isfinite().all()

    def test_an_example_without_any_negative_asks_for_nothing(self, scores):
        own = scores[0]
        for others in (own.new_empty(5, 0), own.new_full((5, 3), -math.inf)):
            value = contrastive_kd_generic_loss(own, others)
            (gradient,) = torch.autograd.grad(value, own)
            assert value == 0 and (gradient == 0).all()

    def test_a_weight_of_zero_leaves_the_negatives_out(self, scores):
        own, others = scores
        others.requires_grad_()
        value = contrastive_kd_generic_loss(own, others, negative_weight=0.0)
        (gradient,) = torch.autograd.grad(value, others)
        assert value.item() == pytest.approx(0, abs=1e-12) and (gradient == 0).all()

    def test_choice_ignores_a_common_shift_and_the_other_forms_do_not(self, scores):
        own, others = scores
        moved = contrastive_kd_generic_loss(own + 2, others + 2)
        torch.testing.assert_close(moved, contrastive_kd_generic_loss(own, others))
        binary = [contrastive_kd_generic_loss(own + c, others + c, form="binary") for c in (0.0, 2.0)]
        assert abs(binary[1] - binary[0]) > 1

    def test_order_of_the_negatives_does_not_matter_but_their_number_does(self, scores):
        own, others = scores
        value = contrastive_kd_generic_loss(own, others, form="binary")
        torch.testing.assert_close(contrastive_kd_generic_loss(own, others.flip(1), form="binary"), value)
        assert contrastive_kd_generic_loss(own, others.repeat(1, 2), form="binary") > value

    def test_crd_gives_its_value_through_it(self, banks, projections, rows):
        (student, teacher), (own, others) = projections(), rows()
        whole = crd_loss(student, teacher, *banks, own, others, reduction="none")
        halves = []
        for vectors, bank in ((student, banks[1]), (teacher, banks[0])):
            directions = F.normalize(vectors)
            score = lambda picked, directions=directions: (
                (directions[:, None] * picked).sum(2) / 0.07 - math.log(7 / 20)
            )
            halves.append(
                contrastive_kd_generic_loss(
                    score(bank[own][:, None])[:, 0], score(bank[others]), form="binary", reduction="none"
                )
            )
        torch.testing.assert_close(halves[0] + halves[1], whole)

    def test_crcd_gives_its_value_through_it(self, banks, projections, rows):
        (student, teacher), (own, others) = projections(), rows()
        anchor = torch.tensor([5])
        whole = crcd_loss(student, teacher, *banks, own, others, anchor, reduction="none")
        halves = []
        for vectors, bank in ((student, banks[1]), (teacher, banks[0])):
            start = bank[anchor]
            way = F.normalize(F.normalize(vectors) - start)
            ends = bank[torch.cat([own[:, None], others], 1)] - start
            score = F.cosine_similarity(way[:, None], ends, dim=2) / 0.05 - math.log(7 / 20)
            score = score.masked_fill(torch.cat([own[:, None], others], 1) == anchor, -math.inf)
            halves.append(contrastive_kd_generic_loss(score[:, 0], score[:, 1:], form="binary", reduction="none"))
        torch.testing.assert_close(halves[0] + halves[1], whole)

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"student_negatives": torch.zeros(4, 6)}, ValueError, "must hold the same examples, got 5 and 4 of them"),
            ({"student_negatives": torch.zeros(5)}, ValueError, r"must have shape \(batch, negatives\), got \(5,\)"),
            ({"student_positives": torch.zeros(5, 1)}, ValueError, r"student_positives must have shape \(batch\)"),
            ({"student_positives": torch.zeros(5).long()}, TypeError, "student_positives must hold floating-point"),
            ({"form": "triplet"}, ValueError, "form must be 'softmax', 'binary' or 'linear', got 'triplet'"),
            ({"negative_weight": -1.0}, ValueError, "negative_weight must be at least 0, got -1"),
            ({"reduction": "average"}, ValueError, "reduction must be"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, scores, change, error, says):
        with pytest.raises(error, match=says):
            contrastive_kd_generic_loss(**dict(zip(("student_positives", "student_negatives"), scores)) | change)


class TestInABatch:
    """The method: negatives from the batch itself."""

    def test_is_the_softmax_over_the_teachers_of_other_classes(self, ask):
        student, teacher, batch = ask()
        method = ContrastiveKD(4, 6, temperature=0.5)
        (term,) = method.losses(student, teacher, batch).values()
        cosines = F.normalize(method.head(student.embedding)) @ F.normalize(teacher.embedding).T / 0.5
        total = 0.0
        for i, own in enumerate(batch.targets.tolist()):
            row = [cosines[i, j].item() for j, other in enumerate(batch.targets.tolist()) if other != own]
            total += naive(cosines[i, i].item(), row, "softmax", 1.0)
        assert term.value.item() == pytest.approx(total / 16, rel=1e-5) and term.weight == 1.0

    def test_all_other_samples_may_be_negatives_too(self, ask):
        answers = ask()
        named, blind = (ContrastiveKD(4, 6, others=others) for others in ("classes", "samples"))
        blind.load_state_dict(named.state_dict())
        few, many = (method.losses(*answers)["contrastive_kd"].value for method in (named, blind))
        assert many > few

    def test_one_example_has_nothing_to_be_told_from(self, ask):
        student, teacher, batch = ask(size=1)
        method = ContrastiveKD(4, 6)
        (term,) = method.losses(student, teacher, batch).values()
        gradients = torch.autograd.grad(term.value, list(method.parameters()))
        assert term.value == 0 and all((gradient == 0).all() for gradient in gradients)

    @pytest.mark.parametrize(
        ("student", "teacher", "settings", "says"),
        [
            (None, 6, {}, "contrastive-kd-generic compares embeddings, one vector an example"),
            (4, 6, {"temperature": 0.0}, "temperature must be above 0, got 0"),
            (4, 6, {"others": "pixels"}, "others must be one of classes, samples, got 'pixels'"),
            (4, 6, {"form": "triplet"}, "form must be one of softmax, binary, linear, got 'triplet'"),
        ],
    )
    def test_refuses_what_cannot_be(self, student, teacher, settings, says):
        with pytest.raises(Refusal, match=says):
            ContrastiveKD.build(setting(student, teacher), **settings)
