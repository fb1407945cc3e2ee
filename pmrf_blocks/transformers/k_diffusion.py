"""Weights of k-diffusion's image transformer v2, bare or in PMRF's checkpoints."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from pmrf_blocks.checkpoints import read_checkpoint, shadow_weights, weights_under
from pmrf_blocks.pretrained import check_keys
from pmrf_blocks.transformers.hourglass import HourglassTransformer

# The order in which k-diffusion's model registers its parts, and so the order of its parameters. Within a part ours
# have the same order: a module's own parameters before those of its layers.
PARTS = (
    "patch_in time_in_proj aug_in_proj class_emb mapping_cond_in_proj mapping down_levels up_levels mid_level merges "
    "splits out_norm patch_out"
)
NESTED = ("state_dict", "model_ema", "model")  # lightning; k-diffusion's own trainer
PREFIXES = ("model.", "inner_model.", "")  # PMRF's module; k-diffusion's denoiser; none


def load_k_diffusion_weights(
    model: HourglassTransformer, state_dict: Mapping[str, Any] | str | Path, *, ema: bool = True
) -> HourglassTransformer:
    """Load published weights into a model of the same sizes (pmrf_hdit, pmrf_controlled_hdit), and return it.

    Arguments:
        state_dict: k-diffusion's weights by name; or all of a lightning checkpoint of PMRF, whose 'state_dict' has
            them under 'model.' (beside 'mmse_model.' and metrics, which are left aside); or torch-ema's state alone,
            {'shadow_params': [...]}, into a model that has the fixed frequencies of the same checkpoint already; or a
            path of such a file, which is read with weights_only=True.
        ema: take the averaged parameters where the checkpoint has them; False takes those that were being trained.

    Models of k-diffusion itself take log(sigma) / 4 where PMRF's take t: give that as the model's `t`.
    WeightsError lists the first ten keys that are missing, unexpected or of another shape.

    Examples:
        >>> network = HourglassTransformer(levels=(Level(32, 1, head_dim=16),), patch_size=4, mapping_width=32)
        >>> try:
        ...     load_k_diffusion_weights(network, {"patch_in.proj.weight": torch.zeros(1)})  # of something else
        ... except ValueError as error:
        ...     print(str(error)[:60])
        the state dict does not fit HourglassTransformer; 20 missing
    """
    source = str(state_dict) if isinstance(state_dict, (str, Path)) else "the state dict"
    content = state_dict if isinstance(state_dict, Mapping) else read_checkpoint(state_dict)
    averages = content.get("ema") if ema else None
    if "shadow_params" in content:
        warnings.warn(
            "averaged parameters alone: the fixed frequencies of the time embedding stay the model's own; they must "
            "come from the same checkpoint's 'state_dict'",
            stacklevel=2,
        )
        content, averages = model.state_dict(), content
    for name in NESTED:
        if isinstance(content.get(name), Mapping):
            content = content[name]
            break
    named = weights_under(content)
    prefix = next((prefix for prefix in PREFIXES if f"{prefix}patch_in.proj.weight" in named), "")
    state = weights_under(named, prefix)
    if isinstance(averages, Mapping):
        state.update(shadow_weights(averages, published_order(model), source))
    check_keys(model, state, source)
    model.load_state_dict(state)
    return model


def published_order(model: HourglassTransformer) -> dict[str, Tensor]:
    """The model's parameters by name, in the order in which k-diffusion's model has them."""
    parts = PARTS.split()
    return dict(sorted(model.named_parameters(), key=lambda item: parts.index(item[0].split(".")[0])))
