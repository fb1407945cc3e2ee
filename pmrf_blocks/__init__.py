"""Building blocks of Latent-PMRF. Importing this package imports no subpackage: take the room you need.

>>> from pmrf_blocks import restore
>>> from pmrf_blocks.autoencoders import SimVAE
>>> from pmrf_blocks.restoration import LatentPMRF
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pmrf_blocks.restoration.simple import restore

__all__ = ["__version__", "restore"]
__version__ = "0.2.0"


def __getattr__(name: str) -> Any:
    """`restore` is imported when it is first asked for."""
    if name == "restore":
        from pmrf_blocks.restoration.simple import restore

        return restore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
