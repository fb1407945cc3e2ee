"""What the blocks become.

pipelines.py    LatentPMRF, PMRF, PosteriorMean: batches of tensors
published.py    PMRF's released checkpoints, for PMRF.from_published()
saving.py       load_restorer(), and what save_pretrained writes
photographs.py  restore_photograph(), restore_photographs(): of any size
comparison.py   comparison(): images side by side with labels
errors.py       NonFiniteError
"""

from pmrf_blocks.restoration.comparison import comparison
from pmrf_blocks.restoration.errors import NonFiniteError
from pmrf_blocks.restoration.photographs import RestoredPhotograph, restore_photograph, restore_photographs
from pmrf_blocks.restoration.pipelines import PMRF, LatentPMRF, PosteriorMean, Restored, Restorer
from pmrf_blocks.restoration.saving import BUNDLED, load_restorer

__all__ = [
    "BUNDLED",
    "PMRF",
    "LatentPMRF",
    "NonFiniteError",
    "PosteriorMean",
    "Restored",
    "RestoredPhotograph",
    "Restorer",
    "comparison",
    "load_restorer",
    "restore_photograph",
    "restore_photographs",
]
