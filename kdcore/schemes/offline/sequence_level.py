"""A student that learns the texts its teacher would write, instead of the teacher's doubts at every token."""

from __future__ import annotations

from typing import Any, Literal, Self

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore._typing import Float, Int
from kdcore.losses._common import refuse_out_of_range
from kdcore.schemes.offline.decoding import beam_search, written
from kdcore.schemes.offline.on_policy import writer_and_teacher
from kdcore.types import Batch, Clock, Data, Entry, Outputs, Refusal, Scheme, Stage, Term, Update

Choice = Literal["likeliest", "closest"]
CHUNK = 32  # prompts that a search works on at once: what it remembers of them fits a cache


class SeqLevelKD(Scheme):
    r"""Learn the teacher's decoded continuation of each prompt, the whole sequence as one answer.

    .. math::
        L = -\log p^s(\hat y \mid x), \quad
        \hat y = \arg\max_{y \in B} p^t(y \mid x) \;\text{(likeliest)}, \qquad
        \hat y = \arg\max_{y \in B} \mathrm{sim}(y, y_{\mathrm{data}}) \;\text{(closest)}

    where :math:`B` are the texts that a beam search of the teacher ends with. A text's first tokens are its prompt;
    before the first step the teacher continues the prompt of every text once. The continuations are part of this
    scheme's state, and runs that share teacher and data share the search. The loss is the mean over the tokens after
    the prompt.

    Survey: zhao2026 section 5.3 (the name is given to the token-level loss: errata Z-14); huang2022 section 4.1 and
    Table 1 (the teacher's best sequence).
    Paper: {cite:t}`kim2016sequence`, sequence-level distillation and sequence-level interpolation.

    Args:
        student: a causal network; it learns and is delivered.
        teacher: a finished one with the same vocabulary; it is frozen, put in eval mode, and not part of this scheme's
            state.
        data: the run's data, whose texts give prompts and references.
        choose: ``likeliest``, or ``closest`` to the text of the data (the paper's interpolation), by
            `sentence_similarity`. Default ``likeliest``.
        beams: of the search, at least 1. Default 5: what the authors' translation code recommends.
        prompt: tokens of a text that are given, at least 1. Default: a quarter of a text, ours, since a plain text has
            no source sentence.
        texts: how many texts of the data, from the first, are continued and learned from. Default: all.
        weight: of the continuations' likelihood, at least 0. Default 1.
        task_weight: of the task on the data, at least 0. Default 0: the paper trains on decoded texts alone.
        end: the token after which a text is over. Default: there is none.

    Raises:
        Refusal: a setting is out of its range.
    """

    def __init__(
        self,
        student: nn.Module,
        teacher: nn.Module,
        data: Data,
        *,
        choose: Choice = "likeliest",
        beams: int = 5,
        prompt: int | None = None,
        texts: int | None = None,
        weight: float = 1.0,
        task_weight: float = 0.0,
        end: int | None = None,
    ):
        super().__init__()
        count = len(data) if texts is None else min(texts, len(data))
        prompt = max(1, data.inputs.shape[1] // 4) if prompt is None else prompt
        above_zero = {"beams": beams, "prompt": prompt, "texts": count}
        refuse_out_of_range(above_zero=above_zero, weight=weight, task_weight=task_weight)
        if choose not in ("likeliest", "closest"):
            raise Refusal(f"choose must be 'likeliest' or 'closest', got {choose!r}")
        if prompt >= data.inputs.shape[1]:
            raise Refusal(f"prompt must be shorter than a text of {data.inputs.shape[1]}, got {prompt}")
        if not data.targets.is_meta and bool((data.targets < 0).any()):
            raise Refusal("texts must fill their windows, and some targets of these data are padding")
        self.student, self.outside = student, (teacher.eval().requires_grad_(False),)
        self.choose, self.beams, self.prompt, self.end = choose, beams, prompt, end
        self.weight, self.task_weight = weight, task_weight
        self.register_buffer("texts", data.inputs.new_zeros(count, data.inputs.shape[1] + 1))

    @classmethod
    def build(cls, bench: Any, *, texts: int | None = None, **settings: Any) -> Self:
        """From a bench; no more texts are continued than the run's steps can meet."""
        teacher = writer_and_teacher("seq-level-kd", bench)
        steps, _ = bench.recipe.length(len(bench.data))
        met = min(steps * bench.recipe.batch_size, len(bench.data) if texts is None else texts)
        return cls(bench.network("student"), teacher, bench.data, texts=met, **settings)

    def stages(self) -> list[Stage]:
        return [Stage("main", [Update("student", [self.student], self._losses)], between=self._prepare)]

    @torch.no_grad()
    def _prepare(self, data: Data, clock: Clock) -> None:
        """Have the teacher continue every prompt, once, when nothing has been learned yet."""
        if clock.step:
            return
        candidates = decoded(*self.outside, data, len(self.texts), self.prompt, self.beams, self.end)
        chosen = torch.zeros(len(candidates), dtype=torch.long, device=candidates.device)
        if self.choose == "closest":
            parts = zip(references(data)[: len(candidates)].split(CHUNK), candidates.split(CHUNK))
            chosen = torch.cat([closest_to(reference, texts, self.prompt, self.end) for reference, texts in parts])
        self.texts.copy_(candidates[torch.arange(len(chosen), device=chosen.device), chosen])

    def _losses(self, batch: Batch) -> dict[str, Term]:
        texts = self.texts[batch.index % len(self.texts)]
        mask = written(texts, self.prompt, self.end)
        scores = self.student(texts[:, :-1]).logits.float()
        nats = F.cross_entropy(scores.flatten(0, 1), texts[:, 1:].flatten(), reduction="none").view(mask.shape)
        terms = {"seq_level_kd": Term((nats * mask).sum() / mask.sum(), self.weight)}
        if self.task_weight:
            terms["task"] = Term(batch.task.loss(batch.outputs(self.student), batch), self.task_weight)
        return terms

    def delivers(self) -> dict[str, nn.Module]:
        return {"student": self.student}


# ---------------------------------------------------------------- what the teacher writes


def decoded(
    teacher: nn.Module, data: Data, count: int, prompt: int, beams: int, end: int | None = None
) -> Int[Tensor, "samples beams length"]:
    """Prompts of the first samples with the teacher's continuations, the likeliest first.

    They are searched for once and kept beside the data's other tables, for all runs that share teacher and data.
    """
    key = teacher, f"beams:{count}:{prompt}:{beams}:{end}"
    if key not in data.tables:
        length, prompts = data.inputs.shape[1] + 1, data.inputs[:count, :prompt]
        found = [beam_search(teacher, part, length, beams=beams, end=end) for part in prompts.split(CHUNK)]
        tokens, scores = (torch.cat(parts) for parts in zip(*found))
        data.tables[key] = Outputs(scores, features=(tokens,))
    return data.tables[key].features[0]


def references(data: Data) -> Int[Tensor, "samples length"]:
    """The texts of the data, one token longer than what is read of them."""
    return torch.cat([data.inputs[:, :1], data.targets], 1)


def closest_to(
    reference: Int[Tensor, "batch length"],
    texts: Int[Tensor, "batch beams length"],
    prompt: int,
    end: int | None = None,
) -> Int[Tensor, " batch"]:
    """Which of several texts comes closest to the reference, the likelier one of equals."""
    mine, theirs = texts[:, :, prompt:], reference[:, None, prompt:].expand_as(texts[:, :, prompt:])
    alike = sentence_similarity(mine.flatten(0, 1), theirs.flatten(0, 1), end=end)
    return alike.view(texts.shape[:2]).argmax(1)


def sentence_similarity(
    texts: Int[Tensor, "batch length"],
    references: Int[Tensor, "batch length"],
    *,
    order: int = 4,
    end: int | None = None,
) -> Float[Tensor, " batch"]:
    r"""How many runs of one to four tokens two texts share: sentence-level BLEU, the higher orders smoothed by one.

    .. math::
        \mathrm{sim} = \exp\Bigl( \min(0, 1 - r / c) + \frac14 \sum_{n=1}^{4} \log
            \frac{m_n + [n > 1]}{c_n + [n > 1]} \Bigr)

    with the runs of the text that the reference has too, each at most as often as there (:math:`m_n` of :math:`c_n`),
    and the lengths :math:`c` and :math:`r` of text and reference.

    Example:
        >>> text, reference = torch.tensor([[1, 2, 3, 4, 5]]), torch.tensor([[1, 2, 3, 9, 5]])
        >>> round(sentence_similarity(text, reference).item(), 4)  # (4/5 * 3/5 * 2/4 * 1/3) ** (1/4)
        0.5318
        >>> sentence_similarity(text, text).item()
        1.0
    """
    lengths = torch.stack([_length(each, end) for each in (texts, references)])
    brevity = (1 - lengths[1] / lengths[0]).clamp_max(0)
    total = torch.zeros_like(brevity)
    for size in range(1, order + 1):
        shared, count = _shared(texts, references, lengths, size)
        smooth = float(size > 1)
        total = total + ((shared + smooth) / (count + smooth)).clamp_min(torch.finfo(torch.float32).tiny).log()
    return (brevity + total / order).exp()


def _length(texts: Tensor, end: int | None) -> Float[Tensor, " batch"]:
    if end is None:
        return torch.full((len(texts),), float(texts.shape[1]), device=texts.device)
    ends = texts == end
    first = torch.where(ends.any(1), ends.long().argmax(1) + 1, texts.shape[1])
    return first.float()


def _shared(texts: Tensor, references: Tensor, lengths: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """Runs of `size` tokens that text and reference share, and how many the text has."""
    runs = texts.shape[1] - size + 1
    if runs < 1:
        return lengths.new_zeros(2, len(texts)).unbind()
    inside = torch.arange(runs, device=texts.device) + size <= lengths[:, :, None]  # two, batch, runs
    count = inside[0].sum(1).float()
    mine, theirs = (each.unfold(1, size, 1) for each in (texts, references))
    again = (mine[:, :, None] == mine[:, None]).all(3).tril() & inside[0][:, None]  # the same run, here or before
    there = (mine[:, :, None] == theirs[:, None]).all(3) & inside[1][:, None]
    found = again.sum(2) <= there.sum(2)
    return (found & inside[0]).sum(1).float(), count


ENTRIES = (
    Entry("seq-level-kd", "scheme", SeqLevelKD, {}, "EMNLP 2016, sequence-level distillation"),
    Entry("seq-inter", "scheme", SeqLevelKD, {"choose": "closest"}, "EMNLP 2016, sequence-level interpolation"),
)
