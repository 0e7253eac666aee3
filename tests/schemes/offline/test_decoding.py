"""What a reader may rely on when a network writes, one claim a test."""

import itertools

import pytest
import torch
from small_language import WORDS, Forgetful, draws, teacher, texts, writer

from kdcore.schemes.offline.decoding import beam_search, reads_tokens, sample, writing, written
from kdcore.types import Data, Task

PROMPTS = texts().inputs[:4, :2]
END = int(sample(teacher(), PROMPTS, 6, draws(), temperature=0.0)[0, 5])  # a word that the teacher does write


def likelihood(network, tokens: torch.Tensor, start: int) -> torch.Tensor:
    """The logarithm of the probability of everything after the prompt, the slow way."""
    logs = network(tokens[:, :-1]).logits.log_softmax(2)
    return logs.gather(2, tokens[:, 1:, None])[:, start - 1 :, 0].sum(1)


class TestSample:
    def test_starts_with_the_prompt_and_has_the_length(self):
        found = sample(teacher(), PROMPTS, 9, draws())
        assert found.shape == (4, 9) and torch.equal(found[:, :2], PROMPTS)

    def test_a_network_that_remembers_writes_what_it_writes_reading_all_again(self):
        one, other = (sample(network, PROMPTS, 12, draws()) for network in (teacher(), Forgetful(teacher())))
        assert torch.equal(one, other)

    def test_temperature_zero_takes_the_likeliest_token_each_time(self):
        network, found = teacher(), sample(teacher(), PROMPTS, 9, draws(), temperature=0.0)
        for place in range(2, 9):
            assert torch.equal(found[:, place], network(found[:, :place]).logits[:, -1].argmax(1))

    def test_draws_follow_the_network_s_probabilities(self):
        network, prompts = teacher(), PROMPTS[:1].expand(4000, 2)
        drawn = sample(network, prompts, 3, draws())[:, 2]
        expected = network(PROMPTS[:1]).logits[0, -1].softmax(0)
        torch.testing.assert_close(drawn.bincount(minlength=WORDS) / 4000, expected, atol=0.03, rtol=0)

    def test_the_same_generator_draws_the_same(self):
        assert torch.equal(sample(teacher(), PROMPTS, 9, draws()), sample(teacher(), PROMPTS, 9, draws()))
        assert not torch.equal(sample(teacher(), PROMPTS, 9, draws()), sample(teacher(), PROMPTS, 9, draws(1)))

    def test_after_the_end_there_is_nothing_but_the_end(self):
        found = sample(teacher(), PROMPTS.repeat(10, 1), 14, draws(), end=END)
        after = (found[:, 2:] == END).cumsum(1) > 0
        assert after.any() and (found[:, 2:][after] == END).all()

    def test_leaves_modes_and_gradients_as_they_were(self):
        network = writer().train()
        network.norm.eval()
        sample(network, PROMPTS, 5, draws())
        assert network.training and not network.norm.training and torch.is_grad_enabled()
        assert all(parameter.grad is None for parameter in network.parameters())

    @pytest.mark.parametrize(
        ("prompts", "length", "says"),
        [(PROMPTS[0], 5, r"\(batch, at least 1\), got \(2,\)"), (PROMPTS, 1, "at least that of the prompts, 2, got 1")],
    )
    def test_bad_input_is_answered_in_a_sentence(self, prompts, length, says):
        with pytest.raises(ValueError, match=says):
            sample(teacher(), prompts, length, draws())


class TestBeamSearch:
    def test_with_beams_enough_it_finds_the_best_of_all_texts(self):
        network = teacher().double()
        every = torch.tensor(list(itertools.product(range(WORDS), repeat=3)))
        found = beam_search(network, PROMPTS, 5, beams=WORDS**3)
        for number, prompt in enumerate(PROMPTS):
            whole = torch.cat([prompt.expand(len(every), 2), every], 1)
            scores = likelihood(network, whole, 2)
            assert torch.equal(found.tokens[number, 0], whole[scores.argmax()])
            torch.testing.assert_close(
                found.scores[number].double(), scores.sort(descending=True).values, rtol=1e-4, atol=1e-4
            )

    def test_scores_are_the_texts_likelihoods_best_first(self):
        network, found = teacher(), beam_search(teacher(), PROMPTS, 9, beams=4)
        assert (found.scores.diff(dim=1) <= 0).all()
        for beam in range(4):
            torch.testing.assert_close(
                found.scores[:, beam], likelihood(network, found.tokens[:, beam], 2), rtol=1e-4, atol=1e-4
            )

    def test_one_beam_is_greedy(self):
        found = beam_search(teacher(), PROMPTS, 9, beams=1).tokens[:, 0]
        assert torch.equal(found, sample(teacher(), PROMPTS, 9, draws(), temperature=0.0))

    def test_more_beams_never_find_a_worse_text_here(self):
        best = [beam_search(teacher(), PROMPTS, 9, beams=beams).scores[:, 0] for beams in (1, 3, 20)]
        assert (best[1] >= best[0] - 1e-4).all() and (best[2] >= best[1] - 1e-4).all()

    def test_all_texts_of_a_prompt_differ(self):
        for texts_of_one in beam_search(teacher(), PROMPTS, 9, beams=5).tokens:
            assert len(texts_of_one.unique(dim=0)) == 5

    def test_a_network_that_remembers_finds_what_it_finds_reading_all_again(self):
        one, other = (beam_search(network, PROMPTS, 9) for network in (teacher(), Forgetful(teacher())))
        assert torch.equal(one.tokens, other.tokens)
        torch.testing.assert_close(one.scores, other.scores, rtol=1e-4, atol=1e-4)

    def test_a_prompt_does_not_depend_on_its_company(self):
        together, alone = beam_search(teacher(), PROMPTS, 9), beam_search(teacher(), PROMPTS[1:2], 9)
        assert torch.equal(together.tokens[1:2], alone.tokens)

    def test_a_text_that_is_over_costs_nothing_more(self):
        network, found = teacher(), beam_search(teacher(), PROMPTS, 12, beams=6, end=END)
        ended = [(row, beam) for row in range(4) for beam in range(6) if (found.tokens[row, beam, 2:-1] == END).any()]
        assert ended
        for row, beam in ended:
            text = found.tokens[row, beam]
            stop = 2 + int((text[2:] == END).long().argmax()) + 1
            assert (text[stop:] == END).all()
            torch.testing.assert_close(
                found.scores[row, beam], likelihood(network, text[None, :stop], 2)[0], rtol=1e-4, atol=1e-4
            )

    def test_no_beam_is_refused(self):
        with pytest.raises(ValueError, match="beams must be at least 1, got 0"):
            beam_search(teacher(), PROMPTS, 5, beams=0)


class TestWritten:
    def test_counts_what_comes_after_the_prompt(self):
        tokens = torch.tensor([[1, 2, 4, 5]])
        assert written(tokens, 2).tolist() == [[False, True, True]]
        assert written(tokens, 1).tolist() == [[True, True, True]]

    def test_counts_up_to_the_first_end_which_counts_itself(self):
        tokens = torch.tensor([[0, 2, 5, 0, 0], [1, 0, 0, 0, 0], [1, 2, 4, 5, 6]])
        mask = written(tokens, 1, end=0)
        assert mask.tolist() == [[True, True, True, False], [True, False, False, False], [True] * 4]


def test_what_is_text_is_known_by_its_tokens():
    assert reads_tokens(texts())
    assert not reads_tokens(Data(torch.zeros(2, 1, 4, 4), torch.zeros(2), Task(), {}))


def test_writing_puts_every_mode_back_when_it_fails():
    network = writer().train()
    with pytest.raises(RuntimeError), writing(network):
        assert not network.training
        raise RuntimeError
    assert network.training
