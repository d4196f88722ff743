"""A small random scGPT from the published modules, and what they compute with it.

Run in this folder in an environment of requirements.txt with a checkout of github.com/bowang-lab/scGPT:
    python generate_scgpt.py <checkout>
It writes scgpt/ (best_model.pt, args.json, vocab.json, named and laid out as the released whole-human model, which is
of flash-attn 1), scgpt_extra.safetensors (what other checkpoints have beside: `bn.*`, `dsbn.*`, the encoder of categories)
and scgpt_expected.safetensors. For cell i it holds `tokens.i` and `values.i` [S], `hidden.i` [L+1, S, D], `attention.i`
[L, H, S, S], `prediction.i` [S] (the expression decoder) and `cell.i` [D]; the cells are computed in one batch, padded to
the longest. `hidden.<variant>` and `attention.<variant>` are those of the last cell under another input style or
normalisation. Attention is recomputed from in_proj, since torch's encoder layer does not return it.
"""

import json
import random
from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import save_file

from scgpt_source import published

(models,) = published("model.model")

N_GENES, D, HEADS, FFN, LAYERS, BINS = 57, 32, 4, 40, 2, 51
LENGTHS = [1, 2, 13, 24]
PAD_VALUE = -2

torch.manual_seed(20260427)
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)
# The fast path packs a padded batch into nested tensors, which hooks cannot look into.
torch.backends.mha.set_fastpath_enabled(False)

genes = [f"GENE{i}" for i in range(N_GENES)]
vocab = {gene: i for i, gene in enumerate(genes + ["<pad>", "<cls>", "<eoc>"])}


def build(**options):
    options = {"do_mvc": True, "pad_value": PAD_VALUE, "dropout": 0.2, "nlayers_cls": 3} | options
    return models.TransformerModel(len(vocab), D, HEADS, FFN, LAYERS, vocab=vocab, **options).eval()


def far_from_the_start(model):
    """Weights large enough that attention is peaked and every bias, scale and running statistic is felt."""
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if not tensor.is_floating_point():
                continue
            if name.endswith("running_var"):
                tensor.copy_(0.2 + torch.rand_like(tensor))
            elif "norm" in name and name.endswith("weight") or name == "bn.weight":
                tensor.copy_(1 + 0.3 * torch.randn_like(tensor))
            elif tensor.dim() == 1:
                tensor.copy_(0.2 * torch.randn_like(tensor))
            else:
                tensor.copy_(0.2 * torch.randn_like(tensor))


def run(model, tokens, values, **more):
    """Hidden states [B, S, D] of L + 1 depths, attention [B, H, S, S] of L layers, decoder and cell embedding."""
    states, maps, handles = [], [], []

    def before(layer, inputs):
        h, attention = inputs[0], layer.self_attn
        states.append(h)
        q, k, _ = torch.nn.functional.linear(h, attention.in_proj_weight, attention.in_proj_bias).chunk(3, dim=-1)
        split = lambda x: x.unflatten(-1, (HEADS, D // HEADS)).transpose(1, 2)
        scores = split(q) @ split(k).transpose(2, 3) / (D // HEADS) ** 0.5
        maps.append(scores.masked_fill(mask[:, None, None, :], float("-inf")).softmax(-1))

    mask = tokens.eq(vocab["<pad>"])
    for layer in model.transformer_encoder.layers:
        handles.append(layer.register_forward_pre_hook(before))
    handles.append(model.transformer_encoder.register_forward_hook(lambda *a: states.append(a[2])))
    with torch.no_grad():
        out = model(tokens, values, src_key_padding_mask=mask, **more)
    for handle in handles:
        handle.remove()
    return torch.stack(states, 1), torch.stack(maps, 1), out["mlm_output"], out["cell_emb"]


def renamed(name):
    """As flash-attn 1 calls it, the inverse of the renaming in scgpt.utils.load_pretrained."""
    return name.replace("self_attn.in_proj_", "self_attn.Wqkv.")


here = Path(__file__).parent
folder = here / "scgpt"
folder.mkdir(exist_ok=True)
model = build()
far_from_the_start(model)
state = model.state_dict()
released = OrderedDict((renamed(k), v) for k, v in state.items() if not k.startswith("cls_decoder."))
# Of the generative pretraining; nothing in TransformerModel has it.
released["flag_encoder.weight"] = torch.randn(2, D)
torch.save(released, folder / "best_model.pt")
args = dict(
    data_source="simulated", training_tasks="both", pad_token="<pad>", mask_ratio=[0.25, 0.5, 0.75], pad_value=PAD_VALUE,
    mask_value=-1, n_bins=BINS, max_seq_len=24, trunc_by_sample=True, input_style="binned", input_emb_style="continuous",
    nlayers=LAYERS, nheads=HEADS, embsize=D, d_hid=FFN, dropout=0.2, n_layers_cls=3, fast_transformer=True, fp16=True,
    no_cls=True, no_cce=True, MVC=True, USE_GENERATIVE_TRAINING=True,
)  # fmt: skip
(folder / "args.json").write_text(json.dumps(args, indent=1) + "\n")
order = list(vocab)
random.Random(0).shuffle(order)
(folder / "vocab.json").write_text(json.dumps({key: vocab[key] for key in order}, indent=0) + "\n")

longest = max(LENGTHS)
tokens = torch.full((len(LENGTHS), longest), vocab["<pad>"])
values = torch.full((len(LENGTHS), longest), float(PAD_VALUE))
for i, n in enumerate(LENGTHS):
    tokens[i, 0] = vocab["<cls>"]
    tokens[i, 1:n] = torch.randperm(N_GENES)[: n - 1]
    values[i, 1:n] = torch.randint(0, BINS, (n - 1,)).float()
# A masked value, and one above what the value encoder lets through.
values[3, 5], values[3, 6] = -1.0, 700.0

expected = {}
hidden, attention, prediction, cell = run(model, tokens, values)
for i, n in enumerate(LENGTHS):
    expected[f"tokens.{i}"] = tokens[i, :n]
    expected[f"values.{i}"] = values[i, :n]
    expected[f"hidden.{i}"] = hidden[i, :, :n]
    expected[f"attention.{i}"] = attention[i, :, :, :n, :n]
    expected[f"prediction.{i}"] = prediction[i, :n]
    expected[f"cell.{i}"] = cell[i]
    print(n, "largest probability", float(expected[f"attention.{i}"].max()))

extra = {}
variants = {
    "batchnorm": (dict(domain_spec_batchnorm="batchnorm"), dict(batch_labels=torch.tensor([0]))),
    "dsbn": (dict(domain_spec_batchnorm="dsbn", num_batch_labels=3), dict(batch_labels=torch.tensor([2]))),
    "category": (dict(input_emb_style="category", n_input_bins=BINS + 1, pad_value=BINS), {}),
    "scaling": (dict(input_emb_style="scaling"), {}),
}
one_cell, one_value = tokens[-1:], values[-1:].clamp(0, BINS - 1)
expected["values.variants"] = one_value[0]
for name, (options, more) in variants.items():
    variant = build(**options)
    far_from_the_start(variant)
    own = {k: v for k, v in variant.state_dict().items() if k not in state}
    assert all(k.startswith(("bn.", "dsbn.", "value_encoder.")) for k in own), list(own)
    variant.load_state_dict({k: v for k, v in state.items() if k in variant.state_dict()} | own)
    extra |= {f"{name}/{k}": v.clone() for k, v in own.items()}
    hidden, attention, _, _ = run(variant, one_cell, one_value, **more)
    expected[f"hidden.{name}"], expected[f"attention.{name}"] = hidden[0], attention[0]
    print(name, sorted(own), "largest probability", float(attention.max()))

save_file({k: v.contiguous() for k, v in extra.items()}, here / "scgpt_extra.safetensors")
save_file({k: v.contiguous() for k, v in expected.items()}, here / "scgpt_expected.safetensors")
