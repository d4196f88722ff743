"""Files of torch.save and what they hold: tensors.bin, legacy.bin, module.bin and torch.json.

Run in this folder with torch 2.8.0 (and numpy 2.4.6):  python make_torch.py
tensors.bin is a state dictionary with every layout that a model's file has: rows, columns (a transposed view), parts
of one storage, tied tensors, parameters, half precision, integers, a scalar, nothing. legacy.bin is the same in the
format of torch before 1.6; module.bin pickles a whole module, which no reader should rebuild.
"""

import json
from collections import OrderedDict
from pathlib import Path

import torch

here = Path(__file__).parent
torch.manual_seed(20260222)
rows = torch.randn(3, 4)
parts = torch.randn(12)
state = OrderedDict()
state["rows"] = rows
state["tied"] = rows
state["columns"] = torch.randn(5, 2).t()
state["parts.first"] = parts[:4].reshape(2, 2)
state["parts.every_second"] = parts[4:][::2]
state["parameter"] = torch.nn.Parameter(torch.randn(2, 3))
state["half"] = torch.randn(2, 2).half()
state["bfloat16"] = torch.randn(2, 2).bfloat16()
state["double"] = torch.randn(3).double()
state["ids"] = torch.arange(6).expand((1, -1))
state["flags"] = torch.tensor([True, False])
state["scalar"] = torch.tensor(1.5)
state["nothing"] = torch.empty(0, 3)
state["step"] = 7
state._metadata = OrderedDict({"": {"version": 1}})
torch.save(state, here / "tensors.bin")
torch.save(state, here / "legacy.bin", _use_new_zipfile_serialization=False)
torch.save(torch.nn.Linear(2, 2), here / "module.bin")

expected = {
    name: {"dtype": str(t.dtype).removeprefix("torch."), "shape": list(t.shape), "values": t.double().flatten().tolist()}
    for name, t in state.items()
    if torch.is_tensor(t)
}
(here / "torch.json").write_text(json.dumps(expected, indent=1) + "\n")
