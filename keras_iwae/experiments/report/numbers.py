"""Numbers for people: rows of a table from whatever a run's files say, and the few that stand at the top."""

from collections.abc import Mapping
from typing import NamedTuple

from keras_iwae.experiments.evaluation_target import quantity_name

_OBJECTIVES = {
    "iwae": "Importance weighted autoencoder",
    "elbo": "Variational autoencoder",
    "ae": "Plain autoencoder",
    "miwae": "MIWAE",
    "piwae": "PIWAE",
    "ciwae": "CIWAE",
    "renyi": "Variational Rényi autoencoder",
    "jvi": "Jackknife variational autoencoder",
}
_NAMES = {
    "nll": "NLL",
    "num_examples": "images",
    "num_samples": "samples, K",
    "limit": "only the first images",
    "latent_dim": "latent units",
    "ess": "effective samples",
    "dataset": "data set",
    "seconds": "took, seconds",
    "pareto_k": "Pareto k-hat",
    "num_groups": "groups, M",
    "kl_warmup_steps": "KL warm-up, steps",
}
_WORDS = {"nll": "NLL", "elbo": "ELBO", "kl": "KL", "ais": "AIS", "bdmc": "BDMC", "sumo": "SUMO", "val": "validation"}
# For tools: which model and images a record is of.
DIGESTS = "model_digest", "images_sha256"
# Longer lists are one number a unit or an image, for figures and not for a table.
_LONG = 8


class Fact(NamedTuple):
    """One of the numbers at the top of the page."""

    value: str
    unit: str
    label: str


def readable(name: str) -> str:
    """A key of a JSON file as words."""
    return _NAMES.get(name) or " ".join(_WORDS.get(word, word) for word in name.split("_"))


def shown(value: object) -> str:
    """A value of a JSON file as text."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        if value.is_integer() and abs(value) < 1e6:
            return f"{int(value):,}"
        return f"{value:.2f}" if abs(value) >= 1.0 else f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join("-".join(map(str, v)) if isinstance(v, list) else shown(v) for v in value)
    if isinstance(value, Mapping) and set(value) <= {"mean", "standard_error"}:
        error = value.get("standard_error")
        return shown(value.get("mean")) + ("" if error is None else f" ± {shown(error)}")
    if isinstance(value, Mapping):
        return ", ".join(f"{readable(name)} {shown(part)}" for name, part in value.items() if part is not None)
    return str(value)


def rows(record: Mapping, leave_out: tuple[str, ...] = ()) -> list[tuple[str, str]]:
    """A record as rows of a table; what is not set and what is long is left out."""
    found: list[tuple[str, str]] = []
    for name, value in record.items():
        if name in leave_out or value is None or (isinstance(value, list) and len(value) > _LONG):
            continue
        text = shown(value)
        if text:
            found.append((readable(name), text))
    return found


def settings_rows(settings: Mapping) -> list[tuple[str, str]]:
    """Settings as rows of a table; their numbers to the last digit, for a rounded one is another setting."""
    return rows({name: _exact(value) for name, value in settings.items()})


def _exact(value: object) -> object:
    if isinstance(value, float):
        short = f"{value:g}"
        return short if float(short) == value else repr(value)
    if isinstance(value, list):
        return [_exact(each) for each in value]
    return {name: _exact(each) for name, each in value.items()} if isinstance(value, Mapping) else value


def sentence(config: Mapping) -> str:
    """What was trained, in a sentence; empty where nothing says so."""
    if "objective" not in config or "dataset" not in config:
        return ""
    kind = _OBJECTIVES.get(config["objective"], config["objective"])
    samples = f" with K = {config['num_samples']}" if config["objective"] != "ae" and "num_samples" in config else ""
    units = config.get("latent_dim", [])
    latents = " + ".join(map(str, units if isinstance(units, list) else [units]))
    estimate = "" if more_is_better(config) else " Its bound is an estimate, and no lower bound."
    return f"{kind}{samples} on {config['dataset']}, {latents} latent units.{estimate}"


def more_is_better(config: Mapping) -> bool:
    """Whether more is better of what a run climbs, which is not so where it may pass log p(x)."""
    alpha = config.get("alpha")
    return config.get("objective") != "jvi" and not (isinstance(alpha, (int, float)) and alpha < 0.0)


def headline(metrics: Mapping, diagnosis: Mapping) -> list[Fact]:
    """The numbers that people look for first, those that there are."""
    facts, nll, training = [], metrics.get("nll_test", {}), metrics.get("training", {})
    if nll.get("nll") is not None:
        error = nll.get("standard_error")
        of = f"test {quantity_name(nll)}, K = {shown(nll.get('num_samples'))}, {shown(nll.get('num_examples'))} images"
        facts.append(Fact(f"{nll['nll']:.2f}", "nats" if error is None else f"± {error:.2f} nats", of))
    # A density has none.
    if nll.get("bits_per_dimension") is not None:
        facts.append(Fact(f"{nll['bits_per_dimension']:.4f}", "bits", "per dimension"))
    layers = diagnosis.get("layers")
    if layers:
        active, units = (" + ".join(str(layer[name]) for layer in layers) for name in ("active", "units"))
        facts.append(Fact(active, f"of {units}", "latent units active"))
    elif nll.get("active_units") is not None:
        facts.append(Fact(str(nll["active_units"]), f"of {nll.get('latent_dim')}", "latent units active"))
    if "seconds" in training:
        passes = f"training, {shown(training.get('epoch'))} passes"
        facts.append(Fact(f"{training['seconds'] / 60:.1f}", "min", passes))
    return facts
