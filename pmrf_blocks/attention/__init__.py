"""Attention over pixels, (B, H, W, N, D).

neighborhood.py        neighborhood_attention_2d()
backends.py            its backends, available_backends(), resolve_backend()
tiled.py               ours: pure PyTorch, exact, linear in pixels
dense.py               full attention under a mask: the measure of the others
triton_neighborhood.py the fused kernel of pmrf_blocks.kernels
flex.py                torch FlexAttention
scaled_dot_product.py  global_attention(), by torch or xformers
shifted_window.py      shifted_window_attention_2d()
rope.py                AxialRoPE, axial_positions()
windows.py             which keys a query sees
keeping.py             what depends on shapes alone is made once
"""

from pmrf_blocks.attention.backends import available_backends, resolve_backend
from pmrf_blocks.attention.neighborhood import neighborhood_attention_2d
from pmrf_blocks.attention.rope import AxialRoPE, axial_positions, rotate
from pmrf_blocks.attention.scaled_dot_product import global_attention, resolve_global_backend
from pmrf_blocks.attention.shifted_window import shifted_window_attention_2d

__all__ = [
    "AxialRoPE",
    "available_backends",
    "axial_positions",
    "global_attention",
    "neighborhood_attention_2d",
    "resolve_backend",
    "resolve_global_backend",
    "rotate",
    "shifted_window_attention_2d",
]
