#!/usr/bin/env python
"""docs/results.md from results files and a page of prose; no number of its tables is typed in.

Every JSON file in docs/results/ that has the name of a row, or of one with another training seed, is what
`scripts/reproduce.py` wrote for it; train and bounds, checks, trials and posteriors there are from results_table.py,
checks_table.py, recipe_trials.py and posterior_table.py with --json, docs/benchmarks/step_cost.json from step_cost.py.
docs/results/text.md is the prose: a word such as $mnist in it stands for a table. Figures go to docs/images/.

examples:
  cp saved_models/reproduce/results/*.json docs/results/
  python benchmarks/results_page.py
"""

import argparse
import json
import re
import statistics
import sys
from pathlib import Path

from _aims import aims, not_run
from _files import ending_in
from _page import markdown, of_records, write_page

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
DATASETS = "mnist", "binarized_mnist", "omniglot_28x28", "digits", "kmnist", "emnist_letters", "ocr_letters"


def units(counts) -> str:
    return "+".join(map(str, counts)) if counts else ""


def with_error(record: dict) -> str:
    return f"{record['nll']:.2f} ± {record['standard_error']:.2f}"


def change(pruned: dict | None) -> str:
    """What is lost with the inactive units; of a learned prior none can be left out."""
    return "-" if pruned is None else f"{pruned['nll_change']:+.3f} ± {pruned['standard_error']:.3f}"


def adapted(record: dict) -> str:
    """The NLL by fitted proposals, with a star if they were fitted otherwise than today, and what neither settles."""
    from keras_iwae.evaluation.proposals import Proposal

    if "nll_adapted" not in record:
        return ""
    found = record["nll_adapted"]
    today = Proposal(kind="adapted").evaluations(found["num_samples"], found["latent_dim"])
    star = "" if found["decoder_evaluations"] == today else "\\*"
    before, now = (f"{record[name]['pareto_k']['share_above_0.7']:.0%}" for name in ("nll_test", "nll_adapted"))
    return f"; adapted {found['nll']:.2f}{star}, k-hat above 0.7: {before}, then {now}"


def recipe(record: dict) -> str:
    """Passes done, and of how many; a run that stopped early can never read like a whole one."""
    done, planned = record["passes"], record["passes_planned"]
    stage = f", stage {record['stage']} of 8" if record["stage"] else ""
    text = f"{done} of {planned}{stage}" if done < planned else f"{done}{stage}"
    return text + ("" if record["limit"] is None else f"; first {record['limit']} test images")


def dataset_of(record: dict) -> str:
    return record["config"]["data"]["dataset"]


def row(record: dict, published) -> list:
    said = f"{published.nll:.2f} ({units(published.active_units)})".replace(" ()", "") if published else ""
    return [
        f"`{record['row']}`",
        said,
        f"**{with_error(record['nll_test'])}**" + adapted(record),
        units(record["active_units"]),
        recipe(record),
        f"{record['nll_train']['nll']:.2f} ({record['nll_train']['num_examples']})",
        change(record.get("pruned")),
        f"{record['seconds_training'] / 60:.0f} min",
        _seed(record),
        record["date"],
    ]


HEADS = ["row", "published NLL (active)", "NLL, K = 5000", "active units", "passes", "training NLL (images)"]
HEADS += ["NLL change without inactive units", "training", "seed", "date"]


def transfer(record: dict, published) -> list:
    before, said = record["from"], f"{published.nll:.2f} ({units(published.active_units)})" if published else ""
    return [
        f"`{record['row']}`",
        f"{with_error(before['nll_test'])} ({units(before['active_units'])}) after {recipe(before)}",
        f"**{with_error(record['nll_test'])}** ({units(record['active_units'])}) after {recipe(record)} more",
        said,
        f"{record['seconds_training'] / 60:.0f} min",
        record["date"],
    ]


TRANSFER_HEADS = ["row", "NLL (active units) before", "NLL (active units) after", "published after", "training", "date"]


def lecture(record: dict) -> list:
    climbed, nll = record["config"]["objective"], record.get("nll_test")
    return [
        f"`{record['row']}`",
        f"{climbed['objective']}, K = {climbed['num_samples']}",
        with_error(nll) if nll else f"none; reconstruction {record['reconstruction']:.2f}",
        units(record.get("active_units", [])),
        recipe(record),
        f"{record['seconds_training'] / 60:.1f} min",
    ]


LECTURE_HEADS = ["row", "objective", "NLL, K = 5000", "active units", "passes", "training"]


def seeds(records: list[dict], others: list[dict]) -> str:
    """Rows that were trained with several seeds: each one's numbers, in the order of seeds, and their spread."""
    lines = []
    for first in records:
        own = [each for each in others if each["row"].startswith(f"{first['row']}-seed")]
        alike = [first, *sorted((each for each in own if _judged(each) == _judged(first)), key=_seed)]
        if len(alike) > 1:
            both = [[each[name]["nll"] for each in alike if name in each] for name in ("nll_test", "nll_adapted")]
            minutes = ", ".join(f"{each['seconds_training'] / 60:.0f}" for each in alike)
            lines.append(
                [
                    f"`{first['row']}`",
                    ", ".join(str(_seed(each)) for each in alike),
                    *(spread(nlls) for nlls in both),
                    ", ".join(units(each["active_units"]) for each in alike),
                    recipe(first),
                    f"{minutes} min",
                ]
            )
    return markdown(SEED_HEADS, lines) if lines else "*Not run yet.*"


SEED_HEADS = ["row", "training seeds", "NLL, K = 5000", "adapted", "active units", "passes", "training"]


def spread(nlls: list[float]) -> str:
    """Each number, and the mean with the standard deviation over seeds."""
    text = ", ".join(f"{nll:.2f}" for nll in nlls)
    return text if len(nlls) < 2 else f"{text}: {statistics.fmean(nlls):.2f}, sd {statistics.stdev(nlls):.2f}"


def _judged(record: dict) -> list:
    return [record[name] for name in ("complete", "passes", "num_samples", "limit")]


def _seed(record: dict) -> int:
    return record["config"]["run"]["seed"]


# What step_cost.py calls a row of results_table.py: its objective and its estimator.
SIDES = {
    ("iwae", "reparameterized"): "IWAE-50",
    ("iwae", "dreg"): "IWAE-50, DReG",
    ("iwae", "reparameterized, m = 8"): "IWAE-50, resampled m = 8",
    ("miwae, num_groups 8", "reparameterized"): "MIWAE(8, 8)",
    ("piwae, num_groups 8", "reparameterized"): "PIWAE(8, 8)",
    ("ciwae, beta 0.5", "reparameterized"): "CIWAE-50",
}


def side_of(each: dict) -> str:
    """What step_cost.py calls a row of results_table.py, or of posterior_table.py."""
    if "posterior" in each:
        return f"{each['posterior']}, {each['bound']}"
    return SIDES[each["objective"], each["estimator"]]


def with_cost(rows: list[dict], costs: list[dict], first: str) -> list[dict]:
    """The rows with the time of a step that step_cost.py measured, and its ratio to that of `first`.

    They take the place of the wall-clock time of training, which tells what else the machine did.
    """
    by_side = {cost["side"]: cost for cost in costs}
    sides = [by_side[side_of(each)] for each in rows]
    return [
        {name: cell for name, cell in each.items() if name != "training"}
        | {
            "ms a step": f"{1e3 * side['step']['median']:.1f}",
            f"to {first}'s, same round": f"{side['times_the_first']['median']:.2f}",
        }
        for each, side in zip(rows, sides, strict=True)
    ]


def read(path: Path) -> list[dict]:
    return json.loads(path.read_text()) if path.exists() else []


def stored(rows: list[dict]) -> str:
    return of_records(rows) if rows else "*Not recorded yet.*"


def draw_curves(records: list[dict], path: Path) -> None:
    """NLL of the validation images against passes, a panel for each data set."""
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = [name for name in DATASETS if any(dataset_of(r) == name and r["curve"] for r in records)]
    figure = Figure(figsize=(5.2 * len(names), 4), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        drawn = [record for record in records if dataset_of(record) == name and record["curve"] and not record["from"]]
        for place, record in enumerate(drawn):
            x, y = zip(*((point["passes"], point["nll"]) for point in record["curve"]), strict=True)
            # There are ten colours.
            line = {"linestyle": "-" if place < 10 else "--", "marker": "o", "markersize": 3}
            axes.plot(x, y, label=record["row"].removeprefix(f"{name}-"), **line)
        axes.set(title=name, xlabel="passes over the training images", xscale="log", yscale="log")
        axes.set_ylabel("validation NLL, K = 1000 (nats)")
        # Of a logarithmic axis Matplotlib labels the powers of ten, and there is none in some panels.
        low, high = axes.get_ylim()
        ticks = [tick for tick in MaxNLocator(9, steps=[1, 2, 5, 10]).tick_values(low, high) if low <= tick <= high]
        axes.set_yticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    figure.savefig(path, dpi=110)


def draw_units(records: list[dict], path: Path) -> None:
    """Histogram of the variance of each unit's posterior mean over the test images, a panel for each row and layer."""
    import numpy as np
    from matplotlib.figure import Figure

    panels = [(r["row"], i, v) for r in records if not r["from"] for i, v in enumerate(r["mean_variances"], 1)]
    columns = min(3, max(1, len(panels)))
    figure = Figure(figsize=(4 * columns, 2.4 * -(-len(panels) // columns)), layout="constrained")
    edges = np.linspace(-7, 1.5, 35)
    grid = figure.subplots(-(-len(panels) // columns), columns, squeeze=False, sharex=True).ravel()
    for axes in grid[len(panels) :]:
        axes.set_visible(False)
    for axes, (name, layer, variances) in zip(grid, panels, strict=False):
        axes.hist(np.clip(np.log10(np.maximum(variances, 1e-30)), -7, 1.5), edges)
        axes.axvline(-2, color="black", linestyle="--", linewidth=1)
        axes.set_title(f"{name}, z_{layer}: {sum(v > 0.01 for v in variances)} of {len(variances)}", fontsize=8)
        axes.set_xlabel("log10 variance of the posterior mean", fontsize=8)
    figure.savefig(path, dpi=90)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--results", type=Path, default=ROOT / "docs" / "results", help="[docs/results]")
    parser.add_argument("--out", type=ending_in(".md"), default=ROOT / "docs" / "results.md", help="[docs/results.md]")
    args = parser.parse_args()
    from keras_iwae.experiments.paper_table import ROWS

    order, files = list(ROWS), sorted(args.results.glob("*.json"))
    # With another training seed a row has its name and -seedN.
    found = [json.loads(path.read_text()) for path in files if re.sub(r"-seed\d+$", "", path.stem) in ROWS]
    others = [record for record in found if record["row"] not in ROWS]
    records = sorted((each for each in found if each["row"] in ROWS), key=lambda record: order.index(record["row"]))
    judged = [record for record in records if "active_units" in record and not record["row"].startswith("lecture")]
    published = {record["row"]: ROWS[record["row"]].published for record in records}
    tables = {
        name: markdown(
            HEADS,
            [row(r, published[r["row"]]) for r in judged if dataset_of(r) == name and not r["from"]],
        )
        for name in DATASETS
    }
    tables["transfer"] = markdown(TRANSFER_HEADS, [transfer(r, published[r["row"]]) for r in judged if r["from"]])
    tables["lecture"] = markdown(LECTURE_HEADS, [lecture(r) for r in records if r["row"].startswith("lecture")])
    tables |= {name: stored(read(args.results / f"{name}.json")) for name in ("trials", "checks", "train", "ablations")}
    costs = json.loads((ROOT / "docs" / "benchmarks" / "step_cost.json").read_text())["rows"]
    for name, first in (("bounds", "IWAE-50"), ("posteriors", "the first row")):
        tables[name] = stored(with_cost(read(args.results / f"{name}.json"), costs, first))
    tables["aims"], tables["waiting"] = aims(records), not_run(records, order)
    tables["seeds"] = seeds(records, others)
    tables["commands"] = "\n".join(dict.fromkeys(record["command"] for record in (*records, *others)))
    images = args.out.parent / "images"
    if judged:
        draw_curves(judged, images / "nll-curves.png")
        draw_units(judged, images / "active-units.png")
    write_page(args.results / "text.md", tables, args.out)


if __name__ == "__main__":
    main()
