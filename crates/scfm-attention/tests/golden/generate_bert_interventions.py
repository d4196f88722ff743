"""What the model in bert/ computes while something is done to its parts, and scores of pairs that are made of its parts.

Run in this folder in an environment of requirements.txt:  python generate_bert_interventions.py
It writes bert_interventions.safetensors for the longest sequence of bert_expected.safetensors. `hidden.<what>`
[L+1, S, D] and `logits.<what>` [S, V] are those of transformers under each intervention of INTERVENTIONS below;
`attention.head_mask` are the masked probabilities that transformers returns. `context.<layer>` [S, D] and
`mlp.<layer>` [S, D] are what the heads gather and what the feed-forward step adds without any. Of pairs [L, H, S, S],
rows queries: `norm_weighted`, `value_cosine`, `value_dot`, made here from the modules' own tensors.

Head masks go through the library's `head_mask`; all else through hooks on its modules.
"""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import BertForMaskedLM

HEAD_MASK = [[1.0, 0.0, 0.5, 1.0], [1.0, 1.0, -2.0, 0.0], [0.0, 1.0, 1.0, 0.25]]
UNIFORM = [(0, 1), (1, 0), (1, 3)]
MLP_SCALE = {0: 0.0, 2: 0.5}

torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)
here = Path(__file__).parent
model = BertForMaskedLM.from_pretrained(here / "bert", attn_implementation="eager").eval()
expected = load_file(here / "bert_expected.safetensors")
ids = max((v for k, v in expected.items() if k.startswith("tokens.")), key=len)
heads = model.config.num_attention_heads
width = model.config.hidden_size // heads
layers = model.bert.encoder.layer


def run(**more):
    with torch.no_grad():
        return model(input_ids=ids[None], output_attentions=True, output_hidden_states=True, **more)


def hooked(hooks, **more):
    """Runs with hooks, each a module and a function of its inputs and output."""
    handles = [module.register_forward_hook(lambda _, x, y, f=f: f(x, y)) for module, f in hooks]
    out = run(**more)
    for handle in handles:
        handle.remove()
    return out


def columns(head):
    return slice(head * width, (head + 1) * width)


def uniform(layer, head):
    attention = layers[layer].attention.self

    def replace(inputs, outputs):
        context = outputs[0].clone()
        context[..., columns(head)] = attention.value(inputs[0])[..., columns(head)].mean(1, keepdim=True)
        return (context, *outputs[1:])

    return attention, replace


def mlp(layer, scale):
    return layers[layer].output.dense, lambda _, added: scale * added


contexts, values, added = {}, {}, {}
plain = hooked(
    [(layer.attention.self, lambda _, y, i=i: contexts.update({i: y[0][0]})) for i, layer in enumerate(layers)]
    + [(layer.attention.self.value, lambda _, y, i=i: values.update({i: y[0]})) for i, layer in enumerate(layers)]
    + [(layer.output.dense, lambda _, y, i=i: added.update({i: y[0]})) for i, layer in enumerate(layers)]
)
stored = torch.flip(plain.hidden_states[2], dims=[1])  # activations of layer 1 at other tokens
runs = {
    "head_mask": run(head_mask=torch.tensor(HEAD_MASK)),
    "uniform": hooked([uniform(*place) for place in UNIFORM]),
    "mlp_scale": hooked([mlp(*place) for place in MLP_SCALE.items()]),
    "all": hooked(
        [uniform(*place) for place in UNIFORM] + [mlp(*place) for place in MLP_SCALE.items()],
    ),
    "patched": hooked([(layers[1], lambda _, y: (stored, *y[1:]))]),
}
out = {"tokens": ids, "head_mask": torch.tensor(HEAD_MASK), "patch": stored[0]}
for name, result in runs.items():
    out[f"hidden.{name}"] = torch.cat(result.hidden_states)
    out[f"logits.{name}"] = result.logits[0]
out["attention.head_mask"] = torch.cat(runs["head_mask"].attentions)
norm_weighted, cosine, dot = [], [], []
for i, layer in enumerate(layers):
    out[f"context.{i}"], out[f"mlp.{i}"] = contexts[i], added[i]
    output = layer.attention.output.dense.weight
    for head in range(heads):
        passed_on = values[i][:, columns(head)] @ output[:, columns(head)].T
        norm_weighted.append(plain.attentions[i][0, head] * passed_on.norm(dim=1))
        context = contexts[i][:, columns(head)]
        dot.append(context @ context.T)
        unit = context / context.norm(dim=1, keepdim=True)
        cosine.append(unit @ unit.T)
shape = (len(layers), heads, len(ids), len(ids))
for name, maps in {"norm_weighted": norm_weighted, "value_cosine": cosine, "value_dot": dot}.items():
    out[name] = torch.stack(maps).reshape(shape)
save_file({k: v.detach().contiguous() for k, v in out.items()}, here / "bert_interventions.safetensors")
for name, result in runs.items():
    print(name, float((result.logits - plain.logits).abs().max()))
