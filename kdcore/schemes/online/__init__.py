"""Networks that learn from each other while they learn, without a finished teacher."""

from kdcore.schemes.online.adversarial import OnlineAdversarialKD
from kdcore.schemes.online.diverse_peers import OKDDip
from kdcore.schemes.online.multistage import MSMGANs
from kdcore.schemes.online.mutual import DML
from kdcore.schemes.online.native_ensemble import ONE
from kdcore.schemes.online.players import KDGAN

__all__ = ["DML", "KDGAN", "ONE", "MSMGANs", "OKDDip", "OnlineAdversarialKD"]
