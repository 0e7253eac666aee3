"""The page that helps to choose a loss: what it puts where, on rows that were made up."""

import re
import types

from kdcore.catalogue.needs import WORDS, needs
from kdcore.experiments.cost import Cost
from kdcore.publishing.pages.answers import Answers, Made
from kdcore.publishing.pages.choose import SHELVES, choose_page, shelf_of
from kdcore.publishing.pages.links import Links

ROWS = {key: {"id": key, "name": f"The {key} loss", "zh": "损失", "tier": 1, "kind": "loss", "where": []}
        for key in ("alone", "alike", "maps", "critic", "absent")}  # fmt: skip
ANSWERS = Answers(
    ROWS, {key: {"implemented": key != "absent"} for key in ROWS},
    {"alone": (Made("kdcore/losses/a.py", "alone_loss"),)},
    Links({"alone": "executed/03_one", "one-comparison": "executed/03_one"}, frozenset(ROWS)),
)  # fmt: skip
NEEDS = {
    "alone": ("logits",),
    "alike": ("logits",),
    "maps": ("logits", "features"),
    "critic": ("logits", "critic"),
    "absent": ("logits",),
}
CHAPTERS = {"one": types.SimpleNamespace(title="First", notebook="notebooks/03_one.ipynb")}
PAGE = choose_page(
    ANSWERS, NEEDS, {"alone": Cost(1.5, 0, 0), "maps": Cost(2.25, 1234, 0)}, {"maps": [("first", "+1.0 [0.5, 1.5]")]},
    CHAPTERS,
)  # fmt: skip


def under(title):
    """What the page says under a heading."""
    return PAGE.partition(f"## {title} ")[2].partition("\n## ")[0]


class TestPage:
    def test_a_loss_stands_under_the_first_heading_that_is_enough_for_it(self):
        titles = [title for title in re.findall(r"^## (.*?) {zh}", PAGE, re.M)]
        assert titles == ["Scores alone", "Feature maps", "More than a plain step"]
        assert [">alone<" in under(titles[0]), ">maps<" in under(titles[1]), ">critic<" in under(titles[2])] == [
            True
        ] * 3

    def test_what_is_not_here_yet_is_not_offered(self):
        assert "absent" not in PAGE

    def test_cost_and_what_is_learned_beside_stand_with_it(self):
        assert '<td data-label="A step costs">2.25 ×</td>' in under("Feature maps")
        assert '<td data-label="Learns beside">1,234 parameters</td>' in under("Feature maps")
        assert "another task" in under("More than a plain step")

    def test_what_all_of_a_heading_ask_for_is_not_repeated(self):
        assert "alike" in under("Scores alone") and "Asks for" not in under("Scores alone")
        assert '<td data-label="Asks for">logits, features</td>' in under("Feature maps")

    def test_a_gain_leads_to_its_table(self):
        assert '<a href="tables/first.html">first</a> +1.0 [0.5, 1.5]' in under("Feature maps")

    def test_a_column_without_an_entry_is_left_out_of_head_and_rows(self):
        for title in ("Scores alone", "Feature maps", "More than a plain step"):
            head, *rows = (len(re.findall("<t[dh]", row)) for row in re.findall("<tr>.*?</tr>", under(title)))
            assert {head} == set(rows)
        assert "Gain" not in under("Scores alone") and "In code" not in under("Feature maps")

    def test_the_name_to_import_leads_to_the_reference(self):
        assert 'href="api/losses.html#kdcore.losses.a.alone_loss"><code>alone_loss</code>' in under("Scores alone")

    def test_the_comparisons_of_the_chapters_are_linked(self):
        assert "{ref}`First <one-comparison>`" in PAGE


class TestShelves:
    def test_every_loss_of_the_catalogue_has_one(self):
        asked = {key: words for key, words in needs().items() if words}
        assert asked and all(shelf_of(words) in SHELVES for words in asked.values())

    def test_the_last_covers_every_need(self):
        assert SHELVES[-1].covers == set(WORDS)
