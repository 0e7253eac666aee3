import base64
import re
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import matplotlib
import pytest

from kdcore.reporting.figures import render
from kdcore.reporting.figures.inline import page_svg

WORDS = {"caption": "A line.", "alt": "A line that rises from left to right.", "name": "fig-line"}


def line(canvas):
    panel = canvas.subplots()
    panel.plot([1, 2, 3], label="kd")
    panel.set(xlabel="temperature $T$", ylabel="loss, nats")
    panel.legend()


class TestSvg:
    def test_is_the_same_to_the_byte_on_every_run(self):
        assert render(line, **WORDS).svg == render(line, **WORDS).svg

    @pytest.mark.slow
    def test_is_the_same_in_another_process(self):
        code = (
            "from kdcore.reporting.figures import curves\n"
            "print(curves([1, 2], {'kd': [[1, 2], [2, 3]]}, xlabel='x', ylabel='y', caption='A line.',"
            " alt='A line that rises.', name='fig-x').svg, end='')"
        )
        once, again = (subprocess.run([sys.executable, "-c", code], capture_output=True, check=True) for _ in "ab")
        assert once.stdout == again.stdout and once.stdout.startswith(b"<svg")

    def test_does_not_depend_on_someones_settings(self):
        plain = render(line, **WORDS).svg
        with matplotlib.rc_context({"lines.linewidth": 9, "font.size": 30, "svg.fonttype": "none", "axes.grid": True}):
            assert render(line, **WORDS).svg == plain

    def test_leaves_the_settings_as_they_were(self):
        before = dict(matplotlib.rcParams)
        render(line, **WORDS)
        assert dict(matplotlib.rcParams) == before

    def test_carries_no_date_and_needs_no_font(self):
        found = render(line, **WORDS).svg
        assert "<metadata>" not in found and not re.search(r"\d{4}-\d\d-\d\d", found)
        assert "<text" not in found and "font-family" not in found

    def test_is_one_sound_transparent_drawing(self):
        found = render(line, **WORDS).svg
        assert ElementTree.fromstring(found).tag.endswith("svg")
        assert found.startswith("<svg ") and found.rstrip().endswith("</svg>") and "fill: #ffffff" not in found

    def test_says_what_it_shows(self):
        found = render(line, **WORDS | {"alt": 'A "line" that rises & falls.'}).svg
        assert ElementTree.fromstring(found).get("aria-label") == 'A "line" that rises & falls.'


class TestRefusals:
    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"caption": " \n"}, "a figure needs a caption"),
            ({"alt": ""}, "alt must say what is to be seen in the figure, in words of its own, got ''"),
            ({"alt": "a figure"}, "alt must say what is to be seen"),
            ({"alt": "A line.", "caption": "A line."}, "alt must say what is to be seen"),
            ({"name": "Figure 1"}, "name must be small letters"),
        ],
    )
    def test_words_are_required(self, change, says):
        with pytest.raises(ValueError, match=says):
            render(line, **WORDS | change)

    def test_caption_and_alternative_text_have_no_default(self):
        with pytest.raises(TypeError, match="caption"):
            render(line)

    @pytest.mark.parametrize("axis", ["x", "y"])
    def test_an_axis_without_a_name_is_refused(self, axis):
        def unnamed(canvas):
            line(canvas)
            canvas.axes[0].set(**{f"{axis}label": ""})

        with pytest.raises(ValueError, match=f"panel 1 must name its {axis} axis"):
            render(unnamed, **WORDS)

    def test_panels_that_share_an_axis_need_one_name(self):
        def shared(canvas):
            upper, lower = canvas.subplots(2, 1, sharex=True)
            upper.set(ylabel="a")
            lower.set(xlabel="x", ylabel="b")

        assert render(shared, **WORDS).svg

    @pytest.mark.parametrize("text", ["蒸馏", "$蒸$", "a 馏 b", "ሀ"])
    def test_a_letter_that_the_font_lacks_is_an_error(self, text):
        def chinese(canvas):
            line(canvas)
            canvas.axes[0].set_title(text)

        for _ in range(2):  # also when matplotlib has seen the letter before
            with pytest.raises(ValueError, match="figures carry Latin text only"):
                render(chinese, **WORDS)

    def test_the_label_of_a_tick_is_no_way_round(self):
        def ticks(canvas):
            line(canvas)
            canvas.axes[0].xaxis.set_major_formatter(lambda value, place: "蒸")

        with pytest.raises(ValueError, match="figures carry Latin text only"):
            render(ticks, **WORDS)

    def test_a_warning_of_another_kind_keeps_its_own_words(self):
        import warnings

        def noisy(canvas):
            warnings.warn("something else", UserWarning, stacklevel=1)

        with pytest.raises(UserWarning, match="something else"):
            render(noisy, **WORDS)


class TestBundle:
    def test_the_book_gets_a_numbered_figure_with_its_words(self):
        found = render(line, **WORDS | {"alt": 'He said "no" \\ # 1 | <b>'})._repr_mimebundle_()["text/markdown"]
        first, *options = found.splitlines()
        assert first.startswith("~~~{figure} data:image/svg+xml;base64,") and options[-1] == "~~~"
        assert ':alt: "He said \\"no\\" \\\\ # 1 | <b>"' in options and ':name: "fig-line"' in options
        assert options[-2] == "A line."

    def test_the_drawing_in_it_is_the_drawing(self):
        figure = render(line, **WORDS)
        assert base64.b64decode(figure.uri.partition("base64,")[2]).decode() == figure.svg

    def test_a_notebook_shows_image_words_and_caption(self):
        found = render(line, **WORDS)._repr_mimebundle_()["text/html"]
        assert 'alt="A line that rises from left to right."' in found and "<figcaption>A line.</figcaption>" in found

    def test_a_terminal_gets_the_words(self):
        assert render(line, **WORDS)._repr_mimebundle_()["text/plain"] == f"A line.\n[{WORDS['alt']}]"


class TestDrawingInThePage:
    def test_ids_become_its_own_and_links_stay(self):
        def linked(canvas):
            line(canvas)
            canvas.axes[0].text(1, 1, "kd").set_url("response.html#kd")

        figure = render(linked, **WORDS, linked=True)
        found = page_svg(figure.uri, figure.alt, "fig-line")
        tree = ElementTree.fromstring(found)
        ids = [node.get("id") for node in tree.iter() if node.get("id")]
        used = [node.get("href") for node in tree.iter() if (node.get("href") or "").startswith("#")]
        assert ids and all(one.startswith("fig-line-") for one in ids)
        assert used and all(one[1:] in ids for one in used)
        assert tree.get("role") == "group" and tree.get("aria-label") == WORDS["alt"]
        (link,) = (node for node in tree.iter() if node.tag.endswith("}a"))
        assert (link.get("aria-label"), link.get("target")) == ("kd", None)
        assert "response.html#kd" in link.attrib.values()
