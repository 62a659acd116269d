"""Diagnosing a run: what its latents do on test images, what its encoder leaves, and pictures of both."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from keras_iwae import data
from keras_iwae.evaluation import (
    ACTIVE_UNIT_THRESHOLD,
    Latents,
    diagnostics,
    latents,
    mean_and_error,
    nats,
    pairwise_log_posterior,
)
from keras_iwae.experiments import model_checks
from keras_iwae.experiments.evaluation_target import dataset_of, evaluation_images, path_of
from keras_iwae.experiments.inference_gap import NUM_SAMPLES, NUM_STEPS, gap_of_run
from keras_iwae.experiments.workers import Workers, check_workers
from keras_iwae.foundation import Purpose, check_boolean, check_integer, key_for, number_text, write_json
from keras_iwae.models import IWAE
from keras_iwae.plots import charts
from keras_iwae.posteriors import GaussianPosterior
from keras_iwae.training import runs

# Images whose aggregate posterior is formed: every draw is held against every image.
_AGGREGATED = 2000
_PRIOR_DRAWS = 20_000
_GAP_IMAGES = 100
_MOMENTS = ("aggregate_mean", "aggregate_std", "prior_mean", "prior_std")


def diagnose(
    model: str | os.PathLike | None = None,
    limit: int | None = None,
    gap_images: int | None = None,
    seed: int = 0,
    verbose: bool = True,
    workers: Workers | None = None,
) -> dict:
    """Diagnose a run on the test images of its data set.

    Writes `diagnosis.json`, `figures/active-units.png`, `figures/units.png` and `figures/latents.png` into the run
    folder, and the inference gap of each image into `inference-gap.npz`, a hundred images at a time: a second start
    takes what is there, and goes on where more images are asked for.

    Args:
        model: run folder; `None` is the newest run.
        limit: only the first so many test images; `None` is all.
        gap_images: of the first so many of them the inference gap is found; 0 leaves it out; `None` is 100, and 0 where
            the posterior is no diagonal Gaussian.
        seed: of the draws and of the binarization; the same images as in `evaluate` with the same seed.
        verbose: whether to show progress.
        workers: processes that encode the images and find their inference gaps, of `worker_processes`, 200 and 100
            images at a time; `None` is this one, which computes the rest anyway.

    Returns:
        what `diagnosis.json` holds.

    Raises:
        ValueError: if there is no such run, its model has no posterior to diagnose, or a number is out of range.
    """
    check_workers(workers)
    run = path_of(model)
    check_boolean("verbose", verbose)
    wanted = None if gap_images is None else check_integer("gap_images", gap_images, at_least=0)
    digest, trained = runs.digest(run), runs.load_model(run)
    if getattr(trained, "deterministic", False):
        raise ValueError(
            "Invalid value received for `model`. Expected one that was trained with samples of its posterior. "
            f"Received: {run}, a plain autoencoder"
        )
    if trained.posterior.density != "exact":
        raise ValueError(
            "Invalid value received for `model`. Expected one whose log q(z|x) is known, as its mutual information "
            f"needs. Received: {run}, with a {type(trained.posterior).__name__}"
        )
    gaussian = isinstance(trained.posterior, GaussianPosterior)
    if wanted and not gaussian:
        raise ValueError(
            f"Invalid value received for `gap_images`. Expected none, or 0, as the gap is that of diagonal Gaussians. "
            f"Received: {wanted} for {run}, with a {type(trained.posterior).__name__}"
        )
    wanted = _GAP_IMAGES * gaussian if wanted is None else wanted
    spread = None if workers is None else workers.of(run, trained)
    run = runs.folder(run)
    images = evaluation_images(run, limit, seed)
    if len(images) < 2:
        raise ValueError(
            "Invalid value received for `limit`. Expected at least 2 images, whose posteriors are compared. Received: "
            f"{len(images)}"
        )
    with _bar("latents", len(images), verbose) as bar:
        found = latents(trained, images, seed=seed, progress=bar.update, spread=spread)
    aggregated = images[:_AGGREGATED]
    with _bar("aggregate posterior", len(aggregated), verbose) as bar:
        pairs = pairwise_log_posterior(trained, aggregated, found.draws[:_AGGREGATED], bar.update)
    log_prior = trained.generative.log_prior(found.draws[:_AGGREGATED]).numpy()
    record = {
        "model": run.name,
        "model_digest": digest,
        "images_sha256": data.digest(images),
        "dataset": dataset_of(run),
        "split": "test",
        "limit": limit,
        "num_images": len(images),
        "seed": seed,
        **_latents_record(trained, found, diagnostics.mutual_information(pairs, log_prior), seed),
    }
    with _bar("calibration", model_checks.SIMULATIONS, verbose) as bar:
        record["calibration"] = model_checks.calibration_record(trained, seed, bar.update)
    with _bar("predictive check", model_checks.REPLICATES, verbose) as bar:
        record["predictive"] = model_checks.predictive_record(trained, images, seed, bar.update)
    _draw(run / "figures", record, found, trained.generative.likelihood.to_grey(images))
    record["inference_gap"] = None
    # The gap takes minutes; what there is by now is there.
    write_json(run / "diagnosis.json", record)
    if wanted:
        with _bar("inference gap", 1, verbose) as bar:
            gap = gap_of_run(run, digest, trained, images[:wanted], seed, bar.update, spread)
        record["inference_gap"] = {**gap.to_dict(), "num_samples": NUM_SAMPLES, "num_steps": NUM_STEPS}
        write_json(run / "diagnosis.json", record)
    return record


def table(record: Mapping) -> str:
    """What `diagnose` returned, for people."""
    return "\n".join([*(f"{name:<20}{value}" for name, value in rows(record)), "", record["verdict"]])


def rows(record: Mapping) -> list[tuple[str, str]]:
    """The numbers of a diagnosis, each under its name."""
    found = []
    for i, layer in enumerate(record["layers"]):
        kl = "no KL by unit"
        if layer["kl"] is not None:
            how = "" if layer["kl_is_exact"] else ", sampled"
            kl = f"KL {nats(layer['kl'])}{how}, 95 % of it in {layer['units_of_95_percent_of_kl']} units"
        found.append((f"layer {i + 1}", f"{layer['active']} of {layer['units']} units active, {kl}"))
    information, marginal = record["mutual_information"], record["marginal_kl"]
    reconstruction = record["reconstruction"]
    found += [
        ("KL of all latents", f"{_with_error(record['kl'])} nats"),
        (
            "mutual information",
            f"{number_text(information['lower'])} to {nats(information['upper'])} "
            f"({information['num_images']} images can show {information['ceiling']:.2f} at most)",
        ),
        ("aggregate to prior", f"KL {number_text(marginal['lower'])} to {nats(marginal['upper'])}"),
        ("reconstruction", f"{_with_error(reconstruction['log_likelihood'])} nats, E_q log p(x|z)"),
        ("squared error", f"{_with_error(reconstruction['squared_error_per_pixel'], 4)} a pixel"),
    ]
    found += model_checks.rows(record["calibration"], record["predictive"])
    gap = record["inference_gap"]
    if gap is not None:
        found += [
            (
                "inference gap",
                f"of {gap['num_images']} images: log p(x) {number_text(gap['log_likelihood']['mean'])}, best "
                f"Gaussian's ELBO {number_text(gap['best_elbo']['mean'])}, encoder's ELBO {nats(gap['elbo']['mean'])}",
            ),
            ("  approximation", f"{_with_error(gap['approximation_gap'])} nats, what no diagonal Gaussian can do"),
            ("  amortization", f"{_with_error(gap['amortization_gap'])} nats, what the encoder leaves"),
        ]
    return found


def _with_error(value: Mapping, digits: int = 2) -> str:
    error = "" if value["standard_error"] is None else f" ± {value['standard_error']:.{digits}f}"
    return f"{number_text(value['mean'], f'.{digits}f')}{error}"


def plane(means: np.ndarray) -> tuple[np.ndarray, tuple[str, str]]:
    """Posterior means `[N, D]` in two dimensions: themselves if D = 2, else their first two principal components.

    Returns:
        points `[N, 2]`, and what the two axes are.
    """
    from sklearn.decomposition import PCA

    size = means.shape[1]
    if size <= 2:
        points = means if size == 2 else np.pad(means, [(0, 0), (0, 1)])
        return points, ("latent unit 1", "latent unit 2" if size == 2 else "")
    fitted = PCA(2, svd_solver="full").fit(means)
    first, second = (f"{share:.0%} of the variance" for share in fitted.explained_variance_ratio_)
    return fitted.transform(means), (f"principal component 1, {first}", f"principal component 2, {second}")


def _bar(what: str, total: int, verbose: bool) -> tqdm:
    known = "{desc} {percentage:3.0f}% |{bar:30}| {elapsed} so far, about {remaining} left"
    return tqdm(total=total, desc=what, disable=not verbose, bar_format=known, leave=False)


def _latents_record(
    model: IWAE, found: Latents, information: diagnostics.MutualInformation, seed: int
) -> dict[str, object]:
    prior = found.by_layer(model.generative.prior.sample(_PRIOR_DRAWS, key_for(Purpose.PRIOR_MOMENTS, seed)).numpy())
    variances = found.by_layer(diagnostics.mean_variances(found.means, found.noise))
    kls = [None] * len(prior) if found.kl_per_unit is None else found.by_layer(found.kl_per_unit.mean(axis=0))
    layers = [
        {
            "units": len(variance),
            "active": int((variance > ACTIVE_UNIT_THRESHOLD).sum()),
            "mean_variance": variance.tolist(),
            "kl": None if kl is None else float(kl.sum()),
            "kl_per_unit": None if kl is None else kl.tolist(),
            "kl_is_exact": bool(exact.all()),
            "units_of_95_percent_of_kl": None if kl is None else diagnostics.units_that_carry(kl),
            "aggregate_mean": drawn.mean(axis=0).tolist(),
            "aggregate_std": drawn.std(axis=0).tolist(),
            "prior_mean": expected.mean(axis=0).tolist(),
            "prior_std": expected.std(axis=0).tolist(),
        }
        for variance, kl, exact, drawn, expected in zip(
            variances, kls, found.by_layer(found.kl_is_exact), found.by_layer(found.draws), prior, strict=True
        )
    ]
    return {
        "verdict": diagnostics.collapse_verdict(variances, information),
        "active_unit_threshold": ACTIVE_UNIT_THRESHOLD,
        "layers": layers,
        "kl": mean_and_error(found.kl),
        "mutual_information": {
            "lower": information.lower,
            "upper": information.upper,
            "lower_error": information.lower_error,
            "upper_error": information.upper_error,
            "ceiling": information.ceiling,
            "num_images": information.num_images,
        },
        "marginal_kl": {"lower": information.marginal_kl_lower, "upper": information.marginal_kl_upper},
        "reconstruction": {
            "log_likelihood": mean_and_error(found.log_likelihood),
            "squared_error_per_pixel": mean_and_error(found.squared_error[np.isfinite(found.squared_error)]),
        },
    }


def moments(layers: Sequence[Mapping]) -> tuple[list[np.ndarray] | None, list[np.ndarray], list[np.ndarray]]:
    """KL of each unit, and mean and standard deviation of its aggregate posterior against the prior, layer by layer."""
    kls = None if layers[0]["kl"] is None else [np.array(layer["kl_per_unit"]) for layer in layers]
    arrays = [{name: np.array(layer[name]) for name in _MOMENTS} for layer in layers]
    means = [(a["aggregate_mean"] - a["prior_mean"]) / a["prior_std"] for a in arrays]
    return kls, means, [a["aggregate_std"] / a["prior_std"] for a in arrays]


def _draw(figures: Path, record: dict, found: Latents, images: np.ndarray) -> None:
    layers = record["layers"]
    variances = [np.array(layer["mean_variance"]) for layer in layers]
    charts.save(figures / "active-units.png", charts.active_units(variances, ACTIVE_UNIT_THRESHOLD))
    charts.save(figures / "units.png", charts.units(*moments(layers)))
    points, labels = plane(found.by_layer(found.means)[0])
    charts.save(figures / "latents.png", charts.latent_map(points, images, labels))
