"""A method in a loop of one's own: the same numbers as in the engine, and nothing of the teacher in it."""

import pytest
import torch
from torch import nn

from kdcore.catalogue import load
from kdcore.matching import Matching
from kdcore.models import wrap
from kdcore.types import Refusal

IMAGES, LABELS = torch.linspace(0, 1, 4 * 3 * 64).reshape(4, 3, 8, 8), torch.tensor([0, 1, 2, 0])


def network(width, seed):
    torch.manual_seed(seed)
    layers = nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(4), nn.Flatten())
    return wrap(nn.Sequential(*layers, nn.Linear(width * 16, 3)), layers=["1"], embedding="4:input")


def matching(key, **settings):
    torch.manual_seed(2)
    return Matching(key, network(4, 0), network(6, 1), IMAGES, **settings)


class TestLoss:
    def test_it_is_the_weighted_sum_of_its_terms(self):
        loss, terms = matching("kd", temperature=2.0)(IMAGES, LABELS)
        method = load("kd").make(temperature=2.0)
        weights = {"task": method.task_weight, "kd": method.weight}
        assert set(terms) == set(weights)
        assert loss.item() == pytest.approx(sum(weights[name] * terms[name].item() for name in terms), rel=1e-6)

    def test_it_is_what_the_plain_function_gives(self):
        from kdcore.losses import kd_loss

        made = matching("kd", temperature=2.0)
        said, taught = (net(IMAGES).logits for net in (made.scheme.student, network(6, 1)))
        assert made(IMAGES, LABELS).terms["kd"].item() == pytest.approx(kd_loss(said, taught, temperature=2.0).item())

    def test_terms_carry_no_graph_and_the_loss_does(self):
        loss, terms = matching("fitnet-joint")(IMAGES, LABELS)
        assert loss.requires_grad
        assert not any(term.requires_grad for term in terms.values())

    def test_the_task_can_be_left_out(self):
        loss, terms = matching("kd", task_weight=0.0)(IMAGES, LABELS)
        assert loss.item() == pytest.approx(load("kd").make().weight * terms["kd"].item(), rel=1e-6)

    def test_a_weight_that_changes_with_time_follows_the_step(self):
        made = matching("dkd", steps=100)
        first, late = (made(IMAGES, LABELS, step=step) for step in (0, 50))
        assert first.terms["dkd"] == late.terms["dkd"] > 0
        assert first.loss < late.loss  # warmed up over the first steps

    def test_a_second_view_is_handed_over(self):
        made = matching("crld")
        with_other = made(IMAGES, LABELS, views={"strong": IMAGES.flip(3)}).loss
        assert with_other != made(IMAGES, LABELS, views={"strong": IMAGES}).loss


class TestParts:
    def test_its_parameters_are_the_students_and_the_adapters(self):
        made = matching("fitnet-joint")
        names = {name.split(".")[1] for name, _ in made.named_parameters()}
        assert names == {"student", "methods"}

    def test_the_teacher_is_frozen_and_not_saved(self):
        teacher = network(6, 1)
        before = {name: value.clone() for name, value in teacher.state_dict().items()}
        made = Matching("fitnet-joint", network(4, 0), teacher, IMAGES)
        optimiser = torch.optim.SGD(made.parameters(), lr=0.1)
        for step in range(3):
            optimiser.zero_grad()
            made(IMAGES, LABELS, step=step).loss.backward()
            optimiser.step()
        assert not teacher.training and not any(value.requires_grad for value in teacher.parameters())
        assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
        shapes = [value.shape for value in made.state_dict().values()]
        assert teacher.network[0].weight.shape not in shapes

    def test_every_parameter_learns_and_the_loss_falls(self):
        made = matching("fitnet-joint")
        optimiser = torch.optim.SGD(made.parameters(), lr=1e-3)
        losses = []
        for _ in range(10):
            optimiser.zero_grad()
            loss = made(IMAGES, LABELS).loss
            loss.backward()
            assert all(value.grad is not None for value in made.parameters())
            optimiser.step()
            losses.append(loss.item())
        assert losses[-1] < losses[0]

    def test_what_is_saved_is_loaded_whole(self):
        one, two = matching("fitnet-joint"), Matching("fitnet-joint", network(4, 7), network(6, 1), IMAGES)
        two.load_state_dict(one.state_dict())
        assert torch.equal(one(IMAGES, LABELS).loss, two(IMAGES, LABELS).loss)

    def test_under_autocast_losses_stay_in_float32(self):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            loss, terms = matching("fitnet-joint")(IMAGES, LABELS)
        assert loss.dtype == torch.float32
        assert {term.dtype for term in terms.values()} == {torch.float32}


class TestRefusals:
    @pytest.mark.parametrize(
        ("key", "sentence"),
        [
            ("fitnet", r"fitnet trains in another stage first \(hint\): `kdcore train` carries out both"),
            ("gan-kd", r"gan-kd trains a critic with an optimiser of its own"),
            ("distillation", r"distillation is a scheme, and a loop of one's own takes a loss"),
            ("fitnett", r"'fitnett' is no key of the catalogue, the nearest is 'fitnet'"),
        ],
    )
    def test_what_such_a_loop_cannot_carry_out_says_so(self, key, sentence):
        with pytest.raises(Refusal, match=sentence):
            matching(key)

    def test_a_view_that_was_not_given_is_named(self):
        with pytest.raises(Refusal, match=r"give views=\{'strong': ...\} beside the inputs"):
            matching("crld")(IMAGES, LABELS)
