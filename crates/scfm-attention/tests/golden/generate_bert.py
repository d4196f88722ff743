"""A small random BertForMaskedLM with Geneformer's settings, and what transformers computes with it.

Run in this folder in an environment of requirements.txt:  python generate_bert.py
It writes bert/ (a checkpoint folder as transformers saves it, with synthetic dictionaries) and
bert_expected.safetensors: for sequence i, `tokens.i` [S], `hidden.i` [L+1, S, D], `attention.i` [L, H, S, S] and
`logits.i` [S, V], computed with eager attention, each sequence alone.
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForMaskedLM

LENGTHS = [1, 2, 17, 40]
N_GENES = 58

torch.manual_seed(20260222)
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)
config = BertConfig(
    vocab_size=N_GENES + 2,
    hidden_size=32,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=48,
    hidden_act="relu",
    max_position_embeddings=40,
    layer_norm_eps=1e-12,
    pad_token_id=0,
    attn_implementation="eager",
)
model = BertForMaskedLM(config).eval()
with torch.no_grad():
    # Far from the usual small start, so that attention is peaked and every bias and scale is felt.
    for name, parameter in model.named_parameters():
        if "LayerNorm.weight" in name:
            parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
        elif parameter.dim() == 1:
            parameter.copy_(0.2 * torch.randn_like(parameter))
        else:
            parameter.copy_(0.35 * torch.randn_like(parameter))

here = Path(__file__).parent
folder = here / "bert"
model.save_pretrained(folder)
(folder / "generation_config.json").unlink(missing_ok=True)
genes = [f"ENSG{i:011d}" for i in range(N_GENES)]
tokens = {"<pad>": 0, "<mask>": 1} | {gene: i + 2 for i, gene in enumerate(genes)}
medians = {gene: 0.5 + 0.25 * (i % 7) for i, gene in enumerate(genes)}
(folder / "token_dictionary.json").write_text(json.dumps(tokens, indent=1) + "\n")
(folder / "gene_median_dictionary.json").write_text(json.dumps(medians, indent=1) + "\n")

expected = {}
for i, length in enumerate(LENGTHS):
    ids = torch.randperm(N_GENES)[:length] + 2
    if length > 2:
        ids[length // 2] = 1  # <mask>
    with torch.no_grad():
        out = model(
            input_ids=ids[None],
            attention_mask=torch.ones(1, length, dtype=torch.long),
            output_attentions=True,
            output_hidden_states=True,
        )
    expected[f"tokens.{i}"] = ids.to(torch.int64)
    expected[f"hidden.{i}"] = torch.cat(out.hidden_states).contiguous()
    expected[f"attention.{i}"] = torch.cat(out.attentions).contiguous()
    expected[f"logits.{i}"] = out.logits[0].contiguous()
    print(length, "largest probability", float(expected[f"attention.{i}"].max()))
save_file(expected, here / "bert_expected.safetensors")
