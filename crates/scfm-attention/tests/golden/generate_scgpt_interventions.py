"""What the model in scgpt/ computes while something is done to its parts, and the ranked logits of its tutorial.

Run in this folder in an environment of requirements.txt with a checkout of github.com/bowang-lab/scGPT:
    python generate_scgpt_interventions.py <checkout>
It writes scgpt_interventions.safetensors for the longest cell of scgpt_expected.safetensors: `hidden.<what>` [S, D] (of
the last layer) and `prediction.<what>` [S] (the expression decoder). torch's layer shows nothing of its heads, so
interventions are made of weights: a silenced head has no columns in the output projection, a head of uniform attention
has no queries, a left-out feed-forward step has no second matrix.

`ranked.tutorial` [S, S] is the last layer's attention as Tutorial_Attention_GRN ranks it, recomputed step by step with
its own argsort of argsort, averaged over heads; `ranked.ties` the same with scipy's ranks, in which tied values share the
mean of theirs, where the tutorial's depend on the sort.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from scipy.stats import rankdata

from scgpt_source import published

(models,) = published("model.model")

HEADS, D = 4, 32
SCALES = {(0, 1): 0.0, (1, 2): 0.5}
UNIFORM = [(0, 0), (1, 3)]
MLP_SCALE = {0: 0.0, 1: 2.0}

torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)
torch.backends.mha.set_fastpath_enabled(False)
here = Path(__file__).parent
expected = load_file(here / "scgpt_expected.safetensors")
tokens, values = expected["tokens.3"], expected["values.3"]
released = torch.load(here / "scgpt/best_model.pt")
genes = [f"GENE{i}" for i in range(57)]
vocab = {gene: i for i, gene in enumerate(genes + ["<pad>", "<cls>", "<eoc>"])}


def build():
    model = models.TransformerModel(
        len(vocab), D, HEADS, 40, 2, vocab=vocab, do_mvc=True, pad_value=-2, dropout=0.2, nlayers_cls=3
    ).eval()
    state = {k.replace("self_attn.Wqkv.", "self_attn.in_proj_"): v for k, v in released.items()}
    state.pop("flag_encoder.weight")
    missing, unexpected = model.load_state_dict(state, strict=False)
    assert not unexpected and all(k.startswith("cls_decoder.") for k in missing), (missing, unexpected)
    return model


def columns(head):
    return slice(head * (D // HEADS), (head + 1) * (D // HEADS))


def scale_head(model, place, factor):
    model.transformer_encoder.layers[place[0]].self_attn.out_proj.weight[:, columns(place[1])] *= factor


def uniform(model, place):
    attention = model.transformer_encoder.layers[place[0]].self_attn
    attention.in_proj_weight[columns(place[1])] = 0
    attention.in_proj_bias[columns(place[1])] = 0


def scale_mlp(model, layer, factor):
    linear = model.transformer_encoder.layers[layer].linear2
    linear.weight *= factor
    linear.bias *= factor


def run(model):
    states = []
    handle = model.transformer_encoder.register_forward_hook(lambda *a: states.append(a[2][0]))
    before = []
    last = model.transformer_encoder.layers[-1].register_forward_pre_hook(lambda _, x: before.append(x[0]))
    mask = tokens[None].eq(vocab["<pad>"])
    out = model(tokens[None], values[None], src_key_padding_mask=mask)
    handle.remove()
    last.remove()
    return states[0], out["mlm_output"][0], before[0]


out = {"tokens": tokens, "values": values}
with torch.no_grad():
    plain = run(build())
    for name in ["head_scale", "uniform", "mlp_scale"]:
        model = build()
        if name == "head_scale":
            for place, factor in SCALES.items():
                scale_head(model, place, factor)
        elif name == "uniform":
            for place in UNIFORM:
                uniform(model, place)
        else:
            for layer, factor in MLP_SCALE.items():
                scale_mlp(model, layer, factor)
        out[f"hidden.{name}"], out[f"prediction.{name}"], _ = run(model)
        print(name, float((out[f"prediction.{name}"] - plain[1]).abs().max()))

    attention = build().transformer_encoder.layers[-1].self_attn
    q, k, _ = torch.nn.functional.linear(plain[2], attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)
    split = lambda x: x.unflatten(-1, (HEADS, D // HEADS)).transpose(1, 2)
    scores = split(q) @ split(k).transpose(2, 3)  # [1, H, S, S]; neither scaled nor put through softmax
    n = scores.shape[-1]
    ranked = scores.reshape(-1, n).argsort(dim=1).argsort(dim=1).reshape(-1, n, n).to(torch.float32) / n
    ranked = ranked.permute(0, 2, 1).reshape(-1, n).argsort(dim=1).argsort(dim=1).reshape(-1, n, n) / n
    out["ranked.tutorial"] = ranked.permute(0, 2, 1).mean(0)
    rows = (rankdata(scores[0].numpy(), axis=2) - 1) / n
    both = (rankdata(rows, axis=1) - 1) / n
    out["ranked.ties"] = torch.from_numpy(both.mean(0)).float()
    print("largest difference that ties make", float((out["ranked.ties"] - out["ranked.tutorial"]).abs().max()))
save_file({k: v.contiguous() for k, v in out.items()}, here / "scgpt_interventions.safetensors")
