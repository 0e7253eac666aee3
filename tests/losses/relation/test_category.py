"""What a reader may rely on in the structure of categories, one claim a test."""

import math

import pytest
import torch
from torch.testing import assert_close

from kdcore.losses import category_structure_kd_loss
from kdcore.losses.relation.category import CategoryStructure, inter_category, intra_category
from kdcore.randomness import seeded
from kdcore.types import Outputs, Refusal


def huber(a: float, b: float) -> float:
    away = abs(a - b)
    return away * away / 2 if away < 1 else away - 0.5


def centres(rows: list, y: list) -> dict:
    members = {k: [r for r, label in zip(rows, y) if label == k] for k in set(y)}
    return {k: [sum(column) / len(group) for column in zip(*group)] for k, group in members.items()}


def over_mean(values: list[float]) -> list[float]:
    return [v * len(values) / sum(values) for v in values]


def spread(rows: list, y: list) -> list[float]:
    found = centres(rows, y)
    return over_mean([math.dist(r, found[label]) for r, label in zip(rows, y)])


def between(rows: list, y: list) -> list[float]:
    found = centres(rows, y)
    return over_mean([math.dist(found[a], found[b]) for a in found for b in found if a != b])


class TestCategoryStructure:
    def test_value_worked_by_hand(self):
        teacher, targets = torch.tensor([[0.0], [2.0], [5.0], [7.0]]), torch.tensor([0, 0, 1, 1])
        student = torch.tensor([[0.0], [2.0], [6.0], [6.0]])  # spreads 2, 2, 0, 0 for 1, 1, 1, 1; two centres agree
        assert category_structure_kd_loss(student, teacher, targets).item() == pytest.approx(1 / 2)

    def test_is_what_it_is_said_to_be(self, embeddings, labels):
        rows, y = [features.tolist() for features in embeddings], labels.tolist()
        intra, inter = ([measure(points, y) for points in rows] for measure in (spread, between))
        wanted = [sum(map(huber, *both)) / len(both[0]) for both in (intra, inter)]
        given = (*embeddings, labels)
        assert [intra_category(*given).item(), inter_category(*given).item()] == pytest.approx(wanted, rel=1e-10)
        both = category_structure_kd_loss(*given, intra_weight=2.0, inter_weight=3.0)
        assert both.item() == pytest.approx(2 * wanted[0] + 3 * wanted[1], rel=1e-10)

    def test_zero_for_the_same_proportions_and_only_then(self, embeddings, labels):
        teacher = embeddings[1]
        assert category_structure_kd_loss(5 * teacher.flip(1) + 2, teacher, labels).item() == pytest.approx(
            0, abs=1e-20
        )
        assert category_structure_kd_loss(teacher**2, teacher, labels) > 1e-3

    def test_names_of_classes_play_no_part(self, embeddings, labels):
        renamed = torch.tensor([70, -3, 9, 5])[labels]
        given = category_structure_kd_loss(*embeddings, labels)
        assert category_structure_kd_loss(*embeddings, renamed) == given

    @pytest.mark.parametrize("labels", [torch.zeros(8, dtype=torch.long), torch.arange(8)])
    def test_one_class_has_no_other_and_single_samples_no_spread(self, embeddings, labels):
        student, teacher = embeddings
        value = category_structure_kd_loss(student, teacher, labels)
        (slope,) = torch.autograd.grad(value, student)
        assert value.isfinite() and slope.isfinite().all()
        alone = inter_category if labels.unique().numel() == 1 else intra_category
        assert alone(student, teacher, labels).item() == pytest.approx(0, abs=1e-20)

    def test_duplicates_stay_finite(self, embeddings, labels):
        student = embeddings[0].detach().clone()
        student[:] = student[0]
        value = category_structure_kd_loss(student.requires_grad_(), embeddings[1], labels)
        assert value.isfinite() and torch.autograd.grad(value, student)[0].isfinite().all()

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"targets": torch.zeros(7, dtype=torch.long)}, ValueError, r"targets must have shape \(8,\)"),
            ({"targets": torch.zeros(8).bool()}, TypeError, "targets must hold whole numbers"),
            ({"inter_weight": -1.0}, ValueError, "inter_weight must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, embeddings, labels, change, error, says):
        given = dict(zip(("student_features", "teacher_features", "targets"), (*embeddings, labels)))
        with pytest.raises(error, match=says):
            category_structure_kd_loss(**given | change)

    def test_method_maps_the_student_before_it_compares_centres(self, embeddings, labels, batch_of, setting):
        method = seeded(lambda: CategoryStructure.build(setting(embeddings=(10, 6)), weight=2.0), 0)
        student, teacher = (Outputs(torch.zeros(8, 10), embedding=rows.float()) for rows in embeddings)
        terms = method.losses(student, teacher, batch_of(labels))
        assert {name: term.weight for name, term in terms.items()} == {"category_intra": 2, "category_inter": 2}
        mapped = method.mapping(student.embedding)
        assert_close(terms["category_inter"].value, inter_category(mapped, teacher.embedding, labels))
        assert_close(terms["category_intra"].value, intra_category(student.embedding, teacher.embedding, labels))
        assert method.adapters() == [method.mapping]

    def test_method_needs_embeddings(self, setting):
        with pytest.raises(Refusal, match="the teacher names none in `embedding`"):
            CategoryStructure.build(setting(embeddings=(5, None)))
