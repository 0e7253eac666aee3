"""pyproject.toml, requirements.lock, environment.yml and the Makefile's script say the same."""

import itertools
import os
import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK = (ROOT / "requirements.lock").read_text()
PYTHONS = ("3.11", "3.12", "3.13")
SYSTEMS = {
    "Linux": {"sys_platform": "linux", "platform_system": "Linux", "os_name": "posix", "platform_machine": "x86_64"},
    "Darwin": {"sys_platform": "darwin", "platform_system": "Darwin", "os_name": "posix", "platform_machine": "arm64"},
    "Windows": {"sys_platform": "win32", "platform_system": "Windows", "os_name": "nt", "platform_machine": "AMD64"},
}
EVERYWHERE = list(itertools.product(PYTHONS, SYSTEMS))


def name_of(text):
    return re.sub(r"[-_.]+", "-", text).lower()


def entries():
    """Requirement and number of hashes of each entry of the lock."""
    for block in re.split(r"\n(?=\S)", LOCK.replace("\\\n", " ")):
        head, *hashes = block.split("--hash=")
        if head.strip() and not head.startswith("#"):
            yield Requirement(head.strip()), hashes


def wanted():
    groups = [PROJECT["dependencies"], *PROJECT["optional-dependencies"].values()]
    return [Requirement(text) for group in groups for text in group]


def locked(python, system):
    """Name to the versions that one Python on one system would get."""
    place = {"python_version": python, "python_full_version": f"{python}.1", "implementation_name": "cpython",
             "platform_python_implementation": "CPython", "extra": "", **SYSTEMS[system]}  # fmt: skip
    found = {}
    for entry, _ in entries():
        if entry.marker is None or entry.marker.evaluate(place):
            (pin,) = entry.specifier
            found.setdefault(name_of(entry.name), []).append(Version(pin.version))
    return found


class TestLock:
    def test_every_entry_is_pinned_and_carries_hashes(self):
        pinned = [(entry, hashes) for entry, hashes in entries()]
        assert len(pinned) > 100
        for entry, hashes in pinned:
            assert [pin.operator for pin in entry.specifier] == ["=="], entry
            assert hashes, entry
            assert all(re.match(r"sha256:[0-9a-f]{64}\s*$", one) for one in hashes), entry

    def test_it_names_no_address(self):
        assert "://" not in LOCK
        assert not re.search(r"^(-|file:|git\+)|--(extra-)?index-url|--find-links", LOCK, re.M)

    @pytest.mark.parametrize(("python", "system"), EVERYWHERE)
    def test_it_gives_one_version_of_everything_that_is_asked_for(self, python, system):
        found = locked(python, system)
        assert not {name: versions for name, versions in found.items() if len(versions) > 1}
        for requirement in wanted():
            (version,) = found[name_of(requirement.name)]
            assert version in requirement.specifier, f"{requirement} is locked as {version}"

    @pytest.mark.parametrize(("python", "system"), EVERYWHERE)
    def test_torchvision_belongs_to_torch(self, python, system):
        found = locked(python, system)
        assert pair(found["torch"][0], found["torchvision"][0])

    def test_both_ends_of_the_ranges_are_pairs_too(self):
        ranges = {one.name: one.specifier for one in wanted() if one.name in ("torch", "torchvision")}
        for operator in (">=", "<"):
            assert pair(*(bound(ranges[name], operator) for name in ("torch", "torchvision")))


def pair(torch, torchvision):
    """torch 2.11 comes with torchvision 0.26, and both have counted on together."""
    return (torch.major, torchvision.major) == (2, 0) and torchvision.minor - torch.minor == 26 - 11


def bound(specifier, operator):
    return next(Version(one.version) for one in specifier if one.operator == operator)


class TestPythons:
    def test_the_script_takes_what_the_project_takes(self):
        (taken,) = re.findall(r"in (3\.[\d. |]+)\) true", (ROOT / "scripts" / "environment.sh").read_text())
        assert tuple(taken.replace(" ", "").split("|")) == PYTHONS

    def test_the_project_takes_these_and_no_others(self):
        asked = SpecifierSet(PROJECT["requires-python"])
        assert [f"3.{minor}" for minor in range(8, 20) if f"3.{minor}.0" in asked] == list(PYTHONS)


class TestConda:
    CONTENT = yaml.safe_load((ROOT / "environment.yml").read_text())

    def test_conda_gives_python_and_pip_and_pip_gives_the_lock(self):
        python, pip, rest = self.CONTENT["dependencies"]
        assert re.fullmatch(r"python=(3\.\d+)", python)[1] in PYTHONS
        assert (pip, rest) == ("pip", {"pip": ["-r requirements.lock"]})
        assert set(self.CONTENT) == {"name", "channels", "dependencies"}

    @pytest.mark.parametrize("file", ["environment.yml", "README.md"])
    def test_the_second_command_is_told(self, file):
        text = (ROOT / file).read_text()
        assert "conda env create -f environment.yml" in text
        assert "pip install --no-deps -e ." in text


class TestScript:
    """The Makefile's script with stand-ins for Python and uv on the path."""

    @staticmethod
    def run(tmp_path, **tools):
        """Its status and what it says, where only these programs and the plain ones of the system are found."""
        clone = tmp_path / "a clone"
        (clone / "scripts").mkdir(parents=True)
        (clone / "bin").mkdir()
        for name in ("requirements.lock", "pyproject.toml", "scripts/environment.sh"):
            (clone / name).write_text((ROOT / name).read_text())
        for name, text in tools.items():
            (clone / "bin" / name.replace("_", ".")).write_text(f"#!/bin/sh\n{text}\n")
            (clone / "bin" / name.replace("_", ".")).chmod(0o755)
        for name in ("sh", "dirname", "cat", "cksum", "date", "grep", "rm", "mkdir", "cp", "chmod"):
            (clone / "bin" / name).symlink_to(next(filter(Path.exists, (Path("/bin", name), Path("/usr/bin", name)))))
        command = ["sh", "scripts/environment.sh"]
        done = subprocess.run(command, cwd=clone, env={"PATH": str(clone / "bin")}, capture_output=True, text=True)
        return clone, done.returncode, done.stderr

    @staticmethod
    def python(version):
        return f'[ "$1" = -c ] && echo {version}'

    # Enough of uv to see what it is asked for: `uv venv` makes a .venv whose Python reports 3.12.
    UV = r"""echo "$*" >>calls
case "$1" in venv) mkdir -p .venv/bin; echo "VIRTUAL_ENV='$PWD/.venv'" >.venv/bin/activate
  cp bin/python3.12 .venv/bin/python;; esac"""

    def test_another_python_is_answered_in_one_sentence(self, tmp_path):
        _, status, said = self.run(tmp_path, python3=self.python("3.9"), python=self.python("2.7"))
        assert status == 2
        assert said.startswith("kdcore needs a Python 3.11 to 3.13 (python3 is 3.9, python is 2.7): install one")
        assert said.count("\n") == 1

    def test_no_python_at_all_is_answered_too(self, tmp_path):
        _, status, said = self.run(tmp_path)
        assert status == 2
        assert "none was found" in said
        assert said.count("\n") == 1

    def test_it_syncs_the_lock_then_installs_the_project_alone(self, tmp_path):
        clone, status, said = self.run(tmp_path, python3=self.python("3.9"), python3_12=self.python("3.12"), uv=self.UV)
        assert status == 0, said
        calls = [line for line in (clone / "calls").read_text().splitlines() if line != "--version"]
        assert [line.split()[:2] for line in calls] == [["venv", "--quiet"], ["pip", "sync"], ["pip", "install"]]
        assert calls[0].endswith(f"--python {clone}/bin/python3.12 .venv")
        assert calls[1].endswith("requirements.lock")
        assert calls[2].endswith("--no-deps -e .")
        assert "no time below counts this" in said

    def test_an_unchanged_lock_is_not_synced_again_and_a_changed_one_is(self, tmp_path):
        clone, *_ = self.run(tmp_path, python3_12=self.python("3.12"), uv=self.UV)
        again = lambda: subprocess.run(["sh", "scripts/environment.sh"], cwd=clone, env={"PATH": str(clone / "bin")})
        (clone / "calls").unlink()
        assert again().returncode == 0
        assert not (clone / "calls").exists()
        with (clone / "requirements.lock").open("a") as lock:
            lock.write("\n")
        assert again().returncode == 0
        assert "pip sync" in (clone / "calls").read_text()
        assert "venv --quiet" not in (clone / "calls").read_text()

    def test_a_failed_sync_leaves_no_stamp(self, tmp_path):
        failing = self.UV.replace("esac", "pip) exit 1;; esac")
        clone, status, said = self.run(tmp_path, python3_12=self.python("3.12"), uv=failing)
        assert status == 2
        assert "the same command goes on from here" in said
        assert not (clone / ".venv" / "kdcore-environment").exists()


class TestContinuousIntegration:
    """`.ci/run` with a stand-in for make."""

    @pytest.mark.parametrize(("test", "book", "status"), [(0, 0, 0), (1, 0, 1), (0, 2, 1), (1, 2, 1)])
    def test_both_always_run_and_either_fails_it(self, tmp_path, test, book, status):
        (tmp_path / ".ci").mkdir()
        shutil.copy(ROOT / ".ci" / "run", tmp_path / ".ci")
        make = f'#!/bin/sh\necho "$*" >>calls\n[ "$1" = test ] && exit {test}\nexit {book}\n'
        (tmp_path / "make").write_text(make)
        (tmp_path / "make").chmod(0o755)
        place = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
        assert subprocess.run([tmp_path / ".ci" / "run"], env=place, cwd="/").returncode == status
        assert (tmp_path / "calls").read_text().splitlines() == ["test", "book PROFILE=smoke"]
