"""Small random classifiers of cells and of genes with Geneformer's settings, and what transformers computes with them.

Run in this folder in an environment of requirements.txt:  python generate_bert_classifiers.py
It writes bert_classifiers/cells and bert_classifiers/genes, checkpoint folders as a fine-tuning saves them (weights as
pytorch_model.bin of the one and safetensors of the other; the dictionaries are those of bert/), and
bert_classifiers/expected.safetensors: `tokens` [S], and for each `hidden.<name>` [L+1, S, D] and `attention.<name>`
[L, H, S, S].
"""

from pathlib import Path

import torch
from safetensors.torch import save_file
from transformers import BertConfig, BertForSequenceClassification, BertForTokenClassification

torch.manual_seed(20260301)
torch.use_deterministic_algorithms(True)
torch.set_num_threads(1)
here = Path(__file__).parent / "bert_classifiers"
ids = torch.randperm(58)[:24] + 2
expected = {"tokens": ids}
for name, kind in {"cells": BertForSequenceClassification, "genes": BertForTokenClassification}.items():
    config = BertConfig(
        vocab_size=60,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        hidden_act="relu",
        max_position_embeddings=40,
        layer_norm_eps=1e-12,
        pad_token_id=0,
        num_labels=3,
        attn_implementation="eager",
    )
    model = kind(config).eval()
    with torch.no_grad():
        for key, parameter in model.named_parameters():
            if "LayerNorm.weight" in key:
                parameter.copy_(1 + 0.3 * torch.randn_like(parameter))
            else:
                parameter.copy_((0.2 if parameter.dim() == 1 else 0.35) * torch.randn_like(parameter))
        out = model(input_ids=ids[None], output_attentions=True, output_hidden_states=True)
    model.save_pretrained(here / name, safe_serialization=name == "genes")
    expected[f"hidden.{name}"] = torch.cat(out.hidden_states)
    expected[f"attention.{name}"] = torch.cat(out.attentions)
    print(name, sorted(k for k in model.state_dict() if not k.startswith("bert.")))
save_file({k: v.contiguous() for k, v in expected.items()}, here / "expected.safetensors")
