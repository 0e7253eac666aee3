from __future__ import annotations

import json
import shutil

import pytest

from kdcore.entry import Refusal
from kdcore.experiments.records import publish
from kdcore.experiments.running import run
from kdcore.experiments.store import Store, read
from kdcore.reporting.editions import read_editions


class TestPublish:
    def test_copies_what_was_asked_for_sorted_and_enters_an_edition(self, measured, book):
        records = run(measured(2.0, 1.0))
        made = publish("standin", "first numbers")
        lines = [json.loads(line) for line in (book / "standin.jsonl").read_text().splitlines()]
        assert [(each["row"], each["seed"]) for each in lines] == [
            ("row-1", 0),
            ("row-1", 1),
            ("row-2", 0),
            ("row-2", 1),
        ]
        (edition,) = read_editions(book / "standin.editions.jsonl").entries
        assert edition == made.edition and set(edition.hashes) == {record["hash"] for record in records}
        assert edition.why == "first numbers" and made.new == 4
        assert [each["origin"] for each in read("standin")] == ["published"] * 4

    def test_nothing_published_is_ever_removed_and_every_edition_can_be_recomputed(self, measured, book):
        run(measured(1.0))
        first = publish("standin", "one").edition
        shutil.rmtree(Store().folder)
        run(measured(2.0))
        second = publish("standin", "two").edition
        known = {record["hash"] for record in read("standin", "published")}
        assert set(first.hashes) | set(second.hashes) == known and len(known) == 4
        assert set(first.hashes) < set(second.hashes)

    def test_a_run_that_changed_takes_the_place_of_the_old_one_in_the_next_edition(self, measured, book):
        from dataclasses import replace

        experiment = measured(1.0)
        old = run(experiment)
        publish("standin", "one")
        newer = replace(experiment, rows=(replace(experiment.rows[0], revision=2),))
        new = run(newer)
        edition = publish("standin", "the measure was wrong").edition
        assert set(edition.hashes) == {record["hash"] for record in new}
        assert {record["hash"] for record in old} <= {record["hash"] for record in read("standin", "published")}

    def test_publishing_the_same_again_changes_nothing(self, measured, book):
        run(measured(1.0))
        publish("standin", "one")
        before = {path.name: path.read_bytes() for path in book.iterdir()}
        assert publish("standin", "again").new == 0
        assert {path.name: path.read_bytes() for path in book.iterdir()} == before

    def test_one_profile_may_be_chosen(self, measured, book):
        run(measured(1.0))
        run(measured(1.0), "smoke")
        publish("standin", "quick only", profile="quick")
        assert {record["profile"] for record in read("standin", "published")} == {"quick"}

    def test_changed_settings_stay_at_home(self, measured, book):
        run(measured(1.0))
        run(measured(1.0), overrides={"row-1.value": 5.0})
        assert publish("standin", "plain").new == 2

    def test_other_numbers_under_a_published_hash_are_refused_by_name(self, measured, book):
        run(measured(1.0))
        publish("standin", "one")
        store = Store()
        record = store.read("standin")[0]
        store.write(record | {"last": {"number": 9.0}})
        with pytest.raises(Refusal, match=rf"standin: row-1, seed \d, quick is published .* {record['hash']}"):
            publish("standin", "two")

    @pytest.mark.parametrize("why", ["", "  "])
    def test_a_reason_is_asked_for(self, measured, book, why):
        run(measured(1.0))
        with pytest.raises(Refusal, match="--why must say in a few words"):
            publish("standin", why)

    def test_nothing_to_publish_is_refused(self, book):
        with pytest.raises(Refusal, match=r"standin has no record in .* run it first"):
            publish("standin", "why not")
