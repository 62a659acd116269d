"""Results in words and for JSON: what is no number is "-" for people and null for machines."""

import math

from keras_iwae.foundation import number_text


def quantity(cross_entropy: bool, missingness: bool) -> str:
    """What a result is of, for JSON: of grey levels under a Bernoulli likelihood there is no likelihood."""
    if cross_entropy:
        return "cross-entropy of grey levels"
    return f"negative log-likelihood{' of what was observed and of which entries were' if missingness else ''}"


def finite_or_none(value: float | None) -> float | None:
    """`value` for JSON, which knows neither NaN nor infinity."""
    return float(value) if value is not None and math.isfinite(value) else None


def nats(value: float | None, spec: str = ".2f") -> str:
    """A number of nats, "-" for what is none."""
    text = number_text(value, spec)
    return text if text == "-" else f"{text} nats"


def nll_text(nll: float, standard_error: float, num_examples: int) -> str:
    """A mean over so many examples, with its error where there is one."""
    error = f"standard error {standard_error:.2f}, " if math.isfinite(standard_error) else ""
    return f"{nats(nll)} ({error}{num_examples} image{'' if num_examples == 1 else 's'})"


def gaps_row(missingness: bool) -> list[tuple[str, str]]:
    """The row of a table that says that gaps have a say too, none where they have not."""
    return [("of", "what was observed, and which entries were")] if missingness else []


def bits_row(bits: float | None) -> list[tuple[str, str]]:
    """The row of a table that says so many bits per dimension, none where there is no such number."""
    return [] if bits is None else [("bits per dimension", number_text(bits, ".4f"))]
