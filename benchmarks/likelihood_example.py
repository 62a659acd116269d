#!/usr/bin/env python
"""What NLL do likelihoods of grey levels reach? The example of docs/likelihoods.md, row by row, with its pictures.

A row trains one model and evaluates it as train.py and evaluate_nll.py do with the same settings; the commands are in
the JSON beside what came out. A picture has E[x|z] of draws from the prior above, and below each a draw of x.

examples:
  python benchmarks/likelihood_example.py
  python benchmarks/likelihood_example.py --rows digits-categorical --out /tmp/likelihoods.json
  python benchmarks/likelihood_example.py --quick
"""

import argparse
import tempfile
import time
from pathlib import Path

from _files import ending_in
from _report import ROOT, Report, run

DIGITS = {"dataset": "digits", "num_samples": 50, "batch_size": 20, "hidden": (100, 100), "latent_dim": 20}
MNIST = {"dataset": "mnist", "num_samples": 5, "batch_size": 100, "hidden": (200, 200), "latent_dim": 50}
# Settings of training, K of the evaluation and how many test images it is of.
ROWS: dict[str, tuple[dict, int, int | None]] = {
    "digits-discretized": ({**DIGITS, "likelihood": "discretized_logistic", "epochs": 100}, 5000, None),
    "digits-categorical": ({**DIGITS, "likelihood": "categorical", "epochs": 50}, 5000, None),
    "digits-bernoulli": ({**DIGITS, "likelihood": "bernoulli", "epochs": 100}, 5000, None),
    "mnist-discretized": ({**MNIST, "likelihood": "discretized_logistic", "epochs": 15}, 500, 1000),
}
# A network and an amount of work of seconds, which show that the script works and nothing else.
QUICK = {"dataset": "digits", "num_samples": 3, "batch_size": 200, "hidden": (12,), "latent_dim": 2, "epochs": 2}
PICTURES, COLUMNS = 20, 10


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    made.add_argument("--rows", nargs="+", choices=ROWS, metavar="ROW", default=list(ROWS), help="[all of them]")
    made.add_argument("--quick", action="store_true", help="small digits, two passes, few samples; no measurement")
    made.add_argument(
        "--out",
        type=ending_in(".json"),
        metavar="FILE",
        help="the JSON file; pictures lie beside it [docs/results/likelihoods.json, docs/images/likelihoods-ROW.png]",
    )
    return made


def commands(name: str, settings: dict, num_samples: int, limit: int | None) -> list[str]:
    """The commands that do what a row does."""
    options = {option.replace("_", "-"): value for option, value in settings.items()}
    words = [f"--{option} {' '.join(map(str, _several(value)))}" for option, value in options.items()]
    of = f" --limit {limit}" if limit else ""
    folder = f"saved_models/{name}"
    return [
        f"python scripts/train.py {' '.join(words)} --out {folder}",
        f"python scripts/evaluate_nll.py --k {num_samples}{of} --model {folder}",
    ]


def _several(value) -> tuple:
    return value if isinstance(value, tuple) else (value,)


def made(settings: dict, picture: Path, num_samples: int, limit: int | None) -> dict:
    """One row: a model trained and evaluated, and its picture."""
    import numpy as np

    import keras_iwae
    from keras_iwae import data, likelihoods, plots
    from keras_iwae.experiments.sections import BINARIZATIONS, LEVELLED

    name, dataset = settings["likelihood"], settings["dataset"]
    binarization, options = BINARIZATIONS[name], {}
    if name in LEVELLED:
        options["levels"] = data.num_levels(dataset)
    mean = data.mean_image(dataset, binarization)
    model = keras_iwae.IWAE(
        mean.shape,
        settings["latent_dim"],
        settings["hidden"],
        num_samples=settings["num_samples"],
        likelihood=likelihoods.LIKELIHOODS[name](**options),
    )
    model.initialize_output_bias(mean)
    model.compile(keras_iwae.training.FusedAdam(1e-3), steps_per_execution=20)
    begin = time.perf_counter()
    model.fit(data.load(dataset, "train", settings["batch_size"], binarization), epochs=settings["epochs"], verbose=0)
    seconds = time.perf_counter() - begin
    validation = model.evaluate(
        data.load(dataset, "validation", settings["batch_size"], binarization), verbose=0, return_dict=True
    )
    images = np.concatenate(list(data.load(dataset, "test", 200, binarization).as_numpy_iterator()))[:limit]
    begin = time.perf_counter()
    result = keras_iwae.importance_weighted_nll(model, images, num_samples, verbose=False)
    evaluation_seconds = time.perf_counter() - begin
    samples, to_grey = model.sample(PICTURES), model.generative.likelihood.to_grey
    rows = [
        to_grey(part.numpy()[first : first + COLUMNS])
        for first in range(0, PICTURES, COLUMNS)
        for part in (samples.mean, samples.events)
    ]
    plots.save_grid(picture, np.concatenate(rows), COLUMNS)
    return {
        **settings,
        **options,
        "binarization": binarization,
        "seed": 0,
        "validation_bound": validation["bound"],
        "training_seconds": round(seconds, 1),
        "evaluation_seconds": round(evaluation_seconds, 1),
        "nll_test": result.to_dict(),
    }


def main(args: argparse.Namespace) -> None:
    if args.out is None and args.quick:
        args.out = Path(tempfile.gettempdir()) / "keras_iwae-benchmarks" / "likelihoods.json"
    pictures = args.out.parent if args.out else ROOT / "docs" / "images"
    args.out = args.out or ROOT / "docs" / "results" / "likelihoods.json"
    report, found = Report("likelihood_example", args), {}
    for name in args.rows:
        settings, num_samples, limit = ROWS[name]
        if args.quick:
            settings, num_samples, limit = {**settings, **QUICK}, 30, 20
        row = made(settings, pictures / f"likelihoods-{name}.png", num_samples, limit)
        found[name] = {"commands": commands(name, settings, num_samples, limit), **row}
        print(f"{name}: {row['training_seconds']} s, {row['evaluation_seconds']} s", flush=True)
    report.write({"rows": found})
    print(HEAD, *map(line, found.values()), sep="\n")


HEAD = """| data | likelihood | passes | K | test images, their K | NLL (nats) | bits per dimension | training |
|-|-|-|-|-|-|-|-|"""


def line(row: dict) -> str:
    """A row as the page has it."""
    found = row["nll_test"]
    cells = (
        row["dataset"],
        f"`{row['likelihood']}`",
        row["epochs"],
        row["num_samples"],
        f"{found['num_examples']}, {found['num_samples']}",
        f"{found['nll']:.2f} ± {found['standard_error']:.2f}",
        f"{found['bits_per_dimension']:.3f}",
        f"{row['training_seconds'] / 60:.1f} min",
    )
    return "| " + " | ".join(map(str, cells)) + " |"


if __name__ == "__main__":
    run(main, parser())
