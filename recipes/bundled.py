"""The model that ships: the whole Latent-PMRF chain at 128x128, small enough to train on two CPU cores.

    python -m recipes.bundled --data DIR                            # all parts
    python -m recipes.bundled --data DIR --stage autoencoder        # then estimator, decoder, flow, pixel
    python -m recipes.bundled --data DIR --start bundled --stage decoder    # one part anew, the others as they ship
    python -m recipes.bundled --data DIR --scale debug              # every part in seconds, to see that it runs

Autoencoder and estimator may be trained side by side, then decoder, flow and pixel. 'paper' is 'small'. photo-faces
are faces cut out of photos, without those held out: docs/make/apart.py.
"""

from dataclasses import replace

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.estimators import UNet
from pmrf_blocks.experiments import Autoencoder, Decoder, Estimator, Flow, Images, Net, Release, launch, reflow
from pmrf_blocks.training import TrainConfig
from pmrf_blocks.transformers import HourglassTransformer, Level


def paper() -> Release:
    """The configuration whose weights are in the package."""
    held_out = Images("faces256/val", 128, held_out=True)
    train = TrainConfig(steps=6000, batch_size=16, lr=4e-4, schedule="cosine", final_lr=1e-6, warmup_steps=200,
                        ema=0.999, weight_decay=0.01)  # fmt: skip
    autoencoder = Autoencoder(
        network=Net(SimVAE, 32, channels=(32, 64, 128, 160), blocks_per_level=1, middle_blocks=2),
        images=(Images("faces256/train", 128, crop=64, flip=True), Images("photos", 192, crop=64, flip=True)),
        faces=Images("faces256/train", 128, flip=True),
        validation=held_out, train=replace(train, steps=5000),
        perceptual="efficientnet-lite1", perceptual_weight=0.05, kl_weight=1e-6,
    )  # fmt: skip
    again = replace(train, steps=2000, lr=2e-4)
    decoder = Decoder(autoencoder, again, perceptual="efficientnet-lite1", perceptual_weight=0.2)
    shaken = Images("faces256/train", 134, crop=128, flip=True)  # more variety of scale and place
    unet = Net(UNet, widths=(64, 128, 192), blocks=(2, 3, 3), unshuffle=4)
    fit = replace(train, lr=5e-4, weight_decay=0.0)
    mean = Estimator(network=unet, images=shaken, validation=held_out, train=fit)
    # The flow was trained on an accelerator, from the means of an estimator that saw eight times as many images there.
    # On faces that are held out that one is worse, so the flow ships with the other (docs/results/bundled.md).
    degraded = replace(shaken, folder="faces256/train+photo-faces", degradations=32)
    long = replace(fit, batch_size=128, lr=6e-4, warmup_steps=300, precision="bf16")
    train = replace(fit, steps=3000, betas=(0.9, 0.95), weight_decay=0.01, final_lr=1e-5)
    teacher = Flow(
        velocity=Net(
            HourglassTransformer, in_channels=32, patch_size=1, depthwise=True, cosine=False, mapping_width=128,
            # At 16x16 a 7x7 window costs a CPU as much as the rest of the layer: convolutions mix there.
            levels=(Level(192, 3, attention="none"), Level(256, 4, attention="global")),
        ),
        images=degraded, validation=held_out, source_noise=0.025, pair_rounds=1,
        train=replace(train, steps=6500, batch_size=128, warmup_steps=300, precision="bf16"),  # stopped at step 5,474
        groups="k-diffusion",  # the mapping network at a third of the rate; weight decay on projections alone
        autoencoder=autoencoder, estimator=replace(mean, images=degraded, train=long),
    )  # fmt: skip
    # Straightened, from the means of the estimator that ships: one step does what the teacher needs 25 for.
    flow = reflow(
        teacher, estimator=mean, images=replace(shaken, folder="faces256/train+photo-faces"), pair_rounds=2,
        train=replace(train, steps=500, batch_size=32, lr=3e-4, warmup_steps=20, ema=0.99, validate_every=500),
    )  # fmt: skip
    pixel = Flow(
        velocity=Net(
            HourglassTransformer, in_channels=3, patch_size=4, mapping_width=128,
            levels=(Level(128, 1), Level(192, 4, attention="global")),
        ),
        images=shaken, validation=held_out, train=train,
        groups="k-diffusion", estimator=mean, source_noise=0.1,
    )  # fmt: skip
    return Release(flow, decoder, pixel, steps=1, mean=mean)


small = paper


def debug() -> Release:
    """Tiny networks at 32x32, four steps a part."""
    short = TrainConfig(steps=4, batch_size=2, lr=1e-3, log_every=2, validate_every=4, checkpoint_every=2)
    faces, held_out = Images("faces256/train", 33, crop=32, flip=True), Images("faces256/val", 32, held_out=True)
    levels = (Level(32, 1, head_dim=16), Level(32, 1, attention="global", head_dim=16))
    autoencoder = Autoencoder(
        network=Net(SimVAE, 4, channels=(8, 16), blocks_per_level=1, middle_blocks=1),
        images=(Images("faces256/train", 32, crop=16, flip=True), Images("photos", 32, crop=16, flip=True)),
        faces=Images("faces256/train", 32, flip=True),
        validation=held_out,
        train=short, perceptual="none",
    )  # fmt: skip
    faces = replace(faces, degradations=2)
    estimator = Estimator(Net(UNet, widths=(8, 16), blocks=(1, 1), unshuffle=2), faces, held_out, short)
    other = replace(estimator, train=replace(short, seed=1))
    latent = Net(HourglassTransformer, in_channels=4, patch_size=1, cosine=False, depthwise=True, mapping_width=32,
                 levels=levels)  # fmt: skip
    teacher = Flow(latent, faces, held_out, short, autoencoder, other, groups="k-diffusion", source_noise=0.025,
                   pair_rounds=1, pair_caches=2)  # fmt: skip
    flow = reflow(teacher, estimator=estimator, pair_caches=1, teacher_steps=2)
    pixels = Net(HourglassTransformer, in_channels=3, patch_size=4, mapping_width=32, levels=levels)
    pixel = Flow(pixels, faces, held_out, short, None, estimator, groups="k-diffusion", source_noise=0.1)
    return Release(flow, Decoder(autoencoder, short, perceptual="none"), pixel, steps=1, mean=estimator)


if __name__ == "__main__":
    launch(__doc__, paper=paper, small=small, debug=debug)
