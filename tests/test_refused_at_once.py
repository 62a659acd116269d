"""What is given to a method or an endpoint and cannot be meant is refused there, by its name, and not further down."""

import functools
from dataclasses import asdict

import keras
import numpy as np
import pytest
import tensorflow as tf
import tensorflow_probability as tfp

from keras_iwae import (
    AVB,
    IWAE,
    IWAEDensity,
    IWAEImputer,
    evaluation,
    experiments,
    export_saved_model,
    load_saved_model,
    networks,
)
from keras_iwae.bounds.objectives import CIWAE, Objective
from keras_iwae.evaluation import pruned
from keras_iwae.experiments import ExperimentConfig, Jobs, paper_table, reproduction, sweep, tuning
from keras_iwae.experiments.comparison import compare
from keras_iwae.experiments.many_rows import reproduce_rows
from keras_iwae.experiments.search_space import Domain
from keras_iwae.foundation import Support
from keras_iwae.likelihoods import BernoulliLikelihood, GaussianLikelihood, Likelihood, MixedLikelihood, SelfMasking
from keras_iwae.models import GenerativeModel
from keras_iwae.models.stopping import StopWhereLossNotFinite
from keras_iwae.posteriors import AutoregressivePosterior, HierarchicalPosterior, IAFPosterior, MAFPosterior
from keras_iwae.priors import HierarchicalPrior, Prior, StandardNormalPrior
from keras_iwae.tables import impute_file, score_file
from keras_iwae.training import runs

X = (np.random.default_rng(0).random((3, 6)) < 0.4).astype(np.float32)
SMALL = {"event_shape": (6,), "latent_dim": 2, "hidden": (8,), "num_samples": 4}
SEED = tf.constant([0, 1])
ONE, LAYERS = StandardNormalPrior(2), ((3, 2), ((4,),))
NAN = np.full_like(X, np.nan)


@pytest.fixture(scope="module")
def model():
    made = IWAE(**SMALL)
    made.compile(run_eagerly=True)
    return made


class WithoutSupport(Likelihood):
    pass


class SupportOfText(Likelihood):
    support = "[0, 1]"


class WithoutEntries(Likelihood):
    support = Support(0.0, 1.0)


class WholeEvents(Likelihood):
    support = Support(0.0, 1.0)

    def entries(self, parameters):
        return tfp.distributions.Bernoulli(tf.reduce_sum(parameters, -1), dtype=tf.float32)


class LogProbAlone(Likelihood):
    support = Support(0.0, 1.0)

    def log_prob(self, x, features, mask=None):
        return -tf.reduce_sum((x - self(features)) ** 2, axis=-1)


class StartsFromNumpys(CIWAE):
    learned = True
    beta = np.float32(0.5)

    def __init__(self):
        pass


class OwnLoss(IWAE):
    def compute_loss(self, *arguments, **options):
        return tf.zeros([])


class OwnMetrics(IWAE):
    def compute_metrics(self, x, y, y_pred, sample_weight=None):
        return {}


class OwnWeights(IWAE):
    def log_weights(self, *arguments, **options):
        return -super().log_weights(*arguments, **options)


class OwnSamples(AVB):
    def sample(self, *arguments, **options):
        return None


class OwnStepToo(OwnWeights):
    def train_step(self, data):
        return {}


class Measured(IWAE):
    def __init__(self, **options):
        super().__init__(**options)
        self.more = keras.metrics.Mean()


REFUSED = {
    "log weights of a class's own": (lambda m, f: OwnWeights(**SMALL), "`log_weights`. Expected .*posterior"),
    "and a step of its own": (lambda m, f: OwnStepToo(**SMALL), "`log_weights`. Expected .*evaluation"),
    "samples of a class's own": (lambda m, f: OwnSamples(6, latent_dim=2, hidden=(8,)), "`sample`. Expected .*export"),
    "a loss": (lambda m, f: m.compute_loss(X), "`compute_loss`. Expected `test_on_batch`"),
    "a metric": (lambda m, f: Measured(**SMALL), "`more`. Expected no layer, metric or variable.*a callback.*a Mean"),
    "a layer": (lambda m, f: setattr(m, "more", keras.layers.Dense(2)), "`more`. Expected no layer.*a Dense"),
    "a loss of a class's own": (lambda m, f: OwnLoss(**SMALL).compile(), "`compute_loss`. Expected .*`train_step`"),
    "metrics of a class's own": (lambda m, f: OwnMetrics(**SMALL).compile(), "`compute_metrics`. Expected .*`object"),
    "quantized weights": (lambda m, f: m.quantize("int8"), "`quantize`. Expected none"),
    "no such optimizer": (lambda m, f: m.compile("bogus"), "`optimizer`. Expected a Keras optimizer .*: 'bogus'"),
    "an optimizer's class": (lambda m, f: m.compile(keras.optimizers.Adam), "`optimizer`. Expected .*Adam"),
    "callbacks": (lambda m, f: m.fit(X, callbacks=[3], verbose=0), "`callbacks`. Expected objects of Keras' callbacks"),
    "whole numbers as weights": (lambda m, f: IWAE(**SMALL, dtype="int32"), "`dtype`. Expected a floating type"),
    "no support": (
        lambda m, f: IWAE(**SMALL, likelihood=WithoutSupport()),
        "`likelihood`. Expected .*`supp",
    ),
    "no such support": (
        lambda m, f: IWAE(**SMALL, likelihood=SupportOfText()),
        "`likelihood`. Expected .*`s",
    ),
    "no entries": (lambda m, f: IWAE(**SMALL, likelihood=WithoutEntries()), "`likelihood`. Expected .*`entries"),
    "the class of all likelihoods": (
        lambda m, f: IWAE(**SMALL, likelihood=Likelihood()),
        "`likelihood`. Expected .*`supp.*Received: Likelihood",
    ),
    "of all objectives": (
        lambda m, f: IWAE(**SMALL, objective=Objective()),
        "`objective`. Expected .*`terms.*Objective",
    ),
    "of all priors": (
        lambda m, f: IWAE(**SMALL, prior=Prior(2)),
        "`prior`. Expected .*`distribution`.*Received: Prior",
    ),
    "an own coefficient of NumPy's": (
        lambda m, f: IWAE(**SMALL, objective=StartsFromNumpys()),
        "`objective`. Expected .*`beta`.*a float between 0 and 1.*float32",
    ),
    "an array for a likelihood": (
        lambda m, f: IWAE(**SMALL, likelihood=np.array(["poisson", "gaussian"])),
        "`likelihood`. Expected one of 'bernoulli'",
    ),
    "an array for an estimator": (
        lambda m, f: IWAE(**SMALL, estimator=np.array(["auto", "rws"])),
        "`estimator`. Expected one of 'reparameterized'",
    ),
    "an array for a missingness": (
        lambda m, f: IWAE(**SMALL, missing="nan", missingness=np.array(["self_masking", "rws"])),
        "`missingness`. Expected 'self_masking'",
    ),
    "weights of columns without entries": (
        lambda m, f: IWAE(2, 2, (8,), likelihood=MixedLikelihood([LogProbAlone(), "gaussian"], [1.0, 2.0])),
        "`likelihood`. Expected columns of classes with `entries.*Received: LogProbAlone",
    ),
    "other entries": (
        lambda m, f: IWAE(**SMALL, likelihood=WholeEvents()),
        "`likelihood`. Expected .*shape .N, 6",
    ),
    "sizes within sizes": (lambda m, f: IWAE((28, (28, 1))), r"`event_shape`. Expected an integer.*\(28, 1\)"),
    "units within units": (lambda m, f: IWAE(6, (2, (3, 4))), r"`latent_dim`. Expected an integer.*\(3, 4\)"),
    "an activation of a convolution": (lambda m, f: networks.conv_encoder(activation="no"), "`activation`. Exp.*'no'"),
    "an activation of layers above": (
        lambda m, f: HierarchicalPosterior(keras.layers.Dense(3), *LAYERS, activation="no"),
        "`activation`. Expected a Keras activation.*'no'",
    ),
    "an activation of layers below": (
        lambda m, f: HierarchicalPrior(*LAYERS, activation="no"),
        "`activation`. Expected a Keras activation.*'no'",
    ),
    "an activation that cannot be saved": (
        lambda m, f: IWAE(**SMALL, activation=functools.partial(tf.nn.leaky_relu, alpha=0.3)),
        "`activation`. Expected a Keras activation.*partial",
    ),
    "an activation that is a layer": (
        lambda m, f: IWAE(**SMALL, activation=keras.layers.LeakyReLU(0.2)),
        "`activation`. Expected .*no layer. Received: .*LeakyReLU",
    ),
    "no top": (lambda m, f: HierarchicalPrior(*LAYERS, top=0), "`top`. Expected a prior.*: 0"),
    "a gain below 0": (
        lambda m, f: networks.ConditionalGaussian(3, vector_gain=-1),
        "`vector_gain`. Expected a number",
    ),
    "a gain of NaN": (lambda m, f: networks.ConditionalGaussian(3, head_gain=np.nan), "`head_gain`. Expected a number"),
    "a gain in words": (lambda m, f: networks.ConditionalGaussian(3, head_gain="a"), "`head_gain`. Expected a number"),
    "another word for gaps": (
        lambda m, f: GenerativeModel(keras.layers.Dense(4), ONE, BernoulliLikelihood(), (6,), "no"),
        "`missing`. Expected one of",
    ),
    "a part's prior by name": (
        lambda m, f: GenerativeModel(keras.layers.Dense(4), "standard_normal", BernoulliLikelihood(), (6,)),
        "`prior`. Expected a layer of keras_iwae.priors.*'standard_normal'",
    ),
    "a part's likelihood by name": (
        lambda m, f: GenerativeModel(keras.layers.Dense(4), ONE, "bernoulli", (6,)),
        "`likelihood`. Expected a layer of keras_iwae.likelihoods.*'bernoulli'",
    ),
    "a part's events by half": (
        lambda m, f: GenerativeModel(keras.layers.Dense(4), ONE, BernoulliLikelihood(), 6.5),
        "`event_shape`. Expected an integer.*6.5",
    ),
    "an encoder that encodes otherwise": (
        lambda m, f: IWAE(
            6, 2, (8,), likelihood="poisson", encoder=networks.EventEncoder(keras.layers.Dense(4), missing="nan")
        ),
        r"`encoder`. Expected the network alone, or an EventEncoder\(network, encoding='log1p'\).*missing='nan'",
    ),
    "what is no model": (lambda m, f: export_saved_model(keras.Sequential(), f), "`model`. Expected an IWAE"),
    "a path that is a file": (lambda m, f: export_saved_model(m, f / "file"), "`path`. Expected a folder"),
    "a path below a file": (lambda m, f: export_saved_model(m, f / "file" / "a"), "`path`. Expected a folder"),
    "no mean": (lambda m, f: m.initialize_output_bias(None), r"`mean_image`. Expected shape \[6\]. Received: None"),
    "another mean": (lambda m, f: m.initialize_output_bias(np.zeros(5)), r"`mean_image`. .* \[6\]. Received: \[5\]"),
    "units by name": (lambda m, f: pruned(m, ["a", "b"]), "`keep`. Expected .2., True or False"),
    "units by number": (lambda m, f: pruned(m, [0, 1]), "`keep`. Expected .2., True or False"),
    "NaN": (lambda m, f: m(NAN), "`x`. Expected values in"),
    "grey levels of bytes": (lambda m, f: m(255.0 * X), "`x`. Expected values in .*divide"),
    "another width of x": (lambda m, f: m(X[:, :5]), "`x`. Expected shape"),
    "log weights of NaN": (lambda m, f: m.log_weights(NAN, 3, SEED), "`x`. Expected values in"),
    "log weights of bytes": (lambda m, f: m.log_weights(255.0 * X, 3, SEED), "`x`. Expected values in"),
}


def test_a_loss_that_a_step_of_a_class_s_own_calls_is_taken():
    class OwnStep(OwnLoss):
        def train_step(self, data):
            return {"loss": self.compute_loss()}

    made = OwnStep(**SMALL)
    made.compile(run_eagerly=True)
    assert made.train_on_batch(X, return_dict=True)["loss"] == 0.0


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused_by_its_name(name, model, tmp_path):
    (tmp_path / "file").write_text("")
    call, said = REFUSED[name]
    with pytest.raises(ValueError, match=said):
        call(model, tmp_path)


EVALUATORS = {
    "importance_weighted_nll": lambda m: evaluation.importance_weighted_nll(m, X),
    "sumo_nll": lambda m: evaluation.sumo_nll(m, X),
    "annealed_nll": lambda m: evaluation.annealed_nll(m, X),
    "bidirectional_gap": lambda m: evaluation.bidirectional_gap(m, 3),
    "conditional": lambda m: evaluation.conditional(m, X),
    "inference_gap": lambda m: evaluation.inference_gap(m, X),
    "latents": lambda m: evaluation.latents(m, X),
    "pairwise_log_posterior": lambda m: evaluation.pairwise_log_posterior(m, X, X),
    "resampled_posterior": lambda m: evaluation.resampled_posterior(m, X, 2),
    "resampled_reconstruction": lambda m: evaluation.resampled_reconstruction(m, X),
    "pruned": lambda m: pruned(m, [True, False]),
}


def evaluated(evaluate, *data):
    return lambda m, verbose: evaluate(m, *data, verbose=verbose)


SHOWN = {
    "importance_weighted_nll": evaluated(evaluation.importance_weighted_nll, X),
    "sumo_nll": evaluated(evaluation.sumo_nll, X),
    "annealed_nll": evaluated(evaluation.annealed_nll, X),
    "bidirectional_gap": evaluated(evaluation.bidirectional_gap, 3),
    "impute_file": lambda m, verbose: impute_file("in.csv", "out.csv", verbose=verbose),
    "score_file": lambda m, verbose: score_file("in.csv", "out.csv", verbose=verbose),
    "IWAEImputer": lambda m, verbose: IWAEImputer(verbose=verbose).fit(X),
    "IWAEDensity": lambda m, verbose: IWAEDensity(verbose=verbose).fit(X),
    "diagnose": lambda m, verbose: experiments.diagnose("run", verbose=verbose),
    "sweep": lambda m, verbose: sweep.sweep(ExperimentConfig.of(), [1], "out", verbose=verbose),
    "tune": lambda m, verbose: tuning.tune(
        {"ema": Domain("uniform", (0.9, 0.99))}, {"dataset": "digits"}, "out", verbose=verbose
    ),
}


@pytest.mark.parametrize("name", SHOWN)
@pytest.mark.parametrize("verbose", ["no", 0, 2, None], ids=repr)
def test_progress_is_shown_or_it_is_not(name, verbose, model):
    with pytest.raises(ValueError, match=rf"`verbose`\. Expected True or False\. Received: {verbose!r}"):
        SHOWN[name](model, verbose)


@pytest.mark.parametrize("evaluate", [experiments.evaluate, experiments.evaluate_both])
def test_what_is_kept_of_each_image_is_no_text(evaluate):
    with pytest.raises(ValueError, match=r"`per_example`\. Expected a file name that ends in .npz\. Received: 'a.csv'"):
        evaluate("run", per_example="a.csv")


@pytest.mark.parametrize(
    "evaluate",
    [
        experiments.evaluate,
        experiments.evaluate_both,
        experiments.evaluate_annealed,
        experiments.evaluate_bidirectional,
        experiments.diagnose,
    ],
)
def test_a_number_is_no_workers(evaluate):
    with pytest.raises(
        ValueError, match=r"`workers`\. Expected None, or what `with worker_processes\(2\) as workers:`"
    ):
        evaluate("run", workers=2)


def test_a_folder_of_runs_is_no_run(tmp_path):
    with pytest.raises(ValueError, match=r"`model`\. Expected a run folder .*, which is no run$"):
        experiments.evaluate(tmp_path, num_samples=5)
    # As reproduce.py leaves it.
    (tmp_path / "digits").mkdir()
    (tmp_path / "digits" / "model.keras").touch()
    with pytest.raises(ValueError, match=r"`model`\. .*, which is no run, but a folder of runs: digits$"):
        experiments.evaluate(tmp_path, num_samples=5)


BY_BATCHES = {name: SHOWN[name] for name in list(SHOWN)[:4]}
OF_EVALUATIONS = {
    "spread": ([3, "all"], ("importance_weighted_nll", "annealed_nll", "bidirectional_gap", "latents")),
    "step_size": (["a", None, [1], 0.0, np.nan], ("annealed_nll", "bidirectional_gap")),
    "initial": ([["prior"], 3, None], ("annealed_nll", "bidirectional_gap")),
    "defensive": (["a", None, [0.1]], ("importance_weighted_nll",)),
    "proposal_scale": (["a", None, [1.1]], ("importance_weighted_nll",)),
    "progress": ([3, "bar"], ("latents", "pairwise_log_posterior", "conditional", "inference_gap")),
}


@pytest.mark.parametrize("argument", OF_EVALUATIONS)
def test_what_is_of_no_use_to_an_evaluation_is_refused(argument, model):
    wrong, names = OF_EVALUATIONS[argument]
    for name in names:
        data = (3,) if name == "bidirectional_gap" else (X, X[:, :2]) if name == "pairwise_log_posterior" else (X,)
        for value in wrong:
            with pytest.raises(ValueError, match=f"^Invalid value received for `{argument}`. Expected "):
                getattr(evaluation, name)(model, *data, **{argument: value})


@pytest.mark.parametrize("name", BY_BATCHES)
def test_what_is_kept_for_another_start_has_a_folder(name, model, tmp_path):
    """Refused before there is anything to keep, and no folder is made."""
    data = (3,) if name == "bidirectional_gap" else (X,)
    absent = tmp_path / "nowhere"
    for wrong, said in ((absent / "a.npz", f"no folder {absent}"), (tmp_path, "a folder"), (3, "3"), ("", "''")):
        with pytest.raises(ValueError, match=rf"^Invalid value received for `resume`\. .*Received: .*{said}"):
            getattr(evaluation, name)(model, *data, verbose=False, resume=wrong)
    assert not list(tmp_path.iterdir())


def test_what_is_kept_of_each_image_has_a_folder(tmp_path):
    for evaluate in (experiments.evaluate, experiments.evaluate_both):
        with pytest.raises(ValueError, match=f"`per_example`. Expected a file in a folder .*no folder {tmp_path}/no"):
            evaluate("run", per_example=tmp_path / "no" / "a.npz")


WRITERS = {
    "path": lambda model, out: export_saved_model(model, out),
    "out": lambda model, out: experiments.train(ExperimentConfig.of(dataset="digits", epochs=1), out),
    "source": lambda model, out: impute_file(out, "filled.csv"),
    "resume": lambda model, out: evaluation.importance_weighted_nll(model, X, resume=f"{out}/kept.npz"),
}


@pytest.mark.parametrize("address", ["gs://bucket/model", "https://example.org/model", "S3://bucket"])
@pytest.mark.parametrize("argument", WRITERS)
def test_an_address_is_no_folder_of_that_name(argument, address, model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    expected = rf"^Invalid value received for `{argument}`\. Expected a path on a disk .*Received: .*{address}"
    with pytest.raises(ValueError, match=expected):
        WRITERS[argument](model, address)
    assert not list(tmp_path.iterdir())


def test_nothing_is_exported_to_where_models_are_read_from(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"`path`\. Expected a path on a disk .*hf://user/model"):
        export_saved_model(model, "hf://user/model")
    assert not list(tmp_path.iterdir())


def test_several_layers_of_a_posterior_that_has_one_are_named():
    for kind, options in ((AVB, {}), (IWAE, {"posterior": "iaf"}), (IWAE, {"posterior": "bernoulli"})):
        for hidden in (None, (5,), ((5,), (4,))):
            with pytest.raises(ValueError, match=r"`latent_dim`\. Expected one number: .*'gaussian' alone. .*\(2, 1\)"):
                kind(6, latent_dim=(2, 1), hidden=hidden, **options)


@pytest.mark.parametrize("name", EVALUATORS)
def test_what_is_no_model_is_not_judged(name):
    for wrong in ("model.keras", keras.Sequential([keras.layers.Dense(2)])):
        with pytest.raises(ValueError, match=r"`model`\. Expected an IWAE or an AVB\. Received: a (str|Sequential)"):
            EVALUATORS[name](wrong)


OF_LATENTS = {
    "features": lambda m, z: m.generative.features(z),
    "mean": lambda m, z: m.generative.mean(z),
    "distribution": lambda m, z: m.generative.distribution(z),
    "log_likelihood": lambda m, z: m.generative.log_likelihood(X, z),
    "log_prior": lambda m, z: m.generative.log_prior(z),
    "log_joint": lambda m, z: m.generative.log_joint(X, z),
    "prior": lambda m, z: m.generative.prior.log_prob(z),
    "posterior": lambda m, z: m.posterior.log_prob(z, X),
}
POSTERIORS = {
    "gaussian": {},
    "auxiliary": {"posterior": "auxiliary"},
    "several layers": {"latent_dim": (2, 1), "hidden": ((4,), (3,))},
}


@pytest.mark.slow
@pytest.mark.parametrize("name", POSTERIORS)
def test_latents_of_another_width_are_refused(name):
    made = IWAE(**{**SMALL, **POSTERIORS[name]})
    width = made.latent_dim + made.posterior.auxiliary_dim
    for call in OF_LATENTS.values():
        for wrong in (1, width + 1):
            with pytest.raises(ValueError, match=r"`latents`. Expected shape \[\.\.\., .*Received: \[5, 3, "):
                call(made, tf.zeros([5, 3, wrong]))
    assert made.generative.mean(tf.zeros([5, 3, width])).shape == (5, 3, 6)
    assert np.isfinite(made.log_weights(X, 5, SEED)).all()


@pytest.mark.slow
def test_what_is_served_refuses_and_answers_no_row(model, tmp_path):
    export_saved_model(model, tmp_path)
    served = load_saved_model(tmp_path).signatures
    for wrong in (np.nan, np.inf):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"`latents`. Expected finite"):
            served["decode"](latents=tf.fill([3, 2], wrong))
    options = {"num_samples": tf.constant(3), "seed": tf.constant(1)}
    for rows in (0, 3):
        found = served["log_likelihood"](images=X[:rows], **options)
        assert {name: value.shape for name, value in found.items()} == {
            "log_likelihood": (rows,),
            "effective_sample_size": (rows,),
        }


def test_a_class_that_keras_does_not_know_is_named(tmp_path):
    class Unknown(IWAE):
        pass

    runs.save_model(Unknown(**SMALL), tmp_path / "model.keras")
    with pytest.raises(ValueError, match="with a Unknown, which Keras does not know here: decorate"):
        runs.load_model(tmp_path)


@pytest.mark.parametrize(("policy", "named"), [("mixed_float16", True), ("float32", False)])
def test_a_half_float_is_named_where_training_runs_away(policy, named):
    callback = StopWhereLossNotFinite()
    callback.set_model(IWAE(**SMALL, dtype=policy))
    with pytest.raises(ValueError, match="The likely cause is") as error:
        callback.on_epoch_end(0, {"loss": np.nan})
    assert ("the dtype policy 'mixed_float16'" in str(error.value)) == named


def test_a_layer_in_both_parts_trains_and_is_not_saved_apart(tmp_path):
    def make():
        shared = keras.layers.Dense(8, "tanh", name="shared")
        encoder = keras.Sequential([keras.layers.Dense(2), shared])
        options = {"event_shape": (6,), "latent_dim": 2, "num_samples": 4}
        return IWAE(**options, encoder=encoder, decoder=keras.Sequential([shared]))

    model, other = make(), make()
    with pytest.raises(ValueError, match=r"`decoder`\. Expected no layer of the encoder's .*Received: shared, in both"):
        model.save(tmp_path / "model.keras")
    for weight in model.trainable_variables:
        weight.assign_add(tf.ones_like(weight))
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    for one, two in zip(model.weights, other.weights, strict=True):
        np.testing.assert_array_equal(one, two, err_msg=one.path)


@pytest.mark.slow
def test_a_gap_that_is_asked_for_and_is_not_there_is_refused(tmp_path):
    config = ExperimentConfig.of(
        dataset="digits", num_samples=2, hidden=((4,),), latent_dim=(2,), posterior="full_covariance"
    )
    run = runs.create(tmp_path / "run", asdict(config))
    runs.save_model(experiments.build(config), run / "model.keras")
    with pytest.raises(ValueError, match=r"`gap_images`\. Expected none, or 0.*FullCovariancePosterior"):
        experiments.diagnose(run, limit=20, gap_images=5, verbose=False)


def test_what_bytes_mean_is_said_by_all_rows_of_a_reproduced_row(tmp_path):
    dark = np.array([[0, 1, 1, 0]] * 3, np.uint8)
    test = np.concatenate([dark, np.full((4, 4), 200, np.uint8)])
    np.savez(tmp_path / "x.npz", x_train=np.full((20, 4), 9, np.uint8), x_test=test)
    row = paper_table.Row("row", ExperimentConfig.of(dataset=str(tmp_path / "x.npz"), binarization="threshold"))
    (first,) = reproduction._test_images(row, 3)
    # Bits would be pixels of 0 and 1.
    np.testing.assert_array_equal(first, np.zeros((3, 4)))


def test_sequences_are_named_where_a_number_is_given():
    encoder = networks.dense_encoder((4,))
    calls = {
        "hidden": [
            *(lambda kind=kind: kind(encoder, 4, hidden=100) for kind in (IAFPosterior, MAFPosterior)),
            lambda: AutoregressivePosterior(encoder, 4, hidden=100),
            lambda: HierarchicalPosterior(encoder, (3, 2), 5),
            lambda: HierarchicalPosterior(encoder, (3, 2), (5,)),
            lambda: HierarchicalPrior((3, 2), 5),
        ],
        "latent_dims": [lambda: HierarchicalPosterior(encoder, 3, ()), lambda: HierarchicalPrior(3, ())],
        "column_weights": [lambda: MixedLikelihood(["gaussian"] * 2, column_weights=2.0)],
        "columns": [lambda: SelfMasking(columns=2), lambda: SelfMasking(columns=[1.0])],
        "event_shape": [lambda: networks.conv_decoder(784), lambda: networks.conv_decoder(None)],
        "filters": [lambda: networks.conv_encoder(filters=32), lambda: networks.conv_encoder(filters=())],
        "widened": [
            lambda: GaussianLikelihood().widen(2.0),
            lambda: MixedLikelihood(["gaussian", "bernoulli"]).widen(2.0),
            lambda: BernoulliLikelihood().widen(2.0),
        ],
    }
    for argument, each in calls.items():
        for call in each:
            with pytest.raises(ValueError, match=rf"^Invalid value received for `{argument}`\. Expected "):
                call()


@pytest.mark.slow
@pytest.mark.parametrize("kind", [IWAE, AVB])
def test_the_largest_seed_is_taken(kind):
    made = [kind(6, latent_dim=2, hidden=(8,), seed=2**31 - 1) for _ in range(2)]
    for one, other in zip(*(each.get_weights() for each in made), strict=True):
        np.testing.assert_array_equal(one, other)


DIGITS = ExperimentConfig.of(dataset="digits")
OF_EXPERIMENTS = {
    "train, config": ("config", lambda out: experiments.train("digits", out)),
    "build, config": ("config", lambda out: experiments.build({"a": 1})),
    "sweep, config": ("config", lambda out: sweep.sweep("digits", [1], out)),
    "from_dict": ("stored", lambda out: ExperimentConfig.from_dict([1])),
    "train, callbacks": ("callbacks", lambda out: experiments.train(DIGITS, out, callbacks=5)),
    "resume, callbacks": ("callbacks", lambda out: experiments.resume(out, callbacks=[5])),
    "diagnose, model": ("model", lambda out: experiments.diagnose(model=5)),
    "draw_samples, model": ("model", lambda out: experiments.draw_samples(model=5)),
    "evaluate, model": ("model", lambda out: experiments.evaluate(model=5)),
    "evaluate_bidirectional, model": ("model", lambda out: experiments.evaluate_bidirectional(model=5)),
    "sweep, a number": ("ks", lambda out: sweep.sweep(DIGITS, 5, out)),
    "sweep, none": ("ks", lambda out: sweep.sweep(DIGITS, [], out)),
    "reproduce_rows, a number for seeds": ("seeds", lambda out: reproduce_rows(["lecture-ae"], 3, out)),
    "reproduce_rows, no seeds": ("seeds", lambda out: reproduce_rows(["lecture-ae"], [], out)),
    "reproduce_rows, no names": ("names", lambda out: reproduce_rows([], out=out)),
    "reproduce_rows, a text": ("names", lambda out: reproduce_rows("lecture-ae", out=out)),
    "reproduce_rows, a number for a name": ("row", lambda out: reproduce_rows([3], out=out)),
    "jobs": ("jobs", lambda out: next(Jobs(None, {}, 1).run(3))),
    "compare, none": ("folders", lambda out: compare([])),
    "compare, a number": ("folder", lambda out: compare([5])),
}


@pytest.mark.parametrize("name", OF_EXPERIMENTS)
def test_an_argument_of_an_experiment_is_refused_by_its_name(name, tmp_path):
    argument, call = OF_EXPERIMENTS[name]
    with pytest.raises(ValueError, match=f"`{argument}`. Expected"):
        call(tmp_path / "out")
    assert not list(tmp_path.iterdir())
