"""What every method of the catalogue promises to the engine."""

import pytest
import torch
from torch import Tensor, nn

from kdcore.types import Outputs


def learnable(held, seen: set[int]) -> list[Tensor]:
    """Every tensor with a gradient to come that is reachable from an object, in lists and dicts too."""
    if id(held) in seen:
        return []
    seen.add(id(held))
    if isinstance(held, Tensor):
        return [held] if held.requires_grad else []
    if isinstance(held, dict):
        inside = list(held.values())
    elif isinstance(held, list | tuple | set):
        inside = list(held)
    else:
        inside = list(vars(held).values()) if isinstance(held, nn.Module) else []
    return [tensor for value in inside for tensor in learnable(value, seen)]


# Where part of a loss is a constant by design, differences see what gradients do not: this takes that part out.
WITHOUT_CONSTANTS = {"dtd": {"bias": 0.0}, "dtd-cwsm": {"bias": 0.0}, "wsld": {"weighted": False}}


# Methods that jump where a map has directions without strength, as the maps here have; see `JUMPS` of test_losses.py.
JUMPS = {"kdsvd": "eigenvectors", "mhgd": "eigenvectors"}


def finite(made) -> bool:
    """Whether the loss and all that it sends back to the student are finite."""
    value = made.total()
    value.backward()
    slopes = [answer.grad for answer in made.answers() if answer.grad is not None]
    return bool(value.isfinite()) and len(slopes) > 0 and all(slope.isfinite().all() for slope in slopes)


class Echo(nn.Module):
    """A network that says what it was told to."""

    def __init__(self, said: Outputs):
        super().__init__()
        self.said, self.weight = (said,), nn.Parameter(torch.zeros(()))

    def forward(self, images: Tensor) -> Outputs:
        return self.said[0].map(lambda value: value + self.weight)


class TestEveryMethod:
    def test_terms_are_finite_scalars_with_weights(self, method, world):
        for name, term in world(method).terms().items():
            assert name.isidentifier() and term.value.shape == () and term.value.isfinite()
            assert all(0 <= term.weight_at(progress) < 1e5 for progress in (0.0, 0.5, 1.0))

    def test_gradients_are_right(self, method, world):
        if method.key in JUMPS:
            pytest.skip(f"differences are taken on maps of full rank in its own tests: {JUMPS[method.key]}")
        settings = method.settings | WITHOUT_CONSTANTS.get(method.key, {})
        made = world(method._replace(settings=settings), size=3, dtype=torch.float64)
        made.method.double()
        learned = [
            value
            for value in made.answers()
            if torch.autograd.grad(made.total(), value, allow_unused=True)[0] is not None
        ]
        assert torch.autograd.gradcheck(lambda *_: made.total(), learned, fast_mode=True, atol=1e-4)

    def test_teacher_is_a_constant_and_nothing_shared_is_written_on(self, method, world):
        made = world(method)
        for value in made.lessons():
            value.requires_grad_()
        shared = [*made.answers(), *made.lessons(), made.batch.targets]
        before = [(value._version, value.detach().clone()) for value in shared]
        made.total().backward()
        assert all(value.grad is None for value in made.lessons())
        assert all(
            value._version == version and torch.equal(value, old) for value, (version, old) in zip(shared, before)
        )

    def test_zero_when_both_agree_where_it_says_so_and_nowhere_else(self, method, world):
        made = world(method, agree=True, dtype=torch.float64)
        made.method.double()
        learned = [*made.answers(), *made.method.parameters()]
        slopes = torch.autograd.grad(made.total(), learned, allow_unused=True)
        steepest = max(slope.abs().max().item() for slope in slopes if slope is not None)
        rests = abs(made.total().item()) < 1e-9 and steepest < 1e-6
        assert rests == getattr(made.method, "zero_at_agreement", False)

    @pytest.mark.parametrize(("size", "classes"), [(1, 5), (2, 5), (6, 2), (257, 5)])
    def test_serves_batches_of_any_size_and_two_classes(self, method, world, size, classes):
        assert finite(world(method, size=size, classes=classes))

    @pytest.mark.parametrize("scale", [0.0, 500.0])
    def test_finite_on_hostile_answers(self, method, world, scale):
        assert finite(world(method, scale=scale))

    def test_finite_on_duplicate_answers(self, method, world):
        made = world(method)
        for value in (*made.answers(), *made.lessons()):
            value.data[1:] = value.data[:1]
        assert finite(made)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_half_answers_give_a_full_loss_inside_autocast(self, method, world, dtype):
        made = world(method, dtype=dtype)
        with torch.autocast("cpu", dtype):
            value = made.total()
        value.backward()
        assert value.dtype == torch.float32 and value.isfinite()
        assert all(slope.grad is None or slope.grad.isfinite().all() for slope in made.answers())

    def test_every_learnable_tensor_reaches_an_optimiser_and_a_gradient(self, method, world):
        made = world(method)
        student, teacher = (Echo(said.detach()) for said in (made.student, made.teacher))
        teacher.requires_grad_(False)
        made.batch.data.views["weak"] = lambda inputs, random: inputs
        stages = made.method.preparation(student, teacher)
        before = [
            module for stage in stages for update in stage.updates for module in update.trains if module is not student
        ]
        owners = [*made.method.adapters(), *made.method.critics(), *before]
        owned = {id(weight) for owner in owners for weight in owner.parameters()}
        found = learnable(made.method, set())
        assert {id(weight) for weight in found} <= owned
        losses = [
            made.total(),
            *(term.value for term in made.method.critic_losses(made.student, made.teacher, made.batch).values()),
        ]
        losses += [
            term.value for stage in stages for update in stage.updates for term in update.losses(made.batch).values()
        ]
        sum(losses).backward()
        assert all(weight.grad is not None for weight in found)

    def test_two_builds_from_one_seed_are_one(self, method, world):
        first, second = (world(method).method.state_dict() for _ in range(2))
        assert first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)

    def test_the_same_question_has_the_same_answer(self, method, world):
        made = world(method)
        torch.testing.assert_close(made.total(), made.total(), rtol=0, atol=0)
