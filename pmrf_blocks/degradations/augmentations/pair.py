"""A container of kornia for pairs of degraded image and target."""

from __future__ import annotations

from typing import Any

import torch
from kornia.augmentation import AugmentationSequential
from kornia.augmentation.container.ops import AugmentationSequentialOps
from kornia.augmentation.container.params import ParamItem
from kornia.constants import DataKey

from pmrf_blocks.degradations.augmentations.base import RandomDegradation


class PairSequential(AugmentationSequential):
    """AugmentationSequential whose first image is degraded and whose other images become targets.

        augment = PairSequential(RandomHorizontalFlip(p=0.5), RandomBlindFace())
        degraded, target = augment(x, x)

    Every other augmentation treats all images alike; masks, boxes and key points go along as in kornia. Degradations
    must stand in it directly, not in a container inside: ValueError.

    Examples:
        >>> from kornia.augmentation import RandomHorizontalFlip
        >>> augment = PairSequential(RandomHorizontalFlip(p=1.0), RandomGaussianNoise())
        >>> x = torch.rand(2, 3, 16, 16)
        >>> degraded, target = augment(x, x)
        >>> torch.equal(target, x.flip(-1)), torch.equal(degraded, target)
        (True, False)
    """

    def __init__(self, *args: Any, data_keys: Any = ("input", "image"), **options: Any) -> None:
        super().__init__(*args, data_keys=data_keys, **options)
        for child in args:
            inner = [] if isinstance(child, RandomDegradation) else list(child.modules())
            if any(isinstance(module, RandomDegradation) for module in inner):
                raise ValueError(
                    f"degradations must stand in a PairSequential directly; one is in {type(child).__name__}"
                )
        self.transform_op = _PairOps(self.data_keys)


class _PairOps(AugmentationSequentialOps):
    def transform(
        self, *arg: Any, module: torch.nn.Module, param: ParamItem, extra_args: Any, data_keys: Any = None
    ) -> Any:
        if not isinstance(module, RandomDegradation):
            return super().transform(*arg, module=module, param=param, extra_args=extra_args, data_keys=data_keys)
        outputs, degraded = [], False
        for value, key in zip(arg, self.preproc_datakeys(data_keys)):
            is_image = key == DataKey.INPUT
            step = DataKey.MASK if is_image and degraded else key  # a target goes the way that kornia has for masks
            options = {"module": module, "param": param, "extra_args": {}, "data_keys": [step]}
            outputs.append(super().transform(value, **options))  # type: ignore[arg-type]
            degraded |= is_image
        return outputs[0] if len(outputs) == 1 else outputs
