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


def pair(tails, gain):
    """By k-hats of both; the second is so many nats lower."""
    first = result("amortized", 5000, -90.0, 3000.0, tails[0])
    return BothProposals(first, result("adapted", 500, gain - 90.0, 300.0, tails[1]), (1.0, 2.0))


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


AMORTIZED, ADAPTED = "L_5000, amortized", "L_500, adapted"


@pytest.mark.parametrize("gain", [-0.001, 0.0, 0.001, 1.0])
@pytest.mark.parametrize(
    ("tails", "better", "worse"), [((1.9, 0.3), ADAPTED, AMORTIZED), ((0.3, 1.9), AMORTIZED, ADAPTED)]
)
def test_where_one_can_be_trusted_by_k_hat_it_is_believed(gain, tails, better, worse):
    both = pair(tails, gain if better == ADAPTED else -gain)
    assert both.believe == (
        f"Believe {better}: 0.0 % of its images have a Pareto k-hat above 0.7, and 100.0 % of those of {worse}, whose "
        "error is not to be trusted."
    )


@pytest.mark.parametrize("tails", [(1.9, 0.3), (0.3, 1.9)])
def test_one_that_cannot_be_trusted_and_is_far_lower_leaves_a_doubt(tails):
    """Of a mode that none of its draws came near, k-hat says nothing."""
    believe = pair(tails, -1.0 if tails[1] == 0.3 else 1.0).believe
    assert believe.startswith(f"Believe {ADAPTED if tails[1] == 0.3 else AMORTIZED}: 0.0 %")
    assert believe.endswith("That is 1.00 nats lower all the same: check it by annealed importance sampling.")


@pytest.mark.parametrize(("gain", "lower"), [(0.01, ADAPTED), (-0.01, AMORTIZED), (3.0, ADAPTED)])
def test_where_neither_can_be_trusted_by_k_hat_no_error_is_asked(gain, lower):
    assert pair((0.9, 1.9), gain).believe == (
        "Neither error is to be trusted: 100.0 % and 100.0 % of the images have a Pareto k-hat above 0.7. Both are "
        f"upper bounds of the NLL on average, and {lower} is the tighter by {abs(gain):.2f} nats."
    )


def test_a_few_heavy_tails_are_tolerated_as_by_the_verdict():
    """One image of nine is more than 5% of them, and with a twentieth of its weight less."""
    first, second = result("amortized", 5000, -90.0, 3000.0), result("adapted", 500, -89.0, 300.0)
    first = replace(first, pareto_k_per_example=np.array([0.9] + 8 * [0.3]))
    assert BothProposals(first, second, (1.0, 2.0)).believe.startswith(f"Believe {ADAPTED}: 0.0 % of its images")
    weights = np.array([0.4] + 8 * [1.0])
    few = (replace(each, weights=weights) for each in (first, second))
    assert "it is 1.00 nats lower" in BothProposals(*few, (1.0, 2.0)).believe


def test_the_table_has_both_k_hats_and_both_costs():
    narrow, good = result("amortized", 5000, -90.0, 3.0, 1.9), result("adapted", 500, -88.0, 60.0, 0.5)
    both = BothProposals(narrow, good, (20.0, 7.0))
    assert "0.0 % of its images have a Pareto k-hat above 0.7" in both.believe
    rows = {line[:22].strip(): line[22:].split("  ") for line in str(both).split("\n\n")[2].splitlines()}
    for name, texts in {
        "": ("L_5000, amortized", "L_500, adapted"),
        "Pareto k-hat, median": ("1.90", "0.50"),
        "k-hat above 0.7": ("100.0 %", "0.0 %"),
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
    assert "Neither error is to be trusted: there are too few samples of each image for a k-hat. Both are" in text
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
    # Nor is there a variance over images, by which units are counted.
    assert "active units        -\n" in str(one)
    assert one.active_units is one.to_dict()["active_units"] is None
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
        ({"fitted_samples": 0}, "fitted_samples"),
        ({"defensive": 1.0}, "defensive"),
    ):
        with pytest.raises(ValueError, match=f"`{name}`"):
            evaluate_both("nowhere", **arguments)
