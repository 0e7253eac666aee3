import sys
import time

import pytest

from kdcore.publishing.meter import Meter


@pytest.fixture
def slow_package(tmp_path, monkeypatch):
    """A package whose import burns processor time, half of it in a module that it imports itself."""
    burn = "import time\nend = time.thread_time() + 0.05\nwhile time.thread_time() < end: pass\n"
    (tmp_path / "kd_inner_module.py").write_text(burn)
    (tmp_path / "kd_outer_module.py").write_text(burn + "import kd_inner_module\n")
    monkeypatch.syspath_prepend(tmp_path)
    yield "kd_outer_module"
    for name in ("kd_outer_module", "kd_inner_module"):
        sys.modules.pop(name, None)


class TestMeter:
    def test_an_import_counts_once_with_all_it_imports(self, slow_package, tmp_path):
        meter = Meter(str(tmp_path / "note"))
        before, start = meter.imports, time.thread_time()
        meter.timed_import(slow_package)
        counted, spent = meter.imports - before, time.thread_time() - start
        assert 0.1 <= counted <= spent

    def test_work_does_not_count(self, tmp_path):
        meter = Meter(str(tmp_path / "note"))
        before = meter.imports
        sum(range(100_000))
        assert meter.imports == before

    def test_a_failing_import_counts_and_fails(self, tmp_path):
        meter = Meter(str(tmp_path / "note"))
        before = meter.imports
        with pytest.raises(ModuleNotFoundError):
            meter.timed_import("kd_no_such_module")
        assert meter.imports > before

    def test_the_sum_is_written_where_it_was_asked_for(self, tmp_path):
        meter = Meter(str(tmp_path / "note"))
        meter.write()
        assert (tmp_path / "note").read_text() == f'{{"imports": {meter.imports}}}'
