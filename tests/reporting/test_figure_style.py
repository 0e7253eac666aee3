import itertools

import numpy
import pytest

from kdcore.reporting.figures.style import ACCENTS, GREY, INK, METHODS, ROLES, SPARE, role, styles

COLOURS = (INK, GREY, *ACCENTS)
# Full dichromacy on linear RGB, Machado, Oliveira and Fernandes 2009, as printed in the R package prismatic.
SIGHT = {
    "all cones": numpy.eye(3),
    "no long cones": [
        [0.152286, 1.052583, -0.204868],
        [0.114503, 0.786281, 0.099216],
        [-0.003882, -0.048116, 1.051998],
    ],
    "no middle cones": [
        [0.367322, 0.860646, -0.227968],
        [0.280085, 0.672501, 0.047413],
        [-0.011820, 0.042940, 0.968881],
    ],
    "no short cones": [
        [1.255528, -0.076749, -0.178779],
        [-0.078411, 0.930809, 0.147602],
        [0.004733, 0.691367, 0.303900],
    ],
}


def linear(colour: str) -> numpy.ndarray:
    values = numpy.array([int(colour[place : place + 2], 16) for place in (1, 3, 5)]) / 255
    return numpy.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)


def lab(light: numpy.ndarray) -> numpy.ndarray:
    """CIELAB of linear sRGB."""
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    x, y, z = numpy.cbrt(numpy.clip(to_xyz @ numpy.clip(light, 0, 1) / [0.95047, 1.0, 1.08883], 0.008856, None))
    return numpy.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


def luminance(colour: str) -> float:
    return float(linear(colour) @ [0.2126, 0.7152, 0.0722])


class TestPalette:
    @pytest.mark.parametrize("sight", SIGHT)
    def test_any_two_colours_stay_apart_for_every_eye(self, sight):
        seen = {colour: lab(SIGHT[sight] @ linear(colour)) for colour in COLOURS}
        for one, two in itertools.combinations(COLOURS, 2):
            assert numpy.linalg.norm(seen[one] - seen[two]) > 15, (one, two)

    @pytest.mark.parametrize("colour", COLOURS)
    def test_every_colour_stands_out_from_the_page(self, colour):
        assert 1.05 / (luminance(colour) + 0.05) >= 3

    def test_the_teacher_is_dark_the_student_grey_the_distilled_an_accent(self):
        assert (role("teacher").colour, role("student").colour) == (INK, GREY)
        assert role("distilled").colour in ACCENTS and role("kd") == role("distilled")

    def test_roles_and_methods_differ_in_more_than_colour(self):
        drawn = [(style.marker, style.line) for style in {*METHODS.values(), ROLES["teacher"], ROLES["student"]}]
        assert len(drawn) == len(set(drawn))


class TestStyles:
    def test_a_known_name_looks_alike_in_every_figure(self):
        one, two = styles(["student", "kd", "dkd"]), styles(["something", "dkd", "teacher", "kd"])
        assert one["kd"] == two["kd"] == METHODS["kd"] and one["dkd"] == two["dkd"]

    def test_no_two_rows_of_a_figure_look_alike(self):
        names = ["kd", "one", "student", "two", "normkd", "three", "four"]
        found = styles(names)
        assert list(found) == names and len(set(found.values())) == len(names)

    def test_strangers_take_colours_that_are_not_used(self):
        assert styles(["kd", "stranger"])["stranger"].colour != METHODS["kd"].colour

    def test_more_rows_than_can_be_told_apart_are_refused(self):
        with pytest.raises(
            ValueError, match=f"a figure can tell {len(SPARE)} rows apart, got {len(SPARE) + 1}: split it"
        ):
            styles([f"row {place}" for place in range(len(SPARE) + 1)])
