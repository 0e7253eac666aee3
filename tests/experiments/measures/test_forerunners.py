"""Two forerunners on data of their own: what their measures build and give back."""

import pytest

from kdcore.engine import Recipe, fit
from kdcore.experiments import get
from kdcore.experiments.measures.forerunners import on_sequences, on_table
from kdcore.schemes.offline import Distillation, ModelCompression, StructureCompilation
from kdcore.schemes.offline.structure import ChainCRF
from kdcore.types import Refusal

ASKED = {"seed": 0, "profile": "smoke", "recipe": Recipe(steps=3, batch_size=8, optimizer="adam"), "device": "cpu"}
SMALL = {"labelled": 16, "unlabelled": 24, "tested": 8}


def finished(training):
    fit([training.run])
    return training.finish(training.run)


class TestOnTable:
    def test_both_schemes_start_from_the_same_student(self):
        runs = [
            on_table(**ASKED, table_name="wine", scheme=scheme).run for scheme in ("distillation", "model-compression")
        ]
        one, two = (run.scheme.student.state_dict() for run in runs)
        assert all(one[name].equal(two[name]) for name in one)
        assert [type(run.scheme) for run in runs] == [Distillation, ModelCompression]

    def test_gives_what_a_record_holds(self):
        found = finished(on_table(**ASKED, table_name="wine", scheme="model-compression", members=4, hidden=2))
        assert set(found["networks"]) == {"student", "ensemble"} and 0 <= found["last"]["accuracy"] <= 1
        assert found["networks"]["student"]["parameters"] == 13 * 2 + 2 + 2 * 3 + 3

    def test_another_scheme_is_refused(self):
        with pytest.raises(Refusal, match="unknown scheme on a table 'dml'"):
            on_table(**ASKED, table_name="wine", scheme="dml")


class TestOnSequences:
    @pytest.mark.parametrize(
        ("asked", "roles"),
        [
            ({}, {"student"}),
            ({"labeller": "chain"}, {"student"}),
            ({"scheme": "structure-compilation"}, {"student", "structured"}),
        ],
    )
    def test_gives_what_a_record_holds(self, asked, roles):
        found = finished(on_sequences(**ASKED, **SMALL, **asked))
        assert set(found["networks"]) == roles and {"accuracy", "sequences"} <= set(found["last"])

    def test_names_what_it_builds(self):
        assert isinstance(
            on_sequences(**ASKED, **SMALL, scheme="structure-compilation").run.scheme, StructureCompilation
        )
        chain = on_sequences(**ASKED, **SMALL, labeller="chain").run.scheme
        assert isinstance(chain, Distillation) and isinstance(chain.student, ChainCRF)

    def test_rows_of_one_seed_see_the_same_sequences(self):
        one, two = (on_sequences(**ASKED, **SMALL, **asked).run.data for asked in ({}, {"labeller": "chain"}))
        other = on_sequences(**ASKED | {"seed": 1}, **SMALL).run.data
        assert one.inputs.equal(two.inputs) and not one.inputs.equal(other.inputs)

    def test_another_scheme_is_refused(self):
        with pytest.raises(Refusal, match="unknown scheme on sequences 'dml of a window'"):
            on_sequences(**ASKED, **SMALL, scheme="dml")


@pytest.mark.parametrize("key", ["compressed-ensemble", "compiled-structure"])
class TestExperiments:
    def test_is_listed_and_its_rows_are_built_under_every_profile(self, key):
        from importlib import import_module

        experiment = get(key)
        for profile in experiment.profiles:
            for row in experiment.rows:
                module, _, name = row.measure.partition(":")
                measure, settings = getattr(import_module(module), name), experiment.settings(row, profile)
                training = measure(**ASKED | {"profile": profile}, **settings)
                assert training.run.active

    def test_names_its_scheme(self, key):
        methods = [row.method for row in get(key).rows]
        assert {"compressed-ensemble": "model-compression", "compiled-structure": "structure-compilation"}[
            key
        ] in methods
