"""Images from files, and from sets of others.

folders.py      find_images(), ImageDataset: training images as uint8 tensors
split.py        which images are held out, in the layouts that recipes know
batches.py      EndlessBatches: the order of training samples
tars.py         TarImages: the same out of tar files, near or far
maps.py         MapImages: the same out of any map-style set
streams.py      IterableImages: any iterable, in its own order
stream_position.py  where such a one stands, and the way back there
stream_batches.py   its batches, each with that
items.py        the image within an item of such a set
framing.py      size, crop and flip, the same for all
errors.py       DataError

Files are opened by pmrf_blocks.images alone.

For `pmrf-blocks prepare`:

published_sets.py  the sets of the paper and their counts
preparing.py       one image after the other, in several processes
patches.py         where patches lie
scores.py          quality scores
"""

from pmrf_blocks.data.batches import EndlessBatches
from pmrf_blocks.data.errors import DataError
from pmrf_blocks.data.folders import ImageDataset, JoinedDataset, SampleKey, find_images
from pmrf_blocks.data.maps import MapImages
from pmrf_blocks.data.streams import IterableImages
from pmrf_blocks.data.tars import TarImages
from pmrf_blocks.images import IMAGE_SUFFIXES

__all__ = [
    "IMAGE_SUFFIXES",
    "DataError",
    "EndlessBatches",
    "ImageDataset",
    "IterableImages",
    "JoinedDataset",
    "MapImages",
    "SampleKey",
    "TarImages",
    "find_images",
]
