"""Plain PyTorch: the training loop that one writes by hand, eager and compiled, and a batched NLL in both ways.

Adam is PyTorch's fused one, the fastest that it has on a CPU. Run as a worker it takes the GPU that it sees, for steps
with TensorFloat-32 products.
"""

import itertools
import math

import numpy as np
import torch
from _network import load_weights
from _rates import warm_cosine
from _serve import serve
from torch import nn


class Network(nn.Module):
    def __init__(self, weights: list[np.ndarray]):
        super().__init__()

        def layer(index: int) -> nn.Linear:
            kernel, bias = weights[2 * index : 2 * index + 2]
            linear = nn.Linear(*kernel.shape)
            with torch.no_grad():
                linear.weight.copy_(torch.from_numpy(kernel.T))
                linear.bias.copy_(torch.from_numpy(bias))
            return linear

        self.trunk = nn.Sequential(layer(0), nn.Tanh(), layer(1), nn.Tanh())
        self.loc, self.log_scale = layer(2), layer(3)
        self.decoder = nn.Sequential(layer(4), nn.Tanh(), layer(5), nn.Tanh(), layer(6))

    def linears(self) -> list[nn.Linear]:
        return [*self.trunk[::2], self.loc, self.log_scale, *self.decoder[::2]]

    def arrays(self) -> list[np.ndarray]:
        """The weights in the order of `_network`."""
        pairs = ((linear.weight.T, linear.bias) for linear in self.linears())
        return [tensor.detach().cpu().numpy() for pair in pairs for tensor in pair]

    def encode(self, x):
        features = self.trunk(x)
        return self.loc(features), self.log_scale(features)

    def log_weights(self, x, loc, log_scale, num_samples: int):
        noise = torch.randn(num_samples, *loc.shape, device=loc.device)
        z = loc + log_scale.exp() * noise
        logits = self.decoder(z.reshape(-1, loc.shape[-1])).reshape(num_samples, *x.shape)
        target = x.expand_as(logits)
        log_likelihood = -nn.functional.binary_cross_entropy_with_logits(logits, target, reduction="none").sum(-1)
        return log_likelihood + (-0.5 * z**2 + 0.5 * noise**2 + log_scale).sum(-1)

    def loss(self, x, num_samples: int):
        terms = self.log_weights(x, *self.encode(x), num_samples)
        return -(terms.logsumexp(0) - math.log(num_samples)).mean()


class Loop:
    """A bare loop over images in memory: shuffled, binarized, one step of Adam a batch, no metrics.

    `loss`, `optimizer` and `arrays` are for another library's model in the same loop.
    """

    def __init__(self, settings: dict):
        torch.manual_seed(settings.get("seed", 0))
        # On a GPU, as the other frameworks by default.
        torch.set_float32_matmul_precision("high")
        self.samples, self.batch_size = settings["num_samples"], settings["batch_size"]
        self.grey = torch.as_tensor(np.load(settings["images"]).astype(np.float32) / 255.0)
        self.device = self.grey.device.type
        self.build(load_weights(settings["weights"]))

    def build(self, weights: list[np.ndarray]) -> None:
        self.network = Network(weights)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-3, fused=True)

    def loss(self, x):
        return self.network.loss(x, self.samples)

    def weights(self) -> list[np.ndarray]:
        return self.network.arrays()

    def step(self, x) -> None:
        loss = self.loss(x)
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()

    def ready(self, count: int):
        def run():
            for rows in itertools.islice(torch.randperm(len(self.grey)).split(self.batch_size), count):
                self.step(torch.bernoulli(self.grey[rows]))
            if self.grey.is_cuda:
                # Until it is done.
                torch.cuda.synchronize()

        return run


class Compiled(Loop):
    def build(self, weights: list[np.ndarray]) -> None:
        super().build(weights)
        samples = self.samples
        self.compiled = torch.compile(lambda x: self.network.loss(x, samples), dynamic=False)

    def loss(self, x):
        return self.compiled(x)


class AtRates(Compiled):
    """The same at the rates of the fast recipe over so many passes."""

    def __init__(self, settings: dict):
        super().__init__(settings)
        (group,) = self.optimizer.param_groups
        total, share = settings["passes"] * (len(self.grey) // self.batch_size), settings["peak"] / group["lr"]
        self.rates = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda step: warm_cosine(step, total, share))

    def step(self, x) -> None:
        super().step(x)
        self.rates.step()


class NLL:
    """All K samples of a batch of images in chunks; the encoder runs once, only running sums are kept."""

    chunk, batch_size = 25, 200

    def __init__(self, settings: dict):
        torch.manual_seed(0)
        # On a GPU too: what is reported is no difference of rounding.
        torch.set_float32_matmul_precision("highest")
        self.samples = settings["num_samples"]
        self.images = torch.as_tensor((np.load(settings["images"]) > 127).astype(np.float32))
        self.network = Network(load_weights(settings["weights"]))

    @torch.no_grad()
    def nll(self, images) -> float:
        total = 0.0
        for x in images.split(self.batch_size):
            loc, log_scale = self.network.encode(x)
            running = torch.full([len(x)], -math.inf, device=x.device)
            for begin in range(0, self.samples, self.chunk):
                running = self.added(running, x, loc, log_scale, min(self.chunk, self.samples - begin))
            total -= float((running - math.log(self.samples)).sum())
        return total / len(images)

    def added(self, running, x, loc, log_scale, samples: int):
        """The log of the sum of the weights so far, and of those of so many samples more."""
        return torch.logaddexp(running, self.network.log_weights(x, loc, log_scale, samples).logsumexp(0))

    def ready(self, count: int):
        return lambda: self.nll(self.images[:count])

    def weights(self) -> list[np.ndarray]:
        return self.network.arrays()


class CompiledNLL(NLL):
    """The same, each chunk in one compiled function."""

    def __init__(self, settings: dict):
        super().__init__(settings)
        # An attribute, which hides the method.
        self.added = torch.compile(super().added, dynamic=False)


if __name__ == "__main__":
    if torch.cuda.is_available():
        torch.set_default_device("cuda")
    serve({"eager": Loop, "compiled": Compiled, "at_rates": AtRates, "nll": NLL, "compiled_nll": CompiledNLL})
