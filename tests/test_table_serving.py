"""What is served of a table is what Python gives, in the units of the table, by the names of its columns."""

import numpy as np
import pandas as pd
import pytest
import tensorflow as tf

import keras_iwae
from keras_iwae import IWAEDensity, IWAEImputer
from keras_iwae.evaluation import examples_together
from keras_iwae.serving.table_cells import Cells, served_columns
from keras_iwae.tables import Coding, Column, Schema

pytestmark = pytest.mark.slow

RNG = np.random.default_rng(0)
ROWS = 40
KINDS = {"income": "positive"}


def table():
    rows = np.arange(ROWS)
    whole = pd.DataFrame(
        {
            "weight (kg)": RNG.normal(70.0, 9.0, ROWS),
            "income": np.exp(RNG.normal(10.0, 1.0, ROWS)),
            "visits": pd.array(RNG.poisson(4.0, ROWS), "Int64"),
            "smoker": pd.array(rows % 3 == 0, "boolean"),
            "stage": pd.Categorical(np.array(["I", "II", "III"])[rows % 3], ["I", "II", "III"], ordered=True),
            "grade": np.array([2.0, 3.0, 5.0, 7.0])[rows % 4],
            "always": 7.5,
        }
    )
    frame = whole.mask(RNG.random(whole.shape) < 0.3)
    frame.iloc[0] = pd.NA
    # Nothing is missing, and a draw is the row.
    frame.iloc[1] = whole.iloc[1]
    return frame.astype(whole.dtypes)


FRAME = table()


def cells(frame):
    """As a client has them."""
    found = {}
    for name, served in zip(frame, NAMES, strict=True):
        series = frame[name]
        if name == "stage":
            found[served] = tf.constant(series.astype(object).where(series.notna(), "").tolist())
        else:
            found[served] = tf.constant(series.astype("Float64").to_numpy(np.float64, na_value=np.nan))
    return found


NAMES = ["weight__kg_", "income", "visits", "smoker", "stage", "grade", "always"]


@pytest.fixture(scope="module")
def imputer():
    found = IWAEImputer(
        columns={**KINDS, "grade": "ordinal"}, latent_dim=2, hidden=(8,), max_steps=20, num_samples=40, random_state=0
    ).fit(FRAME)
    # The factor of the scales, which so few cells do not give, is served too.
    found.model_.generative.likelihood.widen(1.4)
    return found


@pytest.fixture(scope="module")
def served(imputer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serving")
    keras_iwae.export_saved_model(imputer, folder)
    return keras_iwae.load_saved_model(folder)


def same(answer, frame):
    for name, each in cells(frame).items():
        if each.dtype == tf.string:
            np.testing.assert_array_equal(answer[name].numpy(), each.numpy(), err_msg=name)
        else:
            np.testing.assert_allclose(answer[name].numpy(), each.numpy(), rtol=1e-5, err_msg=name)


def test_what_is_served_is_what_python_gives(imputer, served):
    signatures = served.signatures
    assert set(signatures) == {"impute", "draw", "score", "serving_default"}
    answer = signatures["impute"](**cells(FRAME))
    assert set(answer) == {*NAMES, "log_likelihood", "effective_sample_size", "pareto_k"}
    same(answer, imputer.transform(FRAME))
    gaps = FRAME.isna().any(axis=1).to_numpy()
    rows = imputer.rows(FRAME)
    for name in ("effective_sample_size", "pareto_k"):
        np.testing.assert_allclose(answer[name].numpy()[gaps], getattr(rows, name)[gaps], rtol=1e-4, atol=1e-3)
    assert np.ptp(rows.pareto_k[gaps]) > 0.3
    # What is there is served as it was, to the last digit.
    known = FRAME["income"].notna()
    np.testing.assert_array_equal(answer["income"].numpy()[known], FRAME["income"][known])

    density = IWAEDensity(num_samples=40)
    density.__dict__.update({name: value for name, value in vars(imputer).items() if name.endswith("_")})
    density._gives_frames = True
    scores = signatures["score"](**cells(FRAME))
    assert set(scores) == {"log_likelihood", "effective_sample_size", "pareto_k"}
    for each in (answer, scores):
        np.testing.assert_allclose(each["log_likelihood"].numpy(), density.score_samples(FRAME), rtol=1e-5, atol=1e-4)
    # More rows than are worked on at once, which do not fill the last part.
    many = pd.concat([FRAME] * 60, ignore_index=True)[:2301]
    assert len(many) > examples_together(imputer.model_, 40)
    np.testing.assert_allclose(
        signatures["score"](**cells(many))["log_likelihood"].numpy()[-21:],
        answer["log_likelihood"].numpy()[np.arange(2280, 2301) % ROWS],
        rtol=1e-4,
        atol=1e-4,
    )
    default = signatures["serving_default"](**cells(FRAME[:2]))
    assert set(default) == set(answer)


@pytest.mark.long
def test_a_density_is_served_with_its_own_proposal(imputer, tmp_path):
    """Not with that of an earlier export of the same model, whose graphs the model keeps."""
    density = IWAEDensity(num_samples=40, proposal="adapted")
    density.__dict__.update({name: value for name, value in vars(imputer).items() if name.endswith("_")})
    density._gives_frames = True
    with pytest.raises(ValueError, match=r"`proposal`.*own, as density\.set_params\(proposal='adapted'\).*: 'refined'"):
        keras_iwae.export_saved_model(density, tmp_path, proposal="refined")
    plain = density.set_params(proposal="amortized").score_samples(FRAME)
    keras_iwae.export_saved_model(density, tmp_path)
    density.set_params(proposal="adapted")
    keras_iwae.export_saved_model(density, tmp_path)
    signatures = keras_iwae.load_saved_model(tmp_path).signatures
    wanted = density.score_samples(FRAME)
    default = signatures["serving_default"](**cells(FRAME))
    for answer in (default, signatures["impute"](**cells(FRAME))):
        np.testing.assert_allclose(answer["log_likelihood"].numpy(), wanted, rtol=1e-5, atol=1e-3)
    few = signatures["score"](**cells(FRAME[3:6]))
    np.testing.assert_allclose(few["log_likelihood"].numpy(), wanted[3:6], rtol=1e-5, atol=1e-3)
    # Control: another proposal's are further off.
    assert np.abs(plain - wanted).max() > 0.1


def test_draws_are_those_of_their_seeds(imputer, served, monkeypatch):
    draw = served.signatures["draw"]
    rows = FRAME.iloc[[0, 3, 0, 1]]
    seeds = np.array([5, 5, 6, 6], np.int32)
    answer = draw(**cells(rows), seed=tf.constant(seeds))
    assert set(answer) == set(NAMES)
    wanted = []
    for place, seed in enumerate(seeds):
        monkeypatch.setattr(imputer, "seed_", int(seed))
        wanted.append(imputer.impute(rows.iloc[[place]], 1)[0])
    same(answer, pd.concat(wanted).astype(FRAME.dtypes))
    assert answer["income"].numpy()[0] != answer["income"].numpy()[2]
    # The same request, and a row whatever comes with it.
    again = draw(**cells(rows[2:3]), seed=tf.constant(seeds[2:3]))
    # One row at a time is rounded otherwise than several, in the last bit.
    np.testing.assert_allclose(again["income"].numpy(), answer["income"].numpy()[2:3], rtol=1e-14)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("stage", "IV", "`column 'stage'`. Expected one of the 3 levels 'I', 'II', 'III'. Received: "),
        ("grade", 4.0, "`column 'grade'`. Expected one of the 4 levels 2.0, 3.0, 5.0, 7.0. Received: "),
        ("visits", 1.5, "`column 'visits'`. Expected counts, whole numbers from 0 to 10,000,000. Received: "),
        ("visits", -1.0, "`column 'visits'`. Expected counts"),
        ("visits", 1e8, "`column 'visits'`. Expected counts, whole numbers from 0 to 10,000,000. Received: "),
        ("income", 0.0, "`column 'income'`. Expected finite numbers above 0"),
        ("weight__kg_", np.inf, "`column 'weight__kg_'`. Expected finite numbers within 1e+15 standard deviations of"),
        ("weight__kg_", 1e30, "`column 'weight__kg_'`. Expected finite numbers within 1e+15 standard deviations of"),
    ],
)
def test_cells_that_a_column_cannot_have_are_refused_by_name(served, name, value, message):
    request = cells(FRAME[:3])
    values = request[name].numpy()
    values[1] = value
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        served.signatures["score"](**{**request, name: tf.constant(values)})
    assert message in str(error.value).replace("\\", "")


def test_requests_of_no_row_and_of_rows_that_differ(served):
    none = {name: values[:0] for name, values in cells(FRAME[:1]).items()}
    for name in ("impute", "draw", "score"):
        seed = {"seed": tf.zeros([0], tf.int32)} if name == "draw" else {}
        answer = served.signatures[name](**none, **seed)
        assert {len(values) for values in answer.values()} == {0}
    for shape in ([3, 1], [1, 3], []):
        request = {**cells(FRAME[:3]), "income": tf.ones(shape, tf.float64)}
        said = " ".join(map(str, shape))
        with pytest.raises(
            tf.errors.InvalidArgumentError, match=rf"`income`\. Expected shape \[n\]\. Received: \[{said}"
        ):
            served.signatures["score"](**request)
    request = {**cells(FRAME[:3]), "stage": cells(FRAME[:2])["stage"]}
    expected = r"`stage`\. Expected as many rows as `weight__kg_` has, 3\. Received: 2"
    with pytest.raises(tf.errors.InvalidArgumentError, match=expected):
        served.signatures["score"](**request)


def names(*columns):
    frame = pd.DataFrame({column.name: [1.0, 2.0] if column.categories is None else ["a", ""] for column in columns})
    return [column.name for column in served_columns(Coding.fit(frame, Schema(columns)))]


def test_names_that_tensorflow_takes():
    columns = [Column(name, "real") for name in (0, "seed", "class", "größe", "_x")]
    assert names(*columns) == ["column_0", "column_seed", "column_class", "gr__e", "column__x"]
    assert names(Column("self", "real"), Column("Seed", "real")) == ["column_self", "column_Seed"]
    with pytest.raises(ValueError, match=r"`column 'a'`. Expected a name that differs from 'A' in letters, large"):
        names(Column("A", "real"), Column("a", "real"))
    with pytest.raises(ValueError, match=r"`column 'a b'`. Expected a name that differs from 'a_b'"):
        names(Column("a_b", "real"), Column("a b", "real"))
    with pytest.raises(ValueError, match=r"`column 'x'`. Expected levels that are all numbers or all text, none of it"):
        names(Column("x", "binary", ("a", "")))
    columns = (Column("x", "binary", (2**53, 2**53 + 1)),)
    with pytest.raises(
        ValueError, match=r"`column 'x'`. Expected levels that float64 holds, .*Received: 9007199254740993"
    ):
        served_columns(Coding(Schema(columns), (0.0,), (1.0,), (False,), (1.0,)))


def test_words_of_python_as_names_and_braces_in_levels(tmp_path):
    levels = ["{}", "a{x}", "{"]
    frame = pd.DataFrame({"class": np.arange(12.0), "None": np.arange(12.0) % 5, "kind": levels * 4})
    imputer = IWAEImputer(latent_dim=1, hidden=(2,), max_steps=1, num_samples=2, random_state=0).fit(frame)
    keras_iwae.export_saved_model(imputer, tmp_path)
    impute = keras_iwae.load_saved_model(tmp_path).signatures["impute"]
    request = {"column_class": tf.constant([3.0], tf.float64), "column_None": tf.constant([1.0], tf.float64)}
    assert impute(**request, kind=tf.constant(["{}"]))["kind"].numpy().tolist() == [b"{}"]
    with pytest.raises(tf.errors.InvalidArgumentError) as error:
        impute(**request, kind=tf.constant(["{}{}"]))
    said = str(error.value).replace("\\", "")
    assert "`column 'kind'`. Expected one of the 3 levels 'a{x}', '{', '{}'. Received: [\"{}{}\"]" in said


def test_a_limit_of_samples_lets_one_row_through(imputer, tmp_path):
    with pytest.raises(ValueError, match=r"`max_samples`. Expected an integer of at least .*num_samples, 40, .*: 39"):
        keras_iwae.export_saved_model(imputer, tmp_path, max_samples=39)
    assert not list(tmp_path.iterdir())


def test_an_estimator_that_was_not_fitted_is_refused(tmp_path):
    with pytest.raises(ValueError, match="not fitted"):
        keras_iwae.export_saved_model(IWAEImputer(), tmp_path)


def test_numbers_beyond_a_small_integer_are_served_as_python_fills_them_in():
    columns = Column("n", "count", dtype="UInt8"), Column("i", "real", dtype="Int8")
    coding = Coding(Schema(columns), (0.0, 0.0), (1.0, 1.0), (False, False), (1.0, 1.0))
    encoded = np.array([[300.0, -200.4]], np.float32)
    frame = pd.DataFrame({column.name: pd.array([None], dtype=column.dtype) for column in columns})
    filled = coding.fill(frame, encoded)
    assert filled.iloc[0].tolist() == [300, -200]
    for served, numbers in zip(served_columns(coding), encoded.T, strict=True):
        answer = served.fill(tf.constant([np.nan], tf.float64), tf.constant(numbers))
        assert answer.numpy().tolist() == filled[served.name].tolist()


def test_a_positive_column_of_whole_numbers_is_never_filled_with_zero():
    column = Cells("visits", Column("visits", "positive", dtype="Int64"), 0.0, 1.0, False)
    found = column.fill(tf.constant([np.nan, np.nan, 7.0], tf.float64), tf.constant([-3.0, 1.0, 0.0]))
    assert found.numpy().tolist() == [1.0, 3.0, 7.0]
