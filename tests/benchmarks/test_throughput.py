"""What the benchmark promises: its bar, its words, its exit status, what it compares. Nothing is timed."""

import json
import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from kdcore.losses import kd_loss

ROOT = Path(__file__).parents[2]
AVX = {"avx2", "avx512_bf16"}
CPU = torch.device("cpu")


@pytest.fixture
def tiny(bench, monkeypatch):
    """Small networks on made-up images, whatever images are at hand."""
    monkeypatch.setattr(bench.contenders, "asset", lambda name: SimpleNamespace(path=Path("/nowhere")))
    pair = bench.contenders.CIFAR10._replace(teacher="resnet8", student="resnet8")
    data = bench.contenders.pictures(pair, CPU, 130)
    return SimpleNamespace(pair=pair, data=data, teacher=bench.contenders.finished(pair, data))


def asked_of(network: nn.Module) -> list[torch.Tensor]:
    """What the network, or a copy of it, is asked about."""
    asked: list[torch.Tensor] = []
    network.register_forward_hook(lambda module, given, said: asked.append(given[0]))
    return asked


class TestBar:
    @pytest.mark.parametrize(
        ("able", "one", "four"),
        [(AVX | {"amx_bf16", "amx_tile"}, 3.5, 4.5), (AVX, 1.7, 2.4), ({"avx2"}, 1.3, 1.7), (set(), 1.3, 1.7)],
    )
    def test_is_that_of_what_the_processor_can_do(self, bench, able, one, four):
        bar = bench.bars.bar_of(able)
        assert (bar.one, bar.four) == (one, four)

    @pytest.mark.parametrize(
        ("one", "four", "held"), [(1.7, 2.4, True), (1.69, 9.0, False), (9.0, 2.39, False), (1.0, 1.0, False)]
    )
    def test_holds_where_both_ratios_reach_it(self, bench, one, four, held):
        found, words = bench.throughput.verdict(bench.bars.bar_of(AVX), one, four)
        assert found is held and ("DOES NOT HOLD" in words) is not held
        assert f"{one:.2f} x of 1.7 x" in words and f"{four:.2f} x of 2.4 x" in words

    def test_flags_are_words(self, bench):
        assert all(flag and " " not in flag for flag in bench.bars.flags())

    def test_two_cores_are_used_and_all_are_given_back(self, bench):
        if not hasattr(os, "sched_getaffinity"):
            pytest.skip("this system does not say on which cores a process runs")
        before = os.sched_getaffinity(0)
        with bench.bars.two_cores() as cores:
            assert cores == len(os.sched_getaffinity(0)) <= 2
        assert os.sched_getaffinity(0) == before


class TestRounds:
    def test_take_every_contender_once_a_round_and_another_one_first_each_time(self, bench):
        order = []
        contenders = {name: lambda steps, name=name: order.append((name, steps)) for name in "abc"}
        seconds = bench.timing.interleaved(contenders, 3, 7, CPU)
        assert [name for name, _ in order] == list("abcbcacab") and {steps for _, steps in order} == {7}
        assert {name: len(found) for name, found in seconds.items()} == dict.fromkeys("abc", 3)

    def test_rates_count_every_student_and_ratios_compare_within_a_round(self, bench):
        seconds = {"plain loop": [1.0, 2.0], "kdcore x 4": [2.0, 1.0]}
        found = bench.throughput.compared("kdcore x 4", seconds, 10)
        assert found.students == 4 and found.rates == [1280.0, 2560.0] and found.ratios == [2.0, 8.0]

    def test_the_fastest_way_is_chosen_and_one_that_fails_is_told(self, bench, monkeypatch, capsys):
        def broken(steps):
            raise RuntimeError("no such thing\nand more")

        made_up = {"eager": 2.0, "compiled": 1.0}
        monkeypatch.setattr(bench.throughput, "interleaved", lambda ways, *_: {name: [made_up[name]] for name in ways})
        ways = {"eager": lambda steps: None, "compiled": lambda steps: None, "replayed": broken}
        assert bench.throughput.chosen(ways, 10, CPU) == ("compiled", {"eager": 320.0, "compiled": 640.0})
        said = capsys.readouterr().out
        assert "replayed: not here (no such thing)\n" in said and "compiled: 640 images/s" in said


class TestMain:
    """The whole script with networks that do nothing and times that were made up."""

    @pytest.fixture
    def script(self, bench, monkeypatch, tmp_path):
        class Idle:
            def __init__(self, *given):
                self.run = lambda steps: None

        module = bench.throughput
        for name in ("Plain", "Ours"):
            monkeypatch.setattr(module, name, Idle)
        monkeypatch.setattr(module, "pictures", lambda *_: SimpleNamespace(name="synthetic images"))
        monkeypatch.setattr(module, "finished", lambda *_: None)

        def main(able: set[str], one: float, four: float, *more: str) -> tuple[int, dict]:
            """With our step taking so many parts of the plain loop's time."""
            taken = {"kdcore x 1": 2 / one, "kdcore x 4": 4 * 2 / four, "bare step": 1.9}
            rounds = lambda names, rounds, *_: {name: [taken.get(name, 2.0)] * rounds for name in names}
            monkeypatch.setattr(module, "interleaved", rounds)
            monkeypatch.setattr(module, "flags", lambda: able)
            monkeypatch.setattr(module, "compiler_fault", lambda kind: "not in a test")
            file = tmp_path / "found.json"
            status = module.main(["--json", str(file), *more])
            return status, json.loads(file.read_text())

        return main

    def test_ends_well_where_the_bar_holds(self, script, capsys):
        status, found = script(AVX, 2.0, 3.0)
        said = capsys.readouterr().out
        assert status == 0 and found["held"] and found["bar"]["one"] == 1.7
        assert "the bar of a CPU with AVX512-bf16 and no AMX holds" in said
        for part in ("synthetic images", "0 workers", "plain loop", "bare step", "kdcore x 1", "kdcore x 4", "thread"):
            assert part in said
        assert "  2.00 x [2.00, 2.00]" in said and "  3.00 x [3.00, 3.00]" in said

    @pytest.mark.parametrize(
        ("able", "one", "four"), [(AVX, 1.6, 3.0), (AVX, 2.0, 2.3), (AVX | {"amx_bf16"}, 2.0, 3.0)]
    )
    def test_ends_with_status_1_where_it_does_not(self, script, capsys, able, one, four):
        status, found = script(able, one, four)
        assert status == 1 and not found["held"] and "DOES NOT HOLD" in capsys.readouterr().out

    def test_writes_every_round(self, script):
        _, found = script({"avx2"}, 1.5, 1.8)
        (pair,) = found["pairs"]
        assert found["rounds"] == 6 and pair["way"] == "eager, float32"
        assert {one["name"]: len(one["rates"]) for one in pair["found"]} == dict.fromkeys(
            ("plain loop", "bare step", "kdcore x 1", "kdcore x 4"), 6
        )
        assert pair["profile"] == [] and pair["images"] == "synthetic images"

    def test_compiling_is_tried_where_it_was_seen_to_pay_and_something_can_compile(self, bench, monkeypatch):
        monkeypatch.setattr(bench.throughput, "compiler_fault", lambda kind: "")
        tried = lambda able: list(bench.throughput.manners(bench.bars.bar_of(able), CPU))
        assert tried(AVX) == ["eager"] and tried({"amx_bf16"}) == tried(set()) == ["eager", "compiled"]
        assert bench.throughput.manners(None, torch.device("cuda:1"))["compiled and replayed"] == "graphs"
        monkeypatch.setattr(bench.throughput, "compiler_fault", lambda kind: "no compiler")
        assert tried(set()) == ["eager"] == list(bench.throughput.manners(None, torch.device("cuda")))

    def test_a_gpu_has_a_goal_and_an_estimate_in_place_of_a_bar(self, bench):
        pair, rates = bench.contenders.CIFAR10, [64_000.0, 64_000.0]
        found = [{"name": "kdcore x 16", "students": 16, "rates": rates, "ratios": [12.0, 13.0]}]
        said = bench.throughput.towards({"pair": pair._asdict(), "found": found})
        assert "20 x, measured with 16 students: 12.5 x" in said
        assert "16 rows of si2023-table1, 3 seeds, 240 epochs would take 150 minutes" in said

    def test_on_a_gpu_both_pairs_are_measured_with_profiles_and_kept_one_by_one(
        self, bench, monkeypatch, script, capsys, tmp_path
    ):
        module = bench.throughput
        monkeypatch.setattr(module.torch.cuda, "is_available", lambda: True)
        monkeypatch.setattr(module.torch.cuda, "get_device_name", lambda device: "a GPU")
        monkeypatch.setattr(module, "shares", lambda *_: [("a kernel", 0.75), ("no kernel running", 0.25)])
        status, found = script(set(), 10.0, 12.0, "--device", "cuda")
        said = capsys.readouterr().out
        assert status == 0 and "held" not in found and found["machine"] == "a GPU, 1 thread"
        assert [one["pair"]["table"] for one in found["pairs"]] == ["si2023-table1", "zhao2026-table2"]
        assert "goal on one H200-class GPU: 20 x" in said and "goal on one H200-class GPU: 10 x" in said
        assert said.count("75.0%  a kernel") == 2 and "kdcore x 16" in said

    def test_another_device_is_refused(self, bench, capsys):
        with pytest.raises(SystemExit):
            bench.throughput.parsed(["--device", "meta"])
        assert "--device must be cpu or cuda, got meta" in capsys.readouterr().err


class TestPlain:
    def test_asks_the_teacher_at_every_step_about_64_pictures_of_its_own(self, bench, tiny):
        asked = asked_of(tiny.teacher)
        plain = bench.contenders.Plain(tiny.pair, tiny.data, tiny.teacher, 0, 1)
        before = [parameter.detach().clone() for parameter in plain.student.parameters()]
        plain.run(3)  # 130 pictures are two steps, so that a new pass begins
        assert [images.shape for images in asked] == [(64, 3, 32, 32)] * 3
        assert all(images.dtype == torch.float32 and 0 <= images.min() < images.max() <= 1 for images in asked)
        assert any(not torch.equal(one, other) for one, other in zip(before, plain.student.parameters()))

    def test_the_bare_step_sees_one_batch_again_and_again(self, bench, tiny):
        asked = asked_of(tiny.teacher)
        bench.contenders.Plain(tiny.pair, tiny.data, tiny.teacher, None, 1).run(2)
        assert torch.equal(asked[0], asked[1]) and torch.equal(asked[0], tiny.data.inputs[:64].float() / 255)

    def test_pictures_are_cropped_and_mirrored_images(self, bench, tiny):
        photographs = bench.contenders.Photographs(tiny.data)
        views = bench.contenders.Shift(pad=4, mirror=True)
        every = views.apply(tiny.data.inputs[:1].expand(162, -1, -1, -1), torch.arange(162)).float() / 255
        image, label = photographs[0]
        assert label == tiny.data.targets[0] and len(photographs) == 130
        assert (every - image).abs().amax((1, 2, 3)).min() < 1e-6

    def test_learns_by_the_loss_that_ours_learns_by(self, bench):
        said, lesson = (3 * torch.sin(speed * torch.arange(50.0)).view(5, 10) for speed in (1.0, 2.0))
        labels = torch.arange(5)
        loss = bench.contenders.usual_loss(said, lesson, labels)
        ours = 0.9 * kd_loss(said, lesson, temperature=4.0) + 0.1 * nn.functional.cross_entropy(said, labels)
        torch.testing.assert_close(loss, ours)

    def test_runs_as_scripts_do_and_leaves_our_settings(self, bench):
        torch.use_deterministic_algorithms(True)
        before = torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark
        with bench.contenders.usual(1):
            assert not torch.are_deterministic_algorithms_enabled() and torch.backends.cudnn.benchmark
        assert (torch.get_deterministic_debug_mode(), torch.backends.cudnn.benchmark) == before


class TestOurs:
    @pytest.mark.parametrize("precision", ["float32", "bfloat16"])
    def test_four_students_take_every_step_and_share_one_answer_of_the_teacher(self, bench, tiny, precision):
        recipe = bench.contenders.recipe_of(precision, 1, False)
        ours = bench.contenders.Ours(tiny.pair, tiny.data, tiny.teacher, recipe, 4)
        (teacher,) = {run.scheme.outside[0] for run in ours.runs}
        asked = asked_of(teacher)
        ours.run(1)
        ours.run(2)
        assert len(asked) == 3 and [run.step for run in ours.runs] == [3] * 4
        weights = [torch.cat([p.detach().flatten() for p in run.scheme.parameters()]) for run in ours.runs]
        assert all(not torch.equal(weights[0], other) for other in weights[1:])
        assert all(run.failed is None for run in ours.runs)

    def test_is_trained_by_the_surveys_recipe(self, bench):
        recipe = bench.contenders.recipe_of("bfloat16", 2, "graphs")
        assert (recipe.batch_size, recipe.optimizer, recipe.momentum, recipe.channels_last) == (64, "sgd", 0.9, True)
        assert (recipe.threads, recipe.compile, recipe.precision) == (2, "graphs", "bfloat16")


class TestImages:
    def test_are_made_up_where_there_are_none_and_the_name_says_so(self, tiny):
        assert tiny.data.name == "synthetic images" and tiny.data.inputs.shape == (130, 3, 32, 32)
        assert tiny.data.inputs.dtype == torch.uint8 and tiny.data.targets.max() <= 9

    def test_are_the_real_ones_where_they_are_at_hand(self, bench, monkeypatch, tmp_path):
        monkeypatch.setattr(bench.contenders, "asset", lambda name: SimpleNamespace(path=tmp_path))
        monkeypatch.setattr(bench.contenders, "load", lambda name, device: (name, device))
        assert bench.contenders.pictures(bench.contenders.CIFAR100, CPU) == ("cifar100", CPU)


class TestShares:
    def test_are_parts_of_a_whole_the_largest_first(self, bench):
        values = torch.ones(64, 64)
        found = bench.timing.shares(lambda steps: [values @ values for _ in range(steps)], 5, CPU)
        assert [share for _, share in found] == sorted((share for _, share in found), reverse=True)
        assert 0.5 < sum(share for _, share in found) <= 1 + 1e-9 and any("mm" in name for name, _ in found)


BLOCKED = """
import sys
class Missing:
    def find_spec(self, name, *rest):
        if name.partition(".")[0] in {names!r}:
            raise ModuleNotFoundError(name)
sys.meta_path.insert(0, Missing())
sys.path.insert(0, {folder!r})
sys.argv = ["throughput.py", "--help"]
import runpy
runpy.run_path({script!r}, run_name="__main__")
"""
OPTIONAL = ("papermill", "jupyterlab", "nbformat", "nbclient", "pandas", "seaborn", "matplotlib", "sklearn", "scipy")


@pytest.mark.slow
def test_runs_on_a_machine_that_has_little_more_than_torch():
    names = (*OPTIONAL, "typer", "rich", "yaml", "safetensors", "jaxtyping")
    script = ROOT / "benchmarks" / "throughput.py"
    code = BLOCKED.format(names=names, script=str(script), folder=str(script.parent))
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd="/", timeout=300)
    assert said.returncode == 0, said.stderr
    assert "--json" in said.stdout
