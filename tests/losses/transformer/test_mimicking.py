"""What a reader may rely on in ViTKD, one claim a test."""

import pytest
import torch
from torch import Tensor, nn

from kdcore.losses import vitkd_loss
from kdcore.losses.transformer.mimicking import Generator, ViTKD
from kdcore.models import build
from kdcore.randomness import seeded
from kdcore.tokens import TokenOutputs
from kdcore.types import Batch, Clock, Data, Outputs, Refusal, Setting, Task


@pytest.fixture
def five(sines) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Shallow of both, deep of both, and what is hidden: two examples, two layers, nine patches, width six."""
    student, teacher = (sines(2, 2, 9, 6, speed=speed) for speed in (0.7, 1.3))
    deep, taught = (sines(2, 9, 6, speed=speed) for speed in (0.9, 1.7))
    masked = (torch.arange(18) % 3 == 0).view(2, 9)
    return student.requires_grad_(), teacher, deep.requires_grad_(), taught, masked


def said(sines, width: int = 4, special: int = 1, grid=(3, 3), layers: int = 2, shift: float = 0.0, count: int = 2):
    length = special + grid[0] * grid[1]
    hidden = tuple(sines(count, length, width, speed=0.5 + shift + 0.1 * layer) for layer in range(layers + 1))
    tokens = sines(count, length, width, speed=0.9 + shift)
    return TokenOutputs(torch.zeros(count, 10), hidden=hidden, tokens=tokens, grid=grid)


def setting(student: Outputs, teacher: Outputs) -> Setting:
    return Setting(student, teacher, classes=10, samples=100, teacher_network=nn.Identity())


def a_batch(count: int = 2, step: int = 0) -> Batch:
    data = Data(torch.zeros(count, 1), torch.zeros(count, dtype=torch.long), Task(), {})
    return Batch(data, torch.arange(count), 0, Clock(step, 100, 10))


class TestVitkd:
    def test_value_worked_by_hand(self):
        student, teacher = torch.zeros(1, 2, 2, 2), torch.tensor([[[[1.0, 0], [0, 2]], [[0, 0], [0, 1]]]])  # 1, 4, 1
        deep, taught = torch.zeros(1, 2, 2), torch.tensor([[[3.0, 0.0], [0.0, 2.0]]])  # 9 seen, 4 hidden
        masked = torch.tensor([[False, True]])
        found = vitkd_loss(student, teacher, deep, taught, masked, mimicking_weight=0.5, generation_weight=0.25)
        assert found.item() == pytest.approx(0.5 * 6 + 0.25 * 4 / 0.5)

    def test_is_the_sum_over_layers_patches_and_widths(self, five):
        each = []
        for shallow, wanted, deep, taught, masked in zip(*(part.tolist() for part in five)):
            mimicked = sum((a - b) ** 2 for x, y in zip(shallow, wanted) for p, q in zip(x, y) for a, b in zip(p, q))
            pairs = [(p, q) for p, q, hidden in zip(deep, taught, masked) if hidden]
            guessed = sum((a - b) ** 2 for p, q in pairs for a, b in zip(p, q))
            each.append(3e-5 * mimicked + 3e-6 / 0.5 * guessed)
        assert vitkd_loss(*five, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_shallow_patches_all_count_and_deep_ones_where_they_were_hidden(self, five):
        shallow, deep = torch.autograd.grad(vitkd_loss(*five), (five[0], five[2]))
        hidden = five[4]
        assert (shallow != 0).any(-1).all() and torch.equal((deep != 0).any(-1), hidden)

    def test_zero_when_copied_and_guessed_right(self, five):
        _, shallow, _, deep, masked = five
        guessed = torch.where(masked[:, :, None], deep, deep + 5)
        assert vitkd_loss(shallow, shallow, guessed, deep, masked) == 0
        assert vitkd_loss(shallow, shallow, guessed, deep, ~masked) > 0

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"teacher_shallow": torch.zeros(2, 2, 9, 5)}, "student_shallow and teacher_shallow must have the same"),
            ({"teacher_deep": torch.zeros(2, 8, 6)}, "student_deep and teacher_deep must have the same shape"),
            ({"masked": torch.zeros(2, 8, dtype=torch.bool)}, r"masked must have shape \(2, 9\), got \(2, 8\)"),
            ({"ratio": 0.0}, "ratio must be above 0"),
            ({"mimicking_weight": -1.0}, "mimicking_weight must be at least 0"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, five, change, says):
        names = ("student_shallow", "teacher_shallow", "student_deep", "teacher_deep", "masked")
        with pytest.raises(ValueError, match=says):
            vitkd_loss(**dict(zip(names, five)) | change)


def filled(method: ViTKD) -> ViTKD:
    """Every learned tensor 0.3 sin(1.1 i + k), in the order of the reference's recipe."""
    maps = [weight for align in (*method.align, method.generate.align) for weight in align.parameters()]
    order = [*maps, method.generate.hidden, *method.generate.fill.parameters()]
    assert {id(weight) for weight in order} == {id(weight) for weight in method.parameters()}
    for k, weight in enumerate(order, 1):
        index = torch.arange(weight.numel(), dtype=torch.float64)
        weight.data = (0.3 * torch.sin(1.1 * index + k)).view(weight.shape)
    return method


class TestViTKD:
    def test_agrees_with_the_authors_code(self, sines, reference, found, theirs, monkeypatch):
        """Value and gradient, with the draw that hides patches fixed to the reference's."""
        noise = torch.sin(2.9 * torch.arange(18, dtype=torch.float64) + 0.5).view(2, 9)
        monkeypatch.setattr(torch, "rand", lambda *shape, **options: noise)
        for known in reference("vitkd"):
            width, place = known["student_width"], known["gradient_at"]
            low = sines(2, 2, 9, width, speed=0.7).requires_grad_()
            high = sines(2, 9, width, speed=0.9).requires_grad_()
            hidden = lambda states: (states[:, 0], states[:, 0], states[:, 1])  # what is read first plays no part
            taught = hidden(sines(2, 2, 9, 6, speed=1.3))
            student = TokenOutputs(torch.zeros(2, 10), hidden=hidden(low), tokens=high, grid=(3, 3))
            teacher = TokenOutputs(torch.zeros(2, 10), hidden=taught, tokens=sines(2, 9, 6, speed=1.7), grid=(3, 3))
            method = filled(ViTKD.build(setting(student, teacher)))
            terms = method.losses(student, teacher, a_batch()).values()
            total = sum(term.weight * term.value for term in terms)
            source = {"shallow": low, "deep": high}[known["gradient_to"]]
            assert found(total, source, place) == pytest.approx(theirs(known), rel=1e-10)

    def test_its_terms_add_up_to_the_loss(self, sines):
        student, teacher = said(sines), said(sines, width=6, shift=0.3)
        method = seeded(lambda: ViTKD.build(setting(student, teacher)), 0).double()
        shallow, deep = ([part[:, 1:] for part in both] for both in (student.hidden[1:], [student.tokens]))
        masked = method.hide(2, a_batch())
        copied = torch.stack([align(part) for align, part in zip(method.align, shallow)], 1)
        wanted = torch.stack([part[:, 1:] for part in teacher.hidden[1:]], 1)
        expected = vitkd_loss(copied, wanted, method.generate(deep[0], masked), teacher.tokens[:, 1:], masked)
        terms = method.losses(student, teacher, a_batch()).values()
        torch.testing.assert_close(sum(term.weight * term.value for term in terms), expected)

    def test_hides_half_of_every_image_and_other_patches_at_each_step(self, sines):
        method = ViTKD(4, 6, (4, 4))
        draws = [method.hide(5, a_batch(5, step)) for step in (0, 0, 1)]
        assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
        assert (draws[0].sum(1) == 8).all() and len({tuple(row.tolist()) for row in draws[0]}) > 1

    def test_equal_widths_are_not_mapped(self):
        assert not list(ViTKD(6, 6, (3, 3)).align.parameters())
        assert len(list(ViTKD(4, 6, (3, 3)).align.parameters())) == 4

    def test_class_and_distillation_tokens_take_no_part(self, sines):
        student, teacher = said(sines, special=2), said(sines, width=6, special=1, shift=0.3)
        method = seeded(lambda: ViTKD.build(setting(student, teacher)), 0).double()
        before = [term.value.item() for term in method.losses(student, teacher, a_batch()).values()]
        for outputs in (student, teacher):
            for state in (*outputs.hidden, outputs.tokens):
                state[:, : outputs.special] += 7
        assert [term.value.item() for term in method.losses(student, teacher, a_batch()).values()] == before

    def test_a_finer_grid_is_averaged_down(self, sines):
        student, teacher = said(sines, grid=(4, 4)), said(sines, width=6, grid=(2, 2), shift=0.3)
        method = seeded(lambda: ViTKD.build(setting(student, teacher)), 0).double()
        terms = method.losses(student, teacher, a_batch())
        cells = student.hidden[1][:, 1:].view(2, 2, 2, 2, 2, 4).mean((2, 4)).flatten(1, 2)
        first = (method.align[0](cells) - teacher.hidden[1][:, 1:]).square().sum((1, 2))
        cells = student.hidden[2][:, 1:].view(2, 2, 2, 2, 2, 4).mean((2, 4)).flatten(1, 2)
        second = (method.align[1](cells) - teacher.hidden[2][:, 1:]).square().sum((1, 2))
        torch.testing.assert_close(terms["vitkd_mimicking"].value, (first + second).mean())

    def test_generator_cannot_see_what_is_hidden(self):
        generate = seeded(lambda: Generator(4, 6, (3, 3)), 0)
        states, masked = torch.randn(2, 9, 4, generator=torch.Generator().manual_seed(0)), torch.zeros(2, 9).bool()
        masked[:, 4] = True
        other = states.clone()
        other[:, 4] += 3
        assert torch.equal(generate(states, masked), generate(other, masked))
        assert not torch.equal(generate(states, ~masked), generate(other, ~masked))

    def test_serves_networks_of_different_depth_and_width(self):
        student, teacher = build("digits-deit-student", 10), build("digits-vit-teacher", 10).requires_grad_(False)
        images = torch.linspace(0, 1, 2 * 64).view(2, 1, 8, 8)
        mine, theirs = student(images), teacher(images)
        method = seeded(lambda: ViTKD.build(setting(mine, theirs)), 0)
        terms = method.losses(mine, theirs, a_batch())
        sum(term.value for term in terms.values()).backward()
        assert all(weight.grad is not None for weight in method.parameters()) and method.grid == (4, 4)
        assert student.norm.weight.grad is not None and student.classifier.weight.grad is None

    @pytest.mark.parametrize(
        ("student", "teacher", "settings", "says"),
        [
            (None, {}, {}, "vitkd needs an image's patches as tokens, and the student has none"),
            ({}, None, {}, "and the teacher has none"),
            ({"layers": 1}, {}, {}, "the student has layers 1 .. 1"),
            ({}, {}, {"pairs": [[1, 5]]}, "the teacher has layers 1 .. 2"),
            ({}, {}, {"ratio": 1.0}, "ratio must lie between 0 and 1, got 1"),
            ({}, {}, {"weight": -1.0}, "weight must be at least 0"),
        ],
    )
    def test_refuses_what_cannot_be(self, sines, student, teacher, settings, says):
        both = [Outputs(torch.zeros(2, 10)) if how is None else said(sines, **how) for how in (student, teacher)]
        with pytest.raises(Refusal, match=says):
            ViTKD.build(setting(*both), **settings)
