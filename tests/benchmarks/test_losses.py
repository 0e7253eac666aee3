"""What the benchmark promises: its table, its bars, what it refuses. Nothing here is timed."""

import csv
import json

import pytest
import torch

import kdcore.losses

COMPARED = {
    "kd_loss", "dkd_loss", "dist_loss", "fitnet_loss", "at_loss", "vid_loss", "ab_loss", "ofd_loss", "reviewkd_loss",
    "factor_transfer_loss", "nst_loss", "sp_loss", "cc_loss", "rkd_loss", "pkt_loss", "fsp_loss", "kdsvd_loss",
    "irg_loss", "crd_loss",
}  # fmt: skip


@pytest.fixture
def made_up(bench):
    """Measured numbers of a contender: as many times as slow as one millisecond, so many bytes."""
    return lambda times, memory: bench.measure.Measured([1e-3 * times, 1e-3 * times, 1e-3 * times], memory, 2.0)


class TestTable:
    def test_every_line_names_a_loss_and_peers_that_are_known(self, bench):
        for line in bench.table.LINES:
            assert callable(getattr(kdcore.losses, line.loss)) and line.peers
            assert set(line.peers) <= set(bench.peers.MARKS) and set(line.gains) <= set(line.peers)
        keys = [(line.loss, line.shape) for line in bench.table.LINES]
        assert len(set(keys)) == len(keys) and {loss for loss, _ in keys} >= COMPARED

    def test_gains_are_those_above_four_at_a_size_at_least(self, bench):
        gains = [gain for line in bench.table.LINES for gain in line.gains.values()]
        assert gains and all(max(gain) > 4 and len(gain) == len(bench.losses.BATCHES) for gain in gains)

    def test_our_side_of_every_line_is_a_finite_loss_with_a_gradient(self, bench, monkeypatch):
        for module in (bench.calls, bench.table):
            monkeypatch.setattr(module, "SAMPLES", 50)
            monkeypatch.setattr(module, "NEGATIVES", 6)
        for line in bench.table.LINES:
            given = line.given(3, torch.device("cpu"))
            loss = line.ours(given)
            for _ in range(2):  # a memory is written between them
                value = loss()
                value.backward()
            assert value.isfinite() and all(leaf.grad.isfinite().all() for leaf in given.leaves), line.loss
            assert given.student[0].grad.abs().max() > 0


class TestPeers:
    def test_are_found_in_a_folder_or_one_below_it(self, bench, checkout):
        (peer,) = bench.peers.found(checkout)
        assert (peer.name, peer.folder.name, peer.commit) == ("RepDistiller", "somewhere", "0123456789abcdef")
        assert bench.peers.found(peer.folder) == [peer]

    def test_none_is_found_where_there_is_none(self, bench, tmp_path):
        assert bench.peers.found(tmp_path) == bench.peers.found(tmp_path / "nowhere") == []

    def test_a_file_is_loaded_without_its_package(self, bench, checkout, monkeypatch):
        for name in [name for name in bench.peers.sys.modules if name.startswith("peer_")]:
            monkeypatch.delitem(bench.peers.sys.modules, name)
        (peer,) = bench.peers.found(checkout)
        criterion = peer.module("distiller_zoo.KD").DistillKL(4.0)
        assert criterion(torch.ones(2), torch.zeros(2)) == 2.0

    def test_a_commit_nobody_knows_is_said_so(self, bench, checkout):
        (peer,) = bench.peers.found(checkout)
        (peer.folder / "COMMIT").unlink()
        assert peer.commit == "unknown"


class TestBars:
    def test_half_of_a_large_gain_else_hardly_slower(self, bench):
        lines = {(line.loss, line.shape): line for line in bench.table.LINES}
        nst, kd = lines["nst_loss", "maps 256 x 8 x 8"], lines["kd_loss", "logits"]
        assert bench.losses.bar(nst, "RepDistiller", 0) == pytest.approx(335 / 2)
        assert bench.losses.bar(kd, "RepDistiller", 1) == 0.95
        fsp = lines["fsp_loss", "three stages"]
        assert bench.losses.bar(fsp, "RepDistiller", 1) == 7.5 and bench.losses.bar(fsp, "KD-Zoo", 1) == 0.95

    @pytest.mark.parametrize(
        ("ours", "theirs", "held"),
        [
            ((1.0, 100), (1.0, 100), True),
            ((1.0, 100), (0.96, 100), True),
            ((1.0, 100), (0.94, 100), False),
            ((0.1, 101), (1.0, 100), False),
        ],
    )
    def test_time_and_memory_must_both_hold(self, bench, checkout, made_up, ours, theirs, held):
        line = next(line for line in bench.table.LINES if line.loss == "kd_loss")
        (peer,) = bench.peers.found(checkout)
        found = {"kdcore": made_up(*ours), "RepDistiller": made_up(*theirs)}
        (row,) = bench.losses.judged(line, 64, 0, found, [peer])
        assert row["held"] is held and row["ratio"] == pytest.approx(theirs[0] / ours[0])
        assert (row["megabytes"], row["difference"], row["commit"]) == (ours[1] / 1e6, 0.0, "0123456789abcdef")


class TestMeasure:
    def test_median_ratio_of_rounds_that_belong_together(self, bench):
        assert bench.measure.ratios([1.0, 2.0, 4.0], [2.0, 2.0, 16.0]) == (2.0, 1.0, 4.0)

    def test_everyone_is_asked_in_every_round_and_another_one_first(self, bench, monkeypatch):
        ticks, asked = iter(range(10**6)), []
        monkeypatch.setattr(bench.measure.time, "perf_counter", lambda: float(next(ticks)))
        leaf = torch.ones(3, requires_grad=True)

        def contender(name):
            def loss():
                asked.append(name)
                return (leaf * leaf).sum()

            return loss

        found = bench.measure.measured({name: contender(name) for name in "ab"}, [leaf], rounds=4)
        assert asked[6:] == list("abbaabba") and [len(found[name].seconds) for name in "ab"] == [4, 4]
        assert torch.equal(leaf.grad, 2 * leaf) and found["a"].value == 3.0  # gradients were forgotten in between

    def test_peak_counts_what_a_step_makes_and_still_holds(self, bench):
        x = torch.ones(1000)
        cpu = torch.device("cpu")
        assert bench.measure.peak(lambda: x * 2, cpu) == 4000
        assert bench.measure.peak(lambda: (x * 2) + (x * 3), cpu) == 12000
        assert bench.measure.peak(lambda: x.view(10, 100).add_(1), cpu) == 0

        def one_after_the_other():
            for _ in range(5):
                x * 2

        assert bench.measure.peak(one_after_the_other, cpu) <= 8000

    def test_peak_sees_the_backward_pass(self, bench):
        leaf = torch.ones(1000, requires_grad=True)
        forward = bench.measure.peak(lambda: leaf.square().sum(), torch.device("cpu"))
        assert bench.measure.peak(lambda: leaf.square().sum().backward(), torch.device("cpu")) > forward


class TestMain:
    @pytest.fixture(autouse=True)
    def tables(self, bench, monkeypatch, tmp_path):
        monkeypatch.setattr(bench.losses, "TABLE", tmp_path / "losses.csv")
        monkeypatch.setattr(bench.losses, "BATCHES", (4, 6))
        monkeypatch.setattr(
            bench.losses, "LINES", [line for line in bench.table.LINES if line.loss in ("kd_loss", "dkd_loss")]
        )

    def numbers(self, bench, monkeypatch, made_up, ours, theirs):
        found = {"kdcore": made_up(*ours), "RepDistiller": made_up(*theirs)}
        monkeypatch.setattr(bench.losses, "measured", lambda contenders, leaves, rounds: found)

    def test_a_folder_without_peers_is_refused(self, bench, tmp_path, capsys):
        assert bench.losses.main(["--peers", str(tmp_path / "nowhere")]) == 1
        said = capsys.readouterr().err
        assert "holds none of" in said and "https://github.com/HobbitLong/RepDistiller" in said

    def test_a_loss_nobody_knows_is_refused(self, bench, checkout, capsys):
        assert bench.losses.main(["--peers", str(checkout), "--only", "no_loss"]) == 1
        assert "no loss of that name" in capsys.readouterr().err

    def test_all_bars_held_is_status_zero_and_writes_the_table(
        self, bench, checkout, monkeypatch, made_up, tmp_path, capsys
    ):
        self.numbers(bench, monkeypatch, made_up, (1.0, 100), (1.2, 200))
        told = tmp_path / "told.json"
        assert bench.losses.main(["--peers", str(checkout), "--json", str(told)]) == 0
        rows, lines = json.loads(told.read_text()), bench.losses.TABLE.read_text().splitlines()
        first, second = csv.DictReader(lines)
        assert [row["batch"] for row in rows] == [4, 6] == [int(first["batch"]), int(second["batch"])]
        assert first["peer"] == "RepDistiller" and first["held"] == "True" and first["machine"] and first["versions"]
        assert "2 of 2 comparisons hold their bars" in capsys.readouterr().out

    def test_a_broken_bar_is_status_one(self, bench, checkout, monkeypatch, made_up, capsys):
        self.numbers(bench, monkeypatch, made_up, (1.0, 100), (0.5, 200))
        assert bench.losses.main(["--peers", str(checkout)]) == 1
        assert "BROKEN" in capsys.readouterr().out and bench.losses.TABLE.is_file()

    def test_some_losses_alone_leave_the_table_as_it_is(self, bench, checkout, monkeypatch, made_up):
        self.numbers(bench, monkeypatch, made_up, (1.0, 100), (1.2, 200))
        assert bench.losses.main(["--peers", str(checkout), "--only", "kd_loss"]) == 0
        assert not bench.losses.TABLE.exists()

    def test_really_calls_both_sides(self, bench, checkout, monkeypatch, tmp_path):
        monkeypatch.setattr(bench.measure, "LEAST", 1e-9)
        told = tmp_path / "told.json"
        bench.losses.main(["--peers", str(checkout), "--only", "kd_loss", "--rounds", "1", "--json", str(told)])
        rows = json.loads(told.read_text())
        assert len(rows) == 2 and all(row["difference"] > 0 and row["megabytes"] > 0 for row in rows)
