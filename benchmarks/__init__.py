"""Each block beside what a user would otherwise pick.

python -m benchmarks run [NAMES] measures, python -m benchmarks report writes docs/benchmarks.md, python -m benchmarks
cuda does both on a GPU, in under ten minutes.

comparison.py  what one row of the tables is: the work, ours, the peers, the goals
needs.py       what a piece of work takes at least: operations and bytes
measure.py     times (contenders in turn) and peak memory
rates.py       what the device can do at best: multiplication, copying
running.py     runs benchmarks into one JSON file
apart.py       runs one in a process of its own, and ends it when its time is up
on_cuda.py     what a GPU is measured with, each benchmark's share of the time, and what of it has run
roofline.py    what the device allows at most, and how near a contender is to it
report.py      JSON files to docs/benchmarks.md

Everything else is one benchmark each: comparisons(settings) yields its rows, on the device of the settings, which few
of them look at. cuda_*.py are microbenchmarks that say nothing about a CPU; there they run at --tiny sizes alone.
"""

BENCHMARKS = (
    "startup",
    "attention",
    "attention_scaling",
    "transformer",
    "degradation",
    "image_operators",
    "training_images",
    "solvers",
    "evaluation",
    "training_step",
    "autoencoder",
    "restoration",
    "exported",
    "tiled_decode",  # the longest last: minutes on a CPU
    "cuda_attention",
    "cuda_norms",
    "cuda_resize",
    "cuda_models",
)
