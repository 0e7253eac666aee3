"""What a reader may rely on in the strongest directions of a map."""

import pytest
import torch
from torch.testing import assert_close

from kdcore.losses.relation._directions import aligned, directions


@pytest.fixture
def scattered():
    """Maps of full rank from a closed formula; sines of the index itself have rank two."""

    def make(*shape, speed, dtype=torch.float64):
        index = torch.arange(torch.Size(shape).numel(), dtype=torch.float64).view(shape)
        return (4 * torch.sin(speed * index**2 + 1)).to(dtype)

    return make


SHAPES = [(3, 5, 4, 4), (3, 6, 2, 2), (2, 4, 1, 1)]  # fewer channels than positions, more, one position


class TestDirections:
    @pytest.mark.parametrize("shape", SHAPES)
    def test_are_singular_vectors(self, scattered, shape):
        maps = scattered(*shape, speed=0.7)
        values, vectors = directions(maps, 2)
        some = values.shape[1]
        assert_close(values, torch.linalg.svdvals(maps.flatten(2))[:, :some])
        through = maps.flatten(2).mT @ vectors  # positions by directions: orthogonal, as long as the singular values
        assert_close(through.mT @ through, torch.diag_embed(values.square()), rtol=1e-9, atol=1e-9)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_sign_is_that_of_the_largest_entry(self, scattered, shape):
        maps = scattered(*shape, speed=0.7)
        vectors = directions(maps, 3)[1]
        assert (vectors.gather(1, vectors.abs().argmax(1, keepdim=True)) > 0).all()
        assert_close(directions(-maps, 3)[1], vectors)

    @pytest.mark.parametrize("shape", SHAPES)
    def test_gradient_is_right(self, scattered, shape):
        maps = scattered(*shape, speed=0.7).requires_grad_()
        assert torch.autograd.gradcheck(lambda m: directions(m, 2), maps)

    def test_dead_maps_have_none_and_no_slope(self):
        maps = torch.zeros(2, 4, 3, 3, requires_grad=True)
        values, vectors = directions(maps, 3)
        assert (values == 0).all() and (vectors == 0).all()
        (slope,) = torch.autograd.grad(values.sum() + vectors.sum(), maps)
        assert (slope == 0).all()

    def test_equal_strengths_have_a_finite_slope(self):
        maps = torch.eye(4).view(1, 4, 2, 2).requires_grad_()  # every direction is as strong
        values, vectors = directions(maps, 2)
        (slope,) = torch.autograd.grad((vectors * torch.arange(8.0).view(1, 4, 2)).sum(), maps)
        assert slope.isfinite().all() and values.tolist() == [[1, 1]]

    def test_a_map_of_one_direction_has_no_second(self):
        maps = torch.ones(1, 3, 2, 2) * torch.tensor([1.0, -3.0, 2.0])[:, None, None]
        values, vectors = directions(maps, 2)
        assert_close(vectors[0, :, 0], torch.tensor([-1.0, 3.0, -2.0]) / 14**0.5, rtol=1e-5, atol=1e-6)
        assert values[0, 1] == 0 and (vectors[0, :, 1] == 0).all()


class TestAlignment:
    def test_takes_the_nearest_on_the_teachers_side(self):
        student = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]])  # three columns of directions
        teacher = torch.tensor([[[0.1, 0.9], [0.9, 0.3], [-0.2, -0.2]]])
        assert_close(aligned(student, teacher)[0], torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.0, 0.0]]))
