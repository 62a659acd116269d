"""Numbers in documents are those of the results files: no one typed them, and none was left behind."""

import json
import pkgutil
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_iwae.experiments import ExperimentConfig
from keras_iwae.experiments.paper_table import ROWS
from keras_iwae.tables import TableEstimator, calibration

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import imputation_page  # noqa: E402
import likelihood_example  # noqa: E402
import performance_page  # noqa: E402
import results_page  # noqa: E402
import scale_page  # noqa: E402
import tables_page  # noqa: E402

RESULTS = ROOT / "docs" / "results"


def test_values_of_proposals_that_were_fitted_otherwise_than_today_have_a_star():
    tails = {"pareto_k": {"share_above_0.7": 0.5}}
    of_today = {"nll": 80.0, "num_samples": 500, "latent_dim": 50, "decoder_evaluations": 2555, **tails}
    for found, said in ((of_today, "80.00,"), ({**of_today, "decoder_evaluations": 2528}, "80.00\\*,")):
        assert f"adapted {said}" in results_page.adapted({"nll_test": tails, "nll_adapted": found})


def test_seeds_are_put_together_where_they_were_judged_alike():
    def record(seed, nll, **changes):
        of = {"row": "digits-iwae-k50-l1-fast" + (f"-seed{seed}" if seed else ""), "complete": True, "stage": None}
        of |= {"passes": 4, "passes_planned": 4, "num_samples": 9, "limit": None, "seconds_training": 60.0 * seed}
        return {**of, "nll_test": {"nll": nll}, "active_units": [seed], "config": {"run": {"seed": seed}}, **changes}

    others = [record(10, 22.0, nll_adapted={"nll": 21.0}), record(2, 24.0)]
    others += [record(3, 9.0, limit=5), record(4, 9.0, passes=1)]
    (line,) = results_page.seeds([record(0, 20.0)], others).splitlines()[2:]
    nlls = "20.00, 24.00, 22.00: 22.00, sd 2.00 | 21.00"
    assert line == f"| `digits-iwae-k50-l1-fast` | 0, 2, 10 | {nlls} | 0, 2, 10 | 4 | 0, 2, 10 min |"
    assert results_page.seeds([record(0, 20.0)], others[2:]) == "*Not run yet.*"


@pytest.mark.slow
def test_the_results_page_is_made_of_its_files(tmp_path, monkeypatch):
    (tmp_path / "images").mkdir()
    monkeypatch.setattr(sys, "argv", ["results_page.py", "--out", str(tmp_path / "results.md")])
    results_page.main()
    assert (tmp_path / "results.md").read_text() == (ROOT / "docs" / "results.md").read_text()


def test_the_imputation_page_is_made_of_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["imputation_page.py", "--out", str(tmp_path / "imputation.md")])
    imputation_page.main()
    assert (tmp_path / "imputation.md").read_text() == (ROOT / "docs" / "imputation.md").read_text()


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


def test_the_page_on_scale_is_made_of_its_files(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["scale_page.py", "--out", str(tmp_path / "scale.md")])
    scale_page.main()
    assert (tmp_path / "scale.md").read_text() == (ROOT / "docs" / "scale.md").read_text()


def test_the_readmes_table_is_of_the_results():
    records = [json.loads(path.read_text()) for path in RESULTS.glob("*-k*.json") if "lecture" not in path.name]
    known = {
        (
            str(record["passes"]),
            f"**{record['nll_test']['nll']:.2f}** ± {record['nll_test']['standard_error']:.2f}",
            "+".join(map(str, record["active_units"])),
        )
        for record in records
    }
    rows = re.findall(r"^\| (?:MNIST,|Omniglot,|the same) .*\|$", (ROOT / "README.md").read_text(), flags=re.MULTILINE)
    assert len(rows) >= 10
    for row in rows:
        _, passes, nll, units, _ = (cell.strip() for cell in row.strip("|").split("|"))
        assert (passes, nll, units) in known, row


def test_the_example_of_likelihoods_is_of_its_file():
    """Its table, row by row, and its commands; the commands' settings are those that the numbers came of."""
    page = (ROOT / "docs" / "likelihoods.md").read_text()
    found = json.loads((RESULTS / "likelihoods.json").read_text())
    assert found["command"] == "python benchmarks/likelihood_example.py"
    assert found["date"] in page
    assert set(found["rows"]) == set(likelihood_example.ROWS)
    lines = page.splitlines()
    for name, row in found["rows"].items():
        assert row["commands"] == likelihood_example.commands(name, *likelihood_example.ROWS[name])
        assert set(row["commands"]) <= set(lines), name
        assert likelihood_example.line(row) in lines, name
        assert f"(images/likelihoods-{name}.png)" in page
    levels = [found["rows"][f"digits-{name}"]["nll_test"]["nll"] for name in ("categorical", "discretized")]
    assert f"ahead by {levels[0] - levels[1]:.1f} nats" in page


@pytest.mark.slow
def test_the_python_of_the_likelihoods_page_runs_as_printed():
    names = {"__name__": "likelihoods"}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "likelihoods.md").read_text(), re.DOTALL):
        exec(block, names)
    assert np.isfinite(names["filled"]).all()
    assert names["result"].bits_per_dimension is None
    assert names["model"].generative.likelihood.head is None


@pytest.mark.long
def test_the_python_of_the_tables_page_runs_as_printed(tmp_path, monkeypatch):
    """Every block, of models that were hardly trained: other numbers, and as many lines."""
    monkeypatch.chdir(tmp_path)
    for name, value in {"max_steps": 2, "num_samples": 25, "hidden": (8,), "latent_dim": 2}.items():
        monkeypatch.setitem(TableEstimator.__init__.__kwdefaults__, name, value)
    # Nor is there to be found how sure of themselves they are.
    monkeypatch.setattr(calibration, "_FEWEST_CELLS", 10_000)
    page = (ROOT / "docs" / "tables.md").read_text()
    printed, names = tables_page.run(page)
    written = [block[2] or "" for block in tables_page.BLOCK.finditer(page)]
    # Verdicts are as many as there are of them.
    lines = [[text.count("\n") for n, text in enumerate(each) if n != 2] for each in (printed, written)]
    assert lines[0] == lines[1]
    # What does not depend on training.
    assert printed[0] == written[0]
    assert printed[-1] == written[-1]
    (whole,) = (line for line in printed[3].splitlines() if line.startswith("nothing missing"))
    assert whole in written[3]
    assert not names["filled"].isna().any().any()


PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
PAGES += sorted((ROOT / "docs" / "reference").glob("*.md"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_what_a_page_names_is_there(page):
    text = page.read_text()
    paths = re.findall(r"\b(?:keras_iwae|tests|scripts|benchmarks|docs)/[\w/.-]*\w\.(?:py|json|md|png)\b", text)
    assert not [path for path in paths if not (ROOT / path).exists()]
    for name in set(re.findall(r"\bkeras_iwae(?:\.\w+)+", text)):
        assert pkgutil.resolve_name(name) is not None


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith("http"):
            continue
        path, _, anchor = target.partition("#")
        file = page.parent / path if path else page
        assert file.exists(), target
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(), re.MULTILINE)
            assert anchor in {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}, target


def test_the_gains_of_the_networks_are_those_of_their_file():
    page = (ROOT / "docs" / "likelihoods.md").read_text()
    for row in json.loads((RESULTS / "networks.json").read_text())["rows"]:
        assert f"| {row['dataset']} | {row['network']} | " + " | ".join(f"{gain:.2f}" for gain in row["gains"]) in page


def test_what_ingredients_buy_is_of_the_ablations():
    # Those of the published table: others may lie beside them.
    of = {"data set": "mnist", "passes": "10", "test images": "1000"}
    rows = {
        row["changed"]: row for row in json.loads((RESULTS / "ablations.json").read_text()) if of.items() <= row.items()
    }
    nll = {changed: float(row["NLL, L_5000 (nats)"].split()[0]) for changed, row in rows.items()}

    def lost(changed):
        return nll[changed] - nll["nothing"]

    normal = lost("prior: standard normal")
    bought = [normal, normal - lost("prior: a mixture of Gaussians"), normal - lost("prior: a flow")]
    prior, mixture, flow = (f"{nats:.1f}" for nats in bought)
    said = (ROOT / "docs" / "priors.md").read_text()
    assert f"a VampPrior bought {prior} nats, a mixture {mixture} and a flow {flow}" in said
    page = " ".join((RESULTS / "text.md").read_text().split())
    network = f"{lost('network: dense 300-300 with tanh'):.1f}"
    assert f"{network} nats go with gated layers in the place of a tanh, and {prior} with the VampPrior" in page
    assert f"a mixture of as many Gaussians has {mixture} and a flow {flow}" in page
    bounds = (f"{lost(name):.1f}" for name in ("bound: ELBO with as many draws", "bound: K = 1, the VAE"))
    assert "buys {} over the ELBO with as many draws, and {} over the VAE".format(*bounds) in page


def test_the_soak_in_the_documents_is_the_one_that_was_run():
    found, page = (
        json.loads((ROOT / "docs" / "benchmarks" / "soak.json").read_text()),
        (ROOT / "docs" / "serving.md").read_text(),
    )
    assert found["faults"] == []
    for text in (
        found["command"],
        found["date"],
        *(f"{found[name]:,}" for name in ("requests", "answered", "refused")),
    ):
        assert text in page
    for name in ("memory_warm_mib", "memory_end_mib"):
        assert f"{found[name]:,.0f} MiB" in page


def test_large_data_in_the_documents_are_those_that_were_measured():
    found = json.loads((ROOT / "docs" / "benchmarks" / "large_data.json").read_text())
    page = (ROOT / "docs" / "scale.md").read_text()
    for text in (
        found["command"],
        found["date"],
        *(f"| {row['peak_megabytes']:,} |" for row in found["rows"]),
        *(f"{rate['median']:,.0f}" for name, rate in found["images_per_second"].items() if "none" not in name),
    ):
        assert text in page
