"""What a reader may rely on in contrastive representation distillation, one claim a test."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from kdcore.engine import fit
from kdcore.losses import crd_loss
from kdcore.losses.contrastive._memory import Memory
from kdcore.losses.contrastive._scores import unit
from kdcore.losses.contrastive.representation import CRD, ENTRIES, scored
from kdcore.types import Batch, Clock, Outputs, Refusal, Setting, take

NAMES = ("student_projection", "teacher_projection", "bank_of_students", "bank_of_teachers", "own_rows", "other_rows")


@pytest.fixture
def given(projections, banks, rows):
    return (*projections(), *banks, *rows())


def half(
    vector: list[float], bank: list[list[float]], own: int, others: list[int], temperature, log_z, epsilon
) -> float:
    """One side of one example, from the equation: the chance of being the true pair."""
    length = math.sqrt(sum(x * x for x in vector))
    noise = len(others) / len(bank)

    def likely(row: int) -> float:
        product = sum(x * y for x, y in zip(vector, bank[row])) / length
        return math.exp(product / temperature) / math.exp(log_z)

    value = -math.log(likely(own) / (likely(own) + noise + epsilon))
    return value - sum(math.log(noise / (likely(row) + noise + epsilon)) for row in others)


class TestCRD:
    def test_value_worked_by_hand(self):
        one, other = torch.tensor([[3.0, 0.0]]), torch.tensor([[0.0, 2.0]])
        bank = torch.eye(2)
        rows = torch.tensor([0]), torch.tensor([[1]])
        value = crd_loss(one, other, bank, bank, *rows, temperature=1.0)  # noise 1 / 2; products 1 and 0, then 0 and 1
        student = math.log(1 + 0.5 / math.e) + math.log(1 + 2)
        teacher = math.log(1 + 0.5) + math.log(1 + 2 * math.e)
        assert value.item() == pytest.approx(student + teacher, rel=1e-6)

    @pytest.mark.parametrize(
        ("temperature", "log_normalisers", "epsilon"), [(0.07, (0.0, 0.0), 0.0), (0.5, (3.0, -1.0), 1e-7)]
    )
    def test_is_the_equation(self, given, temperature, log_normalisers, epsilon):
        student, teacher, students, teachers, own, others = (value.tolist() for value in given)
        options = {"temperature": temperature, "log_normalisers": log_normalisers, "epsilon": epsilon}
        each = [
            half(s, teachers, i, k, temperature, log_normalisers[0], epsilon)
            + half(t, students, i, k, temperature, log_normalisers[1], epsilon)
            for s, t, i, k in zip(student, teacher, own, others)
        ]
        assert crd_loss(*given, **options, reduction="none").tolist() == pytest.approx(each, rel=1e-10)

    def test_agrees_with_the_authors_code_over_three_steps(self, projections, banks, rows, reference):
        """The draws are fixed, the banks are updated in between, both constants stay those of the first step."""
        for first in range(0, 6, 3):  # two codes
            memory = Memory(20, 8, momentum=0.5).double()
            memory.students, memory.teachers = (bank.clone() for bank in banks)
            for step, known in enumerate(reference("crd")[first : first + 3]):
                (student, teacher), (own, others) = projections(step), rows(step)
                memory.turn_to(own)
                sides = (unit(student), memory.teachers), (unit(teacher), memory.students)
                pairs = [scored(v, bank, own, others, 0.1) for v, bank in sides]
                log_z = memory.normalisers(*(torch.cat([p[:, None], n], 1) for p, n in pairs))
                options = {"temperature": 0.1, "log_normalisers": log_z, "epsilon": 1e-7}
                loss = crd_loss(student, teacher, memory.students, memory.teachers, own, others, **options)
                slopes, at = torch.autograd.grad(loss, (student, teacher)), tuple(known["gradient_at"])
                mine = [loss.item(), *(x for slope in slopes for x in (slope.norm().item(), slope[at].item()))]
                names = ("value", "gradient_norm", "gradient", "teacher_gradient_norm", "teacher_gradient")
                assert mine == pytest.approx([known[name] for name in names], rel=1e-10)
                memory.remember(own, unit(student), unit(teacher))

    def test_one_product_with_the_bank_gives_what_gathered_rows_give(self, given):
        student, _, _, teachers, own, others = given
        picked = torch.cat([own[:, None], others], 1)
        direct = (unit(student)[:, None] * teachers[picked]).sum(2) / 0.07
        positive, negative = scored(unit(student), teachers, own, others, 0.07)
        torch.testing.assert_close(torch.cat([positive[:, None], negative], 1), direct)

    def test_both_projections_learn_and_neither_bank_does(self, given):
        student, teacher, students, teachers, *rows = given
        students.requires_grad_()
        teachers.requires_grad_()
        crd_loss(student, teacher, students, teachers, *rows).backward()
        assert student.grad.abs().max() > 0 and teacher.grad.abs().max() > 0
        assert students.grad is None and teachers.grad is None

    def test_sees_directions_alone_and_no_rotation_of_both_sides(self, given, sines):
        student, teacher, students, teachers, *rows = given
        value = crd_loss(*given)
        torch.testing.assert_close(crd_loss(3 * student, 0.1 * teacher, students, teachers, *rows), value)
        turn, _ = torch.linalg.qr(sines(8, 8, speed=0.37))
        torch.testing.assert_close(crd_loss(*(x @ turn for x in given[:4]), *rows), value)
        assert abs(crd_loss(student @ turn, teacher, students, teachers, *rows) - value) > 0.1

    def test_is_low_where_an_example_is_its_own_row_and_high_where_it_is_another_s(self, banks):
        bank = unit(banks[0])
        own, others = torch.arange(4), torch.arange(28).view(4, 7) % 16 + 4
        right = crd_loss(bank[own], bank[own], bank, bank, own, others)
        wrong = crd_loss(bank[others[:, 0]], bank[others[:, 0]], bank, bank, own, others)
        assert right < wrong

    def test_a_row_below_zero_is_no_negative(self, given):
        *rest, others = given
        fewer = torch.cat([others[:, :5], torch.full((4, 2), -1)], 1)
        value = crd_loss(*rest, fewer)
        kept = crd_loss(*rest, others[:, :5], log_normalisers=(math.log(7 / 5), math.log(7 / 5)))
        torch.testing.assert_close(value, kept)  # N is the number of columns

    def test_a_vector_of_zeros_gets_no_gradient(self, given):
        student, *rest = given
        (gradient,) = torch.autograd.grad(crd_loss(0 * student, *rest), student)
        assert (gradient == 0).all()

    @pytest.mark.parametrize(
        ("change", "error", "says"),
        [
            ({"teacher_projection": torch.zeros(4, 7)}, ValueError, "must hold vectors of one size, got 8 and 7"),
            ({"teacher_projection": torch.zeros(3, 8)}, ValueError, "must hold the same examples, got 4 and 3"),
            ({"bank_of_teachers": torch.zeros(19, 8)}, ValueError, "must hold the same examples, got 20 and 19"),
            ({"own_rows": torch.tensor([0, 1, 2, 20])}, ValueError, "own_rows must lie in 0 .. 19, got 20"),
            ({"other_rows": torch.zeros(4, 7)}, TypeError, "other_rows must hold whole numbers"),
            ({"other_rows": torch.zeros(4, 0).long()}, ValueError, r"other_rows must have shape \(batch, negatives\)"),
            ({"temperature": 0.0}, ValueError, "temperature must be above 0, got 0"),
            ({"epsilon": -1.0}, ValueError, "epsilon must be at least 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, given, change, error, says):
        with pytest.raises(error, match=says):
            crd_loss(**dict(zip(NAMES, given)) | change)

    def test_method_is_the_function_on_heads_banks_and_its_own_draw(self, ask):
        student, teacher, batch = ask()
        method = CRD(4, 6, 40, 4, size=8, negatives=12)
        (term,) = method.losses(student, teacher, batch).values()
        projections = method.student_head(student.embedding), method.teacher_head(teacher.embedding)
        banks = method.memory.students, method.memory.teachers
        options = {"log_normalisers": method.memory.log_normalisers}
        expected = crd_loss(*projections, *banks, batch.index, method.drawn(batch), **options)
        torch.testing.assert_close(term.value, expected)
        assert term.weight == 0.8 and method.adapters() == [method.student_head, method.teacher_head, method.memory]

    def test_its_constants_are_the_mean_exponential_of_the_first_batch_times_the_samples(self, ask):
        student, teacher, batch = ask()
        method = CRD(4, 6, 40, 4, size=8, negatives=12)
        method.losses(student, teacher, batch)
        picked = torch.cat([batch.index[:, None], method.drawn(batch)], 1)
        mine = unit(method.student_head(student.embedding))
        scores = (mine[:, None] * method.memory.teachers[picked]).sum(2) / 0.07
        assert method.memory.log_normalisers[0].item() == pytest.approx(
            (40 * scores.exp().mean()).log().item(), rel=1e-5
        )

    def test_the_paper_s_critic_has_no_constants(self, ask):
        settings = {entry.key: entry.settings for entry in ENTRIES}["crd-paper"]
        method = CRD(4, 6, 40, 4, size=8, negatives=12, **settings)
        method.losses(*ask())
        assert not method.memory.normalised and method.memory.log_normalisers.isinf().all()

    def test_negatives_are_others_classes_drawn_anew_at_every_step(self, ask):
        method = CRD(4, 6, 40, 4, size=8, negatives=12)
        (_, _, batch), (_, _, later) = ask(0), ask(1)
        drawn = method.drawn(batch)
        assert (batch.data.targets[drawn] != batch.targets[:, None]).all()
        assert all(len(set(row)) == 12 for row in drawn.tolist())
        assert torch.equal(drawn, method.drawn(batch)) and not torch.equal(drawn, method.drawn(later))

    def test_in_a_loop_of_one_s_own_it_learns_the_classes_as_they_are_shown(self, networks, data):
        student, teacher = networks
        method = CRD(4, 6, 40, 4, size=8, negatives=20)
        for first in (0, 16):
            index = torch.arange(first, first + 16)
            shown = {("view", "weak"): data.inputs[index], "targets": data.targets[index]}
            batch = Batch(
                replace(data, inputs=take(data.inputs, index), targets=take(data.targets, index)),
                index,
                0,
                Clock(first // 16, 10, 2),
                shown,
            )
            drawn = method.drawn(batch)
            assert (drawn != index[:, None]).all() and (method.memory.labels[drawn] != batch.targets[:, None]).all()
            method.losses(batch.outputs(student), batch.outputs(teacher), batch)
        assert torch.equal(method.memory.labels[:32], data.targets[:32]) and (method.memory.labels[32:] == -1).all()

    def test_more_negatives_than_there_are_repeat_themselves(self, ask):
        assert not CRD(4, 6, 40, 4, negatives=30).replacement
        method = CRD(4, 6, 40, 4, size=8, negatives=31)
        assert method.replacement and method.drawn(ask()[2]).shape == (16, 31)

    def test_banks_hold_what_was_said_of_each_sample(self, training):
        run = training(CRD, size=8, negatives=12)
        (method,) = run.scheme.methods
        before = method.memory.students.clone()
        run.advance()
        index = run.data.batch(0, Clock(0, 10, 2), 16).index
        assert torch.equal(method.memory.students, before) and torch.equal(method.memory.waiting_rows, index)
        run.advance()
        moved = (method.memory.students != before).any(1)
        assert moved[index].all() and moved.sum() == 16
        torch.testing.assert_close(method.memory.students[index].norm(dim=1), torch.ones(16))

    @pytest.mark.parametrize("stop", [1, 4, 9])
    def test_resumes_exactly_wherever_it_was_stopped(self, training, tmp_path, stop):
        whole = training(CRD, size=8, negatives=12)
        fit([whole])
        stops = iter([False] * stop + [True] * 9)
        assert not fit([training(CRD, tmp_path / "c", size=8, negatives=12)], should_stop=lambda: next(stops))
        again = training(CRD, tmp_path / "c", size=8, negatives=12)
        assert fit([again]) and again.resumed == 1
        states = whole.scheme.state_dict(), again.scheme.state_dict()
        assert states[0].keys() == states[1].keys()
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])

    def test_with_banks_that_stand_still_the_loss_falls(self, ask):
        method, (_, taught, batch) = CRD(4, 6, 40, 4, size=8, negatives=12, momentum=1.0), ask()
        student = nn.Parameter(ask()[0].embedding.detach().clone())
        optimiser, values = torch.optim.SGD([student, *method.parameters()], 0.1), []
        for _ in range(30):
            (term,) = method.losses(Outputs(taught.logits, embedding=student), taught, batch).values()
            optimiser.zero_grad()
            term.value.backward()
            optimiser.step()
            values.append(term.value.item())
        assert values[-1] < 0.7 * values[0]

    def test_is_judged_without_being_changed(self, ask):
        method = CRD(4, 6, 40, 4, size=8, negatives=12).eval()
        before = {name: value.clone() for name, value in method.state_dict().items()}
        first, second = (method.losses(*ask())["crd"].value for _ in range(2))
        assert first == second
        assert all(torch.equal(value, before[name]) for name, value in method.state_dict().items())

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"negatives": 0}, "crd needs at least one negative and a size of at least 1, got 0 and 128"),
            ({"temperature": -1.0}, "temperature must be above 0, got -1"),
            ({"momentum": -0.5}, "momentum must be at least 0, got -0.5"),
        ],
    )
    def test_refuses_what_cannot_be(self, settings, says):
        with pytest.raises(Refusal, match=says):
            CRD(4, 6, 40, 4, **settings)

    def test_refuses_networks_without_an_embedding(self, ask):
        said, taught, _ = ask()
        said.embedding = None
        with pytest.raises(Refusal, match="crd compares embeddings"):
            CRD.build(Setting(said, taught, 4, 40, nn.Identity()))
