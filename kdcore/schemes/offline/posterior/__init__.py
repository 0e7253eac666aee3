"""Adversarial posterior distillation: a generator of networks, learned from the samples of a Markov chain."""

from kdcore.schemes.offline.posterior.langevin import Chain, Langevin
from kdcore.schemes.offline.posterior.networks import Generator, Posterior, flat, unflat
from kdcore.schemes.offline.posterior.scheme import APD

__all__ = ["APD", "Chain", "Generator", "Langevin", "Posterior", "flat", "unflat"]
