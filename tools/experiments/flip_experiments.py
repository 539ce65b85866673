#!/usr/bin/env python3
"""What FLIP makes of few rows: ids and text that recover each other, then a CTR model of the ids, of the text, of both.

    python3 tools/experiments/flip_experiments.py --root DIR ml-1m         ratings.dat, users.dat and movies.dat
    python3 tools/experiments/flip_experiments.py --root DIR bookcrossing  ratings.tsv, users.tsv and books.tsv

The files may be packed (.gz); first run `interplay fetch minilm-l6`. Each seed has rows of its own: as many as --train,
--valid and --test say, drawn from all ratings and split at random: of so few rows cut in time nearly every user of test
would be unseen. On them, for each backbone:

  pre-training      whole; with each side alone (no attention, no fusion, no icl); and without mlm, mtm, icl, each in turn,
                    for the first backbone (--full: for all)
  tuning            FLIP (both towers) from the whole one, and from those that leave a part out; its text tower alone
  the ids alone     the backbone as an ordinary run: from nothing, and from each of these (FLIP_ID)

Tables: what share of masked features and words is recovered on test rows, with and without the other side; AUC of the
towers and of both; what each part of the pre-training is worth; what it costs. Differences are paired by seed and have
their 95% interval over the seeds. How long it will take is told after the first pre-training. Everything is kept below
--out, in a folder named after data, rows and language model: what is finished is not run again, and what was cut short
goes on. Tables go to standard output and, as Markdown, to <data>.md there.
"""
import argparse
import pathlib
import random
import shutil

import lab as laboratory
from lab import ROOT, Lab, Report, interval, lines_of, say, spread

BACKBONES = {
    'dcnv2': 'dcnv2, embedding_dim: 32, cross: mixture, cross_layers: 2, cross_rank: 32, cross_experts: 4, '
             'hidden: [300, 300, 128]',
    'deepfm': 'deepfm, embedding_dim: 32, hidden: [300, 300, 128]',
    'autoint': 'autoint, embedding_dim: 32',
}
DATA = {
    'ml-1m': {'ratings': 'ratings.dat', 'others': ['users.dat', 'movies.dat'], 'header': False,
              'counts': lambda line: not line.rstrip(b'\n').endswith(b'::0')},  # ratings without a time
    'bookcrossing': {'ratings': 'ratings.tsv', 'others': ['users.tsv', 'books.tsv'], 'header': True,
                     'counts': lambda line: True},
}
WITHOUT = ('mlm', 'mtm', 'icl')
TEXT_OPTIMIZER = '{dense: {name: adam, lr: 1e-3, decay: 1e-3}, text: {name: adam, lr: 5e-5, decay: 1e-3}}'  # no mixture


class FlipLab(Lab):
    """Rows drawn from a data set, prepared with ids and text."""

    def __init__(self, arguments):
        lm = pathlib.Path(arguments.lm).name
        arguments.out = arguments.out / f'{arguments.data}-n{arguments.train}-{lm}-l{arguments.layers}'
        super().__init__(arguments)
        self.arguments, self.of = arguments, DATA[arguments.data]
        self.configs = ROOT / 'configs' / arguments.data

    def data(self, seed):
        a = self.arguments
        name = f'{a.train}-{a.valid}-{a.test}-{seed}'
        raw, prepared = self.out / 'raw' / name, self.out / 'prepared' / name
        if not prepared.exists():
            say(f'prepare {name}')
            self.draw(seed, raw)
            total = a.train + a.valid + a.test
            ratios = f'[{a.train / total}, {a.valid / total}, {1 - a.train / total - a.valid / total}]'
            prepared.parent.mkdir(parents=True, exist_ok=True)
            self.interplay('prepare', self.configs / 'data_text.yaml', '--set', f'root={raw}', '--set',
                           f'split={{by: random, seed: {seed}, ratios: {ratios}}}', '--out', prepared)
        return prepared

    def draw(self, seed, raw):
        """Some of the ratings, in the order of the file."""
        lines = lines_of(self.arguments.root, self.of['ratings'])
        head, lines = (lines[:1], lines[1:]) if self.of['header'] else ([], lines)
        lines = [line for line in lines if self.of['counts'](line)]
        total = self.arguments.train + self.arguments.valid + self.arguments.test
        if total > len(lines):
            raise SystemExit(f'{total} rows are wanted of the {len(lines)} that there are; lower --train or --test')
        some = sorted(random.Random(seed).sample(range(len(lines)), total))
        shutil.rmtree(raw, ignore_errors=True)
        raw.mkdir(parents=True)
        (raw / self.of['ratings']).write_bytes(b''.join(head + [lines[i] for i in some]))
        for other in self.of['others']:
            (raw / other).write_bytes(b''.join(lines_of(self.arguments.root, other)))

    def tower(self):
        return {'model__lm': self.arguments.lm, 'model__layers': self.arguments.layers}

    def pretrain(self, name, data, seed, backbone, **keys):
        return self.train(f'{name}-{backbone}-{seed}', self.configs / 'flip_pretrain.yaml', data, seed, **self.tower(),
                          model__backbone=f'{{name: {BACKBONES[backbone]}}}',
                          train__epochs=self.arguments.pretrain_epochs, **keys)

    def tune(self, name, data, seed, backbone, before, **keys):
        return self.train(f'{name}-{backbone}-{seed}', self.configs / 'flip.yaml', data, seed, '--init', before.directory,
                          **self.tower(), model__backbone=f'{{name: {BACKBONES[backbone]}}}',
                          train__epochs=self.arguments.epochs, **keys)

    def of_ids(self, name, data, seed, backbone, before=None):
        init = ['--init', f'{before.directory}:backbone'] if before else []
        return self.train(f'{name}-{backbone}-{seed}', self.configs / 'flip_id.yaml', data, seed, *init,
                          model=f'{{name: {BACKBONES[backbone]}}}', train__epochs=self.arguments.id_epochs)


def run_all(lab, arguments, backbone, seed, without, total):
    """All runs of one backbone and seed, by name; `without`: parts that are left out in turn."""
    data = lab.data(seed)
    runs = {'pre': lab.pretrain('pre', data, seed, backbone)}
    if total:
        minutes = runs['pre'].summary['seconds'] / 60
        say(f'the first pre-training took {minutes:.0f} minutes; all of it about {total * minutes / 60:.1f} hours')
    runs['pre, alone'] = lab.pretrain('pre-alone', data, seed, backbone, model__attention='false',
                                      model__fusion='false', model__icl='false')
    for part in without:
        runs[f'pre, no {part}'] = lab.pretrain(f'pre-no-{part}', data, seed, backbone, **{
            f'model__{part}': 'false', 'train__monitor': 'term:mlm' if part == 'mtm' else 'term:mtm'})
    runs['id, from nothing'] = lab.of_ids('id', data, seed, backbone)
    for before in ['pre'] + [f'pre, no {part}' for part in without]:
        tag = before.replace(', ', '-').replace(' ', '-')
        runs[f'id, {before}'] = lab.of_ids(f'id-{tag}', data, seed, backbone, runs[before])
        runs[f'both, {before}'] = lab.tune(f'both-{tag}', data, seed, backbone, runs[before])
    runs['text, pre'] = lab.tune('text-pre', data, seed, backbone, runs['pre'], model__tower='text', optimizer=TEXT_OPTIMIZER)
    return runs


def recovered(report, of):
    report.text('Share of masked features and words that is recovered on test rows (top-1; of a feature, among all of its '
                'field). "Without" is a run of its own that never sees the other side; "zeroed" is the run of "with", the '
                'other side taken away.')
    rows = [['backbone', 'what', 'with the other side', 'without', 'with less without, 95% over seeds', 'zeroed']]
    for backbone, seeds in of.items():
        for term, what in (('mtm', 'masked ids, from the text'), ('mlm', 'masked words, from the ids')):
            test = lambda run, name: [runs[run].summary['test'][f'term:{name}'] for runs in seeds]
            both, without = test('pre', f'{term}_accuracy'), test('pre, alone', f'{term}_accuracy')
            rows.append([backbone, what, spread(both), spread(without), interval([a - b for a, b in zip(both, without)]),
                         spread(test('pre', f'{term}_accuracy_alone'))])
    report.table(rows)


def towers(report, of):
    report.text('AUC on test rows. The better tower is the one with the higher AUC on test, of FLIP_ID and FLIP_PLM.')
    rows = [['backbone', 'the ids from nothing', 'FLIP_ID', 'FLIP_PLM', 'FLIP', 'FLIP_ID less from nothing',
             'FLIP less better tower']]
    for backbone, seeds in of.items():
        auc = {name: [runs[name].auc for runs in seeds] for name in
               ('id, from nothing', 'id, pre', 'text, pre', 'both, pre')}
        better = [max(pair) for pair in zip(auc['id, pre'], auc['text, pre'])]
        rows.append([backbone, *map(spread, auc.values()),
                     interval([a - b for a, b in zip(auc['id, pre'], auc['id, from nothing'])]),
                     interval([a - b for a, b in zip(auc['both, pre'], better)])])
    report.table(rows)


def parts(report, of):
    report.text('What each part of the pre-training is worth: AUC with all less AUC without it.')
    rows = [['backbone', 'without', 'FLIP_ID', 'difference', 'FLIP', 'difference']]
    for backbone, seeds in of.items():
        for part in WITHOUT if f'pre, no {WITHOUT[0]}' in seeds[0] else ():
            row = [backbone, part]
            for kind in ('id', 'both'):
                without = [runs[f'{kind}, pre, no {part}'].auc for runs in seeds]
                row += [spread(without), interval([runs[f'{kind}, pre'].auc - auc for runs, auc in zip(seeds, without)])]
            rows.append(row)
    report.table(rows)


def costs(report, of):
    report.text('What it costs: rows and tokens learnt in a second, seconds of a whole run, most memory; means over the '
                'seeds.')
    rows = [['backbone', 'run', 'rows/s', 'tokens/s', 'seconds', 'epochs', 'peak memory, MB']]
    mean = lambda values: sum(values) / len(values)
    for backbone, seeds in of.items():
        for name in ('pre', 'both, pre', 'text, pre', 'id, pre'):
            told = [runs[name].summary for runs in seeds]
            rows.append([backbone, name, f'{mean([s["rows_per_s"] for s in told]):.0f}',
                         f'{mean([s.get("tokens_per_s", 0) for s in told]):.0f}',
                         f'{mean([s["seconds"] for s in told]):.0f}', f'{mean([s["epochs"] for s in told]):.1f}',
                         f'{mean([s["peak_bytes"] for s in told]) / 1e6:.0f}'])
    report.table(rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    laboratory.add_arguments(parser, 'flip')
    parser.add_argument('--root', type=pathlib.Path, required=True, help='folder of the raw files')
    parser.add_argument('data', choices=DATA)
    parser.add_argument('--lm', default='minilm-l6', help='language model: a fetched name or a path')
    parser.add_argument('--layers', type=int, default=2, help='of it, the first ones; 0 = all')
    parser.add_argument('--backbones', type=lambda text: text.split(','), default=['dcnv2', 'deepfm'],
                        help=f'of {", ".join(BACKBONES)}')
    parser.add_argument('--train', type=int, default=10000, help='training rows')
    parser.add_argument('--valid', type=int, default=2000)
    parser.add_argument('--test', type=int, default=6000)
    parser.add_argument('--pretrain-epochs', type=int, default=5)
    parser.add_argument('--epochs', type=int, default=8, help='of tuning at most')
    parser.add_argument('--id-epochs', type=int, default=20, help='of the ids alone at most')
    parser.add_argument('--full', action='store_true', help='parts are left out for every backbone')
    arguments = parser.parse_args()
    arguments.root = arguments.root.resolve()
    lab = FlipLab(arguments)
    report = Report(lab, arguments.data)
    seeds = arguments.seeds or [1, 2, 3]
    withouts = [WITHOUT if arguments.full or i == 0 else () for i in range(len(arguments.backbones))]
    # Of each backbone and seed, in pre-trainings: two and less than one a part; tunings read half of the text a pass.
    total = len(seeds) * sum(2.3 + 1.1 * len(without) for without in withouts)
    of = {}
    for backbone, without in zip(arguments.backbones, withouts):
        for seed in seeds:
            of.setdefault(backbone, []).append(run_all(lab, arguments, backbone, seed, without, total))
            total = 0
    report.text(f'{arguments.data}: {arguments.train} training rows, {arguments.valid} valid, {arguments.test} test; '
                f'{arguments.lm}, {arguments.layers or "all"} layers; seeds {", ".join(map(str, seeds))}')
    for table in (recovered, towers, parts, costs):
        table(report, of)
    report.write()


if __name__ == '__main__':
    main()
