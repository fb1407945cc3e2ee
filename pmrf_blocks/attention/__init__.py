"""Attention over pixels, (B, H, W, N, D).

neighborhood.py        neighborhood_attention_2d(), available_backends(), resolve_backend()
tiled.py               ours: pure PyTorch, exact, linear in pixels
dense.py               full attention under a mask: the measure of the others
flex.py                torch FlexAttention
scaled_dot_product.py  global_attention()
rope.py                AxialRoPE, axial_positions()
windows.py             which keys a query sees
"""

from pmrf_blocks.attention.neighborhood import available_backends, neighborhood_attention_2d, resolve_backend
from pmrf_blocks.attention.rope import AxialRoPE, axial_positions, rotate
from pmrf_blocks.attention.scaled_dot_product import global_attention

__all__ = [
    "AxialRoPE",
    "available_backends",
    "axial_positions",
    "global_attention",
    "neighborhood_attention_2d",
    "resolve_backend",
    "rotate",
]
