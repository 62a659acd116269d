"""The report page and the diagnosis of a run: complete for a whole run, useful for what is left of a broken one."""

import base64
import io
import math
import re
import shutil
from html.parser import HTMLParser
from types import SimpleNamespace
from xml.etree import ElementTree

import numpy as np
import pytest
from matplotlib.image import imread

from keras_iwae import experiments
from keras_iwae.evaluation.diagnostics.gap import InferenceGap
from keras_iwae.experiments import diagnosis, inference_gap, model_checks
from keras_iwae.experiments.advice import diagnosis_command, evaluation_command
from keras_iwae.experiments.evaluation_target import evaluation_images
from keras_iwae.experiments.report import numbers
from keras_iwae.experiments.report.page import _latents, write_report
from keras_iwae.experiments.report.pictures import Pictures
from keras_iwae.training import runs

CONFIG = experiments.ExperimentConfig.of(
    dataset="digits", num_samples=4, epochs=3, batch_size=100, hidden=((16,),), latent_dim=(3,), learning_rate=0.01
)


CALIBRATION = (
    *("num_samples", "units", "units_off", "units_too_narrow", "units_too_wide", "units_moved", "joint_density_off"),
)
NULL = {"mean": None, "standard_error": None}
# Of a diagnosis all but its layers.
NOTHING_FOUND = {
    "mutual_information": {"lower": None, "upper": None, "num_images": 9, "ceiling": 2.2},
    "marginal_kl": {"lower": None, "upper": None},
    "kl": NULL,
    "reconstruction": {"log_likelihood": NULL, "squared_error_per_pixel": NULL},
    "calibration": {name: 0 for name in CALIBRATION},
    "predictive": None,
    "inference_gap": None,
    "verdict": "No collapse.",
}


class Page(HTMLParser):
    """What a page loads, shows and links to."""

    VOID = frozenset({"meta", "img", "br", "link"})

    def __init__(self, text):
        super().__init__()
        self.images, self.links, self.ids, self.open, self.words, self.tags = [], [], set(), [], [], set()
        self.feed(text)
        self.text = " ".join(" ".join(self.words).split())

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(attrs)
        self.links += [attrs[name] for name in ("href", "srcset", "data") if name in attrs]
        self.ids.add(attrs.get("id"))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not {"style", "title"} & set(self.open):
            self.words.append(data)


def page_of(run):
    path = write_report(run)
    text = path.read_text()
    page = Page(text)
    assert not page.open
    # Nothing is loaded from anywhere: every picture is in the page, every link goes to a place in it.
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert all(link.startswith("#") and link[1:] in page.ids for link in page.links)
    assert "url(" not in text
    assert "@import" not in text
    for image in page.images:
        assert len(image["alt"]) > 10
        kind, data = re.fullmatch(r"data:image/(png|svg\+xml);base64,(.*)", image["src"]).groups()
        content = base64.b64decode(data, validate=True)
        assert imread(io.BytesIO(content)).std() > 0 if kind == "png" else ElementTree.fromstring(content) is not None
    return page


def test_a_diagnosis_with_nulls_is_read_without_nan():
    """As of images of which nothing was observed, and of what was not finite when it was written."""
    layer = {"units": 3, "active": 0, "kl": math.inf, "kl_is_exact": True, "units_of_95_percent_of_kl": 1}
    record = {
        "layers": [layer],
        **NOTHING_FOUND,
        "inference_gap": {**InferenceGap(*[np.full(2, np.nan)] * 4).to_dict()},
    }
    printed = diagnosis.table(record)
    assert not re.search(r"\b(nan|inf|None)\b", printed), printed


@pytest.fixture(scope="module")
def diagnosed(tmp_path_factory):
    """A trained, evaluated and diagnosed run, with a cheap inference gap."""
    run = experiments.train(CONFIG, tmp_path_factory.mktemp("runs") / "my run & <more>")
    experiments.evaluate(run, 30, limit=80, per_example=run / "per-example-test.npz", verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(inference_gap, "NUM_SAMPLES", 40)
        patch.setattr(inference_gap, "NUM_STEPS", 20)
        patch.setattr(inference_gap, "_BATCH", 6)
        patch.setattr(model_checks, "SIMULATIONS", 100)
        patch.setattr(model_checks, "REPLICATES", 9)
        record = experiments.diagnose(run, limit=80, gap_images=9, verbose=False)
    return run, record


@pytest.mark.slow
def test_diagnosis_is_written_and_adds_up(diagnosed):
    run, record = diagnosed
    assert runs.read_json(run / "diagnosis.json") == record
    assert record["num_images"] == 80
    (layer,) = record["layers"]
    assert len(layer["mean_variance"]) == layer["units"] == 3
    assert layer["kl"] == pytest.approx(sum(layer["kl_per_unit"]))
    assert layer["kl"] == pytest.approx(record["kl"]["mean"], abs=4 * 0.5 / np.sqrt(16 * 80) + 0.05)
    assert record["mutual_information"]["ceiling"] == pytest.approx(np.log(80))
    parts = record["inference_gap"]
    whole = parts["log_likelihood"]["mean"] - parts["elbo"]["mean"]
    assert parts["approximation_gap"]["mean"] + parts["amortization_gap"]["mean"] == pytest.approx(whole)
    assert parts["num_images"] == 9
    checked, calibration = record["predictive"], record["calibration"]
    assert (checked["num_images"], checked["num_replicates"], calibration["num_samples"]) == (80, 9, 4)
    assert set(CALIBRATION) < set(calibration)
    assert len(calibration["p_values"]) == 3 + 1
    # Of a model of three epochs: digits are rougher than what it makes.
    assert checked["statistics"]["roughness"]["p_value"] == pytest.approx(0.2)
    for name in ("active-units", "units", "latents"):
        assert imread(run / "figures" / f"{name}.png").std() > 0.02
    printed = diagnosis.table(record)
    assert record["verdict"] in printed
    assert f"{parts['amortization_gap']['mean']:.2f}" in printed


@pytest.mark.slow
def test_the_gap_goes_on_where_it_was(diagnosed, tmp_path, monkeypatch):
    run, _ = diagnosed
    model, images = runs.load_model(run), evaluation_images(run, 15, seed=0)
    monkeypatch.setattr(inference_gap, "_BATCH", 6)
    calls = []

    def found(model, batch, num_samples, num_steps, seed, progress):
        calls.append(len(batch))
        progress(1.0)
        return InferenceGap(*(np.random.default_rng((seed, len(batch), i)).normal(size=len(batch)) for i in range(4)))

    monkeypatch.setattr(inference_gap, "inference_gap", found)
    folders = [tmp_path / "whole", tmp_path / "parts"]
    for folder in folders:
        folder.mkdir()
        shutil.copy(run / "model.keras", folder)
    shares = []
    whole = inference_gap.gap_of_run(folders[0], "of it", model, images, 3, shares.append)
    assert (calls, sum(shares)) == ([6, 6, 3], pytest.approx(1.0))
    inference_gap.gap_of_run(folders[1], "of it", model, images[:8], 3, lambda share: None)
    calls.clear()
    shares.clear()
    parts = inference_gap.gap_of_run(folders[1], "of it", model, images, 3, shares.append)
    # The whole batch is kept, the one that was cut short is done again.
    assert (calls, sum(shares)) == ([6, 3], pytest.approx(1.0))
    np.testing.assert_array_equal(parts.best_elbo, whole.best_elbo)
    calls.clear()
    assert len(inference_gap.gap_of_run(folders[1], "of it", model, images[:7], 3, shares.append).elbo) == 7
    assert calls == []
    inference_gap.gap_of_run(folders[1], "of it", model, images[:7], 4, lambda share: None)
    assert calls == [6, 1]


@pytest.mark.slow
def test_a_whole_run_is_a_whole_page(diagnosed):
    run, record = diagnosed
    page = page_of(run)
    metrics = runs.read_json(run / "metrics.json")
    for text in (
        "my run & <more>",
        "Importance weighted autoencoder with K = 4 on digits, 3 latent units.",
        f"{metrics['nll_test']['nll']:.2f}",
        record["verdict"],
        "learning rate 0.01",
        "300 test images as points",
    ):
        assert text in page.text or any(text in image["alt"] for image in page.images), text
    assert "This does it:" not in page.text
    # Eight best and eight worst, each with its reconstruction, and seven figures.
    assert len(page.images) == 2 * 16 + 7
    values = np.load(run / "per-example-test.npz")["log_likelihood"]
    best, worst = int(values.argmax()), int(values.argmin())
    assert page.text.index(f"{values[best]:.1f} nats image {best}") < page.text.index(
        f"{values[worst]:.1f} nats image {worst}"
    )


@pytest.mark.parametrize("count", [3, 16, 20, 37, 48])
def test_each_reconstruction_is_below_its_image(tmp_path, count):
    """Of a number of test images that is no multiple of the columns the last ones were beside their reconstructions."""
    pictures, rng = Pictures(tmp_path), np.random.default_rng(0)
    pictures.images = rng.random((count, 1, 1, 1)).astype(np.float32)
    pictures.model = SimpleNamespace(
        predict=lambda images, verbose: 1.0 - images,
        generative=SimpleNamespace(likelihood=SimpleNamespace(to_grey=lambda values: values)),
    )
    # Ink on paper: what is dark in the page is bright in an image.
    page = 1.0 - imread(io.BytesIO(base64.b64decode(pictures.reconstructions().uri.partition(",")[2])))[..., 0]
    columns = min(count, 16)
    cells = np.pad(page, [(0, 1), (0, 1)])[::2, ::2]
    assert cells.shape == (2 * -(-count // 16), columns)
    shown, below = cells[::2].ravel()[:count], cells[1::2].ravel()[:count]
    np.testing.assert_allclose(shown, pictures.images.ravel(), atol=0.01)
    np.testing.assert_allclose(below, 1.0 - shown, atol=0.01)


@pytest.mark.slow
def test_a_run_that_was_only_trained_names_the_commands(diagnosed, tmp_path):
    run, _ = diagnosed
    bare = tmp_path / "bare run"
    shutil.copytree(run, bare, ignore=shutil.ignore_patterns("diagnosis.json", "*.npz", "figures"))
    runs.write_json(bare / "metrics.json", {"training": runs.read_json(run / "metrics.json")["training"]})
    page = page_of(bare)
    assert f"python scripts/evaluate_nll.py --k 5000 --model '{bare}'" in page.text
    assert f"python scripts/diagnose.py --model '{bare}'" in page.text
    # Training curves, samples, reconstructions and the map are there all the same.
    assert len(page.images) == 4


OF_RUNS = {
    "gaussian": ({"posterior": "gaussian"}, "--k 5000", True),
    "adversarial": ({"posterior": "adversarial"}, "--method ais", False),
    "auxiliary": ({"posterior": "auxiliary"}, "--k 5000", False),
    "autoencoder": ({"objective": "ae"}, "--k 5000", False),
    "without config.json": ({}, "--k 5000", True),
}


@pytest.mark.parametrize("name", OF_RUNS)
def test_a_command_is_one_that_the_run_s_posterior_is_taken_by(name):
    settings, how, diagnosed = OF_RUNS[name]
    assert evaluation_command("a run", settings) == f"python scripts/evaluate_nll.py {how} --model 'a run'"
    assert diagnosis_command("a run", settings) == ("python scripts/diagnose.py --model 'a run'" if diagnosed else None)


def test_a_page_of_an_adversarial_run_names_no_command_that_refuses_it(tmp_path):
    runs.write_json(tmp_path / "config.json", {"model": {"posterior": "adversarial"}})
    text = page_of(tmp_path).text
    assert "evaluate_nll.py --method ais" in text
    assert "no L_k" in text
    assert "diagnose.py" not in text


CURVES = {
    "iwae": (["loss", "bound", "elbo", "kl"], "at the end bound -7.0 nats, validation bound -9.0 nats", "the KL"),
    "autoencoder": (["loss", "reconstruction"], "at the end loss -7.0 nats, validation loss -9.0 nats", "the loss"),
    "adversarial": (
        ["loss", "elbo", "kl", "discrimination"],
        "at the end ELBO -7.0 nats, validation ELBO -9.0 nats",
        "the KL, the discrimination and the loss",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("names", "ends", "less"), CURVES.values(), ids=CURVES)
def test_what_is_said_of_curves_is_of_those_that_are_drawn(tmp_path, names, ends, less):
    """Without a bound the loss is drawn, of which more was said to be better."""
    columns = ["epoch", "seconds", *names, *(f"val_{name}" for name in names)]
    values = [2, 1, *[-7] * len(names), *[-9] * len(names)]
    (tmp_path / "history.csv").write_text("\n".join(",".join(map(str, row)) for row in (columns, values)) + "\n")
    page = page_of(tmp_path)
    (picture,) = page.images
    assert picture["alt"] == f"Training metrics up to epoch 2; {ends}"
    assert f"and more is better but for {less}." in page.text


@pytest.mark.slow
@pytest.mark.parametrize(
    ("climbed", "more"),
    [
        ({"objective": "jvi"}, False),
        ({"objective": "renyi", "alpha": -1.0}, False),
        ({"objective": "renyi", "alpha": 0.5}, True),
        ({"objective": "iwae", "alpha": None}, True),
    ],
    ids=["jvi", "Renyi below 0", "Renyi", "IWAE"],
)
def test_more_is_better_of_bounds_from_below_alone(tmp_path, climbed, more):
    config = {"data": {"dataset": "digits"}, "model": {"latent_dim": [3]}, "objective": climbed}
    runs.write_json(tmp_path / "config.json", config)
    (tmp_path / "history.csv").write_text("epoch,seconds,bound\n1,2,-3\n")
    text = page_of(tmp_path).text
    assert ("more is better" in text) == more
    assert ("Its bound is an estimate, and no lower bound" in text) != more


@pytest.mark.slow
@pytest.mark.parametrize("by_unit", [True, False])
def test_what_is_said_of_units_is_of_the_pictures_that_are_there(by_unit):
    """A flow has no KL by unit, and no picture of it on the left."""
    moments = {name: [0.0, 1.0] for name in ("aggregate_mean", "prior_mean")}
    spreads = {name: [1.0, 0.5] for name in ("aggregate_std", "prior_std", "mean_variance")}
    layer = {"units": 2, "active": 1, "kl": 3.0 if by_unit else None, "kl_per_unit": [2.0, 1.0] if by_unit else None}
    layer |= {**moments, **spreads, "kl_is_exact": True, "units_of_95_percent_of_kl": 2}
    record = {"layers": [layer], "active_unit_threshold": 0.01, **NOTHING_FOUND}
    found = _latents(record)
    assert ("KL of each unit" in found["units"].alt) == by_unit
    assert found["units_caption"].startswith("Left: what" if by_unit else "Of each unit all posteriors together")


@pytest.mark.slow
def test_what_was_found_before_more_training_is_not_shown(diagnosed, tmp_path):
    run, _ = diagnosed
    further = tmp_path / "further"
    shutil.copytree(run, further)
    with open(further / "model.keras", "ab") as file:
        file.write(b"another")
    before, text = (" ".join(page_of(folder).words) for folder in (run, further))
    assert "trained further after it was evaluated" in text
    assert "trained further after it was diagnosed" in text
    assert "test NLL, K = 30" in before
    assert "test NLL, K = 30" not in text


@pytest.mark.slow
def test_a_broken_run_shows_what_is_left(diagnosed, tmp_path):
    run, _ = diagnosed
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    (broken / "model.keras").write_bytes(b"no model")
    (broken / "history.csv").write_text("epoch,seconds,bound\n1,2,minus three\n")
    (broken / "diagnosis.json").write_text('{"layers": [{"units": 3}]}')
    (broken / "metrics.json").write_text('{"nll_test": {"nll": 1')
    (broken / "per-example-test.npz").write_bytes(b"")
    page = page_of(broken)
    # The figures that training and diagnosis drew stand in for what cannot be drawn anew.
    assert len(page.images) == 3
    for text in ("could not convert string to float", "Expected a JSON object", "learning rate 0.01"):
        assert text in page.text
    (broken / "config.json").unlink()
    shutil.rmtree(broken / "figures")
    page = page_of(broken)
    assert not page.images
    assert "which cannot be read" in page.text


@pytest.mark.slow
def test_older_metrics_and_those_of_other_methods_are_shown(diagnosed, tmp_path):
    run, _ = diagnosed
    older = tmp_path / "older"
    shutil.copytree(run, older)
    record = {"nll": 20.5, "bounds": {"1": -22.0, "30": -20.5}, "verdict": "K = 30 does not suffice.", "pareto_k": None}
    other = {"nll": 20.25, "standard_error": None, "gap": {"mean": 0.5, "standard_error": 0.125}, "verdict": "Fine."}
    runs.write_json(older / "metrics.json", {"nll_test": record, "ais_test": other, "note": "by hand"})
    page = page_of(older)
    for text in ("K = 30 does not suffice.", "AIS test", "20.25", "0.5 ± 0.125", "Fine."):
        assert text in page.text


def test_a_damaged_file_costs_its_own_part_of_the_page(tmp_path):
    config = {"data": {"dataset": "digits"}, "model": {"latent_dim": [3]}, "objective": {"objective": ["iwae"]}}
    runs.write_json(tmp_path / "config.json", config)
    (tmp_path / "history.csv").write_text("epoch,seconds\n1.0,2.0\n")
    (tmp_path / "diagnosis.json").write_text('{"layers": [], "verdict": "v"}')
    (tmp_path / "metrics.json").write_text('{"mine": {"a": Infinity}, "its": {"a": 1}}')
    text = page_of(tmp_path).text
    assert "a inf" in text
    assert "a 1" in text
    assert "latent units 3" in text


@pytest.mark.parametrize("wrong", [None, 5, b"run"])
def test_what_is_no_path_is_no_run(wrong):
    with pytest.raises(ValueError, match=r"`run`\. Expected a path"):
        write_report(wrong)


@pytest.mark.parametrize("name", ["figures/samples.png", "metrics.json", "history.csv"])
def test_nothing_outside_of_the_run_gets_into_the_page(tmp_path, name):
    run, secret = tmp_path / "run", tmp_path / "secret"
    (run / "figures").mkdir(parents=True)
    (run / "config.json").write_text("{}")
    secret.write_text("{}")
    (run / name).symlink_to(secret)
    with pytest.raises(ValueError, match=rf"`run`. Expected files of its own, .* Received: .*{name}, a link"):
        write_report(run)
    assert not (run / "report.html").exists()


def test_a_link_within_the_run_is_its_own(tmp_path):
    (tmp_path / "first.json").write_text("{}")
    (tmp_path / "config.json").symlink_to(tmp_path / "first.json")
    (tmp_path / "link").symlink_to(tmp_path)
    assert write_report(tmp_path / "link").read_text().startswith("<!doctype html>")


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"`run`. Expected a run folder. Received: .*, which is none"):
        write_report(tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_cross_entropy_is_called_one():
    nll = {"nll": 27.76, "num_samples": 5, "num_examples": 9}
    assert numbers.headline({"nll_test": nll}, {})[0].label.startswith("test NLL")
    grey = {**nll, "quantity": "cross-entropy of grey levels"}
    assert numbers.headline({"nll_test": grey}, {})[0].label.startswith("test cross-entropy")


def test_values_as_text():
    cases = {95.289: "95.29", 0.17534: "0.1753", 10.0: "10", -111.257: "-111.26", 5000: "5,000", True: "yes"}
    assert {value: numbers.shown(value) for value in cases} == cases
    assert numbers.shown([[200, 200], [100]]) == "200-200, 100"
    record = {"a_b": {"mean": 1.5, "min": 0.25, "max": None}, "kl": {"mean": 2.0, "standard_error": None}}
    assert numbers.rows({**record, "x": None, "y": [1] * 9}) == [("a b", "mean 1.50, min 0.25"), ("KL", "2")]
    assert numbers.sentence({}) == ""
    told = {name: numbers.sentence({"objective": name, "dataset": "digits"}) for name in ("iwae", "jvi")}
    assert "no lower bound" in told["jvi"]
    assert "no lower bound" not in told["iwae"]
    assert numbers.headline({}, {}) == []
    # A density has no bits, and what is not finite is null.
    density = {"nll_test": {"nll": 61.2, "standard_error": 0.1, "num_examples": 5, "bits_per_dimension": None}}
    assert [fact.value for fact in numbers.headline(density, {})] == ["61.20"]
    assert numbers.headline({"nll_test": {"nll": None, "bits_per_dimension": None}}, {}) == []


def test_settings_have_all_digits():
    """A setting that was rounded is another one."""
    settings = {"ema": 0.99999, "global_clipnorm": 1.004, "learning_rate": 3e-4, "rates": [0.123456789, 2.0], "seed": 5}
    assert numbers.settings_rows({**settings, "start": None}) == [
        ("ema", "0.99999"),
        ("global clipnorm", "1.004"),
        ("learning rate", "0.0003"),
        ("rates", "0.123456789, 2"),
        ("seed", "5"),
    ]
