"""Files are whole or not there; what is wrong with one, or with the disk or the network, is one sentence."""

import errno
import hashlib
import http.server
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from kdcore import data
from kdcore.data import DataProblem, UnknownName, files, registry

CONTENT = bytes(range(256)) * 5000  # 1.3 MB: more than one block of a download
CHECKPOINT = "resnet20-a-cifar10"


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("KDCORE_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.fixture
def address():
    """A server of this machine: /whole, /other (wrong bytes), /short (cut off), /none (404)."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            body = {"/whole": CONTENT, "/other": CONTENT[::-1], "/short": CONTENT[:700_000]}.get(self.path)
            if body is None:
                return self.send_error(404)
            self.send_response(200)
            self.send_header("Content-Length", str(len(CONTENT)))
            self.end_headers()
            self.wfile.write(body)
            return None

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def served(address, monkeypatch):
    """The checkpoint as if it were published at the server under a path."""

    def at(path: str) -> None:
        known = replace(
            registry.asset(CHECKPOINT),
            source=address + path,
            sha256=hashlib.sha256(CONTENT).hexdigest(),
            size=len(CONTENT),
        )
        monkeypatch.setitem(registry.ASSETS, CHECKPOINT, known)

    return at


def one_sentence(problem: pytest.ExceptionInfo) -> bool:
    return "\n" not in str(problem.value) and ":" in str(problem.value)


class TestNames:
    def test_data_sets_and_the_three_checkpoints(self):
        assert data.names("images") == ("digits", "digits-100", "cifar10", "cifar100")
        assert data.names("text") == ("topics", "topics-masked")
        assert data.names("checkpoint") == tuple(f"resnet{depth}-a-cifar10" for depth in (20, 32, 56))
        assert set(data.names()) == {name for kind in ("images", "text", "checkpoint") for name in data.names(kind)}

    @pytest.mark.parametrize("ask", [data.load, data.get, data.asset])
    def test_an_unknown_name_is_answered_with_the_nearest(self, ask):
        with pytest.raises(UnknownName, match=r"no data set or checkpoint is called 'cifar-10', .* 'cifar10'"):
            ask("cifar-10")

    def test_a_checkpoint_is_no_data_set(self):
        with pytest.raises(UnknownName, match="resnet20-a-cifar10 is a checkpoint"):
            data.load(CHECKPOINT)

    def test_checkpoints_name_an_architecture_a_licence_and_a_public_address(self):
        from kdcore.models import names

        for name in data.names("checkpoint"):
            each = data.asset(name)
            assert each.architecture in names() and each.licence == "BSD-2-Clause" and len(each.sha256) == 64
            assert each.source.startswith("https://github.com/akamaster/pytorch_resnet_cifar10/")
            assert each.sha256.startswith(each.file.split("-")[1].removesuffix(".th"))

    def test_listing_is_plain_data_and_opens_nothing(self, place):
        rows = data.listing()
        assert [row["name"] for row in rows] == list(data.names())
        states = {row["name"]: row["state"] for row in rows}
        assert states["digits"] == "built in" and states["cifar10"] == "missing" and not place.exists()
        place.mkdir()
        (place / "cifar10.npz").write_bytes(b"")
        assert {row["name"]: row["state"] for row in data.listing()}["cifar10"] == "here"

    def test_asking_what_there_is_loads_neither_torch_nor_numpy(self):
        code = (
            "import sys, kdcore.data as d; d.names(); d.listing(); d.asset('digits');"
            "print(sorted({'torch', 'torchvision', 'numpy', 'sklearn', 'pandas'} & set(sys.modules)))"
        )
        root = Path(data.__file__).parents[2]
        found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=root)
        assert found.stdout.strip() == "[]"

    def test_the_folder_is_the_variables_or_the_cache(self, monkeypatch):
        monkeypatch.setenv("KDCORE_DATA", "~/somewhere")
        assert files.folder() == Path.home() / "somewhere"
        monkeypatch.delenv("KDCORE_DATA")
        assert files.folder() == Path.home() / ".cache" / "kdcore"


class TestGet:
    def test_a_file_is_fetched_checked_and_then_left_alone(self, place, served):
        served("/whole")
        told = []
        found = data.get(CHECKPOINT, progress=lambda done, size: told.append((done, size)))
        path = place / "resnet20-12fca82f.th"
        assert found == {"name": CHECKPOINT, "path": str(path), "state": "fetched"}
        assert path.read_bytes() == CONTENT and told[-1] == (len(CONTENT), len(CONTENT)) and len(told) > 1
        before = path.stat().st_mtime_ns
        assert data.get(CHECKPOINT)["state"] == "already here" and path.stat().st_mtime_ns == before
        assert data.verify(data.asset(CHECKPOINT)) == path and [each.name for each in place.iterdir()] == [path.name]

    def test_a_damaged_file_is_fetched_anew(self, place, served):
        served("/whole")
        place.mkdir()
        (place / "resnet20-12fca82f.th").write_bytes(CONTENT[:1000])
        assert data.get(CHECKPOINT)["state"] == "fetched"
        assert (place / "resnet20-12fca82f.th").read_bytes() == CONTENT

    def test_what_comes_with_a_package_needs_no_fetching(self, place):
        assert data.get("digits") == {"name": "digits", "path": "", "state": "built in"} and not place.exists()

    @pytest.mark.parametrize(
        ("path", "says"),
        [
            ("/other", r"sent 1,280,000 bytes that are not resnet20-12fca82f.th \(SHA-256 .* try again later"),
            ("/short", r"(sent 700,000 bytes that are not|could not be reached)"),
            ("/none", r"answered 404 Not Found: check the network, or put resnet20-12fca82f.th into"),
        ],
    )
    def test_a_bad_answer_leaves_no_file_and_the_old_one_alone(self, place, served, path, says):
        served(path)
        with pytest.raises(DataProblem, match=says) as problem:
            data.get(CHECKPOINT)
        assert one_sentence(problem) and not list(place.iterdir())
        (place / "resnet20-12fca82f.th").write_bytes(b"old")
        with pytest.raises(DataProblem):
            data.get(CHECKPOINT)
        assert (place / "resnet20-12fca82f.th").read_bytes() == b"old" and len(list(place.iterdir())) == 1

    def test_no_network_is_one_sentence_with_a_way_out(self, place, monkeypatch):
        known = replace(registry.asset(CHECKPOINT), source="http://127.0.0.1:9/none")
        monkeypatch.setitem(registry.ASSETS, CHECKPOINT, known)
        with pytest.raises(
            DataProblem, match=r"could not be reached .* put resnet20-12fca82f.th into .* by hand"
        ) as found:
            data.get(CHECKPOINT)
        assert one_sentence(found) and not list(place.iterdir())


class TestCheck:
    def test_tells_whole_damaged_and_missing_apart(self, place, served):
        served("/whole")
        state = lambda: {row["name"]: row for row in data.check()}[CHECKPOINT]
        assert state()["state"] == "missing" and "kdcore data get" in state()["problem"]
        data.get(CHECKPOINT)
        assert (state()["state"], state()["problem"], state()["bytes"]) == ("whole", "", len(CONTENT))
        (place / "resnet20-12fca82f.th").write_bytes(CONTENT[:-1])
        assert state()["state"] == "damaged" and "half downloaded" in state()["problem"]

    def test_is_plain_data_for_every_name(self, place):
        rows = data.check()
        assert [row["name"] for row in rows] == list(data.names())
        assert all(set(row) == {"name", "path", "bytes", "problem", "state"} for row in rows)
        assert {row["state"] for row in rows} == {"built in", "missing"}


def failing(number: int):
    def fail(*_, **__):
        raise OSError(number, os.strerror(number))

    return fail


class TestWriting:
    @pytest.mark.parametrize("call", ["fsync", "replace"])
    @pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
    def test_a_full_disk_is_said_and_leaves_the_old_file(self, tmp_path, monkeypatch, call, number):
        path = tmp_path / "file"
        path.write_bytes(b"old")
        monkeypatch.setattr(files.os, call, failing(number))
        with (
            pytest.raises(DataProblem, match=r"the disk is full, .*file was not written: make room in") as problem,
            files.written(path) as file,
        ):
            file.write(b"new")
        assert one_sentence(problem) and path.read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1

    def test_a_disk_that_fills_while_writing_leaves_nothing(self, tmp_path):
        with pytest.raises(DataProblem, match="the disk is full"), files.written(tmp_path / "file") as file:
            file.write(b"half")
            failing(errno.ENOSPC)()
        assert not list(tmp_path.iterdir())

    @pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM])
    def test_a_folder_that_cannot_be_written_is_named(self, tmp_path, monkeypatch, number):
        monkeypatch.setattr(files.tempfile, "mkstemp", failing(number))
        says = f"{tmp_path} cannot be written: change its permissions or set KDCORE_DATA"
        with pytest.raises(DataProblem, match=says), files.written(tmp_path / "file") as file:
            file.write(b"new")
        assert not list(tmp_path.iterdir())

    @pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="the superuser may write anywhere")
    def test_a_read_only_folder_is_named(self, tmp_path):
        tmp_path.chmod(0o500)
        with pytest.raises(DataProblem, match="cannot be written"), files.written(tmp_path / "file") as file:
            file.write(b"new")

    def test_a_file_where_the_folder_should_be_is_named(self, tmp_path, monkeypatch, served):
        served("/whole")
        (tmp_path / "data").write_bytes(b"")
        monkeypatch.setenv("KDCORE_DATA", str(tmp_path / "data"))
        with pytest.raises(DataProblem, match="a file and a folder stand in each other's place") as problem:
            data.get(CHECKPOINT)
        assert one_sentence(problem)

    def test_an_error_while_writing_leaves_the_old_file(self, tmp_path):
        (tmp_path / "file").write_bytes(b"old")
        with pytest.raises(KeyboardInterrupt), files.written(tmp_path / "file") as file:
            file.write(b"new")
            raise KeyboardInterrupt
        assert (tmp_path / "file").read_bytes() == b"old" and len(list(tmp_path.iterdir())) == 1

    def test_a_new_file_has_the_usual_permissions(self, tmp_path):
        with files.written(tmp_path / "file") as file:
            file.write(b"new")
        (tmp_path / "usual").touch()
        assert (tmp_path / "file").stat().st_mode == (tmp_path / "usual").stat().st_mode

    @pytest.mark.slow
    def test_a_process_killed_while_writing_leaves_no_half_file_under_the_name(self, tmp_path):
        (tmp_path / "file").write_bytes(b"old")
        code = (
            "import sys, time; from pathlib import Path; from kdcore.data.files import written\n"
            f"with written(Path({str(tmp_path / 'file')!r})) as file:\n"
            "    file.write(bytes(1000)); file.flush(); print('half', flush=True); time.sleep(60)"
        )
        root = Path(data.__file__).parents[2]
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root) as child:
            assert child.stdout.readline() == "half\n"
            child.send_signal(signal.SIGKILL)
        assert (tmp_path / "file").read_bytes() == b"old"
