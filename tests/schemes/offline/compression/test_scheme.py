"""What a reader may rely on when an ensemble is compressed, one claim a test."""

from dataclasses import replace

import pytest
import torch

from kdcore.engine import Recipe, Run, fit, judge
from kdcore.randomness import generator, seeded
from kdcore.schemes.offline import Distillation
from kdcore.schemes.offline.compression import ModelCompression, Perceptron, munge, table
from kdcore.schemes.offline.compression.scheme import attributes_of
from kdcore.types import Clock, Outputs, Refusal


@pytest.fixture
def make(toy, proof):
    def build(*, members: int = 3, **settings):
        nets = (toy.network(f"member{number}") for number in range(members))
        settings = {"data": proof.data, "copies": 2} | settings
        return ModelCompression(toy.network(), *nets, **settings)

    return build


@pytest.fixture
def prepared(make, proof):
    """Standing at the first step of the second stage, samples made and labelled."""

    def build(**settings):
        scheme = make(**settings).eval()
        scheme.stages()[1].between(proof.data, Clock(0, 12, 6))
        return scheme

    return build


class TestModelCompression:
    def test_the_samples_are_munged_from_the_training_set(self, prepared, proof):
        scheme = prepared(swap=0.3, local_variance=4.0, seed=7)
        rows = proof.data.inputs.flatten(1)
        made = munge(rows, generator(7, "munge"), swap=0.3, local_variance=4.0, copies=2)
        assert torch.equal(scheme.samples.flatten(1), made) and scheme.samples.shape[1:] == (1, 6, 6)

    def test_of_many_training_samples_a_few_are_drawn(self, prepared, proof):
        scheme = prepared(originals=10, swap=0.0, seed=7)
        first, second = scheme.samples.view(2, 10, -1)
        rows = proof.data.inputs.flatten(1)
        found = [(rows == row).all(1).nonzero().flatten().tolist() for row in first]
        assert torch.equal(first, second) and all(found)
        numbers = [index for (index, *_) in found]
        assert len(set(numbers)) == 10 and numbers != list(range(10))
        assert not torch.equal(first, prepared(originals=10, swap=0.0, seed=8).samples.view(2, 10, -1)[0])

    def test_a_short_run_makes_no_more_copies_than_it_can_see(self, make, proof):
        """Five steps of 24 out of 96 samples see 120, which two copies of 96 hold."""
        scheme, clock = make(copies=4).eval(), Clock(0, 5, 4)
        scheme.stages()[1].between(proof.data, clock)
        made = scheme.samples.flatten(1).any(1)
        assert made[:192].all() and not made[192:].any()
        assert torch.equal(
            scheme.samples[:192].flatten(1), munge(proof.data.inputs.flatten(1), generator(0, "munge"), copies=2)
        )
        spied, asked = scheme.student.forward, []
        scheme.student.forward = lambda inputs: (asked.append(inputs), spied(inputs))[1]
        for step in range(5):
            scheme.stages()[1].updates[0].losses(proof.data.batch(3, Clock(step, 5, 4), 24))
        assert all(inputs.flatten(1).any(1).all() for inputs in asked)

    def test_the_ensemble_answers_with_the_mean_of_its_probabilities(self, prepared):
        scheme = prepared()
        each = [member(scheme.samples).logits.softmax(1) for member in scheme.members]
        torch.testing.assert_close(scheme.answers, sum(each) / 3)
        torch.testing.assert_close(scheme.answers.sum(1), torch.ones(len(scheme.answers)))

    def test_or_with_the_mean_of_its_scores(self, prepared):
        scheme = prepared(match="logits")
        each = [member(scheme.samples).logits for member in scheme.members]
        torch.testing.assert_close(scheme.answers, sum(each) / 3)

    @pytest.mark.parametrize("match", ["probabilities", "logits"])
    def test_the_student_lowers_the_squared_error_of_its_answers(self, prepared, proof, match):
        scheme = prepared(match=match)
        batch = proof.data.batch(3, Clock(2, 12, 6), 16)
        order = torch.randperm(192, generator=generator(3, "order", 0))[32:48]
        said = scheme.student(scheme.samples[order]).logits
        said = said.softmax(1) if match == "probabilities" else said
        each = [sum((a - b) ** 2 for a, b in zip(*rows)) for rows in zip(said.tolist(), scheme.answers[order].tolist())]
        term = scheme.stages()[1].updates[0].losses(batch)["imitation"]
        assert term.value.item() == pytest.approx(sum(each) / 16, rel=1e-4) and term.weight == 1.0

    def test_the_samples_are_made_once(self, prepared, proof):
        scheme = prepared()
        before = scheme.samples.clone(), scheme.answers.clone()
        for step in (6, 12):
            scheme.stages()[1].between(proof.data, Clock(step, 12, 6))
        assert torch.equal(scheme.samples, before[0]) and torch.equal(scheme.answers, before[1])

    def test_every_member_keeps_to_a_sample_of_its_own(self, make, proof):
        drawn = {(member, epoch): self.drawn(make(), proof, member, epoch) for member in (0, 1) for epoch in (0, 1)}
        for member in (0, 1):
            first, second = drawn[member, 0], drawn[member, 1]
            assert first != second and sorted(first) == sorted(second)  # another order of the same sample
            assert 0.5 < len(set(first)) / 96 < 0.75  # 1 - 1/e are expected in a bootstrap sample
        assert sorted(drawn[0, 0]) != sorted(drawn[1, 0])

    def test_without_bootstrap_every_member_sees_the_whole_training_set(self, make, proof):
        assert sorted(self.drawn(make(bootstrap=False), proof, 1, 0)) == list(range(96))

    @staticmethod
    def drawn(scheme, proof, member: int, epoch: int) -> list[int]:
        """Which samples a member sees in one epoch, told apart by a network that is asked in its place."""
        data = replace(proof.data, inputs=torch.arange(96.0), views={"weak": lambda x, random: x})
        seen = []

        class Spy(torch.nn.Module):
            def forward(self, inputs):
                seen.extend(int(value) for value in inputs)
                return Outputs(torch.zeros(len(inputs), 4))

        scheme.members[member] = Spy()
        scheme.stages()[0].updates[member].losses(data.batch(3, Clock(epoch, 12, 1), 96))
        return seen

    def test_gradients_reach_the_member_then_the_student(self, proof, make):
        found = proof.reached(make)
        assert found["ensemble"] == {f"member{number}/task": {f"members.{number}"} for number in range(3)}
        assert found["compress"] == {"student/imitation": {"student"}}

    def test_the_student_rests_while_the_ensemble_learns_and_the_other_way_round(self, proof, make):
        run = proof.run(make)
        student = [value.clone() for value in run.scheme.student.state_dict().values()]
        while run.at == 0:
            run.advance()
        assert all(torch.equal(a, b) for a, b in zip(run.scheme.student.state_dict().values(), student))
        members = [value.clone() for value in run.scheme.members.state_dict().values()]
        fit([run])
        assert all(torch.equal(a, b) for a, b in zip(run.scheme.members.state_dict().values(), members))

    def test_the_student_never_sees_a_label(self, proof, make):
        run = proof.run(make)
        while run.at == 0:
            run.advance()
        run.data.targets.fill_(-1)  # would be out of range for any supervised loss
        run.advance()
        assert run.failed is None

    @pytest.mark.parametrize("settings", [{}, {"match": "logits", "bootstrap": False}], ids=str)
    def test_resumes_exactly(self, proof, make, toy, settings):
        short = replace(toy.recipe, steps=5, batch_size=32)  # three steps an epoch, five a stage
        toy.Proof(proof.data, short).resumes_exactly(lambda: make(**settings))

    def test_together_equals_alone(self, proof, make, toy):
        proof.together_is_alone(make, lambda: make(copies=1, seed=5), lambda: Distillation(toy.network()))

    def test_every_parameter_is_reached_as_declared(self, proof, make):
        assert proof.untouched(make) == make().untouched() == set()

    def test_delivers_the_student_first_then_the_ensemble(self, make):
        assert list(make().delivers()) == ["student", "ensemble"]

    def test_is_built_from_a_bench(self, bench):
        scheme = ModelCompression.build(bench, members=["wide", None, "wide"], copies=1)
        asked = [("member0", "wide"), ("member1", None), ("member2", "wide"), ("student", None)]
        assert bench.asked == asked and scheme.seed == bench.seed and len(scheme.samples) == len(bench.data)
        assert len(ModelCompression.build(bench, members=4).members) == 4

    @pytest.mark.parametrize(
        ("settings", "says"),
        [
            ({"members": 2}, "model compression needs at least 3 members, got 2"),
            ({"match": "labels"}, "match must be 'probabilities' or 'logits', got 'labels'"),
            ({"swap": 2.0}, r"swap must lie in 0 .. 1, got 2"),
            ({"originals": 1}, "originals must be at least 2, got 1"),
            ({"copies": 0}, "copies must be above 0, got 0"),
            ({"local_variance": -1.0}, "local_variance must be above 0, got -1"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, make, settings, says):
        with pytest.raises(Refusal, match=says):
            make(**settings)

    def test_samples_of_several_parts_are_refused(self):
        with pytest.raises(TypeError, match="samples must be one tensor, got dict"):
            attributes_of({"words": torch.zeros(2)})

    def test_bytes_count_as_images(self):
        rows = attributes_of(torch.tensor([[[51, 255]]], dtype=torch.uint8))
        torch.testing.assert_close(rows, torch.tensor([[0.2, 1.0]]))


class TestOnATable:
    def test_a_small_network_keeps_most_of_what_the_ensemble_knows(self):
        """The paper's point on a table of 30 attributes, with a twelfth of the ensemble's parameters."""
        data = table("breast-cancer")
        net = lambda role, hidden: seeded(lambda: Perceptron(30, 2, hidden=hidden), 0, "init", role)
        scheme = ModelCompression(net("student", 4), *(net(f"member{i}", 16) for i in range(3)), data=data, copies=5)
        recipe = Recipe(steps=300, batch_size=32, optimizer="adam", learning_rate=0.01, weight_decay=0.0)
        run = Run("compression", scheme, data, recipe, 0)
        fit([run])
        scores = {role: numbers["accuracy"] for role, numbers in judge(scheme, data).items()}
        imitation = [e["terms"]["student/imitation"] for e in run.curve if e["stage"] == "compress"]
        assert imitation[-1] < 0.2 * imitation[0]
        assert scores["ensemble"] > 0.93 and scores["student"] > scores["ensemble"] - 0.03
