"""The command line. Parsing imports neither torch nor any room; each command imports what it needs when it runs."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
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
    restore.add_argument("--steps", type=positive, help="solver steps; more are slower (default: the model's own)")
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
    restore.add_argument(
        "--batch",
        type=positive,
        metavar="N",
        help="photographs restored at once, where they are of one working size (default: 4; 1 without "
        "CUDA where that size is over 256, for memory)",
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

    _evaluate(command)

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

    plane = command(
        "plane",
        "draw methods on the perception-distortion plane",
        "Reads what 'pmrf-blocks evaluate --format json' and recipes/bundled_results.py write, prints a table and\n"
        "marks the Pareto front. FILE, NAME=FILE, or NAME@NFE=FILE: points of one name become a curve over NFE.\n\n"
        "examples:\n"
        "  pmrf-blocks plane gfpgan.json PMRF=pmrf.json --distortion psnr --perception fid --output plane.png\n"
        "  pmrf-blocks plane Ours@1=one.json Ours@5=five.json Ours@25=all.json --output plane.svg plane.csv\n"
        "  pmrf-blocks plane docs/results/bundled.json --without degraded --output plane.png plane.md",
    )
    plane.add_argument("files", nargs="+", metavar="FILE", help="evaluations as JSON; NAME=FILE, NAME@NFE=FILE")
    plane.add_argument("--distortion", metavar="SCORE", help="horizontal axis (default: the first of psnr, mse, ...)")
    plane.add_argument("--perception", metavar="SCORE", help="vertical axis (default: the first of fid, fd, mmd, ...)")
    plane.add_argument("--without", nargs="+", default=[], metavar="NAME", help="methods to leave out")
    plane.add_argument(
        "--reference", nargs="+", default=[], metavar="NAME", help="drawn hollow and kept out of the Pareto front"
    )
    plane.add_argument("--title", default="", help="above the figure")
    _directions(plane)
    _figures(plane, "files to write: a figure (.png, .svg, .pdf), a table (.csv, .md)")

    convergence = command(
        "convergence",
        "how much sooner one training run reaches what another ends with",
        "The target is the last score of SLOW. FAST reaches it where the straight lines through its scores first do.\n"
        "The factor is the end of SLOW over that place (5.79 in the paper's figure 1). The exit status is 1 if FAST\n"
        "does not reach it.\n\n"
        "example:\n  pmrf-blocks convergence runs/latent runs/pixel --score val_fid val_dists --output convergence.png",
    )
    convergence.add_argument("fast", type=Path, metavar="FAST", help="a run's folder, or its stats.jsonl")
    convergence.add_argument("slow", type=Path, metavar="SLOW", help="the run to be compared with")
    convergence.add_argument("--score", nargs="+", required=True, metavar="SCORE", help="as stats.jsonl names it")
    convergence.add_argument(
        "--axis", choices=("images", "steps", "hours"), default="images", help="what is counted (default: images)"
    )
    convergence.add_argument(
        "--smoothing", type=positive, default=1, metavar="N", help="mean of the last N scores (default: 1, none)"
    )
    convergence.add_argument("--json", action="store_true", help="print JSON")
    _directions(convergence)
    _figures(convergence, "figure to write (.png, .svg, .pdf)")

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


def _evaluate(command: Callable[[str, str, str], argparse.ArgumentParser]) -> None:
    evaluate = command(
        "evaluate",
        "measure restored images, of any method, under a named protocol",
        "Images are matched by name, whatever their suffix; nothing is resized, converted or left out. Protocols:\n"
        "images (any size; needs no downloads), celeba-test (the paper's table 4), celeba-test-vae (tables 2 and 3),\n"
        "real-faces (no ground truth; an unpaired --reference), offline-faces, offline-faces-128. docs/metrics.md has\n"
        "all metrics. What is not available here is listed with what to install or which file to give.\n\nexamples:\n"
        "  pmrf-blocks evaluate restored/ --reference originals/\n"
        "  pmrf-blocks evaluate ours/ gfpgan/ --reference gt/ --degraded lq/ --protocol celeba-test \\\n"
        "    --weights arcface=resnet18_110.pth --weights inception=pt_inception-2015-12-05-6726825d.pth\n\n"
        "The exit status is 0 if everything asked for was measured, 1 if something was not available, 2 if arguments\n"
        "or images do not fit together (then there are no numbers).",
    )
    evaluate.add_argument("restored", nargs="+", type=Path, metavar="RESTORED", help="a folder of images for each row")
    evaluate.add_argument("--reference", type=Path, metavar="GT", help="folder of the originals")
    evaluate.add_argument("--degraded", type=Path, metavar="LQ", help="folder of the inputs: one row more, 'input'")
    evaluate.add_argument("--posterior-mean", type=Path, metavar="DIR", help="folder that IndRMSE compares with")
    evaluate.add_argument("--protocol", default="images", metavar="NAME", help="(default: images)")
    evaluate.add_argument(
        "--metrics",
        action="append",
        metavar="NAMES",
        help="separated by commas (default: the protocol's, as far as the folders that they compare with are given)",
    )
    evaluate.add_argument("--format", default="table", choices=("table", "json", "csv", "markdown"))
    evaluate.add_argument("--output", type=Path, metavar="FILE", help="write there, not to stdout")
    evaluate.add_argument("--per-image", type=Path, metavar="FILE", help="also one row an image, .csv or .json")
    evaluate.add_argument(
        "--weights",
        action="append",
        default=[],
        type=_named,
        metavar="NAME=FILE",
        help="a published weight file, or REPO_ID:FILE of the Hugging Face hub; may be repeated",
    )
    evaluate.add_argument(
        "--statistics",
        action="append",
        default=[],
        type=Path,
        metavar="FILE",
        help="of a reference set, as --save-statistics wrote them; may be repeated",
    )
    evaluate.add_argument("--save-statistics", type=Path, metavar="FOLDER", help="write the reference's, EXTRACTOR.npz")
    evaluate.add_argument("--device", default="auto", help=DEVICE_HELP)
    evaluate.add_argument("--batch-size", type=positive, default=8, metavar="N", help="(default: 8)")
    evaluate.add_argument("--workers", type=positive, default=2, metavar="N", help="that decode images (default: 2)")
    evaluate.add_argument(
        "--bootstrap", type=_whole, default=1000, metavar="N", help="resamples for intervals; 0: none (default: 1000)"
    )
    evaluate.add_argument("--seed", type=int, default=0, help="of the bootstrap (default: 0)")


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
        "--size", type=positive, metavar="PIXELS", help="shorter side of the results, or side of the patches"
        " (default: 512 for ffhq, lsdir and celeba-test; else as the images are)",
    )  # fmt: skip
    parser.add_argument("--stride", type=positive, default=384, help="between patches, in pixels (default: 384)")
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
        type=positive,
        default=10_000,
        metavar="N",
        help="images in ffhq's list (default: 10000)",
    )
    parser.add_argument(
        "--expect", nargs="?", const="published", type=_count, metavar="N",
        help="another number of images than N (without N: than the published one) is an error, not a warning",
    )  # fmt: skip
    parser.add_argument("--workers", type=positive, default=1, metavar="N", help="processes that work (default: 1)")


def _count(text: str) -> str | int:
    return text if text == "published" else positive(text)


def _directions(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--higher", nargs="+", default=[], metavar="SCORE", help="scores of which more is better")
    parser.add_argument("--lower", nargs="+", default=[], metavar="SCORE", help="scores of which less is better")


def _figures(parser: argparse.ArgumentParser, explained: str) -> None:
    parser.add_argument("--output", nargs="+", type=Path, default=[], metavar="OUT", help=explained)
    parser.add_argument("--overwrite", action="store_true", help="replace existing files")


def positive(text: str) -> int:
    """A whole number of an argument, at least 1."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1; got {number}")
    return number


def _whole(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError(f"must be at least 0; got {number}")
    return number


def _named(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not (name and equals and value):
        raise argparse.ArgumentTypeError(f"must be NAME=FILE; got {text!r}")
    return name, value


def _size(text: str) -> str | int:
    if text in ("input", "model"):
        return text
    try:
        return positive(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be 'input', 'model' or a number of pixels; got {text!r}") from None


if __name__ == "__main__":
    sys.exit(main())
