"""A served run of 2 GB: how long until it is ready, and what a second process on the same run takes.

    python3 tools/bench/bench_mapped.py build/bin/interplay DIR

Made once in DIR: a DeepFM of 39 x 16 whose 26 hashed tables have 1.2 M rows each. Each repeat starts a server, asks
/v2/health/ready until it says so, scores 100 requests of 200 candidates, starts a second server on the same files, and does the
same. Memory is what the processes have of their own and their shares of what they have together (Pss in
/proc/PID/smaps_rollup). The first repeat, which may have to read the file from disk, is left out.
"""

import argparse
import http.client
import json
import pathlib
import random
import shutil
import socket
import statistics
import subprocess
import time

COLUMNS = [f"I{i}" for i in range(1, 14)] + [f"C{i}" for i in range(1, 27)]


def prepare(program, folder):
    run = folder / "run"
    if (run / "manifest.json").exists():
        return run
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)

    def interplay(*arguments):
        subprocess.run([program, "--quiet", *map(str, arguments)], check=True)

    interplay("synth", "criteo", "--rows", 20000, "--out", folder / "raw")
    (folder / "data.yaml").write_text(f"format: tsv\nroot: {folder}/raw\nheader: [label, I1..I13, C1..C26]\n"
                                      "files: {train: train.txt, valid: valid.txt, test: test.txt}\nlabel: label\nfields:\n"
                                      "  - {columns: [I1..I13], kind: numeric, transform: log_square_bucket}\n"
                                      "  - {columns: [C1..C26], hash_buckets: 1200000}\n")
    interplay("prepare", folder / "data.yaml", "--out", folder / "prepared")
    (folder / "deepfm.yaml").write_text("model: {name: deepfm, embedding_dim: 16, hidden: [400, 400, 400]}\n"
                                        "train: {epochs: 1}\n")
    interplay("train", folder / "deepfm.yaml", "--data", folder / "prepared", "--out", run)
    return run


class Server:
    def __init__(self, program, run):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        begun = time.monotonic()
        self.process = subprocess.Popen([program, "--quiet", "--threads", "2", "serve", str(run), "--listen",
                                         f"127.0.0.1:{self.port}"])
        while not self.is_ready():
            assert self.process.poll() is None and time.monotonic() < begun + 60, "the server does not become ready"
            time.sleep(.002)
        self.seconds = time.monotonic() - begun

    def is_ready(self):
        try:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
            connection.request("GET", "/v2/health/ready")
            return connection.getresponse().status == 200
        except OSError:
            return False

    def score(self, bodies):
        connection = http.client.HTTPConnection("127.0.0.1", self.port)
        for body in bodies:
            connection.request("POST", "/v1/score", body, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
            assert answer.status == 200

    def megabytes(self, what):
        for line in pathlib.Path(f"/proc/{self.process.pid}/smaps_rollup").read_text().splitlines():
            if line.startswith(what + ":"):
                return int(line.split()[1]) / 1024
        raise AssertionError(what)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def bodies(folder):
    rows = [line.rstrip("\n").split("\t")[1:] for line in open(folder / "raw" / "test.txt")]
    out = []
    for _ in range(100):
        some = [random.choice(rows) for _ in range(200)]
        out.append(json.dumps({"user": dict(zip(COLUMNS[:20], some[0])),
                               "candidates": [dict(zip(COLUMNS[20:], row[20:])) for row in some]}))
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--repeat", type=int, default=5)
    a = parser.parse_args()
    program, folder = str(pathlib.Path(a.program).resolve()), a.folder.resolve()
    run = prepare(program, folder)
    random.seed(1)
    requests = bodies(folder)
    found = {}
    for repeat in range(a.repeat + 1):
        first = Server(program, run)
        first.score(requests)
        time.sleep(3)  # until the weights were read for their checksum
        alone = first.megabytes("Pss")
        second = Server(program, run)
        second.score(requests)
        time.sleep(3)
        both = first.megabytes("Pss") + second.megabytes("Pss")
        if repeat > 0:
            begun = time.monotonic()
            subprocess.run([program, "--version"], check=True, stdout=subprocess.DEVNULL)
            bare = time.monotonic() - begun
            for name, value in (("ready after, s", first.seconds), ("program that does nothing, s", bare), ("one process, MB", alone), ("two processes, MB", both),
                                ("two / one", both / alone), ("of the second its own, MB", second.megabytes("Pss_Anon"))):
                found.setdefault(name, []).append(value)
        first.stop()
        second.stop()
    size = (run / "model.safetensors").stat().st_size
    print(f"a run of {size / 1e9:.2f} GB, medians of {a.repeat} with least and most")
    for name, values in found.items():
        print(f"{name:29} {statistics.median(values):9.3f}  {min(values):9.3f}  {max(values):9.3f}")


if __name__ == "__main__":
    main()
