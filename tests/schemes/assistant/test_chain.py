"""What a reader may rely on when assistants stand between teacher and student, one claim a test."""

import pytest
import torch

from kdcore.engine import fit
from kdcore.losses.response.distillation import KD, kd_loss
from kdcore.schemes.assistant import TAKD
from kdcore.schemes.offline import Distillation
from kdcore.types import Clock, Refusal


def teacher(toy):
    return toy.network("teacher", 12, seed=0).eval().requires_grad_(False)


@pytest.fixture
def make(toy):
    def build(*, assistants: int = 2, **settings):
        between = [toy.network(f"assistant{number}", 10 - 2 * number) for number in range(assistants)]
        return TAKD(toy.network(), teacher(toy), *between, **settings)

    return build


class TestTAKD:
    def test_without_an_assistant_it_is_plain_distillation_to_the_bit(self, proof, make, toy):
        plain = lambda: Distillation(toy.network(), teacher(toy), KD())
        runs = [proof.run(lambda: make(assistants=0), "takd"), proof.run(plain, "kd")]
        fit(runs)
        mine, theirs = (run.scheme.student.state_dict() for run in runs)
        assert all(torch.equal(value, theirs[name]) for name, value in mine.items())

    def test_every_network_learns_from_the_one_before_it(self, make, toy):
        scheme = make(temperature=2.0, weight=0.7, task_weight=0.4).eval()
        batch = toy.patterns().batch(toy.seed, Clock(0, 12, 6), 16)
        chain = [*scheme.outside, *scheme.assistants, scheme.student]
        stages = scheme.stages()
        assert [stage.name for stage in stages] == ["assistant0", "assistant1", "main"]
        for stage, guide, learner in zip(stages, chain, chain[1:]):
            (update,) = stage.updates
            terms = update.losses(batch)
            said = kd_loss(learner(batch.inputs).logits, guide(batch.inputs).logits, temperature=2.0)
            torch.testing.assert_close(terms["kd"].value, said)
            assert update.trains == [learner] and (terms["kd"].weight, terms["task"].weight) == (0.7, 0.4)

    def test_one_moves_and_the_others_rest(self, short, make):
        moved = short.moves(make)
        assert moved["assistant0"] == {"assistant": {"assistants.0"}}
        assert moved["assistant1"] == {"assistant": {"assistants.1"}}
        assert moved["main"] == {"student": {"student"}}

    def test_gradients_reach_the_one_that_learns(self, short, make):
        for stage, owner in {"assistant0": "assistants.0", "assistant1": "assistants.1", "main": "student"}.items():
            terms = short.reached(make)[stage]
            assert set(map(frozenset, terms.values())) == {frozenset({owner})}

    def test_an_assistant_is_finished_when_it_teaches(self, short, make):
        run = short.run(make)
        seen = []
        while run.active:
            if run.stages[run.at].name == "main":
                seen.append({name: value.clone() for name, value in run.scheme.assistants.state_dict().items()})
            run.advance()
        last = run.scheme.assistants.state_dict()
        assert len(seen) == 5 and all(torch.equal(state[name], last[name]) for state in seen for name in last)

    def test_assistants_come_beside_the_students_own_length(self, proof, make):
        run = proof.run(lambda: make(share=0.5))
        assert [clock.steps for clock in run.clocks] == [6, 6, 12]

    def test_resumes_exactly(self, short, make):
        short.resumes_exactly(make)

    def test_together_equals_alone(self, short, make):
        short.together_is_alone(make, lambda: make(assistants=1))

    def test_every_parameter_is_reached_as_declared(self, short, make):
        assert short.untouched(make) == make().untouched() == set()

    def test_delivers_the_student_first_and_every_assistant(self, bench, toy):
        scheme = TAKD.build(bench, assistants=["wide", None])
        assert bench.asked == [("assistant0", "wide"), ("assistant1", None), ("student", None)]
        assert list(scheme.delivers()) == ["student", "assistant0", "assistant1"]
        assert torch.equal(scheme.student.head.weight, toy.network("student").head.weight)
        assert "outside" not in " ".join(scheme.state_dict())

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"temperature": 0.0}, "temperature must be above 0, got 0"),
            ({"weight": -1.0}, "weight must be at least 0, got -1"),
            ({"share": 0.0}, "share must be above 0, got 0"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)

    @pytest.mark.parametrize("says", ["networks of their own, one was given twice"])
    def test_one_network_is_no_chain(self, toy, says):
        network = toy.network()
        with pytest.raises(Refusal, match=says):
            TAKD(network, teacher(toy), network)
