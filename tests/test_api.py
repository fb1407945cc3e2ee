"""The public names and the weights' names: users' code and files depend on both."""

import importlib
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.transformers import HourglassTransformer, Level

ROOT = Path(__file__).resolve().parents[1]
PUBLIC = {
    "attention": "available_backends axial_positions AxialRoPE global_attention neighborhood_attention_2d "
    "resolve_backend resolve_global_backend rotate shifted_window_attention_2d",
    "autoencoders": "Design DiagonalGaussian feature_balance feature_magnitudes Imbalance load_autoencoder "
    "Locality save_diffusers SDVAE SimVAE WHOLE",
    "transformers": "from_k_diffusion_config HourglassTransformer latent_pmrf_hdit Level load_k_diffusion_weights "
    "pmrf_controlled_hdit pmrf_hdit PRESETS",
    "estimators": "difface_swinir elir_rrdb RRDB load_swinir_weights pmrf_swinir SwinIR UNet",
    "flow": "Adaptive add_source_noise consistency_flow_matching_loss DISTRIBUTIONS Dopri5 find_solver integrate "
    "integrate_mean_flow IntegrationResult interpolate list_solvers mean_flow_loss rectified_flow_loss reflow_pairs "
    "residual_shift_loss ResidualShift sample_residual_shift sample_time sample_time_pairs Solver SOLVERS Tableau",
    "degradations": "BlindFaceDegradation BlindFaceParameters build_degradation Colourisation ControlledDegradation "
    "Denoising gaussian_kernel GaussianBlur GaussianNoise Greyscale Inpainting JPEG list_degradations PIPELINES "
    "RandomMask Resize SuperResolution",
    "losses": "EfficientNetLiteFeatures FeatureNetwork perceptual_loss PerceptualLoss REAL_ESRGAN_WEIGHTS "
    "VGG19Features",
    "metrics": "bootstrap_interval efficientnet_lite0_features EfficientNetLite0 Evaluation Evaluator find_protocol "
    "frechet_distance identity_degrees ind_rmse landmark_distance list_metrics luma METRICS mmd_rbf Moments ms_ssim "
    "MS_SSIM_WEIGHTS PrincipalComponents principal_components Protocol PROTOCOLS psnr psnr_y Score ssim "
    "Statistics structural_similarities Structural",
    "data": "DataError EndlessBatches find_images IMAGE_SUFFIXES ImageDataset IterableImages JoinedDataset MapImages "
    "SampleKey TarImages",
    "images": "describe_image find_pictures Found Header IMAGE_SUFFIXES ImageError is_hidden LoadedImage MAX_PIXELS "
    "open_eight_bits open_image output_name picture_of save_picture shown take_picture within_limit without_suffix "
    "WRITABLE write_image write_whole",
    "faces": "build_detector crop_face DETECTORS Detector DetectorUnavailable Face FaceTracker feathered_mask "
    "find_faces paste_face similarity Tone warp",
    "training": "AutoencoderTask fit FlowTask latent_statistics LatentMeanTask PairDataset "
    "PairFolder PosteriorMeanTask precompute_pairs TrainConfig TrainingError write_degraded write_pairs DegradedImages",
    "experiments": "Autoencoder CELEBA_TEST Claim config_hash Decoder describe Diffusion Estimator Figure Flow "
    "Images LatentEstimator launch Net Place reflow Reflow Release Row stage_name Table trained with_seed",
    "analysis": "Axis compare_sources Curve decompose Decomposition Distortion draw_convergence draw_grid draw_plane "
    "EvaluationError finite_posterior gaussian_wasserstein GaussianRestoration grid_figure GridRow higher_is_better "
    "Isometry isometry pairwise_isometry pareto_front perplexity plane_rows Point read_evaluations read_stats Score "
    "SourceOptions speedup Speedup split_distortion stats_curve StatsError Zoom",
    "kernels": "give_back_memory is_available optimize Report restore_plain why_unavailable",
    "degradations.augmentations": "PairSequential RandomBlindFace RandomColourisation RandomDegradation "
    "RandomDenoising RandomDownscale RandomGaussianBlur RandomGaussianNoise RandomGreyscale RandomInpainting "
    "RandomJPEG RandomMask RandomSuperResolution",
    "metrics.torchmetrics_classes": "Deg FrechetDistance IndRMSE LMD MMD PSNR",
    "restoration": "BatchSpace BUNDLED comparison compose degrade_held_out DegradedSource ELIR FaceReport "
    "flow_conditioned_on_degraded flow_conditioned_on_mean flow_from_degraded ForeignNetwork LatentMeanSource "
    "LatentPMRF Latents load_restorer NoiseSource NonFiniteError Pipeline Pixels PMRF PosteriorMean "
    "PosteriorMeanSource ResShift restore restore_crop restore_crops restore_held_out restore_photograph restore_video "
    "Restored RestoredCrop RestoredPhotograph SuperResolution VIDEO_SUFFIXES VideoReport WRITABLE_VIDEOS",
}

# A command line, and what needs files or packages that a reader has to get.
WITHOUT_EXAMPLE = {
    "experiments.launch", "faces.DetectorUnavailable", "restoration.ForeignNetwork", "restoration.SuperResolution",
}  # fmt: skip


@pytest.mark.parametrize("room", PUBLIC)
def test_public_names(room):
    module = importlib.import_module(f"pmrf_blocks.{room}")
    assert set(module.__all__) == set(PUBLIC[room].split())
    for name in module.__all__:
        value = getattr(module, name)
        assert not callable(value) or value.__doc__, f"{name} has no docstring"


@pytest.mark.parametrize("room", PUBLIC)
def test_names_have_an_example(room):
    """Under 'Examples:'; tests/test_examples.py runs it, as a reader who has imported torch and the room's names."""
    module = importlib.import_module(f"pmrf_blocks.{room}")
    for name in module.__all__:
        value = getattr(module, name)
        if callable(value) and f"{room}.{name}" not in WITHOUT_EXAMPLE:
            assert ">>>" in (value.__doc__ or ""), f"pmrf_blocks.{room}.{name} has no example"


@pytest.mark.parametrize("room", PUBLIC)
def test_the_reference_has_a_page_of_it(room):
    page = f"api/{room.partition('.')[0]}.md"
    assert f"::: pmrf_blocks.{room}\n" in (ROOT / "docs" / page).read_text()
    assert f"- {page}\n" in (ROOT / "mkdocs.yml").read_text()


def test_import_is_light():
    code = "import sys, pmrf_blocks; print(sorted(m for m in sys.modules if m.startswith(('torch', 'pmrf_blocks.'))))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_names_of_the_weights():
    with torch.device("meta"):
        vae = SimVAE(latent_channels=2, channels=(8, 16), blocks_per_level=1, middle_blocks=1)
        level = Level(64, 1)
        hdit = HourglassTransformer(in_channels=2, levels=(level, Level(128, 1, attention="global")), depthwise=True)
    assert {name.rsplit(".", 1)[0] for name in vae.state_dict()} == {
        f"{half}.{part}"
        for half, resize in (("encoder", "down_blocks.0.downsampler.conv"), ("decoder", "up_blocks.0.upsampler.conv"))
        for part in ("conv_in", "conv_out", resize)
    } | {
        f"{half}.{block}.resnets.{i}.{layer}"
        for half, blocks in (
            ("encoder", {"down_blocks.0": 1, "down_blocks.1": 1, "mid_block": 1}),
            ("decoder", {"mid_block": 1, "up_blocks.0": 2, "up_blocks.1": 2}),
        )
        for block, count in blocks.items()
        for i in range(count)
        for layer in ("norm", "conv1", "conv2")
    }
    tops = {name.split(".")[0] for name in hdit.state_dict()}
    assert tops == {
        "time_emb", "time_in_proj", "mapping", "patch_in", "down_levels", "merges", "mid_level", "splits", "up_levels",
        "out_norm", "patch_out",
    }  # fmt: skip
