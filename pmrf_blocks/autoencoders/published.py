"""Published autoencoders in diffusers' folder layout: AutoencoderKL (SD1.5, SDXL, FLUX.1) and AutoencoderKLSim.

A folder holds config.json, with '_class_name', and diffusion_pytorch_model.safetensors, whole or in shards, or of a
variant such as diffusion_pytorch_model.fp16.safetensors.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from pmrf_blocks.autoencoders.configurations import KL, READERS, describe
from pmrf_blocks.autoencoders.sd_vae import SDVAE
from pmrf_blocks.autoencoders.sim_vae import SimVAE
from pmrf_blocks.checkpoints import read_checkpoint
from pmrf_blocks.pretrained import CONFIG, WeightsError, build_network, locate, read_json
from pmrf_blocks.weight_files import FILE, STEMS, WEIGHTS, file_names, find_weights, shard_pattern

STEM = STEMS[1]
# Attention of files from before diffusers 0.18.
OLD_ATTENTION = {"query": "to_q", "key": "to_k", "value": "to_v", "proj_attn": "to_out.0"}


def load_autoencoder(
    path_or_repo: str | Path,
    *,
    subfolder: str = "",
    variant: str | None = None,
    revision: str | None = None,
    token: str | bool | None = None,
    local_files_only: bool = False,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    trusted_modules: Collection[str] = (),
) -> SimVAE | SDVAE:
    """The autoencoder in a folder or of a hub id, in eval mode: AutoencoderKL, AutoencoderKLSim, or ours.

    Arguments:
        path_or_repo: also a .safetensors file with its config.json beside it.
        subfolder: where a whole pipeline keeps it ('vae' in Stable Diffusion and FLUX.1).
        variant: which of several weight files, such as 'fp16' for diffusion_pytorch_model.fp16.safetensors.
        revision, token, local_files_only: of the hub (hub.locate()).
        dtype: of the network; that of its layers, float32, unless given.
        trusted_modules: modules whose code config.json may import, where a folder of ours has layers of one's own.

    Nothing but config.json and the weights is downloaded. A local folder may have the older
    diffusion_pytorch_model.bin, of which weights alone are read. Raises WeightsError for what is missing, damaged, or
    has an effect that our networks do not have.

    Examples:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     SimVAE(latent_channels=4, channels=(16,)).save_pretrained(folder)
        ...     load_autoencoder(folder).latent_channels
        4
    """
    path = Path(path_or_repo).expanduser()
    if path.suffix == ".safetensors" and path.is_file():
        folder, weights = path.parent, path
    else:
        options: Any = {"revision": revision, "token": token, "local_files_only": local_files_only}
        folder, weights = locate(path_or_repo, subfolder=subfolder, patterns=_files(variant), **options), None
    config = read_json(folder / CONFIG)
    kind = config.get("_class_name", config.get("class"))
    ours: dict[Any, type[SimVAE]] = {"SimVAE": SimVAE, "SDVAE": SDVAE}
    if isinstance(kind, str) and kind in ours:
        if weights is not None:
            named = FILE.fullmatch(weights.name)
            if named is None:
                raise WeightsError(
                    f"{weights}: weights of a {kind} are called {WEIGHTS}, or with a variant's name within"
                )
            variant = named[2]
        own = ours[kind].from_pretrained(folder, variant=variant, trusted_modules=trusted_modules)
        return own.to(device=device, dtype=dtype)
    if not isinstance(kind, str) or kind not in READERS:
        raise WeightsError(f"{folder / CONFIG}: _class_name must be one of {', '.join(READERS)}; got {kind!r}")
    weights = weights or _weights_in(folder, variant)
    make = partial(READERS[kind], config)
    state_dict = rename(read_checkpoint(weights))
    return build_network(make, state_dict, config=folder / CONFIG, weights=weights).to(device=device, dtype=dtype)


def _files(variant: str | None) -> list[str]:
    """Patterns of all that an autoencoder's folder may be read from."""
    weights = [name for stem in STEMS for name in (*file_names(stem, variant), shard_pattern(stem, variant))]
    return [CONFIG, *weights]


def _weights_in(folder: Path, variant: str | None) -> Path:
    """The weight file, the list of its shards, or the pickle of older versions; else WeightsError."""
    pickle = folder / f"{STEM}.bin"
    try:
        return find_weights(folder, variant, stems=(STEM,))
    except WeightsError:
        if variant is None and pickle.is_file():
            return pickle
        raise


def rename(state_dict: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """diffusers' names of the weights to ours; attention that is stored as 1x1 convolutions becomes matrices."""

    def name(key: str) -> str:
        if not isinstance(key, str):  # of a foreign file: refused when the keys are checked
            return key
        key = re.sub(r"\b(down|up)samplers\.0\.", r"\1sampler.", key)
        return re.sub(
            r"(attentions\.0\.)(query|key|value|proj_attn)\.", lambda m: m[1] + OLD_ATTENTION[m[2]] + ".", key
        )

    def matrix(key: str, tensor: Tensor) -> Tensor:
        stored = re.search(r"attentions\.0\.to_\w+(\.0)?\.weight$", str(key)) and isinstance(tensor, Tensor)
        return tensor[..., 0, 0] if stored and tensor.ndim == 4 and tensor.shape[2:] == (1, 1) else tensor

    return {name(key): matrix(name(key), tensor) for key, tensor in state_dict.items()}


def save_diffusers(model: SimVAE, folder: str | Path, *, kind: str = KL) -> None:
    """Write a folder that diffusers loads as AutoencoderKL.

    With kind='AutoencoderKLSim' one for the code of the paper's release: diffusers has no such class, and
    refuses the folder. Raises ValueError where that class cannot hold the network, and says what differs.

    Examples:
        >>> import tempfile
        >>> vae = SDVAE(latent_channels=4, channels=(32,), blocks_per_level=1)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_diffusers(vae, folder)
        ...     type(load_autoencoder(folder)).__name__
        'SDVAE'
    """
    if kind not in READERS:
        raise ValueError(f"kind must be one of {', '.join(map(repr, READERS))}; got {kind!r}")
    config = describe(model, kind)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    if kind != KL:  # no class of diffusers: naming no block of its own stops it, where it would load random values
        config["down_block_types"] = [kind]
    weights = dict(model.state_dict())
    if kind == KL:
        weights = {re.sub(r"\b(down|up)sampler\.", r"\1samplers.0.", key): value for key, value in weights.items()}
    contiguous = {key: value.contiguous() for key, value in weights.items()}
    (folder / f"{STEM}.safetensors").write_bytes(save(contiguous, metadata={"format": "pt"}))
    (folder / CONFIG).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
