"""What every loss of the library promises as a function."""

import inspect
import typing

import pytest
import torch

STUDENT = ("student", "strong_student", "negative", "complement", "log_variance", "fit")  # what a gradient may reach


def trained(name: str) -> bool:
    return name.startswith(STUDENT)


def constant(name: str) -> bool:
    """The teacher; but a critic's scores are the critic's own, and a head that learns is not the teacher."""
    return "teacher" in name and not name.endswith(("scores", "projection"))


# Where part of a loss is a constant by design, differences see what gradients do not: this takes that part out.
WITHOUT_CONSTANTS = {"dtd_loss": {"bias": 0.0}, "wsld_loss": {"weighted": False}}


# Losses whose slopes outgrow half types at 500 times the usual scale, and why; these are asked in single precision.
OUTGROWS_HALF = {
    "gram_style_matching_loss": "a fourth power, so the slope is a third",
    "gram_style_matching_survey_loss": "a fourth power, so the slope is a third",
    "weighted_channel_matching_loss": "weights and maps are both large and multiply",
    "darkrank_loss": "the cube of a distance",
    "fsp_loss": "a fourth power, so the slope is a third",
    "vid_loss": "the smallest variance is 1e-5, which the slope is divided by",
}


# Losses that jump where a map has directions without strength, as maps from the closed formula have: a difference
# taken across such a jump says nothing of a slope. Their own tests take them on maps of full rank.
JUMPS = {"kdsvd_loss": "eigenvectors"}


# Losses that take squared distances from products; of the closed formula's nearest samples these leave four digits.
FROM_PRODUCTS = ("category_structure_kd_loss", "rkd_loss", "rkd_survey_loss", "structural_generic_loss")


def has_reduction(loss) -> bool:
    return "reduction" in inspect.signature(loss).parameters


def one_an_example(loss) -> set[str]:
    """The tensors whose first dimension is the batch; others (weights of channels or layers) belong to all examples."""
    hints = typing.get_type_hints(inspect.unwrap(loss))
    named = {name: getattr(hint, "dim_str", "").split() for name, hint in hints.items() if name != "return"}
    return {name for name, axes in named.items() if axes[:1] == ["batch"]}


class TestEveryLoss:
    def test_gradients_are_right(self, loss, arguments):
        if loss.__name__ in JUMPS:
            pytest.skip(f"differences are taken on maps of full rank in its own tests: {JUMPS[loss.__name__]}")
        given = arguments(loss, batch=3, dtype=torch.float64)
        learned = [name for name in given if trained(name)]
        per_example = {"reduction": "none"} if has_reduction(loss) else {}
        settings = per_example | WITHOUT_CONSTANTS.get(loss.__name__, {})
        value = lambda *tensors: loss(**given | dict(zip(learned, tensors)), **settings)
        assert torch.autograd.gradcheck(value, [given[name].requires_grad_() for name in learned])

    def test_teacher_is_a_constant_and_inputs_stay(self, loss, arguments):
        given = arguments(loss)
        before = {name: value.clone() for name, value in given.items()}
        for name, value in given.items():
            value.requires_grad_(trained(name) or constant(name))
        versions = {name: value._version for name, value in given.items()}
        loss(**given).backward()
        assert all(given[name].grad is None for name in given if constant(name))
        assert any(given[name].grad is not None for name in given if trained(name))
        assert all(
            torch.equal(given[name], before[name]) and value._version == versions[name] for name, value in given.items()
        )

    def test_reduces_over_examples_only(self, loss, arguments):
        given = arguments(loss)
        if not has_reduction(loss):
            assert loss(**given).shape == () and "scalar" in inspect.getdoc(loss).splitlines()[0]
            return
        each = loss(**given, reduction="none")
        assert each.shape == (6,)
        torch.testing.assert_close(each.mean(), loss(**given))
        torch.testing.assert_close(each.sum(), loss(**given, reduction="sum"))

    @pytest.mark.parametrize("size", [1, 2, 257])
    def test_an_example_does_not_depend_on_its_batch(self, loss, arguments, size):
        given = arguments(loss, batch=size)
        if not has_reduction(loss):
            assert loss(**given).isfinite()
            return
        each, of_each = loss(**given, reduction="none"), one_an_example(loss)
        alone = {name: value[:1] if name in of_each else value for name, value in given.items()}
        first = loss(**alone, reduction="none")
        torch.testing.assert_close(each[:1], first, rtol=1e-5, atol=1e-6)

    def test_duplicate_rows_change_no_mean(self, loss, arguments):
        given, of_each = arguments(loss), one_an_example(loss)
        doubled = {name: torch.cat([value, value]) if name in of_each else value for name, value in given.items()}
        if not has_reduction(loss):  # a relation of two equal samples is a relation more
            assert loss(**doubled).isfinite()
            return
        torch.testing.assert_close(loss(**doubled), loss(**given), rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
    @pytest.mark.parametrize("classes", [2, 5])
    def test_finite_on_hostile_inputs_of_any_floating_type(self, loss, arguments, dtype, classes):
        sizes = {"classes": classes, "vocabulary": classes, "size": classes, "parts": classes}
        dtype = torch.float32 if dtype == torch.float16 and loss.__name__ in OUTGROWS_HALF else dtype
        given = arguments(loss, dtype=dtype, **sizes)
        for name, value in given.items():
            if name == "log_variance":  # the slope of a variance that knows nothing of the distance outgrows half types
                given[name] = value = value.float()
            elif value.is_floating_point():
                value.mul_(500)[0] = 0
            value.requires_grad_(trained(name))
        value = loss(**given)
        value.backward()
        slopes = [tensor.grad for name, tensor in given.items() if trained(name)]
        assert value.dtype == torch.float32 and value.isfinite() and all(slope.isfinite().all() for slope in slopes)

    @pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
    def test_autocast_changes_nothing(self, loss, arguments, dtype):
        given = arguments(loss)
        with torch.autocast("cpu", dtype):
            inside = loss(**given)
        torch.testing.assert_close(inside, loss(**given), rtol=0, atol=0)

    def test_single_precision_agrees_with_double_to_five_digits(self, loss, arguments):
        single = arguments(loss, dtype=torch.float32)
        double = {name: x.double() if x.is_floating_point() else x for name, x in single.items()}
        learned = [name for name in single if trained(name)]
        found = []
        for given in (single, double):
            value = loss(**given | {name: given[name].requires_grad_() for name in learned})
            slopes = torch.autograd.grad(value, [given[name] for name in learned])
            found.append([value.detach().double(), *(slope.double() for slope in slopes)])
        close = 1e-4 if loss.__name__ in FROM_PRODUCTS else 1e-5
        for mine, right in zip(*found, strict=True):
            assert (mine - right).norm() <= close * right.norm()

    def test_double_stays_double(self, loss, arguments):
        assert loss(**arguments(loss, dtype=torch.float64)).dtype == torch.float64
