"""What a reader may rely on in task-oriented feature distillation, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore.losses import ce_soft_loss, tofd_loss
from kdcore.losses.feature._auxiliary import AuxiliaryClassifier
from kdcore.losses.feature.task_oriented import ENTRIES, TOFD, orthogonality
from kdcore.types import Batch, Clock, Outputs, Refusal

SHAPES = ((4, 8, 8), (6, 4, 4), (8, 2, 2))
WIDER = ((5, 8, 8), (9, 4, 4), (12, 2, 2))


def frobenius(rows: list[list[float]]) -> float:
    """How far the products of all pairs of rows are from one and zero."""
    every = [
        sum(a * b for a, b in zip(one, other)) - (i == j) for i, one in enumerate(rows) for j, other in enumerate(rows)
    ]
    return math.sqrt(sum(value**2 for value in every))


@pytest.fixture
def answers(layers, sines) -> tuple[Outputs, Outputs]:
    return tuple(
        Outputs(sines(8, 10, speed=speed), tuple(layers(8, shapes, speed)), (), sines(8, size, speed=speed + 1))
        for shapes, size, speed in ((SHAPES, 7, 0.7), (WIDER, 11, 1.3))
    )


@pytest.fixture
def method(sized) -> TOFD:
    return TOFD.build(sized(SHAPES, WIDER, (7, 11))).double()


class TestTOFD:
    def test_value_worked_by_hand(self):
        student, teacher = torch.tensor([[3.0, 4.0], [1.0, 1.0]]), torch.tensor([[0.0, 0.0], [1.0, 3.0]])
        assert tofd_loss(student, teacher).item() == (5 + 2) / 2

    def test_is_the_mean_of_euclidean_distances(self, pair):
        each = [math.sqrt(sum((a - b) ** 2 for a, b in zip(s, t))) for s, t in zip(*(x.tolist() for x in pair))]
        assert tofd_loss(*pair, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_the_loss_of_a_whole_step_agrees_with_the_authors_code(self, sines, reference, found, theirs):
        vectors, taught, scores, answers = (
            [sines(*shape, speed=speed + 0.1 * depth) for depth in range(3)]
            for shape, speed in (((4, 5), 0.7), ((4, 6), 1.3), ((4, 10), 1.7), ((4, 10), 2.3))
        )
        resizers = [sines(6, 5, speed=0.3 + 0.1 * depth) / 8 for depth in range(3)]
        vectors[0].requires_grad_()
        for known in reference("tofd"):
            given = known["settings"]
            resized = [vector @ weight.T for vector, weight in zip(vectors, resizers)]
            method = TOFD(SHAPES, WIDER, (5, 6), 10, form="batch")
            value = given["weight"] * method._distance(resized, taught)
            value = value + sum(F.cross_entropy(each, torch.tensor([0, 3, 6, 9])) for each in scores)
            value = value + sum(ce_soft_loss(*both, temperature=given["temperature"]) for both in zip(scores, answers))
            value = value + given["orthogonal_weight"] * sum(orthogonality(weight) for weight in resizers)
            assert found(value, vectors[0], known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    def test_one_distance_over_a_batch_of_equal_ones_is_its_root_times_as_long(self, sines):
        step = sines(1, 6, speed=0.7)
        taught = sines(16, 6, speed=1.3)
        method = TOFD(SHAPES, WIDER, (5, 6), 10, form="batch")
        whole, each = method._distance([taught + step], [taught]), tofd_loss(taught + step, taught)
        torch.testing.assert_close(whole, 4 * each)
        settings = {entry.key: entry.settings for entry in ENTRIES}["tofd-released"]
        assert method.weight / math.sqrt(128) == pytest.approx(settings["weight"])

    def test_zero_only_when_equal_and_its_slope_does_not_fade(self, pair):
        _, teacher = pair
        student = teacher.clone().requires_grad_()
        value = tofd_loss(student, teacher)
        assert value == 0 and torch.autograd.grad(value, student)[0].abs().max() == 0
        near = (teacher + 1e-6).requires_grad_()
        (gradient,) = torch.autograd.grad(tofd_loss(near, teacher, reduction="sum"), near)
        torch.testing.assert_close(gradient.norm(dim=1), torch.ones(8, dtype=torch.float64))

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_vectors": torch.zeros(8, 5)}, r"must have the same shape, got \(8, 10\) and \(8, 5\)"),
            ({"student_vectors": torch.zeros(8, 2, 5)}, r"student_vectors must have shape \(batch, size\)"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, pair, change, says):
        with pytest.raises(ValueError, match=says):
            tofd_loss(**dict(zip(("student_vectors", "teacher_vectors"), pair)) | change)

    def test_orthogonality_is_both_distances_from_the_identity(self, sines):
        weight = sines(3, 5, speed=0.7)
        wanted = frobenius(weight.tolist()) + frobenius(weight.T.tolist())
        assert orthogonality(weight).item() == pytest.approx(wanted)
        turn, _ = torch.linalg.qr(sines(4, 4, speed=0.37))
        assert orthogonality(turn).item() == pytest.approx(0, abs=1e-12)
        assert orthogonality(torch.zeros(3, 5)).item() == pytest.approx(math.sqrt(3) + math.sqrt(5))

    def test_auxiliary_classifiers_walk_through_the_shapes_that_follow(self):
        head = AuxiliaryClassifier(SHAPES, 10)
        sizes = [tuple(head.down[: depth + 1](torch.ones(2, 4, 8, 8)).shape[1:]) for depth in range(2)]
        assert sizes == [SHAPES[1], SHAPES[2]]
        vector, scores = head(torch.ones(2, 4, 8, 8))
        assert vector.shape == (2, 8) and scores.shape == (2, 10)

    def test_terms_are_what_they_say(self, method, answers, batch):
        student, teacher = answers
        terms = method.losses(student, teacher, batch)
        mine = [head(maps) for head, maps in zip(method.heads, student.features)]
        theirs = [head(maps) for head, maps in zip(method.teacher_heads, teacher.features)]
        vectors = [vector for vector, _ in mine] + [student.embedding]
        taught = [vector for vector, _ in theirs] + [teacher.embedding]
        distances = [tofd_loss(resize(v), t) for resize, v, t in zip(method.resizers, vectors, taught)]
        torch.testing.assert_close(terms["tofd_features"].value, sum(distances))
        scores = [z for _, z in mine] + [student.logits]
        softened = [
            ce_soft_loss(z, t, temperature=1 + 3 * 0.5)
            for z, t in zip(scores, [z for _, z in theirs] + [teacher.logits])
        ]
        torch.testing.assert_close(terms["tofd_answers"].value, sum(softened))
        labels = sum(F.cross_entropy(z, batch.targets) for z in scores[:-1])  # the deepest is the task's own
        torch.testing.assert_close(terms["tofd_labels"].value, labels, check_dtype=False, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(
            terms["tofd_orthogonal"].value, sum(orthogonality(r.weight) for r in method.resizers)
        )
        assert [round(term.weight, 3) for term in terms.values()] == [0.566, 1, 1, 0.03]

    def test_temperature_grows_from_one_to_four(self, method, answers, batch):
        student, teacher = answers
        last = Batch(batch.data, batch.index, 0, Clock(999, 1000, 10))
        first = Batch(batch.data, batch.index, 0, Clock(0, 1000, 10))
        theirs = [head(maps)[1] for head, maps in zip(method.teacher_heads, teacher.features)] + [teacher.logits]
        mine = [head(maps)[1] for head, maps in zip(method.heads, student.features)] + [student.logits]
        for moment, temperature in ((first, 1.0), (last, 1 + 3 * 0.999)):
            wanted = sum(ce_soft_loss(*both, temperature=temperature) for both in zip(mine, theirs))
            torch.testing.assert_close(method.losses(student, teacher, moment)["tofd_answers"].value, wanted)

    def test_teachers_classifiers_learn_first_and_then_rest(self, trained, small):
        run = trained(lambda setting: TOFD.build(setting, share=1.0), steps=8, stop=8)
        assert [stage.name for stage in run.stages] == ["teacher heads", "main"] and run.at == 1
        (method,) = run.scheme.methods
        before = {name: value.clone() for name, value in method.teacher_heads.state_dict().items()}
        student = [p.clone() for p in run.scheme.student.parameters()]
        while run.active:
            run.advance()
        assert all(torch.equal(value, before[name]) for name, value in method.teacher_heads.state_dict().items())
        moved = [not torch.equal(a, b) for a, b in zip(student, run.scheme.student.parameters())]
        assert all(moved) and run.failed is None

    def test_a_student_comes_nearer_once_the_teachers_classifiers_rest(self, trained):
        run = trained(lambda setting: TOFD.build(setting, share=0.5), steps=60)
        first, *_, last = [entry["terms"] for entry in run.curve if entry["stage"] == "main"]
        assert last["student/tofd_features"] < 0.9 * first["student/tofd_features"]
        assert last["student/tofd_labels"] < first["student/tofd_labels"]

    def test_teachers_classifiers_learn_the_labels(self, trained, small):
        _, teacher, data = small
        losses = []
        for stop in (1, 40):
            (method,) = trained(lambda setting: TOFD.build(setting, share=1.0), steps=40, stop=stop).scheme.methods
            method.teacher_heads.train()
            (head,) = method.teacher_heads
            losses.append(F.cross_entropy(head(teacher(data.inputs).features[0])[1], data.targets))
        assert losses[1] < 0.8 * losses[0]

    def test_networks_without_an_embedding_end_in_their_averaged_map(self, sized, answers, batch):
        method = TOFD.build(sized(SHAPES, WIDER)).double()
        assert (method.resizers[-1].in_features, method.resizers[-1].out_features) == (8, 12)
        for said in answers:
            said.embedding = None
        assert method.losses(*answers, batch)["tofd_features"].value.isfinite()

    @pytest.mark.parametrize(
        ("student", "teacher", "settings", "says"),
        [
            (SHAPES[:1], WIDER[:1], {}, "auxiliary classifiers need as many stages of both, at least 2, got 1"),
            (SHAPES, WIDER[:2], {}, "the student has 3 stages and the teacher 2: name the pairs"),
            (SHAPES, WIDER, {"form": "sum"}, "form must be 'example' or 'batch', got 'sum'"),
            (SHAPES, WIDER, {"warming": -1.0}, "warming must be at least 0, got -1"),
        ],
    )
    def test_method_refuses_what_cannot_be(self, sized, student, teacher, settings, says):
        with pytest.raises(Refusal, match=says):
            TOFD.build(sized(student, teacher), **settings)

    def test_all_but_the_teachers_classifiers_train_with_the_student(self, method):
        assert method.adapters() == [method.heads, method.resizers]
        assert all(isinstance(resize, nn.Linear) and resize.bias is None for resize in method.resizers)
