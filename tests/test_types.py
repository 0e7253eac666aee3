"""The types everything speaks: answers, batches, data, methods."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn

from kdcore.randomness import generator
from kdcore.types import (
    Batch,
    Clock,
    Data,
    Entry,
    Method,
    Outputs,
    Refusal,
    Scheme,
    Setting,
    Task,
    Term,
    View,
    take,
)


def noisy(inputs: Tensor, random: torch.Generator) -> Tensor:
    return inputs + torch.randn(inputs.shape, generator=random)


def plain(inputs: Tensor, random: torch.Generator) -> Tensor:
    return inputs


class Signs:
    """Two results: as it is, or negated."""

    choices = 2

    def __call__(self, inputs, random):
        return self.apply(inputs, self.draw(len(inputs), random))

    def draw(self, count, random):
        return torch.randint(2, (count,), generator=random)

    def apply(self, inputs, choice):
        return inputs * (1 - 2 * choice[:, None])


def made(count: int = 20, **more) -> Data:
    inputs = torch.arange(float(count))[:, None]
    views = {"weak": noisy, "strong": noisy, "plain": plain, "signs": Signs()}
    return Data(inputs, torch.arange(count) % 3, Task(), views, classes=3, **more)


class Linear(nn.Module):
    """A network that counts how often it is asked."""

    def __init__(self, frozen: bool = False):
        super().__init__()
        self.layer, self.asked = nn.Linear(1, 3), 0
        self.requires_grad_(not frozen)

    def forward(self, inputs):
        self.asked += 1
        return Outputs(self.layer(inputs), (inputs, 2 * inputs))


@dataclass
class Boxes(Outputs):
    """Another task's answer."""

    boxes: Tensor | None = None
    note: str = ""


class TestOutputs:
    def test_every_tensor_is_changed_and_nothing_else(self):
        said = Boxes(torch.ones(2), (torch.ones(1), torch.ones(3)), embedding=None, boxes=torch.ones(4), note="seen")
        found = said.map(lambda value: 3 * value)
        assert isinstance(found, Boxes) and found.note == "seen" and found.embedding is None
        assert [len(value) for value in (found.logits, *found.features, found.boxes)] == [2, 1, 3, 4]
        assert all((value == 3).all() for value in (found.logits, *found.features, found.boxes))
        assert (said.logits == 1).all()

    def test_detached_it_has_no_graph_and_can_still_be_asked(self):
        network = Linear()
        batch = made().batch(0, Clock(0, 4, 4), 5)
        said = batch.outputs(network).detach()
        assert not said.logits.requires_grad
        assert said.ask(torch.zeros(1, 1)).logits.requires_grad
        assert torch.equal(said.view("strong").features[0], batch.view("strong"))


class TestClock:
    def test_tells_epoch_and_progress(self):
        assert [Clock(step, 10, 4).epoch for step in (0, 3, 4, 9)] == [0, 0, 1, 2]
        assert [Clock(step, 10, 4).progress for step in (0, 5, 9)] == [0.0, 0.5, 0.9]


class TestTerm:
    def test_weighs_one_unless_told(self):
        assert Term(torch.zeros(())).weight_at(0.3) == 1.0
        assert Term(torch.zeros(()), 2.5).weight_at(0.3) == 2.5

    def test_a_weight_may_depend_on_progress(self):
        assert Term(torch.zeros(()), lambda progress: 10 * progress).weight_at(0.3) == pytest.approx(3.0)


class TestTask:
    def test_loss_is_the_mean_cross_entropy_in_single_precision(self):
        logits = torch.tensor([[2.0, 0.0, 0.0], [0.0, 0.0, 0.0]])
        batch = made().batch(0, Clock(0, 10, 10), 2)
        expected = -logits.log_softmax(1)[[0, 1], batch.targets].mean()
        torch.testing.assert_close(Task().loss(Outputs(logits), batch), expected)
        assert Task().loss(Outputs(logits.bfloat16()), batch).dtype == torch.float32

    def test_is_judged_by_the_share_of_right_answers(self):
        data = made(6)
        sure = lambda inputs: Outputs(torch.nn.functional.one_hot(inputs[:, 0].long() % 3, 3) * 50.0)
        wrong = lambda inputs: Outputs(torch.nn.functional.one_hot(torch.zeros(len(inputs)).long(), 3) * 50.0)
        assert Task().evaluate(sure, data) == {"accuracy": 1.0, "cross_entropy": pytest.approx(0.0, abs=1e-12)}
        found = Task().evaluate(wrong, data)
        assert list(found) == ["accuracy", "cross_entropy"] == [Task.score, "cross_entropy"]
        assert found["accuracy"] == pytest.approx(1 / 3)
        assert found["cross_entropy"] == pytest.approx(2 / 3 * 50.0)


class TestData:
    def test_a_batch_is_a_pure_function_of_seed_and_clock(self):
        data, clock = made(), Clock(7, 20, 4)
        first = data.batch(3, clock, 5)
        for step in (0, 3, 12):
            data.batch(3, clock._replace(step=step), 5).view("weak")
        again = made().batch(3, clock, 5)
        assert torch.equal(first.index, again.index)
        assert torch.equal(first.inputs, again.inputs) and torch.equal(first.view("strong"), again.view("strong"))

    def test_an_epoch_shows_every_sample_once_in_an_order_of_its_own(self):
        data, orders = made(), []
        for epoch in range(3):
            steps = range(4 * epoch, 4 * epoch + 4)
            orders.append(torch.cat([data.batch(3, Clock(step, 12, 4), 5).index for step in steps]).tolist())
        assert all(sorted(order) == list(range(20)) for order in orders)
        assert len({tuple(order) for order in orders}) == 3

    def test_an_incomplete_batch_is_left_out(self):
        data = made(22)
        assert [len(data.batch(0, Clock(step, 8, 4), 5).index) for step in range(8)] == [5] * 8

    def test_a_batch_larger_than_the_set_is_the_set(self):
        assert sorted(made(4).batch(0, Clock(0, 2, 1), 64).index.tolist()) == [0, 1, 2, 3]

    def test_seeds_and_steps_give_other_orders_and_views(self):
        data = made()
        batches = [data.batch(seed, Clock(step, 8, 4), 5) for seed, step in ((0, 0), (1, 0), (0, 4))]
        assert len({tuple(batch.index.tolist()) for batch in batches}) == 3
        noise = [tuple((batch.inputs - data.inputs[batch.index]).flatten().tolist()) for batch in batches]
        assert len(set(noise)) == 3

    def test_its_length_does_not_depend_on_how_samples_are_kept(self):
        parts = {"left": torch.zeros(7, 2), "right": torch.zeros(7)}
        assert len(Data(parts, torch.zeros(7), Task(), {})) == 7 == len(made(7))
        assert Data(parts, torch.zeros(7), Task(), {}).device == torch.device("cpu")

    def test_parts_are_the_whole_set_in_order_without_splits_and_tables(self):
        data = made(7, splits={"test": made(3)}, tables={(Linear(), "weak"): Outputs(torch.zeros(7, 3))})
        parts = list(data.parts(3))
        assert [len(part) for part in parts] == [3, 3, 1]
        assert torch.equal(torch.cat([part.inputs for part in parts]), data.inputs)
        assert torch.equal(torch.cat([part.targets for part in parts]), data.targets)
        assert not any(part.splits or part.tables for part in parts) and parts[0].classes == 3

    def test_samples_in_parts_are_taken_together(self):
        found = take({"left": torch.arange(4), "right": torch.arange(4) * 10}, torch.tensor([2, 0]))
        assert {name: value.tolist() for name, value in found.items()} == {"left": [2, 0], "right": [20, 0]}

    def test_is_compared_by_identity(self):
        data = made()
        assert data == data and data != made() and len({data, made()}) == 2


class TestBatch:
    def batch(self, memo=None, step=2) -> Batch:
        return made().batch(3, Clock(step, 20, 4), 5, memo)

    def test_makes_things_once_and_shares_them(self):
        memo, counted = {}, []
        batches = [self.batch(memo), self.batch(memo)]
        for batch in batches:
            assert batch.once("thing", lambda: counted.append(1) or "made") == "made"
            assert batch.once(("thing", 2), lambda: "other") == "other"
        assert counted == [1]
        assert batches[0].inputs is batches[1].inputs and batches[0].targets is batches[1].targets

    def test_each_view_draws_from_a_stream_of_its_own(self):
        batch = self.batch()
        weak, strong = batch.inputs, batch.view("strong")
        assert not torch.equal(weak, strong)
        other = self.batch()
        assert torch.equal(other.view("strong"), strong) and torch.equal(other.inputs, weak)

    def test_streams_are_of_seed_name_and_step(self):
        drawn = lambda batch, name: torch.rand(3, generator=batch.generator(name)).tolist()
        batch = self.batch()
        expected = torch.rand(3, generator=generator(3, "negatives", 2)).tolist()
        assert drawn(batch, "negatives") == expected == drawn(batch, "negatives")
        assert drawn(batch, "partner") != expected != drawn(self.batch(step=3), "negatives")

    def test_a_network_at_rest_answers_once_for_all_without_a_graph(self):
        memo, teacher = {}, Linear(frozen=True)
        for _ in range(3):
            batch = self.batch(memo)
            for _ in range(2):
                said = batch.outputs(teacher)
            batch.live.clear()
        assert teacher.asked == 1 and not said.logits.requires_grad

    def test_it_answers_once_for_each_view(self):
        teacher, batch = Linear(frozen=True), self.batch()
        assert batch.outputs(teacher).view("strong").logits is batch.outputs(teacher, "strong").logits
        assert teacher.asked == 2

    def test_a_learning_network_answers_once_an_update_with_a_graph(self):
        student, batch = Linear(), self.batch()
        first = batch.outputs(student)
        assert batch.outputs(student) is first and first.logits.requires_grad
        batch.live.clear()
        assert batch.outputs(student) is not first and student.asked == 2
        assert not any(student in key for key in batch.memo if isinstance(key, tuple))

    def test_without_a_graph_a_learning_network_is_asked_for_itself(self):
        student, batch = Linear(), self.batch()
        with torch.no_grad():
            still = batch.outputs(student)
        moving = batch.outputs(student)
        assert not still.logits.requires_grad and moving.logits.requires_grad and student.asked == 2

    def test_one_parameter_that_learns_is_enough(self):
        network = Linear(frozen=True)
        network.more = nn.Sequential(nn.Identity(), nn.Linear(1, 1))
        network.more.register_parameter("nothing", None)
        batch = self.batch()
        batch.outputs(network)
        assert batch.live

    def test_a_network_at_rest_has_no_graph_even_under_a_caller_who_builds_one(self):
        teacher, batch = Linear(frozen=True), self.batch()
        batch.data.inputs.requires_grad_()
        with torch.enable_grad():
            assert not batch.outputs(teacher).logits.requires_grad

    def test_a_sibling_shows_other_samples_at_the_same_moment_and_shares_nothing(self):
        batch = self.batch()
        other = batch.sibling(torch.tensor([4, 4, 1]))
        assert other.targets.tolist() == [1, 1, 1] and other.clock == batch.clock and other.seed == batch.seed
        assert other.memo is not batch.memo and other.live is not batch.live
        elsewhere = batch.sibling(torch.tensor([0]), made(30))
        assert len(elsewhere.data) == 30 and elsewhere.view("plain").tolist() == [[0.0]]

    def test_a_view_with_choices_is_drawn_as_a_choice(self):
        batch = self.batch()
        chosen = Signs().draw(5, batch.generator("view:signs"))
        assert torch.equal(batch.view("signs"), Signs().apply(batch.data.inputs[batch.index], chosen))

    def test_tabulated_answers_are_read_by_image_and_choice(self):
        teacher, data = Linear(frozen=True), made()
        rows = torch.arange(40.0)[:, None].expand(40, 3)
        data.tables[teacher, "signs"] = Outputs(rows)
        batch = data.batch(3, Clock(2, 20, 4), 5)
        chosen = Signs().draw(5, batch.generator("view:signs"))
        assert torch.equal(batch.outputs(teacher, "signs").logits[:, 0], 2.0 * batch.index + chosen)
        assert teacher.asked == 0


class TestMethod:
    def test_what_is_no_critic_is_an_adapter(self):
        class Both(Method):
            def __init__(self):
                super().__init__()
                self.adapter, self.critic = nn.Linear(1, 1), nn.Linear(1, 1)

            def critics(self):
                return [self.critic]

        both = Both()
        assert both.adapters() == [both.adapter]

    def test_says_nothing_it_was_not_taught(self):
        method = Method()
        assert method.critics() == method.adapters() == method.preparation(Linear(), Linear()) == []
        assert method.critic_losses(Outputs(torch.zeros(1)), Outputs(torch.zeros(1)), TestBatch().batch()) == {}
        with pytest.raises(NotImplementedError):
            method.losses(Outputs(torch.zeros(1)), Outputs(torch.zeros(1)), TestBatch().batch())

    def test_is_built_from_its_settings(self):
        class Weighted(Method):
            def __init__(self, *, weight: float = 1.0):
                super().__init__()
                self.weight = weight

        setting = Setting(Outputs(torch.zeros(1)), Outputs(torch.zeros(1)), 3, 20, Linear())
        assert Weighted.build(setting, weight=2.5).weight == 2.5


class TestScheme:
    def test_declares_nothing_untouched_unless_it_says_so(self):
        assert Scheme().untouched() == set()

    def test_must_say_what_it_trains_and_delivers(self):
        with pytest.raises(NotImplementedError):
            Scheme().stages()
        with pytest.raises(NotImplementedError):
            Scheme().delivers()


class TestNames:
    def test_a_refusal_is_an_error_in_a_value(self):
        assert issubclass(Refusal, ValueError)

    def test_an_entry_has_revision_one_until_its_numbers_change(self):
        assert Entry("kd", "loss", print).revision == 1 and Entry("kd", "loss", print).settings == {}

    def test_a_view_is_whatever_can_be_called(self):
        assert isinstance(plain, View) and isinstance(Signs(), View) and not isinstance(3, View)
