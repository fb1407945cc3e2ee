"""Alignment and pasting: an identity restorer gives the photograph back; kornia and a direct resize as references."""

import math

import pytest
import torch
from torch import Tensor

from pmrf_blocks.faces import Face, Tone, crop_face, feathered_mask, paste_face, similarity, warp
from pmrf_blocks.faces.pasting import keep_mean_colour
from pmrf_blocks.faces.yunet import TEMPLATE

SIZE = 32


def photograph(height: int, width: int, seed: int = 0) -> Tensor:
    """A picture with detail at every scale, down to single pixels."""
    generator = torch.Generator().manual_seed(seed)
    layers = [
        torch.nn.functional.interpolate(
            torch.rand(1, 3, max(1, height >> level), max(1, width >> level), generator=generator),
            (height, width),
            mode="nearest",
        )
        for level in range(5)
    ]
    return torch.stack(layers).mean(0)[0]


def placed(centre: tuple[float, float], frame: float, angle: float) -> Face:
    """A face whose aligned frame has the side `frame`, in pixels, turned by `angle`."""
    template = torch.tensor(TEMPLATE)
    cos, sin = math.cos(angle), math.sin(angle)
    landmarks = ((template - 0.5) * frame) @ torch.tensor([[cos, sin], [-sin, cos]]) + torch.tensor(centre)
    half = 0.375 * frame
    box = (centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half)
    return Face(box, landmarks, template, 1.0)


def poses(count: int):
    generator = torch.Generator().manual_seed(1)
    for index in range(count):
        height, width = (int(side) for side in torch.randint(40, 160, (2,), generator=generator))
        x, y, size, turn = torch.rand(4, generator=generator).tolist()
        centre = ((1.4 * x - 0.2) * width, (1.4 * y - 0.2) * height)  # a fifth of the pictures beyond the border
        yield photograph(height, width, index), placed(centre, 12 * 10**size, 2 * math.pi * turn)


def test_an_identity_restorer_gives_the_photograph_back():
    touched = 0
    for image, face in poses(200):
        matrix = face.to_frame(SIZE)
        result, mask = paste_face(image, crop_face(image, matrix, SIZE), matrix)
        outside = (mask == 0).expand_as(image)
        assert torch.equal(result[outside], image[outside])
        inside = (result - image).abs()[~outside]
        if len(inside):
            touched += 1
            assert float(inside.quantile(0.95)) <= 1 / 255
            assert float(inside.max()) <= 1 / 255
    assert touched > 150


def test_a_change_lands_inside_the_mask_alone():
    for image, face in poses(40):
        matrix = face.to_frame(SIZE)
        result, mask = paste_face(image, 1 - crop_face(image, matrix, SIZE), matrix)
        outside = (mask == 0).expand_as(image)
        assert torch.equal(result[outside], image[outside])
        assert float(result.min()) >= 0
        assert float(result.max()) <= 1


@pytest.mark.parametrize("angle", [0.0, 0.5, math.pi])
@pytest.mark.parametrize("frame", [24.0, 64.0])
def test_what_was_restored_stands_in_the_photograph(frame, angle):
    """A brighter crop makes the middle of the face brighter by as much, and nothing beyond the frame."""
    image = torch.full((3, 128, 160), 0.4)
    face = placed((80.0, 60.0), frame, angle)
    matrix = face.to_frame(SIZE)
    result, mask = paste_face(image, crop_face(image, matrix, SIZE) + 0.2, matrix)
    assert result[:, 60, 80] == pytest.approx(0.6, abs=1e-3)
    assert float(mask.sum()) == pytest.approx(frame**2 * float(feathered_mask(SIZE).mean()), rel=0.03)
    assert (result - image).abs().amax(0)[mask[0] == 0].max() == 0


def test_aligned_landmarks_are_the_template():
    for _, face in poses(20):
        matrix = face.to_frame(SIZE).float()
        landmarks = face.landmarks @ matrix[:, :2].T + matrix[:, 2]
        assert torch.allclose((landmarks + 0.5) / SIZE, face.template, atol=1e-3)


def test_similarity_is_the_least_squares_one(generator):
    """Against a general solver on the four unknowns."""
    source, target = torch.rand(2, 5, 2, generator=generator, dtype=torch.float64)
    x, y, one, zero = source[:, 0], source[:, 1], torch.ones(5).double(), torch.zeros(5).double()
    rows = torch.cat([torch.stack([x, -y, one, zero], 1), torch.stack([y, x, zero, one], 1)])
    a, b, c, d = torch.linalg.lstsq(rows, target.T.reshape(-1, 1)).solution.flatten()
    expected = torch.stack([torch.stack([a, -b, c]), torch.stack([b, a, d])])
    assert torch.allclose(similarity(source, target), expected)


def test_landmarks_on_one_point_are_refused():
    with pytest.raises(ValueError, match="one point"):
        similarity(torch.ones(5, 2), torch.rand(5, 2))


def test_shrinking_is_antialiased():
    """Lines of one pixel become their mean: a map that reads single pixels would keep black and white."""
    image = (torch.arange(128) % 2).float().expand(3, 128, 128)
    matrix = torch.tensor([[0.25, 0.0, -0.375], [0.0, 0.25, -0.375]])
    small = warp(image, matrix, 32, 32)
    assert (small - 0.5).abs().max() < 0.02
    image = photograph(128, 128)
    expected = torch.nn.functional.interpolate(image[None], (32, 32), mode="bicubic", antialias=True)[0]
    assert (warp(image, matrix, 32, 32) - expected)[:, 3:-3, 3:-3].abs().max() < 0.03  # a second bicubic reading


def test_only_the_shown_part_is_read():
    image = photograph(200, 200)
    matrix = torch.tensor([[0.5, 0.0, -30.0], [0.0, 0.5, -30.0]])
    shown = warp(image, matrix, 20, 20)
    other = image.clone()
    other[:, :40], other[:, 140:] = 0, 1
    assert torch.equal(warp(other, matrix, 20, 20), shown)


def test_mean_colour_is_kept(generator):
    crop, restored = torch.rand(2, 3, SIZE, SIZE, generator=generator)
    mask = feathered_mask(SIZE)
    kept = keep_mean_colour(restored, crop, mask)
    assert torch.allclose((kept * mask).sum((1, 2)), (crop * mask).sum((1, 2)), rtol=1e-4)


def test_grey_and_sepia_are_found_and_kept(generator):
    luma = photograph(90, 70)[:1]
    coloured = photograph(90, 70, 5)
    grey = luma.expand(3, -1, -1)
    sepia = torch.cat([luma**0.8, luma, luma**1.3]) * torch.tensor([1.0, 0.9, 0.7])[:, None, None]
    noisy = (sepia + 0.02 * torch.randn(sepia.shape, generator=generator)).clamp(0, 1)
    assert Tone.of(coloured) is None
    tone = Tone.of(grey)
    result = tone.apply(coloured)
    assert torch.equal(result[0], result[1])
    assert torch.equal(result[0], result[2])
    for image in (sepia, noisy):
        tone = Tone.of(image)
        assert tone is not None
        assert (tone.apply(sepia) - sepia).abs().mean() < 0.02
