"""Programs of torch.export and ONNX give the model's numbers, at sizes that they were not traced with."""

import numpy as np
import pytest
import torch
from small_pipelines import COMPOSITIONS, latent_pmrf, seeded

from pmrf_blocks.cli import main
from pmrf_blocks.restoration.exporting import PARTS, ExportError, export_part, save_onnx, save_program
from pmrf_blocks.transformers import HourglassTransformer, Level


@pytest.fixture(scope="module")
def pipeline():
    return latent_pmrf()


@pytest.mark.parametrize("what", PARTS)
def test_a_program_gives_the_models_numbers_at_any_size(pipeline, what, tmp_path):
    exported = export_part(pipeline, what, steps=2)
    save_program(exported, tmp_path / "part.pt2")
    program = torch.export.load(tmp_path / "part.pt2").module()
    assert exported.differences(program) < 1e-4
    for batch, height, width in ((1, 64, 64), (4, 64, 128)):
        inputs = exported.example(batch, height, width)
        with torch.no_grad():
            torch.testing.assert_close(program(*inputs), exported.module(*inputs), rtol=0, atol=1e-4)


def test_restoring_is_what_the_pipeline_does(pipeline):
    y = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    exported = export_part(pipeline, "restore", steps=3)
    _, noise = exported.example(2, 64, 64)
    made = exported.program.module()(y, torch.zeros_like(noise))
    torch.testing.assert_close(made, pipeline.restore(y, steps=3, source_noise=0.0).image, rtol=0, atol=1e-5)


@pytest.mark.parametrize("what", PARTS)
def test_onnx_gives_the_same(what, tmp_path):
    """Of a pipeline as the one that ships: its transformer's attention is global."""
    pytest.importorskip("onnxscript", reason="onnxscript is not installed: pip install pmrf-blocks[onnx]")
    onnxruntime = pytest.importorskip("onnxruntime", reason="onnxruntime is not installed")
    levels = (Level(16, 1, attention="global", head_dim=16),)
    transformer = seeded(HourglassTransformer, in_channels=4, patch_size=1, levels=levels, mapping_width=16)
    exported = export_part(latent_pmrf(velocity=transformer), what, steps=2)
    save_onnx(exported, tmp_path / "part.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "part.onnx")

    def run(*inputs):
        feed = {name: np.ascontiguousarray(one.numpy()) for name, one in zip(exported.names, inputs)}
        return torch.from_numpy(session.run(None, feed)[0])

    assert exported.differences(run) < 1e-4


def test_a_fixed_size(pipeline):
    exported = export_part(pipeline, "estimator", size=32)
    assert exported.multiple == 0
    assert exported.differences(exported.program.module()) < 1e-4


def test_what_there_is_not(pipeline):
    with pytest.raises(ExportError, match="what must be one of restore, decoder"):
        export_part(pipeline, "discriminator")
    with pytest.raises(ExportError, match="ResShift draws noise at every step"):
        export_part(COMPOSITIONS["ResShift"](), "restore")


def test_the_command(tmp_path, capsys):
    path = tmp_path / "decoder.pt2"
    assert main(["export", "--what", "decoder", "-o", str(path)]) == 0
    assert "decoder(z), any batch, heights and widths of multiples of 1" in capsys.readouterr().out
    z = torch.zeros(1, 32, 5, 7)
    assert torch.export.load(path).module()(z).shape == (1, 3, 40, 56)
    assert main(["export", "--what", "decoder", "-o", str(path)]) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main(["export", "--what", "decoder", "-o", str(tmp_path / "x.bin")]) == 2
    assert main(["export", "--what", "decoder", "--format", "onnx", "-o", str(tmp_path / "x.pt2")]) == 2
    assert main(["export", "--model", "bundled-pixel", "--what", "decoder", "-o", str(tmp_path / "x.pt2")]) == 2
    assert "has no autoencoder" in capsys.readouterr().err
