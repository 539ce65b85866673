"""`interplay serve` beside a FastAPI server that runs the same DeepFM in PyTorch: raw strings in, probabilities out.

    python -m venv venv && venv/bin/pip install torch==2.15.0 fastapi uvicorn uvloop httptools orjson pyarrow numpy
    venv/bin/python tools/bench/bench_http.py build/bin/interplay DIR

Made-up rows of Criteo's shape, 39 columns of strings; DeepFM, 39 x 16, [400, 400, 400]. A request is one user (20 columns)
with 200 candidates (19 columns) in the plain form of docs/serve.md; the peer takes the same body, looks tokens up in
dictionaries of the run's own vocabularies and multiplies in one batch, the user's columns once a candidate, as such servers
do. Eight connections, each with one request at a time, --seconds each, by turns, --repeat times; medians with the least and
most. Both give the same probabilities, which is checked first. The clients share the machine with the servers.
"""

import argparse
import http.client
import json
import os
import pathlib
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import threading
import time

COLUMNS = [f"I{i}" for i in range(1, 14)] + [f"C{i}" for i in range(1, 27)]
USERS = 20


def peer(run, port):
    """A FastAPI server of the run, on one process; PyTorch takes --threads."""
    import fastapi
    import numpy
    import orjson
    import pyarrow.parquet
    import torch
    import uvicorn

    torch.set_num_threads(int(os.environ["PEER_THREADS"]))
    with open(run / "model.safetensors", "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        header = json.loads(file.read(size))
        data = bytearray(file.read())
    header.pop("__metadata__", None)
    weights = {name: torch.frombuffer(data, dtype=torch.float32, count=(at["data_offsets"][1] - at["data_offsets"][0]) // 4,
                                      offset=at["data_offsets"][0]).reshape(at["shape"])
               for name, at in header.items()}
    places = []
    for column in COLUMNS:
        tokens = pyarrow.parquet.read_table(run / "vocabulary" / f"{column}.parquet").column("token").to_pylist()
        places.append({token: i + 1 for i, token in enumerate(tokens)})
    unseen = [weights[f"fields.{column}.weight"].shape[0] - 1 for column in COLUMNS]
    tables = [weights[f"fields.{column}.weight"] for column in COLUMNS]
    linear = [weights[f"linear.weights.{column}.weight"] for column in COLUMNS]
    layers = [(weights[f"mlp.linear{i}.weight"], weights[f"mlp.linear{i}.bias"]) for i in range(3)]

    @torch.no_grad()
    def score(ids):
        e = torch.stack([table[ids[:, c]] for c, table in enumerate(tables)], 1)
        first = sum(w[ids[:, c]].squeeze(1) for c, w in enumerate(linear)) + weights["linear.bias"]
        second = 0.5 * (e.sum(1).square() - e.square().sum(1)).sum(1)
        x = e.flatten(1)
        for w, b in layers:
            x = torch.relu(torch.nn.functional.linear(x, w, b))
        deep = torch.nn.functional.linear(x, weights["mlp.output.weight"], weights["mlp.output.bias"]).squeeze(1)
        return torch.sigmoid(first + second + deep)

    app = fastapi.FastAPI()

    @app.post("/v1/score")
    async def handle(request: fastapi.Request):
        body = orjson.loads(await request.body())
        user = body["user"]
        own = [places[c].get(user[COLUMNS[c]], unseen[c]) for c in range(USERS)]
        rows = [own + [places[c].get(row[COLUMNS[c]], unseen[c]) for c in range(USERS, len(COLUMNS))]
                for row in body["candidates"]]
        p = score(torch.from_numpy(numpy.array(rows, dtype=numpy.int64)))
        return fastapi.Response(orjson.dumps({"p": p.tolist()}), media_type="application/json")

    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning", loop="uvloop", http="httptools")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def prepare(program, folder, rows):
    run = folder / "run"
    if (run / "manifest.json").exists():
        return run
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def interplay(*arguments):
        subprocess.run([program, "--quiet", *map(str, arguments)], check=True)

    interplay("synth", "criteo", "--rows", rows, "--out", folder / "raw")
    (folder / "data.yaml").write_text(f"format: tsv\nroot: {folder}/raw\nheader: [label, I1..I13, C1..C26]\n"
                                      "files: {train: train.txt, valid: valid.txt, test: test.txt}\nlabel: label\n"
                                      "min_count: 2\nfields:\n  - {columns: [I1..I13, C1..C26]}\n")
    interplay("prepare", folder / "data.yaml", "--out", folder / "prepared")
    (folder / "deepfm.yaml").write_text("model: {name: deepfm, embedding_dim: 16, hidden: [400, 400, 400]}\n"
                                        "train: {epochs: 1}\n")
    interplay("train", folder / "deepfm.yaml", "--data", folder / "prepared", "--out", run)
    return run


def bodies(folder, candidates):
    with open(folder / "raw" / "test.txt") as file:
        rows = [line.rstrip("\n").split("\t")[1:] for line, _ in zip(file, range(16 * candidates))]
    out = []
    for r in range(16):
        some = [rows[(r * candidates + i) % len(rows)] for i in range(candidates)]
        out.append(json.dumps({"user": dict(zip(COLUMNS[:USERS], some[0])),
                               "candidates": [dict(zip(COLUMNS[USERS:], row[USERS:])) for row in some]}).encode())
    return out


def ask(connection, body):
    connection.request("POST", "/v1/score", body, {"Content-Type": "application/json"})
    answer = connection.getresponse()
    text = answer.read()
    assert answer.status == 200, (answer.status, text[:300])
    return text


def probabilities(text):
    answer = json.loads(text)
    values = answer.get("p") or answer.get("probabilities") or next(v for v in answer.values() if isinstance(v, list))
    return [v if isinstance(v, float) else next(iter(v.values())) for v in values]


def saturate(port, requests, seconds, candidates):
    """Rows a second over eight connections, and the median and 99th percentile of a request's ms."""
    until = time.monotonic() + seconds
    times = [[] for _ in range(8)]

    def client(which):
        connection = http.client.HTTPConnection("127.0.0.1", port)
        i = which
        while time.monotonic() < until:
            begun = time.monotonic()
            ask(connection, requests[i % len(requests)])
            times[which].append(time.monotonic() - begun)
            i += 1

    threads = [threading.Thread(target=client, args=(t,)) for t in range(8)]
    begun = time.monotonic()
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    passed = time.monotonic() - begun
    all_times = sorted(t for some in times for t in some)
    return len(all_times) * candidates / passed, 1e3 * statistics.median(all_times), 1e3 * all_times[int(.99 * len(all_times))]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=100000)
    parser.add_argument("--candidates", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--repeat", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2, help="of the server, and of PyTorch in the peer")
    a = parser.parse_args()
    program, folder = str(pathlib.Path(a.program).resolve()), a.folder.resolve()
    run = prepare(program, folder, a.rows)
    requests = bodies(folder, a.candidates)
    ports = {"interplay": free_port(), "fastapi": free_port()}
    servers = [subprocess.Popen([program, "--quiet", "--threads", str(a.threads), "serve", str(run), "--listen",
                                 f"127.0.0.1:{ports['interplay']}"]),
               subprocess.Popen([sys.executable, __file__, "--peer", str(run), str(ports["fastapi"])],
                                env={**os.environ, "PEER_THREADS": str(a.threads)})]
    try:
        first = {}
        for name, port in ports.items():
            for _ in range(300):
                try:
                    connection = http.client.HTTPConnection("127.0.0.1", port)
                    first[name] = probabilities(ask(connection, requests[0]))
                    break
                except OSError:
                    time.sleep(.2)
        furthest = max(abs(x - y) for x, y in zip(first["interplay"], first["fastapi"], strict=True))
        assert furthest < 1e-5, furthest
        found = {name: [] for name in ports}
        for _ in range(a.repeat):
            for name, port in ports.items():
                found[name].append(saturate(port, requests, a.seconds, a.candidates))
        print(f"{'server':10}  {'rows/s':>10}  {'least':>8}  {'most':>8}  {'p50 ms':>7}  {'p99 ms':>7}")
        for name, some in found.items():
            rate, p50, p99 = ([one[k] for one in some] for k in range(3))
            print(f"{name:10}  {statistics.median(rate):10.0f}  {min(rate):8.0f}  {max(rate):8.0f}  "
                  f"{statistics.median(p50):7.2f}  {statistics.median(p99):7.2f}")
        ratios = [x[0] / y[0] for x, y in zip(*found.values())]
        print(f"ratio of rows/s: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}); "
              f"probabilities differ by {furthest:.1e} at most")
    finally:
        for server in servers:
            server.terminate()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--peer"]:
        peer(pathlib.Path(sys.argv[2]), int(sys.argv[3]))
    else:
        main()
