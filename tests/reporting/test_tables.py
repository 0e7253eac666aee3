import math
from types import SimpleNamespace

import pytest

from kdcore.reporting import Published, plain_table, result_table
from kdcore.reporting.statistics import tukey_difference

HALF = 2.7764451051977987 * math.sqrt(10 / 4) / math.sqrt(5)  # t interval of five differences, in points


def lines(table):
    return {line.key: line for line in table.lines}


def cells(table):
    return {row[0].strip("`"): row[1:] for row in table.grid.rows}


def experiment(*keys, **published):
    rows = [SimpleNamespace(key=key, settings={}, published=published.get(key)) for key in keys]
    return SimpleNamespace(key="made-up", title="Losses, made up", rows=rows)


class TestNumbers:
    def test_teacher_and_student_stand_first_then_the_experiments_order(self, three_rows):
        table = result_table(three_rows, experiment("student", "kd", "dkd"))
        assert [line.key for line in table.lines] == ["teacher", "student", "kd", "dkd"]

    def test_mean_spread_and_seeds_by_hand(self, three_rows):
        assert cells(result_table(three_rows))["student"][0] == "80.0 ± 1.6 (5)"

    def test_paired_difference_by_hand(self, three_rows):
        found = lines(result_table(three_rows))["kd"].difference
        assert found.mean == pytest.approx(0.10) and found.seeds == (0, 1, 2, 3, 4)
        assert (found.low, found.high) == pytest.approx((0.10 - HALF / 100, 0.10 + HALF / 100), rel=1e-9)

    def test_it_is_shown_in_points_with_its_interval_and_a_mark(self, three_rows):
        assert cells(result_table(three_rows))["kd"][1] == f"+10.0 [+{10 - HALF:.1f}, +{10 + HALF:.1f}] †"

    def test_the_teacher_and_the_reference_have_no_difference(self, three_rows):
        found = cells(result_table(three_rows))
        assert found["teacher"][1] == found["student"][1] == "–"

    def test_another_reference_and_a_choice_of_rows(self, three_rows):
        table = result_table(three_rows, reference="kd", rows=["dkd", "kd"])
        assert [line.key for line in table.lines] == ["kd", "dkd"]
        assert lines(table)["dkd"].difference.mean == pytest.approx(0.04)

    def test_values_are_never_rounded_before_they_are_shown(self, rows):
        table = result_table(rows("kd", (1 / 3, 2 / 3)))
        assert table.value("kd") == 0.5 and table.lines[0].values == {0: 1 / 3, 1: 2 / 3}

    def test_small_spreads_get_a_second_decimal(self, rows):
        records = [*rows("student", (0.9120, 0.9142, 0.9131)), *rows("kd", (0.9201, 0.9231, 0.9222))]
        assert cells(result_table(records))["student"][0] == "91.31 ± 0.11 (3)"

    def test_gluing_takes_mean_and_gain(self, three_rows):
        table = result_table(three_rows)
        assert table.value("kd") == pytest.approx(0.9) and table.gain("kd") == pytest.approx(0.1)
        assert table.gain("dkd", "kd") == pytest.approx(0.04)
        with pytest.raises(KeyError, match="no finished row rkd, only teacher, student, dkd and kd"):
            table.value("rkd")

    def test_sentences_take_what_the_table_shows(self, three_rows):
        table = result_table(three_rows)
        assert table.value_text("dkd") == "94.0 ± 1.6 (5)" and f"{table.gain_text('kd')} †" == cells(table)["kd"][1]
        assert table.gap_text() == f"{100 * table.noise.gap:.1f} points"
        assert result_table([]).gap_text() == "unknown"

    def test_a_loss_is_shown_in_its_unit_and_less_is_better(self, three_rows):
        table = result_table(three_rows, metric="cross_entropy")
        assert (
            table.grid.header[1] == "cross-entropy, test, last epoch, nats"
            and "(nats) on the test split" in table.caption
        )
        assert lines(table)["dkd"].best and not lines(table)["student"].best

    def test_an_unknown_metric_is_shown_and_nothing_is_called_best(self, record):
        records = [
            record(row, s, 0.0, last={"gap": 1e-9 * (s + k + 1)}) for k, row in enumerate("ab") for s in range(3)
        ]
        table = result_table(records, metric="gap", reference="a")
        assert cells(table)["a"][0] == "2 × 10⁻⁹ ± 1 × 10⁻⁹ (3)" and not any(line.best for line in table.lines)

    def test_the_frame_has_every_seed(self, three_rows):
        frame = result_table(three_rows).frame()
        assert len(frame) == 20 and frame.query("row == 'dkd' and seed == 3")["accuracy"].item() == 0.96


class TestVerdicts:
    def test_holm_counts_the_rows_that_are_compared(self, three_rows):
        found = lines(result_table(three_rows))
        raw = {key: found[key].difference.p for key in ("kd", "dkd")}
        small, large = sorted(raw, key=raw.get)
        assert found[small].p == pytest.approx(2 * raw[small]) and found[large].p == pytest.approx(
            max(raw[large], found[small].p)
        )

    def test_a_row_that_does_not_differ_is_left_without_a_mark(self, rows):
        records = [*rows("student", (0.80, 0.81, 0.82)), *rows("kd", (0.81, 0.80, 0.83))]
        table = result_table(records)
        assert lines(table)["kd"].word == "not told apart" and "†" not in table.text()

    def test_a_row_below_is_marked_too(self, rows):
        records = [*rows("student", (0.80, 0.81, 0.82)), *rows("bad", (0.50, 0.511, 0.52))]
        table = result_table(records)
        assert lines(table)["bad"].word == "below" and cells(table)["bad"][1].startswith("−") and "†" in table.text()

    def test_two_seeds_give_an_interval_and_no_verdict(self, rows):
        table = result_table([*rows("student", (0.80, 0.81)), *rows("kd", (0.90, 0.9101))])
        assert lines(table)["kd"].word == "no verdict" and lines(table)["kd"].difference.low is not None
        assert "With fewer than three paired seeds no row is called better." in table.notes

    def test_one_seed_gives_a_difference_and_says_why_no_more(self, rows):
        table = result_table([*rows("student", (0.80,)), *rows("kd", (0.90,))])
        assert cells(table)["kd"] == ("90.0 (1)", "+10.0 [no interval]")
        assert "No interval for `kd`: one common seed." in table.notes
        assert any("no smallest detectable gap" in note for note in table.notes)

    def test_equal_differences_give_no_interval_rather_than_none_wide(self, rows):
        table = result_table([*rows("student", (0.80, 0.81, 0.85)), *rows("kd", (0.90, 0.91, 0.95))])
        assert cells(table)["kd"][1] == "+10.0 [no interval]"
        assert "No interval for `kd`: the difference is the same for every seed." in table.notes

    def test_seeds_that_only_one_row_has_are_named(self, rows):
        table = result_table([*rows("student", (0.80, 0.81, 0.83)), *rows("kd", (0.90, 0.92, 0.91, 0.95))])
        assert lines(table)["kd"].difference.seeds == (0, 1, 2) and lines(table)["kd"].summary.n == 4
        assert "Compared on seeds 0–2 alone, which both rows have: `kd`." in table.notes

    def test_without_the_reference_nothing_is_compared_and_that_is_said(self, rows):
        table = result_table(rows("kd", (0.9, 0.91, 0.92)))
        assert "The reference `student` has no finished run, so nothing is compared." in table.notes
        assert len(table.grid.header) == 2

    def test_the_bootstrap_is_named_where_it_is_used(self, rows):
        records = [
            *rows("student", (0.80, 0.81, 0.82, 0.80, 0.79, 0.83)),
            *rows("kd", (0.9, 0.92, 0.9, 0.91, 0.9, 0.93)),
        ]
        assert "95 % bootstrap intervals" in " ".join(result_table(records, method="bootstrap").notes)


class TestTiesAndBold:
    def test_bold_when_the_lead_exceeds_the_spread(self, three_rows):
        table = result_table(three_rows)
        assert lines(table)["dkd"].best and cells(table)["dkd"][0] == "**94.0 ± 1.6 (5)**"
        assert sum(line.best for line in table.lines) == 1

    def test_the_teacher_is_never_the_best_row(self, three_rows):
        assert not lines(result_table(three_rows))["teacher"].best

    def test_no_bold_among_tied_rows_and_they_are_named(self, rows):
        records = [
            *rows("student", (0.80, 0.81, 0.82)),
            *rows("kd", (0.90, 0.91, 0.92)),
            *rows("dkd", (0.905, 0.915, 0.925)),
        ]
        table = result_table(records)
        assert not any(line.best for line in table.lines)
        assert "Not told apart by these seeds (Tukey, 5 %): `dkd` and `kd`." in table.notes

    def test_rows_that_are_all_apart_are_called_so(self, three_rows):
        note = "Every two rows are told apart (Tukey, 5 %)."
        gaps = (
            4.0,
            math.sqrt((5 / 2 + 5 / 2) / 2),
        )  # the closest rows, in points; student and DKD have spread, KD has none
        assert gaps[0] > tukey_difference(3, 8, gaps[1], 5, 5)
        assert note in result_table(three_rows).notes

    def test_a_gap_below_the_spread_is_not_bold_even_if_tests_tell_the_rows_apart(self, rows):
        wide = [0.80 + 0.001 * (s % 5) for s in range(60)]
        better = [0.8013 + 0.001 * (s % 5) for s in range(60)]
        table = result_table([*rows("student", wide), *rows("kd", better)])
        assert table.noise.groups == (("kd",), ("student",)) and not lines(table)["kd"].best

    def test_no_bold_with_fewer_than_three_seeds(self, rows):
        table = result_table([*rows("student", (0.50, 0.51)), *rows("kd", (0.90, 0.91))])
        assert not any(line.best for line in table.lines)

    def test_no_bold_for_a_row_with_a_failed_seed(self, rows, failed):
        records = [*rows("student", (0.50, 0.51, 0.52, 0.53)), *rows("kd", (0.90, 0.91, 0.92)), failed("kd", 3)]
        assert not any(line.best for line in result_table(records).lines)

    def test_the_smallest_gap_stands_under_the_table(self, three_rows):
        table = result_table(three_rows)
        # KD has the same value for every seed, so eight degrees of freedom are pooled.
        assert table.noise.pooled.freedom == 8 and table.noise.pooled.still == ("kd",)
        assert table.noise.pooled.std == pytest.approx(math.sqrt(5 / 2) / 100)
        said = (
            f"Smallest true gap between two rows that 5 seeds find with 80 % power: {100 * table.noise.gap:.1f} points"
        )
        assert any(note.startswith(said) and "`kd` without spread left out" in note for note in table.notes)


class TestFailures:
    def test_a_failed_row_is_shown_as_failed_with_its_reason(self, three_rows, failed):
        table = result_table([*three_rows, failed("at", 0), failed("at", 1)])
        assert cells(table)["at"] == ("failed", "–")
        assert "`at` failed: at is nan (stage main, step 40, term at) (seeds 0–1)." in table.notes

    def test_a_row_with_one_failed_seed_says_so_and_gets_no_verdict(self, rows, three_rows, failed):
        table = result_table([*three_rows, *rows("at", (0.95, 0.96, 0.94, 0.95)), failed("at", 4)])
        assert cells(table)["at"][0] == "95.0 ± 0.8 (4), 1 failed"
        assert lines(table)["at"].word == "no verdict" and lines(table)["at"].p is None

    def test_a_row_that_was_not_run_is_shown_as_such(self, three_rows):
        assert cells(result_table(three_rows, experiment("student", "kd", "rkd")))["rkd"] == ("not run", "–")

    def test_a_reason_cannot_break_the_table(self, rows, failed):
        nasty = failed("at", 0) | {"failure": {"reason": "svd | *failed* <b>\nat `x` $y$"}}
        table = result_table([*rows("student", (0.5, 0.6)), nasty])
        assert r"svd \| \*failed\* \<b\> at \`x\` \$y\$" in " ".join(table.notes)
        assert "&lt;b&gt;" in table._repr_mimebundle_()["text/html"]


class TestWhatIsNotMixed:
    def test_older_records_are_marked_and_not_compared(self, rows):
        records = [*rows("student", (0.80, 0.81, 0.82)), *rows("kd", (0.90, 0.91, 0.92))]
        table = result_table(records, outdated=lambda revision: ["kd"] if "kd" in revision else [])
        assert [row[0] for row in table.grid.rows] == ["`student`", "`kd` ‡"]
        assert lines(table)["kd"].difference is None and not lines(table)["kd"].best
        assert "‡ `kd` is not compared: its records are of an older revision of kd." in table.notes

    def test_what_the_store_could_not_read_is_named(self, rows):
        class Found(list):
            problems = ("kd.jsonl, line 3 is skipped: it is no JSON, perhaps cut off",)

        assert "Left out: kd.jsonl, line 3 is skipped" in result_table(Found(rows("kd", (0.9,)))).notes[-1]

    def test_a_foreign_record_is_named(self, rows, record):
        table = result_table([*rows("kd", (0.9,)), record("kd", 1, 0.1, experiment="other")], experiment("kd"))
        assert "Left out: record kd-1 is of experiment `other`." in table.notes and table.value("kd") == 0.9

    def test_committed_and_local_rows_are_told_apart(self, rows):
        records = [*rows("student", (0.8, 0.81), origin="published"), *rows("kd", (0.9, 0.91))]
        notes = result_table(records).notes
        assert "Committed record: `student`." in notes and "This build: `kd`." in notes
        assert ", this build." in result_table(rows("kd", (0.9, 0.91))).caption

    def test_a_teacher_from_another_experiment_comes_first_and_is_no_part_of_the_edition(self, rows):
        teacher = rows("big", (0.99,), experiment="teachers")
        with_teacher, without = (result_table(rows("kd", (0.9,)), teacher=taught) for taught in (teacher, ()))
        assert cells(with_teacher)["teacher"][0] == "99.0 (1)" and with_teacher.edition == without.edition
        with pytest.raises(ValueError, match="teacher must be the records of one row, got big and small"):
            result_table(rows("kd", (0.9,)), teacher=[*teacher, *rows("small", (0.9,), experiment="teachers")])


PUBLISHED = {
    "student": {"value": 0.7182, "citation": "zhao2026", "protocol": "CIFAR-100, last epoch"},
    "kd": Published(0.7445, "zhao2026", "CIFAR-100, last epoch"),
    "dkd": {"accuracy": {"value": 0.7707, "citation": "zhao2022dkd", "protocol": "best of 240", "std": 0.001}},
}


class TestPublishedValues:
    def test_they_have_a_column_of_their_own_with_citation_and_protocol(self, three_rows):
        table = result_table(three_rows, published=PUBLISHED)
        assert table.grid.header[-1] == "published by others, %"
        found = cells(table)
        assert found["kd"][-1] == "74.45 {cite:p}`zhao2026` a" and found["teacher"][-1] == "–"
        assert found["dkd"][-1] == "77.07 ± 0.1 {cite:p}`zhao2022dkd` b"
        assert "Published a: {cite:t}`zhao2026`, CIFAR-100, last epoch." in table.notes
        assert "Published b: {cite:t}`zhao2022dkd`, best of 240." in table.notes

    def test_one_source_of_all_is_cited_in_the_head(self, three_rows):
        table = result_table(three_rows, published={key: PUBLISHED[key] for key in ("student", "kd")})
        assert table.grid.header[-1] == "published by others, % {cite:p}`zhao2026`"
        assert cells(table)["kd"][-1].split()[0] == "74.45" and "cite" not in cells(table)["kd"][-1]

    def test_ours_are_the_same_with_and_without_them(self, three_rows):
        ours, beside = (result_table(three_rows, published=values) for values in ({}, PUBLISHED))
        assert [line.summary for line in ours.lines] == [line.summary for line in beside.lines]
        assert [row[:3] for row in beside.grid.rows] == list(ours.grid.rows)

    def test_the_experiments_own_are_taken_and_those_of_other_metrics_left(self, three_rows):
        about = experiment("student", "kd", "dkd", **PUBLISHED)
        assert cells(result_table(three_rows, about))["student"][-1].startswith("71.82")
        only_accuracy = experiment("student", "kd", "dkd", dkd=PUBLISHED["dkd"])
        assert len(result_table(three_rows, only_accuracy, metric="cross_entropy").grid.header) == 3

    def test_a_number_without_a_source_is_refused(self, three_rows):
        with pytest.raises(ValueError, match="a published number needs its citation and protocol, got"):
            result_table(three_rows, published={"kd": {"value": 0.7}})

    def test_best_epochs_stand_only_beside_published_best_epochs(self, three_rows):
        with pytest.raises(ValueError, match="best epochs are shown only beside published numbers"):
            result_table(three_rows, which="best")
        table = result_table(three_rows, which="best", published=PUBLISHED)
        assert "best epoch" in table.caption and table.value("kd") == pytest.approx(0.91)


class TestCaption:
    def test_names_metric_split_profile_device_seeds_and_edition(self, three_rows):
        table = result_table(three_rows, experiment("student"))
        assert table.caption == (
            "Losses, made up: accuracy on the test split, last epoch, mean ± standard deviation over seeds (n). "
            f"Profile quick, cpu, seeds 0–4, edition 2026-03-05 ({table.edition.short}), this build."
        )

    def test_the_header_names_metric_and_split(self, three_rows):
        assert result_table(three_rows, split="validation").grid.header[:2] == (
            "row",
            "accuracy, validation, last epoch, %",
        )

    def test_a_name_that_no_label_can_have_is_refused(self, three_rows):
        with pytest.raises(ValueError, match=r"name must be small letters, digits and single hyphens.* got 'Tab 1'"):
            result_table(three_rows, name="Tab 1")

    def test_labels_take_the_place_of_keys(self, three_rows):
        table = result_table(three_rows, labels={"kd": "Hinton's *KD*"})
        assert r"Hinton's \*KD\*" in [row[0] for row in table.grid.rows]


class TestDisplay:
    def test_the_book_gets_a_directive_with_a_name(self, three_rows):
        found = result_table(three_rows, published=PUBLISHED)._repr_mimebundle_()["text/markdown"]
        assert found.startswith("~~~{table} made-up: accuracy") and '\n:name: "tab-made-up"\n' in found
        assert "~~~{container} kd-note" in found and "{cite:p}`zhao2026`" in found

    def test_a_notebook_gets_html_and_a_terminal_text(self, three_rows):
        found = result_table(three_rows)._repr_mimebundle_()
        assert "<caption>" in found["text/html"] and "<strong>94.0 ± 1.6 (5)</strong>" in found["text/html"]
        assert "dkd" in found["text/plain"] and "<" not in found["text/plain"]

    def test_every_table_offers_its_files(self, three_rows):
        table = result_table(three_rows)
        found = table._repr_mimebundle_()["text/markdown"]
        assert [name.rpartition(".")[2] for name in table.files()] == ["csv", "tex", "bib", "json"]
        assert all(f'download="{name}"' in found and table.edition.short in name for name in table.files())

    def test_files_can_be_written(self, three_rows, tmp_path):
        table = result_table(three_rows)
        assert {path.name: path.read_text("utf-8") for path in table.save(tmp_path)} == table.files()

    def test_no_records_at_all_are_a_table_too(self):
        table = result_table([], experiment("student", "kd"))
        assert cells(table)["kd"] == ("not run",) and "edition of no records" in table.caption


class TestPlainTable:
    def test_numbers_are_rounded_where_they_are_shown_only(self):
        table = plain_table(
            ["loss $L$", "value"], [["`kd`", 1 / 3], ["zero", 0.0]], caption="Values", name="tab-values"
        )
        assert table.grid.rows == (("`kd`", "0.3333"), ("zero", "0")) and table.grid.align == "lr"
        assert table.csv() == "loss L,value\nkd,0.3333333333333333\nzero,0.0\n"

    def test_truth_values_gaps_and_tensors_are_shown(self):
        import torch

        table = plain_table(["a", "b", "c"], [[True, None, torch.tensor(2.5)]], caption="Mixed", name="tab-mixed")
        assert table.grid.rows == (("yes", "–", "2.5"),)

    def test_words_can_be_taken_letter_by_letter(self):
        table = plain_table(["what"], [["a*b | c"]], caption="Words", name="tab-words", verbatim=True)
        assert table.grid.rows == ((r"a\*b \| c",),) and "a*b | c" in table.text()

    def test_latex_and_html_are_there(self):
        table = plain_table(["x"], [[1]], caption="One & only", name="tab-one", notes=["A note."])
        assert r"\caption{One \& only}" in table.latex() and r"\label{tab:one}" in table.latex()
        assert "A note." in table._repr_mimebundle_()["text/html"]

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            ({"caption": " "}, "a table needs a caption"),
            ({"name": "tab_one"}, "name must be small letters"),
            ({"rows": [[1, 2]]}, r"every row must have 1 cells as the header has, got \(1, 2\)"),
        ],
    )
    def test_bad_requests_are_answered_in_a_sentence(self, change, says):
        with pytest.raises(ValueError, match=says):
            plain_table(**{"header": ["x"], "rows": [[1]], "caption": "One", "name": "tab-one"} | change)


class TestAgain:
    """Under each table stands how it is made again, and a figure of its rows says it too."""

    def test_a_table_ends_with_its_command(self, rows):
        shown = result_table(rows("kd", (0.8, 0.9)))._repr_mimebundle_()["text/markdown"]
        assert "Again: `kdcore run made-up --profile quick --device cpu`." in shown

    def test_a_figure_of_its_rows_says_profile_device_seeds_edition_origin_and_command(self, rows):
        from kdcore.reporting import figures

        table = result_table(rows("kd", (0.8, 0.9)))
        said = figures.dot_plot(table, caption="Rows.", alt="Two dots on one row.", name="fig-rows").caption
        assert f"Profile quick, cpu, seeds 0–1, edition {table.edition}, this build; again: `kdcore run" in said


class TestUsualMethod:
    """A pair of two or three seeds has next to nothing to tell its spread by; many such pairs together have."""

    def made(self, rows, count, seeds):
        steady = {f"row-{n}": tuple(0.8 + n / 100 + 0.001 * ((3 * seed + n * seed) % 5) for seed in range(seeds))
                  for n in range(count)}  # fmt: skip
        return [one for key, values in steady.items() for one in rows(key, values)]

    @pytest.mark.parametrize(
        ("count", "seeds", "method"),
        [(4, 2, "pooled"), (8, 3, "pooled"), (8, 4, "pooled"), (3, 2, "t"), (7, 3, "t"), (9, 5, "t"), (9, 1, "t")],
    )
    def test_few_seeds_of_many_rows_are_pooled(self, rows, count, seeds, method):
        assert result_table(self.made(rows, count, seeds), reference="row-0").method == method

    def test_a_teacher_and_a_row_of_one_seed_count_for_nothing(self, rows):
        records = [*self.made(rows, 3, 2), *rows("teacher", (0.9, 0.91)), *rows("kd", (0.9,))]
        assert result_table(records, reference="row-0").method == "t"

    def test_what_is_asked_for_is_taken(self, rows):
        assert result_table(self.made(rows, 4, 2), reference="row-0", method="t").method == "t"
