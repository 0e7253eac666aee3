"""What is matched: every loss as a plain function, and the methods that put them into a training.

Needs torch alone. ``from kdcore.losses import dkd_loss`` is all that a training loop of one's own has to know.
"""

from kdcore.losses.adversarial import gan_kd_critic_loss, gan_kd_loss, gan_kd_survey_loss
from kdcore.losses.feature.attention import at_loss, at_survey_loss
from kdcore.losses.feature.hints import fitnet_loss
from kdcore.losses.response.adaptive import pad_loss
from kdcore.losses.response.decoupled import dkd_loss, dkd_survey_loss
from kdcore.losses.response.distillation import kd_loss, output_distribution_kl_loss, softened_softmax
from kdcore.losses.response.labels import (
    ce_ground_truth_loss,
    ce_soft_loss,
    ce_soft_survey_loss,
    ce_teacher_hard_loss,
)
from kdcore.losses.response.regression import logit_mse_loss
from kdcore.losses.response.selective import adjust_knowledge, conditional_ts_loss
from kdcore.losses.response.standardised import logit_std_loss, logit_std_survey_loss, normkd_loss, standardise
from kdcore.losses.response.temperature import dtd_loss
from kdcore.losses.response.triplet import triplet_kd_loss
from kdcore.losses.response.views import crld_loss
from kdcore.losses.sequence import token_level_kd_loss

__all__ = [
    "adjust_knowledge",
    "at_loss",
    "at_survey_loss",
    "ce_ground_truth_loss",
    "ce_soft_loss",
    "ce_soft_survey_loss",
    "ce_teacher_hard_loss",
    "conditional_ts_loss",
    "crld_loss",
    "dkd_loss",
    "dkd_survey_loss",
    "dtd_loss",
    "fitnet_loss",
    "gan_kd_critic_loss",
    "gan_kd_loss",
    "gan_kd_survey_loss",
    "kd_loss",
    "logit_mse_loss",
    "logit_std_loss",
    "logit_std_survey_loss",
    "normkd_loss",
    "output_distribution_kl_loss",
    "pad_loss",
    "softened_softmax",
    "standardise",
    "token_level_kd_loss",
    "triplet_kd_loss",
]
