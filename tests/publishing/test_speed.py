"""The page of what losses cost, from a table that was made up."""

import pytest
from clones import ROOT

from kdcore.publishing.pages.speed import speed_page

HEADER = (
    "loss,shape,batch,peer,commit,milliseconds,peer_milliseconds,ratio,lowest,highest,bar,megabytes,peer_megabytes,"
    "difference,held,machine,versions"
)
LINE = (
    'crd_loss,banks,64,RepDistiller,b84f547c5d,33.2,470,14.1,13.9,15,7,51.2,1080,8.3e-05,{held},"A, 2 threads",torch 2'
)


@pytest.fixture
def table(tmp_path):
    def write(held):
        path = tmp_path / "losses.csv"
        path.write_text("\n".join([HEADER, LINE.format(held=held)]) + "\n")
        return path

    return write


class TestSpeedPage:
    def test_shows_what_the_table_holds_and_where_it_was_measured(self, table):
        page = speed_page(table(True))
        for shown in ("crd_loss", "RepDistiller", "b84f547", "14.1 [13.9, 15", "1080", "A, 2 threads", "twenty"):
            assert shown in page, shown
        assert "broken" not in page

    def test_says_which_bar_is_broken(self, table):
        assert "(broken)" in speed_page(table(False))

    def test_without_a_table_says_how_to_make_one(self, tmp_path):
        assert "python benchmarks/losses.py --peers DIR" in speed_page(tmp_path / "none.csv")

    def test_has_a_place_in_the_book(self):
        assert "generated/speed" in (ROOT / "book" / "_toc.yml").read_text()
