"""Where each chapter of the inventory lives: its modules, their tests, and the notebook that tells it.

Coverage, the map of methods and the pages of the surveys all read this one table.
"""

from __future__ import annotations

from typing import NamedTuple


class Chapter(NamedTuple):
    """A chapter of the inventory.

    Attributes:
        title: in English.
        zh: in Chinese, as the surveys have it where they do.
        modules: paths without suffix; each stands for a module or for everything in the package of that name.
        notebook: tells the chapter's rows.
    """

    title: str
    zh: str
    modules: tuple[str, ...]
    notebook: str

    @property
    def tests(self) -> tuple[str, ...]:
        """Where the tests of its modules stand: the same paths under ``tests``."""
        return tuple(module.replace("kdcore", "tests", 1) for module in self.modules)

    def holds(self, path: str) -> bool:
        """Whether a module, given by its path from the root, belongs to this chapter."""
        return any(path == f"{module}.py" or path.startswith(f"{module}/") for module in self.modules)


def _chapter(number: int, key: str, title: str, zh: str, *modules: str) -> Chapter:
    slug = key.replace("-", "_")
    homes = (*modules, f"claims/{slug}")
    notebook = _NOTEBOOKS.get(key, f"{number:02d}_{slug}")
    return Chapter(title, zh, tuple(f"kdcore/{home}" for home in homes), f"notebooks/{notebook}.ipynb")


# Whose notebook is not called after its number and key.
_NOTEBOOKS = {"vit": "08_transformers", "llm": "09_language_models", "benchmarks": "20_cifar10_table"}

_TOLD = (
    ("foundations", "Foundations", "基础知识", "losses/response", "schemes/offline"),
    ("mechanism", "Why it works", "作用机制"),
    ("response", "Matching answers", "基于输出响应", "losses/response", "schemes/offline"),
    ("feature", "Matching features", "基于中间层特征", "losses/feature", "schemes/offline", "schemes/progressive"),
    ("relation", "Matching relations", "基于关系与结构化知识", "losses/relation"),
    ("contrastive", "Contrastive losses", "对比蒸馏", "losses/contrastive", "schemes/offline"),
    ("adversarial", "Losses with a critic", "对抗式蒸馏", "losses/adversarial", "schemes/online", "schemes/offline"),
    ("vit", "Vision transformers", "视觉 Transformer 蒸馏", "losses/transformer"),
    ("llm", "Language models", "大语言模型蒸馏", "losses/sequence", "losses/transformer", "schemes/offline"),
    ("online", "Learning from each other", "在线蒸馏", "schemes/online"),
    ("self", "Learning from oneself", "自蒸馏", "losses/self_distillation", "schemes/self_distillation"),
    ("multi-teacher", "Several teachers", "多教师蒸馏", "losses/multi_teacher", "schemes/multi_teacher"),
    ("amalgamation", "Merging teachers", "知识合并", "schemes/amalgamation", "models"),
    (
        "assistant-progressive",
        "Assistants and joint progress",
        "教师助理与渐进式蒸馏",
        "schemes/assistant",
        "schemes/progressive",
    ),
    ("cross-modal", "Across modalities", "跨模态蒸馏", "schemes/cross_modal", "applications"),
    ("lifelong", "Lifelong learning", "终身蒸馏", "schemes/lifelong"),
    ("compression", "With other compression", "与其他压缩技术融合", "compression"),
    (
        "fusion",
        "Joined with other techniques",
        "与其它技术融合",
        "applications/policies",
        "applications/graphs",
        "applications/federated",
        "losses/feature",
        "schemes",
    ),
    (
        "vision-apps",
        "Vision",
        "视觉应用",
        "applications/detection",
        "applications/segmentation",
        "applications/faces",
        "applications/generation",
    ),
    (
        "nlp-speech-rec",
        "Language, speech, recommendation",
        "自然语言、语音与推荐",
        "applications/language",
        "applications/speech",
        "applications/ranking",
    ),
    ("security-privacy", "Security and privacy", "安全与隐私", "applications/security"),
    (
        "multimodal-finance",
        "Several modalities, finance",
        "多模态与金融",
        "applications/finance",
        "schemes/cross_modal",
    ),
    ("data-free", "Without the data", "无数据蒸馏", "schemes/data_free"),
    ("benchmarks", "The surveys' tables", "性能对比", "experiments"),
    ("outlook", "Outlook", "展望"),
)
CHAPTERS = {told[0]: _chapter(number, *told) for number, told in enumerate(_TOLD, start=1)}

# Rows that another chapter's notebook cannot do without.
TOLD_ELSEWHERE = {
    "t2-gradient-scaling": "foundations",
    "high-temperature-logit-matching": "foundations",
    "factor-transfer": "feature",
    "relation-heterogeneous-claim": "relation",
}

# Rows of a chapter that has another notebook beside its own.
NOTEBOOKS_BESIDE = dict.fromkeys(("zhao-table2", "zhao-table2-claims"), "notebooks/21_cifar100_table.ipynb")

# A table's row and the experiment that fills it; either name is accepted everywhere.
ALIASES = {
    "zhao-table1": "zhao2026-table1",
    "zhao-table2": "zhao2026-table2",
    "zhao-fig1": "zhao2026-fig1",
    "si-table1": "si2023-table1",
    **{f"huang-table{number}": f"huang2022-table{number}" for number in range(1, 9)},
}


def chapter_of(key: str, chapter: str) -> Chapter:
    """The chapter whose notebook tells a row, with that notebook."""
    found = CHAPTERS[TOLD_ELSEWHERE.get(key, chapter)]
    return found._replace(notebook=NOTEBOOKS_BESIDE.get(key, found.notebook))


def row_of(name: str) -> str:
    """The row's key, whether the row or its experiment was named.

    Example:
        >>> row_of("si2023-table1"), row_of("si-table1"), row_of("kd")
        ('si-table1', 'si-table1', 'kd')
    """
    return next((row for row, experiment in ALIASES.items() if experiment == name), name)
