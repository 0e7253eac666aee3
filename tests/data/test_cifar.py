"""CIFAR from its file: the same whatever the order in it, and a sentence for whatever else is there."""

import errno
import os
import urllib.error
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from kdcore import data
from kdcore.data import DataProblem, archive, cifar, registry
from kdcore.models import NORMALISATIONS
from kdcore.types import Refusal


def arrays(seed: int = 0, classes: int = 10) -> archive.Arrays:
    made, found = np.random.default_rng(seed), {"classes": np.array([f"class {n}" for n in range(classes)])}
    for split, size in archive.SIZES.items():
        found[f"{split}_images"] = made.integers(0, 256, (size, 32, 32, 3), dtype=np.uint8)
        found[f"{split}_labels"] = made.permutation(np.arange(size) % classes).astype(np.uint8)
    return found


@pytest.fixture(autouse=True)
def small(request, monkeypatch):
    """A CIFAR of 200 and 50 images; the slow tests read the real one."""
    if "slow" not in request.keywords:
        monkeypatch.setattr(archive, "SIZES", {"train": 200, "test": 50})


@pytest.fixture
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("KDCORE_DATA", str(tmp_path))
    return tmp_path


@pytest.fixture
def path(place):
    archive.write(place / "cifar10.npz", arrays())
    return place / "cifar10.npz"


class TestLoad:
    def test_images_are_bytes_channels_first_with_their_labels(self, path):
        found, held = data.load("cifar10"), arrays()
        assert found.inputs.shape == (200, 3, 32, 32) and found.inputs.dtype == torch.uint8
        assert found.targets.dtype == torch.long and found.inputs.is_contiguous() and list(found.splits) == ["test"]
        for part, split in ((found, "train"), (found.splits["test"], "test")):
            theirs = {
                (image.tobytes(), int(label)) for image, label in zip(held[f"{split}_images"], held[f"{split}_labels"])
            }
            ours = {
                (image.permute(1, 2, 0).numpy().tobytes(), int(label))
                for image, label in zip(part.inputs, part.targets)
            }
            assert ours == theirs

    def test_the_order_in_the_file_does_not_matter(self, path):
        first, shuffled = data.load("cifar10"), arrays()
        order = np.random.default_rng(1).permutation(200)
        shuffled |= {key: shuffled[key][order] for key in ("train_images", "train_labels")}
        archive.write(path, shuffled)
        second = data.load("cifar10")
        assert torch.equal(first.inputs, second.inputs) and torch.equal(first.targets, second.targets)
        assert first.digest == second.digest

    def test_one_pixel_or_label_changes_the_digest(self, path):
        digests = {data.load("cifar10").digest}
        for key, place in (("train_images", (3, 0, 0, 0)), ("test_images", (3, 0, 0, 0))):
            changed = arrays()
            changed[key][place] ^= 1
            archive.write(path, changed)
            digests.add(data.load("cifar10").digest)
        swapped = arrays()
        one, two = np.flatnonzero(swapped["train_labels"] == 0)[0], np.flatnonzero(swapped["train_labels"] == 1)[0]
        swapped["train_labels"][[one, two]] = swapped["train_labels"][[two, one]]
        archive.write(path, swapped)
        assert len(digests | {data.load("cifar10").digest}) == 4

    def test_views_and_task_fit_the_networks(self, path):
        from kdcore.models import build
        from kdcore.types import Clock

        found = data.load("cifar10")
        batch = found.batch(0, Clock(0, 2, 3), 8)
        network = build("resnet8", found.classes).eval()
        said = {name: batch.outputs(network, name).logits for name in found.views}
        assert all(logits.shape == (8, 10) for logits in said.values())
        assert not torch.equal(said["weak"], said["plain"]) and not torch.equal(said["weak"], said["strong"])


class TestHoldout:
    def test_is_stratified_and_leaves_the_rest_to_train(self, path):
        whole, parted = data.load("cifar10"), data.load("cifar10", holdout=50)
        validation = parted.splits["validation"]
        assert (len(parted), len(validation), list(parted.splits)) == (150, 50, ["validation", "test"])
        assert validation.targets.bincount().tolist() == [5] * 10 and parted.targets.bincount().tolist() == [15] * 10
        rows = lambda *parts: sorted(bytes(image.flatten().tolist()) for part in parts for image in part.inputs)
        assert rows(parted, validation) == rows(whole)
        assert torch.equal(parted.splits["test"].inputs, whole.splits["test"].inputs)

    def test_the_seed_decides_which(self, path):
        held = [data.load("cifar10", holdout=50, holdout_seed=seed).splits["validation"].inputs for seed in (0, 0, 1)]
        assert torch.equal(held[0], held[1]) and not torch.equal(held[0], held[2])

    def test_the_digest_tells_training_sets_apart(self, path):
        how = ({}, {"holdout": 50}, {"holdout": 100}, {"holdout": 50, "holdout_seed": 1})
        assert len({data.load("cifar10", **each).digest for each in how}) == 4

    @pytest.mark.parametrize("count", [-10, 5, 55, 200, 1000])
    def test_a_number_that_cannot_be_is_refused(self, path, count):
        with pytest.raises(Refusal, match=f"holdout must be a multiple of 10 between 10 and 190, got {count}"):
            data.load("cifar10", holdout=count)


def told(name: str = "cifar10") -> str:
    with pytest.raises(DataProblem) as problem:
        data.load(name)
    assert "\n" not in str(problem.value)
    return str(problem.value)


class TestDamage:
    @pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.9, 0.9999])
    def test_a_truncated_file_is_damaged(self, path, share):
        whole = path.read_bytes()
        path.write_bytes(whole[: int(share * len(whole))])
        assert told() == f"{path} is damaged or only half downloaded: run `kdcore data get cifar10` to fetch it anew"

    @pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
    def test_a_flipped_bit_is_damage(self, path, share):
        content = bytearray(path.read_bytes())
        content[int(share * len(content))] ^= 4
        path.write_bytes(content)
        assert "is damaged" in told()

    @pytest.mark.parametrize("content", [b"", b"<html>not found</html>", b"\x93NUMPY", b"PK\x05\x06" + bytes(18)])
    def test_any_other_file_is_named(self, path, content):
        path.write_bytes(content)
        assert "is damaged" in told() or "is not cifar10" in told()

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (lambda a: a.pop("test_labels"), "it has no test_labels"),
            (lambda a: a.update(train_images=a["train_images"][:7]), "must have shape (200, 32, 32, 3), got (7, 32"),
            (lambda a: a.update(train_images=a["train_images"] / 255), "train_images must be uint8, got float64"),
            (lambda a: a["train_labels"].fill(3), "train_labels must hold 20 of each of 10 classes"),
            (lambda a: a.update(train_labels=a["train_labels"] + np.uint8(1)), "must hold 20 of each of 10 classes"),
            (lambda a: a.update(classes=a["classes"][:3]), "classes must have shape (10,), got (3,)"),
        ],
    )
    def test_arrays_that_are_not_cifar_are_told_apart(self, path, change, says):
        held = arrays()
        change(held)
        archive.write(path, held)
        assert says in told() and f"{path} is not cifar10" in told()

    def test_pickled_content_is_never_run(self, path):
        np.savez(path, **arrays() | {"classes": np.array([{"a": 1}], dtype=object)}, allow_pickle=True)
        assert "is damaged" in told()

    def test_a_folder_in_its_place_is_named(self, place):
        (place / "cifar10.npz").mkdir()
        assert "a file and a folder stand in each other's place" in told()

    def test_a_file_that_may_not_be_read_is_named(self, path, monkeypatch):
        def refuse(*_, **__):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

        monkeypatch.setattr(type(path), "open", refuse)
        assert told() == f"{path} cannot be read: change its permissions or set KDCORE_DATA to another folder"

    def test_check_tells_damaged_foreign_and_known_content_apart(self, path, monkeypatch):
        state = lambda: {row["name"]: row for row in data.check()}["cifar10"]
        assert state()["state"] == "other content" and "holds other images" in state()["problem"]
        known = replace(registry.asset("cifar10"), sha256=data.load("cifar10").digest)
        monkeypatch.setitem(registry.ASSETS, "cifar10", known)
        assert state()["state"] == "whole" and state()["bytes"] == path.stat().st_size
        path.write_bytes(path.read_bytes()[:-1])
        assert state()["state"] == "damaged"


class TestFetch:
    @pytest.fixture
    def source(self, monkeypatch):
        """torchvision's class as it behaves, without a network; `fail` makes it raise."""
        import torchvision

        class Source:
            fail: Exception | None = None
            calls = 0

            def __init__(self, root: str, train: bool, download: bool):
                assert download
                Source.calls += 1
                print("Files already downloaded and verified")
                Path(root, "archive").touch()
                if Source.fail:
                    raise Source.fail
                held, split = arrays(), "train" if train else "test"
                self.data, self.targets = held[f"{split}_images"], held[f"{split}_labels"].tolist()
                self.classes = held["classes"].tolist()

        monkeypatch.setattr(torchvision.datasets, "CIFAR10", Source)
        return Source

    def test_a_missing_set_is_downloaded_once_and_written_whole(self, place, source, capsys):
        first, calls = data.load("cifar10"), source.calls
        assert torch.equal(first.inputs, data.load("cifar10").inputs) and source.calls == calls == 2
        assert [each.name for each in place.iterdir()] == ["cifar10.npz"] and capsys.readouterr().out == ""
        with np.load(place / "cifar10.npz") as held:
            assert all(np.array_equal(held[key], value) for key, value in arrays().items())

    def test_get_fetches_what_is_missing_or_damaged(self, place, source):
        assert data.get("cifar10")["state"] == "fetched" and data.get("cifar10")["state"] == "already here"
        (place / "cifar10.npz").write_bytes(b"half")
        assert data.get("cifar10")["state"] == "fetched" and len(data.load("cifar10")) == 200

    @pytest.mark.parametrize(
        ("failure", "says"),
        [
            (urllib.error.URLError("Name or service not known"), "could not be downloaded (Name or service not known)"),
            (ConnectionResetError(errno.ECONNRESET, "reset by peer"), "could not be downloaded"),
            (RuntimeError("File not found or corrupted."), "could not be downloaded (File not found or corrupted.)"),
        ],
    )
    def test_a_failing_network_is_one_sentence_and_leaves_nothing(self, place, source, failure, says):
        source.fail = failure
        assert says in told() and f"put cifar10.npz into {place} by hand" in told()
        assert not list(place.iterdir())

    @pytest.mark.parametrize(
        ("number", "says"), [(errno.ENOSPC, "the disk is full"), (errno.EROFS, "cannot be written")]
    )
    def test_a_failing_disk_is_one_sentence_and_leaves_nothing(self, place, source, number, says):
        source.fail = OSError(number, os.strerror(number))
        assert says in told() and not list(place.iterdir())

    def test_a_disk_that_fills_while_the_file_is_written_leaves_nothing(self, place, source, monkeypatch):
        def fill(file, **members):
            file.write(b"half")
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        monkeypatch.setattr(archive.np, "savez", fill)
        assert told().startswith(f"the disk is full, {place / 'cifar10.npz'} was not written: make room in {place}")
        assert not list(place.iterdir())


@pytest.mark.slow
class TestRealData:
    @pytest.mark.parametrize("name", ["cifar10", "cifar100"])
    def test_is_what_the_published_numbers_rest_on(self, name):
        each = data.asset(name)
        if not each.path.exists():
            pytest.skip(f"{name} is not in the data folder")
        found = data.load(name)
        assert found.digest == each.sha256 and len(found) == 50_000 and len(found.splits["test"]) == 10_000
        assert found.targets.bincount().tolist() == [50_000 // each.classes] * each.classes
        pixels = found.inputs.double().div(255).transpose(0, 1).flatten(1)
        mean, std = NORMALISATIONS[name]
        assert [round(value, 4) for value in pixels.mean(1).tolist()] == list(mean)
        assert [round(value, 4) for value in pixels.std(1, correction=0).tolist()] == list(std)

    def test_check_finds_it_whole(self):
        for row in data.check():
            assert row["state"] in ("whole", "missing", "built in"), row["problem"]
            assert (row["state"] == "missing") == bool(row["problem"])

    def test_batched_views_are_the_loop_over_pil_images_of_torchvision(self):
        if not data.asset("cifar10").path.exists():
            pytest.skip("cifar10 is not in the data folder")
        from PIL import Image, ImageOps

        images = data.load("cifar10").inputs[:400]
        choices = torch.arange(400) * 7 % 162
        for image, choice, made in zip(images, choices.tolist(), cifar.WEAK.apply(images, choices)):
            place, mirrored = divmod(choice, 2)
            top, left = divmod(place, 9)
            padded = ImageOps.expand(Image.fromarray(image.permute(1, 2, 0).contiguous().numpy()), 4)
            expected = padded.crop((left, top, left + 32, top + 32))
            expected = np.array(ImageOps.mirror(expected) if mirrored else expected)
            assert np.array_equal(made.permute(1, 2, 0).numpy(), expected)
