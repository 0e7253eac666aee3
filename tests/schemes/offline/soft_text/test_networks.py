"""What a reader may rely on in networks that write whole texts."""

import torch

from kdcore.randomness import generator, seeded
from kdcore.schemes.offline.soft_text import Autoencoder, TextCritic, Writer


def writer() -> Writer:
    return seeded(lambda: Writer(5, 6, noise=4, width=8, blocks=2), 0)


class TestAutoencoder:
    def test_a_place_knows_the_whole_text_by_its_code_and_the_true_tokens_before_it(self):
        network = seeded(lambda: Autoencoder(5, 7), 0)
        one = torch.tensor([[0, 1, 2, 3, 4, 0]])
        other = torch.tensor([[0, 1, 2, 3, 4, 1]])
        assert not torch.equal(network(one)[:, 0], network(other)[:, 0])  # by the code
        exact = torch.nn.functional.one_hot(one, 5).float()
        _, state = network.encoder(exact)
        before = torch.cat([torch.zeros(1, 1, 5), exact[:, :-1]], 1)
        torch.testing.assert_close(network(one), network.scores(network.decoder(before, state)[0]))

    def test_without_the_code_a_place_sees_nothing_at_or_after_itself(self):
        network = seeded(lambda: Autoencoder(5, 7), 0)
        del network.encoder
        network.encoder = lambda exact: (None, tuple(torch.zeros(1, len(exact), 7) for _ in range(2)))
        one, other = torch.tensor([[0, 1, 2, 3, 4, 0]]), torch.tensor([[0, 1, 2, 0, 1, 1]])
        same = (network(one) == network(other)).all(2)[0]
        assert same.tolist() == [True] * 4 + [False] * 2


class TestWriter:
    def test_draws_are_distributions_of_every_place_and_differ(self):
        texts = writer().draw(3, generator("any"))
        assert texts.shape == (3, 6, 5)
        torch.testing.assert_close(texts.sum(2), torch.ones(3, 6))
        assert torch.equal(texts, writer().draw(3, generator("any"))) and not torch.allclose(texts[0], texts[1])

    def test_asked_about_inputs_it_writes_as_many_texts_and_always_the_same(self):
        network, inputs = writer(), torch.zeros(4, 9, dtype=torch.int64)
        said = network(inputs).logits
        assert said.shape == (4, 6, 5) and torch.equal(said, network(inputs + 1).logits)
        torch.testing.assert_close(said.exp().sum(2), torch.ones(4, 6))

    def test_finite_where_it_is_sure(self):
        network = writer()
        with torch.no_grad():
            network.scores.weight.mul_(1e4)
        assert network(torch.zeros(4, 6)).logits.isfinite().all()


class TestTextCritic:
    def test_scores_each_text_by_itself(self):
        critic = seeded(lambda: TextCritic(5, 6, width=8, blocks=2), 0)
        texts = torch.rand(4, 6, 5, generator=generator("texts"))
        scores = critic(texts)
        assert scores.shape == (4,)
        torch.testing.assert_close(scores[1:2], critic(texts[1:2]))

    def test_a_block_adds_to_what_came_in(self):
        critic = seeded(lambda: TextCritic(5, 6, width=8, blocks=1), 0)
        x, block = torch.rand(2, 8, 6, generator=generator("x")), critic.blocks[0]
        torch.testing.assert_close(block(x), x + 0.3 * block.layers(x))
