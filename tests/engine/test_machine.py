"""What a recipe fixes about the machine."""

import logging
import os

import pytest
import torch
from torch import nn

from kdcore.engine import Recipe, compile_network, prepare, promise


class TestPrepare:
    def test_threads_come_from_the_recipe(self):
        assert prepare(Recipe(threads=2)) == torch.device("cpu")
        assert torch.get_num_threads() == 2
        prepare(Recipe())
        assert torch.get_num_threads() == 1

    def test_algorithms_are_deterministic(self):
        torch.use_deterministic_algorithms(False)
        prepare(Recipe(), "cpu")
        assert torch.are_deterministic_algorithms_enabled()
        assert not torch.utils.deterministic.fill_uninitialized_memory
        assert not torch.backends.cudnn.benchmark
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"]


class TestPromise:
    def test_is_the_strong_one_on_a_cpu_in_eager_mode_alone(self):
        strong = promise(Recipe(), "cpu")
        assert "in company" in strong
        assert promise(Recipe(precision="bfloat16", threads=2), torch.device("cpu")) == strong
        assert promise(Recipe(compile=True), "cpu") == promise(Recipe(), "cuda:1") != strong


class TestCompileNetwork:
    @pytest.fixture
    def compiler(self, monkeypatch):
        from torch._inductor import cpp_builder

        return lambda answer: monkeypatch.setattr(cpp_builder, "get_cpp_compiler", answer)

    def test_without_a_compiler_it_stays_eager_and_says_so_in_one_line(self, compiler, caplog):
        def none():
            raise RuntimeError("No working C++ compiler found\nand much more")

        compiler(none)
        network = nn.Linear(2, 2)
        with caplog.at_level(logging.WARNING):
            assert compile_network(network) is network
        assert network._compiled_call_impl is None
        (record,) = caplog.records
        assert "no working compiler (No working C++ compiler found)" in record.getMessage()

    def test_with_one_the_network_itself_is_compiled_and_keeps_its_names(self, compiler, monkeypatch):
        compiler(lambda: "g++")
        monkeypatch.setattr(torch, "compile", lambda function, **settings: function)
        network = nn.Linear(2, 2)
        assert compile_network(network) is network
        assert network._compiled_call_impl is not None
        assert list(network.state_dict()) == ["weight", "bias"]
