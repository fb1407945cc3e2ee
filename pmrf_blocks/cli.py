"""The command line. Parsing imports neither torch nor any room; each command imports what it needs when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from pmrf_blocks import __version__

TYPICAL_SEED = 33  # of seeds 0 to 40, the one whose degraded picture has the median PSNR
DEVICE_HELP = "'auto' takes the first of cuda, mps and cpu that works (default: auto)"
WRITING = """\
Results keep the input's file name; formats that cannot be written, or cannot hold the transparency, become .png.
JPEG is written with quality 95, everything at 8 bits a channel. Existing files are kept unless --overwrite is given.
The exit status is 0 if everything was done, 1 if anything was skipped, 2 for bad arguments."""

PREPARING = """\
SET is one of:
  ffhq         1024x1024 faces, brought to 512x512; first-10000.txt lists those that the VAE trains on
  lsdir        photographs, cut into 512x512 patches, 384 apart; kept are those with a Q-Align score of
               at least 3.5, by a file of scores, or by pyiqa where it is installed
  celeba-test  pairs of sharp and degraded faces, by name, into OUT/hq and OUT/lq
  lfw, webphoto, wider
               real degraded faces, each file decoded and copied
  folder       any images, as they are or, with --size, brought to a size

The published number of images is checked. Folders inside SOURCE are kept in OUT. What is in OUT already is not
made again: the same command goes on where it was stopped. OUT/problems.txt lists every file that cannot be read
or is of a wrong size; the exit status is 0 only if there are none, 2 for bad arguments.

examples:
  pmrf-blocks prepare ffhq images1024x1024/ --output data/ffhq512 --workers 16
  pmrf-blocks prepare lsdir LSDIR/train/ --output data/lsdir512 --scores qalign.csv --workers 16
  pmrf-blocks prepare celeba-test celeba_hq/ --lq celeba_lq/ --output data/celeba --expect published
  pmrf-blocks prepare folder holiday/ --output data/holiday256 --size 256"""


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pmrf-blocks",
        description="Restore degraded faces with Latent-PMRF, and what belongs to it.",
        epilog="'pmrf-blocks COMMAND --help' explains a command. Try first: pmrf-blocks demo",
    )
    parser.add_argument("--version", action="version", version=f"pmrf-blocks {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def command(name: str, summary: str, epilog: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=summary, description=summary, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    restore = command(
        "restore",
        "restore photographs of faces",
        "The photographs should be aligned crops of one face, as FFHQ's are, of any size. The shorter side is brought\n"
        "to the model's working size, restored there, and brought back.\n\nexamples:\n"
        "  pmrf-blocks restore old.jpg --output restored.png\n"
        "  pmrf-blocks restore faces/ --output restored/ --compare\n"
        "  pmrf-blocks restore faces/ --output mean/ --posterior-mean-only   # least error, no invented detail\n\n"
        + WRITING,
    )
    _inputs(restore)
    restore.add_argument("--steps", type=_positive, help="solver steps; more are slower (default: the model's own)")
    restore.add_argument(
        "--solver", default="euler", metavar="NAME", help="euler, midpoint, heun or rk4 (default: euler)"
    )
    restore.add_argument("--seed", type=int, default=0, help="of the noise on the flow's source (default: 0)")
    restore.add_argument(
        "--source-noise", type=float, metavar="SIGMA", help="noise on the flow's source (default: as trained)"
    )
    restore.add_argument(
        "--model", default="bundled", metavar="MODEL", help="'bundled', a folder, or a hub id (default: bundled)"
    )
    restore.add_argument(
        "--posterior-mean-only", action="store_true", help="stop at the posterior mean: least error, but blurred"
    )
    restore.add_argument(
        "--size",
        type=_size,
        default="input",
        metavar="SIZE",
        help="'input': as large as the input, at least the working size; 'model': the working size; or the number of "
        "pixels of the shorter side (default: input)",
    )
    restore.add_argument("--compare", action="store_true", help="also write NAME_compare.png: input, mean, restored")
    restore.add_argument("--device", default="auto", help=DEVICE_HELP)
    restore.add_argument(
        "--dtype", default="auto", help="auto, float32 or bfloat16; auto is bfloat16 on CUDA only (default: auto)"
    )

    degrade = command(
        "degrade",
        "make degraded copies of photographs",
        "The blind-face pipeline blurs, shrinks, adds noise, compresses as JPEG and enlarges again, each at random;\n"
        "strength scales with the picture's size. File name and --seed decide it.\n\n"
        "example:\n  pmrf-blocks degrade faces/ --output degraded/ --seed 1\n\n" + WRITING,
    )
    _inputs(degrade)
    degrade.add_argument("--pipeline", default="blind-face", metavar="NAME", help="(default: blind-face)")
    degrade.add_argument("--seed", type=int, default=0, help="(default: 0)")

    demo = command(
        "demo",
        "degrade and restore a photograph that is already here, and show both",
        "The photograph is scikit-image's astronaut (Eileen Collins; NASA, public domain).",
    )
    demo.add_argument("--output", type=Path, default=Path("demo"), metavar="FOLDER", help="(default: demo)")
    demo.add_argument(
        "--seed",
        type=int,
        default=TYPICAL_SEED,
        help="of the degradation and the restoration (default: %(default)s, a degradation of median strength)",
    )

    info = command("info", "versions, devices, attention backends and the bundled model", "")
    info.add_argument("--json", action="store_true", help="print JSON")

    _prepare(command("prepare", "make training and test images out of downloaded sets", PREPARING))

    train = command(
        "train",
        "train a recipe of this checkout",
        "Same as: python -m recipes.RECIPE ARGUMENTS\n\nexample:\n  pmrf-blocks train bundled --data DIR --debug",
    )
    train.add_argument("recipe", metavar="RECIPE", help="a module in ./recipes, or the path of a .py file")
    train.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENTS", help="go to the recipe (try --help)")

    benchmark = command(
        "benchmark",
        "measure the blocks of this checkout beside their peers",
        "Same as: python -m benchmarks ACTION ARGUMENTS\n\nexamples:\n  pmrf-blocks benchmark run attention\n"
        "  pmrf-blocks benchmark report",
    )
    benchmark.add_argument("action", choices=("run", "report"), help="measure, or write docs/benchmarks.md")
    benchmark.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGUMENTS", help="go to it (try --help)")
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit status is 0 only if everything asked for was done."""
    parsed = build_parser().parse_args(arguments)
    try:
        return import_module(f"pmrf_blocks.commands.{parsed.command}").run(parsed)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


def _inputs(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs",
        nargs="+",
        type=Path,
        metavar="PHOTO_OR_FOLDER",
        help="photographs, or folders whose files with image suffixes are taken (not those of folders inside)",
    )
    parser.add_argument(
        "--output",
        type=Path,
        required=True,
        metavar="OUT",
        help="folder for the results, created; or, for a single photograph, a file name with an image suffix",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing results")


def _prepare(parser: argparse.ArgumentParser) -> None:
    sets = ("ffhq", "lsdir", "celeba-test", "lfw", "webphoto", "wider", "folder")
    parser.add_argument("set", choices=sets, metavar="SET", help=", ".join(sets))
    parser.add_argument("source", type=Path, metavar="SOURCE", help="folder that holds the images, at any depth")
    parser.add_argument("--output", type=Path, required=True, metavar="OUT", help="folder for the results, created")
    parser.add_argument(
        "--size", type=_positive, metavar="PIXELS", help="shorter side of the results, or side of the patches"
        " (default: 512 for ffhq, lsdir and celeba-test; else as the images are)",
    )  # fmt: skip
    parser.add_argument("--stride", type=_positive, default=384, help="between patches, in pixels (default: 384)")
    parser.add_argument(
        "--min-score", type=float, default=3.5, metavar="SCORE", help="of a patch; 0 takes all (default: 3.5)"
    )
    parser.add_argument(
        "--scores", type=Path, metavar="FILE",
        help=".csv of lines NAME,SCORE or .json of {NAME: SCORE}; NAME is the patch's in OUT, such as 0001_384_0.png "
        "(image, top, left)",
    )  # fmt: skip
    parser.add_argument("--device", help="where Q-Align runs: cpu, cuda (default: pyiqa's choice)")
    parser.add_argument("--lq", type=Path, metavar="FOLDER", help="degraded faces of celeba-test")
    parser.add_argument(
        "--first",
        type=_positive,
        default=10_000,
        metavar="N",
        help="images in ffhq's list (default: 10000)",
    )
    parser.add_argument(
        "--expect", nargs="?", const="published", type=_count, metavar="N",
        help="another number of images than N (without N: than the published one) is an error, not a warning",
    )  # fmt: skip
    parser.add_argument("--workers", type=_positive, default=1, metavar="N", help="processes that work (default: 1)")


def _count(text: str) -> str | int:
    return text if text == "published" else _positive(text)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {number}")
    return number


def _size(text: str) -> str | int:
    if text in ("input", "model"):
        return text
    try:
        return _positive(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be 'input', 'model' or a number of pixels; got {text!r}") from None


if __name__ == "__main__":
    sys.exit(main())
