"""What a reader may rely on when self-attention is distilled, one claim a test."""

import doctest
import math
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from kdcore.engine import Recipe, Run, fit, setting_of
from kdcore.losses.transformer import minilm
from kdcore.losses.transformer.minilm import MiniLM, minilm_loss, self_attention_relation_loss
from kdcore.models.transformer import Transformer
from kdcore.randomness import seeded
from kdcore.schemes.offline import Distillation
from kdcore.tokens import TokenOutputs
from kdcore.types import Clock, Data, Outputs, Refusal, Setting, Task

MASK = torch.arange(5) < torch.tensor([5, 3, 1])[:, None]


@pytest.fixture
def case(sines) -> tuple[Tensor, ...]:
    """Queries, keys, values of three texts of five tokens, two heads: the student's of width 3, the teacher's of 4."""
    mine = [0.5 * sines(3, 2, 5, 3, speed=0.7 + extra) for extra in (0.0, 0.1, 0.2)]
    theirs = [0.5 * sines(3, 2, 5, 4, speed=1.3 + extra) for extra in (0.0, 0.1, 0.2)]
    return (*(part.requires_grad_() for part in mine), *theirs)


def relations(left: list[list[float]], right: list[list[float]], row: int, partners: list[int]) -> list[float]:
    """One row of a softmax of scaled products."""
    width = len(left[0])
    products = [sum(a * b for a, b in zip(left[row], right[j])) / math.sqrt(width) for j in partners]
    parts = [math.exp(product) for product in products]
    return [part / sum(parts) for part in parts]


def naive(parts: tuple[Tensor, ...], mask: Tensor, causal: bool) -> list[float]:
    """The paper's two terms, head by head and token by token."""
    each = []
    for batch in range(len(mask)):
        counted = [i for i in range(mask.shape[1]) if mask[batch, i]]
        total = 0.0
        for head in range(parts[0].shape[1]):
            sq, sk, sv, tq, tk, tv = (part[batch, head].tolist() for part in parts)
            for i in counted:
                partners = [j for j in counted if j <= i or not causal]
                for teacher, student in (((tq, tk), (sq, sk)), ((tv, tv), (sv, sv))):
                    p, q = relations(*teacher, i, partners), relations(*student, i, partners)
                    total += sum(a * math.log(a / b) for a, b in zip(p, q))
        each.append(total / (parts[0].shape[1] * max(1, len(counted))))
    return each


class TestMiniLMLoss:
    def test_value_worked_by_hand(self):
        """One head, two tokens; the teacher attends evenly, both networks' values relate alike."""
        eye = torch.eye(2)[None, None]
        near = math.exp(1 / math.sqrt(2)) / (1 + math.exp(1 / math.sqrt(2)))  # the student's attention to itself
        expected = 0.5 * math.log(0.5 / near) + 0.5 * math.log(0.5 / (1 - near))
        assert minilm_loss(eye, eye, eye, 0 * eye, eye, eye).item() == pytest.approx(expected, rel=1e-5)

    @pytest.mark.parametrize("causal", [False, True])
    @pytest.mark.parametrize("mask", [MASK, torch.ones_like(MASK)], ids=["padded", "whole"])
    def test_is_the_equation_of_the_paper(self, case, mask, causal):
        each = minilm_loss(*case, mask, causal=causal, reduction="none")
        assert each.tolist() == pytest.approx(naive(case, mask, causal), rel=1e-10)

    def test_agrees_with_public_code(self, case, reference, found, theirs):
        names = ("student_queries", "student_keys", "student_values")
        for numbers in reference("minilm"):
            mask = MASK if numbers["settings"]["mask"] else None
            part = case[names.index(numbers["settings"]["of"])]
            ours = found(minilm_loss(*case, mask), part, numbers["gradient_at"])
            assert ours == pytest.approx(theirs(numbers), rel=1e-10)

    @pytest.mark.parametrize("causal", [False, True])
    def test_gradients_are_right(self, case, causal):
        student, teacher = case[:3], case[3:]
        loss = lambda *parts: minilm_loss(*parts, *teacher, MASK, causal=causal, reduction="none")
        assert torch.autograd.gradcheck(loss, student)

    def test_is_the_sum_of_two_relation_losses(self, case):
        q, k, v, tq, tk, tv = case
        attention = self_attention_relation_loss(q @ k.mT / 3**0.5, tq @ tk.mT / 4**0.5, MASK)
        values = self_attention_relation_loss(v @ v.mT / 3**0.5, tv @ tv.mT / 4**0.5, MASK)
        torch.testing.assert_close(minilm_loss(*case, MASK), attention + values)

    def test_turning_a_network_s_heads_changes_nothing(self, case, sines):
        """Products alone are compared: the reason why no projection and no equal width is needed."""
        turn = torch.linalg.qr(sines(3, 3, speed=0.9)).Q
        turned = [part @ turn for part in case[:3]]
        torch.testing.assert_close(minilm_loss(*turned, *case[3:], MASK), minilm_loss(*case, MASK))
        stretched = [2 * part for part in case[:3]]
        assert abs(minilm_loss(*stretched, *case[3:], MASK) - minilm_loss(*case, MASK)) > 0.1

    def test_heads_are_compared_by_their_number(self, case):
        both = [part.flip(1) for part in case]
        torch.testing.assert_close(minilm_loss(*both, MASK), minilm_loss(*case, MASK))
        one = [part.flip(1) for part in case[:3]]
        assert abs(minilm_loss(*one, *case[3:], MASK) - minilm_loss(*case, MASK)) > 1e-2

    def test_zero_when_all_relations_agree_and_only_then(self, case):
        teacher = case[3:]
        assert minilm_loss(*teacher, *teacher, MASK).item() == pytest.approx(0, abs=1e-12)
        assert minilm_loss(teacher[0], teacher[1], 2 * teacher[2], *teacher, MASK) > 1e-3  # the values alone differ
        assert minilm_loss(2 * teacher[0], *teacher[1:], *teacher, MASK) > 1e-3  # attention alone

    def test_padding_takes_no_part_whatever_it_holds(self, case):
        hole = ~MASK[:, None, :, None]
        wild = [part.detach().masked_fill(hole, float("inf")).requires_grad_() for part in case[:3]]
        loss = minilm_loss(*wild, *(part.masked_fill(hole, float("nan")) for part in case[3:]), MASK)
        loss.backward()
        torch.testing.assert_close(loss, minilm_loss(*case, MASK))
        assert all(part.grad.isfinite().all() and part.grad[hole.expand_as(part)].eq(0).all() for part in wild)

    def test_a_padded_text_is_the_same_text_without_padding(self, case):
        each = minilm_loss(*case, MASK, reduction="none")
        torch.testing.assert_close(each[1], minilm_loss(*(part[1:2, :, :3] for part in case)))
        assert each[2] == 0  # one token relates to itself alone

    def test_causal_rows_do_not_see_what_follows(self, case):
        changed = [part.clone() for part in case[:3]]
        for part in changed:
            part.data[:, :, 4] = 9.0
        per_text = [
            minilm_loss(*parts, *case[3:], MASK & (torch.arange(5) < 4), causal=True) for parts in (case[:3], changed)
        ]
        torch.testing.assert_close(*per_text)

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({0: torch.zeros(3, 2, 5, 4)}, ValueError, r"student_queries and student_keys must have the same shape"),
            ({3: torch.zeros(3, 4, 5, 4), 4: torch.zeros(3, 4, 5, 4), 5: torch.zeros(3, 4, 5, 4)}, ValueError,
             r"same batch, heads and length, got \(3, 2, 5\) and \(3, 4, 5\)"),
            ({6: torch.ones(3, 5)}, TypeError, "mask must hold booleans"),
            ({0: torch.zeros(3, 2, 5, 3, dtype=torch.long)}, TypeError, "student_queries must hold floating-point"),
        ],
    )  # fmt: skip
    def test_bad_input_is_answered_in_a_sentence(self, case, change, error, says):
        given = [change.get(number, value) for number, value in enumerate((*case, MASK))]
        with pytest.raises(error, match=says):
            minilm_loss(*given)


class TestSelfAttentionRelationLoss:
    def test_logarithms_of_attention_serve_as_relations(self, case):
        q, k, _, tq, tk, _ = case
        scores = q @ k.mT / 3**0.5, tq @ tk.mT / 4**0.5
        from_scores = self_attention_relation_loss(*scores)
        torch.testing.assert_close(self_attention_relation_loss(*(s.softmax(3).log() for s in scores)), from_scores)

    def test_a_row_may_be_shifted(self, sines):
        relations = sines(2, 2, 4, 4, speed=0.7), sines(2, 2, 4, 4, speed=1.3)
        shift = sines(2, 2, 4, 1, speed=0.9)
        torch.testing.assert_close(
            self_attention_relation_loss(relations[0] + shift, relations[1]), self_attention_relation_loss(*relations)
        )

    @pytest.mark.parametrize("says", [r"relations must be square, .* got \(2, 2, 4, 5\)"])
    def test_what_is_no_square_is_refused(self, says):
        relations = torch.zeros(2, 2, 4, 5)
        with pytest.raises(ValueError, match=says):
            self_attention_relation_loss(relations, relations)


# ---------------------------------------------------------------- the method


class Next(Task):
    score = "accuracy"

    def loss(self, outputs, batch):
        return nn.functional.cross_entropy(outputs.logits.flatten(0, 1), batch.targets.flatten())


def network(width: int, layers: int, seed: int = 0, heads: int = 2, **settings) -> Transformer:
    return seeded(lambda: Transformer(11, width=width, layers=layers, heads=heads, length=16, **settings), seed)


@pytest.fixture
def pair():
    tokens = (torch.arange(48)[:, None] * 5 + torch.arange(9) ** 2) % 11
    data = Data(tokens[:, :-1], tokens[:, 1:], Next(), {"weak": lambda x, random: x}, classes=11)
    teacher = network(12, 3, 1).eval().requires_grad_(False)
    teacher.tokens.weight.mul_(20)
    for layer in teacher.layers:
        layer.query_key_value.weight.mul_(20)  # an untrained one looks everywhere alike
    return SimpleNamespace(data=data, student=network(8, 2), teacher=teacher, batch=data.batch(0, Clock(0, 1, 1), 48))


class TestMiniLM:
    def test_compares_the_last_layers_where_a_token_may_look(self, pair):
        student, teacher = pair.student(pair.data.inputs), pair.teacher(pair.data.inputs)
        terms = MiniLM(weight=0.5).losses(student, teacher, pair.batch)
        parts = [getattr(said, name)[-1] for said in (student, teacher) for name in ("queries", "keys", "values")]
        whole = minilm_loss(*parts, causal=True)
        torch.testing.assert_close(terms["minilm_attention"].value + terms["minilm_values"].value, whole)
        assert {term.weight for term in terms.values()} == {0.5} and whole > 0.1

    def test_attention_is_the_networks_own(self, pair):
        student, teacher = pair.student(pair.data.inputs), pair.teacher(pair.data.inputs)
        p, q = teacher.attention[-1], student.attention[-1]
        before = torch.ones(8, 8, dtype=torch.bool).tril()
        each = torch.where(before, p * (p.log() - q.log()), 0).nan_to_num(0).sum(3)
        found = MiniLM().losses(student, teacher, pair.batch)["minilm_attention"].value
        torch.testing.assert_close(found, each.mean())

    def test_probabilities_that_a_network_reports_take_the_place_of_queries_and_keys(self, pair):
        student, teacher = pair.student(pair.data.inputs), pair.teacher(pair.data.inputs)
        expected = MiniLM().losses(student, teacher, pair.batch)["minilm_attention"].value
        reported = [
            TokenOutputs(s.logits, values=s.values, queries=(), keys=(), reported=s.attention, causal=True)
            for s in (student, teacher)
        ]
        found = MiniLM().losses(*reported, pair.batch)["minilm_attention"].value
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)

    def test_encoders_leave_padding_out(self, pair):
        student, teacher = (network(width, 2, width, causal=False, padding=0) for width in (8, 12))
        tokens = pair.data.inputs.clamp_min(1).clone()
        tokens[:, 6:] = 0
        short = tokens[:, :6]
        padded, plain = (
            MiniLM().losses(student(x), teacher(x), pair.batch)["minilm_values"].value for x in (tokens, short)
        )
        torch.testing.assert_close(padded, plain)

    def test_training_lowers_both_terms_leaves_the_teacher_alone_and_repeats_itself(self, pair):
        ends, curves = [], []
        before = {name: value.clone() for name, value in pair.teacher.state_dict().items()}
        for _ in range(2):
            scheme = Distillation(network(8, 2), pair.teacher, MiniLM(task_weight=0.0))
            run = Run(
                "texts", scheme, pair.data, Recipe(steps=60, batch_size=16, optimizer="adam", learning_rate=0.02), 3
            )
            fit([run])
            ends.append(scheme.state_dict())
            curves.append(run.curve)
        for name in ("student/minilm_attention", "student/minilm_values"):
            assert curves[0][-1]["terms"][name] < 0.7 * curves[0][0]["terms"][name]
        assert all(torch.equal(value, pair.teacher.state_dict()[name]) for name, value in before.items())
        assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])

    def test_is_built_for_networks_of_any_width_and_depth(self, pair):
        assert isinstance(MiniLM.build(setting_of(pair.student, pair.teacher, pair.data)), MiniLM)

    @pytest.mark.parametrize(
        ("student", "says"),
        [
            (Outputs(torch.zeros(2, 8, 11)), "needs queries, keys and values of the last layer, and the student"),
            (TokenOutputs(torch.zeros(2, 8, 11), values=(torch.zeros(2, 4, 8, 3),)), "4 heads where the teacher has 2"),
            (
                TokenOutputs(torch.zeros(2, 6, 11), values=(torch.zeros(2, 2, 6, 3),)),
                "reads 6 where the teacher reads 8",
            ),
        ],
    )
    def test_refuses_an_impossible_pair(self, student, says):
        teacher = TokenOutputs(torch.zeros(2, 8, 11), values=(torch.zeros(2, 2, 8, 6),))
        with pytest.raises(Refusal, match=says):
            MiniLM.build(Setting(student, teacher, classes=11, samples=4, teacher_network=nn.Identity()))

    @pytest.mark.parametrize("wrong", [{"weight": -1.0}, {"task_weight": float("nan")}])
    def test_refuses_settings_out_of_range(self, wrong):
        with pytest.raises(Refusal, match=f"{next(iter(wrong))} must be"):
            MiniLM(**wrong)


def test_the_examples_are_true():
    assert doctest.testmod(minilm).failed == 0
