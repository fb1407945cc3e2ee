"""The bundled model's page: goals, how few steps are enough, the linear map beside it."""

import pytest
import torch

from docs.make.bundled_page import LABELS, enough, goals, score_rows, sweep_table
from docs.make.bundled_results import principal_map

WORSE = {"psnr": 22.0, "ms_ssim": 0.8, "mse_ratio": 1.4, "fd": 60.0, "mmd": 50.0, "identity": 30.0}


def table(**rows):
    told = {name: {**WORSE, **rows.get(name, {})} for name in LABELS}
    return {row: {name: {"mean": value, "sd": 0.0} for name, value in scores.items()} for row, scores in told.items()}


def test_goals_are_met_at_their_edge_and_missed_beyond():
    edge = table(
        vae={"psnr": 26.0}, mean={"psnr": 22.5, "fd": 100.0, "mmd": 90.0},
        latent={"psnr": 21.5, "fd": 60.0, "mmd": 54.0},
    )  # fmt: skip
    lines = goals(edge, "val")[2:]
    assert len(lines) == 6
    assert all(line.endswith("| met |") for line in lines), lines
    beyond = table(
        vae={"psnr": 25.9}, mean={"psnr": 22.4, "fd": 100.0, "mmd": 90.0, "identity": 29.0},
        latent={"psnr": 21.3, "fd": 61.0, "mmd": 55.0},
    )  # fmt: skip
    assert all(line.endswith("| missed |") for line in goals(beyond, "val")[2:])
    assert len(goals(beyond, "test")) == len(goals(beyond, "val")) - 2  # distances to other people's faces: no goal


def test_a_score_that_was_not_measured_has_no_column():
    measured = table()
    for scores in measured.values():
        del scores["identity"]
    assert all("identity" not in line for line in [*score_rows(measured, LABELS), *goals(measured, "val")])


def entry(solver, steps, psnr, fd, mmd=1.0):
    return {"solver": solver, "steps": steps, "nfe": steps, "psnr": psnr, "fd": fd, "mmd": mmd, "milliseconds": 1.0}


def test_enough_is_the_fewest_steps_within_the_spread_in_every_score():
    spread = {"psnr": {"mean": 24.0, "sd": 0.1}, "fd": {"mean": 60.0, "sd": 1.0}, "mmd": {"mean": 1.0, "sd": 0.5}}
    sweep = [
        entry("euler", 1, 25.0, 70.0),  # too far from the originals
        entry("euler", 2, 23.8, 60.0),  # too much error
        entry("euler", 5, 23.95, 60.9),
        entry("euler", 25, 24.0, 60.0),
        entry("heun", 1, 24.0, 60.0),
        entry("heun", 25, 24.0, 60.0),
    ]
    result = {"sweep": sweep, "table": {"latent": spread}}
    names = ("psnr", "fd", "mmd")
    assert enough(result, "euler", names)["steps"] == 5
    assert enough(result, "heun", names)["steps"] == 1
    assert [line.count("**") for line in sweep_table(result)[-6:]] == [0, 0, 2, 0, 2, 0]


def test_the_linear_map_is_the_best_of_its_rate():
    images = torch.rand(6, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    assert torch.allclose(principal_map(images, images, channels=192), images, atol=1e-5)  # all components: exact
    patches = images.double().unfold(2, 8, 8).unfold(3, 8, 8).permute(0, 2, 3, 1, 4, 5).reshape(-1, 192)
    left = torch.linalg.svdvals(patches - patches.mean(0))[20:].square().sum()  # Eckart and Young, 1936
    made = principal_map(images, images, channels=20)
    assert float((made - images).double().square().sum()) <= float(left) * 1.0001  # clipping can only help
    assert float((made - images).double().square().sum()) == pytest.approx(float(left), rel=0.05)
