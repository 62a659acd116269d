"""The commands that judge a run, as they are printed and shown beside it: those that its posterior is taken by."""

import os
import shlex
from collections.abc import Mapping


def evaluation_command(run: str | os.PathLike, settings: Mapping) -> str:
    """What evaluates the run of a folder, whose `settings_of` these are, or an empty one."""
    how = "--k 5000" if has_log_weights(settings) else "--method ais"
    return f"python scripts/evaluate_nll.py {how} --model {shlex.quote(str(run))}"


def diagnosis_command(run: str | os.PathLike, settings: Mapping) -> str | None:
    """What diagnoses it; `None` for an autoencoder and a posterior without an exact density, which have nothing to."""
    if settings.get("posterior") in ("adversarial", "auxiliary") or settings.get("objective") == "ae":
        return None
    return f"python scripts/diagnose.py --model {shlex.quote(str(run))}"


def has_log_weights(settings: Mapping) -> bool:
    """Whether a run's posterior has the density that importance weights take."""
    return settings.get("posterior") != "adversarial"
