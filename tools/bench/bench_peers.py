"""Interplay beside its peers, by turns, on the same made-up rows of Criteo's shape; prints one table.

tools/bench_peers.sh sets up what this needs and starts it. Each row is one comparison: ours and the peer's are run one
after the other, --repeats times; the ratio of a row is the median of the ratios of these pairs, its spread the least
and the most. Widths: embedding 16 (FFM 4), MLP 400 x 3, batches of 4096, Adam 1e-3 on both sides, on two threads unless
--threads says otherwise.

The peers: PyTorch written by hand (one table, sparse gradients, SparseAdam, fused Adam, rows in memory, no loader;
eager and with torch.compile), DeepCTR-Torch as its documentation uses it, xLearn on its binary copy of the data, FBGEMM's
table-batched embedding, and figures of FuxiCTR where it is too slow to run each time.
"""
import argparse
import contextlib
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import time

import numpy as np

DIM, FFM_DIM, HIDDEN, BATCH = 16, 4, (400, 400, 400), 4096
FUXICTR_PREPARE = 20e3  # rows/s on two cores, FuxiCTR 2.3 on data of this shape
XLEARN = {'task': 'binary', 'lr': .1, 'lambda': 2e-5, 'opt': 'adagrad'}
AUC_MARGIN = .001


def log(text):
    print(f'{time.strftime("%H:%M:%S")} {text}', file=sys.stderr, flush=True)


def auc(labels, scores):
    from sklearn.metrics import roc_auc_score
    return float(roc_auc_score(labels, scores))


@contextlib.contextmanager
def quiet():
    """xLearn writes from C."""
    sys.stdout.flush()
    kept, nothing = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    kept_err = os.dup(2)
    os.dup2(nothing, 1), os.dup2(nothing, 2)
    try:
        yield
    finally:
        os.dup2(kept, 1), os.dup2(kept_err, 2)
        for f in (kept, kept_err, nothing):
            os.close(f)


# ---------------------------------------------------------------- data

class Data:
    """Prepared by interplay; the peers get the same ids."""

    def __init__(self, args):
        self.args = args
        self.raw = args.directory / f'criteo-{args.rows}' / 'raw'
        self.prepared = args.directory / f'criteo-{args.rows}' / 'prepared'
        if not self.raw.exists():
            self.raw.parent.mkdir(parents=True, exist_ok=True)
            interplay(args, 'synth', 'criteo', '--rows', args.rows, '--out', self.raw)
        if not self.prepared.exists():
            interplay(args, 'prepare', self.raw / 'data.yaml', '--out', self.prepared)
        self.loaded = {}

    @property
    def table_rows(self):
        import yaml
        fields = yaml.safe_load((self.prepared / 'schema.yaml').read_text())['fields']
        return [f['rows'] for f in fields if f['kind'] == 'categorical']

    def split(self, name):
        """ids i64 [N, F] numbered within each field, labels f32 [N]."""
        if name not in self.loaded:
            import pyarrow as pa
            ids, labels = [], []
            for file in sorted(self.prepared.glob(f'{name}-*.arrow')):
                table = pa.ipc.open_file(pa.memory_map(str(file))).read_all()
                for column, to in (('ids', ids), ('labels', labels)):
                    for chunk in table[column].chunks:
                        to.append(chunk.flatten().to_numpy().reshape(len(chunk), -1))
            self.loaded[name] = np.concatenate(ids).astype(np.int64), np.concatenate(labels)[:, 0].astype(np.float32)
        return self.loaded[name]

    def starts(self):
        return np.cumsum([0] + self.table_rows[:-1])


def interplay(args, *words, check=True, environment={}):
    command = [str(args.interplay), *map(str, words), '--threads', str(args.threads), '--quiet']
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          env=os.environ | environment)
    if check and done.returncode:
        sys.exit(f'{" ".join(command)}: status {done.returncode}\n{done.stderr}')
    return done.stdout


def bench(args, workload, *words, **more):
    """One repeat of a workload: {name: value}, figures and ratios together."""
    found = json.loads(interplay(args, 'bench', workload, '--repeat', 1, '--json', *words, **more))
    return {m['name']: m['values'][0] for m in found['ratios'] + found['figures']}


def sets(**values):
    return [word for k, v in values.items() for word in ('--set', f'{k.replace("__", ".")}={v}')]


def our_training(data, model, precision='fp32', epochs=1, seed=1, extra=()):
    found = bench(data.args, 'train', '--model', model, '--data', data.prepared,
                  *sets(train__precision=precision, train__epochs=epochs, seed=seed), *extra)
    return dict(rows_per_s=found['train'], auc=found['test AUC'], found=found)


# ---------------------------------------------------------------- PyTorch by hand

class HandTuned:
    """One table for all fields; ids are numbered through. The part after the gather may be compiled."""

    def __init__(self, data, model, bf16, compiled):
        import torch
        from torch import nn
        self.torch, self.model, self.data = torch, model, data
        torch.set_num_threads(data.args.threads)
        rows, fields = sum(data.table_rows), len(data.table_rows)
        width = fields * DIM
        self.table = nn.Embedding(rows, DIM, sparse=True)
        self.linear = nn.Embedding(rows, 1, sparse=True)
        self.cross = nn.ModuleList(nn.Linear(width, width) for _ in range(3 if model == 'dcnv2' else 0))
        widths = [width, *HIDDEN] if model != 'fm' else []
        self.mlp = nn.Sequential(*[m for a, b in zip(widths, widths[1:]) for m in (nn.Linear(a, b), nn.ReLU())])
        self.head = nn.Linear(HIDDEN[-1] + (width if model == 'dcnv2' else 0), 1) if model != 'fm' else None
        starts = torch.from_numpy(data.starts())
        self.x = {s: torch.from_numpy(data.split(s)[0]) + starts for s in ('train', 'valid', 'test')}
        self.y = {s: torch.from_numpy(data.split(s)[1]) for s in ('train', 'valid', 'test')}

        def fm(e):
            s = e.sum(1)
            return 0.5 * (s * s - (e * e).sum(1)).sum(1)

        def after(e, first):
            if model == 'fm':
                return first.sum((1, 2)) + fm(e)
            flat = e.flatten(1)
            with torch.autocast('cpu', torch.bfloat16, enabled=bf16):
                if model == 'dcnv2':
                    c = flat
                    for layer in self.cross:
                        c = flat * layer(c) + c
                    return self.head(torch.cat([c, self.mlp(flat)], 1)).squeeze(1).float()
                out = self.head(self.mlp(flat)).squeeze(1).float()
            return out + first.sum((1, 2)) + fm(e)

        self.after = torch.compile(after, dynamic=False) if compiled else after
        self.reset(0)
        self.epoch(limit=3)  # compiles
        self.predict('test', limit=2)

    def reset(self, seed):
        torch = self.torch
        torch.manual_seed(seed)
        with torch.no_grad():
            self.table.weight.normal_(0, 1e-2)
            self.linear.weight.zero_()
            for layer in [*self.mlp, *self.cross, self.head]:
                if hasattr(layer, 'reset_parameters'):
                    layer.reset_parameters()
        dense = [p for m in (self.mlp, self.cross, self.head) if m is not None for p in m.parameters()]
        tables = [self.table.weight] + ([self.linear.weight] if self.model != 'dcnv2' else [])
        self.optimizers = [torch.optim.SparseAdam(tables, 1e-3)]
        if dense:
            self.optimizers.append(torch.optim.Adam(dense, 1e-3, fused=True))

    def forward(self, batch):
        return self.after(self.table(batch), self.linear(batch) if self.model != 'dcnv2' else None)

    def epoch(self, limit=None):
        torch = self.torch
        x, y = self.x['train'], self.y['train']
        order = torch.randperm(len(x))
        for index in order[:len(x) // BATCH * BATCH].split(BATCH)[:limit]:  # one shape: compiled once
            for o in self.optimizers:
                o.zero_grad()
            torch.nn.functional.binary_cross_entropy_with_logits(self.forward(x[index]), y[index]).backward()
            for o in self.optimizers:
                o.step()
        return len(x) // BATCH * BATCH

    def predict(self, split, limit=None):
        torch, x = self.torch, self.x[split]
        padded = torch.cat([x, x[:1].expand(-len(x) % BATCH, -1)])
        with torch.no_grad():
            return torch.cat([self.forward(b) for b in padded.split(BATCH)[:limit]])[:len(x)]

    def run(self, seed):
        self.reset(seed)
        begun = time.time()
        rows = self.epoch()
        seconds = time.time() - begun
        return dict(rows_per_s=rows / seconds, auc=auc(self.y['test'], self.predict('test')))


# ---------------------------------------------------------------- DeepCTR-Torch

class DeepCtr:
    def __init__(self, data, model='DeepFM'):
        import torch
        torch.set_num_threads(data.args.threads)
        self.data, self.name = data, model
        self.columns = {s: {f'f{j}': data.split(s)[0][:, j] for j in range(len(data.table_rows))}
                        for s in ('train', 'test')}

    def run(self, seed):
        import torch
        from deepctr_torch import models
        from deepctr_torch.inputs import SparseFeat
        features = [SparseFeat(f'f{j}', rows, embedding_dim=DIM) for j, rows in enumerate(self.data.table_rows)]
        model = getattr(models, self.name)(features, features, dnn_hidden_units=HIDDEN, device='cpu', seed=seed)
        model.compile(torch.optim.Adam(model.parameters(), 1e-3), 'binary_crossentropy', metrics=[])
        labels = self.data.split('train')[1]
        begun = time.time()
        model.fit(self.columns['train'], labels, batch_size=BATCH, epochs=1, verbose=0)
        seconds = time.time() - begun
        self.fitted = model
        return dict(rows_per_s=len(labels) / seconds, auc=auc(self.data.split('test')[1], self.scores().ravel()))

    def scores(self):
        return self.fitted.predict(self.columns['test'], BATCH)

    def predict_rate(self):
        begun = time.time()
        self.scores()
        return len(self.data.split('test')[1]) / (time.time() - begun)


# ---------------------------------------------------------------- xLearn

def write_libffm(file, ids, labels):
    with open(file, 'w') as out:
        for row, label in zip(ids.tolist(), labels.tolist()):
            out.write(f'{int(label)} ' + ' '.join([f'{j}:{i}:1' for j, i in enumerate(row)]) + '\n')


class XLearn:
    def __init__(self, data, model):
        import xlearn
        self.data, self.model = data, model
        self.make = dict(lr=xlearn.create_linear, fm=xlearn.create_fm, ffm=xlearn.create_ffm)[model]
        self.folder = data.args.directory / f'criteo-{data.args.rows}' / 'xlearn'
        self.folder.mkdir(exist_ok=True)
        for split in ('train', 'test'):
            if not (self.folder / f'{split}.ffm').exists():
                ids, labels = data.split(split)
                write_libffm(self.folder / f'{split}.ffm', ids + data.starts(), labels)
        self.fit(1)  # leaves a binary copy of the text

    def fit(self, epochs, valid=None):
        model = self.make()
        model.setTrain(str(self.folder / 'train.ffm'))
        if valid:
            model.setValidate(str(valid))
        else:
            model.disableEarlyStop()
        model.setQuiet()
        begun = time.time()
        with quiet():
            model.fit(dict(XLEARN, k=FFM_DIM if self.model == 'ffm' else DIM, epoch=epochs,
                           nthread=self.data.args.threads), str(self.folder / f'{self.model}.model'))
        return model, time.time() - begun

    def predict(self, model, split):
        model.setTest(str(self.folder / f'{split}.ffm'))
        model.setSigmoid()
        with quiet():
            model.predict(str(self.folder / f'{self.model}.model'), str(self.folder / 'scores'))
        return np.loadtxt(self.folder / 'scores')

    def run(self, seed):
        epochs = self.data.args.xlearn_epochs
        _, once = self.fit(1)
        model, more = self.fit(1 + epochs)  # the difference is training alone
        labels = self.data.split('test')[1]
        return dict(rows_per_s=len(self.data.split('train')[1]) * epochs / (more - once),
                    auc=auc(labels, self.predict(model, 'test')))


# ---------------------------------------------------------------- rows of the table

class Row:
    """Ratios of pairs against targets. kind 'least': ratio >= target; 'most': <= target."""

    def __init__(self, work, peer, target, kind='least', unit='rows/s'):
        self.work, self.peer, self.target, self.kind, self.unit = work, peer, target, kind, unit
        self.ours, self.theirs, self.ratios, self.our_auc, self.their_auc, self.note = [], [], [], [], [], ''

    def add(self, ours, theirs, ratio=None):
        self.ours.append(ours['value'] if isinstance(ours, dict) else ours)
        self.theirs.append(theirs['value'] if isinstance(theirs, dict) else theirs)
        self.ratios.append(self.ours[-1] / self.theirs[-1] if ratio is None else ratio)
        for side, to in ((ours, self.our_auc), (theirs, self.their_auc)):
            if isinstance(side, dict) and side.get('auc') is not None:
                to.append(side['auc'])
        log(f'{self.work} / {self.peer}: {self.ratios[-1]:.3f}')

    def verdict(self):
        if not self.ratios:
            return self.note or 'not measured'
        ratio = statistics.median(self.ratios)
        reached = ratio >= self.target if self.kind == 'least' else ratio <= self.target
        verdict = 'ok' if reached else 'not reached'
        if self.our_auc and self.their_auc:
            lost = statistics.median(self.their_auc) - statistics.median(self.our_auc)
            if lost > AUC_MARGIN:
                verdict += f', AUC {-lost:+.4f}'
        return verdict + (f' ({self.note})' if self.note else '')

    def as_json(self):
        return dict(work=self.work, peer=self.peer, target=self.target, kind=self.kind, unit=self.unit, ours=self.ours,
                    theirs=self.theirs, ratios=self.ratios, our_auc=self.our_auc, their_auc=self.their_auc,
                    verdict=self.verdict())


def rate(figures):
    return dict(value=figures['rows_per_s'], auc=figures['auc'])


def repeats(args):
    for i in range(args.repeats):
        yield i + 1


# xLearn scales each row to length one (by 1 / sqrt(39) here), starts the accumulators of Adagrad from 1, and moves after
# each row. The same for weights that are not scaled, moved by the mean gradient of a batch: lr / sqrt(39), accumulators
# from 39 / batch^2 on. From ten times that on FM gains .001 on valid and does not overfit within ten epochs.
def like_xlearn(initial, lr=XLEARN['lr'] / math.sqrt(39), l2=0, **model):
    rule = f'{{name: adagrad, lr: {lr:.3g}, initial: {initial / BATCH**2:.3g}, l2: {l2:g}}}'
    return sets(optimizer__embedding=rule, optimizer__dense=rule, **{f'model__{k}': v for k, v in model.items()})


# FFM makes up for the fewer steps of a batch with a larger rate, and with L2 it does not overfit within ten epochs.
OURS_AGAINST_XLEARN = {
    'lr': like_xlearn(39),
    'fm': like_xlearn(390, init_std=.01),
    'ffm': like_xlearn(39, lr=.043, l2=2e-4, embedding_dim=FFM_DIM, init_mean=.026, init_std=.015),
}
# To a given AUC on valid, chosen there: small vectors that L2 keeps small, and a rate that falls late.
FASTEST = {'fm': like_xlearn(1000, lr=.032, l2=5e-4, init_std=.003), 'ffm': OURS_AGAINST_XLEARN['ffm']}


def row_of_xlearn(model, target):
    def run(data):
        row = Row(f'{model.upper()} train', 'xLearn', target)
        peer = XLearn(data, model)
        for seed in repeats(data.args):
            row.add(rate(our_training(data, model, epochs=data.args.xlearn_epochs, seed=seed,
                                      extra=OURS_AGAINST_XLEARN[model])), rate(peer.run(seed)))
        return [row]
    return run



def better(name, peers, seed):
    """The faster of eager and compiled, in this pair."""
    found = [(p.run(seed), how) for how, p in peers.items()]
    figures, how = max(found, key=lambda f: f[0]['rows_per_s'])
    log(f'{name}: ' + ', '.join(f'{h} {f["rows_per_s"] / 1e3:.1f} k rows/s' for f, h in found))
    return figures


def hand_tuned(data, model, bf16):
    return {how: HandTuned(data, model, bf16, how == 'compiled') for how in ('eager', 'compiled')}


def deepfm_fp32(data):
    to_deepctr = Row('DeepFM fp32 train', 'DeepCTR-Torch', 2)
    to_hand = Row('DeepFM fp32 train', 'PyTorch by hand', 1.3)
    deepctr, peers = DeepCtr(data), hand_tuned(data, 'deepfm', False)
    for seed in repeats(data.args):
        ours = rate(our_training(data, 'deepfm', seed=seed))
        to_hand.add(ours, rate(better('DeepFM fp32', peers, seed)))
        to_deepctr.add(ours, rate(deepctr.run(seed)))
    return [to_deepctr, to_hand]


def share_of_products(row, found):
    row.add(found['train'], found['matrix products alone'])


def deepfm_bf16(data):
    to_deepctr = Row('DeepFM bf16 train', 'DeepCTR-Torch fp32', 4.2)
    to_hand = Row('DeepFM bf16 train', 'PyTorch by hand, bf16', 1.9)
    share = Row('DeepFM bf16 train', 'its matrix products alone', .85)
    memory = Row('peak RssAnon, DeepFM', 'weights + state + 500 MB', 1, 'most', 'MB')
    deepctr, peers = DeepCtr(data), hand_tuned(data, 'deepfm', True)
    for seed in repeats(data.args):
        ours = our_training(data, 'deepfm', 'bf16', seed=seed)
        to_hand.add(rate(ours), rate(better('DeepFM bf16', peers, seed)))
        to_deepctr.add(rate(ours), rate(deepctr.run(seed)))
        share_of_products(share, ours['found'])
        memory.add(ours['found']['peak RssAnon'], ours['found']['weights and optimizer state'] + 500)
    return [to_deepctr, to_hand, share, memory]


def dcnv2_bf16(data):
    to_hand = Row('DCNv2 bf16 train', 'PyTorch by hand, bf16', 1.25)
    share = Row('DCNv2 bf16 train', 'its matrix products alone', .85)
    peers = hand_tuned(data, 'dcnv2', True)
    for seed in repeats(data.args):
        ours = our_training(data, 'dcnv2', 'bf16', seed=seed)
        to_hand.add(rate(ours), rate(better('DCNv2 bf16', peers, seed)))
        share_of_products(share, ours['found'])
    return [to_hand, share]


# Raw text to the AUC on valid that the peer reaches at best.

def read_text(data):
    """What someone with PyTorch or xLearn writes first: TSV to ids by dictionaries, 13 integers squared logarithms."""
    vocabulary, out = {}, {}
    for split in ('train', 'valid'):
        ids, labels = [], []
        for line in open(data.raw / f'{split}.txt'):
            cells = line.rstrip('\n').split('\t')
            labels.append(float(cells[0]))
            for j in range(1, 14):
                if cells[j] and int(cells[j]) > 2:
                    cells[j] = str(int(math.log(int(cells[j])) ** 2))
            if split == 'train':
                ids.append([vocabulary.setdefault((j, c), len(vocabulary)) for j, c in enumerate(cells[1:])])
            else:
                ids.append([vocabulary.get((j, c), 0) for j, c in enumerate(cells[1:])])
        out[split] = np.array(ids, np.int64), np.array(labels, np.float32)
    return out


def our_time_to(data, model, target, extra, precision='fp32'):
    """Wall seconds of `prepare` and `train` for as many epochs as reach `target` on valid."""
    args = data.args
    folder = args.directory / 'to-auc'
    experiment = folder / 'experiment.yaml'

    def run(epochs):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        experiment.write_text(f'model: {{name: {model}}}\ntrain: {{epochs: {epochs}, batch_size: {BATCH}, patience: 0, '
                              f'precision: {precision}}}\noptimizer: {{embedding: {{name: adam, lr: 1e-3}}, dense: '
                              '{name: adam, lr: 1e-3}}\n')
        begun = time.time()
        interplay(args, 'prepare', data.raw / 'data.yaml', '--out', folder / 'data')
        interplay(args, 'train', experiment, '--data', folder / 'data', '--out', folder / 'run', '--no-test', *extra)
        seconds = time.time() - begun
        lines = [json.loads(line) for line in (folder / 'run' / 'metrics.jsonl').read_text().splitlines()]
        return seconds, [line['valid']['auc'] for line in lines]

    key = (model, round(target, 4))
    known = our_time_to.__dict__.setdefault('epochs', {})
    if key not in known:  # how many epochs it takes is looked up once
        _, curve = run(args.xlearn_epochs if model != 'deepfm' else 4)
        enough = [i + 1 for i, a in enumerate(curve) if a >= target]
        known[key] = enough[0] if enough else 1 + int(np.argmax(curve))
        log(f'{model}: valid AUC by epoch {", ".join(f"{a:.4f}" for a in curve)}; wanted {target:.4f}')
    seconds, curve = run(known[key])
    shutil.rmtree(folder)
    return dict(value=seconds, auc=max(curve))


def hand_tuned_time(data, seed):
    """Reads the text, then trains until the AUC on valid falls; the time is that at the best epoch."""
    begun = time.time()
    rows = read_text(data)
    read = time.time() - begun
    hand = hand_tuned_time.__dict__.setdefault('hand', None)
    if hand is None:  # compiling is not counted; the ids of the text and those prepared differ by a numbering alone
        hand = hand_tuned_time.hand = HandTuned(data, 'deepfm', hand_tuned_time.bf16, True)
    del rows
    hand.reset(seed)
    best, seconds, at_best = 0, read, 0
    while True:
        begun = time.time()
        hand.epoch()
        found = auc(hand.y['valid'], hand.predict('valid'))
        seconds += time.time() - begun
        if found <= best:
            return dict(value=at_best, auc=best)
        best, at_best = found, seconds


def xlearn_time(data, model):
    """Reads the text, writes xLearn's, and trains with its early stopping on valid."""
    peer = xlearn_time.__dict__.setdefault(model, None)
    if peer is None:
        peer = xlearn_time.__dict__[model] = XLearn(data, model)
    keep, peer.folder = peer.folder, data.args.directory / 'to-auc-xlearn'
    shutil.rmtree(peer.folder, ignore_errors=True)
    peer.folder.mkdir()
    begun = time.time()
    for split, (ids, labels) in read_text(data).items():
        write_libffm(peer.folder / f'{split}.ffm', ids, labels)
        if split == 'valid':
            valid_labels = labels
    fitted, _ = peer.fit(30, peer.folder / 'valid.ffm')
    seconds = time.time() - begun
    found = auc(valid_labels, peer.predict(fitted, 'valid'))
    shutil.rmtree(peer.folder)
    peer.folder = keep
    return dict(value=seconds, auc=found)


def to_auc(data):
    rows = []
    hand_tuned_time.bf16 = data.args.bf16
    for model, peer, target in (('deepfm', 'PyTorch by hand', 3), ('fm', 'xLearn', 1.5), ('ffm', 'xLearn', 1.5)):
        if not has_model(data.args, model):
            rows.append(missing(Row(f'{model}: raw text to best valid AUC', peer, target), model))
            continue
        row = Row(f'{model}: raw text to best valid AUC', peer, target, unit='s')
        for seed in repeats(data.args):
            theirs = hand_tuned_time(data, seed) if model == 'deepfm' else xlearn_time(data, model)
            extra = sets(seed=seed) + FASTEST.get(model, [])
            ours = our_time_to(data, model, theirs['auc'], extra,
                               'bf16' if model == 'deepfm' and data.args.bf16 else 'fp32')
            row.add(ours, theirs, theirs['value'] / ours['value'])
        rows.append(row)
    return rows


def tables(data):
    times = Row('FM step, 100 M rows', 'itself at 1 M rows', 1.5, 'most', 'ms')
    rows = Row('embedding rows alone, 100 M rows', 'themselves at 1 M rows', 1.5, 'most', 'ms')
    share = Row('FM step, 100 M rows', 'its embedding rows alone', .7, 'least', 'ms')
    found = json.loads(interplay(data.args, 'bench', 'tables', '--repeat', data.args.repeats, '--json'))
    by_name = {m['name']: m['values'] for m in found['figures']}
    for large, small, alone, small_alone in zip(*(by_name[f'{size} M rows: {what}']
                                                  for what in ('step', 'its embedding rows alone')
                                                  for size in ('100.00', '1.00'))):
        times.add(large, small)
        rows.add(alone, small_alone)
        share.add(large, alone, alone / large)
    return [times, rows, share]


def dense(data):
    rows = []
    for precision in ('fp32', 'bf16') if data.args.bf16 else ('fp32',):
        row = Row(f'DeepFM {precision}, dense Adam + L2, 1 M rows', 'itself lazy', 1.5, 'most', 'ms')
        words = ['--model', 'deepfm', '--sizes', '[1000000]', '--ids', 'log_uniform', *sets(train__precision=precision)]
        figure = '1.00 M rows: step'
        for _ in repeats(data.args):
            row.add(bench(data.args, 'tables', *words,
                          *sets(optimizer__embedding='{name: adam, lr: 1e-3, l2: 1e-6, mode: dense}'))[figure],
                    bench(data.args, 'tables', *words, *sets(optimizer__embedding='{name: adam, lr: 1e-3}'))[figure])
        rows.append(row)
    return rows


def shares_without_tiles(data):
    """Shares of the products on processors that have bf16 products of vectors, but no tiles (AMX)."""
    rows = []
    for work, target, words in (('DeepFM bf16 train', .85, ('train', '--model', 'deepfm')),
                                ('DCNv2 bf16 train', .85, ('train', '--model', 'dcnv2')),
                                ('DeepFM bf16, evaluate', .75, ('eval', '--model', 'deepfm'))):
        row = Row(f'{work}, AVX512-BF16', 'its matrix products alone', target)
        for _ in repeats(data.args):
            found = bench(data.args, *words, '--data', data.prepared, *sets(train__precision='bf16'),
                          environment={'ONEDNN_MAX_CPU_ISA': 'AVX512_CORE_BF16'})
            row.add(found[{'train': 'train', 'eval': 'predict'}[words[0]]], found['matrix products alone'])
        rows.append(row)
    return rows


FBGEMM_TABLES, FBGEMM_ROWS, FBGEMM_STEPS = 39, 25600, 50


def fbgemm_worker():
    """Runs in FBGEMM's own environment; answers each line of standard input with ns a read."""
    import torch
    from fbgemm_gpu.split_embedding_configs import EmbOptimType
    from fbgemm_gpu.split_table_batched_embeddings_ops_common import EmbeddingLocation
    from fbgemm_gpu.split_table_batched_embeddings_ops_training import (ComputeDevice,
                                                                        SplitTableBatchedEmbeddingBagsCodegen)
    torch.set_num_threads(int(os.environ['OMP_NUM_THREADS']))
    torch.manual_seed(0)
    tables = SplitTableBatchedEmbeddingBagsCodegen(
        embedding_specs=[(FBGEMM_ROWS, DIM, EmbeddingLocation.HOST, ComputeDevice.CPU)] * FBGEMM_TABLES,
        optimizer=EmbOptimType.EXACT_ROWWISE_ADAGRAD, learning_rate=1e-3, device=torch.device('cpu'))
    # log-uniform, as interplay bench embedding draws them
    ids = [(FBGEMM_ROWS ** torch.rand(FBGEMM_TABLES * BATCH, dtype=torch.float64) - 1).long().clamp(max=FBGEMM_ROWS - 1)
           for _ in range(8)]
    offsets = torch.arange(FBGEMM_TABLES * BATCH + 1)
    gradient = torch.randn(BATCH, FBGEMM_TABLES * DIM) * 1e-3

    def steps(n):
        for i in range(n):
            tables(ids[i % len(ids)], offsets).backward(gradient)

    steps(8)
    for _ in sys.stdin:
        begun = time.time()
        steps(FBGEMM_STEPS)
        print(1e9 * (time.time() - begun) / FBGEMM_STEPS / BATCH / FBGEMM_TABLES, flush=True)


def embedding(data):
    row = Row('embedding: forward, backward, update', 'FBGEMM', 1, unit='ns a read')
    python = data.args.directory / 'fbgemm' / 'bin' / 'python'
    worker = subprocess.Popen([str(python), __file__, '--fbgemm-worker'], stdin=subprocess.PIPE, text=True,
                              stdout=subprocess.PIPE,
                              env=dict(os.environ, OMP_NUM_THREADS=str(data.args.threads))) if python.exists() else None
    words = ['--tables', FBGEMM_TABLES, '--size', FBGEMM_ROWS, '--width', DIM, '--batch', BATCH, '--steps', FBGEMM_STEPS,
             '--ids', 'log_uniform', '--rule', 'rowwise_adagrad']
    for _ in repeats(data.args):
        if worker:
            worker.stdin.write('go\n')
            worker.stdin.flush()
        answer = worker.stdout.readline() if worker else ''
        if not answer:
            row.note = 'FBGEMM does not install here'
            break
        ours, theirs = bench(data.args, 'embedding', *words)['the same'], float(answer)
        row.add(ours, theirs, theirs / ours)
    if worker:
        worker.stdin.close()
        worker.wait()
    return [row]


def evaluation(data):
    precision = 'bf16' if data.args.bf16 else 'fp32'
    row = Row(f'DeepFM {precision}, evaluate', 'DeepCTR-Torch predict', 3)
    share = Row(f'DeepFM {precision}, evaluate', 'its matrix products alone', .75)
    peer = DeepCtr(data)
    peer.run(1)
    for _ in repeats(data.args):
        found = bench(data.args, 'eval', '--data', data.prepared, *sets(train__precision=precision))
        row.add(found['predict'], peer.predict_rate())
        share.add(found['predict'], found['matrix products alone'])
    return [row, share]


def scoring(data):
    import torch
    row = Row('Scorer, 1 user x 200, raw strings, p99', '2 ms', 1, 'most', 'ms')
    beside = Row('Scorer, 1 user x 200, raw strings, p99', 'PyTorch eager, ids given', 1, 'most', 'ms')
    hand = HandTuned(data, 'deepfm', False, False)
    requests = hand.x['test'][:200 * 20].split(200)
    for _ in repeats(data.args):
        found = bench(data.args, 'score', '--rows', data.args.rows, '--scratch', data.args.directory)
        torch.set_num_threads(1)
        times = []
        with torch.no_grad():
            for i in range(300):
                begun = time.perf_counter()
                torch.sigmoid(hand.forward(requests[i % len(requests)]))
                times.append(1e3 * (time.perf_counter() - begun))
        torch.set_num_threads(data.args.threads)
        row.add(found['request, p99'], 2.0)
        beside.add(found['request, p99'], float(np.percentile(times[20:], 99)))
    return [row, beside]


def preparing(data):
    rate_row = Row('prepare, warm text', '400 k rows/s', 1)
    fuxictr = Row('prepare, warm text', 'FuxiCTR, 20 k rows/s', 15)
    for _ in repeats(data.args):
        found = bench(data.args, 'prepare', '--rows', data.args.rows, '--scratch', data.args.directory)['prepare']
        rate_row.add(found, 400e3)
        fuxictr.add(found, FUXICTR_PREPARE)
    return [rate_row, fuxictr]


def precision(data):
    """Long: 2 M rows, 5 seeds, both precisions."""
    args = argparse.Namespace(**{**vars(data.args), 'rows': 2000000})
    large = Data(args)
    differences = []
    for seed in range(1, 6):
        fp32, bf16 = (our_training(large, 'deepfm', p, seed=seed)['auc'] for p in ('fp32', 'bf16'))
        differences.append(fp32 - bf16)
        log(f'bf16 and fp32, seed {seed}: AUC {bf16:.5f} and {fp32:.5f}')
    mean, error = statistics.mean(differences), statistics.stdev(differences) / math.sqrt(len(differences))
    row = Row('bf16: AUC lost to fp32, 2 M rows', f'max(.0005, 2 standard errors of {error:.5f})', 1, 'most', 'AUC')
    row.add(mean, max(.0005, 2 * error))
    return [row]


ROWS = {
    'lr': row_of_xlearn('lr', 1), 'fm': row_of_xlearn('fm', 1.5), 'ffm': row_of_xlearn('ffm', 1.5),
    'deepfm': deepfm_fp32, 'deepfm-bf16': deepfm_bf16, 'dcnv2-bf16': dcnv2_bf16, 'to-auc': to_auc, 'tables': tables,
    'dense': dense, 'shares-avx512': shares_without_tiles, 'embedding': embedding, 'eval': evaluation, 'score': scoring,
    'prepare': preparing, 'precision': precision,
}
LONG = {'precision'}
BF16 = {'deepfm-bf16', 'dcnv2-bf16', 'shares-avx512', 'precision'}


def has_model(args, name):
    return name in interplay(args, 'models').split()


def missing(row, model):
    row.note = f'no model {model} here'
    return row


def shown(value, unit=''):
    if value is None:
        return '-'
    if unit in ('rows/s', 'MB'):
        for scale, letter in ((1e6, ' M'), (1e3, ' k')):
            if value >= scale and unit == 'rows/s':
                return f'{value / scale:.3g}{letter}'
    return f'{value:.3g}'


def spread(values, unit=''):
    if not values:
        return '-'
    return f'{shown(statistics.median(values), unit)} ({shown(min(values), unit)} .. {shown(max(values), unit)})'


def print_table(rows):
    cells = [['work', 'against', 'target', 'ratio', 'ours', 'peer', 'unit', 'AUC ours', 'AUC peer', '']]
    for r in rows:
        middle = lambda values: f'{statistics.median(values):.4f}' if values else '-'
        cells.append([r.work, r.peer, f'{">=" if r.kind == "least" else "<="} {r.target:g}', spread(r.ratios),
                      spread(r.ours, r.unit), spread(r.theirs, r.unit), r.unit, middle(r.our_auc), middle(r.their_auc),
                      r.verdict()])
    widths = [max(len(row[c]) for row in cells) for c in range(len(cells[0]))]
    cells.insert(1, ['-' * w for w in widths])
    for row in cells:
        print('  '.join(cell.ljust(w) for cell, w in zip(row, widths)).rstrip())


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('directory', type=pathlib.Path, help='that bench_peers.sh set up')
    parser.add_argument('--interplay', type=pathlib.Path, default='interplay', help='the program')
    parser.add_argument('--only', help=f'rows, as fm,deepfm (there are: {", ".join(ROWS)})')
    parser.add_argument('--long', action='store_true', help=f'also {", ".join(LONG)}')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--rows', type=int, default=500000)
    parser.add_argument('--threads', type=int, default=os.cpu_count())
    parser.add_argument('--xlearn-epochs', type=int, default=10)
    parser.add_argument('--json', type=pathlib.Path, help='every figure, into this file')
    args = parser.parse_args()
    wanted = args.only.split(',') if args.only else [n for n in ROWS if args.long or n not in LONG]
    for name in wanted:
        if name not in ROWS:
            parser.error(f'--only: no row {name} (there are: {", ".join(ROWS)})')
    flags = pathlib.Path('/proc/cpuinfo').read_text()
    args.bf16 = 'avx512_bf16' in flags or 'amx_bf16' in flags
    os.environ.setdefault('USER', 'peer')  # xLearn wants one
    data = Data(args)
    rows, begun = [], time.time()
    for name in wanted:
        log(f'--- {name}')
        if name in BF16 and not args.bf16:
            log('this processor has no bf16 products; left out')
        elif name in ('ffm',) and not has_model(args, name):
            rows.append(missing(Row('FFM train', 'xLearn', 1.5), name))
        else:
            rows += ROWS[name](data)
        if args.json:
            args.json.write_text(json.dumps([r.as_json() for r in rows], indent=1))
    log(f'{(time.time() - begun) / 60:.1f} minutes')
    cpu = next((line.split(': ')[1] for line in flags.splitlines() if line.startswith('model name')), 'unknown')
    print(f'{cpu}, {args.threads} threads; {args.rows} rows, {args.repeats} repeats; median (least .. most); ratio: of '
          'pairs run one after the other')
    print_table(rows)


if __name__ == '__main__':
    if '--fbgemm-worker' in sys.argv:
        fbgemm_worker()
    else:
        main()
