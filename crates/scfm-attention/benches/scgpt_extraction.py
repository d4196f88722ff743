"""Attention extraction at scGPT's size in torch, timed as `cargo xtask bench --peers` times its other side.

    python scgpt_extraction.py {eager|fused} TOKENS CELLS
Twelve post-norm layers of torch.nn.TransformerEncoderLayer with 8 heads of 64 and relu, random weights. `eager` computes
probabilities from the layer's own projections, averages them over heads and adds the block of a panel, half of each
cell's tokens, to a sum for each layer; `fused` is the layer as it is, which gives no attention. Prints one line after @@.
"""

import json
import sys
import time

import torch
from torch.nn import functional as F

kind, n, cells = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
D, H, L, PANEL = 512, 8, 12, 2000
torch.manual_seed(0)
torch.set_num_threads(2)
layers = [torch.nn.TransformerEncoderLayer(D, H, D, batch_first=True).eval() for _ in range(L)]
sums = torch.zeros(L, PANEL, PANEL)
inside = n // 2


def eager(layer, h):
    q, k, v = F.linear(h, layer.self_attn.in_proj_weight, layer.self_attn.in_proj_bias).chunk(3, dim=-1)
    q, k, v = (x.view(1, n, H, D // H).transpose(1, 2) for x in (q, k, v))
    p = (q @ k.transpose(2, 3) / (D // H) ** 0.5).softmax(-1)
    context = (p @ v).transpose(1, 2).reshape(1, n, D)
    a = layer.norm1(h + layer.self_attn.out_proj(context))
    return layer.norm2(a + layer.linear2(F.relu(layer.linear1(a)))), p


def forward(genes, h):
    for i, layer in enumerate(layers):
        if kind == "fused":
            h = layer(h)
            continue
        h, p = eager(layer, h)
        sums[i].index_put_((genes[:, None], genes[None, :]), p[0, :, :inside, :inside].mean(0), accumulate=True)
    return h


with torch.inference_mode():
    forward(torch.randperm(PANEL)[:inside], torch.randn(1, n, D))
    seconds = 0.0
    for _ in range(cells):
        genes, h = torch.randperm(PANEL)[:inside], torch.randn(1, n, D)
        start = time.perf_counter()
        out = forward(genes, h)
        seconds += time.perf_counter() - start
print("@@" + json.dumps({"task_s": seconds, "check": {"finite": bool(out.isfinite().all())}}))
