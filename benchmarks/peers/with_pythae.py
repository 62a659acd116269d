"""pythae's IWAE, or its VAE for K = 1: its model and its loss, on the common network, in the plain PyTorch loop."""

import numpy as np
import torch
from _network import load_weights
from _serve import serve
from pythae.data.datasets import DatasetOutput
from pythae.models import IWAE, VAE, IWAEConfig, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from with_pytorch import Loop, Network


class Encoder(BaseEncoder):
    def __init__(self, network: Network):
        super().__init__()
        self.network = network

    def forward(self, x):
        loc, log_scale = self.network.encode(x)
        return ModelOutput(embedding=loc, log_covariance=2.0 * log_scale)


class Decoder(BaseDecoder):
    def __init__(self, network: Network):
        super().__init__()
        self.decoder = network.decoder

    def forward(self, z):
        # Its cross-entropy takes probabilities.
        return ModelOutput(reconstruction=torch.sigmoid(self.decoder(z)))


def model_of(network: Network, samples: int):
    sizes = {"input_dim": (784,), "latent_dim": network.loc.out_features, "reconstruction_loss": "bce"}
    if samples == 1:
        return VAE(VAEConfig(**sizes), Encoder(network), Decoder(network))
    return IWAE(IWAEConfig(**sizes, number_samples=samples), Encoder(network), Decoder(network))


class Train(Loop):
    def build(self, weights: list[np.ndarray]) -> None:
        self.network = Network(weights)
        self.model = model_of(self.network, self.samples)
        self.optimizer = torch.optim.Adam(self.network.parameters(), 1e-3, fused=True)

    def loss(self, x):
        return self.model(DatasetOutput(data=x)).loss


class NLL:
    """`get_nll`, image by image, in its batches of 100 samples, without a tape."""

    def __init__(self, settings: dict):
        torch.manual_seed(0)
        self.samples = settings["num_samples"]
        self.images = torch.from_numpy((np.load(settings["images"]) > 127).astype(np.float32))
        self.network = Network(load_weights(settings["weights"]))
        # Its IWAE inherits it from its VAE.
        self.model = model_of(self.network, 2)

    @torch.no_grad()
    def nll(self, images) -> float:
        return -float(self.model.get_nll(images, self.samples, min(100, self.samples)))

    def ready(self, count: int):
        return lambda: self.nll(self.images[:count])

    def weights(self) -> list[np.ndarray]:
        return self.network.arrays()


if __name__ == "__main__":
    serve({"train": Train, "nll": NLL})
