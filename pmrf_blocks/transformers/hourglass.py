"""The hourglass diffusion transformer (HDiT; Crowson et al., 2024) as velocity model, in PMRF's and Latent-PMRF's form.

B batch, C channels, H W pixels; tokens are (B, H / patch, W / patch, width) at the top, half of that at each level.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from pmrf_blocks.attention import axial_positions, resolve_backend, resolve_global_backend
from pmrf_blocks.attention.backends import Run
from pmrf_blocks.attention.windows import Pair, as_pair
from pmrf_blocks.pretrained import Pretrained
from pmrf_blocks.transformers.block import Level, SelfAttention, TransformerLayer
from pmrf_blocks.transformers.groups import mapping, parameter_groups
from pmrf_blocks.transformers.layers import FourierFeatures, MappingNetwork, RMSNorm
from pmrf_blocks.transformers.resample import MERGES, PATCH_OUTS, SPLITS, WAYS

AUGMENTATION_FEATURES = 9


class HourglassTransformer(nn.Module, Pretrained):
    """velocity = model(x, t): x (B, in_channels, H, W) of any size, t (B,) in [0, 1] or one number; the velocity is
    (B, out_channels, H, W).

    A flow conditioned on the degraded image or on the posterior mean (PMRF's baselines) takes both in one tensor,
    model(torch.cat((x_t, condition), 1), t), with in_channels = out_channels + channels of the condition.

    Arguments:
        in_channels, out_channels: of x and of the velocity (out_channels None: the same).
        levels: from high to low resolution; all but the last stand on both sides of the hourglass.
        patch_size: side, or (height, width), of the pixel patch that makes one token; 4 in PMRF, 1 in Latent-PMRF.
        mapping_width, mapping_depth, mapping_ff_width, mapping_dropout: of the network that turns t into the condition
            of every norm; mapping_ff_width None is 3 * mapping_width.
        cosine: cosine-similarity attention with a learned scale (PMRF), else plain scaled dot products.
        depthwise: depth-wise 3x3 convolutions after the qkv and up projections (section 4.1).
        split: 'linear' (k-diffusion) or 'conv' (nearest and 3x3 convolution) on the way up.
        merge: 'linear' (k-diffusion) or 'conv' (3x3 convolution of stride 2) on the way down.
        patches: pixels to tokens and back by 'linear' maps (k-diffusion), or by 'conv': 3x3 where a patch is a pixel.
        bias: of all projections but those of the embeddings and the mapping network; k-diffusion has none.
        zero_output: the velocity is zero at first (k-diffusion).
        augmentation: k-diffusion's embedding of nine augmentation features, zeros where forward() gets none; PMRF's
            checkpoints hold it.
        num_classes, mapping_cond_dim: k-diffusion's embeddings of a class and of a vector, 0 for none.
        backend, global_backend: of the neighborhood and the global attention; set_backend() changes them later.
        gradient_checkpointing: recompute layers in the backward pass: less memory, a third more time.

    What says how to compute, not what (backends, checkpointing), is not saved: a model loads wherever it can run.
    Sizes that are no multiple of patch_size * 2 ** (levels - 1) are padded by replication and cropped back.
    Raises ValueError for arguments that do not fit, ImportError for a backend that cannot be had here.

    Examples:
        >>> levels = (Level(width=32, depth=1, head_dim=16, kernel_size=3), Level(64, 1, "global", head_dim=16))
        >>> model = HourglassTransformer(in_channels=4, patch_size=1, levels=levels, mapping_width=32)
        >>> model(torch.rand(2, 4, 8, 6), torch.tensor([0.0, 0.5])).shape  # (B, C, H, W) and t in [0, 1]
        torch.Size([2, 4, 8, 6])
    """

    def __init__(
        self,
        *,
        in_channels: int = 3,
        out_channels: int | None = None,
        levels: Sequence[Level | Mapping[str, Any]] = (Level(256, 2), Level(512, 2), Level(1024, 8, "global")),
        patch_size: int | Pair = 4,
        mapping_width: int = 768,
        mapping_depth: int = 2,
        mapping_ff_width: int | None = None,
        mapping_dropout: float = 0.0,
        cosine: bool = True,
        depthwise: bool = False,
        split: str = "linear",
        merge: str = "linear",
        patches: str = "linear",
        bias: bool = False,
        zero_output: bool = True,
        augmentation: bool = False,
        num_classes: int = 0,
        mapping_cond_dim: int = 0,
        backend: str | Run = "auto",
        global_backend: str = "auto",
        gradient_checkpointing: bool = False,
    ) -> None:
        super().__init__()
        specs = [Level(**level) if isinstance(level, Mapping) else level for level in levels]
        out_channels = in_channels if out_channels is None else out_channels
        if not specs:
            raise ValueError("levels must name at least one level")
        patch = as_pair("patch_size", tuple(patch_size) if isinstance(patch_size, list) else patch_size)
        if min(in_channels, out_channels) < 1:
            raise ValueError(
                f"in_channels, out_channels and patch_size must be at least 1; got {in_channels}, {out_channels}, "
                f"{patch_size}"
            )
        if min(num_classes, mapping_cond_dim) < 0 or not 0 <= mapping_dropout < 1:
            raise ValueError(
                "num_classes and mapping_cond_dim must be at least 0, and mapping_dropout in [0, 1); "
                f"got {num_classes}, {mapping_cond_dim}, {mapping_dropout}"
            )
        if mapping_width < 2 or mapping_width % 2 or mapping_depth < 0:
            raise ValueError(
                f"mapping_width must be even, and mapping_depth at least 0; got {mapping_width}, {mapping_depth}"
            )
        for name, way in (("split", split), ("merge", merge), ("patches", patches)):
            if way not in WAYS:
                raise ValueError(f"{name} must be one of {', '.join(map(repr, WAYS))}; got {way!r}")
        self.in_channels, self.levels, self.patch_size = in_channels, tuple(specs), patch
        self.gradient_checkpointing = gradient_checkpointing
        self.multiple = tuple(side * 2 ** (len(specs) - 1) for side in patch)

        self.time_emb = FourierFeatures(1, mapping_width)
        self.time_in_proj = nn.Linear(mapping_width, mapping_width, bias=False)
        if augmentation:
            self.aug_emb = FourierFeatures(AUGMENTATION_FEATURES, mapping_width)
            self.aug_in_proj = nn.Linear(mapping_width, mapping_width, bias=False)
        self.augmentation, self.num_classes, self.mapping_cond_dim = augmentation, num_classes, mapping_cond_dim
        if num_classes:
            self.class_emb = nn.Embedding(num_classes, mapping_width)
        if mapping_cond_dim:
            self.mapping_cond_in_proj = nn.Linear(mapping_cond_dim, mapping_width, bias=False)
        hidden = 3 * mapping_width if mapping_ff_width is None else mapping_ff_width
        self.mapping = mapping(MappingNetwork(mapping_depth, mapping_width, hidden, mapping_dropout))

        def stack(level: Level, first: int = 0) -> nn.ModuleList:
            return nn.ModuleList(
                TransformerLayer(level, mapping_width, cosine=cosine, depthwise=depthwise, index=first + i, bias=bias)
                for i in range(level.depth)
            )

        pairs = list(itertools.pairwise(specs))
        self.patch_in = MERGES[patches](in_channels, specs[0].width, patch, bias=bias)
        self.down_levels = nn.ModuleList(stack(level) for level in specs[:-1])
        self.merges = nn.ModuleList(MERGES[merge](upper.width, lower.width, bias=bias) for upper, lower in pairs)
        self.mid_level = stack(specs[-1])
        self.splits = nn.ModuleList(SPLITS[split](lower.width, upper.width, bias=bias) for upper, lower in pairs)
        self.up_levels = nn.ModuleList(stack(level, level.depth) for level in specs[:-1])
        self.out_norm = RMSNorm(specs[0].width)
        self.patch_out = PATCH_OUTS[patches](specs[0].width, out_channels, patch, bias=bias, zero=zero_output)
        self.set_backend(backend, global_backend=global_backend)

    def forward(
        self,
        x: Tensor,
        t: Tensor | float,
        *,
        class_cond: Tensor | None = None,
        mapping_cond: Tensor | None = None,
        aug_cond: Tensor | None = None,
    ) -> Tensor:
        """The velocity (B, out_channels, H, W) at x (B, in_channels, H, W), of any values, and t (B,) or one number.

        `class_cond` (B,), whole numbers below num_classes, and `mapping_cond` (B, mapping_cond_dim) are needed where
        the model has embeddings of them; `aug_cond` (B, 9) is zeros where it is None. Raises ValueError for another
        shape, or a condition that is missing or that the model has no embedding of.
        """
        if x.ndim != 4 or x.shape[1] != self.in_channels or 0 in x.shape:
            raise ValueError(f"x must be (B, {self.in_channels}, H, W), none of them 0; got {tuple(x.shape)}")
        cond = self.mapping(self._embedding(x, t, class_cond, mapping_cond, aug_cond))
        height, width = x.shape[-2:]
        padded = F.pad(x, (0, -width % self.multiple[1], 0, -height % self.multiple[0]), mode="replicate")
        tokens = self.patch_in(rearrange(padded, "b c h w -> b h w c"))
        skips = []
        for layers, merge in zip(self.down_levels, self.merges):
            tokens = self._run(layers, tokens, cond)
            skips.append(tokens)
            tokens = merge(tokens)
        tokens = self._run(self.mid_level, tokens, cond)
        for i in reversed(range(len(self.up_levels))):
            tokens = self._run(self.up_levels[i], self.splits[i](tokens, skips[i]), cond)
        return rearrange(self.patch_out(self.out_norm(tokens)), "b h w c -> b c h w")[..., :height, :width]

    def _embedding(
        self,
        x: Tensor,
        t: Tensor | float,
        class_cond: Tensor | None,
        mapping_cond: Tensor | None,
        aug_cond: Tensor | None,
    ) -> Tensor:
        """What the mapping network makes the condition of, (B, mapping_width). t enters as itself, not as a logarithm
        (PMRF)."""
        batch = x.shape[0]
        time = torch.as_tensor(t, device=x.device, dtype=torch.promote_types(x.dtype, torch.float32))
        time = time.expand(batch) if time.ndim == 0 else time
        if time.shape != (batch,):
            raise ValueError(f"t must be (B,) = ({batch},) or one number; got {tuple(time.shape)}")
        if self.augmentation and aug_cond is None:
            aug_cond = time.new_zeros(batch, AUGMENTATION_FEATURES)
        _check_condition("class_cond", class_cond, (batch,) if self.num_classes else None)
        _check_condition(
            "mapping_cond", mapping_cond, (batch, self.mapping_cond_dim) if self.mapping_cond_dim else None
        )
        _check_condition("aug_cond", aug_cond, (batch, AUGMENTATION_FEATURES) if self.augmentation else None)
        dtype = self.time_in_proj.weight.dtype
        embedding = self.time_in_proj(self.time_emb(time[:, None]).to(dtype))
        if aug_cond is not None:
            embedding = embedding + self.aug_in_proj(self.aug_emb(aug_cond).to(dtype))
        if class_cond is not None:
            embedding = embedding + self.class_emb(class_cond)
        if mapping_cond is not None:
            embedding = embedding + self.mapping_cond_in_proj(mapping_cond.to(dtype))
        return embedding

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
        """Optimiser groups as k-diffusion trains (param_groups() of its image transformer v2).

        Arguments:
            base_lr: rate of all parameters but the mapping network's and those of the norms' linear maps.
            mapping_lr_scale: their rate over base_lr; 1 trains everything at one fixed rate, as PMRF and Latent-PMRF
                do ("a fixed 5e-4").

        Weight decay is for the weights of projections and convolutions alone: "weight_decay" is 0 in the other groups,
        and left to the optimiser in these.
        """
        return parameter_groups(self, base_lr, mapping_lr_scale)

    def extra_repr(self) -> str:
        return f"patch_size={self.patch_size}, levels={self.levels}"


def _check_condition(name: str, value: Tensor | None, shape: tuple[int, ...] | None) -> None:
    """ValueError for a condition whose shape is not `shape`, where None is none."""
    given = None if value is None else tuple(value.shape)
    if given != shape:
        wanted = "the model has no embedding of it" if shape is None else f"it must be {shape}"
        raise ValueError(f"{name}: {wanted}; got {'None' if given is None else f'a tensor {given}'}")
