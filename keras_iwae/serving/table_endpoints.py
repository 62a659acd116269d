"""What an exported model of a table answers: cells in and out in the units of the table, an input for each column."""

import math

import tensorflow as tf

from keras_iwae.evaluation import (
    Proposal,
    Statistics,
    conditional_graph,
    digests_of,
    examples_together,
    pareto_k_of,
)
from keras_iwae.foundation import check_integer
from keras_iwae.serving.endpoints import Endpoint, Tensors
from keras_iwae.serving.table_cells import served_columns
from keras_iwae.tables import IWAEDensity, TableEstimator


def table_endpoints(estimator: TableEstimator, proposal: Proposal) -> dict[str, Endpoint]:
    """The endpoints of a fitted estimator; the first is TF Serving's `serving_default` as well.

    Args:
        estimator: the estimator.
        proposal: what the samples of rows are drawn from.
    """
    model, coding = estimator.model_, estimator.coding_
    num_samples = check_integer("num_samples", estimator.num_samples)
    columns = served_columns(coding)
    settled = tf.constant(estimator.seed_)
    graphs = {m: conditional_graph(model, num_samples, m, False, proposal) for m in (0, 1)}

    def encoded(cells: tuple[tf.Tensor, ...]) -> tf.Tensor:
        return tf.stack([column.encode(values) for column, values in zip(columns, cells, strict=True)], axis=1)

    def found(rows: tf.Tensor, seed: tf.Tensor, num_draws: int) -> tuple:
        # Equal rows have draws of their own in Python, by their number; here by their seeds.
        digests = tf.pad(digests_of(rows), [[0, 0], [0, 1]])
        return graphs[num_draws](rows, tf.zeros([tf.shape(rows)[0], 0]), digests, seed)

    def in_parts(rows: tf.Tensor) -> tuple[Statistics, tf.Tensor, tf.Tensor, tf.Tensor]:
        """Averages, log-likelihoods, effective sample sizes and k-hats; memory does not grow with a request's rows."""
        count = tf.shape(rows)[0]
        size = tf.clip_by_value(count, 1, examples_together(model, num_samples))
        # Of no row too there is a part, of which nothing is kept: a map over none has nothing to stack.
        parts = tf.maximum(-(-count // size), 1)
        padded = tf.pad(rows, [[0, parts * size - count], [0, 0]], constant_values=math.nan)
        like = Statistics.zeros(model, tf.constant(1)), tf.zeros([1]), tf.zeros([1]), tf.zeros([1], tf.float64)
        specs = [tf.TensorSpec([None, *each.shape[1:]], each.dtype) for each in tf.nest.flatten(like)]
        split = tf.reshape(padded, [parts, size, len(columns)])

        def of_part(part: tf.Tensor) -> list[tf.Tensor]:
            averages, log_likelihood, ess, largest, *_ = found(part, settled, 0)
            return tf.nest.flatten((averages, log_likelihood, ess, pareto_k_of(largest, num_samples)))

        answers = tf.map_fn(of_part, split, fn_output_signature=specs)
        whole = [tf.reshape(each, [-1, *spec.shape[1:]])[:count] for each, spec in zip(answers, specs, strict=True)]
        return tf.nest.pack_sequence_as(like, whole)

    def filled(cells: tuple[tf.Tensor, ...], numbers: list[tf.Tensor]) -> Tensors:
        triples = zip(columns, cells, numbers, strict=True)
        return {column.name: column.fill(values, each) for column, values, each in triples}

    def trust(rows: tf.Tensor, log_likelihood: tf.Tensor, ess: tf.Tensor, tails: tf.Tensor) -> Tensors:
        slopes = [column.log_jacobian(rows[:, place]) for place, column in enumerate(columns)]
        total = tf.cast(log_likelihood, tf.float64) + tf.add_n(slopes)
        return {"log_likelihood": total, "effective_sample_size": ess, "pareto_k": tails}

    def impute(*cells):
        rows = encoded(cells)
        averages, *weights = in_parts(rows)
        numbers = [
            tf.cast(tf.argmax(averages.probabilities[place], axis=-1), tf.float32)
            if place in averages.probabilities
            else averages.mean[:, place]
            for place in range(len(columns))
        ]
        return {**filled(cells, numbers), **trust(rows, *weights)}

    def draw(*inputs):
        *cells, seeds = inputs
        rows = encoded(tuple(cells))

        def of_row(row: tuple[tf.Tensor, tf.Tensor]) -> tf.Tensor:
            # One at a time: a row then depends on its own seed and on nothing else.
            return found(row[0][tf.newaxis], row[1], 1)[-1][0, 0]

        drawn = tf.map_fn(of_row, (rows, seeds), fn_output_signature=tf.TensorSpec([len(columns)], tf.float32))
        return filled(tuple(cells), tf.unstack(drawn, axis=1))

    def score(*cells):
        rows = encoded(cells)
        return trust(rows, *in_parts(rows)[1:])

    specs = tuple(column.spec for column in columns)
    seed = tf.TensorSpec([None], tf.int32, "seed")
    answers = {
        "impute": Endpoint(impute, specs, math.nan, num_samples),
        "draw": Endpoint(draw, (*specs, seed), math.nan, num_samples),
        "score": Endpoint(score, specs, math.nan, num_samples),
    }
    order = ("score", "impute", "draw") if isinstance(estimator, IWAEDensity) else tuple(answers)
    return {name: answers[name] for name in order}
