"""What the scripts of this folder share: determinism, the path of the data folder, and one way to store tensors."""

import json
import os
import pathlib

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from safetensors.numpy import save_file

DATA = pathlib.Path(__file__).resolve().parent / "data"

torch.set_num_threads(1)
torch.use_deterministic_algorithms(True)


def to_numpy(value):
    """float32 or int32, as everything in data/ is."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    value = np.asarray(value)
    kind = np.int32 if value.dtype.kind in "iub" else np.float32
    return np.ascontiguousarray(value.astype(kind))


def save_tensors(name, tensors):
    """data/<name>.safetensors. Tensors are copied: an optimizer may still be changing them in place."""
    DATA.mkdir(exist_ok=True)
    path = DATA / f"{name}.safetensors"
    save_file({key: to_numpy(value).copy() for key, value in sorted(tensors.items())}, str(path))
    path.chmod(0o644)


def save_json(name, value):
    DATA.mkdir(exist_ok=True)
    (DATA / f"{name}.json").write_text(json.dumps(value, indent=1) + "\n")


def rounded(x):
    """Numbers to twelve digits, wherever they lie."""
    if isinstance(x, list):
        return [rounded(v) for v in x]
    if isinstance(x, dict):
        return {k: rounded(v) for k, v in x.items()}
    return float(f"{x:.12g}") if isinstance(x, float) else x


def save_parts(file, stored):
    """A map of maps, a line each entry."""
    parts = [f' "{name}": {{\n' + ",\n".join(f'  "{key}": {json.dumps(value)}' for key, value in rounded(part).items()) + "\n }"
             for name, part in stored.items()]
    file.write_text("{\n" + ",\n".join(parts) + "\n}\n")
