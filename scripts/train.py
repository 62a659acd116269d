#!/usr/bin/env python
"""Train an IWAE, a VAE or a plain autoencoder, and write a run folder.

The run folder holds model.keras, config.json, metrics.json, history.csv, TensorBoard logs with image grids, and
figures. Ctrl-C or a kill loses at most the epoch under way: --resume continues with the same numbers that an
uninterrupted run would have given, on a GPU but for rounding.

Where the environment variable TF_CONFIG names several processes, each started with the same command, they train one
run together: docs/scale.md.

examples:
  python scripts/train.py --dataset digits --epochs 50
  python scripts/train.py --dataset mnist --num-samples 50 --epochs 20 --out saved_models/mnist-50
  python scripts/train.py --resume --out saved_models/mnist-50 --epochs 40
  python scripts/train.py --latent-dim 100 50 --hidden 200 200 --hidden 100 100 --estimator dreg --backward-samples 8
  python scripts/train.py --dataset digits --likelihood discretized_logistic --levels 17
"""

import argparse

from _entry import command, parsed
from _help import parser_with_main_options

# The fields of a configuration, section by section as they are in config.json.
SETTINGS: dict[str, dict[str, dict]] = {
    "data": {
        "dataset": dict(
            type=str,
            help="digits (comes with the package), mnist, ..., a .npz or .npy file, or a folder of convert.py [mnist]",
        ),
        "binarization": dict(
            type=str,
            help="dynamic (afresh at every pass), static, threshold; none (grey levels in [0, 1], or your numbers as "
            "they are); levels (whole numbers) [what the likelihood is made for]",
        ),
        "batch_size": dict(type=int, help="images a step [100]"),
    },
    "model": {
        "likelihood": dict(
            type=str,
            help="bernoulli; continuous_bernoulli, gaussian, student_t for grey levels in [0, 1]; "
            "discretized_logistic, categorical, poisson, negative_binomial for whole numbers [bernoulli]",
        ),
        "levels": dict(
            type=int, metavar="N", help="numbers of discretized_logistic and categorical [those of the data set]"
        ),
        "missing": dict(type=str, help="nan, where pixels that are NaN are missing [none are]"),
        "mask_input": dict(
            action="store_true", default=None, help="tell the encoder which pixels are missing, with --missing"
        ),
        "posterior": dict(
            type=str,
            help="gaussian, full_covariance, planar, radial, iaf, maf, autoregressive, mixture, auxiliary, "
            "semi_amortized, adversarial (with --objective elbo); bernoulli for binary latents [gaussian]",
        ),
        "posterior_components": dict(type=int, metavar="C", help="components of the posterior mixture [4]"),
        "prior": dict(
            type=str,
            help="standard_normal, or one that is learned: mixture, vamp, flow [standard_normal; fair coins for binary "
            "latents]",
        ),
        "prior_components": dict(type=int, metavar="M", help="components of the priors mixture and vamp [500]"),
        "network": dict(type=str, help="dense, gated, or conv for images with height and width [dense]"),
        "latent_dim": dict(
            type=int, nargs="+", metavar="D", help="latent units, a number for each stochastic layer [50]"
        ),
        "hidden": dict(
            type=int,
            nargs="+",
            action="append",
            metavar="UNITS",
            help="units of the encoder's layers, given once for each stochastic layer [of one: 200 200]; with conv for "
            "those above the first alone",
        ),
        "activation": dict(type=str, help="of these layers, where there are any [tanh]"),
    },
    "objective": {
        "objective": dict(
            type=str, help="iwae, elbo (the VAE), ae (autoencoder), miwae, piwae, ciwae, renyi, jvi [iwae]"
        ),
        "num_samples": dict(type=int, help="K, importance samples for each image [50; ae: 1]"),
        "early_samples": dict(type=int, metavar="K", help="K of the first two thirds of the epochs [--num-samples]"),
        "num_groups": dict(type=int, metavar="M", help="groups of miwae and piwae, a divisor of K [8]"),
        "beta": dict(type=float, help="the ELBO's share in ciwae [0.5]"),
        "alpha": dict(type=float, help="order of renyi [0.5]"),
        "estimator": dict(
            type=str,
            help="reparameterized, stl, dreg, vimco, reinforce, rws, or auto: dreg where it is legal and K > 1 [auto]",
        ),
        "backward_samples": dict(type=int, metavar="m", help="samples drawn for the backward pass [all K]"),
        "kl_warmup_steps": dict(type=int, metavar="STEPS", help="steps over which the KL part grows to its weight [0]"),
    },
    "optimizer": {
        "learning_rate": dict(type=float, help="of Adam, the first or the highest of the schedule [0.001]"),
        "schedule": dict(
            type=str, help="constant; cosine (a rise, then down to 0); paper (its eight stages) [constant]"
        ),
        "beta_1": dict(type=float, help="of Adam [0.9]"),
        "epsilon": dict(type=float, help="of Adam [1e-7]"),
        "global_clipnorm": dict(
            type=float, metavar="LENGTH", help="shorten gradients of all weights together to this length [as they are]"
        ),
        "ema": dict(
            type=float,
            metavar="DECAY",
            help="decay, such as 0.999, of moving averages of the weights, which are then judged and exported [none]",
        ),
    },
    "run": {
        "epochs": dict(type=int, help="passes over the training images, in all [20]"),
        "start": dict(type=str, metavar="RUN", help="a run of the same parts whose weights to start from [none]"),
        "seed": dict(type=int, help="of the weights, the order of the images and every draw [0]"),
    },
}


def add_settings(parser: argparse.ArgumentParser, without: tuple[str, ...] = ()) -> None:
    """Give `parser` an option for each setting but those `without`, grouped by section; what is not given is `None`."""
    for section, fields in SETTINGS.items():
        group = parser.add_argument_group(section)
        for name, options in fields.items():
            if name not in without:
                group.add_argument(f"--{name.replace('_', '-')}", **options)


def given_settings(args: argparse.Namespace) -> dict:
    """The settings that were given, by the names of their fields."""
    names = [name for fields in SETTINGS.values() for name in fields]
    return {name: getattr(args, name) for name in names if getattr(args, name, None) is not None}


# What --help explains.
MAIN = (
    "dataset",
    "out",
    "epochs",
    "resume",
    "num_samples",
    "objective",
    "estimator",
    "likelihood",
    "latent_dim",
    "hidden",
    "batch_size",
    "learning_rate",
    "seed",
)


def parse() -> argparse.Namespace:
    parser = parser_with_main_options(__doc__, MAIN)
    parser.add_argument("--out", help="run folder, new or empty [saved_models/DATASET-OBJECTIVE-kK-TIME]")
    parser.add_argument(
        "--resume", action="store_true", help="continue the run in --out [the newest run]; takes --epochs"
    )
    parser.add_argument(
        "--devices",
        type=int,
        default=1,
        metavar="N",
        help="GPUs, or logical CPUs where there are none, to share batches out over [1]",
    )
    add_settings(parser)
    args = parsed(parser)
    fixed = [f"--{name.replace('_', '-')}" for name in given_settings(args) if name != "epochs"]
    if args.resume and fixed:
        parser.error(
            "--resume keeps the run's own settings and takes only --epochs, --devices and --out, not "
            f"{', '.join(fixed)}"
        )
    return args


def main(args: argparse.Namespace) -> None:
    from keras_iwae import experiments
    from keras_iwae.experiments.advice import evaluation_command
    from keras_iwae.experiments.config import settings_of
    from keras_iwae.training import library, runs

    if args.start is not None:
        args.start = str(library.run_of(args.start))
    if args.resume:
        run = experiments.resume(args.out or runs.newest(), args.epochs, devices=args.devices)
    else:
        run = experiments.train(experiments.ExperimentConfig.of(**given_settings(args)), args.out, devices=args.devices)
    print(f"run       {run}\npictures  {run / 'figures'}\nnext      {evaluation_command(run, settings_of(run))}")


if __name__ == "__main__":
    command(main, parse(), when_stopped="stopped; go on from the last whole epoch with --resume")
