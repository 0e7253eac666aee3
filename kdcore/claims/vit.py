"""The claim on vision transformers: that attention is what has to be moved."""

from __future__ import annotations

from kdcore.claims.evidence import gap, values
from kdcore.claims.types import Claim, Records, Verdict
from kdcore.entry import Entry
from kdcore.experiments.vit import VIT

BOTH = 0.975  # level of each of two intervals that are to hold together at 95 %


def attention_is_the_core(records: Records) -> Verdict:
    """Attention maps teach more than features, and more than answers through a token of their own."""
    attention = values(records, "attn-map-distill", "accuracy")
    over_features = gap(attention, values(records, "vitkd", "accuracy"), level=BOTH)
    over_answers = gap(attention, values(records, "deit-soft", "accuracy"), level=BOTH)
    over_nothing = gap(attention, values(records, "student", "accuracy"))
    because = f"over features {over_features}; over answers {over_answers}; over no teacher {over_nothing}"
    if over_features.above and over_answers.above:
        return Verdict("supported", because)
    if over_features.below or over_answers.below:
        return Verdict("contradicted", because)
    return Verdict("undecided", because)


ATTENTION = Claim(
    "vit-attention-relation-claim",
    statement="A student that matches where its teacher's tokens look learns more than one that matches its "
    "features, and more than one that matches its answer through a distillation token.",
    by="zhao2026 section 5.2, which calls attention relations one of the core strategies for vision transformers",
    against="An accuracy with attention maps below that with features (ViTKD) or with answers (DeiT, soft), paired, "
    "97.5 % each, one small pair of vision transformers, each row at the weight that the search gave it.",
    experiment=VIT,
    rule=attention_is_the_core,
)

ENTRIES = (Entry("vit-attention-relation-claim", "mechanism", ATTENTION, {}, "zhao2026 section 5.2"),)
