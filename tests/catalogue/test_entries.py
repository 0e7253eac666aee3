"""Entries are read without importing, and a wrong one is answered in a sentence."""

import pytest

from kdcore.catalogue import entries, listed, load, nearest
from kdcore.catalogue.chapters import ALIASES
from kdcore.catalogue.entries import ROOT
from kdcore.catalogue.evidence import Evidence
from kdcore.catalogue.syntax import Tree
from kdcore.entry import Entry, Refusal
from kdcore.survey import KINDS, rows

HOME = "kdcore/losses/response/decoupled.py"


def read(plant, text: str, **others: str) -> list:
    return [entry._replace(module="") for entry in entries(plant({HOME: text} | others))]


class TestEntries:
    def test_position_and_keyword_are_the_same(self, plant):
        text = """
            class DKD: ...

            ENTRIES = (
                Entry("dkd", "loss", DKD, {"alpha": 1.0, "stages": (1, 2)}, "CVPR 2022", 2),
                Entry(key="dkd-small", kind="loss", make=DKD, settings={"alpha": -0.5}, note="a " "b", revision=3),
            )
        """
        assert read(plant, text) == [
            ("dkd", "loss", "DKD", {"alpha": 1.0, "stages": (1, 2)}, "CVPR 2022", 2, ""),
            ("dkd-small", "loss", "DKD", {"alpha": -0.5}, "a b", 3, ""),
        ]

    def test_what_is_left_out_is_what_an_entry_takes(self, plant):
        (found,) = read(plant, 'ENTRIES: tuple[Entry, ...] = (Entry("dkd", "loss", DKD),)')
        assert found[:6] == Entry("dkd", "loss", "DKD")

    def test_nothing_is_imported(self, plant):
        assert read(plant, 'raise SystemExit\nENTRIES = (Entry("dkd", "loss", DKD),)')[0].key == "dkd"

    def test_code_after_the_entries_does_not_matter(self, plant):
        text = 'ENTRIES = (\n    Entry("dkd", "loss", DKD),\n)\n\n\ndef later():\n    return [e for e in ENTRIES]\n'
        assert [entry.key for entry in read(plant, text)] == ["dkd"]

    def test_a_module_that_only_speaks_of_entries_has_none(self, plant):
        assert read(plant, '"""ENTRIES = (Entry("dkd", "loss", DKD),)"""\nprint(other.ENTRIES)\n') == []

    @pytest.mark.parametrize(
        "text",
        [
            'ENTRIES = (Entry("dkd", "loss", DKD, {"alpha": WEIGHT}),)',
            'ENTRIES = (Entry(KEY, "loss", DKD),)',
        ],
    )
    def test_what_is_no_literal_is_refused(self, plant, text):
        with pytest.raises(ValueError, match=r"an Entry of \S+decoupled.py must be written in literals"):
            read(plant, text)

    def test_what_is_no_entry_is_refused(self, plant):
        with pytest.raises(ValueError, match=r"must be a tuple of Entry\(...\), got \*OTHERS"):
            read(plant, "ENTRIES = (*OTHERS,)")

    def test_a_key_stands_once(self, plant):
        other = {"kdcore/losses/feature/hints.py": 'ENTRIES = (Entry("dkd", "loss", Hint),)'}
        with pytest.raises(ValueError, match=r"a key stands once, got 'dkd' in kdcore/losses/feature/hints.py and"):
            read(plant, 'ENTRIES = (Entry("dkd", "loss", DKD),)', **other)

    def test_one_make_needs_differing_settings(self, plant):
        text = 'class DKD: ...\nENTRIES = (Entry("dkd", "loss", DKD), Entry("dkd-again", "loss", DKD, {}))'
        with pytest.raises(ValueError, match="entries of one make need differing settings, got 'dkd' and 'dkd-again'"):
            read(plant, text)

    def test_one_make_by_another_name_is_still_one(self, plant):
        other = "from kdcore.losses.response.decoupled import DKD\n" + 'ENTRIES = (Entry("dkd-again", "loss", DKD),)'
        with pytest.raises(ValueError, match="differing settings"):
            read(plant, 'class DKD: ...\nENTRIES = (Entry("dkd", "loss", DKD),)', **{"kdcore/losses/z.py": other})

    def test_two_classes_of_one_name_are_two(self, plant):
        text = "class DKD: ...\nENTRIES = (Entry({!r}, 'loss', DKD),)"
        assert len(read(plant, text.format("dkd"), **{"kdcore/losses/z.py": text.format("other")})) == 2


class TestProject:
    def test_every_entry_of_the_project_is_sound(self):
        assert entries() and all(entry.kind in KINDS and entry.revision >= 1 for entry in entries())

    def test_kinds_agree_with_the_inventory(self):
        assert not [entry.key for entry in entries() if entry.key in rows() and entry.kind != rows()[entry.key]["kind"]]

    def test_tables_lead_to_the_experiments_that_aliases_name(self):
        experiments = Evidence(Tree(ROOT)).experiments
        tables = [entry for entry in entries() if entry.kind == "table"]
        assert all(experiments.key(entry) == ALIASES.get(entry.key, experiments.key(entry)) for entry in tables)

    def test_loading_gives_what_was_read(self):
        for entry in entries():
            if entry.kind != "table":
                loaded = load(entry.key)
                assert loaded[:2] + loaded[3:] == entry[:2] + entry[3:6], entry.key


class TestLoad:
    def test_the_true_class_comes_with_its_settings(self):
        found = load("dkd")
        assert (found.make.__name__, found.settings) == ("DKD", {})

    def test_a_misspelt_key_is_answered_with_the_nearest(self):
        with pytest.raises(Refusal, match="'dkkd' is no key of the catalogue, the nearest is 'dkd'"):
            load("dkkd")

    def test_listing_does_not_import(self):
        assert listed("dkd").make == "DKD"


class TestNearest:
    def test_the_one_that_is_meant(self):
        assert nearest("logitstd", ["kd", "logit-std", "logit-mse"]) == "logit-std"

    def test_none_where_nothing_comes_near(self):
        assert nearest("zzz", ["kd", "dkd"]) is None
