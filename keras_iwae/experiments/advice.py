"""The commands that judge a run, as they are printed and shown beside it: those that its posterior is taken by."""

import os
from collections.abc import Mapping

from keras_iwae.foundation import command_line


def evaluation_command(run: str | os.PathLike, settings: Mapping) -> str:
    """What evaluates the run of a folder, whose `settings_of` these are, or an empty one."""
    how = ("--k", "5000") if has_log_weights(settings) else ("--method", "ais")
    return command_line("evaluate_nll", *how, "--model", str(run))


def diagnosis_command(run: str | os.PathLike, settings: Mapping) -> str | None:
    """What diagnoses it; `None` for an autoencoder and a posterior without an exact density, which have nothing to."""
    if settings.get("posterior") in ("adversarial", "auxiliary") or settings.get("objective") == "ae":
        return None
    return command_line("diagnose", "--model", str(run))


def has_log_weights(settings: Mapping) -> bool:
    """Whether a run's posterior has the density that importance weights take."""
    return settings.get("posterior") != "adversarial"
