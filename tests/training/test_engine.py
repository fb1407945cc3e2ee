"""What a run does with its task: guard, averaged weights, speed-ups that change nothing, records, early errors."""

import json
import math

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from test_speedups import convolution
from training_toys import (
    Halve,
    Points,
    Regression,
    config,
    darken,
    fit,
    in_pixels,
    last,
    outcome,
    run,
    stats,
    weights,
)

from pmrf_blocks.data import DataError, ImageDataset, JoinedDataset, find_images
from pmrf_blocks.training import FlowTask, TrainingError
from pmrf_blocks.training.guard import LEARN, Guard


class Faulty(Regression):
    """The losses of some calls are multiplied by something."""

    def __init__(self, calls, factor):
        super().__init__()
        self.calls, self.factor = calls, factor

    def forward(self, batch, generator):
        loss, parts = super().forward(batch, generator)
        return (loss * self.factor if self.call in self.calls else loss), parts


@pytest.mark.parametrize("factor", [math.nan, math.inf])
def test_a_bad_update_is_not_made_and_counted(tmp_path, factor):
    """Weights, average and optimiser are those of a run that never made it."""
    run(tmp_path / "before", steps=5, schedule="constant")
    run(tmp_path / "skipped", Faulty({6}, factor), steps=6, schedule="constant")
    before, skipped = last(tmp_path / "before"), last(tmp_path / "skipped")
    for part in ("network", "ema"):
        assert str(before[part]) == str(skipped[part])
    assert before["optimizer"]["state"][0]["step"] == skipped["optimizer"]["state"][0]["step"] == 5
    assert stats(tmp_path / "skipped")[-1]["skipped"] == 1
    assert "step 5 skipped: the loss is" in (tmp_path / "skipped/log.txt").read_text()
    run(tmp_path / "on", Faulty({6}, factor), steps=30)
    assert last(tmp_path / "on")["guard"]["in_a_row"] == 0
    assert torch.isfinite(last(tmp_path / "on")["network"]["0.weight"]).all()


def test_an_exploding_loss_is_skipped_and_ends_the_run(tmp_path):
    task = Faulty(range(LEARN + 5, 100), 1e6)
    with pytest.raises(TrainingError) as error:
        run(tmp_path, task, steps=60, max_skipped=3)
    assert "3 updates in a row were skipped, the last at step 26 because the loss is" in str(error.value)
    assert "more than 100 times the usual" in str(error.value)
    assert str(error.value).endswith("step-00000024.pt")
    assert "ended: 3 updates in a row" in (tmp_path / "log.txt").read_text()
    good = tmp_path / "unguarded"
    run(good, Faulty({LEARN + 5}, 1e6), steps=LEARN + 6, explosion=None)
    assert stats(good)[-1]["skipped"] == 0


def test_guard_forgets_skipped_losses():
    guard = Guard(10.0)
    assert [guard.refuse(1.0, 1.0) for _ in range(LEARN)] == [None] * LEARN
    assert "10 times the usual 1" in guard.refuse(11.0, 1.0)
    assert guard.refuse(9.0, 1.0) is None
    assert guard.refuse(1.0, math.inf) is not None
    assert (guard.skipped, guard.in_a_row) == (2, 1)
    other = Guard(10.0)
    other.load_state_dict(guard.state_dict())
    assert vars(other) == vars(guard)


def test_validation_export_and_result_are_of_the_average(tmp_path):
    class Weighing(Regression):
        def scores(self, batch, generator):
            return {"sum": weights(self.network).double().sum()}

    data = Points()
    network = run(tmp_path, Weighing(), data, validation=data)
    state = last(tmp_path)
    average = sum(float(tensor.double().sum()) for tensor in state["ema"]["shadow"].values())
    own = sum(float(tensor.double().sum()) for tensor in state["network"].values())
    assert stats(tmp_path)[-1]["val_sum"] == pytest.approx(average, rel=1e-9)
    assert average != pytest.approx(own, rel=1e-6)
    exported = load_file(tmp_path / "export/model.safetensors")
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, state["ema"]["shadow"][name])
        assert torch.equal(parameter, exported[name])
    assert not network.training


def test_validation_changes_nothing(tmp_path):
    run(tmp_path / "without")
    run(tmp_path / "with", validation=Points(), validate_every=1)
    a, b = (outcome(tmp_path / name)["state"] for name in ("without", "with"))
    assert a == b


def test_run_folder(tmp_path):
    convolution(tmp_path, trackers=("tensorboard",), validate_every=2, log_every=2, checkpoint_every=2, pictures=3)
    whole = json.loads((tmp_path / "config.json").read_text())
    assert whole["train"]["steps"] == 4
    environment = whole["environment"]
    assert environment["revision"] is None or len(environment["revision"].removesuffix("-dirty")) == 12
    assert environment["versions"]["torch"] == torch.__version__
    assert environment["processes"] == 1
    assert environment["command"]
    lines = [line for line in stats(tmp_path) if "loss" in line]
    assert [line["step"] for line in lines] == [2, 4]
    assert [line["images"] for line in lines] == [8, 16]
    for line in lines:
        assert line["images_per_second"] > 0
        assert 0.01 < line["memory_gib"] < 100
        assert 0 < line["lr"] <= 1e-2
        assert math.isfinite(line["loss"])
        assert math.isfinite(line["gradient_norm"])
    assert [line["step"] for line in stats(tmp_path) if "val_psnr" in line] == [2, 4]
    assert "step 4: val_psnr" in (tmp_path / "log.txt").read_text()
    assert [path.name for path in sorted((tmp_path / "checkpoints").iterdir())] == [
        "step-00000002.pt",
        "step-00000004.pt",
    ]
    assert (tmp_path / "export/model.safetensors").exists()
    picture = Image.open(tmp_path / "validation/step-00000004.png")
    assert picture.width >= 3 * 8  # degraded, posterior mean, image
    assert picture.height >= 3 * 8
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = [path for path in (tmp_path / "tensorboard").rglob("*tfevents*") if path.stat().st_size > 1000]
    seen = EventAccumulator(str(events[0]), size_guidance={"images": 0})
    seen.Reload()
    assert [event.step for event in seen.Scalars("loss")] == [2, 4]
    assert seen.Scalars("val_psnr")[-1].value == pytest.approx(stats(tmp_path)[-1]["val_psnr"], rel=1e-5)
    assert [event.step for event in seen.Images("validation")] == [2, 4]


def test_trackers_are_checked_before_training(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match=r"tracker must be one of .*'tensorboard'.*'wandb'.*; got 'paper'"):
        run(tmp_path, trackers=("paper",))
    monkeypatch.setattr("accelerate.tracking.get_available_trackers", lambda: ["tensorboard"])
    with pytest.raises(ImportError, match="'wandb' needs: pip install wandb"):
        run(tmp_path, trackers=("wandb",))


def test_changed_settings_are_noted(tmp_path):
    run(tmp_path, steps=4)
    run(tmp_path, steps=8, lr=2e-2)
    log = (tmp_path / "log.txt").read_text()
    assert "lr was 0.01 and is 0.02 from here on" in log
    assert "steps was 4 and is 8 from here on" in log


def test_frozen_networks_are_in_eval_mode_without_gradients(tmp_path):
    class Estimator(Halve):
        def forward(self, x):
            assert not self.training
            return super().forward(x)

    class Velocity(Halve):
        def forward(self, x, t):
            assert self.training == torch.is_grad_enabled()  # the source runs without gradients, the velocity with
            return super().forward(x)

    class Images(Points):
        def __getitem__(self, key):
            return torch.zeros(3, 4, 4, dtype=torch.uint8)

    estimator = Estimator().train()
    task = FlowTask(in_pixels(Velocity(), estimator, source_noise=0.1), degradation=darken)
    estimator.train().requires_grad_(True)  # whatever happened to it in between
    run(tmp_path, task, Images(), steps=2)
    assert not estimator.training
    assert not estimator.scale.requires_grad
    assert estimator.scale.grad is None
    assert float(estimator.scale.detach()) == 0.5
    assert list(last(tmp_path)["network"]) == ["scale"]


def pictures(folder, *sizes):
    folder.mkdir(exist_ok=True)
    for number, size in enumerate(sizes):
        Image.fromarray(np.zeros((*size, 3), np.uint8)).save(folder / f"{number}.png")
    return folder


def test_bad_data_is_an_error_before_the_first_step(tmp_path):
    class Never(Regression):
        def forward(self, batch, generator):
            raise AssertionError("a step was made")

    def refused(message, data, **options):
        with pytest.raises(DataError, match=message):
            run(tmp_path / "run", Never(), data, **options)
        assert not (tmp_path / "run").exists()

    class Empty(Points):
        where = "/data/none"

        def __len__(self):
            return 0

    refused("0 images to train on in /data/none", Empty())
    refused("0 images to validate on in /data/none", Points(), validation=Empty())
    refused("11 images to train on: fewer than the 12 of one update", Points(), batch_size=12)
    few = ImageDataset(find_images(pictures(tmp_path / "few", (8, 8))))
    refused(rf"1 images to train on in {tmp_path}/few: fewer than the 4", few)
    folder = pictures(tmp_path / "mixed", *[(8, 8)] * 6, (8, 4))
    (folder / "7.png").write_bytes(b"text")
    crops = ImageDataset(find_images(folder), crop=8)
    both = (
        rf"2 images in {folder} cannot be used:\n  .*6\.png: is 4x8, smaller than the crop of 8\n  .*7\.png: cannot be"
    )
    refused(both, crops)
    refused(r"cannot be used:\n  .*6\.png", JoinedDataset(ImageDataset(find_images(tmp_path / "few")), crops))
    refused(r"7\.png: cannot be read", Points(), validation=ImageDataset(find_images(folder)))
    (folder / "7.png").unlink()
    refused(r"6\.png: its square is 4 pixels wide, that of .*0\.png 8", ImageDataset(find_images(folder)))
    assert len(ImageDataset(find_images(folder), size=8).problems(range(7))) == 0


def test_a_device_that_was_not_asked_for_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="device 'meta' was asked for"):
        fit(config(), Regression(), Points(), tmp_path, device="meta")


def test_a_folder_with_checkpoints_is_refused_unless_resumed(tmp_path):
    run(tmp_path, steps=4)
    with pytest.raises(TrainingError, match=r"already holds step-00000004\.pt"):
        fit(config(), Regression(), Points(), tmp_path, device="cpu", resume=False)
