"""Byte-pair tokens: text comes back, the training part alone decides, and the library is asked for where it lacks."""

import sys

import pytest
import torch

from kdcore import data
from kdcore.data.byte_pairs import BytePairs
from kdcore.types import Outputs, Refusal

TEXT = "the loss of the teacher, the loss of the student; the teacher's loss"


class TestWithoutTheLibrary:
    def test_the_extra_is_named(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "tokenizers", None)
        with pytest.raises(Refusal, match=r"library tokenizers, which is not installed: pip install 'kdcore\[text\]'"):
            BytePairs(TEXT, 300)

    def test_fewer_tokens_than_bytes_are_refused(self):
        with pytest.raises(Refusal, match="vocabulary must be at least 256, one token a byte, got 100"):
            BytePairs(TEXT, 100)


@pytest.fixture
def tokenizers():
    return pytest.importorskip("tokenizers", reason="the extra `text` is not installed")


class TestBytePairs:
    @pytest.mark.parametrize("text", [TEXT, "Hällo ∑ 知识\n  蒸馏\t!", ""])
    def test_every_text_comes_back(self, tokenizers, text):
        tokens = BytePairs(TEXT, 300)
        assert tokens.decode(tokens.encode(text)) == text

    def test_frequent_runs_become_one_token(self, tokenizers):
        tokens = BytePairs(TEXT, 300)
        assert len(tokens.encode(" the")) == 1 and len(tokens.encode("zq")) == 2
        assert 256 < len(tokens) <= 300 and tokens.encode(TEXT).max() < len(tokens)

    def test_learning_repeats_itself(self, tokenizers):
        assert torch.equal(BytePairs(TEXT, 280).encode(TEXT), BytePairs(TEXT, 280).encode(TEXT))


@pytest.fixture
def pairs(tokenizers):
    return data.load("topics", tokens="byte-pairs")


class TestTopicsInBytePairs:
    def test_windows_hold_more_text_and_another_digest(self, pairs):
        characters = data.load("topics")
        assert pairs.classes == 512 and len(pairs) < 0.6 * len(characters) and pairs.digest != characters.digest
        decoded = pairs.task.decode(pairs.inputs[0])
        assert len(decoded) > 64 and characters.task.decode(characters.inputs[0]).startswith(decoded[:50])

    def test_nats_are_told_a_character(self, pairs):
        test = pairs.splits["test"]
        blind = test.task.evaluate(lambda tokens: Outputs(torch.zeros(*tokens.shape, pairs.classes)), test)
        characters = len(pairs.task.decode(test.targets.flatten()))
        assert blind["perplexity"] == pytest.approx(512)
        expected = torch.log(torch.tensor(512.0)).item() * test.targets.numel() / characters
        assert blind["nats_per_character"] == pytest.approx(expected, rel=1e-5) and blind["nats_per_character"] < 4
