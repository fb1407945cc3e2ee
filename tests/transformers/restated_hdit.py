"""k-diffusion's image transformer v2, restated from the published code: names, shapes and order of its parameters, and
its formula, with plain indexing. Nothing here asks the model."""

import math
from dataclasses import dataclass

import torch

from pmrf_blocks.transformers import HourglassTransformer, Level


@dataclass(frozen=True)
class Form:
    """Sizes of one network; `hidden` by width, 3 * width where it names none."""

    widths: tuple[int, ...] = (32, 48, 64)
    depths: tuple[int, ...] = (2, 1, 2)
    kinds: tuple[str, ...] = ("neighborhood", "neighborhood", "global")
    mapping: int = 24
    patch: tuple[int, int] = (2, 2)
    head: int = 16
    kernel: int = 3
    window: int = 4
    hidden: tuple[tuple[int, int], ...] = ()
    mapping_hidden: int = 0
    classes: int = 0
    cond: int = 0
    channels: int = 3

    def hidden_of(self, width):
        return dict(self.hidden).get(width, 3 * width)


def published_layout(form=Form()):
    """(name, shape, whether it is a parameter), in the order in which k-diffusion registers its parts."""
    widths, depths, kinds, mapping, head = form.widths, form.depths, form.kinds, form.mapping, form.head
    pixels = form.channels * math.prod(form.patch)

    def layer(name, width, kind):
        hidden = form.hidden_of(width)
        if kind != "none":
            heads = width // head
            yield f"{name}.self_attn.scale", (heads,), True
            yield f"{name}.self_attn.norm.linear.weight", (width, mapping), True
            yield f"{name}.self_attn.qkv_proj.weight", (3 * width, width), True
            yield f"{name}.self_attn.pos_emb.freqs", (heads, head // 8), False
            yield f"{name}.self_attn.out_proj.weight", (width, width), True
        yield f"{name}.ff.norm.linear.weight", (width, mapping), True
        yield f"{name}.ff.up_proj.weight", (2 * hidden, width), True
        yield f"{name}.ff.down_proj.weight", (width, hidden), True

    yield "patch_in.proj.weight", (widths[0], pixels), True
    for name, inputs in (("time", 1), ("aug", 9)):
        yield f"{name}_emb.weight", (mapping // 2, inputs), False
        yield f"{name}_in_proj.weight", (mapping, mapping), True
    if form.classes:
        yield "class_emb.weight", (form.classes, mapping), True
    if form.cond:
        yield "mapping_cond_in_proj.weight", (mapping, form.cond), True
    yield "mapping.in_norm.scale", (mapping,), True
    hidden = form.mapping_hidden or 3 * mapping
    for i in range(2):
        yield f"mapping.blocks.{i}.norm.scale", (mapping,), True
        yield f"mapping.blocks.{i}.up_proj.weight", (2 * hidden, mapping), True
        yield f"mapping.blocks.{i}.down_proj.weight", (mapping, hidden), True
    yield "mapping.out_norm.scale", (mapping,), True
    for side in ("down", "up"):
        for i, (width, depth, kind) in enumerate(list(zip(widths, depths, kinds))[:-1]):
            for j in range(depth):
                yield from layer(f"{side}_levels.{i}.{j}", width, kind)
    for j in range(depths[-1]):
        yield from layer(f"mid_level.{j}", widths[-1], kinds[-1])
    for i in range(len(widths) - 1):
        yield f"merges.{i}.proj.weight", (widths[i + 1], 4 * widths[i]), True
    for i in range(len(widths) - 1):
        yield f"splits.{i}.fac", (1,), True
        yield f"splits.{i}.proj.weight", (4 * widths[i], widths[i + 1]), True
    yield "out_norm.scale", (widths[0],), True
    yield "patch_out.proj.weight", (pixels, widths[0]), True


def published_weights(form=Form(), seed=0):
    """Random weights by name, at sizes that keep every activation near one."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for name, shape, _ in published_layout(form):
        value = torch.randn(shape, generator=generator)
        if name.endswith("self_attn.scale"):
            value = 2 + value.abs()
        elif name.endswith("freqs"):
            value = math.pi * (1 + 9 * torch.rand(shape, generator=generator))
        elif len(shape) == 1:
            value = 0.5 + 0.2 * value
        elif not name.endswith("_emb.weight"):
            value = value / shape[1] ** 0.5
        state[name] = value
    return state


def model_of(form=Form()):
    levels = [
        Level(width, depth, kind, kernel_size=form.kernel, window_size=form.window, head_dim=form.head,
              ff_width=form.hidden_of(width))
        for width, depth, kind in zip(form.widths, form.depths, form.kinds)
    ]  # fmt: skip
    return HourglassTransformer(
        in_channels=form.channels, levels=levels, patch_size=form.patch, mapping_width=form.mapping, augmentation=True,
        mapping_ff_width=form.mapping_hidden or None, num_classes=form.classes, mapping_cond_dim=form.cond,
    ).eval()  # fmt: skip


def sees(form, kind, index, height, width):
    """(H * W, H * W) bool, from the definition of each kind of attention, pixel by pixel."""

    def near(a, b, size):
        if kind == "global":
            return True
        if kind == "neighborhood":
            first = min(max(a - form.kernel // 2, 0), size - form.kernel)
            return first <= b < first + form.kernel
        shift = form.window // 2 if index % 2 else 0
        return (a + shift) // form.window == (b + shift) // form.window

    rows, columns = (
        torch.tensor([[near(a, b, size) for b in range(size)] for a in range(size)]) for size in (height, width)
    )
    both = rows[:, None, :, None] & columns[None, :, None, :]
    return both.reshape(height * width, height * width)


def restated(weights, form, x, t, class_cond=None, mapping_cond=None, aug_cond=None):
    """k-diffusion's image transformer v2 with t in the place of log(sigma) / 4, as PMRF has it."""
    kinds = form.kinds

    def rms(h, scale):
        return h * torch.rsqrt(h.square().mean(-1, keepdim=True) + 1e-6) * scale

    def geglu(h, name):
        value, gate = (h @ weights[f"{name}.up_proj.weight"].T).chunk(2, -1)
        gelu = gate * 0.5 * (1 + torch.erf(gate / math.sqrt(2)))
        return (value * gelu) @ weights[f"{name}.down_proj.weight"].T

    def fourier(values, name):
        angles = 2 * math.pi * values @ weights[f"{name}_emb.weight"].T
        return torch.cat((angles.cos(), angles.sin()), -1) @ weights[f"{name}_in_proj.weight"].T

    def adaptive(h, name):
        return rms(h, (cond @ weights[f"{name}.linear.weight"].T + 1)[:, None, None])

    def rotary(h, freqs):
        height, width = h.shape[1:3]
        half = 1 / max(height, width)  # half a pixel's side; the longer side of the box goes from -1 to 1
        ys, xs = ((2 * torch.arange(n, dtype=h.dtype) + 1 - n) * half for n in (height, width))
        angle_y = (ys[:, None, None] * freqs)[:, None].expand(-1, width, -1, -1)
        angle_x = (xs[:, None, None] * freqs)[None].expand(height, -1, -1, -1)
        angle = torch.cat((angle_y, angle_x), -1)
        d = angle.shape[-1]
        turned = torch.complex(h[..., :d], h[..., d : 2 * d]) * torch.polar(torch.ones_like(angle), angle)
        return torch.cat((turned.real, turned.imag, h[..., 2 * d :]), -1)

    def attention(h, name, kind, index):
        _, height, width, channels = h.shape
        qkv = adaptive(h, f"{name}.norm") @ weights[f"{name}.qkv_proj.weight"].T
        q, k, v = qkv.view(*h.shape[:3], 3, channels // form.head, form.head).unbind(3)
        scale = weights[f"{name}.scale"].sqrt()[:, None]
        q, k = (part * torch.rsqrt(part.square().sum(-1, keepdim=True) + 1e-6) * scale for part in (q, k))
        q, k = (rotary(part, weights[f"{name}.pos_emb.freqs"]) for part in (q, k))
        scores = torch.einsum("byxnd,bvund->bnyxvu", q, k).flatten(4).flatten(2, 3)
        scores = scores.masked_fill(~sees(form, kind, index, height, width), float("-inf"))
        out = torch.einsum("bnqs,bsnd->bqnd", scores.softmax(-1), v.flatten(1, 2)).reshape(h.shape)
        return out @ weights[f"{name}.out_proj.weight"].T

    def level(h, name, kind, depth, first=0):
        for j in range(depth):
            if kind != "none":
                h = h + attention(h, f"{name}.{j}.self_attn", kind, first + j)
            h = h + geglu(adaptive(h, f"{name}.{j}.ff.norm"), f"{name}.{j}.ff")
        return h

    def fold(h, p, q):
        b, height, width, c = h.shape
        return h.view(b, height // p, p, width // q, q, c).transpose(2, 3).reshape(b, height // p, width // q, -1)

    def unfold(h, p, q):
        b, height, width, c = h.shape
        h = h.view(b, height, width, p, q, c // (p * q)).transpose(2, 3)
        return h.reshape(b, height * p, width * q, c // (p * q))

    weights = {name: value.to(x.dtype) for name, value in weights.items()}
    cond = fourier(t[:, None], "time") + fourier(t.new_zeros(len(t), 9) if aug_cond is None else aug_cond, "aug")
    if class_cond is not None:
        cond = cond + weights["class_emb.weight"][class_cond]
    if mapping_cond is not None:
        cond = cond + mapping_cond @ weights["mapping_cond_in_proj.weight"].T
    cond = rms(cond, weights["mapping.in_norm.scale"])
    for i in range(2):
        cond = cond + geglu(rms(cond, weights[f"mapping.blocks.{i}.norm.scale"]), f"mapping.blocks.{i}")
    cond = rms(cond, weights["mapping.out_norm.scale"])
    h, skips = fold(x.movedim(1, -1), *form.patch) @ weights["patch_in.proj.weight"].T, []
    for i, kind in enumerate(kinds[:-1]):
        skips.append(level(h, f"down_levels.{i}", kind, form.depths[i]))
        h = fold(skips[-1], 2, 2) @ weights[f"merges.{i}.proj.weight"].T
    h = level(h, "mid_level", kinds[-1], form.depths[-1])
    for i in reversed(range(len(kinds) - 1)):
        up = unfold(h @ weights[f"splits.{i}.proj.weight"].T, 2, 2)
        h = skips[i] + weights[f"splits.{i}.fac"] * (up - skips[i])
        h = level(h, f"up_levels.{i}", kinds[i], form.depths[i], first=form.depths[i])
    h = rms(h, weights["out_norm.scale"]) @ weights["patch_out.proj.weight"].T
    return unfold(h, *form.patch).movedim(-1, 1)
