#!/usr/bin/env python
"""Does log p(x) find the odd rows, against what scikit-learn has?

Every side learns from rows of one kind and scores others of that kind and rows of other kinds, which it has never seen:
of digits one class against the nine others, for each class; of breast cancer benign against malignant. Two thirds of
the rows of the kind are learned from. AUROC: the chance that a row of the kind scores above one of another, 0.5 for
guessing. Peers get standardized columns. Results are written after every side, and a second start goes on where the
first was stopped. Nothing of IWAEDensity was chosen by these numbers; the number of its passes over a table was chosen
by filling in cells of breast cancer, wine and diabetes.

examples:
  python benchmarks/anomaly.py
  python benchmarks/anomaly.py --data digits --seeds 1
"""

import argparse
import time
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
from _report import Report, frameworks, kept, parser, positive, run, settle, table

DATA = "digits", "breast_cancer"
LEARNED, NEIGHBOURS, VARIANCE = 2 / 3, 5, 0.95
COMPONENTS = (1, 2, 3, 5)


def kinds(name: str) -> tuple[np.ndarray, np.ndarray, list[int]]:
    """Rows, the kind of each, and which kinds are learned from in turn."""
    from sklearn import datasets

    found = getattr(datasets, f"load_{name}")()
    return found.data.astype(np.float64), found.target, list(range(10)) if name == "digits" else [1]


def split(target: np.ndarray, kind: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of the rows that are learned from, and of all others."""
    own = np.flatnonzero(target == kind)
    learned = np.random.default_rng([seed, kind]).permutation(own)[: round(LEARNED * len(own))]
    return learned, np.setdiff1d(np.arange(len(target)), learned)


def standardized(known: np.ndarray, asked: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    from sklearn.preprocessing import StandardScaler

    scaler = StandardScaler().fit(known)
    return scaler.transform(known), scaler.transform(asked)


def with_forest(known: np.ndarray, asked: np.ndarray, seed: int, quick: bool) -> np.ndarray:
    from sklearn.ensemble import IsolationForest

    return IsolationForest(n_estimators=10 if quick else 300, random_state=seed).fit(known).score_samples(asked)


def with_mixture(known: np.ndarray, asked: np.ndarray, seed: int, quick: bool) -> np.ndarray:
    """Full covariances, as many components as BIC says."""
    from sklearn.mixture import GaussianMixture

    known, asked = standardized(known, asked)
    made = [
        GaussianMixture(n, reg_covar=1e-2, random_state=seed).fit(known) for n in COMPONENTS[: 1 if quick else None]
    ]
    return min(made, key=lambda mixture: mixture.bic(known)).score_samples(asked)


def with_components(known: np.ndarray, asked: np.ndarray, seed: int, quick: bool) -> np.ndarray:
    """What is left of a row beside the principal components that have 95 % of the variance."""
    from sklearn.decomposition import PCA

    known, asked = standardized(known, asked)
    pca = PCA(VARIANCE, svd_solver="full").fit(known)
    return -((asked - pca.inverse_transform(pca.transform(asked))) ** 2).sum(axis=1)


def with_neighbours(known: np.ndarray, asked: np.ndarray, seed: int, quick: bool) -> np.ndarray:
    """Mean distance to the nearest five."""
    from sklearn.neighbors import NearestNeighbors

    known, asked = standardized(known, asked)
    return -NearestNeighbors(n_neighbors=NEIGHBOURS).fit(known).kneighbors(asked)[0].mean(axis=1)


def with_iwae(known: np.ndarray, asked: np.ndarray, seed: int, quick: bool) -> np.ndarray:
    from keras_iwae import IWAEDensity

    options: dict[str, Any] = {"max_steps": 10, "num_samples": 50} if quick else {}
    return IWAEDensity(random_state=seed, **options).fit(known).score_samples(asked)


SIDES: dict[str, Callable[[np.ndarray, np.ndarray, int, bool], np.ndarray]] = {
    "IsolationForest": with_forest,
    "GaussianMixture": with_mixture,
    "PCA reconstruction": with_components,
    "k-NN distance": with_neighbours,
    "IWAEDensity": with_iwae,
}


def main(args: argparse.Namespace) -> None:
    from sklearn.metrics import roc_auc_score

    rows = kept(args, "anomaly")
    settle(args, {"data": list(DATA), "seeds": 3}, {"data": ["breast_cancer"], "seeds": 1})
    report = Report("anomaly", args)
    frameworks()
    known = {(r["data"], r["kind"], r["seed"], r["side"]) for r in rows}
    for seed, name, side in product(range(args.seeds), args.data, args.side):
        x, target, learned = kinds(name)
        for kind in learned:
            place = {"data": name, "kind": kind, "seed": seed, "side": side}
            if tuple(place.values()) in known:
                continue
            own, others = split(target, kind, seed)
            others = others[:: 20 if args.quick else 1]
            begin = time.perf_counter()
            scores = SIDES[side](x[own], x[others], seed, args.quick)
            auroc = float(roc_auc_score(target[others] == kind, scores))
            rows.append(place | {"auroc": auroc, "seconds": time.perf_counter() - begin})
            known.add(tuple(place.values()))
            print(rows[-1], flush=True)
            report.write({"rows": rows})
    show(rows)


def show(rows: list[dict[str, Any]]) -> None:
    """A table of means over kinds and seeds."""
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["data"], row["side"]), []).append(row)
    cells = [
        [*place, len(group), *(f"{np.mean([row[key] for row in group]):.3f}" for key in ("auroc", "seconds"))]
        for place, group in groups.items()
    ]
    table(["data", "side", "runs", "AUROC", "seconds"], cells)


if __name__ == "__main__":
    arguments = parser(__doc__, rounds=None)
    arguments.add_argument("--data", nargs="+", choices=DATA, help="[all; of a quick run one]")
    arguments.add_argument("--side", nargs="+", choices=tuple(SIDES), default=list(SIDES), help="[all]")
    arguments.add_argument("--seeds", type=positive, help="splits of each kind [3]")
    run(main, arguments)
