"""One self-contained HTML page about a run."""

from keras_iwae.experiments.report.page import write_report

__all__ = ["write_report"]
