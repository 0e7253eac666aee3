"""What a reader may rely on when hidden states are aligned, one claim a test."""

import doctest
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from kdcore.engine import Recipe, Run, fit, setting_of
from kdcore.losses.transformer import hidden_states
from kdcore.losses.transformer.hidden_states import HiddenStateAlign, hidden_state_align_loss, layer_pairs
from kdcore.models.transformer import Transformer
from kdcore.randomness import seeded
from kdcore.schemes.offline import Distillation
from kdcore.tokens import TokenOutputs
from kdcore.types import Clock, Data, Outputs, Refusal, Setting, Task


@pytest.fixture
def case(sines) -> tuple[Tensor, Tensor, Tensor]:
    """Four texts of six tokens, states of width seven; 6, 4, 1 and 0 tokens count."""
    mask = torch.arange(6) < torch.tensor([6, 4, 1, 0])[:, None]
    return sines(4, 6, 7, speed=0.7).requires_grad_(), sines(4, 6, 7, speed=1.3), mask


def naive(student: Tensor, teacher: Tensor, mask: Tensor, form: str) -> list[float]:
    """The survey's equation, number by number, and its mean."""
    each = []
    for rows in zip(student.tolist(), teacher.tolist(), mask.tolist()):
        squares = [(a - b) ** 2 for h, u, counts in zip(*rows) if counts for a, b in zip(h, u)]
        each.append(sum(squares) / (max(1, len(squares)) if form == "mean" else 1))
    return each


class TestHiddenStateAlignLoss:
    def test_value_worked_by_hand(self):
        student, teacher = torch.tensor([[[1.0, 2.0], [0.0, 0.0]]]), torch.tensor([[[0.0, 0.0], [3.0, 0.0]]])
        assert hidden_state_align_loss(student, teacher, form="frobenius") == 1 + 4 + 9
        assert hidden_state_align_loss(student, teacher) == (1 + 4 + 9) / 4
        assert hidden_state_align_loss(student, teacher, torch.tensor([[True, False]])) == (1 + 4) / 2

    @pytest.mark.parametrize("form", ["mean", "frobenius"])
    def test_is_the_equation(self, case, form):
        each = hidden_state_align_loss(*case, form=form, reduction="none")
        assert each.tolist() == pytest.approx(naive(*case, form), rel=1e-10)

    def test_agrees_with_the_code_of_textbrewer(self, case, reference, found, theirs):
        student, teacher, mask = case
        for numbers in reference("hidden-state-align"):
            used = mask if numbers["settings"]["mask"] else torch.ones_like(mask)
            each, counts = hidden_state_align_loss(student, teacher, used, reduction="none"), used.sum(1)
            ours = found((each * counts).sum() / counts.sum(), student, numbers["gradient_at"])
            assert ours == pytest.approx(theirs(numbers), rel=1e-10)

    @pytest.mark.parametrize("form", ["mean", "frobenius"])
    def test_gradients_are_right(self, case, form):
        student, teacher, mask = case
        loss = lambda s: hidden_state_align_loss(s, teacher, mask, form=form, reduction="none")
        assert torch.autograd.gradcheck(loss, student)

    def test_forms_differ_by_length_times_width(self, case):
        student, teacher, _ = case
        mean, whole = (hidden_state_align_loss(student, teacher, form=form) for form in ("mean", "frobenius"))
        torch.testing.assert_close(whole, 6 * 7 * mean)

    def test_the_norm_is_the_matrix_s(self, case):
        student, teacher, _ = case
        each = hidden_state_align_loss(student, teacher, form="frobenius", reduction="none")
        torch.testing.assert_close(each, torch.linalg.matrix_norm(student - teacher, "fro") ** 2)
        assert (each > torch.linalg.matrix_norm(student - teacher, 2) ** 2).all()  # the printed index 2, read literally

    def test_turning_both_changes_nothing_turning_one_does(self, case, sines):
        student, teacher, mask = case
        turn = torch.linalg.qr(sines(7, 7, speed=0.9)).Q
        both = hidden_state_align_loss(student @ turn, teacher @ turn, mask)
        torch.testing.assert_close(both, hidden_state_align_loss(student, teacher, mask))
        assert abs(hidden_state_align_loss(student @ turn, teacher, mask) - both) > 1e-3

    def test_zero_only_when_equal(self, case):
        _, teacher, mask = case
        assert hidden_state_align_loss(teacher, teacher, mask) == 0
        assert hidden_state_align_loss(teacher + 0.1, teacher, mask) > 0.005  # not invariant to a shift

    def test_padding_takes_no_part_whatever_it_holds(self, case):
        student, teacher, mask = case
        wild = student.detach().masked_fill(~mask[:, :, None], float("inf")).requires_grad_()
        loss = hidden_state_align_loss(wild, teacher.masked_fill(~mask[:, :, None], float("nan")), mask)
        loss.backward()
        torch.testing.assert_close(loss, hidden_state_align_loss(*case))
        assert wild.grad[~mask].eq(0).all() and wild.grad.isfinite().all()

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"teacher_states": torch.zeros(4, 6, 8)}, ValueError, r"same shape, got \(4, 6, 7\) and \(4, 6, 8\)"),
            ({"form": "sum"}, ValueError, "form must be 'mean' or 'frobenius', got 'sum'"),
            ({"mask": torch.ones(4, 6)}, TypeError, "mask must hold booleans"),
            ({"mask": torch.ones(4, 5, dtype=torch.bool)}, ValueError, r"mask must have shape \(4, 6\)"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, case, change, error, says):
        with pytest.raises(error, match=says):
            hidden_state_align_loss(**dict(zip(("student_states", "teacher_states", "mask"), case)) | change)


class TestLayerPairs:
    @pytest.mark.parametrize(
        ("sizes", "settings", "expected"),
        [
            ((4, 12), {}, ((1, 3), (2, 6), (3, 9), (4, 12))),  # the authors' map: every third
            ((2, 2), {}, ((1, 1), (2, 2))),
            ((3, 4), {}, ((1, 1), (2, 3), (3, 4))),
            ((1, 2), {"first": True}, ((0, 0), (1, 2))),
            ((4, 12), {"mapping": "last"}, ((1, 9), (2, 10), (3, 11), (4, 12))),
            ((6, 12), {"every": 2}, ((2, 4), (4, 8), (6, 12))),
            ((5, 5), {"every": 99}, ((5, 5),)),
            ((2, 4), {"mapping": [[1, 4], [0, 0]]}, ((1, 4), (0, 0))),
        ],
    )
    def test_maps(self, sizes, settings, expected):
        assert layer_pairs(*sizes, **settings) == expected

    @pytest.mark.parametrize("student", [1, 2, 3, 5, 7])
    def test_the_last_stands_beside_the_last_and_the_order_is_kept(self, student):
        pairs = layer_pairs(student, 7)
        assert pairs[-1] == (student, 7) and list(pairs) == sorted(pairs)
        assert len({theirs for _, theirs in pairs}) == student

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"every": 0}, "every must be a whole number of at least 1, got 0"),
            ({"mapping": "first"}, "mapping must be 'uniform', 'last' or pairs of layers, got 'first'"),
            ({"mapping": []}, "at least one pair of layers"),
            ({"mapping": [[5, 1]]}, r"the student has layers 1 .. 4, and 0 for what the first reads, got 5"),
            ({"mapping": [[1, 3]]}, r"the teacher has layers 1 .. 2, .* got 3"),
            ({"mapping": "last"}, "the teacher has 2 layers, fewer than the student's 4"),
        ],
    )
    def test_what_cannot_be_is_refused(self, settings, says):
        with pytest.raises(Refusal, match=says):
            layer_pairs(4, 2, **settings)


# ---------------------------------------------------------------- the method


class Next(Task):
    score = "accuracy"

    def loss(self, outputs, batch):
        return nn.functional.cross_entropy(outputs.logits.flatten(0, 1), batch.targets.flatten())


def texts() -> Data:
    tokens = (torch.arange(48)[:, None] * 5 + torch.arange(9) ** 2) % 11
    return Data(tokens[:, :-1], tokens[:, 1:], Next(), {"weak": lambda x, random: x}, classes=11)


def network(width: int, layers: int, seed: int = 0) -> Transformer:
    return seeded(lambda: Transformer(11, width=width, layers=layers, heads=2, length=16), seed)


@pytest.fixture
def pair():
    data = texts()
    teacher = network(12, 4, 1).eval().requires_grad_(False)
    teacher.tokens.weight.mul_(20)  # an untrained one has next to nothing to say
    batch = data.batch(0, Clock(0, 1, 1), len(data))
    return SimpleNamespace(data=data, student=network(8, 2), teacher=teacher, batch=batch)


def build(pair, **settings) -> HiddenStateAlign:
    setting = setting_of(pair.student, pair.teacher, pair.data)
    return seeded(lambda: HiddenStateAlign.build(setting, **settings), 0, "method")


class TestHiddenStateAlign:
    def test_sums_over_the_layers_of_the_map_each_with_a_projection_of_its_own(self, pair):
        method = build(pair)
        student, teacher = pair.student(pair.data.inputs), pair.teacher(pair.data.inputs)
        terms = method.losses(student, teacher, pair.batch)
        assert method.pairs == ((1, 2), (2, 4)) and [p.weight.shape for p in method.projections] == [(12, 8)] * 2
        for number, (name, term) in enumerate(terms.items()):
            mine, theirs = method.pairs[number]
            projected = student.hidden[mine] @ method.projections[number].weight.T
            expected = (projected - teacher.hidden[theirs]).square().mean()
            torch.testing.assert_close(term.value, expected)
            assert name == f"hidden_{mine}" and term.weight == 1.0

    def test_the_authors_form_has_one_projection_with_a_constant_and_the_first_layer_s_input(self, pair):
        from kdcore.catalogue import load

        entry = load("hidden-state-align-tinybert")
        method = build(pair, **entry.settings)
        assert method.pairs[0] == (0, 0) and len(method.projections) == 1 and method.projections[0].bias is not None
        said = pair.student(pair.data.inputs), pair.teacher(pair.data.inputs)
        first = method.losses(*said, pair.batch)["hidden_0"].value
        expected = (method.projections[0](said[0].hidden[0]) - said[1].hidden[0]).square().mean()
        torch.testing.assert_close(first, expected)

    def test_every_so_manieth_layer(self, pair):
        assert build(pair, every=2).pairs == ((2, 4),)

    def test_padding_is_left_out_by_either_network_s_mask(self, pair):
        student = Transformer(11, width=8, layers=2, heads=2, length=16, causal=False, padding=0)
        tokens = pair.data.inputs.clone()
        tokens[0, 5:] = 0
        said, taught = student(tokens), pair.teacher(tokens)
        found = build(pair).losses(said, taught, pair.batch)["hidden_2"].value
        method = build(pair)
        each = (method.projections[1](said.hidden[2]) - taught.hidden[4]).square().mean(2)
        expected = torch.stack([row[row_mask].mean() for row, row_mask in zip(each, tokens != 0)]).mean()
        torch.testing.assert_close(found, expected)

    def test_training_lowers_it_leaves_the_teacher_alone_and_repeats_itself(self, pair):
        ends, curves = [], []
        before = {name: value.clone() for name, value in pair.teacher.state_dict().items()}
        for _ in range(2):
            scheme = Distillation(network(8, 2), pair.teacher, build(pair, task_weight=0.0))
            recipe = Recipe(steps=40, batch_size=16, optimizer="adam", learning_rate=0.02, schedule="constant")
            run = Run("texts", scheme, pair.data, recipe, 3)
            fit([run])
            ends.append(scheme.state_dict())
            curves.append([entry["terms"]["student/hidden_2"] for entry in run.curve])
        assert curves[0][-1] < 0.5 * curves[0][0]
        assert all(torch.equal(value, pair.teacher.state_dict()[name]) for name, value in before.items())
        assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])

    @pytest.mark.parametrize(
        ("student", "teacher", "says"),
        [
            (Outputs(torch.zeros(2, 10)), None, "needs the hidden states of a transformer's layers, and the student"),
            (None, Outputs(torch.zeros(2, 8, 11)), "and the teacher gives none"),
            ("short", None, "the student reads 6 where the teacher reads 8"),
        ],
    )
    def test_refuses_an_impossible_pair(self, student, teacher, says):
        states = lambda length: TokenOutputs(torch.zeros(2, length, 11), hidden=(torch.zeros(2, length, 8),) * 3)
        student = states(6) if student == "short" else student or states(8)
        setting = Setting(student, teacher or states(8), classes=11, samples=4, teacher_network=nn.Identity())
        with pytest.raises(Refusal, match=says):
            HiddenStateAlign.build(setting)

    @pytest.mark.parametrize("wrong", [{"weight": -1.0}, {"task_weight": float("nan")}, {"form": "sum"}])
    def test_refuses_settings_out_of_range(self, wrong):
        with pytest.raises(Refusal, match=f"{next(iter(wrong))} must be"):
            HiddenStateAlign(8, 12, ((1, 1),), **wrong)


def test_the_examples_are_true():
    assert doctest.testmod(hidden_states).failed == 0
