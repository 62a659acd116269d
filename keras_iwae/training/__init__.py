"""What trains beside the model: optimizer, learning rate, callbacks, and the run folder that keeps what came of it."""

from keras_iwae.training import runs
from keras_iwae.training.averaging import AveragesAfterEpochs, exchange_averages
from keras_iwae.training.callbacks import (
    Budget,
    FewerSamplesFirst,
    ImageGrids,
    NLLCurve,
    RestartUnusedPseudoInputs,
    RunCheckpoint,
    StopWhereNotFinite,
)
from keras_iwae.training.devices import over_devices
from keras_iwae.training.library import in_the_box, load
from keras_iwae.training.loop import fit_over_machines
from keras_iwae.training.machines import Machines, number_of_machines, over_machines, refuse_several_machines
from keras_iwae.training.optimizers import FusedAdam
from keras_iwae.training.schedules import STAGES, PaperSchedule, passes_of, stage_of, warm_cosine

__all__ = [
    "STAGES",
    "AveragesAfterEpochs",
    "Budget",
    "FewerSamplesFirst",
    "FusedAdam",
    "ImageGrids",
    "Machines",
    "NLLCurve",
    "PaperSchedule",
    "RestartUnusedPseudoInputs",
    "RunCheckpoint",
    "StopWhereNotFinite",
    "exchange_averages",
    "fit_over_machines",
    "in_the_box",
    "load",
    "number_of_machines",
    "over_devices",
    "over_machines",
    "passes_of",
    "refuse_several_machines",
    "runs",
    "stage_of",
    "warm_cosine",
]
