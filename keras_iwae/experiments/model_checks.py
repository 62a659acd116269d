"""Whether a run's inference is calibrated, and data that its model makes are like the test images."""

from collections.abc import Callable, Mapping

import numpy as np

from keras_iwae.evaluation import predictive_check, seen_examples, simulation_based_calibration
from keras_iwae.foundation import number_text
from keras_iwae.models import IWAE

# Each latent unit's ranks in twenty bins of twenty.
SIMULATIONS, _DRAWS = 400, 19
REPLICATES, _IMAGES = 200, 500
# Shifts and excesses that are counted, in standard errors, of units that are off.
_CLEAR = 3.0


def calibration_record(model: IWAE, seed: int, progress: Callable[[int], object]) -> dict:
    """Simulation-based calibration of the posterior that training stood for: of K samples, q resampled."""
    found = simulation_based_calibration(model, SIMULATIONS, model.num_samples, _DRAWS, seed, progress)
    units, off = slice(-1), found.off
    return {
        "num_simulations": SIMULATIONS,
        "num_samples": model.num_samples,
        "num_draws": _DRAWS,
        "units": model.latent_dim,
        "units_off": int(off[units].sum()),
        "units_too_narrow": int((off & (found.excesses > _CLEAR))[units].sum()),
        "units_too_wide": int((off & (found.excesses < -_CLEAR))[units].sum()),
        "units_moved": int((off & (np.abs(found.shifts) > _CLEAR))[units].sum()),
        "joint_density_off": bool(off[-1]),
        "p_values": found.p_values.tolist(),
        "shifts": found.shifts.tolist(),
        "excesses": found.excesses.tolist(),
    }


def predictive_record(model: IWAE, images: np.ndarray, seed: int, progress: Callable[[int], object]) -> dict | None:
    """Statistics of the first images beside those of data sets that the model makes; or none."""
    images = images[:_IMAGES]
    # Nothing but gaps, or gaps that are part of what the model makes.
    if seen_examples(images) < 2 or model.generative.missingness is not None:
        return None
    found = predictive_check(model, images, REPLICATES, seed, progress)
    return {
        "num_images": len(images),
        "num_replicates": REPLICATES,
        "statistics": {
            name: {"data": value, "replicates": found.expected[name], "p_value": found.p_values[name]}
            for name, value in found.observed.items()
        },
    }


def rows(calibration: Mapping, predictive: Mapping | None) -> list[tuple[str, str]]:
    """The numbers of both, each under its name."""
    said = [
        f"{calibration[f'units_{name}']} {words}"
        for name, words in (("too_narrow", "too narrow"), ("too_wide", "too wide"), ("moved", "to one side"))
        if calibration[f"units_{name}"]
    ]
    joint = "off" if calibration["joint_density_off"] else "as it should be"
    found = [
        (
            "calibration",
            f"q resampled with K = {calibration['num_samples']}: {calibration['units_off']} of {calibration['units']} "
            f"units off{' (' + ', '.join(said) + ')' if said else ''}, log p(x, z) {joint}",
        )
    ]
    if predictive is None:
        return found
    beside = f"{predictive['num_images']} images beside {predictive['num_replicates']} data sets that the model makes"
    found.append(("predictive check", beside))
    for name, each in predictive["statistics"].items():
        data, replicates = (number_text(each[part], ".4g") for part in ("data", "replicates"))
        found.append((f"  {name}", f"{data} in the images, {replicates} in the model's, p = {each['p_value']:.3f}"))
    return found
