import pytest
from clones import cell, notebook

from kdcore.publishing.cleaning import clean, with_values

VALUES = {"profile": "smoke", "device": "cpu"}


def executed(*outputs):
    """A notebook as papermill leaves it."""
    made = notebook("x")
    injected = cell('# Parameters\nprofile = "smoke"\ndevice = "cpu"\n', "injected-parameters")
    made["cells"].insert(2, injected)
    made["metadata"]["papermill"] = {"duration": 1.5, "input_path": "somewhere"}
    made["metadata"]["widgets"] = {"state": 1}
    for number, one in enumerate(made["cells"]):
        one["metadata"]["papermill"] = {"duration": 0.1 * number}
        one["metadata"]["execution"] = {"iopub.execute_input": "now"}
    made["cells"][-1]["outputs"] = list(outputs)
    made["cells"][-1]["execution_count"] = 3
    return made


def shown(*outputs):
    return clean(executed(*outputs), VALUES)[0]["cells"][-1]["outputs"]


def html(text):
    return {"output_type": "display_data", "metadata": {}, "data": {"text/html": text}}


class TestClean:
    def test_nothing_of_the_execution_itself_remains(self):
        result, _ = clean(executed(), VALUES)
        assert set(result["metadata"]) == {"kernelspec", "kdcore"}
        assert all(set(one["metadata"]) <= {"tags"} for one in result["cells"])

    def test_the_injected_cell_goes_and_its_values_stand_where_the_defaults_stood(self):
        result, _ = clean(executed(), VALUES)
        sources = [one["source"] for one in result["cells"]]
        assert sources[1] == "profile = 'smoke'  # smoke, quick, short, paper\ndevice = 'cpu'"
        assert not any("# Parameters" in source for source in sources)

    def test_counts_are_those_of_the_cells_that_remain(self):
        result, _ = clean(executed(), VALUES)
        assert [one["execution_count"] for one in result["cells"] if one["cell_type"] == "code"] == [1, 2]

    def test_the_original_is_left_alone(self):
        before = executed()
        clean(before, VALUES)
        assert "papermill" in before["metadata"]

    def test_memory_addresses_are_hidden(self):
        assert "<object at 0x…>" in shown(html("<object at 0x7f3a22>"))[0]["data"]["text/html"]

    def test_styled_tables_get_names_that_do_not_change_but_still_differ(self):
        first, second = (
            one["data"]["text/html"] for one in shown(html('<p id="T_a1b2c_row0">'), html("#T_0ff1c_row0 {}"))
        )
        assert first == '<p id="T_00000_row0">'
        assert second == "#T_00001_row0 {}"

    def test_what_goes_to_stderr_is_kept_apart(self):
        noise = {"output_type": "stream", "name": "stderr", "text": ["a warning\n", "in two lines\n"]}
        result, errors = clean(executed(noise, html("<p>")), VALUES)
        assert errors == "a warning\nin two lines\n"
        assert [one["output_type"] for one in result["cells"][-1]["outputs"]] == ["display_data"]

    def test_widgets_need_a_server_and_go(self):
        widget = {
            "output_type": "display_data",
            "data": {"application/vnd.jupyter.widget-view+json": {}},
            "metadata": {},
        }
        assert shown(widget) == []


class TestWithValues:
    @pytest.mark.parametrize(
        ("source", "result"),
        [
            ('profile = "quick"', "profile = 'smoke'"),
            ('profile = "quick"  # how long', "profile = 'smoke'  # how long"),
            ('é = "é"; profile = "quick"', "é = \"é\"; profile = 'smoke'"),
            ('profile = (\n    "quick"\n)\nother = 1', "profile = (\n    'smoke'\n)\nother = 1"),
            ('profile = """a\nb"""\nother = 1', "profile = 'smoke'\nother = 1"),
            ("other = 1", "other = 1"),
        ],
    )
    def test_only_the_value_changes(self, source, result):
        assert with_values(source, {"profile": "smoke"}) == result
