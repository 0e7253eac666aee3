import math

import pytest

from kdcore.reporting.figures import drawing
from kdcore.reporting.figures.response import in_plane, pictures, triplet_plane

WORDS = {"caption": "What is drawn.", "alt": "Marks in the places where they belong.", "name": "fig-made-up"}


@pytest.fixture
def panels(monkeypatch):
    """The axes of the figure that is drawn next, to be looked at."""
    seen = []
    check = drawing._check_axes
    monkeypatch.setattr(drawing, "_check_axes", lambda canvas: (seen.extend(canvas.axes), check(canvas)))
    return seen


def texts(panel):
    return [text.get_text() for text in panel.texts]


class TestPictures:
    def test_every_view_is_a_row_of_images_with_its_words_below(self, panels):
        images = {"weak": [[[0.0, 1.0], [1.0, 0.0]]] * 3, "strong": [[[0.5, 0.5], [0.0, 0.0]]] * 3}
        pictures(images, {"strong": ["a", "b", "c"]}, **WORDS)
        assert len(panels[0].images) == 6
        assert texts(panels[0]) == ["weak", "strong", "a", "b", "c"]

    def test_rows_share_one_scale(self, panels):
        pictures({"dark": [[[0.0, 0.1]]], "light": [[[0.9, 2.0]]]}, **WORDS)
        assert {image.get_clim() for image in panels[0].images} == {(0.0, 2.0)}

    @pytest.mark.parametrize("wrong", [{"one": [[1.0]]}, {"one": [[[1.0]]], "two": [[[1.0]], [[1.0]]]}])
    def test_other_shapes_are_refused(self, wrong):
        with pytest.raises(ValueError, match=r"each row must have shape \(samples, height, width\)"):
            pictures(wrong, **WORDS)

    def test_words_must_be_as_many_as_images(self):
        with pytest.raises(ValueError, match="as many texts as a row has images, 2"):
            pictures({"one": [[[1.0]], [[0.0]]]}, {"one": ["a"]}, **WORDS)


class TestTripletPlane:
    ANCHOR, NEAR, FAR = [1.0, 0.0, 2.0], [1.0, 3.0, 2.0], [3.0, 1.0, 0.0]

    def test_plane_keeps_all_three_distances(self):
        near, far = in_plane(self.ANCHOR, self.NEAR, self.FAR)
        assert math.hypot(*near) == pytest.approx(math.dist(self.ANCHOR, self.NEAR))
        assert math.hypot(*far) == pytest.approx(math.dist(self.ANCHOR, self.FAR))
        assert math.dist(near, far) == pytest.approx(math.dist(self.NEAR, self.FAR))

    def test_answers_that_coincide_have_a_place_too(self):
        assert in_plane([1.0, 2.0], [1.0, 2.0], [1.0, 5.0]) == ((0.0, 0.0), (0.0, 3.0))

    def test_disc_is_where_the_negative_costs_and_the_title_says_how_much(self, panels):
        triplet_plane(self.ANCHOR, self.NEAR, self.FAR, margin=2.0, **WORDS)
        (disc,) = panels[0].patches
        assert disc.get_radius() == 5.0  # 3 to the positive, and the margin
        assert panels[0].get_title(loc="left") == "loss 2"  # 3 - 3 + 2
        assert len(panels[0].texts) == 2  # an arrow for each answer that moves

    def test_no_arrow_where_nothing_is_asked(self, panels):
        triplet_plane([0.0, 0.0], [1.0, 0.0], [0.0, 9.0], margin=2.0, **WORDS)
        assert panels[0].get_title(loc="left") == "loss 0"
        assert not panels[0].texts
