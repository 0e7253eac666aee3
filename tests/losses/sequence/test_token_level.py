"""What a reader may rely on when distributions are matched position by position, one claim a test."""

import doctest
import math

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.engine import Recipe, Run, fit
from kdcore.losses.response.distillation import KD, kd_loss
from kdcore.losses.sequence import token_level
from kdcore.losses.sequence.token_level import PADDING, TokenLevelKD, token_level_kd_loss
from kdcore.schemes.offline import Distillation
from kdcore.types import Batch, Clock, Data, Outputs, Refusal, Setting, Task


def sines(*shape: int, speed: float, dtype: torch.dtype = torch.float64) -> Tensor:
    index = torch.arange(math.prod(shape), dtype=torch.float64).view(shape)
    return (4 * torch.sin(speed * index + 1)).to(dtype)


@pytest.fixture
def case() -> tuple[Tensor, Tensor, Tensor]:
    """Four sequences of six positions over seven words, of which 6, 4, 1 and 0 count."""
    mask = torch.arange(6) < torch.tensor([6, 4, 1, 0])[:, None]
    return sines(4, 6, 7, speed=0.7).requires_grad_(), sines(4, 6, 7, speed=1.3), mask


def naive(student: Tensor, teacher: Tensor, mask: Tensor, temperature: float) -> list[float]:
    """The survey's equation, number by number; what it calls T is the number of counted positions."""
    each = []
    for s, t, m in zip(student.tolist(), teacher.tolist(), mask.tolist()):
        total, count = 0.0, 0
        for z, u, counts in zip(s, t, m):
            if counts:
                q, p = ([math.exp(x / temperature) for x in row] for row in (z, u))
                q, p = [x / sum(q) for x in q], [x / sum(p) for x in p]
                total, count = total + sum(a * math.log(a / b) for a, b in zip(p, q)), count + 1
        each.append(temperature**2 * total / count if count else 0.0)
    return each


class TestTokenLevelKD:
    def test_value_worked_by_hand(self):
        teacher = torch.tensor([[[0.8, 0.2], [0.5, 0.5], [0.9, 0.1]]]).log()
        student = torch.tensor([[[0.5, 0.5], [0.25, 0.75], [0.9, 0.1]]]).log()
        first = 0.8 * math.log(1.6) + 0.2 * math.log(0.4)
        second = 0.5 * math.log(2) + 0.5 * math.log(2 / 3)
        assert token_level_kd_loss(student, teacher).item() == pytest.approx((first + second + 0) / 3, rel=1e-6)

    def test_agrees_with_the_code_of_trl(self, case, reference, found, theirs):
        counts = case[2].sum(1)
        for numbers in reference("token-level-kd"):
            temperature = numbers["settings"]["temperature"]
            each = token_level_kd_loss(*case, temperature=temperature, reduction="none")
            tokens = (each * counts).sum() / counts.sum()
            ours = found(tokens, case[0], numbers["gradient_at"], temperature**2)  # their loss leaves the square out
            assert ours == pytest.approx(theirs(numbers), rel=1e-10)

    @pytest.mark.parametrize("temperature", [1.0, 3.0])
    def test_is_the_equation_of_the_survey(self, case, temperature):
        each = token_level_kd_loss(*case, temperature=temperature, reduction="none")
        assert each.tolist() == pytest.approx(naive(*case, temperature), rel=1e-10)

    def test_one_position_is_plain_distillation(self):
        student, teacher = sines(8, 1, 5, speed=0.7), sines(8, 1, 5, speed=1.3)
        flat = kd_loss(student[:, 0], teacher[:, 0], temperature=2.0)
        torch.testing.assert_close(token_level_kd_loss(student, teacher, temperature=2.0), flat)

    def test_weighted_by_prefixes_it_is_the_divergence_between_sequences_not_the_likelihood_of_the_mode(self):
        first_t, first_s = sines(3, speed=0.7).softmax(0), sines(3, speed=1.3).softmax(0)
        then_t, then_s = sines(3, 3, speed=0.9).softmax(1), sines(3, 3, speed=1.7).softmax(1)
        whole_t, whole_s = first_t[:, None] * then_t, first_s[:, None] * then_s
        whole = F.kl_div(whole_s.log(), whole_t, reduction="sum")
        at_first = token_level_kd_loss(first_s.log()[None, None], first_t.log()[None, None])
        after_each = token_level_kd_loss(then_s.log()[:, None], then_t.log()[:, None], reduction="none")
        torch.testing.assert_close(at_first + (first_t * after_each).sum(), whole)
        mode_likelihood = -whole_s.flatten()[whole_t.argmax()].log()
        assert abs(mode_likelihood - whole) > 0.1  # sequence-level distillation is another number (errata Z-14)

    def test_gradients_are_right(self, case):
        student, teacher, mask = case
        loss = lambda s: token_level_kd_loss(s, teacher, mask, temperature=2.0, reduction="none")
        assert torch.autograd.gradcheck(loss, student)

    def test_gradient_is_that_of_a_cross_entropy_with_the_teachers_words(self, case):
        student, teacher, _ = case
        (ours,) = torch.autograd.grad(token_level_kd_loss(student, teacher), student)
        soft = F.cross_entropy(student.flatten(0, 1), teacher.flatten(0, 1).softmax(1))
        torch.testing.assert_close(ours, torch.autograd.grad(soft, student)[0])

    def test_padding_takes_no_part_whatever_it_holds(self, case):
        student, teacher, mask = case
        expected = token_level_kd_loss(*case)
        wild = student.detach().masked_fill(~mask[:, :, None], float("inf")).requires_grad_()
        loss = token_level_kd_loss(wild, teacher.masked_fill(~mask[:, :, None], float("nan")), mask)
        loss.backward()
        torch.testing.assert_close(loss, expected)
        assert wild.grad[~mask].eq(0).all() and wild.grad.isfinite().all()

    def test_a_sequence_weighs_the_same_however_long(self, case):
        student, teacher, mask = case
        each = token_level_kd_loss(*case, reduction="none")
        alone = token_level_kd_loss(student[2:3, :1], teacher[2:3, :1])
        torch.testing.assert_close(each[2], alone)
        tokens = (each * mask.sum(1)).sum() / mask.sum()
        flat = kd_loss(student[mask], teacher[mask], temperature=1.0)
        torch.testing.assert_close(tokens, flat)  # the recipe of the docstring for the mean over tokens

    def test_nothing_to_count_gives_zero_and_no_pull(self, case):
        student, teacher, _ = case
        loss = token_level_kd_loss(student, teacher, torch.zeros(4, 6, dtype=torch.bool))
        loss.backward()
        assert loss == 0 and student.grad.eq(0).all()

    def test_zero_when_equal_up_to_a_shift_and_only_then(self, case):
        _, teacher, mask = case
        shifted = teacher + torch.arange(6.0, dtype=torch.float64)[:, None]
        assert token_level_kd_loss(shifted, teacher, mask).item() == pytest.approx(0, abs=1e-12)
        assert token_level_kd_loss(1.1 * teacher, teacher, mask) > 1e-3  # it is not invariant to the scale
        assert token_level_kd_loss(teacher.roll(1, 1), teacher, mask) > 1e-3  # nor to the order of positions

    def test_does_not_care_in_which_order_both_say_it(self, case):
        student, teacher, mask = case
        order = torch.tensor([3, 0, 5, 1, 4, 2])
        moved = token_level_kd_loss(student[:, order], teacher[:, order], mask[:, order])
        torch.testing.assert_close(moved, token_level_kd_loss(*case))

    @pytest.mark.parametrize("size", [1, 2, 33])
    def test_an_example_does_not_depend_on_its_batch(self, size):
        student, teacher = sines(size, 5, 7, speed=0.7), sines(size, 5, 7, speed=1.3)
        each = token_level_kd_loss(student, teacher, reduction="none")
        torch.testing.assert_close(each[:1], token_level_kd_loss(student[:1], teacher[:1], reduction="none"))
        torch.testing.assert_close(each.mean(), token_level_kd_loss(student, teacher))
        torch.testing.assert_close(each.sum(), token_level_kd_loss(student, teacher, reduction="sum"))

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    def test_finite_on_hostile_logits(self, dtype):
        student = sines(4, 6, 7, speed=0.7, dtype=dtype).mul(500).requires_grad_()
        loss = token_level_kd_loss(student, sines(4, 6, 7, speed=1.3, dtype=dtype).mul(500))
        loss.backward()
        assert loss.dtype == torch.float32 and loss.isfinite() and student.grad.isfinite().all()

    def test_autocast_changes_nothing(self, case):
        with torch.autocast("cpu", torch.bfloat16):
            inside = token_level_kd_loss(*case)
        torch.testing.assert_close(inside, token_level_kd_loss(*case), rtol=0, atol=0)

    def test_teacher_is_a_constant_and_inputs_stay(self, case):
        student, teacher, mask = case
        before = [student.detach().clone(), teacher.clone(), mask.clone()]
        teacher.requires_grad_()
        token_level_kd_loss(student, teacher, mask).backward()
        assert teacher.grad is None
        assert all(torch.equal(a, b) for a, b in zip((student, teacher, mask), before))

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"teacher_logits": torch.zeros(4, 1, 7)}, ValueError, r"same shape, got \(4, 6, 7\) and \(4, 1, 7\)"),
            ({"student_logits": torch.zeros(4, 7), "teacher_logits": torch.zeros(4, 7)}, ValueError, "length, vocab"),
            ({"mask": torch.ones(4, 7, dtype=torch.bool)}, ValueError, r"mask must have shape \(4, 6\).*\(4, 7\)"),
            ({"mask": torch.ones(4, 6)}, TypeError, "mask must hold booleans, one a position, got torch.float32"),
            ({"student_logits": torch.zeros(4, 6, 7, dtype=torch.long)}, TypeError, "student_logits must hold float"),
            ({"temperature": 0.0}, ValueError, "temperature must be above 0, got 0"),
            ({"reduction": "average"}, ValueError, "reduction must be 'mean', 'sum' or 'none', got 'average'"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, case, change, error, says):
        with pytest.raises(error, match=says):
            token_level_kd_loss(**dict(zip(("student_logits", "teacher_logits", "mask"), case)) | change)


# ---------------------------------------------------------------- the method


class Words(Task):
    score = "accuracy"

    def loss(self, outputs: Outputs, batch: Batch) -> Tensor:
        return F.cross_entropy(outputs.logits.flatten(0, 1), batch.targets.flatten(), ignore_index=PADDING)

    def evaluate(self, predict, data: Data) -> dict[str, float]:
        said = predict(data.inputs).logits.argmax(2)
        counted = data.targets != PADDING
        return {"accuracy": (said == data.targets)[counted].double().mean().item()}


class Reader(nn.Module):
    """A recurrent language model, small enough for a test."""

    def __init__(self, width: int, vocabulary: int = 12):
        super().__init__()
        self.embed, self.mix = nn.Embedding(vocabulary, width), nn.GRU(width, width, batch_first=True)
        self.head = nn.Linear(width, vocabulary)

    def forward(self, tokens: Tensor) -> Outputs:
        hidden = self.mix(self.embed(tokens))[0]
        return Outputs(self.head(hidden), (hidden,))


def counting(count: int = 128, length: int = 8) -> Data:
    """Sequences that count in steps of one to three, some of them padded."""
    number = torch.arange(count)
    tokens = (number[:, None] * 5 + (1 + number % 3)[:, None] * torch.arange(length + 1)) % 12
    targets = tokens[:, 1:].masked_fill(torch.arange(length) >= (3 + number % 6)[:, None], PADDING)
    return Data(tokens[:, :-1], targets, Words(), {"weak": lambda x, random: x}, classes=12)


def network(width: int, seed: int) -> Reader:
    torch.manual_seed(seed)
    return Reader(width)


def trained(method, steps: int = 60, seed: int = 3) -> Run:
    scheme = Distillation(network(8, seed), network(16, 1), method, task_weight=0.0)
    recipe = Recipe(steps=steps, batch_size=16, optimizer="adam", learning_rate=0.02)
    run = Run("words", scheme, counting(), recipe, seed)
    fit([run])
    return run


def setting(student: tuple[int, ...], teacher: tuple[int, ...]) -> Setting:
    sizes = (Outputs(torch.zeros(shape, device="meta")) for shape in (student, teacher))
    return Setting(*sizes, classes=12, samples=128, teacher_network=nn.Identity())


class TestTokenLevelKDMethod:
    def test_leaves_out_positions_whose_target_is_padding(self):
        data = counting()
        batch = data.batch(0, Clock(0, 1, 1), 16)
        student, teacher = network(8, 3)(batch.inputs), network(16, 1)(batch.inputs)
        term = TokenLevelKD(weight=0.5).losses(student, teacher, batch)["token_level_kd"]
        mask = batch.targets != PADDING
        assert not mask.all() and term.weight == 0.5
        assert term.value == token_level_kd_loss(student.logits, teacher.logits, mask)
        whole = TokenLevelKD(padding=None).losses(student, teacher, batch)["token_level_kd"]
        assert whole.value == token_level_kd_loss(student.logits, teacher.logits)

    def test_without_padding_it_is_distillation_of_every_position(self):
        batch = counting().batch(0, Clock(0, 1, 1), 16)
        student, teacher = network(8, 3)(batch.inputs), network(16, 1)(batch.inputs)
        ours = TokenLevelKD(temperature=2.0, padding=None).losses(student, teacher, batch)["token_level_kd"].value
        torch.testing.assert_close(ours, KD(temperature=2.0).losses(student, teacher, batch)["kd"].value)

    def test_training_lowers_it_and_leaves_the_teacher_alone(self):
        run = trained(TokenLevelKD())
        curve = [entry["terms"]["student/token_level_kd"] for entry in run.curve]
        assert curve[-1] < 0.5 * curve[0]
        teacher, untouched = run.scheme.outside[0].state_dict(), network(16, 1).state_dict()
        assert all(torch.equal(teacher[name], untouched[name]) for name in untouched)

    def test_the_same_seed_gives_the_same_weights(self):
        one, two = (trained(TokenLevelKD(), steps=5).scheme.state_dict() for _ in range(2))
        assert all(torch.equal(one[name], two[name]) for name in one)

    def test_is_built_where_the_vocabularies_agree(self):
        assert isinstance(TokenLevelKD.build(setting((2, 8, 12), (2, 8, 12)), temperature=2.0), TokenLevelKD)

    @pytest.mark.parametrize(
        ("student", "teacher", "says"),
        [
            ((2, 10), (2, 10), r"scores of shape \(batch, length, vocabulary\), got \(2, 10\)"),
            ((2, 8, 12), (2, 8, 30), "the student's has 12 entries and the teacher's 30"),
        ],
    )
    def test_refuses_an_impossible_pair(self, student, teacher, says):
        with pytest.raises(Refusal, match=says):
            TokenLevelKD.build(setting(student, teacher))

    @pytest.mark.parametrize("wrong", [{"temperature": 0.0}, {"weight": -1.0}, {"task_weight": float("nan")}])
    def test_refuses_settings_out_of_range(self, wrong):
        with pytest.raises(Refusal, match=f"{next(iter(wrong))} must be"):
            TokenLevelKD(**wrong)


def test_the_examples_are_true():
    assert doctest.testmod(token_level, extraglobs={"torch": torch}).failed == 0
