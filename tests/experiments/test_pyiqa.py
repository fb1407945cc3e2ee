"""pyiqa itself within a recipe, where it is installed."""

import json
from dataclasses import replace

import numpy as np
import pytest

from pmrf_blocks.commands.arguments.recipe import TableArguments
from pmrf_blocks.experiments.launch import make_table
from pmrf_blocks.metrics import Evaluator, Protocol
from recipes import table4_methods


def test_niqe_of_a_table_is_that_of_evaluate(image_folders, tmp_path):
    pytest.importorskip("pyiqa", reason="pyiqa is not installed: pip install pmrf-blocks[iqa]", exc_type=Exception)
    file, numbers = tmp_path / "niqe_pris_params.npz", np.random.default_rng(0)
    factor = numbers.normal(size=(36, 36))
    np.savez(file, mu_pris_param=numbers.normal(size=(1, 36)), cov_pris_param=factor @ factor.T + np.eye(36))
    debug = table4_methods.debug()
    row = replace(debug.rows[0], stage=replace(debug.rows[0].stage, published="bundled"))  # nothing is trained
    table = replace(debug, rows=(row,), claims=(), faces=replace(debug.faces, size=192), runtime=False)
    arguments = TableArguments(
        image_folders, tmp_path / "runs", scale="debug", device="cpu", output=tmp_path, seeds=(0,), limit=2,
        allow_dirty=True, save_images=True, metric_weights=(f"niqe={file}",),
    )  # fmt: skip
    page = make_table(table, arguments, "table4_methods")
    assert "| MMD-Lite0* ↓ | NIQE ↓ |" in page.read_text()
    (told,) = json.loads(page.with_suffix(".json").read_text())["scores"].values()
    (folder,) = (path for path in (tmp_path / "runs/results").glob("restoration-*") if path.is_dir())
    own = Evaluator(Protocol("plain", ("niqe",)), weights={"niqe": str(file)}, device="cpu").evaluate(folder)
    assert told["0"]["niqe"] == pytest.approx(own.scores["niqe"].value, rel=1e-6)
