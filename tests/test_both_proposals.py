"""Which of two results is to be believed, said from their numbers alone."""

import math
import re
from dataclasses import replace

import numpy as np
import pytest

from keras_iwae.evaluation import AnnealedResult, BidirectionalResult, NLLResult, Proposal, SumoResult
from keras_iwae.experiments import evaluate_both
from keras_iwae.experiments.proposals import BothProposals


def result(kind, num_samples, level, ess, pareto_k=0.3):
    """Of nine images, all alike."""
    nine = np.ones(9)
    return NLLResult(
        num_samples,
        seed=0,
        bound_per_example={num_samples: level * nine},
        ess_per_example=ess * nine,
        pareto_k_per_example=pareto_k * nine,
        jackknife_per_example=level * nine,
        means_per_example=np.zeros([9, 2]),
        latent_dim=2,
        proposal=Proposal(kind=kind),
        entries_per_example=4 * nine,
    )


@pytest.mark.parametrize(
    ("levels", "beginning"),
    [
        (
            (-90.0, -89.0),
            "Believe L_500, adapted: both are upper bounds of the NLL on average, and it is 1.00 nats lower",
        ),
        ((-89.0, -90.0), "Believe L_5000, amortized: "),
        ((-90.0, -90.001), "Either: the two agree within"),
        ((-90.0, -math.inf), "Believe L_5000, amortized: the other is not finite."),
        ((math.nan, -90.0), "Believe L_500, adapted: the other is not finite."),
        ((math.inf, math.nan), "Neither: they are not finite."),
    ],
)
def test_which_to_believe(levels, beginning):
    first, second = levels
    both = BothProposals(result("amortized", 5000, first, 3000.0), result("adapted", 500, second, 300.0), (1.0, 2.0))
    assert both.believe.startswith(beginning)
    assert "bound" not in both.believe or math.isfinite(first + second)
    assert both.believe in str(both)


def test_the_table_has_both_k_hats_and_both_costs():
    narrow, good = result("amortized", 5000, -90.0, 3.0, 1.9), result("adapted", 500, -88.0, 60.0, 0.5)
    both = BothProposals(narrow, good, (20.0, 7.0))
    assert "0.0% of its images have a Pareto k-hat above 0.7" in both.believe
    rows = {line[:22].strip(): line[22:].split("  ") for line in str(both).split("\n\n")[2].splitlines()}
    for name, texts in {
        "": ("L_5000, amortized", "L_500, adapted"),
        "Pareto k-hat, median": ("1.90", "0.50"),
        "k-hat above 0.7": ("100.0%", "0.0%"),
        "decoder evaluations": ("5,000 an image", f"{good.decoder_evaluations:,} an image"),
        "time": ("20.0 s", "7.0 s"),
    }.items():
        assert tuple(text.strip() for text in rows[name] if text.strip()) == texts


def test_without_a_k_hat_it_says_so_and_prints_no_nan():
    """Of K = 20 there is none, and of a single sample no error."""
    small = result("adapted", 20, -88.0, 12.0, np.nan)
    for amortized in (result("amortized", 5000, -90.0, 3.0, 1.9), result("amortized", 1, -90.0, 1.0, np.nan)):
        text = str(BothProposals(amortized, small, (1.0, 2.0)))
        assert "nan" not in text
        (row,) = [
            line.split() for line in text.split("\n\n")[2].splitlines() if line.startswith("Pareto k-hat, median")
        ]
        assert row[3:] == ["1.90" if amortized.num_samples > 1 else "-", "-"]
    assert "No k-hat of L_1, amortized and L_20, adapted: it needs at least 21 samples of each image." in text


def test_no_table_of_a_result_prints_nan():
    """Of one image there is no error over images, of one sample or chain none over draws; and what is not finite."""
    one = replace(
        result("amortized", 1, -90.0, 1.0, np.nan),
        bound_per_example={1: np.array([-90.0])},
        **{name: np.full(1, np.nan) for name in ("pareto_k_per_example", "jackknife_per_example")},
        **{name: np.ones(1) for name in ("ess_per_example", "entries_per_example")},
        means_per_example=np.zeros([1, 2]),
    )
    values, gone = np.array([-90.0]), np.array([np.nan])
    texts = [
        str(each)
        for each in (
            one,
            replace(one, bound_per_example={1: gone}),
            AnnealedResult(values, np.ones(1), np.ones(1), 1, 9, 2, "prior", 0, np.ones(1)),
            AnnealedResult(gone, gone, gone, 1, 9, 2, "prior", 0, np.ones(1)),
            SumoResult(values, gone, 1, 6.0, 0),
            BidirectionalResult(values, values, values, 0.6, 5, 3, 9, 2, "prior", 0),
            BidirectionalResult(gone, gone, gone, np.nan, 5, 3, 9, 2, "prior", 0),
        )
    ]
    for text in texts:
        assert not re.search(r"\b(nan|inf)\b", text), text
    assert "90.00 nats (1 image)" in texts[0]


def test_what_is_refused_is_refused_before_anything_is_read():
    for arguments, name in (
        ({"proposal": "amortized"}, "proposal"),
        ({"num_samples": 0}, "num_samples"),
        ({"defensive": 1.0}, "defensive"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            evaluate_both("nowhere", **arguments)
