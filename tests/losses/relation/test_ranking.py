"""What a reader may rely on in the order of neighbours, one claim a test."""

import math
from itertools import permutations

import pytest
import torch
from torch.testing import assert_close

from kdcore.losses import darkrank_loss
from kdcore.losses.relation.ranking import DarkRank
from kdcore.types import Outputs, Refusal


def probability(scores: list[float]) -> float:
    """Of drawing these in this order."""
    return math.prod(math.exp(s) / sum(map(math.exp, scores[i:])) for i, s in enumerate(scores))


def naive(student: list, teacher: list, form: str, alpha: float, beta: float, length: int) -> float:
    total = 0.0
    for q in range(len(student)):
        mine, theirs = (
            {j: -alpha * math.dist(r[q], r[j]) ** beta for j in range(len(r)) if j != q} for r in (student, teacher)
        )
        nearest = sorted(theirs, key=theirs.get, reverse=True)[:length]
        if form == "hard":
            total -= math.log(probability([mine[j] for j in nearest]))
            continue
        for order in permutations(nearest):
            p, s = (probability([scores[j] for j in order]) for scores in (theirs, mine))
            total += p * math.log(p / s)
    return total / len(student)


class TestDarkRank:
    def test_value_worked_by_hand(self):
        teacher, student = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[0.0], [1.0], [1.0]])
        # orders 1 2, 0 2, 1 0; the student's scores (-1, -1), (-1, 0), (0, -1)
        wanted = (math.log(2) + math.log(1 + math.e) + math.log(1 + 1 / math.e)) / 3
        assert darkrank_loss(student, teacher, alpha=1.0, beta=1.0).item() == pytest.approx(wanted, rel=1e-6)

    @pytest.mark.parametrize("form", ["hard", "soft"])
    @pytest.mark.parametrize(("alpha", "beta", "length"), [(3.0, 3.0, 4), (1.0, 1.0, 2), (2.0, 0.5, 3)])
    def test_is_the_equation_of_the_paper(self, embeddings, form, alpha, beta, length):
        student, teacher = (rows / 8 for rows in embeddings)
        value = darkrank_loss(student, teacher, form=form, alpha=alpha, beta=beta, length=length)
        wanted = naive(student.tolist(), teacher.tolist(), form, alpha, beta, length)
        assert value.item() == pytest.approx(wanted, rel=1e-9)

    def test_agrees_with_other_peoples_code(self, embeddings, reference, found, theirs):
        student, teacher = embeddings
        for known in reference("darkrank"):
            mine = found(darkrank_loss(student / 8, teacher / 8, **known["settings"]), student, known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_soft_is_zero_when_scores_are_equal_and_hard_wants_gaps(self, embeddings):
        teacher = embeddings[1] / 4
        assert darkrank_loss(teacher, teacher, form="soft").item() == pytest.approx(0, abs=1e-12)
        near, far = (darkrank_loss(scale * teacher, teacher) for scale in (1 / 4, 1 / 2))
        assert near > far > 0

    def test_sees_nothing_but_distances(self, embeddings):
        student, teacher = (rows / 8 for rows in embeddings)
        assert_close(darkrank_loss(student.flip(1) + 2, teacher), darkrank_loss(student, teacher))
        assert abs(darkrank_loss(2 * student, teacher) - darkrank_loss(student, teacher)) > 1e-2

    @pytest.mark.parametrize("form", ["hard", "soft"])
    def test_few_samples_make_short_lists(self, embeddings, form):
        student, teacher = (rows[:3] / 8 for rows in embeddings)
        given = {"form": form, "alpha": 3.0, "beta": 3.0}
        wanted = naive(student.tolist(), teacher.tolist(), length=2, **given)
        assert darkrank_loss(student, teacher, **given).item() == pytest.approx(wanted, rel=1e-9)
        assert darkrank_loss(student[:2], teacher[:2], form=form).item() == 0  # one neighbour, one order

    @pytest.mark.parametrize("form", ["hard", "soft"])
    @pytest.mark.parametrize("beta", [0.5, 3.0])
    def test_duplicates_and_great_distances_stay_finite(self, embeddings, form, beta):
        student = 500 * embeddings[0].detach().float()
        student[1] = student[0]
        value = darkrank_loss(student.requires_grad_(), embeddings[1].float(), form=form, beta=beta)
        assert value.isfinite() and torch.autograd.grad(value, student)[0].isfinite().all()

    @pytest.mark.parametrize(
        ("options", "says"),
        [
            ({"form": "medium"}, "form must be 'hard' or 'soft', got 'medium'"),
            ({"length": 0}, "length must be at least 1, got 0"),
            ({"length": 7, "form": "soft"}, "length must be at most 6 where all orders are compared, got 7"),
            ({"beta": 0.0}, "beta must be above 0, got 0"),
        ],
    )
    def test_bad_options_are_answered_in_a_sentence(self, embeddings, options, says):
        with pytest.raises(ValueError, match=says):
            darkrank_loss(*embeddings, **options)

    def test_method_gives_embeddings_length_one_first(self, embeddings, batch_of, labels, setting):
        student, teacher = (Outputs(torch.zeros(8, 10), embedding=rows) for rows in embeddings)
        (term,) = DarkRank.build(setting()).losses(student, teacher, batch_of(labels)).values()
        directions = (torch.nn.functional.normalize(rows) for rows in embeddings)
        assert_close(term.value, darkrank_loss(*directions))
        assert term.weight == 1 and not DarkRank().zero_at_agreement and DarkRank(form="soft").zero_at_agreement
        with pytest.raises(Refusal, match="form must be 'hard' or 'soft'"):
            DarkRank.build(setting(), form="medium")
