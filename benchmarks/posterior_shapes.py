#!/usr/bin/env python
"""How close does each family of posteriors come to a posterior that is curved, and to one that has two modes?

Two models with two latent units and one image, p(z) = N(0, I): in "crescent" the image says what z_2 + z_1 + z_1^2 is,
and in "two modes" what z_1^2 is. Each family climbs the ELBO; then its density on a grid gives KL(q || p(z|x)), which
is log p(x) - ELBO, by quadrature. Writes the numbers as JSON beside the picture.

    python benchmarks/posterior_shapes.py --out docs/images/posterior-shapes.png
"""

import argparse
import sys
from pathlib import Path

from _files import ending_in

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--steps", type=int, default=2000, help="gradient steps of each family [2000]")
    parser.add_argument("--families", nargs="+", metavar="NAME", help="[all over continuous latents]")
    parser.add_argument("--out", type=ending_in(".png"), default=Path("posterior-shapes.png"), help="PNG file")
    args = parser.parse_args()
    import _shapes
    import numpy as np

    from keras_iwae.foundation import storage

    families = args.families or [name for name in _shapes.POSTERIORS if name != "bernoulli"]
    gaps: dict[str, dict[str, float]] = {}
    densities = {}
    for name in _shapes.TARGETS:
        target = _shapes.Target(name)
        joint = np.exp(_shapes.true_log_joint(target))
        densities[name] = {"true": joint / (joint.sum() * _shapes.CELL)}
        gaps[name] = {}
        for family in families:
            posterior = _shapes.make(family, target)
            _shapes.fit(posterior, target, args.steps)
            gaps[name][family], densities[name][family] = _shapes.gap(posterior, target)
            print(f"{name:<12}{family:<18}{gaps[name][family]:.4f} nats", flush=True)
    draw(gaps, densities, _shapes.TICKS, args.out)
    storage.write_json(args.out.with_suffix(".json"), {"steps": args.steps, "gap_nats": gaps})


def draw(gaps: dict, densities: dict, ticks, path: Path) -> None:
    """A block of pictures for each target: the true density first, each family with its gap in nats after it."""
    from matplotlib.figure import Figure
    from PIL import Image

    panels, columns = len(next(iter(densities.values()))), 6
    lines = -(-panels // columns)
    figure = Figure(figsize=(1.5 * columns, 1.85 * lines * len(densities)), layout="constrained")
    grid = figure.subplots(lines * len(densities), columns, squeeze=False)
    for axes in grid.ravel():
        axes.set_axis_off()
    for block, (target, of_target) in enumerate(densities.items()):
        for index, (name, density) in enumerate(of_target.items()):
            axes = grid[block * lines + index // columns, index % columns]
            axes.imshow(
                density.reshape(len(ticks), -1).T, origin="lower", extent=2 * (ticks[0], ticks[-1]), cmap="Blues"
            )
            label = f"true, {target}" if name == "true" else f"{name.replace('_', ' ')}\n{gaps[target][name]:.3f}"
            axes.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[], yticks=[])
            axes.set_title(label, fontsize=8)
            axes.set_axis_on()
    figure.savefig(path, dpi=110)
    # One hue: a palette takes a third of the bytes.
    Image.open(path).convert("RGB").quantize(64).save(path, optimize=True)


if __name__ == "__main__":
    main()
