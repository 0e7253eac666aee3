"""Byte-pair tokens, learned from a text by the library ``tokenizers``, which is an extra."""

from __future__ import annotations

from typing import Any

import torch

from kdcore._typing import Int, Tensor
from kdcore.types import Refusal

BYTES = 256  # the tokens to begin with, so that every text can be told


class BytePairs:
    """Text to tokens and back; a token is a run of bytes that is frequent in the text it was learned from.

    Args:
        text: what the tokens are learned from.
        vocabulary: how many tokens there are, at least 256.
    """

    def __init__(self, text: str, vocabulary: int):
        if vocabulary < BYTES:
            raise Refusal(f"vocabulary must be at least {BYTES}, one token a byte, got {vocabulary}")
        self._tokenizer = _learned(text, vocabulary)

    def __len__(self) -> int:
        return self._tokenizer.get_vocab_size()

    def encode(self, text: str) -> Int[Tensor, " length"]:
        return torch.tensor(self._tokenizer.encode(text).ids, dtype=torch.long)

    def decode(self, tokens: Int[Tensor, " length"]) -> str:
        return self._tokenizer.decode(tokens.tolist())


def _learned(text: str, vocabulary: int) -> Any:
    try:
        from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    except ModuleNotFoundError as error:
        raise Refusal(
            "byte-pair tokens need the library tokenizers, which is not installed: pip install 'kdcore[text]'"
        ) from error
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=vocabulary, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator([text], trainer)
    return tokenizer
