"""What a reader may rely on when a student follows the stages of a teacher, one claim a test."""

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from kdcore.engine import Run, fit
from kdcore.losses.response.distillation import kd_loss
from kdcore.schemes.online.multistage import MSMGANs
from kdcore.types import Clock, Outputs, Refusal


@pytest.fixture
def make(toy):
    def build(**settings):
        networks = toy.network(dropout=0.0), toy.network("teacher", 9, dropout=0.0)
        settings = {"rounds": 2, "hidden": 4, **settings}
        return toy.seeded(lambda: MSMGANs(*networks, sample=toy.patterns().inputs[:2], **settings))

    return build


@pytest.fixture
def batch(toy):
    return toy.patterns().batch(toy.seed, Clock(0, 12, 6), 16)


class TestMSMGANs:
    def test_every_round_has_its_teacher_its_blocks_in_order_and_its_classifier(self, make):
        stages = make(rounds=2).stages()
        parts = ("teacher", "block0", "block1", "answers")
        assert [stage.name for stage in stages] == [f"round{at} {part}" for at in range(2) for part in parts]
        assert sum(stage.share for stage in stages if "teacher" in stage.name) == pytest.approx(1)
        assert sum(stage.share for stage in stages if "teacher" not in stage.name) == pytest.approx(1)

    @pytest.mark.parametrize(
        ("tuned", "answering"),
        [("network", {"first", "first_norm", "second", "second_norm", "head"}), ("classifier", {"head"})],
    )
    def test_only_the_block_whose_turn_it_is_moves(self, proof, make, tuned, answering):
        run, seen = proof.run(lambda: make(tuned=tuned)), {}
        while run.active:
            stage = run.stages[run.at].name
            before = {name: value.clone() for name, value in run.scheme.student.named_parameters()}
            run.advance()
            moved = {
                name for name, value in run.scheme.student.named_parameters() if not torch.equal(value, before[name])
            }
            seen.setdefault(stage.split()[1], set()).update(moved)
        assert seen["teacher"] == set()
        assert {name.split(".")[0] for name in seen["block0"]} == {"first", "first_norm"}
        assert {name.split(".")[0] for name in seen["block1"]} == {"second", "second_norm"}
        assert {name.split(".")[0] for name in seen["answers"]} == answering

    def test_the_stage_teacher_rests_while_it_is_followed(self, proof, make):
        run = proof.run(make)
        while run.active:
            following = "teacher" not in run.stages[run.at].name
            before = {name: value.clone() for name, value in run.scheme.teacher.state_dict().items()}
            run.advance()
            state = run.scheme.teacher.state_dict()
            same = all(torch.equal(value, state[name]) for name, value in before.items())
            assert same == following

    def test_no_update_moves_what_it_does_not_own(self, proof, make):
        moved = proof.moves(make)
        assert moved["round1 teacher"] == {"teacher": {"teacher"}, "judges": {"judges.0", "judges.1"}}
        assert moved["round1 block1"] == {"student": {"student", "adapters.1"}, "judge": {"judges.1"}}
        assert moved["round1 answers"] == {"student": {"student"}}

    def test_the_teacher_is_a_discriminator_too_so_the_game_reaches_it(self, proof, make):
        found = proof.reached(make)
        assert found["round1 teacher"]["teacher/judge0"] == {"teacher", "judges.0"}
        assert found["round1 block0"]["student/fool"] == {"student", "adapters.0", "judges.0"}
        assert found["round1 block0"]["judge/judge"] == {"judges.0"}

    def test_a_block_regresses_its_depth_and_passes_for_it(self, make, batch):
        scheme = make(hint_weight=0.3, weight=0.2).requires_grad_(False).eval()
        student, teacher = scheme.student(batch.inputs), scheme.teacher(batch.inputs)
        terms = scheme._followed(1, batch)
        mine = scheme.adapters[1](student.features[1])
        torch.testing.assert_close(terms["hint"].value, F.mse_loss(mine, teacher.features[1]))
        torch.testing.assert_close(terms["fool"].value, F.softplus(-scheme.judges[1](mine)).mean())
        assert (terms["hint"].weight, terms["fool"].weight) == (0.3, 0.2)

    def test_both_learn_the_others_softened_answers_the_teacher_from_the_second_round_on(self, make, batch):
        scheme = make(temperature=2.0).requires_grad_(False).eval()
        student, teacher = scheme.student(batch.inputs).logits, scheme.teacher(batch.inputs).logits
        up = [scheme._round(at)[0].updates[0].losses(batch)["mimicry"] for at in (0, 1)]
        down = scheme._answered(batch)["mimicry"]
        torch.testing.assert_close(up[1].value, kd_loss(teacher, student, temperature=2.0))
        torch.testing.assert_close(down.value, kd_loss(student, teacher, temperature=2.0))
        assert [term.weight for term in (*up, down)] == [0.0, 1.0, 1.0]

    def test_resumes_exactly(self, short, make):
        short.resumes_exactly(make)

    def test_together_equals_alone(self, short, make):
        short.together_is_alone(make, lambda: make(weight=0.0))

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_training_teaches_both(self, make, toy):
        recipe = replace(toy.recipe, steps=90, learning_rate=0.1)
        run = Run("ms-mgans", make(), toy.patterns(), recipe, toy.seed)
        fit([run])
        assert run.failed is None
        scores = run.result()
        assert scores["student"]["accuracy"] > 0.6 and scores["teacher"]["accuracy"] > 0.6

    def test_is_built_from_a_bench(self, bench, toy):
        scheme = MSMGANs.build(bench, teacher_network="wide", rounds=1)
        assert bench.asked == [("student", None), ("teacher", "wide")] and len(scheme.judges) == 2
        assert torch.equal(scheme.student.head.weight, toy.network("student").head.weight)
        assert list(scheme.delivers()) == ["student", "teacher"]

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"rounds": 0}, "rounds must be above 0, got 0"),
            ({"hint_weight": -1.0}, "hint_weight must be at least 0, got -1"),
            ({"tuned": "head"}, "tuned must be 'network' or 'classifier', got 'head'"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)

    @pytest.mark.parametrize("says", ["got 2 maps of the student and 1 of the teacher"])
    def test_networks_of_different_depth_are_refused(self, toy, says):
        class Shallow(nn.Module):
            def __init__(self):
                super().__init__()
                self.layer = nn.Conv2d(1, 3, 1)

            def forward(self, images):
                maps = self.layer(images)
                return Outputs(maps.mean((2, 3)), (maps,))

        with pytest.raises(Refusal, match=says):
            MSMGANs(toy.network(), Shallow(), sample=toy.patterns().inputs[:2])
