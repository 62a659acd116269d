#!/usr/bin/env python
"""Export a trained model, as a SavedModel that TF Serving can serve or for another runtime; docs/serving.md has the
endpoints and examples.

examples:
  python scripts/export.py
  python scripts/export.py --format onnx --endpoints decode
  python scripts/export.py --model saved_models/mnist-50 --out saved_models/mnist-50/serving
"""

import argparse
import shlex
from pathlib import Path

from _entry import command, parsed, quiet_stderr, said

FORMATS = ("savedmodel", "onnx", "tflite", "openvino")
ENDPOINTS = ("decode", "encode", "reconstruct", "sample", "log_likelihood")
# Options that a SavedModel alone has, and that it has not.
OF_SAVED_MODEL, OF_OTHERS = ("version", "max_rows", "max_samples", "proposal"), ("endpoints",)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=said(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument(
        "--model", help="run folder, .keras file, model in the box or hf://USER/MODEL [the newest in saved_models/]"
    )
    parser.add_argument("--format", choices=FORMATS, default="savedmodel", help="what is written [savedmodel]")
    parser.add_argument("--out", help="folder of the versions, or of the files [serving/ or FORMAT/ in the run folder]")
    saved = parser.add_argument_group("savedmodel")
    saved.add_argument("--version", type=int, help="version to write [one more than the newest there]")
    saved.add_argument("--max-rows", type=int, help="most rows of a request or an answer [10000]")
    saved.add_argument("--max-samples", type=int, help="most importance samples of a request, all rows [1000000]")
    saved.add_argument("--proposal", help="what log_likelihood draws from: amortized, refined or adapted [amortized]")
    other = parser.add_argument_group("the other formats")
    other.add_argument(
        "--endpoints",
        nargs="+",
        metavar="NAME",
        help=f"some of {', '.join(ENDPOINTS)} [all that the model has]",
    )
    args = parsed(parser)
    for option in OF_OTHERS if args.format == "savedmodel" else OF_SAVED_MODEL:
        if getattr(args, option) is not None:
            parser.error(f"--format {args.format} takes no --{option.replace('_', '-')}")
    return args


def main(args: argparse.Namespace) -> None:
    from keras_iwae import serving
    from keras_iwae.training import library, runs

    run = library.run_of(args.model)
    if args.out is None and str(run).startswith("hf://"):
        raise ValueError("--out: expected a folder to export to, as the model lies in none. Received: none")
    out = args.out or runs.folder(run) / ("serving" if args.format == "savedmodel" else args.format)
    if args.format != "savedmodel":
        model = runs.load_model(run)
        # What a converter cannot express it writes there in its own words too.
        with quiet_stderr():
            files = serving.export_runtime(model, out, args.format, args.endpoints)
        for file in files.values():
            print(f"exported  {file}")
        if args.endpoints is None and (left_out := [name for name in ENDPOINTS if name not in files]):
            print(f"left out  {' and '.join(left_out)}; --endpoints {left_out[0]} says why")
        return
    given = {"max_rows": args.max_rows, "max_samples": args.max_samples, "proposal": args.proposal}
    options = {name: value for name, value in given.items() if value is not None}
    folder = serving.export_saved_model(runs.load_model(run), out, args.version, **options)
    print(f"exported  {folder}")
    found, root = runs.folder(run).resolve(), runs.ROOT.resolve()
    # What the compose file mounts.
    if args.out is None and root in found.parents:
        if not Path("docker-compose.yml").is_file():
            print("next      docs/serving.md says how it is served, and has the requests")
            return
        # A name has no slashes.
        name = "" if found.parent == root else f"NAME={shlex.quote(found.name)} "
        model = shlex.quote(found.relative_to(root).as_posix())
        print(f"next      MODEL={model} {name}docker compose up    (docs/serving.md has the requests)")


if __name__ == "__main__":
    command(main, parse(), options={"path": "--out"})
