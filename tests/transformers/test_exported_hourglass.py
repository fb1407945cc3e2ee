"""torch.export takes the plain transformer, with any batch, height and width on the dense backend."""

import torch
from hourglass_toys import filled, tiny
from torch.export import Dim, export


def test_exports_with_dynamic_sizes(generator):
    model = filled(tiny(levels=tiny().levels[:1], backend="dense")).eval()  # one level: tracing takes seconds
    batch, height, width = Dim("batch", max=8), *(2 * Dim(name, min=6, max=64) for name in ("rows", "columns"))
    x, other = torch.randn(2, 3, 16, 18, generator=generator), torch.randn(1, 3, 22, 20, generator=generator)
    with torch.no_grad():
        program = export(
            model, (x, torch.full((2,), 0.5)), dynamic_shapes=({0: batch, 2: height, 3: width}, {0: batch})
        ).module()
        for images in (x, other):
            t = torch.full((len(images),), 0.3)
            torch.testing.assert_close(program(images, t), model(images, t), rtol=1e-4, atol=1e-4)


def test_what_is_made_while_exporting_is_not_kept(generator):
    """Masks made of fake tensors would be of no use to the model itself afterwards."""
    model = filled(tiny(levels=(tiny().levels[0],))).eval()
    x = torch.randn(1, 3, 46, 38, generator=generator)  # a size that no other test has
    with torch.no_grad():
        program = export(model, (x, torch.full((1,), 0.5))).module()
        torch.testing.assert_close(model(x, 0.5), program(x, torch.full((1,), 0.5)), rtol=1e-4, atol=1e-4)
