"""The text task: neighbouring blocks of one text, targets one character on, judged in nats."""

import math
from pydoc_data.topics import topics

import pytest
import torch

from kdcore import data
from kdcore.data.text import LanguageModelling, windows
from kdcore.models import build
from kdcore.types import Clock, Outputs, Refusal

TEXT = "".join(topics.values())


@pytest.fixture(scope="module")
def text():
    return data.load("topics")


class TestTopics:
    def test_parts_are_neighbouring_blocks_of_the_text(self, text):
        whole = [text.task.decode(part.inputs.flatten()) for part in (text, *text.splits.values())]
        tenth = int(0.1 * len(TEXT))
        starts = (0, len(TEXT) - 2 * tenth, len(TEXT) - tenth)
        assert list(text.splits) == ["validation", "test"]
        for block, start in zip(whole, starts, strict=True):
            assert block == TEXT[start : start + len(block)]
        ends = [start + len(block) for block, start in zip(whole, starts)]
        assert all(0 < after - end <= 65 for end, after in zip(ends, (*starts[1:], len(TEXT))))

    def test_targets_are_the_characters_that_follow(self, text):
        for part in (text, *text.splits.values()):
            assert torch.equal(part.inputs[:, 1:], part.targets[:, :-1])
            assert torch.equal(part.inputs[1:, 0], part.targets[:-1, -1])
            assert part.inputs.dtype == torch.long and part.inputs.shape[1] == 64

    def test_vocabulary_is_every_character_and_text_comes_back(self, text):
        assert text.classes == len(set(TEXT)) == len(text.task.vocabulary)
        assert text.task.decode(text.task.encode("A loss, 3.5\n")) == "A loss, 3.5\n"
        assert len(text.task.encode("")) == 0
        places = [text.task.vocabulary.index(character) for character in "loss"]
        assert text.task.encode("loss").tolist() == places

    def test_a_vocabulary_may_stand_in_any_order(self):
        task = LanguageModelling("zaé∑")
        assert task.encode("∑aéz").tolist() == [3, 1, 2, 0] and task.decode(torch.tensor([2, 0])) == "éz"

    def test_a_character_that_is_not_known_is_named(self, text):
        with pytest.raises(KeyError, match="知"):
            text.task.encode("a 知")

    def test_length_decides_the_windows_and_the_digest(self, text):
        other = data.load("topics", length=32)
        assert other.inputs.shape[1] == 32 and other.digest != text.digest
        assert text.digest == data.load("topics").digest

    def test_a_few_windows_are_the_first_ones_under_another_digest(self, text):
        few = data.load("topics", most=5)
        assert torch.equal(few.inputs, text.inputs[:5]) and few.digest != text.digest and few.classes == text.classes
        assert all(torch.equal(few.splits[name].targets, text.splits[name].targets[:5]) for name in few.splits)
        with pytest.raises(Refusal, match="most must be at least 1, got 0"):
            data.load("topics", most=0)

    @pytest.mark.parametrize("length", [1, 10**6])
    def test_a_length_that_cannot_be_is_refused(self, length):
        with pytest.raises(Refusal, match=rf"length must lie in 2 \.\. \d+, got {length}"):
            data.load("topics", length=length)

    def test_windows_leave_out_what_does_not_fill_one(self):
        inputs, targets = windows(torch.arange(11), 3)
        assert inputs.tolist() == [[0, 1, 2], [3, 4, 5], [6, 7, 8]] and targets.tolist()[-1] == [7, 8, 9]
        assert len(windows(torch.arange(9), 3)[0]) == 2

    def test_every_view_is_the_text_itself(self, text):
        batch = text.batch(0, Clock(0, 10, 10), 4)
        assert all(torch.equal(batch.view(name), text.inputs[batch.index]) for name in ("weak", "plain", "strong"))


class TestLanguageModelling:
    def test_loss_is_the_mean_over_positions(self, text):
        batch = text.batch(0, Clock(0, 10, 10), 4)
        logits = torch.sin(torch.arange(4 * 64 * text.classes, dtype=torch.float32)).view(4, 64, -1)
        expected = [-logits[i, j].log_softmax(0)[batch.targets[i, j]].item() for i in range(4) for j in range(64)]
        assert text.task.loss(Outputs(logits), batch).item() == pytest.approx(sum(expected) / 256, rel=1e-5)

    def test_guessing_blindly_costs_the_vocabulary(self, text):
        test = text.splits["test"]
        found = test.task.evaluate(lambda tokens: Outputs(torch.zeros(*tokens.shape, text.classes)), test)
        assert found["perplexity"] == pytest.approx(text.classes)
        assert found["nats_per_character"] == pytest.approx(math.log(text.classes))
        assert next(iter(found)) == test.task.score and test.task.lower_is_better

    def test_knowing_costs_nothing(self, text):
        test = text.splits["test"]
        answers = iter(part.targets for part in test.parts(250))
        knowing = lambda tokens: Outputs(100 * torch.nn.functional.one_hot(next(answers), text.classes).float())
        assert test.task.evaluate(knowing, test) == pytest.approx(
            {"perplexity": 1.0, "nats_per_character": 0.0, "accuracy": 1.0}, abs=1e-9
        )

    def test_a_network_learns_it(self, text):
        network = build("text-student", text.classes)
        adam = torch.optim.Adam(network.parameters(), 0.01)
        losses = []
        for step in range(20):
            batch = text.batch(0, Clock(step, 20, len(text) // 8), 8)
            loss = text.task.loss(network(batch.inputs), batch)
            adam.zero_grad()
            loss.backward()
            adam.step()
            losses.append(loss.item())
        assert losses[0] > 4.4 and losses[-1] < 3.6


@pytest.fixture(scope="module")
def masked():
    return data.load("topics-masked")


class TestMasked:
    def test_the_texts_are_the_same_and_the_targets_are_the_texts(self, masked, text):
        assert torch.equal(masked.inputs, text.inputs) and torch.equal(masked.targets, masked.inputs)
        assert masked.classes == text.classes + 1 and masked.task.hidden == text.classes
        assert masked.digest != text.digest and list(masked.splits) == ["validation", "test"]

    def test_a_share_of_the_tokens_is_hidden_anew_at_every_step(self, masked):
        seen = [masked.batch(0, Clock(step, 10, 10), 64).inputs for step in (0, 1)]
        shares = [(inputs == masked.task.hidden).double().mean().item() for inputs in seen]
        assert shares == pytest.approx([0.15, 0.15], abs=0.02)
        batch = masked.batch(0, Clock(0, 10, 10), 64)
        kept = batch.inputs != masked.task.hidden
        assert torch.equal(batch.inputs[kept], batch.targets[kept]) and torch.equal(batch.inputs, seen[0])
        assert torch.equal(batch.view("plain"), batch.targets)

    def test_the_loss_counts_hidden_tokens_alone(self, masked):
        batch = masked.batch(0, Clock(0, 10, 10), 4)
        logits = torch.sin(torch.arange(4 * 64 * masked.classes, dtype=torch.float32)).view(4, 64, -1)
        hidden = batch.inputs == masked.task.hidden
        expected = torch.nn.functional.cross_entropy(logits[hidden], batch.targets[hidden])
        torch.testing.assert_close(masked.task.loss(Outputs(logits), batch), expected)
        with torch.no_grad():
            logits[~hidden] = 100 * torch.sin(logits[~hidden])
        torch.testing.assert_close(masked.task.loss(Outputs(logits), batch), expected)

    def test_is_judged_on_the_same_hidden_tokens_every_time(self, masked):
        test, asked = masked.splits["test"], []

        def blind(tokens):
            asked.append(tokens)
            return Outputs(torch.zeros(*tokens.shape, masked.classes))

        found = [test.task.evaluate(blind, test)["nats_per_character"] for _ in range(2)]
        assert found == pytest.approx([math.log(masked.classes)] * 2)
        assert torch.equal(asked[0], asked[len(asked) // 2]) and (asked[0] == test.task.hidden).any()


class TestTokens:
    def test_other_tokens_are_refused(self):
        with pytest.raises(Refusal, match="tokens must be 'characters' or 'byte-pairs', got 'words'"):
            data.load("topics", tokens="words")
