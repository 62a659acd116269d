"""Arguments of a user's own classes that a saved model would lose: refused when the model is made, for every kind."""

import dataclasses

import keras
import numpy as np
import pytest

from keras_iwae import AVB, IWAE
from keras_iwae.bounds import check_contract
from keras_iwae.bounds.objectives import ELBO, MIWAE, IWAEBound, Objective, Term
from keras_iwae.foundation import check_kept
from keras_iwae.likelihoods import BernoulliLikelihood, GaussianLikelihood, MixedLikelihood, SelfMasking
from keras_iwae.networks import EventEncoder, dense_decoder, dense_encoder
from keras_iwae.posteriors import GaussianPosterior, ImplicitPosterior
from keras_iwae.priors import StandardNormalPrior

K = 8


def with_field(parent, **attributes):
    """A class with a field that its constructor keeps, and that no configuration has."""

    def __init__(self, *given, width=2, **others):
        parent.__init__(self, *given, **others)
        object.__setattr__(self, "width", width)

    return type("Own", (parent,), {"__init__": __init__, **attributes})


def kept(parent, **attributes):
    return with_field(parent, get_config=lambda self: {**parent.get_config(self), "width": self.width}, **attributes)


def of_groups(self, num_samples, parameter=None):
    return (Term(1.0, self.width),)


@pytest.mark.parametrize("parent", [Objective, IWAEBound, ELBO, MIWAE], ids=lambda kind: kind.__name__)
def test_a_field_of_an_objective_is_in_its_configuration(parent):
    kind = with_field(parent, terms=of_groups)
    with pytest.raises(ValueError, match=r"`objective`\. .* fields that a saved model has too.*group_size=2"):
        check_contract(kind(width=4), K)
    # What it takes by default is what a copy has.
    check_contract(kind(), K)
    check_contract(kept(parent, terms=of_groups)(width=4), K)
    dataclass = dataclasses.make_dataclass("Own", [("width", int, 2)], bases=(parent,), frozen=True)
    dataclass.terms = of_groups
    check_contract(dataclass(width=4), K)


def test_a_field_without_a_default_is_one_that_nobody_could_load():
    class Odd(Objective):
        def __init__(self, width):
            self.width = width

        terms = of_groups

    with pytest.raises(ValueError, match=r"`objective`\. .* TypeError: .*width"):
        IWAE(4, latent_dim=1, hidden=(3,), num_samples=K, objective=Odd(4))


def test_a_field_of_what_the_posterior_climbs_counts_too():
    kind = with_field(IWAEBound, inference_terms=of_groups)
    with pytest.raises(ValueError, match="fields that a saved model has too"):
        check_contract(kind(width=4), K)


ENCODER, DECODER = dense_encoder((3,)), dense_decoder((3,))
LAYERS = {
    GaussianPosterior: (ENCODER, 2),
    BernoulliLikelihood: (),
    StandardNormalPrior: (2,),
    SelfMasking: (),
    EventEncoder: (ENCODER,),
}


@pytest.mark.parametrize("parent", LAYERS, ids=lambda kind: kind.__name__)
def test_an_argument_of_a_layer_is_in_its_configuration(parent):
    given = LAYERS[parent]
    with pytest.raises(ValueError, match=r"^Invalid .*`part`\. .* Own, without `width`, which would be lost$"):
        check_kept("part", with_field(parent)(*given, width=4))
    check_kept("part", with_field(parent)(*given, width=2))
    check_kept("part", with_field(parent)(*given))
    check_kept("part", kept(parent)(*given, width=4))
    # It says itself how it is made.
    check_kept("part", with_field(parent, from_config=classmethod(lambda cls, config: None))(*given, width=4))


def test_a_model_names_the_part():
    make = {"latent_dim": 1, "hidden": (3,), "num_samples": 2}
    wrong = {
        "posterior": lambda: IWAE(4, hidden=(3,), posterior=with_field(GaussianPosterior)(ENCODER, 2, width=4)),
        "likelihood": lambda: IWAE(4, **make, likelihood=with_field(GaussianLikelihood)(width=4)),
        r"columns\[1\]": lambda: MixedLikelihood(["gaussian", with_field(GaussianLikelihood)(width=4)]),
        "model": lambda: with_field(IWAE)(4, **make, width=4),
        "layer": lambda: IWAE(4, latent_dim=1, num_samples=2, encoder=Forgets(4, name="layer"), decoder=DECODER),
    }
    for name, build in wrong.items():
        with pytest.raises(ValueError, match=rf"^Invalid .*`{name}`\. Expected a class whose `get_config` .*lost$"):
            build()
    posterior = with_field(ImplicitPosterior)(dense_encoder((3,)), 2, units=3, width=4)
    with pytest.raises(ValueError, match=r"`posterior`\. .*`get_config`"):
        AVB(4, hidden=(3,), posterior=posterior)


class Plain(keras.layers.Dense):
    """A network of a user's own with an argument that Keras does not remember, in the way that Keras has."""

    def __init__(self, units, power=2, **kwargs):
        super().__init__(units, **kwargs)
        self.power = power


class Forgets(keras.Layer):
    def __init__(self, units, power=2, activation="tanh", **kwargs):
        super().__init__(**kwargs)
        self.units, self.power = units, power
        self.dense = keras.layers.Dense(units, activation)

    def get_config(self):
        return {**super().get_config(), "power": self.power}

    def call(self, x):
        return self.dense(x)


class Remembers(Forgets):
    get_config = keras.Layer.get_config


def test_networks_are_kept_as_far_as_keras_and_their_attributes_say():
    with pytest.raises(ValueError, match=r"`network`.*Forgets, without `units`"):
        check_kept("network", Forgets(3))
    with pytest.raises(ValueError, match=r"`network`.*Plain, without `power`"):
        check_kept("network", Plain(3, power=3))
    for network in (Plain(3), Remembers(3, 4, "relu"), keras.layers.Dense(3), ENCODER):
        check_kept("network", network)
    copy = Remembers.from_config(Remembers(3, 4).get_config())
    np.testing.assert_array_equal([copy.units, copy.power], [3, 4])
