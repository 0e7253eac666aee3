"""Schemes that deliver one student, each with a demand of its own."""

from __future__ import annotations

import copy

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from kdcore.engine import Recipe
from kdcore.schemes.offline import Distillation
from kdcore.types import Batch, Outputs, Stage, Term, Update
from zoo.methods import imitation
from zoo.networks import Inventor
from zoo.schemes import Losses, One, learning


class Exits(One):
    """The deepest exit of a network teaches the earlier ones."""

    def losses(self, batch: Batch) -> dict[str, Term]:
        said = batch.outputs(self.student)
        terms = {"task": Term(batch.task.loss(said, batch))}
        for number, logits in enumerate(said.exits):
            terms[f"exit{number}"] = Term(batch.task.loss(Outputs(logits), batch), 0.7)
            terms[f"soft{number}"] = Term(imitation(logits, said.logits), 0.3)
        return terms


class Invented(One):
    """A generator looks for images on which the two disagree; no sample is ever read."""

    def __init__(self, student: nn.Module, teacher: nn.Module):
        super().__init__(student, teacher)
        self.inventor = Inventor()

    def _images(self, batch: Batch, stream: str) -> Tensor:
        return self.inventor(torch.randn(12, self.inventor.size, generator=batch.generator(stream)))

    def _invent(self, batch: Batch) -> dict[str, Term]:
        images = self._images(batch, "invent")
        known = self.outside[0](images).logits
        gap = F.l1_loss(self.student(images).logits, known)
        return {"gap": Term(gap, -1.0), "sure": Term(F.cross_entropy(known, known.argmax(1)))}

    def losses(self, batch: Batch) -> dict[str, Term]:
        with torch.no_grad():
            images = self._images(batch, "imitate")
        return {"soft": Term(imitation(self.student(images).logits, self.outside[0](images).logits))}

    def stages(self) -> list[Stage]:
        quick = Recipe(optimizer="adam", learning_rate=0.01, schedule="constant")
        updates = [Update("inventor", [self.inventor], self._invent, quick, every=2)]
        return [Stage("main", [*updates, Update("student", [self.student], self.losses)])]


class Bilevel(One):
    """A weight for every sample is learned through one virtual step of the student."""

    def __init__(self, student: nn.Module, teacher: nn.Module, classes: int):
        super().__init__(student, teacher)
        self.weigher = nn.Sequential(nn.Linear(classes, 1), nn.Sigmoid())

    def _inner(self, student: Outputs, teacher: Outputs) -> Tensor:
        each = F.kl_div(student.logits.log_softmax(1), teacher.logits.softmax(1), reduction="none").sum(1)
        return (self.weigher(teacher.logits)[:, 0] * each).mean()

    def _after(self, batch: Batch) -> dict[str, Term]:
        weights = dict(self.student.named_parameters())
        said = torch.func.functional_call(self.student, weights, (batch.inputs,))
        inner = self._inner(said, batch.outputs(*self.outside))
        slopes = torch.autograd.grad(inner, list(weights.values()), create_graph=True, allow_unused=True)
        moved = {name: w if g is None else w - 0.1 * g for (name, w), g in zip(weights.items(), slopes)}
        held = torch.randint(len(batch.data), (12,), generator=batch.generator("held"))
        other = batch.sibling(held)
        after = torch.func.functional_call(self.student, moved, (other.inputs,))
        return {"after": Term(batch.task.loss(after, other))}

    def losses(self, batch: Batch) -> dict[str, Term]:
        said = batch.outputs(self.student)
        inner = self._inner(said, batch.outputs(*self.outside))
        return {"task": Term(batch.task.loss(said, batch)), "weighed": Term(inner)}

    def stages(self) -> list[Stage]:
        weigh, learn = Update("weigher", [self.weigher], self._after), Update("student", [self.student], self.losses)
        return [Stage("main", [weigh, learn])]


class Partners(One):
    """Every sample is paired with another of its class, drawn on demand."""

    def losses(self, batch: Batch) -> dict[str, Term]:
        same = (batch.data.targets[None] == batch.targets[:, None]).double()
        partner = torch.multinomial(same, 1, generator=batch.generator("partner"))[:, 0]
        with torch.no_grad():
            other = self.student(batch.sibling(partner).inputs)
        return learning(batch, self.student, other)


class Surgeon(Distillation):
    """No term may pull harder than the task: the gradients are cut before they are added."""

    @staticmethod
    def _cut(terms: dict[str, Term], parameters: list[nn.Parameter]) -> None:
        parts = [
            torch.autograd.grad(term.weight * term.value, parameters, retain_graph=True, allow_unused=True)
            for term in terms.values()
        ]
        sizes = [torch.stack([g.norm() for g in part if g is not None]).norm() for part in parts]
        for place, parameter in enumerate(parameters):
            kept = [
                part[place] * (sizes[0] / size).clamp(max=1)
                for part, size in zip(parts, sizes)
                if part[place] is not None
            ]
            parameter.grad = torch.stack(kept).sum(0) if kept else None

    def stages(self) -> list[Stage]:
        stages = super().stages()
        stages[-1].updates[0].backward = self._cut
        return stages


class Echo(One):
    """The teacher continues the start of each sequence; the student learns its words as if they were data."""

    def _continued(self, batch: Batch) -> Tensor:
        tokens, random = batch.inputs[:, :3], batch.generator("decode")
        with torch.no_grad():
            while tokens.shape[1] <= batch.inputs.shape[1]:
                chances = self.outside[0](tokens).logits[:, -1].softmax(-1)
                tokens = torch.cat([tokens, torch.multinomial(chances, 1, generator=random)], 1)
        return tokens

    def losses(self, batch: Batch) -> dict[str, Term]:
        tokens = batch.once((*self.outside, "continued", 3), lambda: self._continued(batch))
        echo = F.cross_entropy(self.student(tokens[:, :-1]).logits.flatten(0, 1), tokens[:, 1:].flatten())
        return {"echo": Term(echo), "task": Term(batch.task.loss(batch.outputs(self.student), batch), 0.5)}


class Cadence(One):
    """Three updates, every step, every second and every third, two of them with a recipe of their own."""

    def __init__(self, student: nn.Module, teacher: nn.Module):
        super().__init__(student, teacher)
        self.slow, self.slower = nn.Linear(5, 5), nn.Linear(5, 5)

    def stages(self) -> list[Stage]:
        def reading(layer: nn.Module) -> Losses:
            def losses(batch: Batch) -> dict[str, Term]:
                said = batch.outputs(self.student).logits.detach()
                return {"read": Term(imitation(layer(said), batch.outputs(*self.outside).logits))}

            return losses

        adam = Recipe(optimizer="adamw", learning_rate=0.02, schedule="cosine", clip=0.5)
        cycle = Recipe(learning_rate=0.1, nesterov=True, schedule="one-cycle", weight_decay=0.0)
        teach = lambda batch: learning(batch, self.student, batch.outputs(*self.outside))
        updates = [
            Update("student", [self.student], teach),
            Update("slow", [self.slow], reading(self.slow), adam, every=2),
            Update("slower", [self.slower], reading(self.slower), cycle, every=3),
        ]
        warm = Recipe(steps=5, batch_size=24, optimizer="adam", learning_rate=0.01, schedule="constant")
        return [Stage("warm", updates[:1], recipe=warm), Stage("main", updates)]


class Shadow(One):
    """A slow copy of the student teaches it: state that is neither a weight that learns nor an optimiser's."""

    def __init__(self, student: nn.Module):
        super().__init__(student)
        self.shadow = copy.deepcopy(student)

    def losses(self, batch: Batch) -> dict[str, Term]:
        terms = learning(batch, self.student, batch.outputs(self.shadow))
        with torch.no_grad():
            for slow, quick in zip(self.shadow.state_dict().values(), self.student.state_dict().values()):
                slow.copy_(torch.lerp(slow.double(), quick.double(), 0.1))
        return terms

    def delivers(self) -> dict[str, nn.Module]:
        return {"shadow": self.shadow, "student": self.student}


class Replay(One):
    """A few samples of the past are kept, with what was said of them then, and learned again."""

    def __init__(self, student: nn.Module, classes: int, room: int = 10):
        super().__init__(student)
        self.register_buffer("kept", torch.zeros(room, dtype=torch.int64))
        self.register_buffer("said", torch.zeros(room, classes))

    def losses(self, batch: Batch) -> dict[str, Term]:
        terms = learning(batch, self.student)
        past = batch.sibling(self.kept.clone())
        terms["past"] = Term(F.mse_loss(past.outputs(self.student).logits, self.said.clone()), 0.5)
        with torch.no_grad():
            place = torch.randint(len(self.kept), (4,), generator=batch.generator("replay"))
            self.kept[place], self.said[place] = batch.index[:4], batch.outputs(self.student).logits[:4].detach()
        return terms
