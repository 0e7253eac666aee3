"""What every claim promises: reached by its key, told in full, its rows resolve, and nothing heavy is loaded."""

import subprocess
import sys
from importlib import import_module

import pytest

from kdcore.claims import Claim, claim
from kdcore.claims.adversarial import ENTRIES as ADVERSARIAL
from kdcore.claims.benchmarks import ENTRIES as BENCHMARKS
from kdcore.claims.contrastive import ENTRIES as CONTRASTIVE
from kdcore.claims.foundations import ENTRIES as FOUNDATIONS
from kdcore.claims.mechanism import ENTRIES as MECHANISM
from kdcore.claims.relation import ENTRIES as RELATION
from kdcore.claims.vit import ENTRIES as VIT
from kdcore.entry import Refusal

ENTRIES = (*ADVERSARIAL, *BENCHMARKS, *CONTRASTIVE, *FOUNDATIONS, *MECHANISM, *RELATION, *VIT)
CLAIMS = [entry for entry in ENTRIES if isinstance(entry.make, Claim)]


@pytest.mark.parametrize("entry", CLAIMS, ids=lambda entry: entry.key)
class TestEveryClaim:
    def test_is_found_by_its_key(self, entry):
        assert claim(entry.key) is entry.make and entry.make.key == entry.key

    def test_says_what_would_speak_against_it(self, entry):
        made = entry.make
        assert all(text.endswith(".") for text in (made.statement, made.against)) and made.by

    def test_its_experiment_can_be_asked_for_by_name(self, entry):
        from kdcore.experiments import get

        assert get(entry.make.experiment.key) is entry.make.experiment

    def test_its_rows_resolve(self, entry):
        for row in entry.make.experiment.rows:
            module, _, name = row.measure.partition(":")
            assert callable(getattr(import_module(module), name))
            assert row.source


def test_a_key_that_is_no_claim_is_refused():
    with pytest.raises(Refusal, match="'kd' is no claim"):
        claim("kd")


def test_listing_claims_loads_nothing_heavy():
    code = (
        "import sys, kdcore.claims.contrastive, kdcore.claims.foundations, kdcore.claims.mechanism, kdcore.claims.vit\n"
        "print([name for name in ('torch', 'pandas', 'scipy', 'sklearn', 'seaborn') if name in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"
