"""Loads modules of the published scGPT without the packages that only its training needs.

The generators beside this file take the path of a checkout of github.com/bowang-lab/scGPT as their argument; the golden
files were made from commit cebd6fae655b9c585a4807daa3ac31bb764f06b4. Nothing of it is copied here: its files are executed
where they lie, and what they import but never call on these paths (scanpy, anndata, pandas, sklearn) is a stub.
"""

import importlib
import logging
import sys
import types
from pathlib import Path
from unittest.mock import MagicMock


def published(*names):
    """The modules `scgpt.<name>` of the checkout named on the command line."""
    if len(sys.argv) != 2 or not (Path(sys.argv[1]) / "scgpt/model/model.py").is_file():
        sys.exit(f"usage: python {sys.argv[0]} <checkout of github.com/bowang-lab/scGPT>")
    source = Path(sys.argv[1]) / "scgpt"
    for heavy in ["scanpy", "scanpy.get", "anndata", "pandas", "sklearn"]:
        try:
            importlib.import_module(heavy)
        except ImportError:
            sys.modules[heavy] = MagicMock()
    # Packages without their __init__.py, which would import all of scGPT.
    for package in ["scgpt", "scgpt.model", "scgpt.tokenizer"]:
        module = types.ModuleType(package)
        module.__path__ = [str(source.joinpath(*package.split(".")[1:]))]
        module.logger = logging.getLogger("scgpt")
        sys.modules[package] = module
    return [importlib.import_module(f"scgpt.{name}") for name in names]
