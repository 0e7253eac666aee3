"""What a reader may rely on when the student's feature is read by the teacher's classifier, one claim a test."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore.losses import srrl_loss
from kdcore.losses.feature.classifier import ENTRIES, SRRL, classifier_of
from kdcore.types import Outputs, Refusal


@pytest.fixture
def given(sines):
    """Features of size 3 and answers over five classes."""
    features = sines(4, 3, speed=0.7).requires_grad_(), sines(4, 3, speed=1.3)
    return *features, sines(4, 5, speed=0.9).requires_grad_(), sines(4, 5, speed=1.1)


@pytest.fixture
def classifier(sines):
    layer = nn.Linear(12, 5).double()
    layer.weight.data, layer.bias.data = sines(5, 12, speed=0.9), sines(5, speed=1.1)
    return layer


NAMES = ("student_embedding", "teacher_embedding", "student_logits", "teacher_logits")


class TestSRRL:
    def test_value_worked_by_hand(self):
        feature, target = torch.tensor([[1.0, 3.0]]), torch.tensor([[0.0, 1.0]])  # squares 1 and 4
        scores, wanted = torch.tensor([[2.0, 0.0, 1.0]]), torch.tensor([[0.0, 0.0, 0.0]])  # squares 4, 0 and 1
        assert srrl_loss(feature, target, scores, wanted).item() == pytest.approx(5 / 2 + 5 / 3)
        assert srrl_loss(feature, target, scores, wanted, logit_weight=0.0).item() == pytest.approx(5 / 2)

    @pytest.mark.parametrize("weight", [0.0, 1.0, 2.5])
    def test_is_the_sum_of_two_mean_squares(self, given, weight):
        each = []
        for s, t, p, q in zip(*(x.tolist() for x in given)):
            feature = sum((a - b) ** 2 for a, b in zip(s, t)) / 3
            each.append(feature + weight * sum((a - b) ** 2 for a, b in zip(p, q)) / 5)
        found = srrl_loss(*given, logit_weight=weight, reduction="none")
        assert found.tolist() == pytest.approx(each, rel=1e-12)

    def test_zero_only_when_features_and_answers_agree(self, given):
        _, target, _, wanted = given
        assert srrl_loss(target, target, wanted, wanted) == 0
        assert srrl_loss(target + 1e-3, target, wanted, wanted) > 0
        assert srrl_loss(target, target, wanted + 1e-3, wanted) > 0

    def test_what_no_class_reads_costs_nothing_in_the_second_part(self, classifier, sines):
        """A move of the feature along the null space of the classifier's weights."""
        feature = sines(4, 12, speed=0.7)
        idle = torch.linalg.svd(classifier.weight.detach()).Vh[-1]
        moved = classifier(feature + 3 * idle)
        torch.testing.assert_close(moved, classifier(feature))
        both = srrl_loss(feature + 3 * idle, feature, moved, classifier(feature))
        torch.testing.assert_close(both, torch.tensor(9 / 12, dtype=torch.float64))

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            (
                {"teacher_embedding": torch.zeros(4, 2)},
                ValueError,
                r"student_embedding and teacher_embedding .* \(4, 2\)",
            ),
            ({"teacher_logits": torch.zeros(1, 5)}, ValueError, r"student_logits and teacher_logits .* \(1, 5\)"),
            ({"student_logits": torch.zeros(4, 5).long()}, TypeError, "student_logits must hold floating"),
            ({"logit_weight": -1.0}, ValueError, "logit_weight must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, given, change, error, says):
        with pytest.raises(error, match=says):
            srrl_loss(**dict(zip(NAMES, given)) | change)


class TestSRRLMethod:
    def test_agrees_with_the_authors_code_and_with_simkds(
        self, classifier, filled, batch, sines, reference, found, theirs
    ):
        for known in reference("srrl"):
            on = known["settings"]["on"]
            method = filled(SRRL(8, classifier, on=on))
            if on == "map":
                mine, feature = sines(6, 8, 4, 4, speed=0.7), sines(6, 12, 3, 3, speed=1.3).mean((2, 3))
                student = Outputs(sines(6, 5, speed=0.7), (mine,))
            else:
                mine, feature = sines(6, 8, speed=0.7), sines(6, 12, speed=1.3)
                student = Outputs(sines(6, 5, speed=0.7), embedding=mine)
            mine.requires_grad_()
            teacher = Outputs(classifier(feature).detach(), embedding=feature)
            (term,) = method.losses(student, teacher, batch).values()
            assert found(term.value, mine, known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    def test_map_and_embedding_are_two_features_of_one_student(self, classifier, filled, batch, sines):
        maps = sines(6, 8, 4, 4, speed=0.7)
        student = Outputs(sines(6, 5, speed=0.7), (maps,), embedding=maps.mean((2, 3)))
        teacher = Outputs(sines(6, 5, speed=1.1), embedding=sines(6, 12, speed=1.3))
        values = [
            filled(SRRL(8, classifier, on=on)).losses(student, teacher, batch)["srrl"].value
            for on in ("map", "embedding")
        ]
        assert abs(values[0] - values[1]) > 1e-2  # norm and ReLU come before the mean or after it

    def test_the_teachers_weights_are_a_copy_that_is_neither_learned_nor_saved(self, classifier, batch, sines):
        method = SRRL(8, classifier).double()
        assert {name.split(".")[0] for name, _ in method.named_parameters()} == {"connector"}
        assert all(name.startswith("connector.") for name in method.state_dict())
        before = method.scores.clone()
        classifier.weight.data.zero_()
        assert torch.equal(method.scores, before)

    def test_says_of_a_perfect_feature_what_the_teacher_says(self, classifier, sines):
        feature = sines(6, 12, speed=1.3)
        method = SRRL(8, classifier)
        torch.testing.assert_close(F.linear(feature, method.scores, method.offsets), classifier(feature))

    def test_entries_differ_in_what_is_connected(self):
        assert {entry.key: entry.settings for entry in ENTRIES} == {"srrl": {}, "srrl-simkd": {"on": "embedding"}}

    def test_is_built_for_networks_of_any_sizes(self, sized, classifier):
        setting = sized([(116, 16, 16), (464, 4, 4)], [(256, 8, 8)], (1024, 12))
        setting = replace(setting, classes=5, teacher_network=nn.Sequential(nn.Linear(12, 12), classifier))
        assert SRRL.build(setting).connector[0].in_channels == 464
        assert SRRL.build(setting, on="embedding").connector[0].in_channels == 1024

    @pytest.mark.parametrize(
        ("embeddings", "settings", "says"),
        [
            ((8, None), {}, "SRRL connects features that a classifier reads, and a network names no embedding"),
            ((None, 12), {"on": "embedding"}, "a network names no embedding"),
            ((8, 12), {"on": "logits"}, "on must be 'map' or 'embedding', got 'logits'"),
            ((8, 12), {"classifier": "head"}, "the teacher must have one linear layer called 'head', found 0"),
            ((8, 11), {}, "one linear layer from 11 features to 5 classes, found 0"),
        ],
    )
    def test_refuses_an_impossible_pair(self, sized, classifier, embeddings, settings, says):
        setting = sized([(8, 4, 4)], [(12, 4, 4)], embeddings)
        with pytest.raises(Refusal, match=says):
            SRRL.build(replace(setting, classes=5, teacher_network=nn.Sequential(classifier)), **settings)


class TestClassifierOf:
    def test_finds_the_layer_by_its_size_or_by_its_name(self, classifier):
        network = nn.ModuleDict({"hidden": nn.Linear(12, 12), "fc": classifier})
        assert classifier_of(network, 12, 5) is classifier is classifier_of(network, 12, 5, "fc")

    def test_refuses_to_guess_between_two(self, classifier):
        with pytest.raises(Refusal, match="one linear layer from 12 features to 5 classes, found 2"):
            classifier_of(nn.ModuleList([classifier, nn.Linear(12, 5)]), 12, 5)
