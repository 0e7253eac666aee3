"""What a loss needs is read from its code, branches that its settings rule out left aside."""

import pytest

from kdcore.catalogue.entries import entries
from kdcore.catalogue.needs import WORDS, needs, needs_of
from kdcore.catalogue.syntax import Tree

MODULE = """
from kdcore.types import Entry, Method
from kdcore.losses.helpers import pooled

class Base(Method):
    def losses(self, student, teacher, batch):
        return self.matched(student, teacher)

class Made(Base):
    def __init__(self, *, joint=False, sized=True):
        ...
    def matched(self, student, teacher):
        size = student.logits.view(2, 3) if self.other else len(batch.index)
        return pooled(student) + _own(teacher)
    def preparation(self, student, teacher):
        if self.joint:
            return []
        return [1]
    def critic_losses(self, student, teacher, batch):
        if not self.sized:
            return batch.targets
        return {}

def _own(said):
    return said.view("strong").embedding

ENTRIES = (Entry("a", "loss", Made, {}, ""), Entry("b", "loss", Made, {"joint": True, "sized": False}, ""))
"""
HELPERS = "def pooled(said):\n    return said.features[0].mean()\n"


@pytest.fixture
def tree(tmp_path):
    (tmp_path / "kdcore" / "losses").mkdir(parents=True)
    (tmp_path / "kdcore" / "losses" / "made.py").write_text(MODULE)
    (tmp_path / "kdcore" / "losses" / "helpers.py").write_text(HELPERS)
    return Tree(tmp_path)


class TestOneLoss:
    def test_what_its_methods_helpers_and_bases_read_is_needed(self, tree):
        one, _ = entries(tree.root)
        assert needs_of(one, tree) == ("logits", "features", "embedding", "views", "own stage")

    def test_a_switch_of_the_entry_rules_branches_out(self, tree):
        _, other = entries(tree.root)
        assert needs_of(other, tree) == ("logits", "labels", "features", "embedding", "views")


class TestOurs:
    FOUND = needs()

    @pytest.mark.parametrize(
        ("key", "words"),
        [
            ("kd", ("logits",)),
            ("dkd", ("logits", "labels")),
            ("at", ("features",)),
            ("fitnet", ("logits", "features", "own stage")),
            ("fitnet-joint", ("features",)),
            ("crld", ("logits", "views")),
            ("gan-kd", ("logits", "critic")),
        ],
    )
    def test_of_losses_that_everybody_knows(self, key, words):
        assert self.FOUND[key] == words

    def test_words_come_in_one_order(self):
        for words in self.FOUND.values():
            assert sorted(words, key=WORDS.index) == list(words)
