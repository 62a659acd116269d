#!/usr/bin/env python
"""What does a richer posterior buy? Every family on MNIST, after equal passes, with encoders of equal size.

Each family is trained with the ELBO and with IWAE, both with K = 5 draws, and judged by minus L_5000 on the first test
images; the adversarial one, which has no density and no importance weights, by annealing on fewer of them. Runs are
kept in --out and rows in --json: a second start goes on where the first one stopped. What a step costs, step_cost.py
measures.

examples:
  python benchmarks/posterior_table.py --passes 20 --limit 1000
  python benchmarks/posterior_table.py --families planar iaf --out saved_models/posteriors
  python benchmarks/posterior_table.py --quick
"""

import argparse
import json
from pathlib import Path

from _files import ending_in
from _report import check_images, positive, run, settle, settle_rows

OBJECTIVES = {"elbo": "ELBO", "iwae": "IWAE-5"}
# A network and an amount of work of seconds, which show that the script works and nothing else.
QUICK = {"dataset": "digits", "hidden": ((12,),), "latent_dim": (2,)}
FULL, SMALLEST = {"passes": 20, "limit": 1000, "annealed": 100}, {"passes": 2, "limit": 20, "annealed": 3}


def arguments() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--passes", type=positive, help="over the training images [20]")
    parser.add_argument("--limit", type=positive, metavar="N", help="first test images to judge by [1000]")
    parser.add_argument("--annealed", type=positive, metavar="N", help="of the adversarial one [100]")
    parser.add_argument("--families", nargs="+", metavar="NAME", help="[all over continuous latents]")
    parser.add_argument("--out", type=Path, help="folder of the runs [saved_models/posteriors]")
    parser.add_argument("--json", type=ending_in(".json"), help="[docs/results/posteriors.json]")
    quick = "small digits, two passes, few samples, files in a temporary folder; no measurement"
    parser.add_argument("--quick", action="store_true", help=quick)
    return parser


def judged(folder: Path, family: str, args: argparse.Namespace) -> dict[str, str]:
    """NLL, how it was found, and active units."""
    import numpy as np

    from keras_iwae import experiments
    from keras_iwae.evaluation import diagnostics
    from keras_iwae.experiments.evaluation_target import evaluation_images
    from keras_iwae.training import runs

    if family != "adversarial":
        few = {"num_samples": 50 if args.quick else 5000, "limit": args.limit, "verbose": False}
        _, record = experiments.evaluate(folder, **few)
        how, active = f"L_{record['num_samples']}", record["active_units"]
    else:
        few = {"num_chains": 2, "num_temperatures": 5} if args.quick else {}
        _, record = experiments.evaluate_annealed(folder, limit=args.annealed, verbose=False, **few)
        means = np.asarray(runs.load_model(folder).posterior.mean(evaluation_images(folder, args.limit, seed=0)))
        how, active = f"AIS, {record['num_chains']} chains", int(diagnostics.active_units(means).sum())
    check_images(record, "--annealed" if family == "adversarial" else "--limit")
    return {
        "NLL (nats)": f"{record['nll']:.2f} ± {record['standard_error']:.2f}",
        "by": how,
        "active units": str(active),
    }


def row(family: str, objective: str, args: argparse.Namespace) -> dict[str, str]:
    from keras_iwae import experiments
    from keras_iwae.experiments import inputs
    from keras_iwae.training import runs

    folder = args.out / f"{family}-{objective}-{args.passes}"
    config = experiments.ExperimentConfig.of(
        objective=objective,
        num_samples=5,
        # The adversarial one has none.
        estimator="auto" if family == "adversarial" else "reparameterized",
        posterior=family,
        epochs=args.passes,
        **(QUICK if args.quick else {}),
    )
    if (folder / "config.json").exists():
        inputs.check_wanted(folder, config)
        experiments.resume(folder)
    else:
        experiments.train(config, folder)
    model = runs.load_model(folder)
    counts = [sum(v.shape.num_elements() for v in part.trainable_variables) for part in (model, model.generative)]
    return {
        **key(family, objective, args),
        **judged(folder, family, args),
        "parameters": f"{counts[0]:,}",
        "of these, beside the decoder": f"{counts[0] - counts[1]:,}",
    }


def key(family: str, objective: str, args: argparse.Namespace) -> dict[str, str]:
    """What a row is of: one that is there is not made again."""
    return {
        "posterior": family,
        "bound": OBJECTIVES[objective],
        "passes": str(args.passes),
        "test images": str(args.annealed if family == "adversarial" else args.limit),
    }


def main(args: argparse.Namespace) -> None:
    from keras_iwae.foundation.storage import write_json
    from keras_iwae.models.components import POSTERIORS

    names = [name for name in POSTERIORS if name != "bernoulli"]
    unknown = [name for name in args.families or () if name not in names]
    if unknown:
        raise ValueError(f"--families: expected some of {', '.join(names)}; received {', '.join(unknown)}")
    settle(args, FULL, SMALLEST)
    settle_rows(args, "posteriors")
    rows = json.loads(args.json.read_text()) if args.json.exists() else []
    for family in args.families or names:
        for objective in ["elbo"] if family == "adversarial" else OBJECTIVES:
            if any(key(family, objective, args).items() <= done.items() for done in rows):
                continue
            made = row(family, objective, args)
            rows = sorted([*rows, made], key=lambda each: names.index(each["posterior"]))
            write_json(args.json, rows)
            print(" ".join(made.values()), flush=True)
    print(args.json)


if __name__ == "__main__":
    run(main, arguments())
