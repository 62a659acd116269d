"""Numbers in documents are those of the results files: no one typed them, and none was left behind."""

import json
import re
import sys
from pathlib import Path

from keras_iwae.experiments import ExperimentConfig
from keras_iwae.experiments.paper_table import ROWS

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import performance_page  # noqa: E402
import results_page  # noqa: E402

RESULTS = ROOT / "docs" / "results"


def test_the_results_page_is_made_of_its_files(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(sys, "argv", ["results_page.py", "--out", str(tmp_path / "results.md")])
    results_page.main()
    assert (tmp_path / "results.md").read_text() == (ROOT / "docs" / "results.md").read_text()


def test_results_of_rows_say_what_the_rows_say():
    """Settings of a result are those of its row today, so that the row's command would find the same again."""
    found = {path.stem: json.loads(path.read_text()) for path in RESULTS.glob("*.json") if path.stem in ROWS}
    assert len(found) >= 11
    for name, record in found.items():
        for each in (record, *([record["from"]] if record["from"] else [])):
            assert ExperimentConfig.from_dict(each["config"]) == ROWS[each["row"]].config, name


def test_the_performance_page_is_made_of_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["performance_page.py", "--out", str(tmp_path / "performance.md")])
    performance_page.main()
    assert (tmp_path / "performance.md").read_text() == (ROOT / "docs" / "performance.md").read_text()


def test_the_readmes_table_is_of_the_results():
    records = [json.loads(path.read_text()) for path in RESULTS.glob("*-fast.json")]
    known = {
        (
            str(record["passes"]),
            f"**{record['nll_test']['nll']:.2f}** ± {record['nll_test']['standard_error']:.2f}",
            "+".join(map(str, record["active_units"])),
        )
        for record in records
    }
    rows = re.findall(r"^\| (?:MNIST|Omniglot), .*\|$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert len(rows) >= 3
    for row in rows:
        _, passes, nll, units, _ = (cell.strip() for cell in row.strip("|").split("|"))
        assert (passes, nll, units) in known, row
