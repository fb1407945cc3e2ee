"""torch.export takes SwinIR, masks of shifted windows included, at any batch and height of whole windows."""

import torch
from torch import nn
from torch.export import Dim, export

from pmrf_blocks.estimators import SwinIR


def test_exports_with_dynamic_sizes(generator):
    network = SwinIR(embed_dim=12, depths=(2,), num_heads=(2,), window_size=4, unshuffle=2).eval()
    for parameter in network.parameters():
        nn.init.normal_(parameter, std=0.1, generator=generator)
    images, others = torch.rand(2, 3, 16, 24, generator=generator), torch.rand(1, 3, 24, 24, generator=generator)
    sizes = {0: Dim("batch", max=8), 2: 8 * Dim("rows", min=2, max=64)}  # of the width too: twice as long to trace
    with torch.no_grad():
        program = export(network, (images,), dynamic_shapes=(sizes,)).module()
        for x in (images, others):
            torch.testing.assert_close(program(x), network(x), rtol=1e-4, atol=1e-4)
