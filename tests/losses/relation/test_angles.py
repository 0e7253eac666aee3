"""What a reader may rely on in the angles of all triples."""

import pytest
import torch
import torch.nn.functional as F

from kdcore.losses.relation import _angles
from kdcore.losses.relation._angles import angles_apart
from kdcore.losses.relation._rows import squared_distances


def cosines(rows):
    """Directions between all samples, written out: batch x batch x size, then batch x batch x batch."""
    away = F.normalize(rows[None] - rows[:, None], dim=2)
    return away @ away.mT


class TestAngles:
    def test_are_those_of_directions(self, embeddings):
        student, teacher = embeddings
        value = angles_apart(squared_distances(student), squared_distances(teacher))
        wanted = F.smooth_l1_loss(cosines(student), cosines(teacher))
        torch.testing.assert_close(value, wanted, rtol=1e-12, atol=0)
        slopes = [torch.autograd.grad(loss, student)[0] for loss in (value, wanted)]
        torch.testing.assert_close(*slopes, rtol=1e-10, atol=1e-13)

    def test_gradient_is_right(self, embeddings):
        student, teacher = embeddings[0][:4], embeddings[1][:4]
        value = lambda rows: angles_apart(squared_distances(rows), squared_distances(teacher))
        assert torch.autograd.gradcheck(value, student.detach().requires_grad_())

    @pytest.mark.parametrize("size", [1, 5, 64, 10_000])
    def test_slices_change_nothing(self, embeddings, monkeypatch, size):
        student, teacher = (squared_distances(rows) for rows in embeddings)
        whole = angles_apart(student, teacher)
        monkeypatch.setattr(_angles, "ON_CPU", size)
        part = angles_apart(student, teacher)
        torch.testing.assert_close(part, whole, rtol=1e-13, atol=0)
        slopes = [torch.autograd.grad(value, student, retain_graph=True)[0] for value in (part, whole)]
        torch.testing.assert_close(*slopes, rtol=1e-11, atol=1e-15)

    def test_holds_no_more_than_a_slice(self, sines, monkeypatch):
        """The largest tensor that reaches the device, of 32 samples in slices of 2048 triples."""
        from torch.utils._python_dispatch import TorchDispatchMode

        largest = []

        class Watch(TorchDispatchMode):
            def __torch_dispatch__(self, func, types, args=(), kwargs=None):
                out = func(*args, **(kwargs or {}))
                largest.append(out.numel() if isinstance(out, torch.Tensor) else 0)
                return out

        monkeypatch.setattr(_angles, "ON_CPU", 2048)
        student, teacher = sines(32, 10, speed=0.7).requires_grad_(), sines(32, 6, speed=1.3)
        with Watch():
            angles_apart(squared_distances(student), squared_distances(teacher)).backward()
        assert max(largest) == 2048 and student.grad.isfinite().all()

    def test_points_that_coincide_make_right_angles_without_a_slope(self, embeddings):
        student = embeddings[0].detach().clone()
        student[3] = student[5]
        student.requires_grad_()
        value = angles_apart(squared_distances(student), squared_distances(embeddings[1]))
        (slope,) = torch.autograd.grad(value, student)
        assert value.isfinite() and slope.abs().max() < 1  # the authors' form has slopes of some 1e10 here
        torch.testing.assert_close(value, F.smooth_l1_loss(cosines(student), cosines(embeddings[1])))
