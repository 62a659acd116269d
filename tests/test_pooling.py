"""Rubin's rules against numbers worked out by hand, and the share of intervals that cover."""

import math

import numpy as np
import pandas as pd
import pytest

from keras_iwae.tables import Imputations, pool


def test_by_hand():
    pooled = pool([1.0, 2.0, 3.0, 6.0], [1.0, 2.0, 2.0, 3.0])
    # Mean 3, within 2, between (4 + 1 + 0 + 9) / 3 = 14 / 3; lost 5 / 4 of that, 35 / 6; total 47 / 6.
    assert pooled.estimate == 3.0
    assert pooled.within == 2.0
    assert pooled.between == pytest.approx(14.0 / 3.0)
    assert pooled.standard_error == pytest.approx(math.sqrt(47.0 / 6.0))
    share = 35.0 / 47.0
    assert pooled.degrees_of_freedom == pytest.approx(3.0 / share**2)
    ratio = 35.0 / 12.0
    assert pooled.fraction_missing == pytest.approx((ratio + 2.0 / (3.0 / share**2 + 3.0)) / (ratio + 1.0))
    low, high = pooled.interval(0.9)
    # Student's quantile at 0.95 of 5.41 degrees of freedom, between 2.015 of 5 and 1.943 of 6 in a table.
    assert high - 3.0 == pytest.approx(1.982 * math.sqrt(47.0 / 6.0), rel=1e-3)
    assert low + high == pytest.approx(6.0)


def test_degrees_of_freedom_never_pass_those_of_the_complete_table():
    # Barnard and Rubin's: 1 / (1 / nu_m + 1 / nu_obs).
    pooled = pool([1.0, 2.0, 3.0, 6.0], [1.0, 2.0, 2.0, 3.0], complete_degrees_of_freedom=10.0)
    share = 35.0 / 47.0
    observed = 11.0 / 13.0 * 10.0 * (1.0 - share)
    assert pooled.degrees_of_freedom == pytest.approx(1.0 / (share**2 / 3.0 + 1.0 / observed))
    same = pool([2.0, 2.0, 2.0], [1.0, 1.0, 1.0], complete_degrees_of_freedom=10.0)
    assert same.degrees_of_freedom == pytest.approx(110.0 / 13.0)


def test_where_nothing_was_lost():
    pooled = pool([[2.0, 0.0]] * 3, [[1.0, 0.0]] * 3)
    np.testing.assert_array_equal(pooled.degrees_of_freedom, [np.inf, np.inf])
    np.testing.assert_array_equal(pooled.fraction_missing, [0.0, 0.0])
    np.testing.assert_array_equal(pooled.standard_error, [1.0, 0.0])
    np.testing.assert_allclose(pooled.interval(0.95), [[2.0 - 1.96, 0.0], [2.0 + 1.96, 0.0]], atol=1e-3)


def test_without_degrees_of_freedom_an_interval_is_all_numbers():
    # Variances of 0 beside estimates that differ; and all of one, of which something and nothing is known.
    for given in (([1.0, 2.0, 3.0], [0.0] * 3, 10), ([1.0, 2.0, 3.0], [1.0] * 3, 1e-320)):
        pooled = pool(*given)
        assert pooled.degrees_of_freedom == 0.0
        assert pooled.interval() == (-np.inf, np.inf)
    assert pool([2.0] * 3, [0.0] * 3, 1e-320).interval() == (2.0, 2.0)
    labels = pd.Series({"a": 1.0, "b": 1.0})
    low, high = pool([labels, labels * [2.0, 1.0]], [labels * 0.0] * 2, 10).interval()
    assert low.to_dict() == {"a": -np.inf, "b": 1.0}
    assert high.to_dict() == {"a": np.inf, "b": 1.0}


@pytest.mark.statistical
def test_intervals_cover():
    """Of the mean of 30 normal numbers, 12 of which are missing, filled in with proper draws five times."""
    rng, rows, seen, count, tables = np.random.default_rng(0), 30, 18, 20_000, 5
    x = rng.normal(size=(count, seen))
    mean, spread = x.mean(axis=1), x.std(axis=1, ddof=1)
    # Draws of the parameters given what was observed, and then of the cells.
    sigma = spread * np.sqrt((seen - 1) / rng.chisquare(seen - 1, (tables, count)))
    centre = rng.normal(mean, sigma / np.sqrt(seen))
    drawn = rng.normal(centre[..., np.newaxis], sigma[..., np.newaxis], (tables, count, rows - seen))
    filled = np.concatenate([np.broadcast_to(x, (tables, *x.shape)), drawn], axis=2)
    estimates, variances = filled.mean(axis=2), filled.var(axis=2, ddof=1) / rows

    def coverage(pooled):
        low, high = pooled.interval(0.95)
        return np.mean((low < 0.0) & (high > 0.0))

    assert coverage(pool(estimates, variances, rows - 1)) == pytest.approx(0.95, abs=0.01)
    # One table taken for the truth: its intervals are too narrow.
    one = pool(np.stack([estimates[0]] * 2), np.stack([variances[0]] * 2), rows - 1)
    assert coverage(one) < 0.91


def test_an_analysis_of_each_table():
    tables = [np.full((4, 2), value) for value in (1.0, 2.0, 3.0)]
    pooled = Imputations(tables, None, None).pool(lambda table: (table.mean(axis=0), [0.5, 0.25]))
    np.testing.assert_array_equal(pooled.estimate, [2.0, 2.0])
    np.testing.assert_array_equal(pooled.within, [0.5, 0.25])


def test_results_are_pooled_by_their_labels():
    # The more frequent level comes first, as value_counts has it.
    one, other = pd.Series({"a": 3.0, "b": 1.0}), pd.Series({"b": 2.0, "a": 1.0})
    pooled = pool([one, other], [0.1 * one, (0.1 * other)[["a", "b"]]])
    assert pooled.estimate.to_dict() == {"a": 2.0, "b": 1.5}
    assert pooled.within.to_dict() == pytest.approx({"a": 0.2, "b": 0.15})
    low, high = pooled.interval(0.9)
    assert (low + high).to_dict() == pytest.approx({"a": 4.0, "b": 3.0})
    assert pool([one, other[["a", "b"]]], [[1.0, 2.0]] * 2).within.to_dict() == {"a": 1.0, "b": 2.0}
    tables = pd.DataFrame([one, other])
    assert pool(tables, tables[["b", "a"]]).within.to_dict() == {"a": 2.0, "b": 1.5}
    square = pd.DataFrame([[1.0, 2.0], [3.0, 4.0]], ["r", "s"], ["a", "b"])
    pd.testing.assert_frame_equal(pool([square, square.loc[["s", "r"], ["b", "a"]]], [square] * 2).estimate, square)
    for estimates, variances, message in (
        ([one, other.rename({"b": "c"})], [one] * 2, r"`estimates`\. Expected the same labels .*'b' and one without"),
        ([one] * 2, [one.rename({"b": "c"})] * 2, r"`variances`\. Expected the same labels .*'b' and one without"),
        ([one, other.rename({"b": "a"})], [one] * 2, r"`estimates`\. Expected the same labels .*'a' twice"),
        ([one, other.to_numpy()], [one] * 2, r"`estimates`\. Expected labels of every table or of none"),
        ([one, other], [one.to_numpy()] * 2, r"`variances`\. Expected labels, as the estimates have them"),
        ([one.to_numpy()] * 2, [one, other], r"`estimates`\. Expected labels, as the variances have them"),
    ):
        with pytest.raises(ValueError, match=message):
            pool(estimates, variances)


@pytest.mark.parametrize("argument", ["estimates", "variances"])
@pytest.mark.parametrize(
    "given",
    [
        np.ma.masked_equal([1.0, 9.0], 9.0),
        [1.0, np.ma.masked],
        [np.ma.masked_equal([9.0], 9.0), [1.0]],
        ["1", "2"],
        [1.0, True],
        [pd.Series([True]), pd.Series([1.0])],
        pd.Series(["1", "2"]),
        np.array([1.0, "2"], object),
        np.array([1.0, 2.0j]),
        np.array([1, 2], "datetime64[D]"),
    ],
)
def test_what_is_masked_or_no_number_is_refused(given, argument):
    with pytest.raises(ValueError, match=rf"`{argument}`\. Expected numbers"):
        pool(**{"estimates": [1.0, 2.0], "variances": [1.0, 2.0], argument: given})
    # Control: a mask that leaves nothing out.
    assert pool(np.ma.array([1.0, 2.0]), [1.0, 1.0]).estimate == 1.5


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (([1.0], [1.0]), "estimates"),
        (([1.0, np.nan], [1.0, 1.0]), "estimates"),
        (([1.0, 2.0], [1.0]), "variances"),
        (([1.0, 2.0], [1.0, -1.0]), "variances"),
        (([1e200, 2e200], [1.0, 1.0]), "estimates"),
        (([1.5e308, 1.5e308], [1.0, 1.0]), "estimates"),
        (([1.0, 2.0], [1e308, 1e308]), "variances"),
        ((["a", "b"], [1.0, 1.0]), "estimates"),
        (([1.0, 2.0], [1.0, {}]), "variances"),
        (([1.0, 2.0], [1.0, 1.0], 0.0), "complete_degrees_of_freedom"),
        (([1.0, 2.0], [1.0, 1.0], "a"), "complete_degrees_of_freedom"),
        (([1.0, 2.0], [1.0, 1.0], None), "complete_degrees_of_freedom"),
        (([1.0, 2.0], [1.0, 1.0], 10**400), "complete_degrees_of_freedom"),
        (([1.0, 10**400], [1.0, 1.0]), "estimates"),
        (([1.0, 2.0], [1.0, 1.0], np.array([1.0, 2.0])), "complete_degrees_of_freedom"),
    ],
)
def test_bad_input(arguments, name):
    with pytest.raises(ValueError, match=f"`{name}`"):
        pool(*arguments)
    for level in (95, "a", None, True, np.nan, [0.9, 0.95]):
        with pytest.raises(ValueError, match="`level`"):
            pool([1.0, 2.0], [1.0, 1.0]).interval(level)
    with pytest.raises(ValueError, match=r"`analysis`\. Expected a function of a table\. Received: 3"):
        Imputations([np.zeros((4, 2))] * 2, None, None).pool(3)


@pytest.mark.parametrize(
    "given", [1.0, (1.0,), (1.0, 2.0, 3.0), np.array([1.0, 2.0]), {"estimate": 1.0, "variance": 2.0}, None]
)
def test_an_analysis_that_gives_no_variances_is_refused(given):
    expected = r"`analysis`\. Expected a function from a table to \(estimates, variances\), .*Received: one that gives "
    with pytest.raises(ValueError, match=expected):
        Imputations([np.zeros((4, 2))] * 2, None, None).pool(lambda table: given)


def test_an_analysis_may_write_into_its_table():
    tables = [np.ones((4, 2)), np.zeros((4, 2))]

    def writing(table):
        table += 7.0
        return table.mean(), 0.5

    assert Imputations(tables, None, None).pool(writing).estimate == 7.5
    np.testing.assert_array_equal(tables[0], 1.0)
