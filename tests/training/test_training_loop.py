"""The loop: exact resume, averaged weights, skipped updates, and what a run folder holds."""

import contextlib
import json

import pytest
import torch
from torch import nn

from pmrf_blocks.training import TrainConfig, TrainingError, fit
from pmrf_blocks.training.checkpoint import CheckpointError, latest_checkpoint, load_checkpoint, save_checkpoint
from pmrf_blocks.training.ema import EMA
from pmrf_blocks.training.schedule import learning_rate
from pmrf_blocks.training.tasks import Task


class Points(torch.utils.data.Dataset):
    """Items that depend on index and seed, as crops do."""

    def __len__(self):
        return 7

    def __getitem__(self, key):
        index, seed = key
        return torch.randn(4, generator=torch.Generator().manual_seed(seed)) + index


class Regression(Task):
    def __init__(self, breaks_at=None):
        torch.manual_seed(0)
        super().__init__(nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)))
        self.breaks_at, self.calls = breaks_at, 0

    def forward(self, batch, generator):
        self.calls += 1
        noise = torch.randn(len(batch), 1, generator=generator)
        loss = (self.network(batch) - batch.sum(1, keepdim=True) - noise).square().mean()
        if self.breaks_at is not None and self.calls >= self.breaks_at:
            loss = loss * float("nan")
        return loss, {"noise": noise.mean()}


def config(**changes) -> TrainConfig:
    return TrainConfig(
        **{
            "steps": 12,
            "batch_size": 4,
            "lr": 1e-2,
            "log_every": 3,
            "validate_every": 6,
            "checkpoint_every": 4,
            **changes,
        }
    )


def state(network):
    return torch.cat([p.flatten() for p in network.parameters()])


def test_stopped_and_resumed_equals_uninterrupted_bit_for_bit(tmp_path):
    whole = fit(config(), Regression(), Points(), tmp_path / "whole", device="cpu")
    fit(config(), Regression(), Points(), tmp_path / "parts", device="cpu", stop=5)
    parts = fit(config(), Regression(), Points(), tmp_path / "parts", device="cpu")
    assert torch.equal(state(whole), state(parts))
    ends = [load_checkpoint(latest_checkpoint(tmp_path / name / "checkpoints")) for name in ("whole", "parts")]
    for key, tensor in ends[0]["network"].items():
        assert torch.equal(tensor, ends[1]["network"][key])
    for index, values in ends[0]["optimizer"]["state"].items():
        assert all(torch.equal(values[k], ends[1]["optimizer"]["state"][index][k]) for k in values)


def test_accumulation_gives_the_gradient_of_the_whole_batch(tmp_path):
    class Plain(Regression):
        def forward(self, batch, generator):
            return (self.network(batch) - batch.sum(1, keepdim=True)).square().mean(), {}

    once = fit(config(), Plain(), Points(), tmp_path / "1", device="cpu")
    twice = fit(config(accumulate=2), Plain(), Points(), tmp_path / "2", device="cpu")
    torch.testing.assert_close(state(once), state(twice), rtol=1e-4, atol=1e-5)


def test_the_result_is_the_average(tmp_path):
    network = fit(config(), Regression(), Points(), tmp_path, device="cpu")
    last = load_checkpoint(latest_checkpoint(tmp_path / "checkpoints"))
    for name, parameter in network.named_parameters():
        assert torch.equal(parameter, last["ema"]["shadow"][name])
        assert not torch.equal(parameter, last["network"][name])


def test_run_folder_holds_the_record(tmp_path):
    fit(config(), Regression(), Points(), tmp_path, device="cpu", validation=Points(), record={"name": "test"})
    rows = [json.loads(line) for line in (tmp_path / "stats.jsonl").read_text().splitlines()]
    assert {"loss", "noise", "lr", "images_per_second", "gradient_norm"} <= set(rows[0])
    assert [row["step"] for row in rows if "val_loss" in row] == [6, 12]
    assert rows[0]["images"] == 12
    record = json.loads((tmp_path / "config.json").read_text())
    assert record["recipe"] == {"name": "test"}
    assert record["train"]["steps"] == 12
    assert record["environment"]["versions"]["torch"]


def test_a_broken_loss_is_skipped_then_ends_the_run(tmp_path):
    with pytest.raises(TrainingError, match=r"3 updates in a row .* last good checkpoint is .*step-00000004"):
        fit(config(max_skipped=3), Regression(breaks_at=6), Points(), tmp_path, device="cpu")
    assert torch.isfinite(torch.cat([t.flatten() for t in load_checkpoint(
        latest_checkpoint(tmp_path / "checkpoints"))["network"].values()])).all()  # fmt: skip


def test_a_half_written_checkpoint_is_never_taken(tmp_path, monkeypatch):
    save_checkpoint(tmp_path, 1, {"value": torch.ones(3)})

    def full_disk(state, file):
        file.write(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full_disk)
    with pytest.raises(CheckpointError, match=r"No space left .* last good checkpoint is .*step-00000001"):
        save_checkpoint(tmp_path, 2, {"value": torch.ones(3)})
    assert [path.name for path in tmp_path.iterdir()] == ["step-00000001.pt"]


def test_only_the_newest_checkpoints_stay(tmp_path):
    for step in (1, 2, 3):
        save_checkpoint(tmp_path, step, {"step": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == ["step-00000002.pt", "step-00000003.pt"]


def test_average_follows_its_formula():
    network = nn.Linear(1, 1, bias=False)
    nn.init.zeros_(network.weight)
    ema = EMA(network, 0.5)
    expected = 0.0
    for n in range(5):
        nn.init.constant_(network.weight, float(n + 1))
        ema.update(network)
        decay = min(0.5, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * (n + 1)
    assert float(ema.shadow["weight"]) == pytest.approx(expected)
    with contextlib.suppress(RuntimeError), ema.applied(network):
        assert float(network.weight.detach()) == pytest.approx(expected)
        raise RuntimeError  # the weights come back whatever ends the block
    assert float(network.weight.detach()) == 5.0


def test_learning_rate():
    paper = config(steps=1000, lr=1e-4, final_lr=1e-6, schedule="cosine", warmup_steps=500, warmup_lr=1e-5)
    assert learning_rate(paper, 0) == learning_rate(paper, 499) == 1e-5
    assert learning_rate(paper, 500) == pytest.approx(1e-4)
    assert learning_rate(paper, 750) == pytest.approx((1e-4 + 1e-6) / 2)
    assert learning_rate(paper, 1000) == pytest.approx(1e-6)
    linear = config(warmup_steps=4)
    assert [learning_rate(linear, step) for step in range(5)] == pytest.approx([0.0025, 0.005, 0.0075, 0.01, 0.01])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"steps": 0}, "steps must be at least 1"),
        ({"accumulate": 3}, "not a multiple"),
        ({"precision": "fp16"}, "precision must be one of"),
        ({"schedule": "step"}, "schedule must be one of"),
        ({"steps": 10, "horizon": 9}, "horizon must be at least steps, 10, or None; got 9"),
        ({"ema": 1.0}, "ema must be in"),
    ],
)
def test_bad_configurations(change, message):
    with pytest.raises(ValueError, match=message):
        config(**change)


def test_precision_is_what_was_declared(tmp_path):
    """It was once what a stopwatch said: no number may depend on that."""
    with pytest.raises(ValueError, match=r"precision must be one of \('fp32', 'bf16'\); got 'auto'"):
        config(precision="auto")

    for precision in ("fp32", "bf16"):
        seen = set()

        class Looking(Regression):
            def forward(self, batch, generator, seen=seen):
                seen.add(torch.is_autocast_enabled("cpu"))
                return super().forward(batch, generator)

        fit(config(precision=precision), Looking(), Points(), tmp_path / precision, device="cpu", stop=2)
        assert seen == {precision == "bf16"}
        assert json.loads((tmp_path / precision / "config.json").read_text())["environment"]["precision"] == precision
