"""The page about trackers: what it shows runs, without a network, where MLflow is installed."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
BLOCKS = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs" / "tracking.md").read_text(), flags=re.M | re.S)


@pytest.mark.slow
def test_mlflow_keeps_what_the_page_says_it_keeps(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    of_fit, _, of_run = BLOCKS
    names: dict = {}
    exec(of_fit.replace("epochs=20", "epochs=2").replace("num_samples=1000", "num_samples=5"), names)
    exec(of_run.replace("saved_models/mnist-50", str(ROOT / "saved_models" / "digits-iwae-k50")), names)
    run, fitted = mlflow.search_runs(output_format="list")
    assert fitted.data.params["num_samples"] == "50"
    assert fitted.data.params["optimizer_learning_rate"].startswith("0.001")
    assert {"loss", "val_loss", "val_bound", "nll"} <= set(fitted.data.metrics)
    client = mlflow.MlflowClient()
    assert [each.step for each in client.get_metric_history(fitted.info.run_id, "val_loss")] == [0, 1]
    assert run.data.params["dataset"] == "digits"
    history = client.get_metric_history(run.info.run_id, "val_bound")
    assert [each.step for each in history] == [*range(1, len(history) + 1)]
    assert len(history) > 100
    assert "model.keras" in {each.path for each in client.list_artifacts(run.info.run_id)}
