"""What a recipe fixes about the machine."""

import json
import logging
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from kdcore.engine import Recipe, compile_network, machine, prepare, promise
from kdcore.engine.machine import arithmetic, begin_step, free_bytes


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


class TestArithmetic:
    def test_bfloat16_is_autocast_and_float32_is_nothing(self):
        values = torch.ones(2, 2)
        with arithmetic("bfloat16", "cpu"):
            assert (values @ values).dtype == torch.bfloat16
        with arithmetic("float32", "cpu"):
            assert (values @ values).dtype == torch.float32


class TestFreeBytes:
    def test_is_some_of_what_the_machine_has(self):
        free = free_bytes("cpu")
        whole = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        assert free is None or 0 < free <= whole

    def test_is_not_known_where_the_system_does_not_say(self, monkeypatch):
        def missing(*_, **__):
            raise FileNotFoundError

        monkeypatch.setattr(machine.Path, "read_text", missing)
        assert free_bytes("cpu") is None


class TestCompileNetwork:
    @pytest.fixture
    def compiler(self, monkeypatch):
        """What finds a compiler answers as told; what compiles does nothing."""
        from torch._inductor import cpp_builder

        monkeypatch.setattr(machine, "_faults", {})
        monkeypatch.setattr(torch, "compile", lambda function, **settings: function)
        return lambda answer: monkeypatch.setattr(cpp_builder, "get_cpp_compiler", answer)

    @pytest.fixture
    def compiled(self, monkeypatch):
        """The settings with which networks are compiled."""
        seen = []
        monkeypatch.setattr(machine, "_faults", {"cpu": "", "cuda": ""})
        monkeypatch.setattr(nn.Module, "compile", lambda network, **settings: seen.append(settings))
        return seen

    def test_without_a_compiler_all_stay_eager_and_one_line_says_so(self, compiler, caplog):
        def none():
            raise RuntimeError("No working C++ compiler found\nand much more")

        compiler(none)
        networks = [nn.Linear(2, 2) for _ in range(3)]
        with caplog.at_level(logging.WARNING):
            assert [compile_network(network) for network in networks] == networks
        assert all(network._compiled_call_impl is None for network in networks)
        (record,) = caplog.records
        assert "no working compiler (No working C++ compiler found): the networks stay eager" in record.getMessage()

    def test_a_compiler_that_is_there_and_does_not_work_is_none(self, compiler, monkeypatch, caplog):
        def compile(function, **settings):
            def refused(*given):
                raise ValueError("Python.h: no such file")

            return refused

        compiler(lambda: "g++")
        monkeypatch.setattr(torch, "compile", compile)
        with caplog.at_level(logging.WARNING):
            assert compile_network(nn.Linear(2, 2))._compiled_call_impl is None
        assert "Python.h" in caplog.text

    def test_with_one_the_network_itself_is_compiled_and_keeps_its_names(self, compiler):
        compiler(lambda: "g++")
        network = nn.Linear(2, 2)
        assert compile_network(network) is network
        assert network._compiled_call_impl is not None
        assert list(network.state_dict()) == ["weight", "bias"]

    @pytest.mark.parametrize(
        ("how", "device", "mode"),
        [(True, "cpu", None), (True, "cuda", None), ("graphs", "cpu", None), ("graphs", "cuda:1", "reduce-overhead")],
    )
    def test_graphs_are_replayed_on_a_gpu_alone(self, compiled, how, device, mode):
        compile_network(nn.Linear(2, 2), how, device)
        assert [settings["mode"] for settings in compiled] == [mode]

    def test_an_eager_recipe_compiles_nothing(self, compiled):
        compile_network(nn.Linear(2, 2), Recipe().compile)
        assert not compiled

    @pytest.mark.parametrize(
        ("how", "device", "told"),
        [("graphs", "cuda", 1), ("graphs", "cpu", 0), (True, "cuda", 0), (False, "cuda", 0)],
    )
    def test_graphs_are_told_where_a_step_begins(self, monkeypatch, how, device, told):
        marks = []
        monkeypatch.setattr(torch.compiler, "cudagraph_mark_step_begin", lambda: marks.append(1))
        begin_step([Recipe(), Recipe(compile=how)], device)
        assert len(marks) == told


@pytest.mark.slow
class TestCompiledTraining:
    """With the compiler that is at hand."""

    def test_is_eager_training_in_double_precision_and_the_same_bits_when_repeated_or_resumed(self):
        script = Path(__file__).with_name("compiled.py")
        said = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True, timeout=600)
        found = json.loads(said.stdout)
        if "fault" in found:
            pytest.skip(f"nothing can be compiled here: {found['fault']}")
        untouched = [found["difference"].pop(name) for name in found["untouched"]]
        assert min(found["moved"]["student.low.weight"], found["moved"]["student.late.bias"]) > 1e-3
        assert max(found["difference"].values()) < 1e-12
        assert set(found["repeated"].values()) == set(found["resumed"].values()) == {0.0}
        assert min(untouched) > 0  # a compiled head that no loss reaches has gradients of zero, and decays
