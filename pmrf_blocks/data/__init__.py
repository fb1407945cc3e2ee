"""Images from files.

folders.py      find_images(), ImageDataset: training images as uint8 tensors
batches.py      EndlessBatches: the order of training samples
photographs.py  reading and writing single photographs of any kind
"""

from pmrf_blocks.data.batches import EndlessBatches
from pmrf_blocks.data.folders import IMAGE_SUFFIXES, DataError, ImageDataset, JoinedDataset, SampleKey, find_images

__all__ = ["IMAGE_SUFFIXES", "DataError", "EndlessBatches", "ImageDataset", "JoinedDataset", "SampleKey", "find_images"]
