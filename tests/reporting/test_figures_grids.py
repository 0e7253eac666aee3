"""Maps side by side share one scale and say what they are."""

import numpy
import pytest

from kdcore.reporting import figures
from kdcore.reporting.figures import drawing

WORDS = {"caption": "What is drawn.", "alt": "Two rows of maps, dark in their corners.", "name": "fig-made-up"}
AXES = {"xlabel": "column of patches", "ylabel": "row of patches", "label": "share of attention"}
SHOWN = {
    "teacher": {"layer 1": [[0.0, 0.5], [0.25, 0.25]], "layer 2": [[1.0, 0.0], [0.0, 0.0]]},
    "student": {"layer 1": [[0.2, 0.3], [0.4, 0.1]], "layer 2": [[0.7, 0.1], [0.1, 0.1]]},
}


@pytest.fixture
def panels(monkeypatch):
    """The axes of the figure that is drawn next, to be looked at."""
    seen = []
    check = drawing._check_axes
    monkeypatch.setattr(drawing, "_check_axes", lambda canvas: (seen.extend(canvas.axes), check(canvas)))
    return seen


class TestMaps:
    def test_each_map_is_drawn_as_it_is_in_one_scale(self, panels):
        figures.maps(SHOWN, **AXES, **WORDS)
        images = [panel.images[0] for panel in panels[:4]]
        drawn = [numpy.asarray(image.get_array()).tolist() for image in images]
        assert drawn == [matrix for row in SHOWN.values() for matrix in row.values()]
        assert {image.get_clim() for image in images} == {(0.0, 1.0)}

    def test_rows_columns_and_shades_have_names(self, panels):
        figures.maps(SHOWN, **AXES, **WORDS)
        assert [panel.get_title(loc="left") for panel in panels[:2]] == ["layer 1", "layer 2"]
        assert panels[0].get_ylabel() == "teacher\nrow of patches" and panels[3].get_xlabel() == "column of patches"
        assert panels[4].get_ylabel() == "share of attention"

    def test_the_scale_can_be_named(self, panels):
        figures.maps(SHOWN, low=-1, high=2, **AXES, **WORDS)
        assert panels[0].images[0].get_clim() == (-1, 2)

    @pytest.mark.parametrize(
        ("shown", "says"),
        [
            ({}, "needs the same columns"),
            ({"one": {"a": [[0.0]]}, "two": {"b": [[0.0]]}}, "needs the same columns"),
            ({"one": {"a": [0.0, 1.0]}}, r"a map must be a matrix, got shape \(2,\)"),
        ],
    )
    def test_what_cannot_be_laid_out_is_answered_in_a_sentence(self, shown, says):
        with pytest.raises(ValueError, match=says):
            figures.maps(shown, **AXES, **WORDS)
