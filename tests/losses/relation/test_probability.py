"""What a reader may rely on in probabilistic knowledge transfer, one claim a test."""

import math

import pytest
import torch
from torch.testing import assert_close

from kdcore.losses import pkt_loss
from kdcore.losses.relation.probability import PKT
from kdcore.types import Outputs, Refusal


def neighbourhood(rows: list, oneself: bool) -> list[list[float]]:
    def near(x: list, y: list) -> float:
        length = math.sqrt(sum(a * a for a in x) * sum(b * b for b in y))
        return (sum(a * b for a, b in zip(x, y)) / length + 1) / 2

    kernel = [[near(x, y) if oneself or i != j else 0.0 for j, y in enumerate(rows)] for i, x in enumerate(rows)]
    return [[k / sum(row) for k in row] for row in kernel]


class TestPKT:
    def test_value_worked_by_hand(self):
        student, teacher = torch.eye(3), torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
        # cosines 1, 0, 0: two samples prefer each other 2 to 1, the third has no preference; the student has none
        wanted = 2 * (2 / 3 * math.log(4 / 3) + 1 / 3 * math.log(2 / 3))
        assert pkt_loss(student, teacher).item() == pytest.approx(wanted, rel=1e-5)

    @pytest.mark.parametrize(("form", "share"), [("sum", 1), ("mean", 1 / 64)])
    def test_is_the_equation(self, embeddings, form, share):
        p, q = (neighbourhood(rows.tolist(), form == "mean") for rows in (embeddings[1], embeddings[0]))
        wanted = sum(a * math.log(a / b) for x, y in zip(p, q) for a, b in zip(x, y) if a)
        assert pkt_loss(*embeddings, form=form).item() == pytest.approx(share * wanted, rel=1e-4)  # but for the 1e-7

    def test_agrees_with_the_authors_code(self, embeddings, reference, found, theirs):
        for known in reference("pkt"):
            mine = found(pkt_loss(*embeddings, **known["settings"]), embeddings[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_lengths_count_for_nothing_and_directions_do(self, embeddings):
        student, teacher = embeddings
        assert_close(pkt_loss(5 * student, teacher), pkt_loss(student, teacher), rtol=1e-5, atol=0)
        assert pkt_loss(teacher, teacher).item() == pytest.approx(0, abs=1e-12)
        assert pkt_loss(teacher + 1, teacher) > 1e-3

    def test_it_is_not_symmetric(self, embeddings):
        student, teacher = (rows.detach() for rows in embeddings)  # errata H-26: no metric
        assert abs(pkt_loss(student, teacher) - pkt_loss(teacher, student)) > 1e-3

    @pytest.mark.parametrize("form", ["sum", "mean"])
    def test_opposite_directions_stay_finite(self, form):
        student = torch.tensor([[1.0, 0.0], [-1.0, 0.0], [-2.0, 0.0]], requires_grad=True)
        value = pkt_loss(student, torch.ones(3, 2), form=form)
        assert value.isfinite() and torch.autograd.grad(value, student)[0].isfinite().all()

    def test_unknown_form_is_answered_in_a_sentence(self, embeddings):
        with pytest.raises(ValueError, match="form must be 'sum' or 'mean', got 'code'"):
            pkt_loss(*embeddings, form="code")

    def test_method_has_the_form_and_the_weight_of_the_tables(self, embeddings, batch_of, labels, setting):
        student, teacher = (Outputs(torch.zeros(8, 10), embedding=rows) for rows in embeddings)
        (term,) = PKT.build(setting()).losses(student, teacher, batch_of(labels)).values()
        assert term.weight == 30000 and term.value == pkt_loss(*embeddings, form="mean")
        with pytest.raises(Refusal, match="form must be 'sum' or 'mean', got 'code'"):
            PKT.build(setting(), form="code")
