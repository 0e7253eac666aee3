"""What a reader may rely on in matched Jacobians, one claim a test."""

import math

import pytest
import torch
from torch import nn
from torch.testing import assert_close

from kdcore.losses import jacobian_matching_loss
from kdcore.losses.relation.jacobian import JacobianMatching
from kdcore.randomness import seeded
from kdcore.types import Outputs, Refusal


class Net(nn.Module):
    """One stage and a head; counts how often it is asked."""

    def __init__(self, width: int):
        super().__init__()
        self.stage, self.head, self.asked = nn.Conv2d(1, width, 3, padding=1), nn.Linear(width, 4), 0

    def forward(self, images):
        self.asked += 1
        features = torch.tanh(self.stage(images))
        return Outputs(self.head(features.mean((2, 3))), (features,), ask=self)


@pytest.fixture
def networks():
    student, teacher = (seeded(lambda w=width: Net(w), width) for width in (3, 5))
    return student.double(), teacher.double().requires_grad_(False)


@pytest.fixture
def batch(batch_of, sines):
    return batch_of(torch.tensor([0, 3, 1, 2, 2]), images=sines(5, 1, 4, 4, speed=0.3) / 4)


def slope(network, images, pick):
    images = images.detach().clone().requires_grad_()
    return torch.autograd.grad(pick(network(images)).sum(), images)[0]


class TestJacobianMatching:
    def test_value_worked_by_hand(self):
        student, teacher = torch.tensor([[[[3.0, 4.0]]]]), torch.tensor([[[[0.0, 2.0]]]])  # (0.6, 0.8) and (0, 1)
        assert jacobian_matching_loss(student, teacher).item() == pytest.approx(0.36 + 0.04)
        assert jacobian_matching_loss(student, teacher, form="mean").item() == pytest.approx(0.2)

    @pytest.mark.parametrize(("form", "share"), [("sum", 1), ("mean", 1 / 96)])
    def test_is_the_equation_of_the_paper(self, maps, form, share):
        each = []
        for s, t in zip(*(m.detach().flatten(1).tolist() for m in maps)):
            lengths = [math.sqrt(sum(a * a for a in row)) for row in (s, t)]
            each.append(share * sum((a / lengths[0] - b / lengths[1]) ** 2 for a, b in zip(s, t)))
        found = jacobian_matching_loss(*maps, form=form, reduction="none")
        assert found.tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_other_peoples_code(self, reference, found, theirs):
        """Their function takes logits and differentiates; ours is handed the gradients of the same networks."""
        index = torch.arange(192, dtype=torch.float64).view(48, 4)
        images = torch.sin(0.5 * torch.arange(144, dtype=torch.float64).view(3, 3, 4, 4) + 1).requires_grad_()
        weights = [torch.sin(speed * index + 1) / 10 for speed in (0.7, 1.3)]
        weights[0].requires_grad_()
        targets = torch.tensor([0, 3, 1])[:, None]
        numbers = (torch.tanh(images.flatten(1) @ weight).gather(1, targets).sum() for weight in weights)
        slopes = [torch.autograd.grad(number, images, create_graph=True)[0] for number in numbers]
        for known in reference("jacobian-matching"):
            value = jacobian_matching_loss(*slopes, **known["settings"])
            assert found(value, weights[0], known["gradient_at"]) == pytest.approx(theirs(known), rel=1e-10)

    def test_only_the_direction_counts(self, maps):
        student, teacher = maps
        assert_close(jacobian_matching_loss(7 * student, teacher / 3), jacobian_matching_loss(student, teacher))
        assert jacobian_matching_loss(-teacher, teacher).item() == pytest.approx(4)
        dead = torch.zeros_like(teacher, requires_grad=True)
        value = jacobian_matching_loss(dead, teacher)
        assert value.item() == pytest.approx(1) and torch.autograd.grad(value, dead)[0].isfinite().all()

    def test_for_linear_networks_it_is_what_input_noise_adds(self):
        """E (g(x + n) - h(x + n))^2 = (g(x) - h(x))^2 + sigma^2 |J_g - J_h|^2, exactly."""
        weights = torch.tensor([[1.0, -2.0, 0.5], [0.3, 0.4, -1.0]], dtype=torch.float64)
        x, sigma = torch.tensor([0.7, -0.1, 0.2], dtype=torch.float64), 0.1
        noise = sigma * torch.cat([torch.eye(3), -torch.eye(3)]).double() * 3**0.5  # the same second moments
        apart = lambda points: points @ (weights[0] - weights[1])
        noisy = apart(x + noise).square().mean()
        wanted = apart(x).square() + sigma**2 * (weights[0] - weights[1]).square().sum()
        assert_close(noisy, wanted)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_jacobians": torch.zeros(4, 6, 4, 3)}, "must have the same shape"),
            ({"form": "norm"}, "form must be 'sum' or 'mean', got 'norm'"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, maps, change, says):
        with pytest.raises(ValueError, match=says):
            jacobian_matching_loss(**dict(zip(("student_jacobians", "teacher_jacobians"), maps)) | change)

    @pytest.mark.parametrize("of", ["logit", "label", "attention"])
    def test_method_differentiates_what_it_is_told(self, networks, batch, of):
        said, taught = (net(batch.inputs) for net in networks)
        (term,) = JacobianMatching(of=of).losses(said, taught, batch).values()
        squares = taught.features[0].square().sum(1).flatten(1)
        where = {"logit": taught.logits.argmax(1), "label": batch.targets, "attention": squares.argmax(1)}[of]
        if of == "attention":
            pick = lambda answer: answer.features[0].square().sum(1).flatten(1).gather(1, where[:, None])
        else:
            pick = lambda answer: answer.logits.gather(1, where[:, None])
        wanted = jacobian_matching_loss(*(slope(net, batch.inputs, pick) for net in networks), form="mean")
        assert term.weight == 20
        assert_close(term.value, wanted)

    def test_gradient_of_the_gradient_reaches_the_student_alone(self, networks, batch):
        student, teacher = networks
        (term,) = JacobianMatching().losses(student(batch.inputs), teacher(batch.inputs), batch).values()
        term.value.backward()
        reached = {name for name, weight in student.named_parameters() if weight.grad is not None}
        assert reached >= {"stage.weight", "head.weight"} and all(p.grad is None for p in teacher.parameters())

    def test_gradient_is_right(self, networks, batch):
        student, teacher = networks
        said, taught, method = student(batch.inputs), teacher(batch.inputs), JacobianMatching(form="sum")
        value = lambda: next(iter(method.losses(said, taught, batch).values())).value
        (slope,) = torch.autograd.grad(value(), student.head.weight)
        with torch.no_grad():
            student.head.weight[1, 2] += 1e-6
            above = value().detach()
            student.head.weight[1, 2] -= 2e-6
            below = value().detach()
        assert ((above - below) / 2e-6).item() == pytest.approx(slope[1, 2].item(), rel=1e-5)

    def test_teacher_is_differentiated_once_for_all_runs(self, networks, batch):
        student, teacher = networks
        said, taught = student(batch.inputs), teacher(batch.inputs)
        values = [next(iter(JacobianMatching().losses(said, taught, batch).values())).value for _ in range(3)]
        assert teacher.asked == 2 and student.asked == 4 and values[0] == values[1] == values[2]

    def test_images_of_bytes_are_brought_to_the_unit_interval(self, networks, batch_of):
        images = (torch.arange(32).view(2, 1, 4, 4) * 8).to(torch.uint8)
        batch = batch_of(torch.tensor([0, 1]), images=images)
        nets = [net.float() for net in networks]
        (term,) = JacobianMatching().losses(*(net(images / 255) for net in nets), batch).values()
        assert term.value.isfinite()

    @pytest.mark.parametrize(
        ("given", "settings", "says"),
        [
            ({"logits": (7, 10)}, {}, "differentiated with respect to an image"),
            ({}, {"of": "attention"}, "the student names no stage in `features`"),
            ({}, {"of": "energy"}, "of must be 'logit', 'label' or 'attention', got 'energy'"),
        ],
    )
    def test_method_refuses_what_has_no_slope(self, setting, given, settings, says):
        with pytest.raises(Refusal, match=says):
            JacobianMatching.build(setting(**given), **settings)
