"""Shaded text: every character has its ground, what cannot be seen is shown, bad input is refused."""

import pytest

from kdcore.reporting.figures import drawing
from kdcore.reporting.figures.language import shaded_text
from kdcore.reporting.figures.style import INK, SHADES

WORDS = {"caption": "What is drawn.", "alt": "Letters on grounds of different darkness.", "name": "fig-made-up"}


@pytest.fixture
def panels(monkeypatch):
    """The axes of the figure that is drawn next, to be looked at."""
    seen = []
    check = drawing._check_axes
    monkeypatch.setattr(drawing, "_check_axes", lambda canvas: (seen.extend(canvas.axes), check(canvas)))
    return seen


class TestShadedText:
    def test_every_line_has_its_characters_on_their_grounds(self, panels):
        lines, values = {"one": "a b\n", "two": "$x"}, {"one": [0.0, 1.0, 2.0, 0.5], "two": [2.0, 0.1]}
        shaded_text(lines, values, label="nats", **WORDS)
        first, second = panels[:2]
        assert [text.get_text() for text in first.texts] == ["a", "·", "b", "¶"]
        assert [text.get_text() for text in second.texts] == ["$", "x"]
        assert first.images[0].get_array().tolist() == [[0.0, 1.0, 2.0, 0.5]]

    def test_lines_share_one_scale_and_dark_grounds_have_light_letters(self, panels):
        shaded_text({"one": "ab", "two": "cd"}, {"one": [0.0, 3.0], "two": [1.0, 0.5]}, label="nats", **WORDS)
        assert {panel.images[0].get_clim() for panel in panels[:2]} == {(0.0, 3.0)}
        assert [text.get_color() for text in panels[0].texts] == [INK, SHADES[0]]

    def test_nothing_but_zeros_can_be_drawn(self):
        assert "<svg" in shaded_text({"one": "ab"}, {"one": [0.0, 0.0]}, label="nats", **WORDS).svg

    def test_a_number_for_each_character_is_needed(self):
        with pytest.raises(ValueError, match="one must have a number for each of 3 characters"):
            shaded_text({"one": "abc"}, {"one": [1.0, 2.0]}, label="nats", **WORDS)
