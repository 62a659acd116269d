"""What every benchmark does around its measuring: arguments, JSON, a figure, a table, one line on an error."""

import argparse
import datetime
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from _files import ending_in

ROOT = Path(__file__).resolve().parent.parent
# A clone works without being installed.
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
PACKAGES = (
    *("tensorflow", "keras", "tensorflow-probability", "numpy", "torch", "pythae", "pyro-ppl", "jax", "optax"),
    *("onnxruntime", "ai-edge-litert", "openvino", "scikit-learn", "hyperimpute"),
)


def parser(description: str, rounds: int | None = 7) -> argparse.ArgumentParser:
    """A parser with the arguments that every benchmark has; `rounds` of one that has none is `None`."""
    made = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    if rounds is not None:
        turns = f"rounds, in each of which every side takes its turn [{rounds}]"
        made.add_argument("--rounds", type=positive, default=rounds, help=turns)
    made.add_argument("--quick", action="store_true", help="the smallest sizes, to see that it works; no measurement")
    made.add_argument(
        "--out",
        type=ending_in(".json"),
        metavar="FILE",
        help="the JSON file; the figure lies beside it [docs/benchmarks/NAME.json, docs/images/bench-NAME.png]",
    )
    return made


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text}")
    return value


def settle(args: argparse.Namespace, whole: dict, smallest: dict) -> None:
    """Give options that were not given those of a whole run, or of a quick one; what is said of that is done too."""
    for option, value in (smallest if args.quick else whole).items():
        if getattr(args, option) is None:
            setattr(args, option, value)


def kept(args: argparse.Namespace, name: str) -> list[dict]:
    """Settle where the results of `name` go, docs/results/ but for a quick run, and give the rows that are there.

    Rows of a quick run are not taken for those of another, nor written over others.

    Raises:
        ValueError: if what is there is of something else, or of a full run, and a quick one would write over it.
    """
    if args.out is None:
        folder = Path(tempfile.gettempdir()) / "keras_iwae-benchmarks" if args.quick else ROOT / "docs" / "results"
        args.out = folder / f"{name}.json"
    if not args.out.exists():
        return []
    try:
        found = json.loads(args.out.read_text())
    except ValueError:
        found = None
    head = found if isinstance(found, dict) else {}
    settings, rows = head.get("settings"), head.get("rows")
    whole = isinstance(settings, dict) and "quick" in settings and isinstance(rows, list)
    # Whatever was measured, it was one side's.
    if head.get("benchmark") != name or not whole or not all(isinstance(row, dict) and "side" in row for row in rows):
        raise ValueError(f"--out: expected a file of {name}.py, or none; received {args.out}, which is something else")
    was_quick = settings["quick"]
    if args.quick and not was_quick:
        raise ValueError(f"--out: expected another file beside --quick than {args.out}, which holds results")
    return [] if was_quick else rows


def settle_rows(args: argparse.Namespace, name: str) -> None:
    """Settle where the rows of the table `name` and their run folders go, those of a quick run into a temporary folder.

    Raises:
        ValueError: if a quick run would write among the rows that are published.
    """
    published = ROOT / "docs" / "results" / f"{name}.json"
    if args.quick and args.json is not None and args.json.resolve() == published:
        raise ValueError(f"--json: expected another file beside --quick than {args.json}, which holds results")
    if args.quick and None in (args.json, args.out):
        folder = Path(tempfile.mkdtemp(prefix="keras_iwae-"))
        args.json, args.out = args.json or folder / f"{name}.json", args.out or folder / name
    args.json, args.out = args.json or published, args.out or Path("saved_models") / name


def check_images(record: dict, option: str) -> None:
    """Refuse a row of more test images than there are: it would say so many, and be made again each time.

    Raises:
        ValueError: which names `option`.
    """
    if record["num_examples"] < record["limit"]:
        raise ValueError(f"{option}: expected at most {record['num_examples']} test images; received {record['limit']}")


class Report:
    """Where a benchmark's results go.

    Args:
        name: the benchmark's name, that of its files.
        args: the parsed arguments.
    """

    def __init__(self, name: str, args: argparse.Namespace):
        self.name, self.args = name, args
        self.load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
        if args.out is not None:
            self.json, self.figure = args.out, args.out.with_suffix(".png")
        elif args.quick:
            folder = Path(tempfile.gettempdir()) / "keras_iwae-benchmarks"
            self.json, self.figure = folder / f"{name}.json", folder / f"bench-{name}.png"
        else:
            self.json = ROOT / "docs" / "benchmarks" / f"{name}.json"
            self.figure = ROOT / "docs" / "images" / f"bench-{name}.png"

    def keep(self, results: dict) -> None:
        """Write the JSON: of a long run also what there is so far, so that one which is cut off leaves it."""
        settings = {name: value for name, value in vars(self.args).items() if name != "out"}
        head = {
            "benchmark": self.name,
            "command": " ".join(["python", f"benchmarks/{Path(sys.argv[0]).name}", *_without_out(sys.argv[1:])]),
            "date": datetime.date.today().isoformat(),
            "settings": settings,
            "machine": machine() | {"load_before": self.load},
            "versions": versions(),
        }
        _storage().write_json(self.json, head | results)

    def write(self, results: dict, draw: Callable | None = None, size: tuple[float, float] = (8, 5)) -> None:
        """Write the JSON, and the figure that `draw` puts on an empty one."""
        self.keep(results)
        print(self.json)
        if draw is not None:
            from matplotlib.figure import Figure

            figure = Figure(figsize=size, layout="constrained")
            draw(figure)
            with _storage().replacing(self.figure) as temporary:
                figure.savefig(temporary, dpi=100)
            print(self.figure)


def frameworks() -> None:
    """Import TensorFlow and keras_iwae into this process, without their log lines; most scripts leave it to workers."""
    from _entry import quiet_stderr

    with quiet_stderr():
        import tensorflow as tf

        tf.get_logger().setLevel("ERROR")
        tf.config.list_physical_devices("GPU")
        import keras_iwae  # noqa: F401


def _storage():
    """keras_iwae.foundation.storage without its package, which would import TensorFlow for the sake of a JSON file."""
    spec = importlib.util.spec_from_file_location("storage", ROOT / "keras_iwae" / "foundation" / "storage.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _without_out(arguments: Sequence[str]) -> list[str]:
    """The command line without the place of its results, which is of one machine only."""
    kept, skip = [], False
    for argument in arguments:
        if not skip and argument != "--out" and not argument.startswith("--out="):
            kept.append(argument)
        skip = argument == "--out"
    return kept


def machine() -> dict:
    """Cores, processor and operating system."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    name = platform.processor() or platform.machine()
    try:
        with open("/proc/cpuinfo") as lines:
            name = next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        pass
    return {"cores": usable, "processor": name, "system": f"{platform.system()} {platform.machine()}"}


def versions() -> dict[str, str]:
    """Versions of Python and of the frameworks that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def table(heads: Sequence[str], rows: Sequence[Sequence]) -> None:
    """Print a Markdown table with aligned columns."""
    cells = [list(map(str, row)) for row in [heads, *rows]]
    widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
    cells.insert(1, ["-" * width for width in widths])
    for row in cells:
        print("| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |")


def bars(axes, names: Sequence[str], found: Sequence[dict], colors: Sequence[str], scale: float = 1.0) -> None:
    """Horizontal bars, the first on top: medians, with the range over rounds."""
    for place, (one, color) in enumerate(zip(found[::-1], colors[::-1], strict=True)):
        low, median, high = (scale * one[key] for key in ("low", "median", "high"))
        axes.barh(place, median, xerr=[[median - low], [high - median]], color=color, ecolor="0.3")
    axes.set_yticks(range(len(names)), names[::-1], fontsize=8)
    axes.grid(alpha=0.3, axis="x")


def run(main: Callable[[argparse.Namespace], None], arguments: argparse.ArgumentParser) -> None:
    """Parse, run, and exit with status 2 and one line on what a user can mend, 130 on Ctrl-C."""
    args = arguments.parse_args()
    try:
        main(args)
    except (ValueError, OSError) as error:
        if sys.flags.dev_mode:
            raise
        print(f"{Path(sys.argv[0]).name}: error: {' '.join(str(error).split())}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        print(f"\n{Path(sys.argv[0]).name}: stopped", file=sys.stderr)
        sys.exit(130)
