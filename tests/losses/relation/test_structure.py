"""What a reader may rely on in the general form: the library's losses are this one with their own parts."""

import pytest
import torch
from torch.testing import assert_close

from kdcore.losses import cc_loss, pkt_loss, rkd_loss, sp_loss, structural_generic_loss
from kdcore.losses.relation._rows import squared_distances
from kdcore.losses.relation.distance import rkd_parts
from kdcore.losses.relation.graph import irg_edges
from kdcore.losses.relation.structure import STRUCTURES, StructuralGeneric
from kdcore.types import Outputs, Refusal


def through(name, student, teacher):
    """The value that the general form has with a named structure's parts."""
    relation, distance = STRUCTURES[name]
    return structural_generic_loss(student, teacher, relation=relation, distance=distance)


class TestStructuralGeneric:
    def test_value_worked_by_hand(self):
        student, teacher = torch.tensor([[0.0], [1.0], [2.0]]), torch.tensor([[0.0], [1.0], [3.0]])
        # mean distances 4/3 and 2: (3/4, 3/4, 6/4) against (1/2, 1, 3/2), each twice among nine
        value = structural_generic_loss(student, teacher)
        assert value.item() == pytest.approx(2 * (1 / 16 + 1 / 16 + 0) / 9)

    def test_named_losses_reproduce_their_values_through_it(self, embeddings):
        student, teacher = embeddings
        named = {
            "sp": sp_loss(student, teacher),
            "cc": cc_loss(student, teacher),
            "rkd-distance": rkd_parts(student, teacher)[0],
            "rkd-angle": rkd_parts(student, teacher)[1],
            "pkt": pkt_loss(student, teacher),
            "pkt-code": pkt_loss(student, teacher, form="mean"),
            "irg-edges": irg_edges((student,) * 3, (teacher,) * 3),
        }
        assert named.keys() == STRUCTURES.keys()
        for name, value in named.items():
            general = through(name, student, teacher)
            assert value.item() > 0
            assert_close(general, value, rtol=1e-14, atol=0)
            slopes = [torch.autograd.grad(loss, student, retain_graph=True)[0] for loss in (general, value)]
            assert_close(*slopes, rtol=1e-12, atol=1e-18)

    def test_both_parts_of_rkd_are_two_structures(self, embeddings):
        parts = 25 * through("rkd-distance", *embeddings) + 50 * through("rkd-angle", *embeddings)
        assert_close(rkd_loss(*embeddings), parts)

    @pytest.mark.parametrize("name", STRUCTURES)
    def test_order_of_samples_plays_no_part_and_their_pairing_does(self, embeddings, name):
        student, teacher = embeddings
        order = torch.tensor([3, 0, 6, 1, 7, 2, 5, 4])
        assert_close(through(name, student[order], teacher[order]), through(name, student, teacher))
        assert abs(through(name, student[order], teacher) - through(name, student, teacher)) > 1e-6

    @pytest.mark.parametrize("name", STRUCTURES)
    def test_channels_may_be_turned_and_scaled(self, embeddings, name):
        student, teacher = embeddings
        turned = torch.linalg.qr(torch.randn(10, 10, dtype=torch.float64, generator=torch.Generator().manual_seed(0)))[
            0
        ]
        assert_close(
            through(name, 3 * student @ turned, teacher), through(name, student, teacher), rtol=1e-5, atol=1e-9
        )

    def test_anything_may_stand_between_samples(self, embeddings):
        """The three samples of si2023 Fig. 5: their perimeter, compared by a ratio."""
        perimeter = lambda rows: squared_distances(rows).sqrt().sum()
        ratio = lambda student, teacher: (student / teacher - 1).abs()
        student, teacher = (rows[:3].detach() for rows in embeddings)
        assert structural_generic_loss(2 * teacher, teacher, relation=perimeter, distance=ratio).item() == 1
        assert structural_generic_loss(student, teacher, relation=perimeter, distance=ratio) > 0

    def test_teachers_structure_is_made_without_a_graph(self, embeddings):
        seen = []
        relation = lambda rows: seen.append(torch.is_grad_enabled()) or rows @ rows.mT
        structural_generic_loss(*embeddings, relation=relation)
        assert seen == [False, True]

    def test_method_takes_a_structure_by_name(self, embeddings, setting, batch_of, labels):
        student, teacher = (Outputs(torch.zeros(8, 10), embedding=rows) for rows in embeddings)
        for name in ("rkd-distance", "sp"):
            method = StructuralGeneric.build(setting(), structure=name)
            (term,) = method.losses(student, teacher, batch_of(labels)).values()
            assert term.weight == 25 and term.value == through(name, *embeddings)

    @pytest.mark.parametrize(
        ("given", "settings", "says"),
        [
            ({"embeddings": (5, None)}, {}, "the teacher names none in `embedding`"),
            ({}, {"structure": "graph"}, "structure must be one of sp, cc, .* got 'graph'"),
            ({}, {"weight": -1.0}, "weight must be at least 0, got -1"),
        ],
    )
    def test_method_refuses_what_it_cannot_serve(self, setting, given, settings, says):
        with pytest.raises(Refusal, match=says):
            StructuralGeneric.build(setting(**given), **settings)
