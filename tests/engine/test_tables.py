"""Tables say what the network would."""

import copy
from dataclasses import replace

import pytest
import torch
from proof import advance, bits
from torch import nn
from zoo import CLASSES, World, make_run
from zoo.data import VIEWS, stripes
from zoo.networks import finished

from kdcore.data.views import Shift
from kdcore.engine import at_rest, tables, tabulate, tabulate_logits
from kdcore.models import build
from kdcore.randomness import generator, seeded
from kdcore.types import Clock, Data, Outputs, Refusal, Task

CROPS = Shift(pad=4, mirror=True)  # CIFAR's view: 9 x 9 places, each with its mirror image


def tensors(said: Outputs) -> list[torch.Tensor]:
    found = []
    said.map(lambda value: found.append(value) or value)
    return found


def turning(view=VIEWS["turned"]) -> Data:
    """Data whose weak view has four results."""
    data = stripes(40)
    return Data(data.inputs, data.targets, Task(), {**VIEWS, "weak": view}, classes=CLASSES, name="turning")


def end_of(name, prepare=lambda teacher, data: None):
    """All numbers of a scheme after eight steps, with the teacher's answers as they were prepared."""
    world = World()
    world.images = turning()
    prepare(world.teacher, world.images)
    run = advance(make_run(name, world, steps=8, batch_size=10))
    return torch.cat([value.double().flatten() for value in run.scheme.state_dict().values()])


class TestTabulate:
    def test_a_table_says_what_the_network_would(self):
        asked, tabled, teacher = turning(), turning(), finished()
        tabulate(teacher, tabled)
        for step in (0, 1, 7):
            clock = Clock(step, 20, 4)
            direct, read = (data.batch(3, clock, 10).outputs(teacher) for data in (asked, tabled))
            for one, other in zip(tensors(read), tensors(direct), strict=True):
                torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)

    def test_an_entry_belongs_to_its_image_and_its_choice(self):
        data, teacher, view = turning(), finished(), VIEWS["turned"]
        tabulate(teacher, data, chunk=7)
        table = data.tables[teacher, "weak"].logits
        assert len(table) == 40 * view.choices
        for image, choice in ((0, 0), (3, 2), (39, 3)):
            shown = view.apply(data.inputs[image : image + 1], torch.tensor([choice]))
            torch.testing.assert_close(table[image * 4 + choice], teacher(shown).logits[0], rtol=1e-6, atol=1e-6)

    def test_the_network_is_not_asked_again_and_other_views_and_networks_are(self):
        data, teacher, other = turning(), finished(), finished(8)
        tabulate(teacher, data)
        asked = []
        for network in (teacher, other):
            network.register_forward_hook(lambda module, *_: asked.append(module))
        batch = data.batch(3, Clock(0, 20, 4), 10)
        batch.outputs(teacher), batch.outputs(other), batch.outputs(teacher, "strong")
        assert asked == [other, teacher]

    def test_the_images_that_the_student_sees_are_those_of_the_table(self):
        """One choice an image is drawn for both."""
        data, teacher = turning(), finished()
        tabulate(teacher, data)
        batch = data.batch(3, Clock(5, 20, 4), 10)
        torch.testing.assert_close(batch.outputs(teacher).logits, teacher(batch.inputs).logits, rtol=1e-6, atol=1e-6)

    def test_other_views_can_still_be_asked_of_what_it_says(self):
        data, teacher = turning(), finished()
        tabulate(teacher, data)
        batch = data.batch(3, Clock(5, 20, 4), 10)
        said = batch.outputs(teacher)
        torch.testing.assert_close(said.view("strong").logits, teacher(batch.view("strong")).logits)
        torch.testing.assert_close(said.ask(batch.view("strong")).logits, teacher(batch.view("strong")).logits)

    @pytest.mark.parametrize("name", ["soft", "bank"])
    def test_a_student_learns_the_same_from_it(self, name):
        ends = [end_of(name), end_of(name, tabulate)]
        torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)
        assert not torch.equal(ends[0], torch.zeros_like(ends[0]))

    def test_a_view_without_end_is_refused(self):
        data = turning(VIEWS["strong"])
        with pytest.raises(ValueError, match="view weak has no finite choices"):
            tabulate(finished(), data)
        assert not data.tables

    def test_a_network_that_learns_is_refused(self):
        with pytest.raises(ValueError, match="only a resting network can be tabulated"):
            tabulate(copy.deepcopy(finished()).requires_grad_(True), turning())


def photographs(count: int = 3) -> Data:
    """Images of CIFAR's size under CIFAR's view."""
    images = torch.randint(256, (count, 3, 32, 32), dtype=torch.uint8, generator=generator(0, "images"))
    return Data(images, torch.arange(count) % 10, Task(), {"weak": CROPS, "plain": VIEWS["strong"]}, classes=10)


@pytest.fixture(scope="module")
def teacher() -> nn.Module:
    """A residual network whose norms have seen images."""
    network = seeded(lambda: build("resnet8", 10), 0, "teacher").train()
    with torch.no_grad():
        network(photographs(32).inputs)
    return network.eval().requires_grad_(False)


def asked_of(network: nn.Module) -> list[int]:
    """How many images the network is asked about, call by call."""
    counted: list[int] = []
    network.register_forward_hook(lambda module, given, said: counted.append(len(given[0])))
    return counted


class TestTabulateLogits:
    def test_every_entry_is_what_the_teacher_says_of_that_view(self, teacher):
        data = photographs()
        tabulate_logits(teacher, data)
        table = data.tables[teacher, "weak"].logits
        assert CROPS.choices == 162 and table.shape == (3 * 162, 10)
        for image, choice in ((0, 0), (1, 80), (2, 161)):
            shown = CROPS.apply(data.inputs[image : image + 1], torch.tensor([choice]))
            torch.testing.assert_close(table[image * 162 + choice], teacher(shown).logits[0], rtol=1e-5, atol=1e-5)

    def test_a_batch_reads_what_the_teacher_would_say(self, teacher):
        asked, tabled = photographs(4), photographs(4)
        tabulate_logits(teacher, tabled)
        for step in (0, 1, 4):
            direct, read = (data.batch(3, Clock(step, 9, 2), 2).outputs(teacher) for data in (asked, tabled))
            torch.testing.assert_close(read.logits, direct.logits, rtol=1e-5, atol=1e-5)
            assert read.logits.abs().max() > 0.1

    def test_in_half_precision_it_holds_two_bytes_a_number_and_loses_nothing_by_it(self, teacher):
        data = photographs(2)
        resting = at_rest(teacher, "bfloat16", data.inputs)
        tabulate_logits(resting, data, precision="bfloat16", chunk=162)
        table = data.tables[resting, "weak"].logits
        assert table.element_size() == 2
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            said = resting(CROPS.apply(data.inputs[:1].expand(162, -1, -1, -1), torch.arange(162))).logits
        assert bits(table[:162]) == bits(said)

    def test_the_teacher_is_asked_only_for_what_the_table_lacks_and_once_for_all(self, teacher):
        data, teacher = photographs(4), copy.deepcopy(teacher)
        tabulate_logits(teacher, data)
        asked, memo = asked_of(teacher), {}
        one, other = (data.batch(3, Clock(0, 9, 2), 2, memo) for _ in range(2))
        assert one.outputs(teacher).logits.shape == (2, 10) and not asked
        for said in (one.outputs(teacher), other.outputs(teacher).detach(), replace(one.outputs(teacher))):
            assert len(said.features) == 3 and said.embedding.shape == (2, 64)
            assert len(said.preactivations) == 3 and said.exits == () and said.stem.shape[1] == 16
        assert asked == [2]

    def test_what_it_lacks_is_what_the_teacher_says_of_the_very_images(self, teacher):
        data = photographs(4)
        tabulate_logits(teacher, data)
        batch = data.batch(3, Clock(1, 9, 2), 2)
        read, said = batch.outputs(teacher), teacher(batch.inputs)
        assert bits(list(read.features)) == bits(list(said.features)) and torch.equal(read.embedding, said.embedding)
        some = read.map(lambda value: value[1:])
        assert torch.equal(some.logits, read.logits[1:]) and torch.equal(some.stem, said.stem[1:])

    def test_something_nobody_says_is_no_attribute(self, teacher):
        data = photographs(4)
        tabulate_logits(teacher, data)
        with pytest.raises(AttributeError, match="mask"):
            data.batch(3, Clock(0, 9, 2), 2).outputs(teacher).mask  # noqa: B018

    @pytest.mark.parametrize("name", ["soft", "bank", "hints"])
    def test_a_student_learns_the_same_from_it(self, name):
        ends = [end_of(name), end_of(name, tabulate_logits)]
        torch.testing.assert_close(*ends, rtol=1e-4, atol=1e-5)

    def test_what_does_not_fit_is_refused_before_it_is_computed(self, teacher, monkeypatch):
        data, teacher = photographs(4), copy.deepcopy(teacher)
        asked = asked_of(teacher)
        needed = 4 * 162 * 10 * 4
        monkeypatch.setattr(tables, "free_bytes", lambda device: 2 * needed - 1)
        with pytest.raises(Refusal, match=r"648 answers takes 0.0 GB, .* leave recipe.tabulate out"):
            tabulate_logits(teacher, data, chunk=10)
        assert asked == [10] and not data.tables
        monkeypatch.setattr(tables, "free_bytes", lambda device: 2 * needed)
        tabulate_logits(teacher, data)
        assert data.tables

    def test_a_view_without_end_and_a_network_that_learns_are_refused(self, teacher):
        data = replace(photographs(2), views={"weak": VIEWS["strong"]})
        with pytest.raises(ValueError, match="view weak has no finite choices"):
            tabulate_logits(teacher, data)
        with pytest.raises(ValueError, match="only a resting network can be tabulated"):
            tabulate_logits(copy.deepcopy(teacher).requires_grad_(True), photographs(2))
