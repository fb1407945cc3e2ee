"""Fused Triton kernels for CUDA, each beside the eager formula that it must equal, and what a processor is faster by.
Imports no other room.

choice.py        whether Triton can run here, and which tensors its kernels take
derivatives.py   second derivatives, through the eager formula
reuse.py         may_reuse(): when the next layer may overwrite what a layer made
linear.py        Linear, HalvedLinear: nn.Linear, in inference on a processor by oneDNN
layer_norm.py    channel_layer_norm(): over the channels of a pixel, with SiLU if asked
rms_norm.py      rms_norm(): with one scale for all rows or one for each image
rotary.py        rotary(): rotary embedding of q and k, with cosine scaling if asked
neighborhood.py  neighborhood(): 2-D neighborhood attention
*_triton.py      the kernels themselves; imported by the first call that needs them
"""

from pmrf_blocks.kernels.choice import fits, forward_mode, unavailable
from pmrf_blocks.kernels.layer_norm import channel_layer_norm, layer_norm_reference
from pmrf_blocks.kernels.linear import HalvedLinear, Linear
from pmrf_blocks.kernels.neighborhood import neighborhood, neighborhood_reference
from pmrf_blocks.kernels.reuse import is_plain, may_reuse
from pmrf_blocks.kernels.rms_norm import rms_norm, rms_norm_reference
from pmrf_blocks.kernels.rotary import rotary, rotary_reference, rotary_reference_

__all__ = [
    "HalvedLinear",
    "Linear",
    "channel_layer_norm",
    "fits",
    "forward_mode",
    "is_plain",
    "layer_norm_reference",
    "may_reuse",
    "neighborhood",
    "neighborhood_reference",
    "rms_norm",
    "rms_norm_reference",
    "rotary",
    "rotary_reference",
    "rotary_reference_",
    "unavailable",
]
