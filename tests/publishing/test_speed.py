"""The page of what losses cost, from a table that was made up."""

import json

import pytest
from clones import ROOT

from kdcore.publishing.pages.speed import speed_page, training_part

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
        (tmp_path / "losses.csv").write_text("\n".join([HEADER, LINE.format(held=held)]) + "\n")
        return tmp_path

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
        assert "python benchmarks/losses.py --peers DIR" in speed_page(tmp_path)

    def test_has_a_place_in_the_book(self):
        assert "generated/speed" in (ROOT / "book" / "_toc.yml").read_text()


def told(kind="cpu", one=2.0, profile=()):
    pair = {"data": "cifar10", "teacher": "resnet56", "student": "resnet20"}
    found = [
        {"name": "plain loop", "students": 1, "rates": [400, 500, 450], "ratios": [1.0, 1.0, 1.0]},
        {"name": "kdcore x 1", "students": 1, "rates": [900, 1100, 1000], "ratios": [one, one + 0.5, one - 0.5]},
        {"name": "kdcore x 4", "students": 4, "rates": [1200, 1200, 1200], "ratios": [3.0, 3.0, 3.0]},
    ]
    bar = {"kind": "a made-up CPU", "one": 1.7, "four": 2.4} if kind == "cpu" else None
    pairs = [{"pair": pair, "loop": "0 workers", "way": "eager", "found": found, "profile": profile}]
    return {"device": kind, "rounds": 6, "pairs": pairs, "machine": "A machine", "versions": "torch 2", "bar": bar}


class TestTraining:
    @pytest.fixture
    def page(self, tmp_path):
        def write(**about):
            (tmp_path / f"throughput-{about.get('kind', 'cpu')}.json").write_text(json.dumps(told(**about)))
            return speed_page(tmp_path)

        return write

    def test_shows_median_and_range_with_the_bar_and_where_it_was_measured(self, page):
        shown = page()
        for cell in ("| kdcore × 1 | 1,000 [900, 1,100] | 2.00 × [1.50, 2.50] | 1.7 × |", "| kdcore × 4 | ",
                     "| plain loop | 450 [400, 500] | 1.00 × [1.00, 1.00] | – |", "A machine", "a made-up CPU",
                     "--device cpu", "6 interleaved rounds"):  # fmt: skip
            assert cell in shown, cell
        assert "broken" not in shown

    def test_says_that_a_bar_is_broken(self, page):
        assert "1.60 × [1.10, 2.10] (broken)" in page(one=1.6)

    def test_a_gpu_has_no_bar_and_says_where_the_time_goes(self, page):
        shown = page(kind="cuda", one=1.0, profile=[[0.62, "convolution"], [0.1, "optimiser"]])
        assert "broken" not in shown and "convolution 62 %, optimiser 10 %." in shown

    def test_what_is_committed_was_measured_by_the_script_and_holds(self):
        for file in (ROOT / "benchmarks").glob("throughput-*.json"):
            found = json.loads(file.read_text())
            assert file.stem == f"throughput-{found['device']}"
            assert found.get("held", True) and "(broken)" not in training_part(file)
