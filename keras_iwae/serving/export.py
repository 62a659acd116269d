"""A trained model as a SavedModel that TF Serving can serve: versioned folders, named endpoints, warm-up requests.

The artefact holds TensorFlow ops and weights and nothing of Python: neither this package nor Keras nor TensorFlow
Probability is needed to load it. No endpoint keeps random state; where there is chance, the seed is an input, because a
stateful random op would replay the same stream after each server start if a global seed was set before the export.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
from tensorflow.saved_model.experimental import TrackableResource

from keras_iwae.evaluation import Proposal
from keras_iwae.foundation import MARK, check_folder, check_integer, check_path, whole_folder
from keras_iwae.models import IWAE, LatentModel
from keras_iwae.serving.endpoints import Endpoint, endpoints
from keras_iwae.serving.limits import FEWEST_ROWS, MAX_ROWS, MAX_SAMPLES, limited
from keras_iwae.serving.warmup import prediction_log, write_warmup_requests

if TYPE_CHECKING:
    from keras_iwae.tables import TableEstimator

# Of 64 bits, as TF Serving has versions.
_NEWEST = 2**63 - 1


def _versions(path: Path) -> dict[int, Path]:
    """Version folders by number, lowest first; other names are ignored, as TF Serving does."""
    folders = [f for f in path.iterdir() if f.is_dir() and f.name.isdecimal()] if path.is_dir() else []
    return {int(folder.name): folder for folder in sorted(folders, key=lambda f: int(f.name))}


def export_saved_model(
    model: "IWAE | TableEstimator",
    path: str | os.PathLike,
    version: int | None = None,
    *,
    max_rows: int = MAX_ROWS,
    max_samples: int | None = None,
    proposal: str = "amortized",
) -> Path:
    """Write `model` as the SavedModel `<path>/<version>/`, for TF Serving to pick up.

    The endpoints of a model with a Bernoulli likelihood, with float32 outputs (D latent units):

    - `sample(seed [n])`, also `serving_default`: `latents` `[n, D]`, `probabilities` and binary `images`
      `[n, *event_shape]`; row i is `model.sample(1, seed[i])`, whatever the other rows.
    - `sample_n(num_samples, seed)`: the same outputs, as `model.sample(num_samples, seed)`.
    - `decode(latents [n, D])`: `probabilities` and `logits` `[n, *event_shape]`.
    - `encode(images [n, *event_shape])`: `mean` and, where there is one, `stddev` of q(z|x), `[n, D]`.
    - `reconstruct(images)`: `probabilities` `[n, *event_shape]`, decoded from the posterior mean.
    - `log_likelihood(images, num_samples, seed)`: `log_likelihood` `[n]`, the bound L_K in nats with K = num_samples,
      and `effective_sample_size` `[n]`, in samples; not where the posterior has no density.

    With another likelihood `images` are called `events` and `probabilities` `mean`, and `decode` gives `mean`, `stddev`
    where there is one and, where entries have levels, `probabilities`. `seed` and `num_samples` are int32, `images` are
    float32 in the likelihood's support, with NaN where the model takes it.

    Of an `IWAEImputer` or `IWAEDensity` that was fitted, with an input `[n]` for each column, float64 in the units of
    the table with NaN where a cell is missing, or string with "" where levels are text; all in row format too:

    - `impute(<columns>)`, `serving_default` of an imputer: the columns with what `transform` fills in, and
      `log_likelihood`, `effective_sample_size` and `pareto_k`, float `[n]`.
    - `draw(<columns>, seed [n])`: the columns with a draw of what is missing, each row's of its own seed.
    - `score(<columns>)`, `serving_default` of a density: `log_likelihood`, log p(x_obs) in the units of the table,
      `effective_sample_size` and `pareto_k`, float `[n]`.

    What is out of range, or asks for more than the limits, is answered with InvalidArgument. The version appears under
    its name only once it is complete.

    Args:
        model: the model, or the estimator of a table.
        path: folder of all versions of this model.
        version: number of this version; `None` is one above the highest that is there, 1 in an empty folder.
        max_rows: most rows that a request may hold or `sample_n` may be asked for.
        max_samples: most importance samples of a `log_likelihood` request, its rows, 20 where it has fewer, times its
            `num_samples`, or of one about a table, its rows times the estimator's; `None` is 1,000,000.
        proposal: what `log_likelihood` draws from: "amortized", the posterior; "refined" or "adapted", fitted to each
            image of a request, with the same draws whatever its neighbours; see `importance_weighted_nll`. The
            endpoints of a table draw from what the estimator does, as `IWAEDensity(proposal="adapted")` says.

    Returns:
        the version's folder.

    Raises:
        ValueError: if the version exists, or it or a limit is no positive integer, or would allow nothing or limit
            nothing, `proposal` is none or none of the posterior's, the model is none, or an estimator that was not
            fitted or has columns that cannot be served, or the path a file.

    Example:
        >>> folder = export_saved_model(IWAE((28, 28, 1)), "saved_models/iwae/serving")
        >>> tf.saved_model.load(str(folder)).signatures["sample"](seed=tf.constant([1, 2]))["images"].shape
        TensorShape([2, 28, 28, 1])

    References:
        Olston et al. (2017), TensorFlow-Serving: flexible, high-performance ML serving.
    """
    path = check_folder("path", path)
    most = MAX_SAMPLES if max_samples is None else check_integer("max_samples", max_samples)
    limits = check_integer("max_rows", max_rows), most
    existing = _versions(path)
    number = max(existing, default=0) + 1 if version is None else check_integer("version", version, at_most=_NEWEST)
    target = path / str(number)
    if number in existing or target.exists():
        raise ValueError(
            f"Invalid value received for `version`. Expected one that is not in {path}. Received: {version}"
        )

    served, drawn_from = _endpoints(model, Proposal(kind=proposal))
    model = model if isinstance(model, LatentModel) else model.model_
    model.check_finite()
    of_a_row = max(endpoint.samples for endpoint in served.values())
    if of_a_row > most:
        expected = f"an integer of at least the estimator's num_samples, {of_a_row}, which a single row takes"
        raise ValueError(f"{MARK}max_samples`. Expected {expected}. Received: {most}")
    if any(endpoint.has_samples and not endpoint.samples for endpoint in served.values()) and most < FEWEST_ROWS:
        expected = f"an integer of at least {FEWEST_ROWS}, as which fewer rows count, each with one sample"
        raise ValueError(f"{MARK}max_samples`. Expected {expected}. Received: {most}")
    if max_samples is not None and not any(endpoint.has_samples for endpoint in served.values()):
        expected = "None beside a posterior without a density, of which there is no `log_likelihood`"
        raise ValueError(f"{MARK}max_samples`. Expected {expected}. Received: {most}")
    # Signatures alone: a function that is an attribute of what is saved would be traced a second time.
    signatures = {
        name: model.traced(("served", name, one.samples, *limits, drawn_from), limited(one, *limits), one.inputs)
        for name, one in served.items()
    }
    signatures["serving_default"] = next(iter(signatures.values()))
    with whole_folder(target) as unfinished:
        write_saved_model(model, str(unfinished), signatures)
        write_warmup_requests(unfinished, _warmup_records(model.name, served))
    return target


def write_saved_model(model: LatentModel, folder: str, signatures: dict[str, Callable]) -> None:
    """A SavedModel of graphs of `model` with its weights and tables, in a folder that is to have another name."""
    # Not the model itself, which would bring its optimizer.
    root = tf.Module()
    root.weights = [weight.value for weight in model.weights]
    root.tables = [part for part in tf.train.TrackableView(model).descendants() if isinstance(part, TrackableResource)]
    # In a notebook TensorFlow tells of the folder, which is gone by the time that one looks.
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel("WARNING")
    try:
        tf.saved_model.save(root, folder, signatures=signatures)
    finally:
        logger.setLevel(level)


def _endpoints(model: "IWAE | TableEstimator", proposal: Proposal) -> tuple[dict[str, Endpoint], Proposal]:
    """What is answered, and what its samples are drawn from: of a table's estimator that is its own."""
    if isinstance(model, LatentModel):
        if proposal.fitted:
            proposal.check(model.posterior)
        return endpoints(model, proposal), proposal
    # Here, for scikit-learn and pandas take a second to import, and images need neither.
    from sklearn.utils.validation import check_is_fitted

    from keras_iwae.serving.table_endpoints import table_endpoints
    from keras_iwae.tables import TableEstimator

    if not isinstance(model, TableEstimator):
        raise ValueError(
            f"{MARK}model`. Expected an IWAE, an AVB, an IWAEImputer or an IWAEDensity. Received: a "
            f"{type(model).__name__}"
        )
    if proposal.fitted:
        raise ValueError(
            f"{MARK}proposal`. Expected 'amortized' for the estimator of a table, whose endpoints draw from its own, "
            f"as density.set_params(proposal='adapted') sets it. Received: {proposal.kind!r}"
        )
    check_is_fitted(model)
    # Of what is set now, and not of what was when it was fitted.
    own = Proposal(kind=model.proposal)
    return table_endpoints(model, own), own


def _warmup_records(model_name: str, served: dict[str, Endpoint]) -> list[bytes]:
    # A server with --enable_batching refuses inputs without a batch axis, and a version whose warm-up fails is not
    # loaded at all: endpoints with scalar inputs are therefore left cold.
    return [
        prediction_log(model_name, name, {spec.name: _one_row(spec, endpoint.number) for spec in endpoint.inputs})
        for name, endpoint in served.items()
        if endpoint.has_rows
    ]


def _one_row(spec: tf.TensorSpec, number: float | Sequence[float]) -> np.ndarray:
    own: dict[tf.DType, bytes | int] = {tf.string: b"", tf.int32: 0}
    value = own.get(spec.dtype, number)
    return np.full([1, *spec.shape[1:]], value, spec.dtype.as_numpy_dtype)


def load_saved_model(path: str | os.PathLike, version: int | None = None):
    """Load what `export_saved_model` wrote, to query it without a server.

    Args:
        path: folder of all versions of the model, or that of one version, as `export_saved_model` returns it.
        version: number of the version; `None` is the highest.

    Returns:
        TensorFlow's loaded object; `signatures[endpoint](**tensors)` gives a dict of tensors.

    Raises:
        ValueError: if there is no such version, it cannot be read, or one is asked for where `path` is that of one.

    Example:
        >>> folder = export_saved_model(IWAE((28, 28, 1)), "saved_models/iwae/serving")
        >>> served = load_saved_model("saved_models/iwae/serving")
        >>> served.signatures["decode"](latents=tf.zeros([5, 50]))["probabilities"].shape
        TensorShape([5, 28, 28, 1])
    """
    path = check_path("path", path)
    if (path / "saved_model.pb").is_file():
        if version is not None:
            raise ValueError(f"{MARK}version`. Expected None beside the folder of one version. Received: {version!r}")
        return _read(path)
    if version is not None:
        version = check_integer("version", version, at_least=0, at_most=_NEWEST)
    found = _versions(path)
    versions = {n: folder for n, folder in found.items() if (folder / "saved_model.pb").is_file()}
    if not versions:
        raise ValueError(
            f"Invalid value received for `path`. Expected a folder of versions 1, 2, .... Received: {path}"
        )
    if version is not None and version not in versions:
        expected = ", ".join(map(str, versions))
        raise ValueError(f"Invalid value received for `version`. Expected one of {expected}. Received: {version!r}")
    return _read(versions[max(versions) if version is None else version])


def _read(folder: Path):
    try:
        return tf.saved_model.load(str(folder))
    # Of a file that is missing, cut short or another's: TensorFlow's errors of these have nothing in common.
    except Exception as error:
        cause = f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"
        raise ValueError(
            f"{MARK}path`. Expected a version that can be read. Received: {folder}, which cannot ({cause})"
        ) from error
