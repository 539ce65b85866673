"""Vectors by key as other programs write them: NumPy, Arrow, safetensors.

    python -m venv venv && venv/bin/pip install numpy==2.4.6 pyarrow==26.0.1 safetensors==0.8.0
    venv/bin/python tests/reference/vectors.py

WHAT IS STORED in data/vectors/, each with the keys 255, 7 and 1682 and the vectors k / 4 + 10 row, k = 0, 1, 2:
list.parquet: int64 `item_id`, list<double> `embedding`, and a column `note` of lists of text
fixed.parquet: text `key`, fixed_size_list<float>[3] `vector`, two row groups
large.parquet: dictionary-encoded text `key`, large_list<float> `vector`
v1.npy, v2.npy: versions 1 and 2 of the format, with v1.ids and v2.ids
wrong-*.npy: float64, big-endian, Fortran order, one dimension
keyed.safetensors: `vectors` F32 [3, 3], `keys` I64 [3]; half.safetensors: `w` F16, with half.ids
"""

import pathlib

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from safetensors.numpy import save_file

DATA = pathlib.Path(__file__).resolve().parent / "data" / "vectors"
KEYS = [255, 7, 1682]
VECTORS = np.array([[k / 4 + 10 * row for k in range(3)] for row in range(3)], dtype=np.float32)


def parquet(name, keys, vectors, key="key", vector="vector", more=None, rows=1000):
    columns = {key: keys, vector: vectors, **(more or {})}
    pq.write_table(pa.table(columns), DATA / name, row_group_size=rows, compression="none")


def npy(name, array, version=(1, 0), ids=True):
    with open(DATA / name, "wb") as out:
        np.lib.format.write_array(out, array, version=version)
    if ids:
        (DATA / name).with_suffix(".ids").write_text("".join(f"{k}\n" for k in KEYS))


def main():
    DATA.mkdir(parents=True, exist_ok=True)
    texts = [str(k) for k in KEYS]
    parquet("list.parquet", pa.array(KEYS, pa.int64()), pa.array(VECTORS.tolist(), pa.list_(pa.float64())),
            "item_id", "embedding", {"note": pa.array([["a"], [], ["b", "c"]])})
    fixed = pa.FixedSizeListArray.from_arrays(pa.array(VECTORS.flatten()), 3)
    parquet("fixed.parquet", pa.array(texts), fixed, rows=2)
    parquet("large.parquet", pa.array(texts).dictionary_encode(),
            pa.array(VECTORS.tolist(), pa.large_list(pa.float32())))
    npy("v1.npy", VECTORS)
    npy("v2.npy", VECTORS, (2, 0))
    npy("wrong-f8.npy", VECTORS.astype("<f8"), ids=False)
    npy("wrong-endian.npy", VECTORS.astype(">f4"), ids=False)
    npy("wrong-order.npy", np.asfortranarray(VECTORS), ids=False)
    npy("wrong-shape.npy", VECTORS.flatten(), ids=False)
    save_file({"vectors": VECTORS, "keys": np.array(KEYS, dtype=np.int64)}, str(DATA / "keyed.safetensors"))
    save_file({"w": VECTORS.astype(np.float16)}, str(DATA / "half.safetensors"))
    (DATA / "half.ids").write_text("".join(f"{k}\r\n" for k in KEYS))
    for path in DATA.iterdir():
        path.chmod(0o644)


if __name__ == "__main__":
    main()
