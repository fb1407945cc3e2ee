"""Recipes of single models: the paper's hyper-parameters, the names of run folders, and their debug twins."""

import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.training import PairFolder, TrainConfig
from recipes.common.ends import FlowEnds, seeing
from recipes.common.fitting import Place, finished, flow_ends, trained
from recipes.common.stages import Network, essence, stage_name, with_seed
from recipes.elir import mean_of_latents
from recipes.latent_pmrf import latent_pmrf
from recipes.pmrf import pmrf, pmrf_equal_compute
from recipes.posterior_mean import posterior_mean
from recipes.sd_vae import sd_vae
from recipes.sim_vae import sim_vae


def parameters(network: Network) -> int:
    with torch.device("meta"):
        return sum(p.numel() for p in network.factory(**network.arguments).parameters())


def test_paper_scale_is_the_papers():
    vae, flow, pixels = sim_vae(), latent_pmrf(), pmrf()
    assert (vae.train.steps, vae.train.batch_size, vae.train.lr, vae.train.final_lr) == (150_000, 64, 1e-4, 1e-6)
    assert (vae.train.warmup_steps, vae.train.warmup_lr, vae.train.schedule) == (500, 1e-5, "cosine")
    assert (vae.perceptual, vae.perceptual_weight, vae.kl_weight_of_crop) == ("vgg19", 0.05, 1e-6)
    assert (flow.train.steps, flow.train.batch_size, flow.train.lr, flow.train.betas) == (
        400_000,
        64,
        5e-4,
        (0.9, 0.95),
    )
    assert (flow.source, flow.source_noise, flow.train.schedule) == ("posterior-mean", 0.0, "constant")
    assert (pixels.train.steps, pixels.train.batch_size, pixels.source_noise) == (1_052_734, 256, 0.1)
    equal = pmrf_equal_compute().train
    assert (equal.steps, equal.batch_size) == (flow.train.steps, flow.train.batch_size)


def test_networks_have_the_published_sizes():
    assert parameters(sim_vae().network) == 91_030_595
    assert parameters(sim_vae(latent_channels=16).network) == 90_809_379
    assert parameters(sd_vae().network) / 1e6 == pytest.approx(84.0, abs=0.1)
    assert parameters(pmrf().velocity) / 1e6 == pytest.approx(159.87, abs=0.01)
    assert parameters(latent_pmrf().velocity) / 1e6 == pytest.approx(151.2, rel=0.005)
    assert parameters(posterior_mean().network) / 1e6 == pytest.approx(15.7, abs=0.1)


def test_smaller_scales_change_sizes_and_steps_alone():
    for recipe in (posterior_mean, latent_pmrf, pmrf):
        paper = recipe("paper").train
        for scale in ("small", "debug"):
            train = recipe(scale).train
            for name in ("lr", "schedule", "warmup_steps", "betas", "weight_decay", "eps", "clip", "ema"):
                assert getattr(train, name) == getattr(paper, name), (recipe.__name__, scale, name)
    # the autoencoder's rate goes with the inverse of its widths, its warm-up with its steps
    paper, small = sim_vae("paper"), sim_vae("small")
    narrower = paper.network.arguments["channels"][0] / small.network.arguments["channels"][0]
    assert small.train.lr == pytest.approx(paper.train.lr * narrower)
    assert small.kl_weight == paper.kl_weight
    assert small.perceptual_weight == paper.perceptual_weight


def test_a_run_folder_is_named_after_what_decides_its_weights():
    stage = latent_pmrf("debug")
    assert stage_name(stage) == stage_name(latent_pmrf("debug"))
    watched = replace(stage, train=replace(stage.train, log_every=7, workers=3))
    assert stage_name(watched) == stage_name(stage)
    inner = replace(stage, autoencoder=replace(stage.autoencoder, perceptual_weight=0.5))
    for other in (with_seed(stage, 1), replace(stage, source_noise=0.1), inner):
        assert stage_name(other) != stage_name(stage)
    # a field that the code gains later, at its default, leaves every name as it was
    assert set(essence(TrainConfig(steps=3, batch_size=2))["TrainConfig"]) == {"steps", "batch_size"}


def test_seeds_spare_the_estimator_that_all_rows_share():
    stage = with_seed(latent_pmrf("debug"), 5)
    assert (stage.train.seed, stage.autoencoder.train.seed, stage.estimator.train.seed) == (5, 5, 0)


def test_what_rows_share_keeps_its_seed():
    """A latent estimator depends on a seed by its autoencoder alone; published networks do not depend on one."""
    flow = mean_of_latents("debug")
    assert with_seed(flow, 5).latent_estimator.train.seed == flow.latent_estimator.train.seed
    assert with_seed(flow, 5).latent_estimator.autoencoder.train.seed == 5
    ships = replace(flow.autoencoder, published="bundled")
    flow = replace(flow, autoencoder=ships, latent_estimator=replace(flow.latent_estimator, autoencoder=ships))
    seeded = with_seed(flow, 5)
    assert seeded.train.seed == 5
    assert seeded.autoencoder == ships
    assert stage_name(seeded.latent_estimator) == stage_name(flow.latent_estimator)


def test_networks_start_from_their_seed_and_spare_the_global_generator():
    network = sim_vae("debug").network
    before = torch.get_rng_state()
    a, b, other = (network.build(seed).state_dict() for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    key = "encoder.conv_in.weight"
    assert torch.equal(a[key], b[key])
    assert not torch.equal(a[key], other[key])


@pytest.fixture(scope="module")
def place(image_folders, tmp_path_factory):
    return Place(image_folders, tmp_path_factory.mktemp("runs"), device="cpu")


def test_a_flow_trains_what_it_builds_on_once(place):
    flow = latent_pmrf("debug")
    assert not finished(flow, place)
    velocity = trained(flow, place)
    assert velocity.config["in_channels"] == 32
    folders = {path: path.stat().st_mtime_ns for path in place.runs.glob("*/model")}
    assert len(folders) == 3  # autoencoder, estimator, flow
    again = trained(flow, place)
    assert all(torch.equal(a, b) for a, b in zip(velocity.parameters(), again.parameters()))
    assert {path: path.stat().st_mtime_ns for path in place.runs.glob("*/model")} == folders
    latents = flow_ends(flow, place).encode(torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert latents.std() < 50.0
    vae = trained(flow.autoencoder, place)
    assert isinstance(vae, SimVAE)
    assert vae.scaling_factor != 1.0


def test_a_batch_is_that_of_all_processes(place, monkeypatch):
    train = sim_vae("paper").train
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert place.config(train).batch_size == 8
    monkeypatch.setenv("WORLD_SIZE", "7")
    with pytest.raises(ValueError, match="a batch of 64 cannot be shared out among 7 processes"):
        place.config(train)


def test_ends_of_every_source_and_condition(place):
    vae, estimator = (trained(stage, place) for stage in (sim_vae("debug"), posterior_mean("debug")))
    y = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    plain = pmrf("debug")
    mean = estimator(y).clamp(0, 1)

    def start(**changes):
        return FlowEnds(replace(plain, pair_rounds=0, **changes), estimator=estimator).start(y)

    assert torch.equal(start()[0], mean)
    assert start()[1] is None
    assert torch.equal(start(source="degraded")[0], y)
    source, condition = start(source="noise", condition="degraded")
    assert not source.any()
    assert torch.equal(condition, y)
    assert torch.equal(start(source="noise", condition="posterior-mean")[1], mean)
    latent = FlowEnds(latent_pmrf("debug"), autoencoder=vae, estimator=estimator)
    expected = vae.normalize(vae.encode(2 * mean - 1).mode())
    torch.testing.assert_close(latent.start(y)[0], expected)
    torch.testing.assert_close(latent.to_image(expected), 0.5 * (vae(2 * mean - 1) + 1), atol=1e-4, rtol=1e-4)


def test_a_condition_joins_the_state_as_channels():
    x, condition = torch.zeros(1, 3, 4, 4), torch.ones(1, 3, 4, 4)
    seen = seeing(lambda x, t: x, condition)(x, torch.zeros(1))
    assert torch.equal(seen, torch.cat((x, condition), 1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"source": "prior"}, "source must be one of 'posterior-mean'"),
        ({"condition": "image"}, "condition must be one of"),
        ({"loss": "adversarial"}, "loss must be one of"),
        ({"estimator": None}, "needs an estimator"),
        ({"source": "mean-of-latents"}, "needs an autoencoder and a latent_estimator"),
    ],
)
def test_flows_that_cannot_be_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        replace(pmrf("debug"), **change)


@pytest.fixture
def command(image_folders, monkeypatch, capsys):
    def run(*arguments, recipe="sim_vae"):
        """Exit status and what was printed last, on stdout or as the reason of the exit."""
        monkeypatch.setattr(sys, "argv", [recipe, "--data", str(image_folders), *arguments])
        try:
            runpy.run_module(f"recipes.{recipe}", run_name="__main__")
        except SystemExit as error:
            return 1, str(error.code)
        return 0, capsys.readouterr().out

    return run


def test_command_line(command, tmp_path):
    run = command
    status, folder = run("--runs", str(tmp_path), "--scale", "debug", "--device", "cpu", "--seed", "3")
    assert status == 0, folder
    assert (Path(folder.strip()) / "model" / "model.safetensors").is_file()
    status, reason = run("--runs", str(tmp_path), "--device", "cpu")
    assert status == 1
    assert reason.startswith("sim_vae: the perceptual loss needs torchvision's VGG-19")
    assert json.loads(run("--show")[1])["Autoencoder"]["train"]["TrainConfig"]["steps"] == 150_000
    assert run("--autoencoder", "x")[1].startswith("--autoencoder: this recipe")


def test_pairs_on_the_disk(command, place, tmp_path):
    trained(latent_pmrf("debug"), place)  # what the flow builds on
    line = ["--runs", str(place.runs), "--scale", "debug", "--device", "cpu", "--pairs", str(tmp_path)]
    status, folder = command(*line, "--pair-rounds", "3", recipe="latent_pmrf")
    assert status == 0, folder
    assert (Path(folder.strip()) / "model" / "model.safetensors").is_file()
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert (manifest["rounds"], manifest["pairs"]) == (3, 15)
    pairs = PairFolder(tmp_path)
    assert pairs[0][0].shape == pairs[0][1].shape == (32, 4, 4)
    assert command(*line, "--pair-rounds", "2", recipe="latent_pmrf")[1].startswith(
        f"latent_pmrf: {tmp_path} holds pairs that something else made: rounds is 3 there and 2 here"
    )
    assert command(*line, "--pair-rounds", "0", recipe="latent_pmrf")[1].startswith("--pairs: say by --pair-rounds")
    assert command("--pair-rounds", "1")[1] == "--pairs, --pair-rounds: this recipe trains no flow"
