"""Approximate posteriors q(z|x), one family a file, all under one contract.

A posterior is a Keras layer with
    distribution(x) -> the TFP distribution itself, batch `[B]`, event `[D]`;
    sample_and_log_prob(x, num_samples, seed) -> z `[K, B, D]`, log q(z|x) `[K, B]` in nats;
    log_prob(z, x) -> `[K, B]` in nats;
    mean(x) -> `[B, D]`.
"""

from keras_iwae.posteriors.gaussian import GaussianPosterior

__all__ = ["GaussianPosterior"]
