"""What the interpreter accepts the compiler may not: the kernels are compiled for a GPU, with none at hand."""

import subprocess
import sys

import pytest

pytest.importorskip("triton", reason="triton is not installed")

# In a process of its own, because here the kernels may be the interpreter's.
PROGRAM = """
from triton import compile, language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from pmrf_blocks.kernels import layer_norm_triton, neighborhood_triton, rms_norm_triton, rotary_triton

def build(kernel, float32, scalars, **constants):
    types = {name: "*bf16" for name in kernel.arg_names}
    types |= {name: "*fp32" for name in float32} | {name: "i32" for name in scalars}
    types |= {name: "fp32" for name in ("eps",)} | {name: "constexpr" for name in constants}
    if "KH" in constants:
        types["scale"] = "fp32"
    places = {(kernel.arg_names.index(name),): value for name, value in constants.items()}
    signature = {name: types[name] for name in kernel.arg_names}
    compiled = compile(ASTSource(kernel, signature, places), target=GPUTarget("cuda", 90, 32), options={"num_warps": 4})
    print(len(compiled.asm["cubin"]))

strides = [t + a for t in ("q", "k", "v") for a in "bhwn"] + [t + a for t in ("oq", "ok") for a in "bhwn"]
rows = dict(C=12, BLOCK_M=4, BLOCK_C=16)
build(layer_norm_triton._backward, ["mean", "rstd", "dweight", "dbias"], ["rows", "stride"], SILU=True, **rows)
build(rms_norm_triton._backward, ["rrms", "dscale"], ["rows", "stride"], **rows)
turn = dict(TURN=4, D=16, BLOCK_M=4, BLOCK_T=4, BLOCK_R=8)
scalars = ["rows", "H", "W", "N", *strides]
build(rotary_triton._forward, ["cos", "sin", "scale"], scalars, COSINE=True, COPY=True, **turn)
tile = dict(KH=3, KW=4, DH=1, DW=2, D=16, DV=16, TILE_H=4, TILE_W=4, BLOCK=16, BLOCK_D=16, BLOCK_DV=16,
            PRECISION="ieee", OPERAND=tl.bfloat16)
build(neighborhood_triton._forward, ["lse"], scalars, **tile)
build(neighborhood_triton._backward_q, ["lse", "delta"], scalars, **tile)
build(neighborhood_triton._backward_kv, ["lse", "delta"], scalars, **tile)
"""


def test_kernels_compile_for_a_gpu(monkeypatch):
    monkeypatch.setenv("TRITON_INTERPRET", "0")
    run = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr[-3000:]
    assert [int(size) > 1000 for size in run.stdout.split()] == [True] * 6
