"""What a reader may rely on in relational distillation, one claim a test."""

import math

import pytest
import torch
from torch.testing import assert_close

from kdcore.losses import rkd_loss, rkd_survey_loss
from kdcore.losses.relation.distance import RKD, rkd_parts, rkd_survey_parts
from kdcore.types import Outputs, Refusal


def huber(a: float, b: float) -> float:
    away = abs(a - b)
    return away * away / 2 if away < 1 else away - 0.5


def distance_potential(rows: list, pairs: list) -> list[list[float]]:
    """huang2022 eq. 13, its mean over the given pairs."""
    mean = sum(math.dist(rows[i], rows[j]) for i, j in pairs) / len(pairs)
    return [[math.dist(x, y) / mean for y in rows] for x in rows]


def angle_potential(rows: list) -> list:
    """huang2022 eq. 12, the sample at which the angle stands first; nothing where two samples are one."""

    def direction(x: list, y: list) -> list[float]:
        length = math.dist(x, y)
        return [(a - b) / length if length else 0.0 for a, b in zip(x, y)]

    def cosine(x: list, at: list, y: list) -> float:
        return sum(a * b for a, b in zip(direction(x, at), direction(y, at)))

    return [[[cosine(x, at, y) for y in rows] for x in rows] for at in rows]


def flat(values) -> list[float]:
    return [x for value in values for x in flat(value)] if isinstance(values, list) else [values]


def mean_huber(potentials) -> float:
    pairs = list(zip(*map(flat, potentials)))
    return sum(huber(a, b) for a, b in pairs) / len(pairs)


class TestRKD:
    def test_value_worked_by_hand(self):
        line = torch.tensor([[0.0, 0.0], [1.0, 0.0], [2.0, 0.0]])  # distances 1, 1, 2, mean 4/3
        bent = torch.tensor([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0]])  # 1, 1, sqrt 2
        mean = (2 + math.sqrt(2)) / 3
        away = 2 * (1 / mean - 3 / 4) ** 2 + (math.sqrt(2) / mean - 3 / 2) ** 2
        turn = (1 - 1 / math.sqrt(2)) ** 2 / 2  # from 0 to 45 degrees at both ends; from 180 to 90 in the middle
        distance, angle = rkd_parts(bent, line)
        assert distance.item() == pytest.approx(2 * away / 2 / 9, rel=1e-5)
        assert angle.item() == pytest.approx((4 * turn + 2 * 0.5) / 27, rel=1e-5)
        assert rkd_loss(bent, line).item() == pytest.approx(25 * distance.item() + 50 * angle.item(), rel=1e-6)

    def test_is_the_equation_of_the_paper(self, embeddings):
        rows = [features.tolist() for features in embeddings]
        pairs = [(i, j) for i in range(8) for j in range(8) if i != j]
        distance = mean_huber([distance_potential(points, pairs) for points in rows])
        angle = mean_huber([angle_potential(points) for points in rows])
        assert [part.item() for part in rkd_parts(*embeddings)] == pytest.approx([distance, angle], rel=1e-10)

    def test_agrees_with_the_authors_and_other_peoples_code(self, embeddings, reference, found, theirs):
        for known in reference("rkd"):
            mine = found(rkd_loss(*embeddings, **known["settings"]), embeddings[0], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_agrees_in_single_precision(self, embeddings, reference, found, theirs):
        student = embeddings[0].detach().float().requires_grad_()
        for known in reference("rkd"):
            mine = found(rkd_loss(student, embeddings[1].float(), **known["settings"]), student, known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-5)

    def test_zero_for_the_same_figure_of_another_size_place_and_turn(self, embeddings):
        teacher = embeddings[1]
        figure = 5 * torch.cat([teacher.flip(1), torch.zeros(8, 3, dtype=torch.float64)], 1) - 2
        assert rkd_loss(figure, teacher).item() == pytest.approx(0, abs=1e-20)
        assert rkd_loss(teacher**2, teacher) > 1

    def test_duplicates_leave_value_and_gradient_of_ordinary_size(self, embeddings):
        student = embeddings[0].detach().float()
        student[1:4] = student[0]
        student.requires_grad_()
        value = rkd_loss(student, embeddings[1].float())
        (slope,) = torch.autograd.grad(value, student)
        assert value.isfinite() and 0 < slope.abs().max() < 100  # the authors' form has 4.6e10

    @pytest.mark.parametrize("same", ["student", "teacher", "both"])
    def test_all_samples_at_one_point_stay_finite(self, embeddings, same):
        student, teacher = (features.detach().clone() for features in embeddings)
        for name, features in (("student", student), ("teacher", teacher)):
            if same in (name, "both"):
                features[:] = features[0]
        value = rkd_loss(student.requires_grad_(), teacher)
        assert value.isfinite() and torch.autograd.grad(value, student)[0].isfinite().all()

    def test_method_logs_both_terms(self, embeddings, batch_of, labels, setting):
        student, teacher = (Outputs(torch.zeros(8, 10), embedding=rows) for rows in embeddings)
        terms = RKD.build(setting(), weight=2.0).losses(student, teacher, batch_of(labels))
        assert {name: term.weight for name, term in terms.items()} == {"rkd_distance": 50, "rkd_angle": 100}
        assert_close(sum(term.value * term.weight for term in terms.values()), 2 * rkd_loss(*embeddings))

    def test_method_needs_embeddings(self, setting):
        with pytest.raises(Refusal, match="the student names none in `embedding`"):
            RKD.build(setting(embeddings=(None, 7)))


class TestRKDSurvey:
    def test_is_the_equation_with_pairs_of_different_classes(self, embeddings, labels):
        rows, y = [features.tolist() for features in embeddings], labels.tolist()
        pairs = [(i, j) for i in range(8) for j in range(8) if y[i] != y[j]]
        distance = mean_huber([distance_potential(points, pairs) for points in rows])
        found = rkd_survey_parts(*embeddings, labels)[0]
        assert found.item() == pytest.approx(distance, rel=1e-10)

    def test_differs_from_the_paper_in_the_scale_of_distances_alone(self, embeddings, labels):
        printed, papers = rkd_survey_parts(*embeddings, labels), rkd_parts(*embeddings)
        assert printed[1] == papers[1] and abs(printed[0] / papers[0] - 1) > 1e-3
        each = torch.arange(8)  # every sample a class of its own: all pairs are of different classes
        assert_close(rkd_survey_loss(*embeddings, each), rkd_loss(*embeddings))

    def test_one_class_leaves_no_scale(self, embeddings):
        assert rkd_survey_loss(*embeddings, torch.zeros(8, dtype=torch.long), angle_weight=0.0).item() == 0

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"targets": torch.zeros(7, dtype=torch.long)}, ValueError, r"targets must have shape \(8,\), one class a"),
            ({"targets": torch.zeros(8)}, TypeError, "targets must hold whole numbers"),
            ({"angle_weight": -1.0}, ValueError, "angle_weight must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, embeddings, labels, change, error, says):
        given = dict(zip(("student_features", "teacher_features", "targets"), (*embeddings, labels)))
        with pytest.raises(error, match=says):
            rkd_survey_loss(**given | change)

    def test_method_takes_it_where_told(self, embeddings, batch_of, labels):
        student, teacher = (Outputs(torch.zeros(8, 10), embedding=rows) for rows in embeddings)
        terms = RKD(printed=True).losses(student, teacher, batch_of(labels))
        assert_close(sum(term.value * term.weight for term in terms.values()), rkd_survey_loss(*embeddings, labels))
