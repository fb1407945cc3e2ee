"""Restoration networks of others, by their files: whatever architecture spandrel knows, as an estimator (table 4).

spandrel reads GFP-GAN, RestoreFormer, SwinIR, RRDB (ESRGAN) and some forty others; the package spandrel_extra_arches,
under licences of its own, adds CodeFormer and others, and is used where it is installed.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pmrf_blocks.checkpoints import read_checkpoint
from pmrf_blocks.hub import Pushed, locate
from pmrf_blocks.messages import first_line
from pmrf_blocks.restoration.aligned import resize_to
from pmrf_blocks.restoration.spaces import from_signed, to_signed
from pmrf_blocks.weight_files import CONFIG, WeightsError, find_weights, read_json, write_weights
from pmrf_blocks.whole_files import write_json

FACE = 512  # side of the aligned crops that all published networks for faces work on
# spandrel 0.4 and spandrel_extra_arches 0.2 call them with [0, 1]; their authors' code gives and takes [-1, 1].
SIGNED = ("GFPGAN", "CodeFormer")


def read_network(path: str | Path, device: str | torch.device = "cpu", *, wanted_by: str) -> Any:
    """spandrel's descriptor of the network in a file, in eval mode.

    Arguments:
        path: .pth, .pt, .ckpt (read with weights_only=True), .safetensors, or a list of its shards.
        wanted_by: what needs spandrel, for the message.

    Raises WeightsError where spandrel is not installed, or the file is no network from RGB to RGB that it knows.
    """
    try:
        from spandrel import MAIN_REGISTRY, ImageModelDescriptor, ModelLoader, canonicalize_state_dict
    except ImportError:
        raise WeightsError(f"{wanted_by} needs spandrel: install pmrf-blocks[background]") from None
    content = dict(read_checkpoint(path))
    registry, hint = MAIN_REGISTRY.copy(), "; spandrel_extra_arches, which is not installed, knows more (CodeFormer)"
    try:
        from spandrel_extra_arches import EXTRA_REGISTRY

        registry.add(*EXTRA_REGISTRY.architectures(), ignore_duplicates=True)
        hint = ""
    except ImportError:
        pass
    try:
        loader = ModelLoader(device=device, registry=registry)
        loaded = loader.load_from_state_dict(canonicalize_state_dict(content))
    except Exception as error:  # spandrel's and the networks' own errors are many
        raise WeightsError(f"{path} is no network that spandrel knows: {first_line(error)}{hint}") from None
    if not isinstance(loaded, ImageModelDescriptor) or (loaded.input_channels, loaded.output_channels) != (3, 3):
        raise WeightsError(f"{path} does not turn an RGB image into another")
    return loaded.eval()


class ForeignNetwork(nn.Module, Pushed):
    """A network in a file that spandrel reads, from degraded images to restored ones of the same size.

    A network for faces sees each image at 512x512, as its authors' code shows it; one that enlarges is brought back to
    the size of its input; both by an antialiased bicubic. It computes in float32, one image at a time. What a network
    draws (GFP-GAN's StyleGAN adds noise) is drawn from the same numbers for every image.

    `architecture` is spandrel's name of it. Raises WeightsError as read_network().
    """

    def __init__(self, path: str | Path) -> None:
        super().__init__()
        self._descriptor = read_network(path, wanted_by=f"the network in {path}")
        self.network: nn.Module = self._descriptor.model
        self.network.requires_grad_(False)
        self.architecture = str(self._descriptor.architecture.id)

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1] to the same, without gradients."""
        return torch.stack([self._restored(image) for image in images])

    @torch.no_grad()
    def _restored(self, image: Tensor) -> Tensor:
        height, width = image.shape[-2:]
        x = image.float()
        if self._descriptor.purpose == "FaceSR":
            x = resize_to(x, FACE, FACE)
        devices = [x.device] if x.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), torch.autocast(x.device.type, enabled=False):
            torch.manual_seed(0)
            y = self._called(x[None])
        return resize_to(y[0].clone().clamp(0, 1), height, width)  # a clone, as spandrel's is of inference mode

    def _called(self, x: Tensor) -> Tensor:
        if self.architecture in SIGNED:
            return from_signed(self.network(to_signed(x))[0])
        return self._descriptor(x)

    def save_pretrained(
        self, folder: str | Path, *, variant: str | None = None, max_shard_bytes: int | None = None
    ) -> None:
        """Write config.json and model.safetensors into `folder`, from which spandrel reads it again.

        `variant` and `max_shard_bytes` are those of Pretrained.save_pretrained().
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        write_weights(folder, self.network.state_dict(), variant=variant, max_shard_bytes=max_shard_bytes)
        write_json(folder / CONFIG, {"class": type(self).__name__, "architecture": self.architecture})

    @classmethod
    def from_pretrained(
        cls,
        path_or_repo: str | Path,
        *,
        subfolder: str = "",
        variant: str | None = None,
        revision: str | None = None,
        token: str | bool | None = None,
        local_files_only: bool = False,
        trusted_modules: Collection[str] = (),
    ) -> ForeignNetwork:
        """The network that save_pretrained() wrote, in eval mode; WeightsError where the files are of another.

        Arguments are those of Pretrained.from_pretrained(); there is no code of one's own to trust.
        """
        hub: Any = {"revision": revision, "token": token, "local_files_only": local_files_only}
        folder = locate(path_or_repo, subfolder=subfolder, variant=variant, **hub)
        network = cls(find_weights(folder, variant))
        said = read_json(folder / CONFIG).get("architecture")
        if said != network.architecture:
            raise WeightsError(f"{folder / CONFIG} speaks of {said!r}; the weights are of {network.architecture!r}")
        return network.eval()
