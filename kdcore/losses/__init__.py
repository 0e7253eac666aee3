"""What is matched: every loss as a plain function, and the methods that put them into a training.

Needs torch alone. ``from kdcore.losses import dkd_loss`` is all that a training loop of one's own has to know.
"""

from kdcore.losses.adversarial.boundary import bss_loss
from kdcore.losses.adversarial.conditional import cgan_kd_critic_loss, cgan_kd_loss
from kdcore.losses.adversarial.game import gan_kd_critic_loss, gan_kd_loss, gan_kd_survey_loss
from kdcore.losses.contrastive.generic import contrastive_kd_generic_loss
from kdcore.losses.contrastive.relations import crcd_loss
from kdcore.losses.contrastive.representation import crd_loss
from kdcore.losses.feature.attention import at_loss, at_survey_loss
from kdcore.losses.feature.attentive import afds_loss
from kdcore.losses.feature.boundaries import ab_loss
from kdcore.losses.feature.calibration import semckd_loss
from kdcore.losses.feature.channel_matching import mgd_matching_loss
from kdcore.losses.feature.channels import channel_distillation_loss, guided_kd_loss
from kdcore.losses.feature.classifier import srrl_loss
from kdcore.losses.feature.factors import factor_transfer_loss
from kdcore.losses.feature.gram import gram_style_matching_loss, gram_style_matching_survey_loss
from kdcore.losses.feature.hints import fitnet_loss
from kdcore.losses.feature.importance import delta_loss
from kdcore.losses.feature.matching import afd_attention_matching_loss
from kdcore.losses.feature.overhaul import ofd_loss
from kdcore.losses.feature.review import reviewkd_loss
from kdcore.losses.feature.selectivity import nst_loss
from kdcore.losses.feature.task_oriented import tofd_loss
from kdcore.losses.feature.variational import vid_loss
from kdcore.losses.feature.weighted import weighted_channel_matching_loss
from kdcore.losses.relation.answers import dist_loss
from kdcore.losses.relation.attention import mhgd_loss
from kdcore.losses.relation.category import category_structure_kd_loss
from kdcore.losses.relation.correlation import cc_channel_loss, cc_loss
from kdcore.losses.relation.distance import rkd_loss, rkd_survey_loss
from kdcore.losses.relation.flow import fsp_loss, fsp_matrix
from kdcore.losses.relation.graph import irg_loss
from kdcore.losses.relation.jacobian import jacobian_matching_loss
from kdcore.losses.relation.probability import pkt_loss
from kdcore.losses.relation.ranking import darkrank_loss
from kdcore.losses.relation.similarity import sp_loss, sp_survey_loss
from kdcore.losses.relation.singular import kdsvd_loss
from kdcore.losses.relation.structure import structural_generic_loss
from kdcore.losses.response.adaptive import pad_loss
from kdcore.losses.response.curriculum import curriculum_temperature_loss
from kdcore.losses.response.decoupled import dkd_loss, dkd_survey_loss
from kdcore.losses.response.distillation import kd_loss, output_distribution_kl_loss, softened_softmax
from kdcore.losses.response.labels import (
    ce_ground_truth_loss,
    ce_soft_loss,
    ce_soft_survey_loss,
    ce_teacher_hard_loss,
)
from kdcore.losses.response.levels import mlkd_loss
from kdcore.losses.response.normalised import nkd_loss
from kdcore.losses.response.regression import logit_mse_loss
from kdcore.losses.response.selective import adjust_knowledge, conditional_ts_loss
from kdcore.losses.response.standardised import logit_std_loss, logit_std_survey_loss, normkd_loss, standardise
from kdcore.losses.response.temperature import dtd_loss
from kdcore.losses.response.triplet import triplet_kd_loss
from kdcore.losses.response.views import crld_loss
from kdcore.losses.response.weighted import wsld_loss
from kdcore.losses.sequence.divergences import generalised_jsd_loss
from kdcore.losses.sequence.token_level import token_level_kd_loss
from kdcore.losses.transformer.attention_maps import attn_map_distill_loss
from kdcore.losses.transformer.distillation_token import deit_hard_loss, deit_soft_loss, deit_survey_loss
from kdcore.losses.transformer.hidden_states import hidden_state_align_loss
from kdcore.losses.transformer.mimicking import vitkd_loss
from kdcore.losses.transformer.minilm import minilm_loss, self_attention_relation_loss

__all__ = [
    "ab_loss",
    "adjust_knowledge",
    "afd_attention_matching_loss",
    "afds_loss",
    "at_loss",
    "at_survey_loss",
    "attn_map_distill_loss",
    "bss_loss",
    "category_structure_kd_loss",
    "cc_channel_loss",
    "cc_loss",
    "ce_ground_truth_loss",
    "ce_soft_loss",
    "ce_soft_survey_loss",
    "ce_teacher_hard_loss",
    "cgan_kd_critic_loss",
    "cgan_kd_loss",
    "channel_distillation_loss",
    "conditional_ts_loss",
    "contrastive_kd_generic_loss",
    "crcd_loss",
    "crd_loss",
    "crld_loss",
    "curriculum_temperature_loss",
    "darkrank_loss",
    "deit_hard_loss",
    "deit_soft_loss",
    "deit_survey_loss",
    "delta_loss",
    "dist_loss",
    "dkd_loss",
    "dkd_survey_loss",
    "dtd_loss",
    "factor_transfer_loss",
    "fitnet_loss",
    "fsp_loss",
    "fsp_matrix",
    "gan_kd_critic_loss",
    "gan_kd_loss",
    "gan_kd_survey_loss",
    "generalised_jsd_loss",
    "gram_style_matching_loss",
    "gram_style_matching_survey_loss",
    "guided_kd_loss",
    "hidden_state_align_loss",
    "irg_loss",
    "jacobian_matching_loss",
    "kd_loss",
    "kdsvd_loss",
    "logit_mse_loss",
    "logit_std_loss",
    "logit_std_survey_loss",
    "mgd_matching_loss",
    "mhgd_loss",
    "minilm_loss",
    "mlkd_loss",
    "nkd_loss",
    "normkd_loss",
    "nst_loss",
    "ofd_loss",
    "output_distribution_kl_loss",
    "pad_loss",
    "pkt_loss",
    "reviewkd_loss",
    "rkd_loss",
    "rkd_survey_loss",
    "self_attention_relation_loss",
    "semckd_loss",
    "softened_softmax",
    "sp_loss",
    "sp_survey_loss",
    "srrl_loss",
    "standardise",
    "structural_generic_loss",
    "tofd_loss",
    "token_level_kd_loss",
    "triplet_kd_loss",
    "vid_loss",
    "vitkd_loss",
    "weighted_channel_matching_loss",
    "wsld_loss",
]
