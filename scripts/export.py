#!/usr/bin/env python
"""Export a trained model as a SavedModel that TF Serving can serve; docs/serving.md has the endpoints and examples.

examples:
  python scripts/export.py
  python scripts/export.py --model saved_models/mnist-50 --out saved_models/mnist-50/serving
"""

import argparse
import shlex

from _entry import command, parsed, said


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=said(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("--model", help="run folder or .keras file [the newest run in saved_models/]")
    parser.add_argument("--out", help="folder of the versions [serving/ in the run folder]")
    parser.add_argument("--version", type=int, help="version to write [one more than the newest there]")
    parser.add_argument("--max-rows", type=int, help="most rows of a request or an answer [10000]")
    parser.add_argument("--max-samples", type=int, help="most importance samples of a request, all rows [1000000]")
    parser.add_argument("--proposal", help="what log_likelihood draws from: amortized, refined or adapted [amortized]")
    return parsed(parser)


def main(args: argparse.Namespace) -> None:
    from keras_iwae import serving
    from keras_iwae.training import runs

    run = args.model or runs.newest()
    given = {"max_rows": args.max_rows, "max_samples": args.max_samples, "proposal": args.proposal}
    options = {name: value for name, value in given.items() if value is not None}
    out = args.out or runs.folder(run) / "serving"
    folder = serving.export_saved_model(runs.load_model(run), out, args.version, **options)
    print(f"exported  {folder}")
    found, root = runs.folder(run).resolve(), runs.ROOT.resolve()
    # What the compose file mounts; a name has no slashes.
    if args.out is None and root in found.parents:
        name = "" if found.parent == root else f"NAME={shlex.quote(found.name)} "
        model = shlex.quote(found.relative_to(root).as_posix())
        print(f"next      MODEL={model} {name}docker compose up    (docs/serving.md has the requests)")


if __name__ == "__main__":
    command(main, parse())
