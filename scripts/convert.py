#!/usr/bin/env python
"""Write data larger than memory as a folder of shards, of which train.py reads what a batch takes.

SOURCE is a .npy file, a .npz file with x or with x_train, x_test and, where there is one, x_validation, a Parquet file
or a folder of such files, or the name of a data set. It is read once, from front to end, in the memory of a few blocks.
A split that it lacks is cut from its training split. In a folder, Parquet files of a split have its name in theirs,
train-0.parquet, or in a folder's, test/0.parquet; an example is a row, of numbers or of one list of them. What was
stopped leaves no data set.

examples:
  python scripts/convert.py photos.npy --out photos
  python scripts/convert.py table.parquet --out table --shards 64 --validation 0.05 --test 0.05
  python scripts/train.py --dataset photos --likelihood discretized_logistic
"""

import argparse
import sys

from _entry import command, parsed, said


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=said(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    parser.add_argument("source", help="a file, a folder of Parquet files or a name")
    out = "the folder to write, which must not be there, nor be named as a data set, .npy or .npz"
    parser.add_argument("--out", required=True, metavar="FOLDER", help=out)
    parser.add_argument("--shards", type=int, default=16, metavar="N", help="files of each split [16]")
    shares = "share of the training split that becomes the {} split, where there is none [0.1]"
    parser.add_argument("--validation", type=float, metavar="SHARE", help=shares.format("validation"))
    parser.add_argument("--test", type=float, metavar="SHARE", help=shares.format("test"))
    parser.add_argument("--seed", type=int, help="of what is cut, where something is [0]")
    return parsed(parser)


def main(args: argparse.Namespace) -> None:
    from keras_iwae import data

    out = data.convert(
        args.source, args.out, args.shards, args.validation, args.test, args.seed, verbose=sys.stderr.isatty()
    )
    counts = ", ".join(f"{data.num_examples(out, split):,} {split}" for split in ("train", "validation", "test"))
    print(f"folder    {out}\nexamples  {counts}")


if __name__ == "__main__":
    command(main, parse(), when_stopped="stopped; nothing was kept")
