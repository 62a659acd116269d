"""The family of distributions of each column of a table, and how much training hears of each."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from keras_iwae.foundation import MARK, Support
from keras_iwae.likelihoods import CategoricalLikelihood, GaussianLikelihood, Likelihood, get
from keras_iwae.tables.schema import Column, Schema

# A column that hardly varies is not made loud.
_LEAST_ENTROPY = 0.25


def families_of(
    schema: Schema, constant: Sequence[bool], real: str | Likelihood, count: str | Likelihood
) -> list[str | Likelihood]:
    """A family for each column.

    Args:
        schema: the columns.
        constant: which have one value only.
        real: the family of real columns; where it is `widened` positive ones are too.
        count: the family of counts.

    Raises:
        ValueError: if a family has no density at every real number, or no probability of every count.
    """
    _check("real", real, Support(), "with a density at every real number")
    _check("count", count, Support(0.0, integers=True), "with a probability of every count from 0 on")
    return [_family(column, only, real, count) for column, only in zip(schema, constant, strict=True)]


def balanced_weights(entropies: Sequence[float]) -> list[float]:
    """Weights of the columns under which all are worth the same, and together what they were; see `Coding.likelihood`.

    Args:
        entropies: of each column by itself, in nats.
    """
    least = np.maximum(entropies, _LEAST_ENTROPY)
    return (least.mean() / least).tolist()


def _family(column: Column, constant: bool, real: str | Likelihood, count: str | Likelihood) -> str | Likelihood:
    if column.categories is not None:
        # A constant one has a second level that never comes.
        return "bernoulli" if column.kind == "binary" else CategoricalLikelihood(max(2, len(column.categories)))
    if column.kind == "count":
        return count
    if constant:
        return GaussianLikelihood(scale=1.0)
    if column.kind == "real":
        return real
    return GaussianLikelihood(scale="example", widened=isinstance(real, Likelihood) and real.widened)


def _check(argument: str, family: str | Likelihood, support: Support, expected: str) -> None:
    found = get(family, argument).support
    # How large values may be the data are checked for.
    if not isinstance(found, Support) or replace(found, most=support.most) != support:
        raise ValueError(f"{MARK}{argument}`. Expected a likelihood {expected}. Received: {family!r}")
