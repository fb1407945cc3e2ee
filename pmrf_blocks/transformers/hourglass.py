"""The hourglass diffusion transformer (HDiT; Crowson et al., 2024) as velocity model, in PMRF's and Latent-PMRF's form.

B batch, C channels, H W pixels; tokens are (B, H / patch, W / patch, width) at the top, half of that at each level.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pmrf_blocks.attention import axial_positions, resolve_backend, resolve_global_backend
from pmrf_blocks.attention.backends import Run
from pmrf_blocks.pretrained import Pretrained
from pmrf_blocks.transformers.block import Level, SelfAttention, TransformerLayer
from pmrf_blocks.transformers.groups import mapping, parameter_groups
from pmrf_blocks.transformers.layers import FourierFeatures, MappingNetwork, RMSNorm
from pmrf_blocks.transformers.resample import ConvTokenSplit, PatchOut, TokenMerge, TokenSplit

AUGMENTATION_FEATURES = 9


class HourglassTransformer(nn.Module, Pretrained):
    """velocity = model(x, t): x (B, in_channels, H, W) of any size, t (B,) in [0, 1] or one number; the velocity is
    (B, out_channels, H, W).

    A flow conditioned on the degraded image or on the posterior mean (PMRF's baselines) takes both in one tensor,
    model(torch.cat((x_t, condition), 1), t), with in_channels = out_channels + channels of the condition.

    Arguments:
        in_channels, out_channels: of x and of the velocity (out_channels None: the same).
        levels: from high to low resolution; all but the last stand on both sides of the hourglass.
        patch_size: side of the pixel patch that makes one token; 4 in PMRF, 1 in Latent-PMRF.
        mapping_width, mapping_depth: of the network that turns t into the condition of every norm.
        cosine: cosine-similarity attention with a learned scale (PMRF), else plain scaled dot products.
        depthwise: depth-wise 3x3 convolutions after the qkv and up projections (section 4.1).
        split: 'linear' (k-diffusion) or 'conv' (nearest and 3x3 convolution) on the way up.
        augmentation: PMRF's embedding of nine zeros; only to hold its checkpoint.
        backend, global_backend: of the neighborhood and the global attention; set_backend() changes them later.
        gradient_checkpointing: recompute layers in the backward pass: less memory, a third more time.

    What says how to compute, not what (backends, checkpointing), is not saved: a model loads wherever it can run.
    Sizes that are no multiple of patch_size * 2 ** (levels - 1) are padded by replication and cropped back.
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int | None = None,
        levels: Sequence[Level | Mapping[str, Any]] = (Level(256, 2), Level(512, 2), Level(1024, 8, "global")),
        patch_size: int = 4,
        mapping_width: int = 768,
        mapping_depth: int = 2,
        cosine: bool = True,
        depthwise: bool = False,
        split: str = "linear",
        augmentation: bool = False,
        backend: str | Run = "auto",
        global_backend: str = "auto",
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        specs = [Level(**level) if isinstance(level, Mapping) else level for level in levels]
        out_channels = in_channels if out_channels is None else out_channels
        if not specs:
            raise ValueError("levels must name at least one level")
        if min(in_channels, out_channels, patch_size) < 1:
            raise ValueError(
                f"in_channels, out_channels and patch_size must be at least 1; got {in_channels}, {out_channels}, "
                f"{patch_size}"
            )
        if mapping_width < 2 or mapping_width % 2 or mapping_depth < 0:
            raise ValueError(
                f"mapping_width must be even, and mapping_depth at least 0; got {mapping_width}, {mapping_depth}"
            )
        if split not in ("linear", "conv"):
            raise ValueError(f"split must be one of 'linear', 'conv'; got {split!r}")
        self.in_channels, self.levels, self.patch_size = in_channels, tuple(specs), patch_size
        self.gradient_checkpointing = gradient_checkpointing
        self.multiple = patch_size * 2 ** (len(specs) - 1)

        self.time_emb = FourierFeatures(1, mapping_width)
        self.time_in_proj = nn.Linear(mapping_width, mapping_width, bias=False)
        if augmentation:
            self.aug_emb = FourierFeatures(AUGMENTATION_FEATURES, mapping_width)
            self.aug_in_proj = nn.Linear(mapping_width, mapping_width, bias=False)
        self.augmentation = augmentation
        self.mapping = mapping(MappingNetwork(mapping_depth, mapping_width, 3 * mapping_width))

        def stack(level: Level, first: int = 0) -> nn.ModuleList:
            return nn.ModuleList(
                TransformerLayer(level, mapping_width, cosine=cosine, depthwise=depthwise, index=first + i)
                for i in range(level.depth)
            )

        pairs = list(itertools.pairwise(specs))
        make_split = TokenSplit if split == "linear" else ConvTokenSplit
        self.patch_in = TokenMerge(in_channels, specs[0].width, patch_size)
        self.down_levels = nn.ModuleList(stack(level) for level in specs[:-1])
        self.merges = nn.ModuleList(TokenMerge(upper.width, lower.width) for upper, lower in pairs)
        self.mid_level = stack(specs[-1])
        self.splits = nn.ModuleList(make_split(lower.width, upper.width) for upper, lower in pairs)
        self.up_levels = nn.ModuleList(stack(level, level.depth) for level in specs[:-1])
        self.out_norm = RMSNorm(specs[0].width)
        self.patch_out = PatchOut(specs[0].width, out_channels, patch_size)
        self.set_backend(backend, global_backend=global_backend)

    def forward(self, x: Tensor, t: Tensor | float) -> Tensor:
        if x.ndim != 4 or x.shape[1] != self.in_channels or 0 in x.shape:
            raise ValueError(f"x must be (B, {self.in_channels}, H, W), none of them 0; got {tuple(x.shape)}")
        cond = self._condition(x, t)
        height, width = x.shape[-2:]
        padded = F.pad(x, (0, -width % self.multiple, 0, -height % self.multiple), mode="replicate")
        tokens = self.patch_in(padded.permute(0, 2, 3, 1))
        skips = []
        for layers, merge in zip(self.down_levels, self.merges):
            tokens = self._run(layers, tokens, cond)
            skips.append(tokens)
            tokens = merge(tokens)
        tokens = self._run(self.mid_level, tokens, cond)
        for i in reversed(range(len(self.up_levels))):
            tokens = self._run(self.up_levels[i], self.splits[i](tokens, skips[i]), cond)
        return self.patch_out(self.out_norm(tokens)).permute(0, 3, 1, 2)[..., :height, :width]

    def _condition(self, x: Tensor, t: Tensor | float) -> Tensor:
        """Condition (B, mapping_width) of every norm. t enters as itself, not as a logarithm (PMRF)."""
        time = torch.as_tensor(t, device=x.device, dtype=torch.promote_types(x.dtype, torch.float32))
        time = time.expand(len(x)) if time.ndim == 0 else time
        if time.shape != (len(x),):
            raise ValueError(f"t must be (B,) = ({len(x)},) or one number; got {tuple(time.shape)}")
        embedding = self.time_in_proj(self.time_emb(time[:, None]).to(self.time_in_proj.weight.dtype))
        if self.augmentation:
            zeros = time.new_zeros(len(x), AUGMENTATION_FEATURES)
            embedding = embedding + self.aug_in_proj(self.aug_emb(zeros).to(self.aug_in_proj.weight.dtype))
        return self.mapping(embedding)

    def _run(self, layers: nn.Module, tokens: Tensor, cond: Tensor) -> Tensor:
        dtype = torch.promote_types(tokens.dtype, torch.float32)
        positions = axial_positions(tokens.shape[1], tokens.shape[2], device=tokens.device, dtype=dtype)
        for layer in layers.children():
            if self.gradient_checkpointing and torch.is_grad_enabled():
                tokens = checkpoint(layer, tokens, positions, cond, use_reentrant=False)
            else:
                tokens = layer(tokens, positions, cond)
        return tokens

    def set_backend(self, backend: str | Run | None = None, *, global_backend: str | None = None) -> None:
        """Change the neighborhood or the global attention of every level; None leaves it. Raises ValueError for a
        name that is none, ImportError for a backend that cannot be had here."""
        if isinstance(backend, str):
            resolve_backend(backend)
        if global_backend is not None:
            resolve_global_backend(global_backend)
        for module in self.modules():
            if isinstance(module, SelfAttention):
                module.backend = module.backend if backend is None else backend
                module.global_backend = module.global_backend if global_backend is None else global_backend

    def param_groups(self, base_lr: float, mapping_lr_scale: float = 1 / 3) -> list[dict[str, Any]]:
        """Optimiser groups as k-diffusion trains: the mapping network and the norms' linear maps at a smaller rate;
        weight decay on the weights of projections and convolutions alone ("weight_decay" is 0 in the other groups
        and the optimiser's own in these)."""
        return parameter_groups(self, base_lr, mapping_lr_scale)

    def extra_repr(self) -> str:
        return f"patch_size={self.patch_size}, levels={self.levels}"
