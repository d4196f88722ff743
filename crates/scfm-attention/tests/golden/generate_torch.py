"""The weights of bert/ as torch.save writes them: bert_torch/pytorch_model.bin.

Run in this folder, after generate_bert.py, in an environment of requirements.txt:  python generate_torch.py
As in published files the decoder is there and shares its storage with the embedding, and so do the two biases; the
position ids are a buffer of integers.
"""

from collections import OrderedDict
from pathlib import Path

import torch
from safetensors.torch import load_file

here = Path(__file__).parent
state = OrderedDict(load_file(here / "bert/model.safetensors"))
words = state["bert.embeddings.word_embeddings.weight"]
state["bert.embeddings.position_ids"] = torch.arange(40).expand((1, -1))
state["cls.predictions.decoder.weight"] = words
state["cls.predictions.decoder.bias"] = state["cls.predictions.bias"]
folder = here / "bert_torch"
folder.mkdir(exist_ok=True)
torch.save(state, folder / "pytorch_model.bin")
