"""Hours of `interplay serve` under load: does its memory stay flat, does anything fail?

    python3 tools/bench/soak_serve.py build/bin/interplay DIR --hours 1

Four clients ask for scores (plain and protocol v2, 20 candidates each) at --rate requests a second in all, post labels for a
tenth of them, and send what is no request now and then; every 30 s a new version takes the place of the one before; requests
are logged. Each minute prints requests, failures, swaps and resident memory. Ends with an error where a well-formed request
failed, or where the mean resident memory of the last quarter is more than 5% above that of the second.
"""

import argparse
import collections
import http.client
import json
import pathlib
import random
import shutil
import socket
import statistics
import subprocess
import threading
import time

COLUMNS = ["user_id", "item_id", "gender", "occupation", "age"]


def prepare(program, folder):
    def interplay(*arguments):
        subprocess.run([program, "--quiet", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    interplay("synth", "movielens", "--rows", "20000", "--out", folder / "data")
    (folder / "data.yaml").write_text(f"format: recbole\nroot: {folder}/data\nfiles: {{train: data.inter}}\n"
                                      "label: {column: rating, at_least: 4}\nfields:\n"
                                      "  - columns: [user_id, item_id, gender, occupation]\n"
                                      "  - {columns: [age], kind: numeric}\n")
    interplay("prepare", folder / "data.yaml", "--out", folder / "prepared")
    (folder / "deepfm.yaml").write_text("model: {name: deepfm, embedding_dim: 16, hidden: [64, 32]}\ntrain: {epochs: 1}\n")
    for seed in (1, 2):
        interplay("train", folder / "deepfm.yaml", "--data", folder / "prepared", "--out", folder / f"run-{seed}", "--seed", seed)
    (folder / "models" / "clicks").mkdir(parents=True)
    shutil.copytree(folder / "run-1", folder / "models" / "clicks" / "1")


class Load:
    def __init__(self, port, rate):
        self.port, self.rate = port, rate
        self.counts, self.failures, self.ending = collections.Counter(), [], False
        self.threads = [threading.Thread(target=self.client, args=(i,)) for i in range(4)]

    def row(self, draw):
        return {"user_id": str(draw.randrange(900)), "item_id": str(draw.randrange(1700)), "gender": draw.choice("FM"),
                "occupation": draw.choice(["doctor", "artist", "student", ""]), "age": str(draw.randrange(10, 80))}

    def client(self, which):
        draw, connection = random.Random(which), http.client.HTTPConnection("127.0.0.1", self.port)
        due = time.monotonic()
        while not self.ending:
            due += draw.expovariate(self.rate / 4)
            time.sleep(max(0, due - time.monotonic()))
            rows = [self.row(draw) for _ in range(20)]
            kind = draw.random()
            ident = f"{which}-{self.counts[which]}"
            if kind < .6:
                path, body = "/v1/score", {"rows": rows, "id": ident}
            elif kind < .9:
                path, body = "/v2/models/clicks/infer", {"id": ident, "inputs": [
                    {"name": c, "datatype": "BYTES", "shape": [20], "data": [row[c] for row in rows]} for c in COLUMNS]}
            else:
                path, body = "/v1/score", {"rows": draw.choice([7, [7], "x", [{"user_id": []}]])}
            try:
                connection.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
                expected = 400 if kind >= .9 else 200
                if answer.status != expected:
                    self.failures.append((answer.status, text[:200]))
            except (http.client.HTTPException, OSError) as problem:
                self.failures.append((0, repr(problem)))
                connection.close()
            self.counts[which] += 1

    def total(self):
        return sum(self.counts.values())


def resident(pid):
    return int(pathlib.Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096 / 1e6


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("--hours", type=float, default=1)
    parser.add_argument("--rate", type=float, default=200)
    a = parser.parse_args()
    program, folder = str(pathlib.Path(a.program).resolve()), a.folder.resolve()
    prepare(program, folder)
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    log = open(folder / "server.log", "w")
    server = subprocess.Popen([program, "--threads", "2", "serve", folder / "models", "--listen", f"127.0.0.1:{port}", "--poll", "1",
                               "--log", folder / "log"], stdout=log, stderr=log)
    for _ in range(300):
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            break
        except OSError:
            time.sleep(.1)
    load, memory, version = Load(port, a.rate), [], 1
    begun = time.monotonic()
    for thread in load.threads:
        thread.start()
    print(f"{'minutes':>7}  {'requests':>9}  {'failed':>6}  {'version':>7}  {'MB':>8}", flush=True)
    while time.monotonic() < begun + 3600 * a.hours:
        time.sleep(5)
        passed = time.monotonic() - begun
        memory.append(resident(server.pid))
        if passed > 30 * version:
            version += 1
            aside = folder / "models" / "clicks" / f".{version}"
            shutil.copytree(folder / f"run-{1 + version % 2}", aside)
            aside.rename(aside.with_name(str(version)))
            for old in (folder / "models" / "clicks").glob("[0-9]*"):
                if int(old.name) < version - 2:
                    shutil.rmtree(old)
        if len(memory) % 12 == 0:
            print(f"{passed / 60:7.1f}  {load.total():9}  {len(load.failures):6}  {version:7}  {memory[-1]:8.1f}", flush=True)
    load.ending = True
    for thread in load.threads:
        thread.join()
    server.terminate()
    server.wait()
    quarter = len(memory) // 4
    before, after = statistics.mean(memory[quarter:2 * quarter]), statistics.mean(memory[3 * quarter:])
    print(f"{load.total()} requests, {version - 1} swaps, {len(load.failures)} failed; resident {before:.1f} MB in the second quarter, "
          f"{after:.1f} MB in the last; the server ended with {server.returncode}")
    assert not load.failures, load.failures[:5]
    assert server.returncode == 0 and after <= 1.05 * before


if __name__ == "__main__":
    main()
