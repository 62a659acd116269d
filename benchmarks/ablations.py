#!/usr/bin/env python
"""What does each ingredient buy? An IWAE with a learned prior, and the same with one thing changed at a time.

Every model is trained for the same passes, and judged by minus L_5000 and by the refined NLL on the first test images.
Runs are kept in --out and rows in --json: a second start goes on where the first one stopped.

examples:
  python benchmarks/ablations.py --passes 10 --limit 1000
  python benchmarks/ablations.py --changes "a mixture" "no prior of its own" --out saved_models/ablations
  python benchmarks/ablations.py --quick
"""

import argparse
import json
from pathlib import Path

from _files import ending_in
from _report import check_images, positive, run, settle, settle_rows

WHOLE: dict = {
    "num_samples": 10,
    "schedule": "cosine",
    "learning_rate": 3e-3,
    "network": "gated",
    "hidden": ((300, 300),),
    "latent_dim": (40,),
    "prior": "vamp",
    "prior_components": 500,
}
NO_COMPONENTS = {"prior_components": None}
# What is changed, by what is said of it.
CHANGES: dict[str, dict] = {
    "nothing": {},
    "prior: a mixture of Gaussians": {"prior": "mixture"},
    "prior: a flow": {"prior": "flow", **NO_COMPONENTS},
    "prior: standard normal": {"prior": None, **NO_COMPONENTS},
    "bound: ELBO with as many draws": {"objective": "elbo"},
    "bound: K = 1, the VAE": {"num_samples": 1},
    "bound: K = 50": {"num_samples": 50, "backward_samples": 8},
    "estimator: reparameterized": {"estimator": "reparameterized"},
    "network: dense 300-300 with tanh": {"network": "dense"},
    "network: dense 200-200, 50 latents": {"network": "dense", "hidden": None, "latent_dim": (50,)},
    "recipe: constant rate of 0.001": {"schedule": "constant", "learning_rate": 1e-3},
}
# A network and an amount of work of seconds, which show that the script works and nothing else.
QUICK = {"hidden": ((12,),), "latent_dim": (2,)}
FULL, SMALLEST = {"passes": 10, "dataset": "mnist", "limit": 1000}, {"passes": 2, "dataset": "digits", "limit": 20}


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--passes", type=positive, help="over the training images [10]")
    parser.add_argument("--dataset", help="[mnist]")
    parser.add_argument("--limit", type=positive, metavar="N", help="first test images to judge by [1000]")
    parser.add_argument("--changes", nargs="+", metavar="TEXT", help="those that contain one of these [all]")
    parser.add_argument("--out", type=Path, help="folder of the runs [saved_models/ablations]")
    parser.add_argument("--json", type=ending_in(".json"), help="[docs/results/ablations.json]")
    quick = "small digits, two passes, few samples, files in a temporary folder; no measurement"
    parser.add_argument("--quick", action="store_true", help=quick)
    return parser


def row(change: str, args: argparse.Namespace) -> dict[str, str]:
    """Train, or go on, and judge."""
    from keras_iwae import experiments
    from keras_iwae.experiments import inputs

    folder = args.out / f"{args.dataset}-{args.passes}-{change.replace(': ', '-').replace(', ', '-').replace(' ', '-')}"
    settings = {**WHOLE, **CHANGES[change]}
    if args.quick:
        components = 5 if settings["prior_components"] else None
        settings.update(QUICK, prior_components=components)
    config = experiments.ExperimentConfig.of(**{"dataset": args.dataset, "epochs": args.passes, **settings})
    if (folder / "config.json").exists():
        inputs.check_wanted(folder, config)
        experiments.resume(folder)
    else:
        experiments.train(config, folder)
    few = {"num_samples": 50 if args.quick else 5000, "limit": args.limit, "verbose": False}
    _, record = experiments.evaluate(folder, **few)
    _, refined = experiments.evaluate(folder, proposal="refined", **{**few, "num_samples": 50 if args.quick else 500})
    check_images(record, "--limit")
    return {
        **key(change, args),
        "NLL, L_5000 (nats)": f"{record['nll']:.2f} ± {record['standard_error']:.2f}",
        "NLL, refined, K = 500": f"{refined['nll']:.2f}",
        "active units": str(record["active_units"]),
    }


def key(change: str, args: argparse.Namespace) -> dict[str, str]:
    """What a row is of: one that is there is not made again."""
    return {
        "changed": change,
        "data set": args.dataset,
        "passes": str(args.passes),
        "test images": str(args.limit),
    }


def main(args: argparse.Namespace) -> None:
    unknown = [text for text in args.changes or () if not any(text in change for change in CHANGES)]
    if unknown:
        raise ValueError(f"--changes: expected parts of {', '.join(CHANGES)}; received {', '.join(unknown)}")
    settle(args, FULL, SMALLEST)
    settle_rows(args, "ablations")
    from keras_iwae.foundation.storage import write_json

    rows = json.loads(args.json.read_text()) if args.json.exists() else []
    order = list(CHANGES)
    for change in order:
        if args.changes and not any(text in change for text in args.changes):
            continue
        if any(key(change, args).items() <= done.items() for done in rows):
            continue
        made = row(change, args)
        rows = sorted([*rows, made], key=lambda each: order.index(each["changed"]))
        write_json(args.json, rows)
        print(" ".join(made.values()), flush=True)
    print(args.json)


if __name__ == "__main__":
    run(main, arguments())
