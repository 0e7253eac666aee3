"""The one training loop: many runs in lockstep, each as if it were alone."""

from kdcore.engine.checkpoint import DamagedCheckpoint
from kdcore.engine.evaluation import evaluate, judge
from kdcore.engine.loop import fit
from kdcore.engine.machine import STEP_REVISION, compile_network, prepare, promise
from kdcore.engine.progress import reporter
from kdcore.engine.rest import at_rest
from kdcore.engine.run import Diverged, Run
from kdcore.engine.setting import setting_of, sizes
from kdcore.engine.tables import tabulate, tabulate_logits
from kdcore.recipe import Recipe

__all__ = [
    "STEP_REVISION",
    "DamagedCheckpoint",
    "Diverged",
    "Recipe",
    "Run",
    "at_rest",
    "compile_network",
    "evaluate",
    "fit",
    "judge",
    "prepare",
    "promise",
    "reporter",
    "setting_of",
    "sizes",
    "tabulate",
    "tabulate_logits",
]
