"""restore(): one call for a photograph in whatever form one has it; its faces by Latent-PMRF (section 3.1)."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from pmrf_blocks.faces import Detector, build_detector
from pmrf_blocks.images import LoadedImage, open_image, picture_of, take_picture
from pmrf_blocks.restoration.aligned import loss_of_detail, restore_crop
from pmrf_blocks.restoration.backgrounds import SuperResolution
from pmrf_blocks.restoration.loading import load_restorer
from pmrf_blocks.restoration.photographs import FaceRestorer, restore_photograph


def restore(
    image: str | Path | Image.Image | np.ndarray | Tensor,
    *,
    aligned: bool = False,
    model: str | Path | FaceRestorer = "bundled",
    device: str | torch.device | None = None,
    detector: str | Detector = "auto",
    **options: Any,
) -> Any:
    """Restore the faces of a photograph: restore("family.jpg").save("new.jpg").

    Arguments:
        image: a path; a Pillow image; an array (H, W), (H, W, 3) or (H, W, 4), uint8 or float in [0, 1]; or a tensor
            (3, H, W) or (1, 3, H, W), uint8 or float in [0, 1].
        aligned: the image is an FFHQ-aligned crop of one face: no detector is needed. Warns where detail is lost.
        model: 'bundled', a folder, a hub id, or a pipeline.
        device: where a model that is loaded here runs; None is the CPU.
        detector: 'auto', 'yunet', 'dlib', or one of build_detector()'s.
        options: of restore_photograph() (faces, min_face, max_face, upscale, ...; `background` may also be 'lanczos' or
            a super-resolution checkpoint's file), with `aligned` of restore_crop() (size), and of Pipeline.restore()
            (weight, steps, seed, ...).

    Returns:
        What was given: a Pillow image of a path or Pillow image, an array of an array's kind, a tensor of a tensor's.

    Raises:
        ImageError: an image that cannot be read. ValueError: an argument that there is not.
        DetectorUnavailable: no detector can be had here; the message says what to do.
        WeightsError: a model that cannot be loaded.

    Examples:
        >>> from skimage.data import astronaut
        >>> face = astronaut()[19:195:2, 137:313:2]  # (88, 88, 3), uint8
        >>> restored = restore(face, aligned=True, steps=2)
        >>> restored.shape, restored.dtype
        ((128, 128, 3), dtype('uint8'))
    """
    photograph = _loaded(image)
    restorer: Any = (
        load_restorer(model, device=device or "cpu", optimize=True) if isinstance(model, str | Path) else model
    )
    if aligned:
        if loss := loss_of_detail(photograph.pixels, restorer.size):
            warnings.warn(loss, stacklevel=2)
        result = restore_crop(restorer, photograph, **options).result
    else:
        finder = build_detector(detector) if isinstance(detector, str) else detector
        if isinstance(background := options.get("background"), str | Path):
            lanczos = background == "lanczos"
            options["background"] = None if lanczos else SuperResolution(background, device or "cpu")
        result = restore_photograph(restorer, photograph, finder, **options).result
    return _as_given(result, image)


def _loaded(image: str | Path | Image.Image | np.ndarray | Tensor) -> LoadedImage:
    if isinstance(image, str | Path):
        return open_image(image)
    if isinstance(image, Image.Image):
        return take_picture(image)
    if isinstance(image, Tensor):
        pixels = image[0] if image.ndim == 4 and len(image) == 1 else image
        if pixels.ndim != 3 or len(pixels) != 3:
            raise ValueError(f"a tensor must be (3, H, W) or (1, 3, H, W); got {tuple(image.shape)}")
        return LoadedImage(_unit(pixels.detach().cpu()))
    if not isinstance(image, np.ndarray):
        raise ValueError(f"image must be a path, a Pillow image, an array or a tensor; got {type(image).__name__}")
    image = np.ascontiguousarray(image)  # torch takes no mirrored view, such as BGR turned to RGB
    if 0 in image.shape:
        raise ValueError(f"an image must have pixels; got {image.shape}")
    if image.ndim == 2:
        return LoadedImage(_unit(torch.tensor(image)).expand(3, -1, -1), grey=True)
    if image.ndim != 3 or image.shape[2] not in (3, 4):
        raise ValueError(f"an array must be (H, W), (H, W, 3) or (H, W, 4); got {image.shape}")
    layers = _unit(torch.tensor(image).permute(2, 0, 1))
    return LoadedImage(layers[:3].contiguous(), layers[3:] if len(layers) == 4 else None)


def _unit(values: Tensor) -> Tensor:
    """uint8 or float values as float32 in [0, 1]."""
    if values.dtype == torch.uint8:
        return values.float() / 255.0
    if not values.is_floating_point():
        raise ValueError(f"values must be uint8 or floats in [0, 1]; got {values.dtype}")
    values = values.float()
    if not bool(torch.isfinite(values).all()) or float(values.min()) < 0 or float(values.max()) > 1:
        raise ValueError("floats must be in [0, 1]")
    return values


def _as_given(result: LoadedImage, image: str | Path | Image.Image | np.ndarray | Tensor) -> Any:
    if isinstance(image, Tensor):
        pixels = result.pixels.reshape(*image.shape[:-2], *result.pixels.shape[-2:])
        return _bytes(pixels) if image.dtype == torch.uint8 else pixels.to(image)
    if isinstance(image, np.ndarray):
        layers = result.pixels if result.alpha is None else torch.cat([result.pixels, result.alpha])
        layers = layers[0] if image.ndim == 2 else layers.permute(1, 2, 0)
        return (_bytes(layers) if image.dtype == np.uint8 else layers).numpy().astype(image.dtype)
    picture, options = picture_of(result, "PNG")
    picture.info.update(options)
    return picture


def _bytes(values: Tensor) -> Tensor:
    return (values * 255.0).round().byte()
