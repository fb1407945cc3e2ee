"""The hourglass transformer's layers, faster: in inference in memory that they made, on CUDA in Triton's kernels.

Memory is only reused where may_reuse() allows it and layers of known classes made it; elsewhere a layer is its formula.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from pmrf_blocks.kernels.choice import fits
from pmrf_blocks.kernels.linear import FastLinear, halves
from pmrf_blocks.kernels.reuse import may_reuse
from pmrf_blocks.kernels.rms_norm import rms_norm
from pmrf_blocks.kernels.rotary import rotary, rotary_reference, rotary_reference_
from pmrf_blocks.kernels.swap import Rule
from pmrf_blocks.transformers import layers as formula
from pmrf_blocks.transformers.block import SelfAttention
from pmrf_blocks.transformers.layers import EPS, AdaRMSNorm, DepthwiseConv, FeedForward, RMSNorm

LINEAR = (nn.Linear, FastLinear)
MAKERS = (*LINEAR, DepthwiseConv)  # what they give is new memory that nobody else holds


class FastFeedForward(FeedForward):
    """GEGLU in the memory of its gate, whose half of the up projection is a product of its own."""

    plain_class = FeedForward

    def forward(self, x: Tensor, cond: Tensor | None = None) -> Tensor:
        if not (_make_memory(self.up_proj, self.conv, self.down_proj) and may_reuse(self, x)):
            return super().forward(x, cond)
        y = self.norm(x) if cond is None else self.norm(x, cond)
        if self.conv is None:
            value, gate = halves(self.up_proj, y)
        else:
            value, gate = self.conv(self.up_proj(y)).chunk(2, -1)
        gate = torch.ops.aten.gelu_(gate) if gate.is_contiguous() else F.gelu(gate)
        return _sum(self.down_proj(self.dropout(gate.mul_(value))), x)


class FastSelfAttention(SelfAttention):
    """Queries and keys are placed where they are, and the residual sum is where the output projection was."""

    plain_class = SelfAttention

    def forward(self, x: Tensor, positions: Tensor, cond: Tensor) -> Tensor:
        spare = _make_memory(self.qkv_proj, self.conv, self.out_proj) and may_reuse(self, x, positions, cond)
        q, k, v = self.project(x, cond)
        q, k = self.place(q, k, positions, spare)
        branch = self.out_proj(self.dropout(rearrange(self.attend(q, k, v), "b h w n d -> b h w (n d)")))
        return _sum(branch, x) if spare else x + branch

    def place(self, q: Tensor, k: Tensor, positions: Tensor, spare: bool) -> tuple[Tensor, Tensor]:
        """q and k scaled, where the level scales, and rotated; in their own memory if it is spare."""
        cos, sin = self.pos_emb.angles(positions)
        if not spare:
            return rotary_reference(q, k, cos, sin, self.scale)
        rotary_reference_(q, k, cos, sin, self.scale)
        return q, k


class TritonSelfAttention(FastSelfAttention):
    """Scaling and rotation in one kernel on CUDA, in training too."""

    plain_class = SelfAttention

    def place(self, q: Tensor, k: Tensor, positions: Tensor, spare: bool) -> tuple[Tensor, Tensor]:
        cos, sin = self.pos_emb.angles(positions)
        if fits(q, k, cos, sin):
            return rotary(q, k, cos, sin, self.scale, inplace=spare)
        return super().place(q, k, positions, spare)


class TritonRMSNorm(RMSNorm):
    """In one kernel on CUDA."""

    plain_class = RMSNorm

    def forward(self, x: Tensor) -> Tensor:
        return rms_norm(x, self.scale, EPS) if fits(x, self.scale) else super().forward(x)


class TritonAdaRMSNorm(AdaRMSNorm):
    """In one kernel on CUDA."""

    plain_class = AdaRMSNorm

    def forward(self, x: Tensor, cond: Tensor) -> Tensor:
        scale = self.linear(cond) + 1.0
        return rms_norm(x, scale, EPS) if fits(x, scale) else formula.rms_norm(x, scale[:, None, None])


def _make_memory(*layers: nn.Module | None) -> bool:
    """Whether what the layers give may be overwritten: they are of classes that give new memory."""
    return all(layer is None or type(layer) in MAKERS for layer in layers)


def _sum(branch: Tensor, x: Tensor) -> Tensor:
    """x + branch, in the memory of the branch where the sum has its dtype."""
    return branch.add_(x) if x.dtype == branch.dtype else x + branch


RULES = (
    Rule(FastFeedForward),
    Rule(FastSelfAttention),
    Rule(TritonSelfAttention, triton=True),
    Rule(TritonRMSNorm, triton=True),
    Rule(TritonAdaRMSNorm, triton=True),
)
