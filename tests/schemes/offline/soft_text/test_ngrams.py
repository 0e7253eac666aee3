"""What a reader may rely on when texts are compared by their pieces."""

import math
from collections import Counter

import pytest
import torch

from kdcore.randomness import generator
from kdcore.schemes.offline.soft_text.ngrams import Writing, ngram_distance, pieces
from kdcore.types import Outputs


def drawn(texts: int, seed: int, tokens: int = 3) -> torch.Tensor:
    return torch.randint(tokens, (texts, 7), generator=generator(seed, "texts"))


class TestPieces:
    def test_counts_every_window(self):
        texts = drawn(5, 0)
        windows = Counter(tuple(text[at : at + 3]) for text in texts.tolist() for at in range(5))
        names, counts = pieces(texts, 3, 3)
        expected = sorted((sum(token * 3**place for place, token in enumerate(w)), n) for w, n in windows.items())
        assert list(zip(names.tolist(), counts.tolist())) == expected

    @pytest.mark.parametrize("says", ["pieces of 4 of 100000 tokens cannot be numbered"])
    def test_what_cannot_be_numbered_is_refused(self, says):
        with pytest.raises(ValueError, match=says):
            pieces(torch.zeros(1, 7, dtype=torch.int64), 4, 100000)


class TestNgramDistance:
    @pytest.mark.parametrize("size", [1, 2, 3, 4])
    def test_is_the_divergence_of_both_from_their_middle(self, size):
        one, other, total = drawn(6, 0), drawn(9, 1), 0.0
        shares = []
        for texts in (one, other):
            windows = Counter(tuple(text[at : at + size]) for text in texts.tolist() for at in range(8 - size))
            shares.append({window: count / windows.total() for window, count in windows.items()})
        for window in shares[0].keys() | shares[1].keys():
            p, q = (share.get(window, 0.0) for share in shares)
            total += sum(x * math.log(2 * x / (p + q)) for x in (p, q) if x) / 2
        assert ngram_distance(one, other, size, 3) == pytest.approx(total, rel=1e-12)

    def test_knows_no_order_of_its_two_sides(self):
        one, other = drawn(6, 0), drawn(9, 1)
        assert ngram_distance(one, other, 2, 3) == pytest.approx(ngram_distance(other, one, 2, 3), rel=1e-12)

    def test_ends_at_zero_and_at_the_logarithm_of_two(self):
        one = drawn(6, 0)
        assert ngram_distance(one, one.repeat(3, 1), 3, 3) == pytest.approx(0, abs=1e-15)
        assert ngram_distance(one, one + 3, 3, 6) == pytest.approx(math.log(2))


class TestWriting:
    def test_judges_the_likeliest_texts_against_the_sets(self, words):
        task = Writing(5)
        scores = task.evaluate(lambda x: Outputs(torch.nn.functional.one_hot(x, 5).double() * 50), words)
        assert scores["distance4"] == pytest.approx(0, abs=1e-15) and scores["entropy"] < 1e-9
        assert scores["distinct"] == 5 / 64  # five starts among 64 texts
        assert task.score == "distance4" and task.lower_is_better

    def test_a_writer_of_one_text_is_found_out(self, words):
        said = Outputs(torch.zeros(64, 6, 5))
        scores = Writing(5).evaluate(lambda x: said, words)
        assert scores["distinct"] == 1 / 64 and scores["entropy"] == pytest.approx(math.log(5))
        assert scores["distance4"] == pytest.approx(math.log(2))

    @pytest.mark.parametrize("says", ["a generator of texts has no label to learn"])
    def test_it_has_no_labels(self, words, says):
        with pytest.raises(TypeError, match=says):
            Writing(5).loss(Outputs(torch.zeros(64, 6, 5)), words)
