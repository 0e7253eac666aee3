"""What a reader may rely on in activation boundaries, one claim a test."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from kdcore.losses import ab_loss, kd_loss
from kdcore.losses.feature.boundaries import AB
from kdcore.types import Outputs, Refusal


def before(setting):
    """The same with features as pre-activations too."""
    answers = (replace(said, preactivations=said.features) for said in (setting.student, setting.teacher))
    return replace(setting, **dict(zip(("student", "teacher"), answers)))


class TestAB:
    def test_value_worked_by_hand(self):
        student = torch.tensor([2.0, 0.5, -1.0, -3.0, 0.0]).view(1, 1, 1, 5)
        teacher = torch.tensor([0.1, 9.0, 9.0, -0.1, 0.0]).view(1, 1, 1, 5)  # zero counts as silent
        assert ab_loss(student, teacher).item() == 0 + 0.25 + 4 + 0 + 1
        assert ab_loss(student, teacher, margin=3.0).item() == 1 + 2.5**2 + 16 + 0 + 9

    @pytest.mark.parametrize("margin", [0.0, 1.0, 2.0])
    def test_is_the_equation(self, maps, margin):
        each = []
        for s, t in zip(*(m.flatten(1).tolist() for m in maps)):
            hinges = (margin - a if b > 0 else margin + a for a, b in zip(s, t))
            each.append(sum(max(0.0, hinge) ** 2 for hinge in hinges))
        assert ab_loss(*maps, margin=margin, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_the_authors_and_other_peoples_code(self, maps, reference, found, theirs):
        student, teacher = maps
        for known in reference("ab"):
            if known.get("part") == "stages":
                method = AB((((6, 4, 4), (6, 4, 4)),) * 3)
                answers = (Outputs(torch.zeros(4, 10), (), said) for said in self.stages(student, teacher))
                value = method.weight * method.boundaries(*answers)
            else:
                value = ab_loss(student, teacher, **known["settings"])
            assert found(value, student, known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    @staticmethod
    def stages(student, teacher):
        return (student,) * 3, (teacher, teacher / 2, -teacher)

    def test_only_the_teachers_side_counts(self, maps):
        student, teacher = maps
        torch.testing.assert_close(ab_loss(student, teacher.sign()), ab_loss(student, teacher))
        assert ab_loss(student, -teacher) != ab_loss(student, teacher)

    def test_agreement_is_free_only_from_the_margin_on(self, maps):
        _, teacher = maps
        assert ab_loss(1e3 * teacher, teacher) == 0 and ab_loss(0.01 * teacher, teacher) > 50
        assert ab_loss(0.01 * teacher, teacher, margin=0.0) == 0

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_features": torch.zeros(4, 6, 2, 2)}, r"must have the same shape, got \(4, 6, 4, 4\) and \(4, 6"),
            ({"margin": -1.0}, "margin must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, change, says):
        with pytest.raises(ValueError, match=says):
            ab_loss(**dict(zip(("student_features", "teacher_features"), maps)) | change)

    def test_nothing_stands_between_equal_shapes_and_a_normed_convolution_between_others(self, sized):
        shapes = [(4, 8, 8), (6, 4, 4), (8, 2, 2)], [(4, 8, 8), (9, 4, 4), (12, 4, 4)]
        same, channels, size = AB.build(before(sized(*shapes))).connectors
        assert isinstance(same, nn.Identity)
        assert [type(layer) for layer in channels] == [nn.Conv2d, nn.BatchNorm2d]
        assert size(torch.ones(2, 8, 2, 2)).shape == (2, 12, 4, 4) and (size(torch.randn(2, 8, 2, 2)) < 0).any()

    def test_first_stage_learns_boundaries_and_no_task(self, trained, small):
        run = trained(AB.build, steps=16, stop=2)
        (method,) = run.scheme.methods
        assert [stage.name for stage in run.stages] == ["boundaries", "main"] and run.clocks[0].steps == 2
        assert run.untouched["boundaries/boundaries"] == ["student.head.weight", "student.head.bias"]
        _, fresh = small[1](small[2].inputs), small[0]
        moved = [not torch.equal(a, b) for a, b in zip(run.scheme.student.parameters(), fresh.parameters())]
        assert moved == [True] * 8 + [False] * 2 and method.adapters() == []

    def test_first_stage_brings_the_student_to_the_teachers_side(self, trained, small):
        student, teacher, data = small
        run = trained(lambda setting: AB.build(setting, share=1.0), steps=40, stop=40, optimizer="adam")
        (method,) = run.scheme.methods
        taught = teacher(data.inputs)
        agreement = []
        for network in (student, run.scheme.student):
            network.train()
            pairs = zip(method.connectors, network(data.inputs).preactivations, taught.preactivations)
            agreement.append(torch.cat([((c(s) > 0) == (t > 0)).flatten() for c, s, t in pairs]).float().mean())
        assert agreement[1] > agreement[0] + 0.1

    def test_second_stage_is_the_teachers_answer_alone_without_the_square(self, case, asked):
        method = AB((((6, 4, 4), (6, 4, 4)),), ((0, 0),))
        (term,) = method.losses(*asked(*case)).values()
        torch.testing.assert_close(term.value, kd_loss(*case[:2], temperature=3.0) / 9)
        assert term.weight == 1 and method.task_weight == 0 and method.zero_at_agreement

    def test_or_the_labels_alone(self, trained):
        run = trained(lambda setting: AB.build(setting, then="labels"), steps=8)
        (method,) = run.scheme.methods
        assert run.failed is None and run.scheme.task_weight == 1 and not method.zero_at_agreement
        assert set(run.curve[-1]["terms"]) == {"student/task"}

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"then": "both"}, "then must be 'kd' or 'labels', got 'both'"),
            ({"share": 0.0}, "share must be above 0, got 0"),
            ({"margin": -1.0}, "margin must be at least 0, got -1"),
        ],
    )
    def test_method_refuses_settings_out_of_range(self, settings, says):
        with pytest.raises(Refusal, match=says):
            AB((((6, 4, 4), (6, 4, 4)),), ((0, 0),), **settings)

    def test_method_refuses_networks_without_pre_activations(self, sized):
        with pytest.raises(Refusal, match="matched before its ReLU, and the student names no pre-activations"):
            AB.build(sized([(4, 8, 8)], [(4, 8, 8)]))
