import inspect
import math
import re
import xml.etree.ElementTree as ElementTree

import numpy
import pytest

from kdcore.reporting import figures, result_table
from kdcore.reporting.figures import drawing
from kdcore.reporting.figures.arrays import array, softmax
from kdcore.reporting.figures.knowledge import energy, similarity
from kdcore.reporting.figures.lines import curve_of
from kdcore.reporting.figures.logits import gradients

WORDS = {"caption": "What is drawn.", "alt": "Marks in the places where they belong.", "name": "fig-made-up"}
CLASSES = [str(digit) for digit in range(4)]
LOGITS = [2.0, -1.0, 0.5, 0.0]


@pytest.fixture
def panels(monkeypatch):
    """The axes of the figure that is drawn next, to be looked at."""
    seen = []
    check = drawing._check_axes
    monkeypatch.setattr(drawing, "_check_axes", lambda canvas: (seen.extend(canvas.axes), check(canvas)))
    return seen


def lengths(panel):
    return [bar.get_width() for bar in panel.patches]


def heights(panel):
    return [bar.get_height() for bar in panel.patches]


DRAWN = [
    "answers", "answer_with_and_without_target", "gradient_per_logit", "curves", "against_temperature", "negative_mass",
    "dot_plot", "learning_curves", "reliability", "point_line_plane", "scatter", "weight_per_sample", "histogram",
    "method_map", "maps", "pareto", "selection_effect",
]  # fmt: skip


class TestEveryFigure:
    @pytest.mark.parametrize("name", DRAWN)
    def test_needs_caption_and_alternative_text(self, name):
        parameters = inspect.signature(getattr(figures, name)).parameters
        if "options" in parameters:  # hands them on to a figure that needs them
            parameters = inspect.signature(figures.curves).parameters
        for word in WORDS:
            assert parameters[word].kind is inspect.Parameter.KEYWORD_ONLY
            assert parameters[word].default is inspect.Parameter.empty

    def test_list_above_is_complete(self):
        makers = [name for name in figures.__all__ if name.islower() and inspect.isfunction(getattr(figures, name))]
        assert sorted([*DRAWN, "calibration", "gradients", "render"]) == sorted(makers)


class TestAnswers:
    def test_hard_logits_and_softened_answers_stand_side_by_side(self, panels):
        figures.answers(LOGITS, 0, CLASSES, temperatures=(1, 4), **WORDS)
        assert [panel.get_title("left") for panel in panels] == ["hard target", "logits", "$T = 1$", "$T = 4$"]
        assert lengths(panels[0]) == [1, 0, 0, 0] and lengths(panels[1]) == LOGITS
        raised = [math.exp(value / 4) for value in LOGITS]
        assert lengths(panels[3]) == pytest.approx([value / sum(raised) for value in raised])

    def test_the_true_class_has_its_own_colour_and_hatching(self, panels):
        figures.answers(LOGITS, 2, CLASSES, **WORDS)
        bars = panels[1].patches
        assert bars[2].get_hatch() and len({bar.get_facecolor() for bar in bars}) == 2

    def test_without_the_true_class_the_others_add_up_to_one(self, panels):
        figures.answer_with_and_without_target(LOGITS, 0, CLASSES, temperature=4, **WORDS)
        whole, rest = map(lengths, panels)
        assert rest[0] == 0 and sum(rest) == pytest.approx(1)
        assert rest[1:] == pytest.approx([value / (1 - whole[0]) for value in whole[1:]])

    def test_large_logits_do_not_overflow(self):
        assert softmax(array([1000.0, 0.0])).tolist() == [1.0, 0.0]

    @pytest.mark.parametrize(
        ("logits", "target", "says"),
        [
            ([1.0, 2.0], 0, r"logits must hold one value for each of 4 classes, got shape \(2,\)"),
            (LOGITS, 4, r"target must lie in 0 .. 3, got 4"),
            ([float("nan")] * 4, 0, "values that are drawn must be finite"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, logits, target, says):
        with pytest.raises(ValueError, match=says):
            figures.answers(logits, target, CLASSES, **WORDS)


class TestGradients:
    def test_cross_entropy_pulls_by_probability_minus_label(self):
        import torch

        def label_loss(student_logits, teacher_logits, targets):
            return torch.nn.functional.cross_entropy(student_logits, targets)

        (pull,) = gradients({"labels": label_loss}, LOGITS, [0.0] * 4, 2).values()
        expected = softmax(array(LOGITS)) - numpy.eye(4)[2]
        assert pull == pytest.approx(expected.tolist(), rel=1e-12)

    def test_a_loss_without_targets_gets_none_and_the_teacher_is_a_constant(self):
        import torch

        student, teacher = torch.tensor(LOGITS, requires_grad=True), torch.zeros(4, requires_grad=True)
        (pull,) = gradients({"mse": lambda s, t: ((s - t) ** 2).sum()}, student, teacher, 0).values()
        assert pull == pytest.approx([2 * value for value in LOGITS]) and student.grad is teacher.grad is None

    def test_bars_show_the_gradients(self, panels):
        losses = {"kd": lambda s, t: ((s - t) ** 2).sum(), "given": [1.0, 2.0, 3.0, 4.0]}
        figures.gradient_per_logit(losses, LOGITS, [0.0] * 4, 1, CLASSES, **WORDS)
        assert heights(panels[0]) == pytest.approx([2 * value for value in LOGITS] + [1, 2, 3, 4])
        assert panels[0].get_xticklabels()[1].get_fontweight() == "bold"


class TestCurves:
    def test_a_band_is_one_sample_deviation_around_the_mean_and_n_is_in_the_caption(self, panels):
        found = figures.curves([1, 2], {"kd": [[1.0, 4.0], [3.0, 4.0], [5.0, 4.0]]}, xlabel="x", ylabel="y", **WORDS)
        assert panels[0].lines[0].get_ydata().tolist() == [3, 4]
        band = panels[0].collections[0].get_paths()[0].vertices
        assert band[band[:, 0] == 1][:, 1].min() == 1 and band[band[:, 0] == 1][:, 1].max() == 5
        assert found.caption == "What is drawn. Bands: ±1 standard deviation, n = 3 seeds."

    def test_one_seed_has_no_band(self, panels):
        found = figures.curves([1, 2], {"a": [[1.0, 2.0]], "b": [3.0, 4.0]}, xlabel="x", ylabel="y", **WORDS)
        assert not panels[0].collections and found.caption == WORDS["caption"]

    def test_limits_are_dashed(self, panels):
        figures.against_temperature([1, 10], {"kd": [1, 0.01]}, ylabel="norm", limits={"$1/T^2$": [1, 0.01]}, **WORDS)
        assert [one.get_linestyle() for one in panels[0].lines] == ["-", "--"]
        assert panels[0].get_xscale() == panels[0].get_yscale() == "log"
        assert panels[0].get_xlabel() == "temperature $T$"

    def test_a_share_has_a_plain_axis(self, panels):
        figures.negative_mass([1, 10], {"kd": [0.1, 0.5]}, **WORDS)
        assert (panels[0].get_xscale(), panels[0].get_yscale()) == ("log", "linear")

    def test_values_that_do_not_fit_the_axis_are_refused(self):
        with pytest.raises(ValueError, match=r"kd must have shape \(2,\) or \(seeds, 2\), got \(3,\)"):
            figures.curves([1, 2], {"kd": [1, 2, 3]}, xlabel="x", ylabel="y", **WORDS)


class TestLearningCurves:
    @staticmethod
    def curve(*accuracies: float, stage: str = "main") -> list[dict]:
        return [
            {"stage": stage, "step": 5 * epoch, "epoch": float(epoch), "terms": {"student/kd": 2.0 * epoch},
             "test": {"accuracy": value}}
            for epoch, value in enumerate(accuracies, start=1)
        ]  # fmt: skip

    def test_rows_are_averaged_over_seeds_in_percent(self, panels, record):
        records = [record("kd", seed, 0, curve=self.curve(0.1 + seed / 10, 0.5)) for seed in (0, 1)]
        found = figures.learning_curves(records, **WORDS)
        assert panels[0].lines[0].get_xdata().tolist() == [1, 2]
        assert panels[0].lines[0].get_ydata().tolist() == pytest.approx([15, 50])
        assert panels[0].get_ylabel() == "accuracy, %" and "n = 2 seeds" in found.caption

    def test_a_term_can_be_followed_too(self, panels, record):
        figures.learning_curves([record("kd", 0, 0, curve=self.curve(0.1, 0.2))], metric="student/kd", **WORDS)
        assert panels[0].lines[0].get_ydata().tolist() == [2, 4]

    def test_a_later_stage_follows_the_one_before(self, record):
        entries = self.curve(0.1, 0.2, stage="hint") + self.curve(0.3, 0.4)
        assert curve_of(record("fitnet", 0, 0, curve=entries), "accuracy") == (
            [1, 2, 3, 4],
            [0.1, 0.2, 0.3, 0.4],
        )

    def test_failed_runs_and_other_rows_are_left_out(self, panels, record, failed):
        records = [
            failed("kd", 1),
            record("kd", 0, 0, curve=self.curve(0.1)),
            record("at", 0, 0, curve=self.curve(0.9)),
        ]
        figures.learning_curves(records, rows=["kd"], **WORDS)
        assert [one.get_label() for one in panels[0].lines] == ["kd"]

    def test_other_epochs_and_no_curve_are_refused(self, record):
        records = [record("kd", 0, 0, curve=self.curve(0.1)), record("kd", 1, 0, curve=self.curve(0.1, 0.2))]
        with pytest.raises(ValueError, match="row kd, seed 1 was judged at other epochs"):
            figures.learning_curves(records, **WORDS)
        with pytest.raises(ValueError, match="no record of kd has a curve of accuracy"):
            figures.learning_curves([record("kd", 0, 0)], rows=["kd"], **WORDS)

    def test_runs_that_do_not_belong_together_are_not_averaged(self, panels, record):
        older = record("kd", 1, 0, curve=self.curve(0.9), revision={"step": 0}, hash="old")
        found = figures.learning_curves([record("kd", 0, 0, curve=self.curve(0.1)), older], **WORDS)
        assert (
            panels[0].lines[0].get_ydata().tolist() == [10] and "Left out: 1 record of `kd` (seed 1)" in found.caption
        )


class TestDotPlot:
    def test_every_seed_is_drawn_and_joined_and_the_mean_has_its_spread(self, panels, three_rows):
        found = figures.dot_plot(result_table(three_rows), **WORDS)
        joined = panels[0].lines[:5]
        assert sorted(one.get_xdata()[0] for one in joined) == pytest.approx([78, 79, 80, 81, 82])  # students, by seed
        assert [label.get_text() for label in panels[0].get_yticklabels()] == ["teacher", "student", "dkd", "kd"]
        assert panels[0].get_xlabel() == "accuracy on test, %" and "n = 5" in found.caption

    def test_the_teacher_can_be_left_out(self, panels, three_rows):
        figures.dot_plot(result_table(three_rows), teacher=False, **WORDS)
        assert len(panels[0].get_yticks()) == 3

    def test_a_failed_row_keeps_its_place(self, panels, three_rows, failed):
        figures.dot_plot(result_table([*three_rows, failed("at", 0)]), **WORDS)
        assert [text.get_text() for text in panels[0].texts] == ["failed"]


class TestCalibration:
    def test_error_by_hand(self):
        # Two bins: confidence 0.6 right in one of two, confidence 0.9 right in both.
        sure, right, share, error = figures.calibration([0.6, 0.6, 0.9, 0.9], [1, 0, 1, 1], bins=5)
        assert (sure, right, share) == (pytest.approx([0.6, 0.9]), [0.5, 1.0], [0.5, 0.5])
        assert error == pytest.approx(0.5 * 0.1 + 0.5 * 0.1)

    def test_full_confidence_falls_into_the_last_bin(self):
        assert figures.calibration([1.0], [1], bins=10) == ([1.0], [1.0], [1.0], 0.0)

    def test_a_network_that_is_as_sure_as_right_has_hardly_any_error(self):
        random = numpy.random.default_rng(0)
        confidence = random.random(50_000)
        assert figures.calibration(confidence, random.random(50_000) < confidence)[3] < 0.01

    @pytest.mark.parametrize(
        ("confidence", "correct", "says"),
        [
            ([0.5], [1, 0], r"equally long, got \(1,\) and \(2,\)"),
            ([1.5], [1], "confidence must lie in 0..1, got 1.5 .. 1.5"),
            ([], [], r"equally long, got \(0,\) and \(0,\)"),
        ],
    )
    def test_bad_input_is_answered_in_a_sentence(self, confidence, correct, says):
        with pytest.raises(ValueError, match=says):
            figures.calibration(confidence, correct)

    def test_the_diagram_names_error_bins_and_examples(self, panels):
        found = figures.reliability({"kd": ([0.6, 0.6, 0.9, 0.9], [1, 0, 1, 1])}, bins=5, **WORDS)
        labels = [text.get_text() for text in panels[0].get_legend().get_texts()]
        assert labels == ["as sure as right", "kd (ECE 10.0\u00a0%)"]
        assert found.caption.endswith("5 bins of equal width, 4 examples.")


class TestSamples:
    def test_a_few_samples_are_all_drawn(self, panels):
        found = figures.weight_per_sample([1.0, 2.0], {"normkd": [1.0, 4.0], "logit-std": [1.0, 1.0]}, **WORDS)
        assert panels[0].lines[0].get_ydata().tolist() == [1, 4] and found.caption.endswith("2 samples.")
        assert panels[0].get_xlabel() == "standard deviation of the teacher's logits"

    def test_of_many_every_kth_is_drawn_and_that_is_said(self, panels):
        values = numpy.arange(1797.0)
        found = figures.scatter(values, {"kd": values}, xlabel="x", ylabel="y", **WORDS)
        assert panels[0].lines[0].get_xdata().tolist() == values[::4].tolist()
        assert found.caption.endswith("450 of 1,797 samples.")

    def test_rows_of_another_length_are_refused(self):
        with pytest.raises(ValueError, match=r"every row must have 2 values, got {'kd': \(3,\)}"):
            figures.scatter([1, 2], {"kd": [1, 2, 3]}, xlabel="x", ylabel="y", **WORDS)

    def test_histograms_share_their_bins(self, panels):
        figures.histogram({"a": [0, 0, 1], "b": [1, 1, 2]}, xlabel="margin", bins=2, **WORDS)
        counts = [patch.get_data() for patch in panels[0].patches]
        assert [one.values.tolist() for one in counts[::2]] == [[2, 1], [0, 3]]
        assert all(one.edges.tolist() == [0, 1, 2] for one in counts) and panels[0].get_ylabel() == "samples"


class TestPointLinePlane:
    def test_energy_adds_squared_channels_up_to_a_largest_of_one(self):
        features = numpy.zeros((2, 2, 2))
        features[0, 0, 0], features[1, 0, 0], features[0, 1, 1] = 3, 4, 5
        features[1, 0, 1] = 1
        assert energy(features).tolist() == [[1.0, 1 / 25], [0.0, 1.0]]

    def test_a_dead_map_stays_dark(self):
        assert not energy(numpy.zeros((3, 2, 2))).any()

    def test_similarity_is_the_cosine_between_examples(self):
        assert similarity([[1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]).ravel().tolist() == pytest.approx(
            [1, math.sqrt(0.5), 0, math.sqrt(0.5), 1, 0, 0, 0, 0]
        )

    def test_a_row_a_network_and_a_column_a_kind_of_knowledge(self, panels):
        import torch

        random = torch.Generator().manual_seed(0)
        made = {name: torch.randn(6, 3, 4, 4, generator=random) for name in ("teacher", "student")}
        figures.point_line_plane(
            {name: value.mean((2, 3)) for name, value in made.items()}, made, made, example=2,
            losses={"values": ("KD", 1.2345)}, **WORDS,
        )  # fmt: skip
        assert [panel.get_title("left") for panel in panels[:3]] == ["values\nKD 1.23", "maps", "relations"]
        assert [panel.get_ylabel() for panel in panels[:6:3]] == ["teacher: logit", "student: logit"]
        assert panels[5].images[0].get_array().shape == (6, 6)

    def test_all_three_must_be_of_the_same_networks(self):
        with pytest.raises(ValueError, match="must be of the same networks"):
            figures.point_line_plane({"teacher": [[1.0]]}, {"student": [[[[1.0]]]]}, {"teacher": [[1.0]]}, **WORDS)


class TestMap:
    TREE = figures.Node(
        "what is matched",
        children=(
            figures.Node("response", "response.html#top", marks={"zhao2026": "2, 5.1"}),
            figures.Node(
                "feature & <map>", "feature.html", (figures.Node("hints"), figures.Node("attention", "at.html"))
            ),
        ),
    )

    def drawn(self, **options) -> figures.Figure:
        return figures.method_map(self.TREE, ("zhao2026", "si2023"), **WORDS, **options)

    def test_every_node_with_a_link_leads_there(self):
        tree = ElementTree.fromstring(self.drawn().svg)
        links = [node.get("href") for node in tree.iter() if node.tag.endswith("}a")]
        assert sorted(links) == ["at.html", "feature.html", "response.html#top"] and self.drawn().linked

    def test_labels_and_marks_are_drawn_without_meeting(self, panels):
        self.drawn()
        boxes = {text.get_text(): text.get_window_extent() for text in panels[0].texts if text.get_text()}
        assert {"what is matched", "hints", "attention", "zhao2026", "si2023", "2, 5.1"} <= set(boxes)
        names = list(boxes)
        assert not [(a, b) for place, a in enumerate(names) for b in names[place + 1 :] if boxes[a].overlaps(boxes[b])]

    def test_the_page_tells_the_theme_to_leave_it_alone(self):
        assert re.search(r':class: ".*\bkd-inline\b.*"', self.drawn()._repr_mimebundle_()["text/markdown"])

    def test_many_leaves_make_it_longer_not_denser(self):
        small, large = (
            figures.method_map(
                figures.Node("top", children=tuple(figures.Node(f"leaf {n}") for n in range(size))), **WORDS
            )
            for size in (5, 50)
        )
        height = [float(re.search(r'height="([\d.]+)pt"', figure.svg)[1]) for figure in (small, large)]
        assert 8 < height[1] / height[0] < 11
