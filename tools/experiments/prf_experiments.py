#!/usr/bin/env python3
"""What QA4PRF's parts are worth beside classical feedback, on small collections, by five folds of queries.

    python3 tools/experiments/prf_experiments.py --root DIR                  cranfield, medline, scifact below DIR
    python3 tools/experiments/prf_experiments.py --root DIR --check FILE     BM25, QL and RM3 against stored figures

A collection is a folder with docs.jsonl or docs.tsv, queries.tsv and qrels.tsv, packed or not: others of this form are named by
--collections. Cranfield is judged twice: by all 1,837 pairs (grade -1 marks the paper that a query was written from, and
grades count downwards), and without those of -1. SciFact has one relevant document a query, so that feedback does harm: the
negative control. Ways, beside the first retrieval, RM3 and Bo1 of the same run:

  qa4prf         all of it                     no-pointer     one step in place of the pointer network
  no-attention   all words weigh alike         no-lambdarank  what the reader points at, as it is
  no-reader      LambdaRank over what classical feedback knows

Tables: MAP, P@10, NDCG@20, recall@1000 of each; robustness and the paired randomisation test against RM3 and Bo1; of `qa4prf`
against each way without a part. How long it will take is told first. Everything is kept below --out: what is finished is not
run again, and what was cut short goes on. Tables go to standard output and, as Markdown, to prf.md there.
"""
import argparse
import gzip
import json
import pathlib
import sys

import lab as laboratory
from lab import Lab, Report, say

ALL_GRADES = '-1=4,1=4,2=3,3=2,4=1'
JUDGED = {  # by collection: name of the judgement, --grades
    'cranfield': {'cranfield': ALL_GRADES, 'cranfield without -1': '1=4,2=3,3=2,4=1'},
}
WAYS = {
    'qa4prf': {},
    'no-pointer': {'pointer': 'false'},
    'no-attention': {'attention': 'false'},
    'no-lambdarank': {'lambdarank': 'false'},
    'no-reader': {'reader': 'false'},
}
CLASSICAL = ('first', 'rm3', 'bo1')
# What --check holds against what: name in the file -> collection, grades; one level, as the stored figures have it.
STORED = {'cranfield': ('cranfield', '1=1,2=1,3=1,4=1'), 'cranfield_all1837': ('cranfield', '-1=1,1=1,2=1,3=1,4=1'),
          'medline': ('medline', ''), 'scifact': ('scifact', '')}
MEASURES = (('map', 'map'), ('p10', 'p@10'), ('ndcg20', 'ndcg@20'))
PAIRS_A_SECOND = 45.0  # of 256 tokens, on one core


class PrfLab(Lab):
    def __init__(self, arguments):
        super().__init__(arguments)
        self.root = arguments.root

    def file(self, collection, name):
        for end in ('', '.gz'):
            if (self.root / collection / (name + end)).exists():
                return self.root / collection / (name + end)
        raise SystemExit(f'{self.root / collection / name}: is not there, nor packed')

    def index(self, collection, *options):
        out = self.out / 'indexes' / '-'.join([collection, *(o.strip('-') for o in options)])
        if not out.exists():
            say(f'index {out.name}')
            out.parent.mkdir(parents=True, exist_ok=True)
            self.interplay('prf', 'index', self.root / collection, '--out', out, *options)
        return out

    def search(self, collection, index, method, *options):
        out = self.out / 'rankings' / f'{index.name}-{method}.run'
        if not out.exists():
            out.parent.mkdir(parents=True, exist_ok=True)
            self.interplay('prf', 'search', index, '--queries', self.file(collection, 'queries.tsv'), '--method', method,
                           '--out', out, *options)
        return out

    def judge(self, collection, grades, *runs):
        levels = [f'--grades={grades}'] if grades else []
        text = self.interplay('prf', 'eval', *runs, '--qrels', self.file(collection, 'qrels.tsv'), *levels, '--json')
        return json.loads(text)['runs']

    def learn(self, name, collection, grades, seed, index, keys):
        """A run's directory. Experiments name files in full: runs are kept elsewhere than their files."""
        file = self.out / 'experiments' / f'{name}.yaml'
        file.parent.mkdir(parents=True, exist_ok=True)
        lines = {'index': index, 'queries': self.file(collection, 'queries.tsv'), 'qrels': self.file(collection, 'qrels.tsv'),
                 'grades': f'"{grades}"', 'seed': seed, **keys}
        file.write_text(''.join(f'{key}: {value}\n' for key, value in lines.items()))
        out = self.out / 'runs' / name
        if not (out / 'manifest.json').exists():
            say(f'train {name}')
            out.parent.mkdir(parents=True, exist_ok=True)
            resume = ['--resume'] if (out / 'config.yaml').exists() else []
            self.interplay('prf', 'train', file, '--out', out, *self.sets, *resume)
        return out


def check(lab, stored, collections):
    """Whether MAP, P@10 and NDCG@20 of BM25, QL and RM3 are the stored ones, to 1e-4."""
    stored = json.loads(stored.read_text())['collections']
    rows, good = [['judged by', 'method', 'MAP', 'P@10', 'NDCG@20', 'furthest from the stored figures']], True
    for name, (collection, grades) in STORED.items():
        if collection not in collections:
            continue
        index = lab.index(collection)
        for method in ('bm25', 'ql', 'rm3'):
            found = lab.judge(collection, grades, lab.search(collection, index, method, '--depth', 0))[0]
            far = max(abs(found[ours] - stored[name][method][theirs]) for theirs, ours in MEASURES)
            good &= far < 1e-4
            rows.append([name, method, *(f'{found[ours]:.4f}' for _, ours in MEASURES), f'{far:.1e}'])
    report = Report(lab, 'check')
    report.table(rows)
    report.text('All equal to 1e-4.' if good else 'NOT all equal to 1e-4.')
    report.write()
    return good


def pairs(lab, collection):
    """Pairs of query and document that one way reads at most, all passes and folds; a pair is as long as its document."""
    name = lab.file(collection, 'queries.tsv')
    with (gzip.open if name.suffix == '.gz' else open)(name, 'rb') as lines:
        queries = sum(1 for line in lines if line.strip())
    return queries * 10 * 3 * lab.epochs  # 10 documents; of 5 folds each learns from 3


def p_text(compared):
    return f'{compared["difference"]:+.4f} (p {compared["p_value"]:.4f}, {compared["better"]} better, {compared["worse"]} worse)'


def compare(lab, report, collection, judged, grades, seed, index):
    runs = {}
    for way, keys in WAYS.items():
        name = f'{judged.replace(" ", "-")}-{way}-{seed}'
        keys = {**keys, 'network': f'{{epochs: {lab.epochs}}}'}
        runs[way] = lab.learn(name, collection, grades, seed, index, keys) / 'qa4prf.run'
    folder = runs['qa4prf'].parent
    all_runs = {**{m: folder / f'{m}.run' for m in CLASSICAL}, **runs}
    report.text(f'{judged}, seed {seed}. Grades: {grades or "as they are"}.')
    rows = [['', 'MAP', 'P@10', 'NDCG@20', 'recall@1000', 'against RM3', 'robustness', 'against Bo1']]
    for name, run in all_runs.items():
        of_rm3 = lab.judge(collection, grades, all_runs['rm3'], run)[1]
        of_bo1 = lab.judge(collection, grades, all_runs['bo1'], run)[1]
        rows.append([name, *(f'{of_rm3[m]:.4f}' for m in ('map', 'p@10', 'ndcg@20', 'recall@1000')),
                     '' if name == 'rm3' else p_text(of_rm3), f'{of_rm3["robustness"]:+.3f}',
                     '' if name == 'bo1' else p_text(of_bo1)])
    report.table(rows)
    rows = [['what `qa4prf` has over', 'MAP']]
    for way in WAYS:
        if way != 'qa4prf':
            rows.append([way, p_text(lab.judge(collection, grades, runs[way], runs['qa4prf'])[1])])
    report.table(rows)
    summary = json.loads((folder / 'summary.json').read_text())
    report.text(f'beta by fold: {", ".join(f"{b:g}" for b in summary["betas"])}; {summary["pairs_per_s"]:.0f} pairs/s, '
                f'{summary["seconds"]:.0f} s, peak memory {summary["peak_bytes"] / 1e6:.0f} MB, {summary["parameters"]} parameters a fold')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    laboratory.add_arguments(parser, 'prf')
    parser.add_argument('--root', type=pathlib.Path, required=True, help='folder of the collections')
    parser.add_argument('--collections', type=lambda text: text.split(','), default=['cranfield', 'medline', 'scifact'])
    parser.add_argument('--check', type=pathlib.Path, metavar='FILE', help='stored figures; nothing is trained')
    parser.add_argument('--epochs', type=int, default=10, help='passes of the reader at most')
    parser.add_argument('--stem', help='Snowball stemmer of the index, as english')
    parser.add_argument('--full', action='store_true', help='30 passes, seeds 1, 2 and 3')
    arguments = parser.parse_args()
    arguments.root, arguments.out = arguments.root.resolve(), arguments.out.resolve()
    lab = PrfLab(arguments)
    if arguments.check:
        sys.exit(0 if check(lab, arguments.check, arguments.collections) else 1)
    lab.epochs = 30 if arguments.full else arguments.epochs
    seeds = arguments.seeds or ([1, 2, 3] if arguments.full else [1])
    judgements = [(collection, judged, grades) for collection in arguments.collections
                  for judged, grades in JUDGED.get(collection, {collection: ''}).items()]
    reading = [way for way, keys in WAYS.items() if keys.get('reader') != 'false']
    seconds = sum(pairs(lab, collection) for collection, _, _ in judgements) * len(reading) * len(seeds) / PAIRS_A_SECOND
    say(f'{len(judgements) * len(WAYS) * len(seeds)} runs: {seconds / 3600:.1f} hours at most on one core')
    report = Report(lab, 'prf')
    for collection, judged, grades in judgements:
        index = lab.index(collection, *(['--stem', arguments.stem] if arguments.stem else []))
        for seed in seeds:
            compare(lab, report, collection, judged, grades, seed, index)
    report.write()


if __name__ == '__main__':
    main()
