#!/usr/bin/env python
"""What does each ingredient buy? An IWAE with a learned prior, and the same with one thing changed at a time.

Every model is trained for the same passes, and judged by minus L_5000 and by the refined NLL on the first test images.
Runs are kept in --out and rows in --json: a second start goes on where the first one stopped.

examples:
  python benchmarks/ablations.py --passes 10 --limit 1000
  python benchmarks/ablations.py --changes "a mixture" "no prior of its own" --out saved_models/ablations
  python benchmarks/ablations.py --quick --out /tmp/ablations --json /tmp/ablations.json
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
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
QUICK = {"dataset": "digits", "hidden": ((12,),), "latent_dim": (2,)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--passes", type=int, default=10, help="over the training images [10]")
    parser.add_argument("--dataset", default="mnist", help="[mnist]")
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="first test images to judge by [1000]")
    parser.add_argument("--changes", nargs="+", metavar="TEXT", help="those that contain one of these [all]")
    parser.add_argument("--out", type=Path, default=Path("saved_models/ablations"), help="[saved_models/ablations]")
    json_file = ROOT / "docs" / "results" / "ablations.json"
    parser.add_argument("--json", type=Path, default=json_file, help="[docs/results/ablations.json]")
    parser.add_argument("--quick", action="store_true", help="small digits, two passes, few samples; no measurement")
    return parser.parse_args()


def row(change: str, args: argparse.Namespace) -> dict[str, str]:
    """Train, or go on, and judge."""
    from keras_iwae import experiments
    from keras_iwae.experiments import inputs

    run = args.out / f"{args.dataset}-{args.passes}-{change.replace(': ', '-').replace(', ', '-').replace(' ', '-')}"
    settings = {**WHOLE, **CHANGES[change]}
    if args.quick:
        components = 5 if settings["prior_components"] else None
        settings.update(QUICK, prior_components=components)
    config = experiments.ExperimentConfig.of(**{"dataset": args.dataset, "epochs": args.passes, **settings})
    if (run / "config.json").exists():
        inputs.check_wanted(run, config)
        experiments.resume(run)
    else:
        experiments.train(config, run)
    few = {"num_samples": 50 if args.quick else 5000, "limit": args.limit, "verbose": False}
    _, record = experiments.evaluate(run, **few)
    _, refined = experiments.evaluate(run, proposal="refined", **{**few, "num_samples": 50 if args.quick else 500})
    return {
        **key(change, args),
        "NLL, L_5000 (nats)": f"{record['nll']:.2f} ± {record['standard_error']:.2f}",
        "NLL, refined, K = 500": f"{refined['nll']:.2f}",
        "active units": str(record["active_units"]),
    }


def key(change: str, args: argparse.Namespace) -> dict[str, str]:
    return {"changed": change, "passes": str(args.passes), "test images": str(args.limit)}


def main() -> None:
    args = parse()
    if args.quick:
        args.passes, args.limit = 2, 20
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


if __name__ == "__main__":
    main()
