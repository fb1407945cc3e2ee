"""What is only faster: optimize(model) puts it in the place of plain layers. Blocks import nothing from here.

swap.py          optimize(), restore_plain(): layers become faster equals of themselves, by rules
linear.py        rule for nn.Linear: in inference on a CPU by oneDNN
transformers.py  rules for the hourglass transformer
autoencoders.py  rules for the autoencoders
choice.py        whether Triton can run here, and which tensors its kernels take
derivatives.py   second derivatives, through the eager formula
reuse.py         may_reuse(): when the next layer may overwrite what a layer made
doubling.py      nearest x2 and the convolution after it, in 4/9 of the multiplications
strips.py        large feature maps by strips of rows, in inference
memory.py        give_back_memory(): to the system, between the layers of a tile
layer_norm.py    channel_layer_norm(): over the channels of a pixel, with SiLU if asked
rms_norm.py      rms_norm(): with one scale for all rows or one for each image
rotary.py        rotary(): rotary embedding of q and k, with cosine scaling if asked
neighborhood.py  neighborhood(): 2-D neighborhood attention
*_triton.py      the kernels themselves; imported by the first call that needs them
"""

from pmrf_blocks.kernels.choice import is_available, why_unavailable
from pmrf_blocks.kernels.memory import give_back_memory
from pmrf_blocks.kernels.swap import Report, optimize, restore_plain

__all__ = ["Report", "give_back_memory", "is_available", "optimize", "restore_plain", "why_unavailable"]
