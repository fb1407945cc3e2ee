"""Building blocks of Latent-PMRF. Importing this package imports no subpackage: take the room you need.

>>> from pmrf_blocks.autoencoders import SimVAE
>>> from pmrf_blocks.restoration import LatentPMRF
"""

__version__ = "0.1.0"
