"""The card of a packed model: what it is, how to use it, what is known of it and what it is not for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_iwae import data
from keras_iwae.experiments.config import ExperimentConfig
from keras_iwae.experiments.evaluation_target import quantity_name
from keras_iwae.experiments.report import numbers
from keras_iwae.foundation import number_text

# Those that say what the model is; the rest are in config.json.
_SAID = {
    "binarization",
    "likelihood",
    "levels",
    "missing",
    "mask_input",
    "posterior",
    "prior",
    "posterior_components",
    "prior_components",
    "network",
    "latent_dim",
    "hidden",
    "activation",
    "objective",
    "num_groups",
    "beta",
    "alpha",
    "num_samples",
    "early_samples",
    "estimator",
    "backward_samples",
    "kl_warmup_steps",
    "global_clipnorm",
    "ema",
    "schedule",
    "learning_rate",
    "batch_size",
    "epochs",
    "seed",
}


# Whether the prior has pseudo-inputs.
_DATA = {
    False: "The data that they were trained on is not in it, and stays under the terms of those who publish it.",
    True: "The data that they were trained on stays under the terms of those who publish it. Pseudo-inputs of the prior"
    " began as examples of it, which training has moved, and may look like them still.",
}


def card(name: str, config: Mapping[str, Any], metrics: Mapping[str, Any], history: list[dict[str, float]]) -> str:
    """The text of README.md, with the front matter of the Hugging Face Hub.

    Args:
        name: of the model's folder.
        config: of config.json.
        metrics: of metrics.json.
        history: rows of history.csv.
    """
    # As JSON has them, in lists.
    settings = json.loads(json.dumps(ExperimentConfig.from_dict(config).settings))
    dataset = settings["dataset"]
    settings["dataset"] = _public(dataset)
    text = [
        *_front_matter(dataset),
        f"# {name}",
        "",
        f"{numbers.sentence(settings)} Trained with keras_iwae.",
        "",
        "```python",
        "import keras_iwae",
        "",
        # A bare name is that of a model in the box, where one has it.
        f'model = keras_iwae.load("path/to/{name}")        # or "hf://USER/{name}", from the Hub',
        "model.sample(16, seed=0).mean        # [16, *event_shape]: means of what it draws",
        "```",
        "",
        "Every script of keras_iwae takes this folder for a run: `evaluate_nll.py`, `sample.py`, `diagnose.py`,"
        " `export.py` as `--model`, `report.py` as it is, and `compare.py` once it was evaluated there.",
        "",
        "## What is known of it",
        "",
        *_table([*_numbers(metrics), *_training(metrics, history)]),
        *_verdicts(metrics),
        "",
        "## How it was made",
        "",
        *_table(numbers.settings_rows({name: settings[name] for name in settings if _is_said(name, settings)})),
        "",
        "## What it is not",
        "",
        f"A model of {settings['dataset']} as keras_iwae reads it: its log-likelihoods of other data, or of the same"
        " data scaled or binarized in another way, say nothing about either. It draws what it was trained on, and is no"
        " classifier. There is no optimizer in the file: training goes on with a new one, and `train.py --resume`"
        " refuses it.",
        "",
        "## Licence",
        "",
        "Of the weights: not said yet. That is for whoever hands them on, here and as `license:` at the top, where the"
        f" Hub reads it. {_DATA[settings.get('prior') == 'vamp']}",
    ]
    return "\n".join(text) + "\n"


def _front_matter(dataset: str) -> list[str]:
    return [
        "---",
        "library_name: keras",
        # A file of the user's own is nothing on the Hub.
        *([f"datasets: [{json.dumps(dataset)}]"] if dataset in data.names() else []),
        "tags: [iwae, vae, density-estimation, generative-model]",
        "---",
        "",
    ]


def _is_said(name: str, settings: Mapping[str, Any]) -> bool:
    # No gaps, no mask of them.
    return name in _SAID and (name != "mask_input" or settings["missing"] is not None)


def _public(dataset: Any) -> Any:
    """The name of a data set; of a file or folder its last part, for where it lies is nobody's business."""
    return dataset if dataset in data.names() or not isinstance(dataset, str) else Path(dataset).name


def _method(record: Mapping[str, Any]) -> str:
    """By what an evaluation found its number."""
    if "num_temperatures" in record:
        return f" by AIS, {record['num_chains']:,} chains of {record['num_temperatures']:,} temperatures"
    if "num_estimates" in record:
        return f" by SUMO, {record['num_estimates']} estimates"
    return f", L_{record.get('num_samples')}, {record.get('proposal', 'amortized')}"


def _numbers(metrics: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Each evaluation of the test images: its NLL with the error over images."""
    found = []
    for key, record in metrics.items():
        if not isinstance(record, Mapping) or record.get("nll") is None:
            continue
        before = ", before rounding" if key.endswith("_before_rounding") else ""
        of = f"{record.get('split')} images of {_public(record.get('dataset'))}: {record.get('num_examples'):,}"
        what = f"{quantity_name(record)}{_method(record)}{before}; {of}"
        error = record.get("standard_error")
        found.append((what, number_text(record["nll"]) + (f" ± {number_text(error)}" if error else "") + " nats"))
        # Of a single image there are none.
        if record.get("active_units") is not None:
            found.append(
                (
                    f"latent units active, {record.get('split')} images",
                    f"{record['active_units']} of {record.get('latent_dim')}",
                )
            )
    rounding = metrics.get("rounding")
    if rounding:
        change, error = (rounding["nll_change"][key] for key in ("mean", "standard_error"))
        what = f"rounding to float16 adds to L_{rounding['num_samples']} of {rounding['num_examples']} test images"
        found.append((what, f"{number_text(change, '+.4f')} ± {number_text(error, '.4f')} nats"))
    return list(dict.fromkeys(found))


def _training(metrics: Mapping[str, Any], history: list[dict[str, float]]) -> list[tuple[str, str]]:
    training = metrics.get("training", {})
    passes = training.get("epoch", history[-1]["epoch"] if history else None)
    seconds = training.get("seconds", sum(row["seconds"] for row in history))
    return (
        [("passes over the training data", f"{passes:,.12g}"), ("minutes of training", f"{seconds / 60:.0f}")]
        if passes
        else []
    )


def _verdicts(metrics: Mapping[str, Any]) -> list[str]:
    records = [record for record in metrics.values() if isinstance(record, Mapping) and record.get("verdict")]
    return [line for each in records for line in ("", f"Of the {each.get('split')} images: {each['verdict']}")]


def _table(rows: list[tuple[str, str]]) -> list[str]:
    # The path of a data set may have the mark of a column in it.
    cells = [tuple(text.replace("|", r"\|") for text in row) for row in rows]
    return ["| | |", "|-|-|", *(f"| {name} | {value} |" for name, value in cells)]
