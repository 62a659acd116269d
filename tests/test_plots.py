from itertools import pairwise

import numpy as np
import pytest
from matplotlib.figure import Figure
from matplotlib.image import imread
from matplotlib.patches import Rectangle

from keras_iwae import IWAE, plots
from keras_iwae.experiments import draw_samples, samples
from keras_iwae.experiments.report.imputation import check_page, write_imputation_report
from keras_iwae.foundation import percent_text
from keras_iwae.likelihoods import GaussianLikelihood
from keras_iwae.plots import charts, tables, trial_charts
from keras_iwae.plots.labels import verbatim
from keras_iwae.training import runs


def test_grid_tiles_row_by_row_and_fills_up_with_black():
    images = np.stack([np.full((2, 3, 1), value) for value in (0.2, 0.4, 0.6, 0.8, 1.0)])
    grid = plots.image_grid(images, columns=2)
    assert grid.shape == (3 * 3 - 1, 2 * 4 - 1)
    assert [grid[row, column] for row in (0, 3, 6) for column in (0, 4)] == [0.2, 0.4, 0.6, 0.8, 1.0, 0.0]
    assert not grid[2].any()
    assert not grid[:, 3].any()


def test_flat_and_coloured_images():
    assert plots.as_pictures(np.zeros((5, 784))).shape == (5, 28, 28)
    assert plots.as_pictures(np.zeros((5, 128))).shape == (5, 8, 16)
    assert plots.image_grid(np.zeros((5, 4, 6, 3)), columns=5).shape == (4, 5 * 7 - 1, 3)
    # No wider than there are images.
    assert plots.image_grid(np.zeros((3, 4, 6, 1)), columns=2**31 - 1).shape == (4, 3 * 7 - 1)


GRIDS_REFUSED = {
    "no columns": ("columns", (np.zeros((2, 4)), 0)),
    "no images": ("images", (np.zeros((0, 4)), 3)),
    "two channels": ("images", (np.zeros((5, 4, 6, 2)), 3)),
    "four channels": ("images", (np.zeros((5, 4, 6, 4)), 3)),
    "no channels": ("images", (np.zeros((5, 4, 6)), 3)),
    "no pixels": ("images", (np.zeros((5, 0)), 3)),
    "bytes": ("images", (np.array([[0, 64, 128, 255]], np.uint8), 1)),
    "below 0": ("images", (np.array([[-0.5, 0.5]]), 1)),
    "not a number": ("images", (np.array([[0.5, np.nan]]), 1)),
    "texts": ("images", (np.array([["a", "b"]]), 1)),
}


@pytest.mark.parametrize(("name", "given"), GRIDS_REFUSED.values(), ids=GRIDS_REFUSED)
def test_a_grid_of_nothing_or_of_another_shape_is_refused(name, given):
    with pytest.raises(ValueError, match=f"`{name}`\\. Expected"):
        plots.image_grid(*given)


def test_levels_beyond_their_ends_by_rounding_are_shown():
    assert plots.image_grid(np.array([[1.0 + 1e-6, -1e-6, True]]), 1).tolist() == [[1.0, 0.0, 1.0]]


def test_whatever_a_model_gives_has_grey_levels():
    grey = GaussianLikelihood().to_grey(np.array([[-1.0, 3.0, np.inf, -np.inf, np.nan]]))
    assert grey.tolist() == [[0.0, 1.0, 1.0, 0.0, 0.5]]


def test_side_by_side_alternates():
    pairs = plots.side_by_side(np.zeros((3, 2, 2, 1)), np.ones((3, 2, 2, 1)))
    assert pairs[:, 0, 0, 0].tolist() == [0.0, 1.0] * 3


DRAWING = {
    "side_by_side": ("reconstructions", lambda: plots.side_by_side(np.zeros((2, 4)), np.zeros((3, 4)))),
    "latent_map": ("images", lambda: charts.latent_map(np.zeros((3, 2)), np.zeros((2, 4)), ("a", "b"))),
    "active_units, no layer": ("variances", lambda: charts.active_units([], 0.01)),
    "active_units, threshold": ("threshold", lambda: charts.active_units([np.ones(3)], 0.0)),
    "units": ("means", lambda: charts.units(None, [], [])),
    "bounds": ("values", lambda: charts.bounds({})),
    "sweep": ("rows", lambda: charts.sweep([])),
    "sample_grids": ("images", lambda: charts.sample_grids({})),
}


@pytest.mark.parametrize(("name", "draw"), DRAWING.values(), ids=DRAWING)
def test_what_there_is_nothing_to_draw_of_is_refused_by_name(name, draw):
    with pytest.raises(ValueError, match=rf"`{name}`\. Expected"):
        draw()


NO_HISTORY = {
    "nothing": {},
    "no metric": {"epoch": [1.0], "seconds": [2.0]},
    "no epochs": {"bound": []},
    "other lengths": {"epoch": [1.0, 2.0], "bound": [-3.0]},
    "no columns": None,
}


@pytest.mark.parametrize("history", NO_HISTORY.values(), ids=NO_HISTORY)
def test_what_is_no_history_is_refused(history, tmp_path):
    for draw in (charts.training_curves, lambda found: plots.save_curves(tmp_path / "x.png", found)):
        with pytest.raises(ValueError, match=r"`history`\. Expected columns by name"):
            draw(history)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_the_history_of_a_fit_is_drawn_from_epoch_1(tmp_path):
    history = {"loss": [3.0, 2.0], "bound": [-3.0, -2.0], "val_bound": [-4.0, -3.0]}
    (panel,) = charts.training_curves(history).axes
    assert [line.get_xdata().tolist() for line in panel.lines] == [[1, 2]] * 2
    for count, columns in ((1, history), (2, {"loss": [3.0], "elbo": [-3.0]})):
        plots.save_curves(tmp_path / "x.png", columns)
        assert imread(tmp_path / "x.png").shape == (320, 400 * count, 4)
    assert charts.drawn_metrics({"discrimination": [-1.4], "elbo": [1.0]}) == ["elbo", "discrimination"]


@pytest.mark.slow
def test_files_show_what_was_given(tmp_path):
    plots.save_grid(tmp_path / "grid.png", np.array([[0.0, 1.0, 1.0, 0.0]]), columns=1)
    picture = imread(tmp_path / "grid.png")[..., 0]
    assert picture.shape == (8, 8)
    assert picture[0, 0] == picture[7, 7] == 0.0
    assert picture[0, 7] == picture[7, 0] == 1.0
    history = {
        "epoch": [1.0, 2.0],
        "seconds": [1.0, 1.0],
        "bound": [-3.0, -2.0],
        "val_bound": [-3.0, -2.5],
        "kl": [0.1, 0.2],
    }
    plots.save_curves(tmp_path / "curves.png", history)
    assert imread(tmp_path / "curves.png").shape == (320, 800, 4)


WRITING = {
    "save_grid": ("path", "png", lambda path: plots.save_grid(path, np.zeros((1, 4)))),
    "save_curves": ("path", "png", lambda path: plots.save_curves(path, {"epoch": [1.0], "bound": [1.0]})),
    # Before the model is looked for, and the file is written that the page is about.
    "draw_samples": ("out", "png", lambda path: draw_samples("no model", out=path)),
    "write_imputation_report": ("report", "html", lambda path: write_imputation_report(None, path)),
    "check_page": ("report", "html", check_page),
}


@pytest.mark.parametrize("name", WRITING)
def test_what_is_written_is_what_its_name_says(name, tmp_path):
    argument, ending, write = WRITING[name]
    for wrong in ("x.jpg", "x.csv", "x", f"x.{ending}.gz"):
        with pytest.raises(ValueError, match=rf"`{argument}`\. Expected a file name that ends in \.{ending}.*'"):
            write(tmp_path / wrong)
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(("layers", "maps"), [((1, 1), 0), ((2,), 1)])
def test_a_plane_is_of_two_units_that_are_decoded(layers, maps, tmp_path, monkeypatch):
    """Of a unit in each of two layers one had no effect on the map."""
    model = IWAE((2, 2, 1), latent_dim=layers, hidden=[(3,)] * len(layers))
    monkeypatch.setattr(runs, "load_model", lambda _: model)
    monkeypatch.setattr(samples, "path_of", lambda _: tmp_path)
    assert len(draw_samples(out=tmp_path / "grid.png", num_samples=3)) == 1 + maps
    assert len(list(tmp_path.iterdir())) == 1 + maps


def as_drawn(figure):
    """The texts of its axes, once it was drawn."""
    figure.draw_without_rendering()
    return [text.get_text() for axes in figure.axes for text in (*axes.get_xticklabels(), axes.title, axes._left_title)]


MONEY = "cost_$_2019_$", "$10k-$20k", r"a\$b", "$", "100"


@pytest.mark.parametrize("text", MONEY)
def test_a_dollar_is_a_dollar(text):
    figure = Figure()
    found, wanted = figure.text(0.1, 0.1, verbatim(text)), figure.text(0.1, 0.1, text, parse_math=False)
    assert found.get_window_extent().bounds == wanted.get_window_extent().bounds


def test_a_text_is_cut_before_its_dollars_are_escaped():
    assert verbatim("$" * 5, 5) == r"\$" * 5
    assert verbatim("$" * 6, 5) == r"\$" * 4 + "…"


@pytest.mark.slow
def test_dollars_of_a_user_are_shown_in_every_picture(tmp_path):
    """Two of them in a name were set as TeX, or ended the script after the work was done."""
    rng, shown = np.random.default_rng(0), {verbatim(text) for text in MONEY}
    values = {name: rng.choice(MONEY, 20) for name in MONEY}
    found = as_drawn(tables.distributions(values, values))
    assert shown <= set(found)
    found = as_drawn(tables.missing_patterns(MONEY, np.eye(5, dtype=bool), [5, 4, 3, 2, 1], [0.2] * 5))
    assert shown <= {text.partition("\n")[0] for text in found}
    levels = {"$a_$": dict(enumerate(MONEY))}
    found = as_drawn(trial_charts.trials_chart({n: [-float(n)] for n in range(5)}, levels, [0], 0))
    assert {*shown, verbatim("$a_$")} <= set(found)
    found = as_drawn(charts.sample_grids(dict.fromkeys(MONEY, np.zeros((4, 4)))))
    assert shown <= set(found)
    plots.save_curves(tmp_path / "curves.png", {"epoch": [1.0], "cost_$_2019_$": [1.0]})


def test_numbers_that_end_at_zero_end_there():
    """Their last edge was 1."""
    values = np.concatenate([np.linspace(-2.5, -0.01, 380), np.zeros(20)])
    axes = tables.distributions({"x": values}, {"x": values[::2]}).axes[0]
    bars = [patch for patch in axes.patches if isinstance(patch, Rectangle)]
    assert len(bars) == 30
    assert bars[-1].get_x() + bars[-1].get_width() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize(
    ("share", "said"),
    [
        (0.0, "0.0 %"),
        (1e-9, "< 0.1 %"),
        (0.00099, "< 0.1 %"),
        (0.003, "0.3 %"),
        (0.12, "12.0 %"),
        (0.99949, "> 99.9 %"),
        (0.9996, "> 99.9 %"),
        (1.0, "100.0 %"),
    ],
)
def test_a_share_is_none_or_all_where_it_is(share, said):
    assert percent_text(share) == said
    figure = tables.missing_patterns(["x"], np.array([[True]]), [1], [share])
    assert as_drawn(figure)[0] == f"x\n{said}"


LABELS = {
    "three short": (["age", "height", "grade"], False),
    "six short": (["height", "visits", "colour", "grade", "region", "age"], False),
    "three long": (["income_before_taxes", "household_members", "years_of_education"], True),
    "six long": (["household_size", "education", "years_employed", "region_code", "marital_status", "age"], True),
    "many": ([f"column {number}" for number in range(30)], True),
}


@pytest.mark.slow
@pytest.mark.parametrize(("names", "turned"), LABELS.values(), ids=LABELS)
def test_names_of_columns_do_not_run_into_each_other(names, turned):
    count = len(names)
    figure = tables.missing_patterns(names, np.eye(count, dtype=bool)[:3], [3, 2, 1], [0.1234] * count)
    figure.draw_without_rendering()
    labels = figure.axes[0].get_xticklabels()
    places = [label.get_window_extent() for label in labels]
    assert all(one.x1 < other.x0 for one, other in pairwise(places))
    assert {label.get_rotation() for label in labels} == {90.0 if turned else 0.0}
