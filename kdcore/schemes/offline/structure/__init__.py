"""Structure compilation: a chain's predictions, learned by a labeller without structure and with more features."""

from kdcore.schemes.offline.structure.chain import ChainCRF, ChainOutputs, chain_nll, log_partition, viterbi
from kdcore.schemes.offline.structure.scheme import StructureCompilation
from kdcore.schemes.offline.structure.sequences import SequenceLabelling, WindowLogistic, hidden_chain

__all__ = [
    "ChainCRF",
    "ChainOutputs",
    "SequenceLabelling",
    "StructureCompilation",
    "WindowLogistic",
    "chain_nll",
    "hidden_chain",
    "log_partition",
    "viterbi",
]
