"""Whether K sufficed, said in a sentence."""

import math

from keras_iwae.evaluation.pareto import UNRELIABLE_K
from keras_iwae.foundation import percent_text

# What is called enough: this share of images may have heavy-tailed weights, and the bias may be so many nats.
TOLERATED_SHARE = 0.05
TOLERATED_BIAS = 0.1
_REMEDIES = {
    "amortized": "Check it by annealed importance sampling, raise K, widen the proposal or fit one to each image, "
    'as the proposal "adapted" is',
    "refined": 'Check it by annealed importance sampling, raise K or take the proposal "adapted"',
    "adapted": "Check it by annealed importance sampling, or raise K",
    # Which have no slopes.
    "of discrete latents": "Raise K, or let a share of the draws come from the prior (`defensive`)",
}


def verdict_of(
    num_samples: int,
    proposal: str,
    nll: float,
    jackknife_nll: float,
    rounding: float,
    share: float,
    discrete_latents: bool = False,
) -> str:
    """One sentence that says whether K suffices, and what to do if not.

    Args:
        num_samples: K.
        proposal: the kind that was drawn from.
        nll: minus the mean L_K, in nats.
        jackknife_nll: the same with its first-order bias taken off.
        rounding: what float32 rounds the most extreme log weight by, in nats.
        share: of images with Pareto k-hat above 0.7; NaN where K is too small for one.
        discrete_latents: whether the latents are discrete, which neither annealing nor fitted proposals take.
    """
    name, bias = f"K = {num_samples}", nll - jackknife_nll
    if not math.isfinite(nll):
        return "The NLL is not finite: it is no bound of anything. See which examples have no finite log-likelihood."
    if rounding > TOLERATED_BIAS:
        return (
            f"Float32 rounds log weights of this size by {rounding:.2f} nats, so that effective sample sizes, "
            "k-hat and Monte Carlo errors say nothing. Standardize the data, or see what makes it so unlikely."
        )
    if not math.isfinite(bias) and num_samples > 1:
        return f"{name} cannot be judged: some weights leave the jackknife without a finite value."
    if math.isnan(share):
        return f"{name} is too small to be judged: k-hat needs at least 21 samples of each image."
    if share > TOLERATED_SHARE:
        return (
            f"{name} does not suffice: {percent_text(share)} of the images have a Pareto k-hat above {UNRELIABLE_K}. "
            "There a few samples decide, and neither the Monte Carlo error nor the jackknife can be trusted; the NLL "
            f"is still an upper bound on average. {_REMEDIES['of discrete latents' if discrete_latents else proposal]}."
        )
    if bias > TOLERATED_BIAS:
        return (
            f"{name} does not suffice: the jackknife puts the NLL {bias:.2f} nats lower, and the weights have "
            "tails light enough to believe it. Raise K, or report the corrected value too."
        )
    return (
        f"{name} suffices: the bias left is about {max(bias, 0.0):.3f} nats, and {percent_text(share)} of the images "
        f"have a Pareto k-hat above {UNRELIABLE_K}."
    )
