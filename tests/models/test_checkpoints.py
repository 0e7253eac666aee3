"""Weights come back as they were saved, from files that hold tensors alone; anything else is one sentence."""

import pickle

import pytest
import torch

from kdcore import data
from kdcore.data import DataProblem, UnknownName
from kdcore.models import FORMATS, build, load_checkpoint, pretrained, save_checkpoint
from kdcore.types import Refusal

CHECKPOINTS = data.names("checkpoint")


def states_equal(one, two) -> bool:
    one, two = one.state_dict(), two.state_dict()
    return one.keys() == two.keys() and all(torch.equal(one[key], two[key]) for key in one)


@pytest.fixture
def network():
    return build("digits-student", 10, seed=1)


class TestRoundTrip:
    @pytest.mark.parametrize("format", ["kdcore", "safetensors"])
    def test_weights_and_normalisation_come_back(self, network, tmp_path, format):
        with torch.no_grad():
            network.normalise.mean += 0.1
        save_checkpoint(network, tmp_path / "weights", format)
        other = build("digits-student", 10, seed=2)
        assert not states_equal(network, other)
        assert load_checkpoint(other, tmp_path / "weights", format) is other and states_equal(network, other)

    def test_a_public_file_is_read_by_its_own_names(self, tmp_path):
        source = build("resnet8-a", 10, seed=1, normalisation="imagenet")
        theirs = {}
        for name, value in source.state_dict().items():
            if name.startswith("normalise") or "num_batches" in name:
                continue
            name = name.replace("stages.0", "layer1").replace("stages.1", "layer2").replace("stages.2", "layer3")
            for ours, other in (("stem", ""), ("first", "1"), ("second", "2")):
                name = name.replace(f"{ours}.conv", f"conv{other or 1}").replace(f"{ours}.norm", f"bn{other or 1}")
            theirs["module." + name.replace("classifier", "linear")] = value
        torch.save({"state_dict": theirs, "best_prec1": 12.5}, tmp_path / "public.th")
        other = build("resnet8-a", 10, seed=2, normalisation="imagenet")
        assert states_equal(load_checkpoint(other, tmp_path / "public.th", "akamaster"), source)

    def test_every_format_says_what_it_is(self):
        assert set(FORMATS) == {"kdcore", "safetensors", "akamaster"} and all(each.note for each in FORMATS.values())


class Planted:
    """What would run something when it is unpickled."""

    ran = False

    def __reduce__(self):
        return setattr, (Planted, "ran", True)


class TestProblems:
    @pytest.mark.parametrize("format", FORMATS)
    def test_a_missing_file(self, network, tmp_path, format):
        with pytest.raises(DataProblem, match="none is missing"):
            load_checkpoint(network, tmp_path / "none", format)

    @pytest.mark.parametrize("format", ["kdcore", "safetensors"])
    @pytest.mark.parametrize("kept", [0, 1, 100, 0.5, 0.99])
    def test_a_truncated_file_is_damaged_and_changes_nothing(self, network, tmp_path, format, kept):
        path = tmp_path / "weights"
        save_checkpoint(build("digits-student", 10, seed=2), path, format)
        whole = path.read_bytes()
        path.write_bytes(whole[: int(kept * len(whole)) if isinstance(kept, float) else kept])
        with pytest.raises(DataProblem, match="damaged, or holds more than the tensors of format") as problem:
            load_checkpoint(network, path, format)
        assert "\n" not in str(problem.value) and states_equal(network, build("digits-student", 10, seed=1))

    @pytest.mark.parametrize("content", [b"not a checkpoint", b"\x80\x04N.", b"PK\x03\x04" + bytes(100)])
    @pytest.mark.parametrize("format", FORMATS)
    def test_any_other_file_is_damaged(self, network, tmp_path, format, content):
        (tmp_path / "weights").write_bytes(content)
        with pytest.raises(DataProblem, match="damaged"):
            load_checkpoint(network, tmp_path / "weights", format)

    @pytest.mark.parametrize("format", ["kdcore", "akamaster"])
    def test_code_in_a_file_is_never_run(self, network, tmp_path, format):
        torch.save({"state_dict": {"weight": Planted()}}, tmp_path / "weights")
        with pytest.raises(DataProblem, match="holds more than the tensors"):
            load_checkpoint(network, tmp_path / "weights", format)
        (tmp_path / "weights").write_bytes(pickle.dumps(Planted()))
        with pytest.raises(DataProblem, match="holds more than the tensors"):
            load_checkpoint(network, tmp_path / "weights", format)
        assert not Planted.ran

    def test_another_network_does_not_fit_and_is_left_alone(self, network, tmp_path):
        save_checkpoint(build("digits-teacher", 10), tmp_path / "weights")
        says = r"does not fit this network: it has 1\d others .* has shape .* where .* is needed; build the network"
        with pytest.raises(DataProblem, match=says):
            load_checkpoint(network, tmp_path / "weights", "kdcore")
        assert states_equal(network, build("digits-student", 10, seed=1))

    def test_missing_tensors_are_counted_and_one_is_named(self, network, tmp_path):
        state = network.state_dict()
        del state["classifier.bias"], state["classifier.weight"]
        torch.save({"state_dict": state}, tmp_path / "weights")
        with pytest.raises(DataProblem, match=r"it lacks 2 tensors \(such as classifier.bias\)"):
            load_checkpoint(network, tmp_path / "weights", "kdcore")

    def test_an_unknown_format_is_answered_with_the_nearest(self, network, tmp_path):
        with pytest.raises(UnknownName, match=r"no checkpoint format is called 'safetensor', .* 'safetensors'"):
            load_checkpoint(network, tmp_path / "weights", "safetensor")
        with pytest.raises(UnknownName, match="no format that can be written is called 'akamaster'"):
            save_checkpoint(network, tmp_path / "weights", "akamaster")
        assert not list(tmp_path.iterdir())

    def test_a_checkpoint_of_a_data_set_is_refused(self):
        with pytest.raises(UnknownName, match="digits is a data set, not a checkpoint"):
            pretrained("digits")

    def test_a_public_checkpoint_that_is_not_here_says_how_to_get_it(self, tmp_path, monkeypatch):
        monkeypatch.setenv("KDCORE_DATA", str(tmp_path))
        with pytest.raises(DataProblem, match=r"resnet20-a-cifar10 is not here .* run `kdcore data get"):
            pretrained("resnet20-a-cifar10")

    def test_a_damaged_public_checkpoint_is_never_loaded(self, tmp_path, monkeypatch):
        monkeypatch.setenv("KDCORE_DATA", str(tmp_path))
        (tmp_path / "resnet20-12fca82f.th").write_bytes(b"half")
        with pytest.raises(DataProblem, match=r"damaged or only half downloaded \(SHA-256 .*expected 12fca82f0beb"):
            pretrained("resnet20-a-cifar10")

    def test_too_few_classes_are_a_refusal_not_a_data_problem(self):
        with pytest.raises(Refusal):
            build("digits-student", 1)


ACCURACY = {"resnet20-a-cifar10": 0.9173, "resnet32-a-cifar10": 0.9263, "resnet56-a-cifar10": 0.9339}


@pytest.mark.slow
class TestPublicCheckpoints:
    @pytest.mark.parametrize("name", CHECKPOINTS)
    def test_accuracy_on_the_test_set_is_the_published_one(self, name):
        for needed in (name, "cifar10"):
            if not data.asset(needed).path.exists():
                pytest.skip(f"{needed} is not in the data folder")
        network, test = pretrained(name), data.load("cifar10").splits["test"]
        with torch.no_grad():
            assert test.task.evaluate(network, test)["accuracy"] == pytest.approx(ACCURACY[name], abs=1e-9)

    def test_every_public_checkpoint_has_a_published_accuracy(self):
        assert set(ACCURACY) == set(CHECKPOINTS)
