"""Entries of a table whose columns have distributions of several kinds, as one TFP distribution."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae.likelihoods.entry_distribution import EntryDistribution


class ColumnEntries(EntryDistribution):
    """D independent entries, batch `[..., D]`, of which each group of columns is a distribution of its own.

    Args:
        groups: scalar distributions of batch `[..., d]`, with the same leading axes.
        columns: for each group the places of its d columns among the D.
    """

    def __init__(
        self,
        groups: Sequence[tfp.distributions.Distribution],
        columns: Sequence[Sequence[int]],
        name: str = "column_entries",
    ):
        parameters = dict(locals())
        with tf.name_scope(name) as name:
            self._groups, self._columns = tuple(groups), [list(places) for places in columns]
            self._order = np.argsort(np.concatenate(self._columns))
            super().__init__(parameters, name)

    def _batch_shape(self):
        return self._groups[0].batch_shape[:-1].concatenate([len(self._order)])

    def _batch_shape_tensor(self):
        return tf.concat([self._groups[0].batch_shape_tensor()[:-1], [len(self._order)]], axis=0)

    def _log_prob(self, value):
        parts = [tf.gather(value, places, axis=-1) for places in self._columns]
        return self._joined([group.log_prob(part) for group, part in zip(self._groups, parts, strict=True)])

    def _sample_n(self, n, seed=None):
        seeds = tfp.random.split_seed(seed, len(self._groups), salt="column_entries")
        return self._joined(
            [group.sample(n, seed=own) for group, own in zip(self._groups, tf.unstack(seeds), strict=True)]
        )

    def _mean(self):
        return self._joined([group.mean() for group in self._groups])

    def _stddev(self):
        return self._joined([group.stddev() for group in self._groups])

    def _joined(self, parts: list[tf.Tensor]) -> tf.Tensor:
        return tf.gather(tf.concat(parts, axis=-1), self._order, axis=-1)
