#!/usr/bin/env python
"""How well are missing cells filled in, once and several times, against what scikit-learn has?

Every side gets the same standardized tables with the same cells taken out: completely at random (MCAR), by the size of
another column that stays (MAR), or by their own size (MNAR). Of the cells that were taken out: squared error of one
filled-in table, in standard deviations of a column; of the sides that give a distribution, mean log density given what
was observed, in nats a cell, and coverage of 90 % intervals of many draws; seconds of all of it. IterativeImputer's
distribution is that of its own draws (sample_posterior), a normal one for the density. Results are written after every
side, and a second start goes on where the first was stopped.

IWAEImputer's defaults were chosen on breast cancer, wine and diabetes with half of the cells gone at random: other
cells than here, but the same tables. Nothing was chosen on digits, the other patterns or the other share.

examples:
  python benchmarks/imputation.py
  python benchmarks/imputation.py --data breast_cancer --pattern MCAR --share 0.5 --seeds 1
"""

import argparse
import importlib.util
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from typing import Any

import numpy as np
from _report import Report, frameworks, kept, parser, positive, run, settle, table

DATA, PATTERNS, SHARES = ("wine", "diabetes", "breast_cancer", "digits"), ("MCAR", "MAR", "MNAR"), (0.2, 0.5)
LEVEL, DRAWS = 0.9, 100
IWAE, MASKING, ITERATIVE = "IWAEImputer", "IWAEImputer, self-masking", "IterativeImputer"
# Under MAR, where the columns that stay leave the others more to lose.
MOST_OF_A_COLUMN = 0.9
# Chained equations of their own for each draw: fewer of them say as much.
CHAINS = 20


def part(text: str) -> float:
    """A share of a whole of which some stays."""
    value = float(text)
    if not 0.0 < value < 1.0:
        raise argparse.ArgumentTypeError(f"expected a number between 0 and 1, got {text}")
    return value


def complete(name: str) -> np.ndarray:
    """A table of scikit-learn's, standardized, without its constant columns."""
    from sklearn import datasets

    x = getattr(datasets, f"load_{name}")().data.astype(np.float64)
    x = x[:, x.std(axis=0) > 0.0]
    return (x - x.mean(axis=0)) / x.std(axis=0)


def taken_out(x: np.ndarray, pattern: str, share: float, seed: int) -> np.ndarray:
    """Which cells are taken out, bool `[N, D]`: about `share` of all of them, and never a whole column."""
    # Other cells than under the plain seed 0, on which a setting of IWAEImputer was chosen.
    rng = np.random.default_rng([seed, 1 + PATTERNS.index(pattern)])
    if pattern == "MCAR":
        chances = np.full(x.shape, share)
    elif pattern == "MNAR":
        chances = by_size(x, share)
    else:
        # A third of the columns stays whole; each other one goes by the size of one of these.
        order = rng.permutation(x.shape[1])
        whole = order[: max(1, x.shape[1] // 3)]
        rest = np.setdiff1d(order, whole)
        chances, of_rest = np.zeros(x.shape), share * x.shape[1] / len(rest)
        if of_rest > MOST_OF_A_COLUMN:
            expected = f"at most {MOST_OF_A_COLUMN * len(rest) / x.shape[1]:.3g} where a third of the columns stays"
            raise ValueError(f"--share: expected {expected}; received {share}")
        chances[:, rest] = by_size(x[:, rng.choice(whole, len(rest))], of_rest)
    if share * len(x) > len(x) - 2:
        expected = f"at most {1.0 - 2.0 / len(x):.3g}, for two cells of each column stay"
        raise ValueError(f"--share: expected {expected}; received {share}")
    mask = rng.random(x.shape) < chances
    # Two cells of each column at least are seen.
    mask[rng.permutation(len(x))[:2]] = False
    if not mask.any():
        raise ValueError(f"--share: expected one that takes a cell out; received {share}, of {x.size} cells")
    return mask


def by_size(x: np.ndarray, share: float, steepness: float = 2.0) -> np.ndarray:
    """Chances that rise with the size of a cell, logistic, with a mean of `share` in each column."""
    low, high = np.full(x.shape[1], -50.0), np.full(x.shape[1], 50.0)
    for _ in range(60):
        middle = 0.5 * (low + high)
        chances = 1.0 / (1.0 + np.exp(-np.clip(steepness * x + middle, -500.0, 500.0)))
        less = chances.mean(axis=0) < share
        low, high = np.where(less, middle, low), np.where(less, high, middle)
    return chances


def intervals(draws: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Ends of the central intervals, of draws `[m, cells]`, which of m draws from the truth cover with LEVEL."""
    tail = 0.5 * (1.0 - LEVEL)
    low, high = np.quantile(draws, [tail, 1.0 - tail], axis=0, method="weibull")
    return low, high


def normal_log_density(values: np.ndarray, draws: np.ndarray) -> np.ndarray:
    """Of a normal distribution with the moments of the draws."""
    variance = draws.var(axis=0, ddof=1) + 1e-6
    return -0.5 * ((values - draws.mean(axis=0)) ** 2 / variance + np.log(2.0 * np.pi * variance))


def with_mean(holes: np.ndarray, x: np.ndarray, seed: int, quick: bool) -> dict[str, Any]:
    from sklearn.impute import SimpleImputer

    return {"filled": SimpleImputer().fit_transform(holes)}


def with_neighbours(holes: np.ndarray, x: np.ndarray, seed: int, quick: bool) -> dict[str, Any]:
    from sklearn.impute import KNNImputer

    return {"filled": KNNImputer().fit_transform(holes)}


def iterative(seed: int, **options):
    from sklearn.experimental import enable_iterative_imputer  # noqa: F401
    from sklearn.impute import IterativeImputer

    return IterativeImputer(random_state=seed, **options)


def with_iterative(holes: np.ndarray, x: np.ndarray, seed: int, quick: bool) -> dict[str, Any]:
    filled = iterative(seed).fit_transform(holes)
    missing, count = np.isnan(holes), 3 if quick else CHAINS
    draws = [iterative(seed + i, sample_posterior=True).fit_transform(holes)[missing] for i in range(count)]
    drawn = np.stack(draws)
    return {"filled": filled, "draws": drawn, "log_density": normal_log_density(x[missing], drawn)}


def with_forest(holes: np.ndarray, x: np.ndarray, seed: int, quick: bool) -> dict[str, Any]:
    """The recipe of missForest: a forest for each column, a third of the columns at each split, from the means on."""
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(5 if quick else 100, max_features="sqrt", random_state=seed, n_jobs=-1)
    return {"filled": iterative(seed, estimator=forest, max_iter=2 if quick else 10).fit_transform(holes)}


def with_hyperimpute(holes: np.ndarray, x: np.ndarray, seed: int, quick: bool) -> dict[str, Any]:
    """Its MIWAE, in a process of its own: beside TensorFlow's libraries its own end the process."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as apart:
        filled, seconds = apart.submit(_hyperimputed, holes, seed, quick).result()
    # Without its imports.
    return {"filled": filled, "seconds": seconds}


def _hyperimputed(holes: np.ndarray, seed: int, quick: bool) -> tuple[np.ndarray, float]:
    """In the sizes of ours; its own are one latent and one hidden unit."""
    from hyperimpute.plugins.imputers import Imputers

    sizes = {"latent_size": 10, "n_hidden": 128, "batch_size": 64, "n_epochs": 2 if quick else 600}
    begin = time.perf_counter()
    filled = np.asarray(Imputers().get("miwae", random_state=seed, **sizes).fit_transform(holes.copy()))
    return filled, time.perf_counter() - begin


def with_iwae(
    holes: np.ndarray, x: np.ndarray, seed: int, quick: bool, missingness: str | None = None
) -> dict[str, Any]:
    from keras_iwae import IWAEImputer

    options: dict[str, Any] = {"max_steps": 10, "num_samples": 50} if quick else {}
    imputer = IWAEImputer(random_state=seed, missingness=missingness, **options).fit(holes)
    imputations = imputer.impute(holes, 3 if quick else DRAWS)
    missing = np.isnan(holes)
    return {
        "filled": imputer.transform(holes),
        "draws": np.stack([one[missing] for one in imputations]),
        "log_density": imputer.score_held_out(holes, np.where(missing, x, np.nan))[missing],
        "doubtful": imputations.rows.unsteady,
        "scale_factor": imputer.scale_factor_,
    }


def with_masking(holes: np.ndarray, x: np.ndarray, seed: int, quick: bool) -> dict[str, Any]:
    return with_iwae(holes, x, seed, quick, "self_masking")


SIDES: dict[str, Callable[[np.ndarray, np.ndarray, int, bool], dict[str, Any]]] = {
    "mean": with_mean,
    "KNNImputer": with_neighbours,
    ITERATIVE: with_iterative,
    IWAE: with_iwae,
    MASKING: with_masking,
    "forests": with_forest,
}
# Not a dependency of anything here: it is measured where it is installed.
if importlib.util.find_spec("hyperimpute"):
    SIDES["hyperimpute"] = with_hyperimpute


def asked(side: str, pattern: str) -> bool:
    """Whether a side is run on such tables: a model of gaps that say something where they do."""
    return side != MASKING or pattern == "MNAR"


def measured(side: str, x: np.ndarray, mask: np.ndarray, seed: int, quick: bool) -> dict[str, Any]:
    """What one side makes of a table."""
    begin = time.perf_counter()
    with warnings.catch_warnings():
        # IterativeImputer's, that it has not converged.
        warnings.simplefilter("ignore")
        found = SIDES[side](np.where(mask, np.nan, x), x, seed, quick)
    row: dict[str, Any] = {"seconds": found.get("seconds", time.perf_counter() - begin)}
    errors = (found["filled"] - x)[mask] ** 2
    row |= {"mse": float(errors.mean()), "rmse": float(np.sqrt(errors.mean()))}
    if "draws" in found:
        low, high = intervals(found["draws"])
        inside = (low <= x[mask]) & (x[mask] <= high)
        row |= {"coverage": float(inside.mean()), "width": float((high - low).mean())}
        row["log_density"] = float(found["log_density"].mean())
    if "doubtful" in found:
        doubtful = np.broadcast_to(found["doubtful"][:, np.newaxis], x.shape)[mask]
        row["doubtful_rows"] = float(found["doubtful"].mean())
        row["coverage_doubtful"] = float(inside[doubtful].mean()) if doubtful.any() else None
        row["scale_factor"] = found["scale_factor"]
    return row


def main(args: argparse.Namespace) -> None:
    rows = kept(args, "imputation")
    whole = {"data": list(DATA), "pattern": list(PATTERNS), "share": list(SHARES), "seeds": 5}
    settle(args, whole, {"data": ["wine"], "pattern": ["MCAR"], "share": [0.5], "seeds": 1})
    report = Report("imputation", args)
    frameworks()
    known = {(r["data"], r["pattern"], r["share"], r["seed"], r["side"]) for r in rows}
    tables = {name: complete(name)[: 40 if args.quick else None] for name in args.data}
    for name, pattern, share in product(args.data, args.pattern, args.share):
        # Said before the first of them is measured.
        taken_out(tables[name], pattern, share, 0)
    # A seed of every table before the next: what is stopped has seen all of them.
    for seed, side, name, pattern, share in product(range(args.seeds), args.side, args.data, args.pattern, args.share):
        place = {"data": name, "pattern": pattern, "share": share, "seed": seed, "side": side}
        if asked(side, pattern) and tuple(place.values()) not in known:
            mask = taken_out(tables[name], pattern, share, seed)
            rows.append(place | measured(side, tables[name], mask, seed, args.quick))
            known.add(tuple(place.values()))
            print(rows[-1], flush=True)
            report.write({"level": LEVEL, "draws": DRAWS, "chains": CHAINS, "rows": rows})
    show(rows)


def show(rows: list[dict[str, Any]]) -> None:
    """A table of means over seeds."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["data"], row["pattern"], row["share"], row["side"]), []).append(row)

    def mean(group: list[dict[str, Any]], key: str) -> str:
        return f"{np.mean([row[key] for row in group]):.3f}" if key in group[0] else ""

    keys = "mse", "rmse", "log_density", "coverage", "doubtful_rows", "seconds"
    cells = [[*place, len(group), *(mean(group, key) for key in keys)] for place, group in groups.items()]
    table(["data", "pattern", "share", "side", "seeds", *(key.replace("_", " ") for key in keys)], cells)


def arguments() -> argparse.ArgumentParser:
    made = parser(__doc__, rounds=None)
    for option, choices in (("data", DATA), ("pattern", PATTERNS)):
        made.add_argument(f"--{option}", nargs="+", choices=choices, help="[all; of a quick run one]")
    made.add_argument("--side", nargs="+", choices=tuple(SIDES), default=list(SIDES), help="[all]")
    made.add_argument("--share", nargs="+", type=part, help="of cells taken out [0.2 0.5]")
    made.add_argument("--seeds", type=positive, help="tables of each kind [5]")
    return made


if __name__ == "__main__":
    run(main, arguments())
