"""What is measured of a writer, and what alignment costs, counted against what can be worked out by hand."""

import math

import pytest
import torch
from torch import nn

from kdcore import data
from kdcore.experiments import get, run
from kdcore.experiments.measures import text
from kdcore.experiments.measures.text import (
    PROMPT,
    Step,
    alignment_cost,
    counted,
    kept,
    nats_of,
    reading,
    step_arithmetic,
)
from kdcore.models.transformer import Transformer
from kdcore.recipe import Recipe
from kdcore.types import Data, Outputs, Task


class Even(nn.Module):
    """Finds every token as likely as any other."""

    def forward(self, tokens):
        return Outputs(torch.zeros(*tokens.shape, 7))


class TestReading:
    def test_a_reader_without_a_clue_needs_the_vocabulary(self):
        assert nats_of(Even(), torch.zeros(3, 40, dtype=torch.long)) == pytest.approx(math.log(7))

    def test_the_prompt_is_not_judged(self):
        class Knows(nn.Module):
            def forward(self, tokens):
                logits = torch.zeros(*tokens.shape, 7)
                logits[:, PROMPT - 1 :, 3] = 1000.0
                return Outputs(logits)

        texts = torch.cat([torch.arange(PROMPT)[None] % 7, torch.full((1, 10), 3)], 1)
        assert nats_of(Knows(), texts) == 0

    def test_both_ways_of_writing_are_read(self):
        torch.manual_seed(0)
        network = Transformer(7, width=8, layers=1, heads=2)
        inputs = torch.arange(5 * 32).view(5, 32) % 7
        test = Data(inputs, inputs, Task(), {})
        found = reading(network, Even(), test, 0)
        assert found == pytest.approx({"reader_nats": math.log(7), "reader_nats_greedy": math.log(7)})
        sure = reading(network, network, test, 0)
        assert sure["reader_nats_greedy"] < sure["reader_nats"] == reading(network, network, test, 0)["reader_nats"]


class TestAlignmentCost:
    def test_arithmetic_grows_by_the_projections_forward_and_back(self):
        """Two multiplications a number forward; as much again for the weights' slopes and for the states'."""
        plain, aligned = (counted(2, 8, 16, every, 10, 3, 6)[0] for every in (None, 1))
        assert aligned - plain == 2 * 3 * (2 * 3 * 6 * 8 * 16)

    def test_what_is_kept_grows_by_the_difference_and_the_teacher_s_states(self):
        plain, aligned = (counted(3, 8, 16, every, 10, 3, 6)[1] for every in (None, 1))
        states = 3 * 6 * 16
        assert aligned - plain == 3 * 2 * states

    @pytest.mark.parametrize("every", [None, 1, 2])
    def test_every_layer_adds_the_same(self, every):
        """So two depths give all of them; pairs of layers where every second one is aligned."""
        counts = [torch.tensor(counted(depth, 8, 16, every, 10, 2, 6)) for depth in (2, 4, 6)]
        assert torch.equal(counts[2] - counts[1], counts[1] - counts[0])

    def test_fewer_layers_cost_in_proportion(self):
        plain, half, whole = (counted(4, 8, 16, every, 10, 2, 6)[0] for every in (None, 2, 1))
        assert whole - plain == 2 * (half - plain)

    def test_counts_are_of_all_depths_and_alignments(self):
        asked = {
            "depths": [1, 2],
            "student_width": 8,
            "teacher_width": 16,
            "every": [1, 2],
            "vocabulary": 10,
            "length": 6,
        }
        last = alignment_cost(
            seed=0, profile="quick", recipe=Recipe(batch_size=2), device="cpu", data="topics", **asked
        )
        assert set(last) == {"arithmetic", "kept"} and set(last["kept"]) == {"none", "every-1", "every-2"}
        assert last["arithmetic"]["none"]["2"] == counted(2, 8, 16, None, 10, 2, 6)[0]

    def test_nothing_is_computed_for_real(self):
        step = Step(2, 8, 16, 1, 10)
        assert {
            p.device.type for network in (step.student, step.teacher, step.method) for p in network.parameters()
        } == {"meta"}

    def test_what_is_kept_is_counted_once_and_without_parameters(self):
        weight, x = nn.Parameter(torch.ones(3, 3)), torch.ones(2, 3, requires_grad=True)
        layer = nn.ParameterList([weight])
        with kept(layer) as held:
            y = (x @ weight) * (x @ weight).sin()
        assert y.requires_grad and sum(held.values()) == 6 + 3 * 6  # x once; each factor and what the sine was of


class TestStepArithmetic:
    def test_a_teacher_is_paid_for_and_who_writes_pays_more(self, tmp_path, monkeypatch):
        monkeypatch.setenv("KDCORE_RUNS", str(tmp_path))
        alone, taught, writes = (step_arithmetic("llm", row) for row in ("student", "token-level-kd", "gkd"))
        assert alone < taught and alone < writes
        batch, length, vocabulary = 8, 64, data.load("topics").classes
        linear = batch * length * (12 * 32**2 + 32 * vocabulary)
        assert alone == 3 * 2 * linear  # forward, back to the states, back to the weights


class TestWriting:
    def test_a_row_is_judged_by_a_reader_of_its_own(self, tmp_path, monkeypatch):
        monkeypatch.setenv("KDCORE_RUNS", str(tmp_path))
        monkeypatch.setattr(text, "TEXTS", 2)
        records = run(get("llm"), profile="smoke", methods=["student", "token-level-kd"])
        for record in records:
            assert record["status"] == "done" and {"nats_per_character", "reader_nats"} <= record["last"].keys()
            assert record["inputs"]["reader"] == record["inputs"].get("teacher", record["inputs"]["reader"])
            assert record["inputs"]["data"] == records[0]["inputs"]["data"]
