"""Classes of torchmetrics give what the functions give: batch by batch, in a collection, and over processes."""

import pytest
import torch
from torchmetrics import MetricCollection

from pmrf_blocks.metrics import (
    frechet_distance,
    identity_degrees,
    ind_rmse,
    landmark_distance,
    list_metrics,
    mmd_rbf,
    psnr,
)
from pmrf_blocks.metrics.torchmetrics_classes import LMD, MMD, PSNR, Deg, FrechetDistance, IndRMSE


def features(x):
    return torch.cat((x.mean((2, 3)), x.std((2, 3))), 1)


def landmarks(x):
    return 10 * x.mean(2)[:, :2, :6].transpose(1, 2)


def build():
    return MetricCollection(
        {
            "psnr": PSNR(),
            "ind_rmse": IndRMSE(),
            "deg": Deg(features),
            "lmd": LMD(landmarks, scale=2.0),
            "fd": FrechetDistance(features),
            "mmd": MMD(features, sigma=0.5, biased=False),
        }
    )


@pytest.fixture
def images(generator):
    x, y, z = torch.rand(3, 12, 3, 16, 16, generator=generator)
    return {"preds": x, "target": 0.5 * x + 0.5 * y, "posterior_mean": 0.8 * x + 0.2 * z}


def expected(images):
    x, y, z = images.values()
    rounded = [(image * 255).round() / 255 for image in (x, y)]
    return {
        "psnr": psnr(*rounded).mean(),
        "ind_rmse": ind_rmse(x, z).square().mean().sqrt(),
        "deg": identity_degrees(x, y, features).mean(),
        "lmd": landmark_distance(x, y, landmarks, scale=2.0).mean(),
        "fd": frechet_distance(features(x), features(y)),
        "mmd": mmd_rbf(features(x), features(y), sigma=0.5, biased=False),
    }


def part(images, *numbers):
    return {name: value[slice(*numbers)] for name, value in images.items()}


def check(found, wanted):
    assert set(found) == set(wanted)
    for name, value in wanted.items():
        assert float(found[name]) == pytest.approx(float(value), rel=1e-5), name


def test_a_collection_gives_what_the_functions_give(images):
    collection = build()
    for start, end in ((0, 5), (5, 6), (6, 12)):
        collection.update(**part(images, start, end))
    check(collection.compute(), expected(images))
    collection.reset()
    check(collection(**images), expected(images))  # forward: the batch's value
    check(collection(**part(images, 0, 5)), expected(part(images, 0, 5)))
    both = {name: torch.cat((value, value[:5])) for name, value in images.items()}
    check(collection.compute(), expected(both))


class OtherProcess:
    """What torchmetrics' gathering gives in one of two processes: this state, and the other's in the same order."""

    def __init__(self, other):
        self.states = [getattr(other, name) for name in other._reductions]
        self.states = iter([torch.cat(state) if isinstance(state, list) else state for state in self.states])

    def __call__(self, state, group=None):
        return [state, next(self.states)]


def test_processes_are_merged(images):
    first, second = build(), build()
    first.update(**part(images, 0, 5))
    second.update(**part(images, 5, 12))
    for name, value in expected(images).items():
        metric = first[name]
        metric.distributed_available_fn, metric.dist_sync_fn = lambda: True, OtherProcess(second[name])
        assert float(metric.compute()) == pytest.approx(float(value), rel=1e-5), name
        metric.dist_sync_fn = None
        metric.distributed_available_fn = lambda: False
        metric.update(**{key: images[key][5:] for key in metric._filter_kwargs(**images)})  # its own state is back
        assert float(metric.compute()) == pytest.approx(float(value), rel=1e-5), name


def test_pairs_below_a_degree_are_left_out_where_asked(images):
    x, y = images["preds"], images["target"].clone()
    y[:3] = x[:3]
    every, scripts = Deg(features), Deg(features, least=1.0)
    for metric in (every, scripts):
        metric.update(x, y)
    angles = identity_degrees(x, y, features)
    assert float(every.compute()) == pytest.approx(float(angles.mean()))
    assert float(scripts.compute()) == pytest.approx(float(angles[3:].mean()))


def test_features_may_be_given(images):
    x, y = features(images["preds"]), features(images["target"])
    for metric, function in ((FrechetDistance(), frechet_distance), (MMD(), mmd_rbf)):
        metric.update(x, y)
        assert float(metric.compute()) == pytest.approx(float(function(x, y)), rel=1e-5)


def test_metrics_are_listed():
    assert {"psnr", "fid", "deg", "mmd_dinov2"} <= set(list_metrics())


def measured(rank, place, images):
    """One of two processes: its share of the images, then what the collection makes of both."""
    torch.distributed.init_process_group("gloo", init_method=f"file://{place}/meet", rank=rank, world_size=2)
    collection = build()
    collection.update(**part(images, 5 * rank, 5 + 7 * rank))
    torch.save({name: float(value) for name, value in collection.compute().items()}, f"{place}/{rank}")
    torch.distributed.destroy_process_group()


def test_two_processes_agree_on_all_images(images, tmp_path):
    torch.multiprocessing.spawn(measured, (str(tmp_path), images), nprocs=2)
    for rank in range(2):
        assert torch.load(tmp_path / str(rank)) == pytest.approx(
            {name: float(value) for name, value in expected(images).items()}, rel=1e-5
        )
