"""Pyro: RenyiELBO with alpha = 0, which is the IWAE bound, and Trace_ELBO for K = 1; all particles in one pass."""

import numpy as np
import pyro
import pyro.distributions as dist
from _serve import serve
from pyro.infer import SVI, RenyiELBO, Trace_ELBO
from with_pytorch import Loop, Network


class Train(Loop):
    def build(self, weights: list[np.ndarray]) -> None:
        # Checks of arguments off: the fastest that it goes.
        pyro.enable_validation(False)
        pyro.clear_param_store()
        self.network = network = Network(weights)

        def model(x):
            pyro.module("decoder", network.decoder)
            with pyro.plate("images", len(x)):
                z = pyro.sample("z", dist.Normal(x.new_zeros(len(x), network.loc.out_features), 1.0).to_event(1))
                pyro.sample("x", dist.Bernoulli(logits=network.decoder(z)).to_event(1), obs=x)

        def guide(x):
            for name in ("trunk", "loc", "log_scale"):
                pyro.module(name, getattr(network, name))
            with pyro.plate("images", len(x)):
                loc, log_scale = network.encode(x)
                pyro.sample("z", dist.Normal(loc, log_scale.exp()).to_event(1))

        objective = (
            Trace_ELBO(max_plate_nesting=1)
            if self.samples == 1
            else RenyiELBO(0, self.samples, max_plate_nesting=1, vectorize_particles=True)
        )
        self.svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), objective)

    def step(self, x) -> None:
        self.svi.step(x)


if __name__ == "__main__":
    serve({"train": Train})
