"""SASRec's training beside RecBole's, by turns in one run, on the same rows of MovieLens-1M (liked films, each with the last 30
liked before it) and of the same sizes: 64 wide, 2 layers, 2 heads, inner width 256, dropout 0.1, Adam, batches of 512.

    python -m venv venv && venv/bin/pip install torch==2.15.0 recbole==1.2.1 'numpy<2'
    venv/bin/python tools/bench/bench_sasrec.py build/bin/interplay --root DIR      DIR has ratings.dat, users.dat, movies.dat

Ours tells a film from 50 that are drawn, RecBole's from all (its loss CE, which its documentation begins with) or from
one (BPR). Each repeat trains a pass with each; printed are medians with the least and most, of ratios the median of the
ratios of a repeat. Last, the NDCG@10 of each after --epochs passes, over all films, on each user's last liked film.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / 'tools' / 'experiments'))
from lab import draw_users, lines_of  # noqa: E402

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('program', type=pathlib.Path)
parser.add_argument('--root', type=pathlib.Path, required=True)
parser.add_argument('--out', type=pathlib.Path, default=ROOT / 'runs' / 'bench_sasrec')
parser.add_argument('--users', type=int, default=2013, help='of 6,040, drawn')
parser.add_argument('--repeat', type=int, default=5)
parser.add_argument('--threads', type=int, default=2)
parser.add_argument('--batch', type=int, default=512)
parser.add_argument('--epochs', type=int, default=0, help='of the comparison of NDCG@10; 0: none')
a = parser.parse_args()
SIZES = {'width': 64, 'layers': 2, 'heads': 2, 'inner': 256, 'dropout': .1, 'length': 30}


def interplay(*arguments):
    command = [str(a.program), '--quiet', '--threads', str(a.threads), *map(str, arguments)]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def raw():
    """Ratings of some users."""
    out = a.out / f'raw-{a.users}'
    draw_users(a.root, out, lambda users: a.users)
    return out


def prepare():
    out = a.out / f'prepared-{a.users}'
    if not out.exists():
        interplay('prepare', ROOT / 'configs/ml-1m/data_graph.yaml', '--set', f'root={raw()}', '--out', out)
    return out


def ours(seed, epochs):
    """Its summary and its run."""
    out = a.out / f'run-{a.users}-{epochs}-{seed}'
    if not (out / 'manifest.json').exists():
        model = (f'{{name: sasrec, embedding_dim: {SIZES["width"]}, output_dim: {SIZES["width"]}, layers: {SIZES["layers"]}, heads: '
                 f'{SIZES["heads"]}, inner: {SIZES["inner"]}, attention_dropout: {SIZES["dropout"]}}}')
        interplay('train', ROOT / 'configs/ml-1m/sasrec.yaml', '--data', prepare(), '--out', out, '--seed', seed, '--set',
                  f'model={model}', '--set', 'fields={keep: [movie_id, hist_movie_ids]}', '--set', f'train.epochs={epochs}',
                  '--set', f'train.batch_size={a.batch}', '--set', 'train.patience=0')
    return json.loads((out / 'summary.json').read_text())


def samples():
    """(user, film, films before) of train, valid and test, as data_graph.yaml has them."""
    of, split = {}, ([], [], [])
    for line in lines_of(raw(), 'ratings.dat'):
        user, film, rating, when = map(int, line.split(b'::'))
        if rating > 3 and when > 0:
            of.setdefault(user, []).append((when, film))
    for user, events in of.items():
        films = [film for _, film in sorted(events)]
        rows = [(user, films[i], films[max(0, i - SIZES['length']):i]) for i in range(5, len(films))]
        for part, some in zip(split, (rows[:-2], rows[-2:-1], rows[-1:])):
            part.extend(some)
    return split


class RecBole:
    def __init__(self, loss):
        import torch
        from recbole.config import Config
        from recbole.data import create_dataset, data_preparation
        from recbole.utils import get_model, get_trainer, init_seed

        os.environ['TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'] = '1'  # its own checkpoints hold more than weights
        torch.set_num_threads(a.threads)
        name = f'recbole-{a.users}'
        folder = a.out / name
        if not folder.exists():
            folder.mkdir(parents=True)
            for part, rows in zip(('train', 'valid', 'test'), samples()):
                text = 'user_id:token\titem_id_list:token_seq\titem_id:token\n' + ''.join(
                    f'{user}\t{" ".join(map(str, before))}\t{film}\n' for user, film, before in rows)
                (folder / f'{name}.{part}.inter').write_text(text)
        config = Config(model='SASRec', dataset=name, config_dict={
            'data_path': str(a.out), 'checkpoint_dir': str(a.out / 'saved'), 'benchmark_filename': ['train', 'valid', 'test'],
            'USER_ID_FIELD': 'user_id', 'ITEM_ID_FIELD': 'item_id', 'alias_of_item_id': ['item_id_list'],
            'load_col': {'inter': ['user_id', 'item_id', 'item_id_list']}, 'MAX_ITEM_LIST_LENGTH': SIZES['length'],
            'n_layers': SIZES['layers'], 'n_heads': SIZES['heads'], 'hidden_size': SIZES['width'], 'inner_size': SIZES['inner'],
            'hidden_dropout_prob': SIZES['dropout'], 'attn_dropout_prob': SIZES['dropout'], 'loss_type': loss,
            'train_neg_sample_args': None if loss == 'CE' else {'distribution': 'uniform', 'sample_num': 1},
            'train_batch_size': a.batch, 'eval_batch_size': 4096, 'use_gpu': False, 'show_progress': False, 'state': 'WARNING',
            'eval_args': {'mode': 'full', 'order': 'TO', 'split': {'LS': 'valid_and_test'}, 'group_by': 'user'},
            'metrics': ['Recall', 'NDCG'], 'topk': [10], 'valid_metric': 'NDCG@10', 'learning_rate': 1e-3})
        init_seed(1, True)
        dataset = create_dataset(config)
        self.train, self.valid, self.test = data_preparation(config, dataset)
        self.trainer = get_trainer(config['MODEL_TYPE'], 'SASRec')(config, get_model('SASRec')(config, self.train._dataset))
        self.rows = len(self.train._dataset.inter_feat)
        self.epoch = 0

    def rate(self):
        """rows/s of a pass"""
        begun = time.perf_counter()
        self.trainer._train_epoch(self.train, self.epoch)
        self.epoch += 1
        return self.rows / (time.perf_counter() - begun)


def main():
    a.out.mkdir(parents=True, exist_ok=True)
    a.out, a.root, a.program = a.out.resolve(), a.root.resolve(), a.program.resolve()
    os.chdir(a.out)  # where RecBole leaves its logs
    theirs, rates = {loss: RecBole(loss) for loss in ('CE', 'BPR')}, {'ours': []}
    split = samples()
    print(f'{a.users} users, {len(split[0])} training rows; {a.threads} thread{"" if a.threads == 1 else "s"}', flush=True)
    for repeat in range(a.repeat):
        summary = ours(repeat + 1, 1)
        rates['ours'].append(summary['rows_per_s'])
        for loss, one in theirs.items():
            assert one.rows == len(split[0]), (one.rows, len(split[0]))
            rates.setdefault(f'RecBole, {loss}', []).append(one.rate())
            rates.setdefault(f'ours / RecBole, {loss}', []).append(rates['ours'][-1] / rates[f'RecBole, {loss}'][-1])
    for name, values in rates.items():
        unit = '' if '/' in name else ' rows/s'
        print(f'{name:22} {statistics.median(values):10.2f}{unit}   {min(values):.2f} to {max(values):.2f}')
    print(f'peak memory of ours, MB {summary["peak_bytes"] / 1e6:.0f}')
    if a.epochs:
        print(f'NDCG@10 after at most {a.epochs} passes, best on valid')
        print(f'{"ours":22} {ours(1, a.epochs)["test"]["ndcg@10"]:.4f}')
        for loss in theirs:
            one = RecBole(loss)
            one.trainer.epochs, one.trainer.stopping_step = a.epochs, a.epochs
            one.trainer.fit(one.train, one.valid, verbose=False, saved=True, show_progress=False)
            found = one.trainer.evaluate(one.test, load_best_model=True, show_progress=False)
            print(f'{"RecBole, " + loss:22} {found["ndcg@10"]:.4f}')


main()
