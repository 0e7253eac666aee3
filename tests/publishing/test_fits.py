"""The page of which methods fit which pair, from refusals that were made up."""

from __future__ import annotations

import pytest
from clones import ROOT

from kdcore.experiments.fits import PAIRS
from kdcore.publishing.pages.fits import fits_page, known_refusals
from kdcore.publishing.pages.links import Links
from kdcore.publishing.project import Project

REFUSED = {
    "resnets": {"vitkd": "vitkd needs patches | tokens", "deit-soft": "no token", "deit-hard": "no token"},
    "language": {},
}


@pytest.fixture(scope="module")
def page():
    return fits_page(REFUSED, Links({}, frozenset({"vitkd", "kd"})))


class TestKnownRefusals:
    @pytest.fixture
    def asked(self, monkeypatch):
        """The pairs that were worked out, in their order."""
        asked = []
        monkeypatch.setattr("kdcore.experiments.fits.refusals", lambda pair: asked.append(pair.key) or {pair.key: "no"})
        return asked

    def test_each_pair_is_asked_once_for_a_state_of_the_code(self, asked, tmp_path):
        first, again = (known_refusals(Project(tmp_path)) for _ in range(2))
        assert asked == list(first) == [pair.key for pair in PAIRS]
        assert first == again and first["resnets"] == {"resnets": "no"}

    def test_another_state_is_asked_anew(self, asked, tmp_path, monkeypatch):
        known_refusals(Project(tmp_path))
        monkeypatch.setattr("kdcore.publishing.pages.fits.digest", lambda files, base: "another")
        known_refusals(Project(tmp_path))
        assert len(asked) == 2 * len(PAIRS)


class TestFitsPage:
    def test_a_sentence_stands_once_with_all_that_say_it(self, page):
        assert page.count("no token.") == 1
        (line,) = (line for line in page.splitlines() if "no token." in line)
        assert "<code>deit-soft</code>" in line and "<code>deit-hard</code>" in line

    def test_a_bar_in_a_sentence_is_no_cell(self, page):
        (line,) = (line for line in page.splitlines() if "needs patches" in line)
        assert line.replace("\\|", "").count("|") == 3

    def test_a_dot_stands_where_a_method_fits(self, page):
        cells = {line.split("|")[1].strip(): line.split("|")[2:4] for line in page.splitlines() if "<code>" in line}
        dots = lambda key: [
            "•" in cell for shown, two in cells.items() if f"<code>{key}</code>" in shown for cell in two
        ]
        assert dots("kd") == [True, True] and dots("vitkd") == [False, True]

    def test_names_the_pair_and_counts_its_refusals(self, page):
        assert "`resnet56` teaches `resnet20` on CIFAR-10; 3 refuse." in page and "(fits-language)=" in page
        assert "(fits-families)=" not in page

    def test_has_a_place_in_the_book(self):
        assert "generated/fits" in (ROOT / "book" / "_toc.yml").read_text()
