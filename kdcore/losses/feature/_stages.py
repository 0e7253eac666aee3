"""Which stage of the student is set beside which of the teacher."""

from __future__ import annotations

from collections.abc import Sequence

from kdcore.types import Outputs, Refusal, Setting

Pairs = Sequence[Sequence[int]]  # (student's, teacher's)
Stages = Sequence[int]


def stage_pairs(setting: Setting, pairs: Pairs | None = None) -> tuple[tuple[int, int], ...]:
    """The named pairs of stages, or all stages in order; refused where a stage is missing or holds no map."""
    student, teacher = setting.student.features, setting.teacher.features
    if pairs is None:
        for whose, outputs in (("student", setting.student), ("teacher", setting.teacher)):
            for stage in range(len(outputs.features)):
                _check_map(whose, outputs, stage)
        if len(student) != len(teacher):
            raise Refusal(
                f"the student has {len(student)} stages and the teacher {len(teacher)}: name the pairs to match, "
                "as in pairs=[[0, 0], [1, 2]]"
            )
        pairs = [(stage, stage) for stage in range(len(student))]
    if not pairs:
        raise Refusal("maps are matched stage by stage, and these networks name no stage in `features`")
    for mine, theirs in pairs:
        _check_map("student", setting.student, mine)
        _check_map("teacher", setting.teacher, theirs)
    return tuple((mine, theirs) for mine, theirs in pairs)


def named_stages(whose: str, outputs: Outputs, stages: Stages | None = None) -> tuple[int, ...]:
    """The named stages of one network, or all of them; refused where one is missing or holds no map."""
    stages = range(len(outputs.features)) if stages is None else stages
    if not stages:
        raise Refusal(f"maps are matched stage by stage, and the {whose} names no stage in `features`")
    for stage in stages:
        _check_map(whose, outputs, stage)
    return tuple(stages)


def middle(outputs: Outputs) -> int:
    """The middle stage, the earlier one of two."""
    return (len(outputs.features) - 1) // 2


def _check_map(whose: str, outputs: Outputs, stage: int) -> None:
    if not 0 <= stage < len(outputs.features):
        raise Refusal(f"the {whose} has stages 0 .. {len(outputs.features) - 1}, got {stage}")
    if outputs.features[stage].ndim != 4:
        shape = tuple(outputs.features[stage].shape)
        raise Refusal(f"stage {stage} of the {whose} must be a map (batch, channels, height, width), got {shape}")
