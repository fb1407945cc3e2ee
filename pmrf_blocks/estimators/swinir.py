"""SwinIR (Liang et al., 2021) as posterior-mean estimator, in the form that DifFace trained and PMRF uses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from pmrf_blocks.checkpoints import read_checkpoint, shadow_weights, weights_under
from pmrf_blocks.estimators.norms import LayerNorm
from pmrf_blocks.estimators.swin import SwinStage
from pmrf_blocks.pretrained import Pretrained, check_keys

RGB_MEAN = (0.4488, 0.4371, 0.4040)
FEATURES = 64  # channels of the reconstruction head
BUFFERS = ("relative_position_index", "attn_mask")  # in published files, computed here


class SwinIR(nn.Module, Pretrained):
    """Degraded images (B, 3, H, W) in [0, 1] to an estimate of the same shape, not clipped.

    Arguments:
        embed_dim: channels of the transformer.
        depths, num_heads: blocks and heads of each stage.
        window_size: side of the attention windows, in tokens.
        mlp_ratio: hidden width of the MLPs over embed_dim.
        unshuffle: side of the pixel block that makes one token: 2, 4 or 8; as many doublings lead back.

    Any size: the input is padded by reflection (replication where it is too small) to whole windows and the output
    cropped back. The published code accepts only sizes whose tokens fill whole windows; there the results are equal.
    Stochastic depth is left out: it matters in training alone. Raises ValueError for arguments, or images, that do not
    fit.

    Examples:
        >>> network = SwinIR(embed_dim=12, depths=(2,), num_heads=(2,), window_size=4, unshuffle=4)
        >>> network(torch.rand(1, 3, 32, 32)).shape
        torch.Size([1, 3, 32, 32])
    """

    def __init__(
        self,
        *,
        embed_dim: int = 180,
        depths: Sequence[int] = (6,) * 8,
        num_heads: Sequence[int] = (6,) * 8,
        window_size: int = 8,
        mlp_ratio: float = 2.0,
        unshuffle: int = 8,
    ) -> None:
        super().__init__()
        if len(depths) != len(num_heads) or not depths:
            raise ValueError(f"depths and num_heads must be of one length, at least 1; got {depths} and {num_heads}")
        if any(embed_dim % heads for heads in num_heads):
            raise ValueError(f"embed_dim must be a multiple of each of num_heads; got {embed_dim} and {num_heads}")
        if unshuffle not in (2, 4, 8):
            raise ValueError(f"unshuffle must be one of 2, 4, 8; got {unshuffle!r}")
        self.unshuffle, self.multiple = unshuffle, unshuffle * window_size
        self.conv_first = nn.Sequential(
            nn.PixelUnshuffle(unshuffle), nn.Conv2d(3 * unshuffle**2, embed_dim, 3, padding=1)
        )
        self.patch_embed = nn.ModuleDict({"norm": LayerNorm(embed_dim)})  # the published name of the weights
        self.layers = nn.ModuleList(
            SwinStage(embed_dim, depth, heads, window_size, mlp_ratio) for depth, heads in zip(depths, num_heads)
        )
        self.norm = LayerNorm(embed_dim)
        self.conv_after_body = nn.Conv2d(embed_dim, embed_dim, 3, padding=1)
        self.conv_before_upsample = nn.Sequential(nn.Conv2d(embed_dim, FEATURES, 3, padding=1), nn.LeakyReLU())
        for number in range(1, unshuffle.bit_length()):
            setattr(self, f"conv_up{number}", nn.Conv2d(FEATURES, FEATURES, 3, padding=1))
        self.conv_hr = nn.Conv2d(FEATURES, FEATURES, 3, padding=1)
        self.conv_last = nn.Conv2d(FEATURES, 3, 3, padding=1)
        self.register_buffer("mean", torch.tensor(RGB_MEAN).view(1, 3, 1, 1), persistent=False)
        for module in self.modules():
            if isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                nn.init.zeros_(module.bias)

    def forward(self, y: Tensor) -> Tensor:
        if y.ndim != 4 or y.shape[1] != 3:
            raise ValueError(f"images must be (B, 3, H, W); got {tuple(y.shape)}")
        height, width = y.shape[-2:]
        below, right = -height % self.multiple, -width % self.multiple
        mode = "reflect" if below < height and right < width else "replicate"
        mean = self.get_buffer("mean").to(y.dtype)
        x = self.conv_first(F.pad(y, (0, right, 0, below), mode=mode) - mean)
        tokens = self.patch_embed["norm"](rearrange(x, "b c h w -> b h w c"))
        for stage in self.layers:
            tokens = stage(tokens)
        x = x + self.conv_after_body(rearrange(self.norm(tokens), "b h w c -> b c h w"))
        x = self.conv_before_upsample(x)
        for number in range(1, self.unshuffle.bit_length()):
            grow = self.get_submodule(f"conv_up{number}")
            x = F.leaky_relu(grow(F.interpolate(x, scale_factor=2.0, mode="nearest")), 0.2)
        x = self.conv_last(F.leaky_relu(self.conv_hr(x), 0.2))
        return (x + mean)[..., :height, :width]


def difface_swinir() -> SwinIR:
    """The estimator of the blind-face models: DifFace's swinir_restoration512_L1, 15.79 M parameters.

    Examples:
        >>> with torch.device("meta"):
        ...     round(sum(p.numel() for p in difface_swinir().parameters()) / 1e6, 1)  # millions
        15.8
    """
    return SwinIR()


def pmrf_swinir() -> SwinIR:
    """The estimator of PMRF's controlled experiments: 120 wide, five stages, 4.74 M parameters.

    Examples:
        >>> with torch.device("meta"):
        ...     round(sum(p.numel() for p in pmrf_swinir().parameters()) / 1e6, 1)  # millions
        4.7
    """
    return SwinIR(embed_dim=120, depths=(6,) * 5, num_heads=(6,) * 5)


def load_swinir_weights(model: SwinIR, weights: str | Path | Mapping[str, Any], *, ema: bool = True) -> SwinIR:
    """Load a published checkpoint, such as DifFace's swinir_restoration512_L1.pth, and return the model.

    `weights` is a file (read with weights_only=True) or its content: the weights bare, or under 'params_ema',
    'params' or 'state_dict'; there also under 'model.', as PMRF trains its estimators, whose torch-ema averages are
    taken unless `ema` is False. WeightsError lists keys that are missing, unexpected or of another shape.

    Examples:
        >>> settings = {"embed_dim": 12, "depths": (1,), "num_heads": (2,)}
        >>> trained, model = SwinIR(**settings), SwinIR(**settings)
        >>> model = load_swinir_weights(model, {"params_ema": trained.state_dict()})
        >>> all(torch.equal(a, b) for a, b in zip(model.parameters(), trained.parameters()))
        True
    """
    source = str(weights) if isinstance(weights, (str, Path)) else "the state dict"
    content = weights if isinstance(weights, Mapping) else read_checkpoint(weights)
    averages = content.get("ema") if ema else None
    for name in ("params_ema", "params", "state_dict"):
        if isinstance(content.get(name), Mapping):
            content = content[name]
            break
    named = weights_under(content)
    prefix = "model." if "model.conv_last.weight" in named else ""
    state = {key: value for key, value in weights_under(named, prefix).items() if not key.endswith(BUFFERS)}
    if isinstance(averages, Mapping):
        state.update(shadow_weights(averages, dict(model.named_parameters()), source))
    check_keys(model, state, source)
    model.load_state_dict(state)
    return model
