"""What a reader may rely on in the graph of instances, one claim a test."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch.testing import assert_close

from kdcore.losses import irg_loss
from kdcore.losses.relation.graph import IRG, irg_transformation
from kdcore.types import Outputs, Refusal

NAMES = ("logits", "first", "second", "embedding")


@pytest.fixture
def graphs(sines):
    """What a loss is given by name: six samples, the teacher narrower in maps and wider in its embedding."""
    sizes = {
        "student": [((6, 4), 1.5), ((6, 3, 4, 4), 0.7), ((6, 6, 2, 2), 0.9), ((6, 5), 1.1)],
        "teacher": [((6, 4), 2.1), ((6, 2, 4, 4), 1.3), ((6, 4, 2, 2), 1.7), ((6, 7), 1.9)],
    }
    made = {
        f"{whose}_{name}": sines(*size, speed=speed)
        for whose, given in sizes.items()
        for name, (size, speed) in zip(NAMES, given)
    }
    return {name: value.requires_grad_(name.startswith("student")) for name, value in made.items()}


def edges(features) -> list[float]:
    rows = features.detach().flatten(1).tolist()
    squares = [math.dist(x, y) ** 2 for x in rows for y in rows]
    return [square / max(squares) for square in squares]


def moved(first, second) -> list[float]:
    small, few = F.avg_pool2d(first.detach(), 2), second.detach().unflatten(1, (first.shape[1], 2)).mean(2)
    squares = [math.dist(x, y) ** 2 for x, y in zip(small.flatten(1).tolist(), few.flatten(1).tolist())]
    return [square / max(squares) for square in squares]


def mean_square(x: list[float], y: list[float]) -> float:
    return sum((a - b) ** 2 for a, b in zip(x, y)) / len(x)


class TestIRG:
    def test_value_worked_by_hand(self):
        maps, line = torch.zeros(3, 1, 1, 1), torch.tensor([[0.0], [1.0], [2.0]])
        wider = torch.tensor([[0.0], [1.0], [1.0]])  # 1, 1, 0 for 1/4, 1, 1/4: differences 3/4, 0, 1/4
        value = irg_loss(line + 2, maps, maps, wider, line, maps, maps, line)
        assert value.item() == pytest.approx(0.1 * 4 + 5 / 3 * 2 * (9 / 16 + 1 / 16) / 9, rel=1e-5)

    def test_is_the_equation(self, graphs):
        vertices = mean_square(*(graphs[f"{whose}_logits"].flatten().tolist() for whose in ("student", "teacher")))
        between = [
            mean_square(*(edges(graphs[f"{whose}_{name}"]) for whose in ("student", "teacher"))) for name in NAMES[1:]
        ]
        change = mean_square(
            *(moved(graphs[f"{whose}_first"], graphs[f"{whose}_second"]) for whose in ("student", "teacher"))
        )
        wanted = 0.1 * vertices + 5 * sum(between) / 3 + 5 * change
        assert irg_loss(**graphs).item() == pytest.approx(wanted, rel=1e-10)

    def test_agrees_with_other_peoples_code(self, graphs, reference, found, theirs):
        for known in reference("irg"):
            mine = found(irg_loss(**graphs, **known["settings"]), graphs[known["of"]], known["gradient_at"])
            assert mine == pytest.approx(theirs(known), rel=1e-10)

    def test_zero_for_equal_logits_and_proportions(self, graphs):
        same = {f"student_{name}": graphs[f"teacher_{name}"] for name in NAMES}
        same["student_embedding"] = 4 * graphs["teacher_embedding"].flip(1) + 1
        assert irg_loss(**graphs | same).item() == pytest.approx(0, abs=1e-20)

    def test_dead_maps_stay_finite(self, graphs):
        dead = {
            name: torch.zeros_like(value).requires_grad_() for name, value in graphs.items() if "teacher" not in name
        }
        value = irg_loss(**graphs | dead)
        slopes = torch.autograd.grad(value, list(dead.values()))
        assert value.isfinite() and all(slope.isfinite().all() for slope in slopes)

    def test_one_sample_is_matched_by_its_answer_alone(self, graphs):
        one = {name: value[:1] for name, value in graphs.items()}
        assert_close(irg_loss(**one), 0.1 * F.mse_loss(one["student_logits"], one["teacher_logits"]))

    def test_channels_are_averaged_like_positions(self, sines):
        first, second = sines(6, 3, 2, 2, speed=0.7), sines(6, 4, 2, 2, speed=0.9)  # of four, two make each of three
        few = torch.stack([second[:, place : place + 2].mean(1) for place in range(3)], 1)
        teacher = sines(6, 2, 2, 2, speed=1.3), sines(6, 2, 2, 2, speed=1.7)
        assert_close(irg_transformation((first, second), teacher), irg_transformation((first, few), teacher))
        assert_close(irg_transformation((second, first), teacher), irg_transformation((first, few), teacher))

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"edge_weight": -1.0}, "edge_weight must be at least 0, got -1"),
            ({"teacher_logits": torch.zeros(6, 5)}, "student_logits and teacher_logits must have the same shape"),
            ({"teacher_embedding": torch.zeros(4, 7)}, "must hold the same samples, got 6, .* and 4 of them"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, graphs, change, says):
        with pytest.raises(ValueError, match=says):
            irg_loss(**graphs | change)

    def test_method_logs_its_three_terms(self, graphs, batch_of, setting):
        said = [
            Outputs(
                graphs[f"{w}_logits"], (graphs[f"{w}_first"], graphs[f"{w}_second"]), embedding=graphs[f"{w}_embedding"]
            )
            for w in ("student", "teacher")
        ]
        made = IRG.build(setting([(3, 4, 4), (6, 2, 2)], [(2, 4, 4), (4, 2, 2)]), weight=2.0)
        terms = made.losses(*said, batch_of(torch.arange(6)))
        weights = {name: term.weight for name, term in terms.items()}
        assert weights == {"irg_vertex": 0.2, "irg_edge": 10, "irg_transformation": 10}
        assert_close(sum(term.value * term.weight for term in terms.values()), 2 * irg_loss(**graphs))
        assert irg_transformation(said[0].features, said[1].features) == terms["irg_transformation"].value

    @pytest.mark.parametrize("says", ["a transformation needs two stages, and the student has 1"])
    def test_method_refuses_a_single_stage(self, setting, says):
        with pytest.raises(Refusal, match=says):
            IRG.build(setting([(3, 4, 4)], [(3, 4, 4)] * 2))
