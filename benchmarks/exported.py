"""Programs without Python: what `pmrf-blocks export` writes, in onnxruntime and in torch, beside the model itself."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.comparison import Build, Call, Comparison, Missing, Settings, peer
from benchmarks.needs import count
from benchmarks.restoration import LATENT
from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.kernels import optimize
from pmrf_blocks.restoration import LatentPMRF, Pipeline, load_restorer
from pmrf_blocks.restoration.exporting import Decoding, Exported, Restoring, export_part, save_onnx
from pmrf_blocks.transformers import HourglassTransformer, Level


def pipeline_of(settings: Settings) -> Pipeline:
    """The bundled one; for a test a small one with random weights and, as the bundled one has, global attention."""
    if not settings.tiny:
        return load_restorer("bundled")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        velocity = HourglassTransformer(
            in_channels=LATENT, levels=(Level(64, 1, "global"),), patch_size=1, mapping_width=32
        )
        nn.init.normal_(velocity.patch_out.get_parameter("proj.weight"), std=0.02)
        autoencoder = SimVAE(LATENT, channels=(16, 32), blocks_per_level=1, middle_blocks=1)
        return LatentPMRF(autoencoder=autoencoder, estimator=nn.Identity(), velocity=velocity, size=32).eval()


def exported_part(what: str, given: tuple[Tensor, ...], steps: int, settings: Settings) -> Exported:
    """With free sizes, as the command writes it; a test has no time for that."""
    return export_part(pipeline_of(settings), what, steps=steps, size=given[0].shape[-1] if settings.tiny else None)


def module_of(what: str, steps: int, settings: Settings) -> nn.Module:
    pipeline = pipeline_of(settings)
    return Decoding(pipeline.space.autoencoder) if what == "decoder" else Restoring(pipeline, steps)


def ours(what: str, given: tuple[Tensor, ...], steps: int, settings: Settings) -> Build:
    """The model as it is used: optimised, by its own methods."""

    def build() -> Call:
        pipeline = pipeline_of(settings)
        optimize(pipeline)
        if what == "decoder":
            return lambda: pipeline.space.autoencoder.decode(given[0])
        return lambda: pipeline.restore(given[0], steps=steps, source_noise=0.0).image

    return build


def compiled(what: str, given: tuple[Tensor, ...], steps: int, settings: Settings) -> Build:
    def build() -> Call:
        if settings.tiny:
            raise Missing("its compilation takes a minute; left out of --tiny")
        network = torch.compile(module_of(what, steps, settings), dynamic=False)
        network(*given)  # not to be timed
        return lambda: network(*given)

    return build


def program(what: str, given: tuple[Tensor, ...], steps: int, settings: Settings) -> Build:
    def build() -> Call:
        if settings.tiny:
            raise Missing("its tracing takes long; left out of --tiny")
        module = exported_part(what, given, steps, settings).program.module()
        return lambda: module(*given)

    return build


def onnx(what: str, given: tuple[Tensor, ...], steps: int, settings: Settings) -> Build:
    """In onnxruntime, on as many threads as torch has."""

    def build() -> Call:
        runtime = peer("onnxruntime", "pmrf-blocks[onnx]")
        peer("onnxscript", "pmrf-blocks[onnx]")
        exported = exported_part(what, given, steps, settings)
        options = runtime.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, f"{what}.onnx")
            save_onnx(exported, file)
            session = runtime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        feed = {name: one.numpy() for name, one in zip(exported.names, given, strict=True)}
        return lambda: torch.from_numpy(session.run(None, feed)[0])

    return build


def comparisons(settings: Settings) -> Iterator[Comparison]:
    if settings.device.type != "cpu":
        raise Missing("onnxruntime is measured on a CPU")
    pipeline, steps = pipeline_of(settings), 2 if settings.tiny else 5
    size = pipeline.size
    generator = torch.Generator().manual_seed(0)
    y = torch.rand(1, 3, size, size, generator=generator)
    latent = pipeline.space.encode(y)
    z = torch.randn(latent.shape, generator=generator)
    for what, given, work in (
        ("decoder", (z,), f"the bundled decoder to {size}x{size}"),
        ("restore", (y, torch.zeros_like(latent)), f"the bundled restoration of {size}x{size}, {steps} steps"),
    ):
        module = module_of(what, steps, settings)
        yield Comparison(
            f"{work}, float32",
            {
                "ours": ours(what, given, steps, settings),
                "onnxruntime": onnx(what, given, steps, settings),
                "torch.export's program": program(what, given, steps, settings),
                # Last: tracing a program forgets what was compiled before, which would be compiled again while timed.
                "torch.compile": compiled(what, given, steps, settings),
            },
            tolerance=1e-3,
            need=count(
                lambda module=module: module,  # type: ignore[misc]
                lambda module, x, rest=given[1:]: module(x, *(one.to("meta") for one in rest)),  # type: ignore[misc]
                *given[0].shape,
            ),
        )
