"""Images from files.

folders.py      find_images(), ImageDataset: training images as uint8 tensors
split.py        which images are held out, in the layouts that recipes know
batches.py      EndlessBatches: the order of training samples
tars.py         TarImages: the same out of tar files, near or far

Files are opened by pmrf_blocks.images alone.

For `pmrf-blocks prepare`:

published_sets.py  the sets of the paper and their counts
preparing.py       one image after the other, in several processes
patches.py         where patches lie
scores.py          quality scores
"""

from pmrf_blocks.data.batches import EndlessBatches
from pmrf_blocks.data.folders import DataError, ImageDataset, JoinedDataset, SampleKey, find_images
from pmrf_blocks.data.tars import TarImages
from pmrf_blocks.images import IMAGE_SUFFIXES

__all__ = [
    "IMAGE_SUFFIXES",
    "DataError",
    "EndlessBatches",
    "ImageDataset",
    "JoinedDataset",
    "SampleKey",
    "TarImages",
    "find_images",
]
