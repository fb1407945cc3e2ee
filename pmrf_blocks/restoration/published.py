"""PMRF's released pipelines (Ohayon et al., 2025), read into ours."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from pmrf_blocks.checkpoints import read_checkpoint, weights_under
from pmrf_blocks.estimators import SwinIR, difface_swinir, load_swinir_weights, pmrf_swinir
from pmrf_blocks.hub import locate
from pmrf_blocks.json_files import is_kind
from pmrf_blocks.messages import short
from pmrf_blocks.transformers import (
    HourglassTransformer,
    load_k_diffusion_weights,
    pmrf_controlled_hdit,
    pmrf_hdit,
)
from pmrf_blocks.weight_files import CONFIG, WeightsError, find_weights, read_json

# The published names of the architectures; with a velocity model, the size of the images that it was trained on.
VELOCITIES: dict[str, tuple[Callable[[], HourglassTransformer], int]] = {
    "hdit_ImageNet256Sp4": (pmrf_hdit, 512),
    "hdit_XL2": (pmrf_controlled_hdit, 256),
}
ESTIMATORS: dict[str, Callable[[], SwinIR]] = {"swinir_L": difface_swinir, "swinir_M": pmrf_swinir}
BLIND_FACE = {"stage": "flow", "arch": "hdit_ImageNet256Sp4", "mmse_model_arch": "swinir_L", "mmse_noise_std": 0.1}


class NotPMRF(WeightsError):
    """A file of weights that may be whole, but of another model."""


def published_parts(path_or_repo: str | Path, *, ema: bool = True, **options: Any) -> dict[str, Any]:
    """The arguments of our PMRF from a published checkpoint: both networks with their weights, size, source noise.

    `path_or_repo` is a lightning checkpoint (.ckpt), a .safetensors file, or a folder or hub id that holds
    model.safetensors beside config.json (ohayonguy/PMRF_blind_face_image_restoration). What a file does not say about
    itself is taken to be as in the blind-face model. `ema` takes averaged parameters where there are any;
    `options` are read_published()'s.
    """
    content, facts = read_published(path_or_repo, **options)
    facts = {**BLIND_FACE, **{name: value for name, value in facts.items() if value is not None}}
    if facts["stage"] != "flow" or facts.get("conditional"):
        raise WeightsError(
            f"{path_or_repo} is no PMRF: stage {short(facts['stage'])}, conditional {bool(facts.get('conditional'))}; "
            "load its network with load_k_diffusion_weights or load_swinir_weights"
        )
    noise = facts["mmse_noise_std"]
    if not is_kind(noise, float) or not 0.0 <= noise < 1e3:
        raise WeightsError(f"{path_or_repo}: mmse_noise_std must be a number of at least 0; got {short(noise)}")
    make_velocity, size = choose(path_or_repo, "arch", facts, VELOCITIES)
    make_estimator = choose(path_or_repo, "mmse_model_arch", facts, ESTIMATORS)
    nested = content.get("state_dict")
    estimate = weights_under(nested if isinstance(nested, Mapping) else content, "mmse_model.")
    if not estimate:
        raise NotPMRF(f"{path_or_repo} holds no posterior-mean estimator: no key starts with 'mmse_model.'")
    return {
        "estimator": load_swinir_weights(make_estimator(), estimate),
        "velocity": load_k_diffusion_weights(make_velocity(), content, ema=ema),
        "size": size,
        "source_noise": float(noise),
    }


def read_published(
    path_or_repo: str | Path, *, subfolder: str = "", variant: str | None = None, **hub: Any
) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """A checkpoint's content, and what it says about itself: lightning's hyper-parameters, or config.json.

    `subfolder` is where in a folder it lies, `variant` that of the weights, which may be in shards; `hub` are
    locate()'s revision, token and local_files_only.
    """
    path = Path(path_or_repo).expanduser()
    if path.is_file():
        content = read_checkpoint(path)
        facts = content.get("hyper_parameters", {})
        beside = path.parent / CONFIG
        if path.suffix in (".safetensors", ".json") and beside.is_file():
            facts = read_json(beside)
    else:
        folder = locate(path_or_repo, subfolder=subfolder, variant=variant, **hub)
        facts, content = read_json(folder / CONFIG), read_checkpoint(find_weights(folder, variant))
    if not isinstance(facts, Mapping):
        raise WeightsError(f"{path_or_repo}: hyper_parameters is a {type(facts).__name__}, not names and values")
    return content, facts


def choose(source: str | Path, name: str, facts: Mapping[str, Any], table: Mapping[str, Any]) -> Any:
    """The entry of `table` that a checkpoint's fact names."""
    if not isinstance(facts[name], str) or facts[name] not in table:
        raise WeightsError(f"{source}: {name} must be one of {', '.join(table)}; got {short(facts[name])}")
    return table[facts[name]]
