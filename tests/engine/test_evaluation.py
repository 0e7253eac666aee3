"""Judging: the whole split, without a trace."""

import pytest
import torch
from proof import bits
from zoo import make_run, net
from zoo.data import counting, judged_stripes, stripes
from zoo.networks import Speaker, fresh

from kdcore.engine import evaluate, judge
from kdcore.types import Task


class TestEvaluate:
    def test_is_accuracy_and_cross_entropy_over_the_whole_set(self):
        data, network = stripes(count=23), net(0).eval()
        logits = network(data.inputs).logits.detach().double()
        right = sum(int(row.argmax()) == int(target) for row, target in zip(logits, data.targets))
        nats = -logits.log_softmax(1)[torch.arange(23), data.targets].mean().item()
        assert evaluate(net(0), data) == {"accuracy": right / 23, "cross_entropy": pytest.approx(nats, rel=1e-6)}

    def test_a_large_set_is_taken_in_parts(self):
        data, network, sizes = stripes(count=2300), net(0), []
        hook = network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
        found = evaluate(network, data)
        hook.remove()
        logits = network.eval()(data.inputs).logits.detach()
        assert sizes == [1000, 1000, 300]
        assert found["accuracy"] == pytest.approx((logits.argmax(1) == data.targets).double().mean().item())
        nats = torch.nn.functional.cross_entropy(logits, data.targets).item()
        assert found["cross_entropy"] == pytest.approx(nats, rel=1e-5)

    def test_any_task_judges_in_its_own_way(self):
        found = evaluate(fresh(Speaker, "student"), counting(40))
        assert set(found) == {"perplexity", "nats"} and 5 < found["perplexity"] < 25

    def test_is_done_in_eval_mode_without_a_graph_and_leaves_no_trace(self):
        network, seen = net(0), []
        network.dropout.eval()
        before, modes = bits(network.state_dict()), [module.training for module in network.modules()]
        network.register_forward_hook(
            lambda module, inputs, said: seen.append(
                (any(each.training for each in module.modules()), said.logits.requires_grad)
            )
        )
        evaluate(network, stripes(20))
        assert seen == [(False, False)]
        assert bits(network.state_dict()) == before
        assert [module.training for module in network.modules()] == modes

    def test_leaves_no_trace_when_it_fails_either(self):
        class Impossible(Task):
            def evaluate(self, predict, data):
                raise ValueError("cannot be judged")

        network = net(0)
        data = stripes(20)
        with pytest.raises(ValueError, match="cannot be judged"):
            evaluate(network, type(data)(data.inputs, data.targets, Impossible(), data.views))
        assert all(module.training for module in network.modules()) and torch.is_grad_enabled()


class TestJudge:
    def test_gives_every_delivered_network_the_ranked_one_first(self, world):
        run = make_run("two-peers", world)
        found = judge(run.scheme, run.data)
        assert list(found) == ["peer0", "ensemble"]
        assert found["peer0"] == evaluate(run.scheme.peers[0], world.images.splits["test"])

    def test_takes_the_named_split_or_the_data_themselves(self, world):
        scheme, data = make_run("soft", world).scheme, judged_stripes()
        assert judge(scheme, data)["student"] == evaluate(scheme.student, data.splits["test"])
        assert judge(scheme, data, "validation")["student"] == evaluate(scheme.student, data)

    def test_is_what_a_run_results_in(self, world):
        run = make_run("two-peers", world)
        assert run.result() == judge(run.scheme, run.data)
