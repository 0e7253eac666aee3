"""What a reader may rely on in contrasted relations, one claim a test."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from kdcore.engine import fit
from kdcore.losses import ce_ground_truth_loss, crcd_loss
from kdcore.losses.contrastive._scores import unit
from kdcore.losses.contrastive.relations import CRCD, ENTRIES, classifier_weights, label_gradients, relations
from kdcore.types import Outputs, Refusal, Setting

OWN, ANCHORS = (4, 12, 1, 18), (3, 11, 0, 19)


@pytest.fixture
def given(projections, banks):
    """Anchors, own rows and others that have none in common."""
    rest = torch.tensor([row for row in range(20) if row not in ANCHORS])
    others = rest[(torch.arange(28).view(4, 7) * 3 + 1) % 16]
    return (*projections(), *banks, torch.tensor(OWN), others, torch.tensor(ANCHORS))


def half(vector, bank, own, others, anchors, temperature, log_z) -> float:
    """One side of one example, from the equation: each anchor in turn."""
    length = math.hypot(*vector)
    noise, values = len(others) / len(bank), []
    for anchor in anchors:
        start = bank[anchor]
        way = [x / length - a for x, a in zip(vector, start)]

        def likely(row: int, start=start, way=way) -> float:
            end = [x - a for x, a in zip(bank[row], start)]
            cosine = sum(x * y for x, y in zip(way, end)) / (math.hypot(*way) * math.hypot(*end))
            return math.exp(cosine / temperature) / math.exp(log_z)

        if own != anchor:
            value = -math.log(likely(own) / (likely(own) + noise))
            value -= sum(math.log(noise / (likely(row) + noise)) for row in others if row != anchor)
            values.append(value)
    return sum(values) / len(values) if values else 0.0


class TestCRCD:
    def test_value_worked_by_hand(self):
        one, bank = torch.tensor([[2.0, 0.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]])
        rows = torch.tensor([0]), torch.tensor([[1]]), torch.tensor([2])
        value = crcd_loss(one, one, bank, bank, *rows, temperature=1.0)  # cosines 1 and sqrt(1/2), noise 1/3
        side = math.log(1 + 1 / (3 * math.e)) + math.log(1 + 3 * math.exp(math.sqrt(0.5)))
        assert value.item() == pytest.approx(2 * side, rel=1e-6)

    @pytest.mark.parametrize(("temperature", "log_normalisers"), [(0.05, (0.0, 0.0)), (0.5, (2.0, -1.0))])
    def test_is_the_equation(self, given, temperature, log_normalisers):
        student, teacher, students, teachers, own, others, anchors = (value.tolist() for value in given)
        each = [
            half(s, teachers, i, k, anchors, temperature, log_normalisers[0])
            + half(t, students, i, k, anchors, temperature, log_normalisers[1])
            for s, t, i, k in zip(student, teacher, own, others)
        ]
        options = {"temperature": temperature, "log_normalisers": log_normalisers, "reduction": "none"}
        assert crcd_loss(*given, **options).tolist() == pytest.approx(each, rel=1e-10)

    def test_leaves_out_anchors_that_are_the_sample_and_negatives_that_are_the_anchor(self, projections, banks, rows):
        (student, teacher), (own, others) = projections(), rows()
        anchors = torch.cat([own[:2], others[2, :2]])
        found = crcd_loss(student, teacher, *banks, own, others, anchors, temperature=0.5, reduction="none")
        plain = [value.tolist() for value in (student, teacher, *banks, own, others, anchors)]
        s, t, students, teachers, own, others, anchors = plain
        each = [
            half(s[n], teachers, own[n], others[n], anchors, 0.5, 0.0)
            + half(t[n], students, own[n], others[n], anchors, 0.5, 0.0)
            for n in range(4)
        ]
        assert found.tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_the_published_code(self, given, reference):
        student, teacher, students, teachers, own, others, anchors = given
        (known,) = reference("crcd")
        picked = torch.cat([own[:, None], others], 1)
        sides = (student, teachers), (teacher, students)
        scores = [relations(unit(v), bank, picked, anchors) / 0.05 for v, bank in sides]
        log_z = [(20 * side.detach().exp().mean()).log() for side in scores]
        loss = crcd_loss(*given, log_normalisers=torch.stack(log_z), epsilon=1e-7)
        slopes, at = torch.autograd.grad(loss, (student, teacher)), tuple(known["gradient_at"])
        mine = [loss.item(), *(x for slope in slopes for x in (slope.norm().item(), slope[at].item()))]
        names = ("value", "gradient_norm", "gradient", "teacher_gradient_norm", "teacher_gradient")
        assert mine == pytest.approx([known[name] for name in names], rel=1e-10)

    def test_moving_everything_together_changes_no_relation(self, given, sines):
        student, _, _, teachers, own, others, anchors = given
        picked = torch.cat([own[:, None], others], 1)
        directions, shift = unit(student).detach(), sines(8, speed=0.21)
        value = relations(directions, teachers, picked, anchors)
        torch.testing.assert_close(relations(directions + shift, teachers + shift, picked, anchors), value)
        turn, _ = torch.linalg.qr(sines(8, 8, speed=0.37))
        torch.testing.assert_close(relations(directions @ turn, teachers @ turn, picked, anchors), value)
        assert not torch.allclose(relations(directions + shift, teachers, picked, anchors), value)

    def test_an_example_with_no_other_anchor_is_nothing(self, given):
        student, teacher, students, teachers, own, others, _ = given
        one = (student[:1], teacher[:1], students, teachers, own[:1], others[:1], own[:1])
        value = crcd_loss(*one)
        gradients = torch.autograd.grad(value, (student, teacher))
        assert value == 0 and all((gradient == 0).all() for gradient in gradients)

    def test_equal_rows_have_no_relation_and_finite_gradients(self, given):
        student, teacher, _, _, *rows = given
        same = torch.ones(20, 8, dtype=torch.float64)
        value = crcd_loss(student, teacher, same, same, *rows)
        gradients = torch.autograd.grad(value, (student, teacher))
        assert value == 0 and all(gradient.isfinite().all() for gradient in gradients)

    def test_banks_are_constants_and_both_projections_learn(self, given):
        student, teacher, students, teachers, *rows = given
        students.requires_grad_()
        teachers.requires_grad_()
        crcd_loss(student, teacher, students, teachers, *rows).backward()
        assert student.grad.abs().max() > 0 and teacher.grad.abs().max() > 0
        assert students.grad is None and teachers.grad is None

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"teacher_projection": torch.zeros(4, 7)}, ValueError, "must hold vectors of one size, got 8 and 7"),
            ({"anchor_rows": torch.tensor([20])}, ValueError, "anchor_rows must lie in 0 .. 19, got 20"),
            (
                {"anchor_rows": torch.zeros(0).long()},
                ValueError,
                r"anchor_rows must have shape \(anchors\)",
            ),
            ({"own_rows": torch.zeros(4)}, TypeError, "own_rows must hold whole numbers"),
            ({"temperature": 0.0}, ValueError, "temperature must be above 0, got 0"),
            ({"reduction": "average"}, ValueError, "reduction must be"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, given, change, error, says):
        names = ("student_projection", "teacher_projection", "bank_of_students", "bank_of_teachers")
        names = (*names, "own_rows", "other_rows", "anchor_rows")
        with pytest.raises(error, match=says):
            crcd_loss(**dict(zip(names, given)) | change)


class TestLabelGradients:
    """The second element: what the labels ask of an embedding."""

    def test_is_what_automatic_differentiation_gives(self, sines):
        classifier = nn.Linear(6, 10).double()
        embedding, targets = sines(8, 6, speed=0.7).requires_grad_(), torch.arange(8)
        logits = classifier(embedding)
        (expected,) = torch.autograd.grad(ce_ground_truth_loss(logits, targets), embedding)
        torch.testing.assert_close(label_gradients(logits, targets, classifier.weight), expected)

    def test_the_student_s_learns_through_its_scores_and_its_classifier(self, sines):
        logits, weight = (sines(*shape, speed=0.7).requires_grad_() for shape in ((8, 10), (10, 6)))
        given = label_gradients(logits, torch.arange(8), weight).square().sum()
        assert all(slope.abs().max() > 0 for slope in torch.autograd.grad(given, (logits, weight)))

    def test_finds_the_last_layer_of_the_right_sizes(self):
        network = nn.Sequential(nn.Linear(6, 10), nn.ReLU(), nn.Linear(10, 6), nn.Linear(6, 10))
        assert classifier_weights(network, 6, 10) is network[3].weight
        for one in (network, None):
            with pytest.raises(Refusal, match="crcd needs a linear classifier of 7 to 10 numbers in both networks"):
                classifier_weights(one, 7, 10)


class TestBothElements:
    """The method."""

    def test_features_and_gradients_have_heads_and_banks_of_their_own(self, ask, teacher):
        said, taught, batch = ask()
        method = CRCD(4, 6, 40, 4, teacher.classifier.weight, size=8, negatives=12, weight=2.0, gradient_weight=0.5)
        terms = method.losses(said, taught, batch)
        features, gradients = terms["crcd_features"], terms["crcd_gradients"]
        assert [term.weight_at(p) for term in (features, gradients) for p in (0.0, 0.95, 0.97)] == [2, 2, 0, 1, 1, 0]
        assert features.value != gradients.value and method.adapters() == [method.features, method.gradients]
        weights = list(method.parameters())
        slopes = torch.autograd.grad(features.value + gradients.value, weights)
        assert len(weights) == 8 and all(slope.abs().max() > 0 for slope in slopes)

    def test_one_element_alone_needs_no_classifier(self, ask):
        settings = {entry.key: entry.settings for entry in ENTRIES}["crcd-features"]
        said, taught, batch = ask()
        method = CRCD.build(Setting(said, taught, 4, 40, nn.Identity()), size=8, negatives=12, **settings)
        assert list(method.losses(replace(said, ask=None), taught, batch)) == ["crcd_features"]

    def test_at_most_so_many_anchors_start_relations(self, ask, teacher):
        said, taught, batch = ask()
        few, all_of_them, more = (
            CRCD(4, 6, 40, 4, None, size=8, negatives=12, anchors=count, gradient_weight=0.0) for count in (3, 16, 64)
        )
        values = []
        for method in (few, all_of_them, more):
            method.load_state_dict(few.state_dict())
            values.append(method.losses(said, taught, batch)["crcd_features"].value)
        assert values[1] == values[2] != values[0]

    def test_with_banks_that_stand_still_the_loss_falls(self, ask):
        settings = {"size": 8, "negatives": 12, "momentum": 1.0, "gradient_weight": 0.0}
        method, (_, taught, batch) = CRCD(4, 6, 40, 4, None, **settings), ask()
        student = nn.Parameter(ask()[0].embedding.detach().clone())
        optimiser, values = torch.optim.SGD([student, *method.parameters()], 0.05), []
        for _ in range(30):
            (term,) = method.losses(Outputs(taught.logits, embedding=student), taught, batch).values()
            optimiser.zero_grad()
            term.value.backward()
            optimiser.step()
            values.append(term.value.item())
        assert values[-1] < 0.9 * values[0]

    @pytest.mark.parametrize("stop", [1, 6])
    def test_resumes_exactly_wherever_it_was_stopped(self, training, tmp_path, stop):
        settings = {"size": 8, "negatives": 12}
        whole = training(CRCD, **settings)
        fit([whole])
        stops = iter([False] * stop + [True] * 9)
        assert not fit([training(CRCD, tmp_path / "c", **settings)], should_stop=lambda: next(stops))
        again = training(CRCD, tmp_path / "c", **settings)
        assert fit([again]) and again.resumed == 1
        states = whole.scheme.state_dict(), again.scheme.state_dict()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"anchors": 0}, "crcd needs negatives, anchors and a size of at least 1, got 500, 0 and 128"),
            ({"until": 0.0}, "until must be above 0, got 0"),
            ({"gradient_weight": -1.0}, "gradient_weight must be at least 0, got -1"),
        ],
    )
    def test_refuses_what_cannot_be(self, settings, says):
        with pytest.raises(Refusal, match=says):
            CRCD(4, 6, 40, 4, None, **settings)

    def test_refuses_a_teacher_without_a_linear_classifier(self, ask):
        said, taught, _ = ask()
        with pytest.raises(Refusal, match="crcd needs a linear classifier of 6 to 4 numbers"):
            CRCD.build(Setting(said, taught, 4, 40, nn.Identity()))
