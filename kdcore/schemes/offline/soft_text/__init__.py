"""Texts written by a generator that learns from an autoencoder's smooth ones."""

from kdcore.schemes.offline.soft_text.networks import Autoencoder, TextCritic, Writer
from kdcore.schemes.offline.soft_text.ngrams import Writing, ngram_distance
from kdcore.schemes.offline.soft_text.scheme import TextKDGAN

__all__ = ["Autoencoder", "TextCritic", "TextKDGAN", "Writer", "Writing", "ngram_distance"]
