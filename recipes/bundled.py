"""The model that ships: the whole Latent-PMRF chain at 128x128, small enough to train on two CPU cores.

    python -m recipes.bundled --data DIR                            # all parts
    python -m recipes.bundled --data DIR --stage autoencoder        # then estimator, decoder, flow, pixel
    python -m recipes.bundled --data DIR --start bundled --stage decoder    # one part anew, the others as they ship
    python -m recipes.bundled --data DIR --scale debug              # every part in seconds, to see that it runs

Autoencoder and estimator may be trained side by side, as may decoder, flow and pixel after them. 'paper' is 'small'.
"""

from dataclasses import replace

from pmrf_blocks.autoencoders import SimVAE
from pmrf_blocks.estimators import UNet
from pmrf_blocks.experiments import Autoencoder, Decoder, Estimator, Flow, Images, Net, Release, launch
from pmrf_blocks.training import TrainConfig
from pmrf_blocks.transformers import HourglassTransformer, Level


def paper() -> Release:
    """The configuration whose weights are in the package."""
    held_out = Images("faces256/val", 128, held_out=True)
    faces = "faces256/train+photo-faces"
    shaken = Images(faces, 134, crop=128, flip=True)  # more variety of scale and place than aligned crops
    degraded = replace(shaken, degradations=32)
    train = TrainConfig(
        steps=6000, batch_size=128, lr=6e-4, schedule="cosine", final_lr=1e-6, warmup_steps=300, ema=0.999,
        precision="bf16", validate_every=10_000,
    )  # fmt: skip
    autoencoder = Autoencoder(
        network=Net(SimVAE, 32, channels=(32, 64, 128, 160), blocks_per_level=1, middle_blocks=2, residual=True),
        images=(shaken, Images("photos", 192, crop=128, flip=True)),
        faces=Images(faces, 128, flip=True),
        validation=held_out,
        train=replace(train, steps=4500, batch_size=64, lr=8e-4, weight_decay=0.01),
        perceptual="efficientnet-lite1", perceptual_weight=0.05, kl_weight=1e-7,
    )  # fmt: skip
    unet = Net(UNet, widths=(64, 128, 192), blocks=(2, 3, 3), unshuffle=4)
    estimator = Estimator(network=unet, images=degraded, validation=held_out, train=train)
    again = replace(train, steps=800, batch_size=64, lr=2e-4, weight_decay=0.01)
    decoder = Decoder(autoencoder, again, perceptual="efficientnet-lite1", perceptual_weight=0.1)
    flow = Flow(
        velocity=Net(
            HourglassTransformer, in_channels=32, patch_size=1, depthwise=True, cosine=False, mapping_width=128,
            # At 16x16 a 7x7 window costs a CPU as much as the rest of the layer: convolutions mix there.
            levels=(Level(192, 3, attention="none"), Level(256, 4, attention="global")),
        ),
        images=degraded,
        validation=held_out,
        train=replace(train, steps=6500, lr=5e-4, betas=(0.9, 0.95), weight_decay=0.01, final_lr=1e-5),
        groups="k-diffusion",  # the mapping network at a third of the rate; weight decay on projections alone
        autoencoder=autoencoder,
        estimator=estimator,
        source_noise=0.025,
        pair_rounds=1,
    )  # fmt: skip
    pixel = Flow(
        velocity=Net(
            HourglassTransformer, in_channels=3, patch_size=4, mapping_width=128,
            levels=(Level(128, 1), Level(192, 4, attention="global")),
        ),
        images=degraded,
        validation=held_out,
        train=replace(train, steps=3000, batch_size=64, lr=5e-4, betas=(0.9, 0.95), weight_decay=0.01, final_lr=1e-5),
        groups="k-diffusion",
        estimator=estimator,
        source_noise=0.1,
    )  # fmt: skip
    return Release(flow, decoder, pixel)


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
        train=short,
        perceptual="none",
        kl_weight=1e-7,
    )
    faces = replace(faces, degradations=2)
    estimator = Estimator(Net(UNet, widths=(8, 16), blocks=(1, 1), unshuffle=2), faces, held_out, short)
    latent = Net(HourglassTransformer, in_channels=4, patch_size=1, cosine=False, depthwise=True, mapping_width=32,
                 levels=levels)  # fmt: skip
    flow = Flow(latent, faces, held_out, short, autoencoder, estimator, groups="k-diffusion", source_noise=0.025,
                pair_rounds=1, pair_caches=2)  # fmt: skip
    pixels = Net(HourglassTransformer, in_channels=3, patch_size=4, mapping_width=32, levels=levels)
    pixel = Flow(pixels, faces, held_out, short, None, estimator, groups="k-diffusion", source_noise=0.1)
    return Release(flow, Decoder(autoencoder, short, perceptual="none"), pixel)


if __name__ == "__main__":
    launch(__doc__, paper=paper, small=small, debug=debug)
