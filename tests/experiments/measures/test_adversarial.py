"""What is measured of games, against values worked by hand."""

import doctest

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from kdcore.data import load
from kdcore.engine import Recipe, fit
from kdcore.experiments.measures import adversarial
from kdcore.experiments.measures.adversarial import (
    answers_gap,
    centred_answers,
    disagreement,
    energy_distance,
    peers,
    texts,
    writers,
)
from kdcore.models import build
from kdcore.randomness import generator
from kdcore.schemes.offline.soft_text import Writing
from kdcore.types import Data, Outputs, Task

FRESH = {"row": "teacher", "network": "digits-teacher", "classes": 10}  # a teacher that nobody trained
ASKED = {"seed": 0, "profile": "smoke", "recipe": Recipe(steps=3, batch_size=16), "device": "cpu"}
PAIR = {"data": "digits-100", "student": "digits-student", "teacher": FRESH}


class Says(nn.Module):
    """Scores that are the inputs themselves."""

    def forward(self, inputs):
        return Outputs(inputs)


def scores(*rows: list[float]) -> Data:
    return Data(torch.tensor(rows), torch.zeros(len(rows), dtype=torch.int64), Task(), {}, classes=len(rows[0]))


class TestEnergyDistance:
    def test_asks_for_no_pairs(self):
        one = torch.tensor([[0.0, 1.0], [3.0, -1.0], [2.0, 2.0]])
        assert energy_distance(one, one.flip(0)).item() == pytest.approx(0, abs=1e-7)
        assert energy_distance(one, one[:, [1, 0]]) > 0.05

    def test_value_worked_by_hand(self):
        """Two points at 0 and 4 against one at 1: twice (1 + 3) / 2 less 8 / 4."""
        value = energy_distance(torch.tensor([[0.0], [4.0]]), torch.tensor([[1.0]]))
        assert value.item() == pytest.approx(2.0)

    def test_is_the_sum_over_all_pairs(self):
        one, other = torch.rand(9, 3, dtype=torch.float64, generator=generator("sets")).split([5, 4])
        mean = lambda a, b: sum((x - y).norm().item() for x in a for y in b) / len(a) / len(b)
        expected = 2 * mean(one, other) - mean(one, one) - mean(other, other)
        assert energy_distance(one, other).item() == pytest.approx(expected, rel=1e-9)


class TestAnswersGap:
    def test_answers_have_no_mean(self):
        found = centred_answers(Says(), scores([1.0, 2.0, 6.0], [5.0, 5.0, 5.0]))
        assert found.tolist() == [[-2.0, -1.0, 3.0], [0.0, 0.0, 0.0]]

    def test_a_student_that_answers_as_its_teacher_has_none(self, tmp_path):
        save_file(build("digits-teacher", classes=10, seed=3).state_dict(), tmp_path / "kept.safetensors")
        kept = FRESH | {"weights": str(tmp_path / "kept.safetensors")}
        found = answers_gap(**ASKED, **PAIR | {"teacher": kept}, learner=kept)
        assert found["as_a_set"] == pytest.approx(0, abs=1e-4) and found["one_by_one"] == pytest.approx(0, abs=1e-4)

    def test_another_network_lies_apart(self):
        found = answers_gap(**ASKED, **PAIR, learner=FRESH | {"network": "digits-student"})
        assert found["as_a_set"] > 0.01 and found["one_by_one"] > 0.1


class TestPeers:
    def test_disagreement_by_hand(self):
        other = nn.Sequential()
        other.forward = lambda inputs: Outputs(inputs[:, [1, 0, 2]])
        data = scores([1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 2.0])
        assert disagreement(Says(), other, data) == 0.5 and disagreement(Says(), Says(), data) == 0

    def test_a_row_is_trained_as_others_and_judged_by_its_first_two_networks(self):
        settings = {**PAIR, "teacher": None, "scheme": "online-adversarial-kd", "hidden": 4}
        training = peers(**ASKED, **settings)
        fit([training.run])
        said = training.finish(training.run)
        assert set(said["networks"]) == {"peer0", "peer1", "ensemble"} and 0 <= said["last"]["disagreement"] <= 1
        one, two, _ = training.run.scheme.delivers().values()
        assert said["last"]["disagreement"] == disagreement(one, two, training.run.data.splits["test"])


class TestTexts:
    def test_a_record_quotes_what_its_network_writes(self):
        tiny = {"hidden": 4, "noise": 3, "width": 4, "blocks": 1}
        name = "kdcore.experiments.measures.adversarial:texts"
        settings = {"data": {"name": name, "length": 12}, "student": "none", "scheme": "textkd-gan", **tiny}
        training = writers(**ASKED, **settings)
        fit([training.run])
        said = training.finish(training.run)
        assert [len(text) for text in said["texts"]] == [12] * 4 and said["score"] == "distance4"
        tokens = [load("topics").task.encode(text) for text in said["texts"]]
        likeliest = training.run.scheme.generator(torch.zeros(4, 12)).logits.argmax(2)
        assert torch.equal(torch.stack(tokens), likeliest)

    def test_are_the_help_texts_with_another_task_in_every_split(self):
        data = texts(length=24)
        parts = [data, *data.splits.values()]
        assert all(isinstance(part.task, Writing) and part.task.vocabulary == data.classes for part in parts)
        assert data.inputs.shape[1] == 24 and data.digest


def test_the_examples_are_true():
    assert doctest.testmod(adversarial).failed == 0
