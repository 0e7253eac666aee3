"""What counts as implemented, and above all what does not."""

import json
import subprocess
import sys

import pytest

from kdcore.catalogue import coverage, why
from kdcore.catalogue.coverage import FIELDS
from kdcore.entry import Refusal

MODULE = "kdcore/losses/response/decoupled.py"
TEST = "tests/losses/response/test_decoupled.py"
NOTEBOOK = "notebooks/03_response.ipynb"

LOSS = '''
    from kdcore.types import Entry, Method

    def dkd_loss(student_logits, teacher_logits, targets, *, alpha=1.0):
        """Match."""
        return alpha * (student_logits - teacher_logits).square().mean()

    class DKD(Method):
        """Puts it into a training."""

        def losses(self, student, teacher, batch):
            return {"dkd": dkd_loss(student.logits, teacher.logits, batch.targets)}

    ENTRIES = (Entry("dkd", "loss", DKD, {}, "a note"),)
'''
TESTS = """
    from kdcore.losses import dkd_loss

    class TestDKD:
        def test_value_worked_by_hand(self):
            assert dkd_loss(1, 1, 0) == 0
"""
FIXTURE = "@pytest.fixture\ndef value():\n    return dkd_loss(1, 1, 0)\n\n"
MARK = "@pytest.mark.parametrize('loss', [dkd_loss])\n"
CELLS = [("markdown", "# Decoupled"), "from kdcore.losses import dkd_loss", "value = dkd_loss(a, b, c)"]


def about(*lines: str, name: str = "TestDKD", before: str = "", test: str = "def test_it(self):") -> str:
    """A test class of one test."""
    return f"{before}class {name}:\n    {test}\n" + "".join(f"        {line}\n" for line in lines)


def whole(**changes) -> dict:
    return {MODULE: LOSS, TEST: TESTS, NOTEBOOK: CELLS} | changes


class TestLoss:
    def test_code_test_and_cell_make_it_implemented(self, plant):
        row = coverage(plant(whole())).row("dkd")
        assert (row.implemented, row.module, row.test, row.notebook) == (True, MODULE, f"{TEST}::TestDKD", NOTEBOOK)

    @pytest.mark.parametrize(
        "body",
        [
            "class DKD(Method):\n    pass\nENTRIES = (Entry('dkd', 'loss', DKD),)",
            "class DKD(Method):\n    '''Only words.'''\nENTRIES = (Entry('dkd', 'loss', DKD),)",
            "class DKD(Method):\n    alpha = 1.0\nENTRIES = (Entry('dkd', 'loss', DKD),)",
            "class DKD(Method):\n    def losses(self, *a):\n        ...\nENTRIES = (Entry('dkd', 'loss', DKD),)",
            "def dkd_loss(*logits):\n    '''Only words.'''",
            "def dkd_loss(*logits):\n    pass",
            "def dkd_loss(*logits):\n    return 0.0",
            "def dkd_loss(*logits):\n    raise NotImplementedError",
            "def dkd_loss(*logits):\n    raise NotImplementedError('later')",
            "# dkd_loss and DKD belong here",
            "names = ['dkd', 'dkd_loss']",
            "def _dkd_loss(a, b):\n    return a - b",
            "def other():\n    def dkd_loss(a, b):\n        return a - b\n    return dkd_loss",
        ],
    )
    def test_no_body_no_loss(self, plant, body):
        row = coverage(plant(whole(**{MODULE: f"from kdcore.types import Entry, Method\n{body}\n"}))).row("dkd")
        assert not row.implemented and row.module is None

    @pytest.mark.parametrize(
        "tests",
        [
            "# TestDKD: assert dkd_loss",
            about("dkd_loss(1, 1, 0)"),
            about("dkd_loss(1, 1, 0)", "assert True"),
            about("assert 'dkd_loss' in ('dkd_loss', 'dkd')"),
            about("assert other_loss(1, 1, 0) == 0  # dkd_loss"),
            about("assert dkd_loss(1, 1, 0) == 0", test="@pytest.mark.skip(reason='later')\n    def test_it(self):"),
            about("assert dkd_loss(1, 1, 0) == 0", test="def helper(self):"),
            about("assert dkd_loss(1, 1, 0) == 0", name="TestKD"),
            "def test_it():\n    assert dkd_loss(1, 1, 0) == 0",
        ],
    )
    def test_no_assertion_of_its_own_no_test(self, plant, tests):
        row = coverage(plant(whole(**{TEST: tests}))).row("dkd")
        assert not row.implemented and row.test is None and row.module == MODULE

    def test_a_test_elsewhere_is_not_the_mirrored_one(self, plant):
        row = coverage(plant(whole(**{TEST: None, "tests/data/test_decoupled.py": TESTS}))).row("dkd")
        assert not row.implemented and row.test is None

    @pytest.mark.parametrize(
        "tests",
        [
            about("with pytest.raises(ValueError):", "    dkd_loss(1, 1, 0)"),
            about("torch.testing.assert_close(dkd_loss(1, 1, 0), 0)"),
            about("assert torch.autograd.gradcheck(dkd_loss, (1, 1, 0))", name="TestDkdLoss"),
            about("assert value == 0", before=FIXTURE, test="def test_it(self, value):"),
            about("assert loss(1, 1, 0) == 0", before=MARK, test="def test_it(self, loss):"),
            about("same(dkd_loss)", before="def same(loss):\n    assert loss(1, 1, 0) == 0\n\n"),
        ],
    )
    def test_an_assertion_may_take_many_forms(self, plant, tests):
        assert coverage(plant(whole(**{TEST: tests}))).row("dkd").implemented

    @pytest.mark.parametrize(
        "path", ["tests/losses/response/decoupled/test_values.py", "tests/losses/test_response.py"]
    )
    def test_tests_may_be_split_or_not_yet_be(self, plant, path):
        assert coverage(plant(whole(**{TEST: None, path: TESTS}))).row("dkd").test == f"{path}::TestDKD"

    @pytest.mark.parametrize(
        "cells",
        [
            ["from kdcore.losses import dkd_loss", "print('dkd_loss(a, b, c)')"],
            ["from kdcore.losses import dkd_loss", "# dkd_loss(a, b, c)"],
            ["from kdcore.losses import dkd_loss", ("markdown", "`dkd_loss(a, b, c)`")],
            ["from kdcore.losses import dkd_loss", "losses = {'DKD': dkd_loss}"],
            ["def dkd_loss(a, b, c):\n    return 0", "dkd_loss(a, b, c)"],
            ["from kdcore.losses import dkd_loss", "dkd_loss = print", "dkd_loss(a, b, c)"],
            ["from elsewhere import dkd_loss", "dkd_loss(a, b, c)"],
            ["dkd_loss(a, b, c)"],
        ],
    )
    def test_only_a_call_of_ours_in_a_code_cell_counts(self, plant, cells):
        row = coverage(plant(whole(**{NOTEBOOK: cells}))).row("dkd")
        assert not row.implemented and row.notebook is None and row.test is not None

    @pytest.mark.parametrize(
        "cells",
        [
            ["from kdcore import losses", "losses.dkd_loss(a, b, c)"],
            ["import kdcore.losses", "kdcore.losses.dkd_loss(a, b, c)"],
            ["from kdcore.losses import dkd_loss as match", "%matplotlib inline\nmatch(a, b, c)"],
            ["from kdcore.losses.response.decoupled import DKD", "DKD().losses(s, t, b)"],
            ["from kdcore.losses import dkd_loss", "[dkd_loss(a, b, c) for c in range(3)]"],
        ],
    )
    def test_a_call_may_take_many_forms(self, plant, cells):
        assert coverage(plant(whole(**{NOTEBOOK: cells}))).row("dkd").implemented

    def test_a_cell_of_another_chapter_does_not_count(self, plant):
        root = plant(whole(**{NOTEBOOK: None, "notebooks/01_foundations.ipynb": CELLS}))
        assert not coverage(root).row("dkd").implemented

    def test_function_alone_needs_no_entry(self, plant):
        code = "def dkd_loss(a, b, c):\n    return a - b\n"
        assert coverage(plant(whole(**{MODULE: code}))).row("dkd").implemented


class TestSharedClass:
    """Two rows with one class and differing settings are told apart by test names and by the settings of calls."""

    CODE = """
        from kdcore.types import Entry, Method

        class Answers(Method):
            def losses(self, student, teacher, batch):
                return {"answers": student.logits - teacher.logits}

        ENTRIES = (Entry("ce-soft", "loss", Answers), Entry("ce-teacher-hard", "loss", Answers, {"hard": True}))
    """
    TESTS = """
        class TestCESoft:
            def test_it(self):
                assert Answers()
    """

    def rows(self, plant, cell: str) -> tuple[bool, bool]:
        home = {"kdcore/losses/response/labels.py": self.CODE, "tests/losses/response/test_labels.py": self.TESTS}
        cells = ["from kdcore.losses.response.labels import Answers", cell]
        found = coverage(plant(home | {NOTEBOOK: cells}))
        return found.row("ce-soft").implemented, found.row("ce-teacher-hard").implemented

    def test_one_test_class_does_not_serve_both(self, plant):
        assert self.rows(plant, "Answers(); Answers(hard=True)") == (True, False)

    def test_a_call_with_the_other_settings_does_not_count(self, plant):
        assert self.rows(plant, "Answers(hard=True)") == (False, False)


class TestScheme:
    HOME, CHECKS = "kdcore/schemes/offline/uncertainty.py", "tests/schemes/offline/test_uncertainty.py"
    CODE = """
        class Unix(Scheme):
            def stages(self):
                return [Stage("main", [])]

        ENTRIES = (Entry("unix-kd", "scheme", Unix),)
    """
    TESTS = """
        class TestUnix:
            def test_gradient_reaches_the_student_alone(self):
                assert Unix(1, 2).teacher.grad is None

            def test_resumed_run_is_the_undisturbed_one(self):
                assert run(Unix(1, 2)) == resumed(Unix(1, 2))
    """
    CELLS = ("from kdcore.schemes.offline.uncertainty import Unix", "scheme = Unix(student, teacher)")

    def row(self, plant, **changes):
        files = {self.HOME: self.CODE, self.CHECKS: self.TESTS, NOTEBOOK: list(self.CELLS)} | changes
        return coverage(plant(files)).row("unix-kd")

    def test_class_tests_and_cell_make_it_implemented(self, plant):
        assert self.row(plant).implemented

    @pytest.mark.parametrize(
        "test", ["test_gradient_reaches_the_student_alone", "test_resumed_run_is_the_undisturbed_one"]
    )
    def test_routing_and_resume_are_both_needed(self, plant, test):
        row = self.row(plant, **{self.CHECKS: self.TESTS.replace(test, f"no_{test}")})
        assert not row.implemented and row.test is None

    def test_a_helper_of_conftest_may_do_the_asserting(self, plant):
        tests = self.TESTS.replace(
            "assert run(Unix(1, 2)) == resumed(Unix(1, 2))", "proof(1).resumes(lambda: Unix(1, 2))"
        )
        helper = """
            class Proof:
                def resumes(self, make):
                    self.same(make(), make())

                def same(self, one, other):
                    {}
        """
        for body, counts in (("assert one == other", True), ("return one == other", False)):
            changes = {self.CHECKS: tests, "tests/schemes/conftest.py": helper.format(body)}
            assert self.row(plant, **changes).implemented is counts

    def test_running_the_experiment_that_names_it_is_training_it(self, plant):
        experiment = """
            def rows():
                return (Row("unix", settings={"scheme": "unix-kd"}),)

            RESPONSE = Experiment("response", "Answers", rows())
            OTHER = Experiment("other", "Others", (Row("kd"),))
        """
        home = {"kdcore/experiments/response.py": experiment}
        cell = "from kdcore.experiments import run"
        assert self.row(plant, **home, **{NOTEBOOK: [cell, "run('response', profile=profile)"]}).implemented
        assert not self.row(plant, **home, **{NOTEBOOK: [cell, "run('other', profile=profile)"]}).implemented


class TestClaim:
    HOME, CHECKS = "kdcore/claims/mechanism.py", "tests/claims/test_mechanism.py"
    CODE = """
        DARK = Claim(
            "dark-knowledge", statement="It helps.", by="Hinton", against="It does not.", experiment=E, rule=rule
        )
    """
    TESTS = """
        @pytest.mark.parametrize("word", ["supported", "contradicted", "undecided"])
        class TestDarkKnowledge:
            def test_rule_can_say(self, word):
                assert DARK.rule(records(word)).word == word
    """
    CELLS = ("from kdcore.claims.mechanism import DARK", "DARK.judge(profile, device)")

    def row(self, plant, **changes):
        files = {self.HOME: self.CODE, self.CHECKS: self.TESTS, "notebooks/02_mechanism.ipynb": list(self.CELLS)}
        return coverage(plant(files | changes)).row("dark-knowledge")

    def test_claim_verdicts_and_cell_make_it_implemented(self, plant):
        assert self.row(plant).implemented

    @pytest.mark.parametrize("word", ["supported", "contradicted", "undecided"])
    def test_every_verdict_must_be_expected(self, plant, word):
        assert not self.row(plant, **{self.CHECKS: self.TESTS.replace(f'"{word}"', '"perhaps"')}).implemented

    @pytest.mark.parametrize(
        "code", ['# Claim("dark-knowledge")', 'DARK = Claim("dark-knowledge")', 'DARK = "dark-knowledge"']
    )
    def test_a_name_is_no_claim(self, plant, code):
        assert self.row(plant, **{self.HOME: code}).module is None

    def test_claims_asked_for_by_key_count(self, plant):
        tests = self.TESTS.replace("DARK.rule", 'claim("dark-knowledge").rule')
        cells = ["from kdcore.claims import claim", 'claim("dark-knowledge").judge(profile, device)']
        assert self.row(plant, **{self.CHECKS: tests, "notebooks/02_mechanism.ipynb": cells}).implemented

    def test_a_class_for_several_claims_is_nobody_s_own(self, plant):
        code = self.CODE + self.CODE.replace("DARK", "LIGHT").replace("dark", "light")
        tests = self.TESTS.replace("TestDarkKnowledge", "TestVerdicts")
        both = tests.replace("DARK.rule(records(word)).word", "DARK.rule(records(word)).word == LIGHT.rule(0).word")
        assert self.row(plant, **{self.HOME: code, self.CHECKS: tests}).implemented
        assert not self.row(plant, **{self.HOME: code, self.CHECKS: both}).implemented

    def test_importing_a_claim_shows_nothing(self, plant):
        assert self.row(plant, **{"notebooks/02_mechanism.ipynb": [self.CELLS[0]]}).notebook is None

    def test_two_rows_of_mechanism_are_told_in_foundations(self, plant):
        code = self.CODE.replace("dark-knowledge", "t2-gradient-scaling")
        tests = self.TESTS.replace("TestDarkKnowledge", "TestT2GradientScaling")
        files = {self.HOME: code, self.CHECKS: tests, "notebooks/01_foundations.ipynb": list(self.CELLS)}
        assert coverage(plant(files)).row("t2-gradient-scaling").implemented


class TestTable:
    CODE = """
        TABLE = Experiment(
            "zhao2026-table1", "Table 1", (Row("kd", "kdcore.experiments.measures:limit", {"methods": [["kd", {}]]}),)
        )
        ENTRIES = (Entry("zhao-table1", "table", TABLE),)
    """
    METHOD = """
        class KD(Method):
            def losses(self, student, teacher, batch):
                return {"kd": student.logits}

        ENTRIES = (Entry("kd", "loss", KD),)
    """

    def row(self, plant, key: str = "zhao-table1", **changes):
        files = {
            "kdcore/experiments/response.py": self.CODE,
            "kdcore/experiments/measures.py": "def limit(seed):\n    return {'value': seed}",
            "kdcore/losses/response/distillation.py": self.METHOD,
        }
        return coverage(plant(files | changes)).row(key)

    def test_an_experiment_whose_rows_resolve(self, plant):
        row = self.row(plant)
        assert row.implemented and row.module == "kdcore/experiments/response.py"

    def test_either_name_finds_it(self, plant):
        assert self.row(plant, "zhao2026-table1").id == "zhao-table1"

    def test_without_an_entry_the_experiment_of_that_name_is_taken(self, plant):
        code = self.CODE.replace('ENTRIES = (Entry("zhao-table1", "table", TABLE),)', "")
        assert self.row(plant, **{"kdcore/experiments/response.py": code}).implemented

    @pytest.mark.parametrize(
        ("old", "new"),
        [
            ("measures:limit", "measures:gone"),
            ("experiments.measures", "experiments.gone"),
            ('[["kd", {}]]', '[["gone", {}]]'),
            ("Row(", "dict("),
        ],
    )
    def test_a_row_that_does_not_resolve(self, plant, old, new):
        assert not self.row(plant, **{"kdcore/experiments/response.py": self.CODE.replace(old, new)}).implemented

    def test_a_page_must_be_there(self, plant):
        code = 'ENTRIES = (Entry("eval-protocol", "table", "book/protocol.md"),)'
        home = {"kdcore/experiments/pages.py": code}
        assert not self.row(plant, "eval-protocol", **home).implemented
        assert self.row(plant, "eval-protocol", **home, **{"book/protocol.md": "# Protocol"}).implemented


class TestCoverage:
    def test_an_empty_project_has_nothing(self, tmp_path):
        found = coverage(tmp_path)
        assert found.counts() == (0, 318) and found.named_in_passing() == (0, 57)
        assert found.counts("foundations", "response") == (0, 21)
        assert len(found.additions) == 11

    def test_json_has_a_row_for_each_of_the_inventory(self, plant):
        plain = json.loads(coverage(plant(whole())).json())
        assert len(plain["rows"]) == 375 and all(tuple(row) == FIELDS for row in plain["rows"])
        assert [row["id"] for row in plain["rows"] if row["implemented"]] == ["dkd"]

    def test_why_says_what_is_missing(self, plant):
        assert why("dkd", plant(whole())).splitlines() == [
            "dkd (loss, chapter response, tier 1) is implemented.",
            f"There is DKD and dkd_loss in {MODULE}.",
            f"There is the test class {TEST}::TestDKD.",
            f"There is a code cell of {NOTEBOOK} that calls it.",
        ]
        missing = [line for line in why("crd", plant(whole())).splitlines() if line.startswith("Missing: ")]
        assert "Missing: a class TestCrd in the mirrored test module, with an assertion about it." in missing
        assert len(missing) == 3 and "crd_loss" in missing[0] and "06_contrastive" in missing[2]

    def test_a_misspelt_key_is_answered_with_the_nearest(self, tmp_path):
        with pytest.raises(Refusal, match="'dkdd' is no row of the inventory, the nearest is 'dkd'"):
            why("dkdd", tmp_path)

    def test_a_module_that_cannot_be_parsed_is_named(self, plant):
        with pytest.raises(ValueError, match=r"decoupled.py must be valid Python, got a syntax error in line 2"):
            coverage(plant(whole(**{MODULE: "def dkd_loss(a):\nreturn a\n"})))

    def test_nothing_heavy_is_imported(self):
        code = (
            "import sys; from kdcore.catalogue import coverage, entries, show; coverage(); entries(); show('kd');"
            "print({'torch', 'numpy', 'pandas', 'seaborn', 'sklearn', 'scipy'} & set(sys.modules))"
        )
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
        assert (done.stdout.strip(), done.stderr) == ("set()", "")
