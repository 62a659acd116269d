#!/usr/bin/env python
"""What does a richer posterior buy? Every family on MNIST, after equal passes, with encoders of equal size.

Each family is trained with the ELBO and with IWAE, both with K = 5 draws, and judged by minus L_5000 on the first test
images; the adversarial one, which has no density and no importance weights, by annealing on fewer of them. Runs are
kept in --out and rows in --json: a second start goes on where the first one stopped. What a step costs, step_cost.py
measures.

examples:
  python benchmarks/posterior_table.py --passes 20 --limit 1000
  python benchmarks/posterior_table.py --families planar iaf --out saved_models/posteriors
  python benchmarks/posterior_table.py --quick --out /tmp/posteriors --json /tmp/posteriors.json
"""

import argparse
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
OBJECTIVES = {"elbo": "ELBO", "iwae": "IWAE-5"}
# A network and an amount of work of seconds, which show that the script works and nothing else.
QUICK = {"dataset": "digits", "hidden": ((12,),), "latent_dim": (2,)}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--passes", type=int, default=20, help="over the training images [20]")
    parser.add_argument("--limit", type=int, default=1000, metavar="N", help="first test images to judge by [1000]")
    parser.add_argument("--annealed", type=int, default=100, metavar="N", help="of the adversarial one [100]")
    parser.add_argument("--families", nargs="+", metavar="NAME", help="[all over continuous latents]")
    parser.add_argument("--out", type=Path, default=Path("saved_models/posteriors"), help="[saved_models/posteriors]")
    json_file = ROOT / "docs" / "results" / "posteriors.json"
    parser.add_argument("--json", type=Path, default=json_file, help="[docs/results/posteriors.json]")
    parser.add_argument("--quick", action="store_true", help="small digits, two passes, few samples; no measurement")
    return parser.parse_args()


def judged(run: Path, family: str, args: argparse.Namespace) -> dict[str, str]:
    """NLL, how it was found, and active units."""
    import numpy as np

    from keras_iwae import experiments
    from keras_iwae.evaluation import diagnostics
    from keras_iwae.experiments.evaluation_target import evaluation_images
    from keras_iwae.training import runs

    if family != "adversarial":
        _, record = experiments.evaluate(run, num_samples=50 if args.quick else 5000, limit=args.limit, verbose=False)
        how, active = f"L_{record['num_samples']}", record["active_units"]
    else:
        few = {"num_chains": 2, "num_temperatures": 5} if args.quick else {}
        _, record = experiments.evaluate_annealed(run, limit=args.annealed, verbose=False, **few)
        means = np.asarray(runs.load_model(run).posterior.mean(evaluation_images(run, args.limit, seed=0)))
        how, active = f"AIS, {record['num_chains']} chains", int(diagnostics.active_units(means).sum())
    return {
        "NLL (nats)": f"{record['nll']:.2f} ± {record['standard_error']:.2f}",
        "by": how,
        "test images": str(record["num_examples"]),
        "active units": str(active),
    }


def row(family: str, objective: str, args: argparse.Namespace) -> dict[str, str]:
    from keras_iwae import experiments
    from keras_iwae.experiments import inputs
    from keras_iwae.training import runs

    run = args.out / f"{family}-{objective}-{args.passes}"
    config = experiments.ExperimentConfig.of(
        objective=objective,
        num_samples=5,
        # The adversarial one has none.
        estimator="auto" if family == "adversarial" else "reparameterized",
        posterior=family,
        epochs=args.passes,
        **(QUICK if args.quick else {}),
    )
    if (run / "config.json").exists():
        inputs.check_wanted(run, config)
        experiments.resume(run)
    else:
        experiments.train(config, run)
    model = runs.load_model(run)
    counts = [sum(v.shape.num_elements() for v in part.trainable_variables) for part in (model, model.generative)]
    return {
        **key(family, objective, args),
        **judged(run, family, args),
        "parameters": f"{counts[0]:,}",
        "of these, beside the decoder": f"{counts[0] - counts[1]:,}",
    }


def key(family: str, objective: str, args: argparse.Namespace) -> dict[str, str]:
    return {"posterior": family, "bound": OBJECTIVES[objective], "passes": str(args.passes)}


def main() -> None:
    args = parse()
    from keras_iwae.foundation.storage import write_json
    from keras_iwae.models.components import POSTERIORS

    if args.quick:
        args.passes, args.limit, args.annealed = 2, 20, 3
    rows = json.loads(args.json.read_text()) if args.json.exists() else []
    names = [name for name in POSTERIORS if name != "bernoulli"]
    for family in args.families or names:
        for objective in ["elbo"] if family == "adversarial" else OBJECTIVES:
            if any(key(family, objective, args).items() <= done.items() for done in rows):
                continue
            made = row(family, objective, args)
            rows = sorted([*rows, made], key=lambda each: names.index(each["posterior"]))
            write_json(args.json, rows)
            print(" ".join(made.values()), flush=True)


if __name__ == "__main__":
    main()
