"""What a reader may rely on in similarity preservation, one claim a test."""

import math

import pytest
import torch
from torch.testing import assert_close

from kdcore.losses import sp_loss, sp_survey_loss
from kdcore.losses.relation.similarity import SP
from kdcore.types import Outputs, Refusal


def products(features) -> list[list[float]]:
    rows = features.detach().flatten(1).tolist()
    return [[sum(a * b for a, b in zip(x, y)) for y in rows] for x in rows]


def at_length_one(row: list[float]) -> list[float]:
    length = math.sqrt(sum(a * a for a in row))
    return [a / length for a in row]


class TestSP:
    def test_value_worked_by_hand(self):
        apart, half = torch.eye(2), torch.tensor([[1.0, 0.0], [1.0, 1.0]])  # rows (1, 0), (0, 1); (1, 1), (1, 2)
        wanted = (1 - 1 / math.sqrt(2)) ** 2 + 1 / 2 + 1 / 5 + (1 - 2 / math.sqrt(5)) ** 2
        assert sp_loss(apart, half).item() == pytest.approx(wanted / 4, rel=1e-6)

    def test_is_the_equation_of_the_paper(self, maps, sines):
        student, teacher = maps[0], sines(4, 3, 8, 8, speed=1.3)
        grams = [[at_length_one(row) for row in products(features)] for features in (student, teacher)]
        squares = sum((a - b) ** 2 for p, q in zip(*grams) for a, b in zip(p, q))
        assert sp_loss(student, teacher).item() == pytest.approx(squares / 16, rel=1e-10)

    def test_agrees_with_other_peoples_code(self, maps, sines, reference, found, theirs):
        teacher = sines(4, 3, 8, 8, speed=1.3)
        for known in reference("sp"):
            mine = found(sp_loss(maps[0], teacher), maps[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_scale_of_the_features_counts_for_nothing_and_their_place_does(self, maps):
        student, teacher = maps
        assert_close(sp_loss(7 * student, teacher / 9), sp_loss(student, teacher))
        assert sp_loss(teacher, teacher).item() == 0
        assert sp_loss(teacher + 1, teacher) > 1e-4

    def test_a_dead_sample_is_like_nobody(self, maps):
        dead = maps[0].detach().clone()
        dead[2] = 0
        value = sp_loss(dead.requires_grad_(), maps[1])
        assert value.isfinite() and torch.autograd.grad(value, dead)[0].isfinite().all()
        assert sp_loss(torch.zeros_like(dead), maps[1]).item() == pytest.approx(1 / 4)  # four rows of length 1, over 16

    def test_method_takes_the_last_maps_unless_told(self, maps, sines, batch_of, setting):
        student, teacher = (Outputs(m[:, :, 0, 0], (sines(4, 2, 3, 3, speed=2.1), m)) for m in maps)
        made = SP.build(setting([(2, 3, 3), (6, 4, 4)], [(2, 3, 3), (6, 4, 4)]))
        (term,) = made.losses(student, teacher, batch_of(torch.arange(4))).values()
        assert term.weight == 3000 and term.value == sp_loss(*maps)
        (term,) = SP(pairs=[[0, 1], [1, 1]]).losses(student, teacher, batch_of(torch.arange(4))).values()
        assert_close(term.value, sp_loss(student.features[0], maps[1]) + sp_loss(*maps))

    @pytest.mark.parametrize(
        ("stages", "settings", "says"),
        [
            ((), {}, "the student has 0 stages, got stage -1"),
            (((4, 8, 8),), {"pairs": [[0, 3]]}, "the teacher has 1 stages, got stage 3"),
            (((4, 8, 8),), {"likeness": "angle"}, "likeness must be 'cosine', 'dot' or 'negative-distance'"),
        ],
    )
    def test_method_refuses_stages_that_are_not_there(self, setting, stages, settings, says):
        with pytest.raises(Refusal, match=says):
            SP.build(setting(stages, stages), **settings)


class TestSPSurvey:
    @pytest.mark.parametrize("likeness", ["cosine", "dot", "negative-distance"])
    def test_is_the_equation_as_printed(self, embeddings, likeness):
        tables = []
        for features in embeddings:
            gram, rows = products(features), features.detach().tolist()
            if likeness == "negative-distance":
                gram = [[-math.dist(x, y) for y in rows] for x in rows]
            if likeness == "cosine":
                gram = [
                    [g / math.sqrt(gram[i][i] * gram[j][j]) for j, g in enumerate(row)] for i, row in enumerate(gram)
                ]
            tables.append(gram)
        squares = sum((a - b) ** 2 for p, q in zip(*tables) for a, b in zip(p, q))
        value = sp_survey_loss(*embeddings, likeness=likeness)
        assert value.item() == pytest.approx(squares / 64, rel=1e-9)

    def test_only_cosines_forgive_a_larger_scale(self, embeddings):
        teacher = embeddings[1]
        assert sp_survey_loss(3 * teacher, teacher).item() == pytest.approx(0, abs=1e-20)
        for likeness in ("dot", "negative-distance"):  # errata Z-08
            assert sp_survey_loss(3 * teacher, teacher, likeness=likeness) > 1

    def test_is_not_the_papers_by_a_mere_factor(self, embeddings, sines):
        other = sines(8, 6, speed=0.3)
        ratios = [sp_survey_loss(rows, embeddings[1]) / sp_loss(rows, embeddings[1]) for rows in (embeddings[0], other)]
        assert abs(ratios[0] - ratios[1]) > 0.1

    def test_unknown_likeness_is_answered_in_a_sentence(self, embeddings):
        with pytest.raises(ValueError, match="likeness must be 'cosine', 'dot' or 'negative-distance', got 'angle'"):
            sp_survey_loss(*embeddings, likeness="angle")

    def test_method_takes_it_where_told(self, maps, batch_of):
        student, teacher = (Outputs(m[:, :, 0, 0], (m,)) for m in maps)
        (term,) = SP(likeness="dot").losses(student, teacher, batch_of(torch.arange(4))).values()
        assert term.value == sp_survey_loss(*maps, likeness="dot")
