#!/usr/bin/env python3
"""LIBER on MovieLens-1M: what texts about partitions of long histories add to CTR models that have the last 10 events.

    python3 tools/experiments/liber_experiments.py --root DIR all     the deterministic summarizer on all users
    python3 tools/experiments/liber_experiments.py --root DIR lm      a language model on --users users, and the same without one
    python3 tools/experiments/liber_experiments.py --root DIR costs   calls and tokens beside a prompt an event; needs `lm`

DIR has ratings.dat, users.dat and movies.dat of MovieLens-1M (also packed); first run `interplay fetch minilm-l6 smollm2-135m`.

all: DIN and DCNv2, each alone, with augmenter `liber` (K = 50) and with what its partitions count as plain numbers; and of
DIN: without cascade, without shifts, the mean in place of attention, K = 10 and 25. lm: DIN alone, with counts, with the
deterministic texts and with the language model's, on the ratings of the same users of 50 events or more.

AUC on test, three seeds, differences paired by seed with their 95% interval. How long it will take is told beforehand.
Everything is kept below --out: what is finished is not run again, and what was cut short goes on. Tables go to standard
output and, as Markdown, to OUT/<experiment>.md.
"""
import argparse
import collections
import json
import pathlib
import random

import lab as laboratory
from lab import ROOT, Lab, Report, interval, lines_of, say, spread

CONFIGS = ROOT / 'configs' / 'ml-1m'
RUN_MINUTES = {'din': 8, 'dcnv2': 5}  # with one thread of an AVX512-BF16 EPYC, all users
MOST_TOLD = 30  # events that a prompt at every event would tell


class Liber(Lab):
    def __init__(self, arguments):
        super().__init__(arguments)
        self.root, self.arguments = arguments.root.resolve(), arguments

    def data_yaml(self, name, root, count):
        """configs/ml-1m/data_liber.yaml with partitions of `count` events."""
        file = self.out / 'configs' / f'{name}.yaml'
        file.parent.mkdir(exist_ok=True)
        text = (CONFIGS / 'data_liber.yaml').read_text().replace('root: ../../data/ml-1m', f'root: {root}')
        file.write_text(text.replace('count: 50', f'count: {count}'))
        return file

    def prepared(self, name, root, count):
        config, out = self.data_yaml(name, root, count), self.out / 'prepared' / name
        if not out.exists():
            say(f'prepare {name}')
            self.interplay('prepare', config, '--out', out)
        return config, out

    def summarize(self, name, config, data, experiment, **keys):
        """Folder of texts and vectors, and what was said of them."""
        out, said = self.out / 'texts' / name, self.out / 'texts' / f'{name}.json'
        if not said.exists():
            say(f'summarize {name}')
            out.parent.mkdir(exist_ok=True)
            said.write_text(self.interplay('lm', 'summarize', CONFIGS / experiment, '--data', data, '--out', out, '--json',
                                           '--set', f'data={config}', *laboratory.as_sets(keys)))
        return out, json.loads(said.read_text())

    def some_users(self, count):
        """A folder with the ratings of so many users of 50 timed ratings or more."""
        out = self.out / 'raw' / str(count)
        if not out.exists():
            ratings = [line for line in lines_of(self.root, 'ratings.dat') if not line.rstrip(b'\n').endswith(b'::0')]
            events = collections.Counter(line.split(b'::', 1)[0] for line in ratings)
            long = sorted(user for user, n in events.items() if n >= 50)
            chosen = set(random.Random(1).sample(long, min(count, len(long))))
            out.mkdir(parents=True)
            (out / 'ratings.dat').write_bytes(b''.join(r for r in ratings if r.split(b'::', 1)[0] in chosen))
            for other in ('users.dat', 'movies.dat'):
                (out / other).write_bytes(b''.join(lines_of(self.root, other)))
        return out

    def run_of(self, name, base, data, seed, augment):
        sets = f'fields={{drop: [newest_partition], augment: [{augment}]}}'
        if 'newest_partition' in augment:
            sets = f'fields={{augment: [{augment}]}}'
        return self.train(f'{name}-{base}-{seed}', CONFIGS / f'liber_{base}.yaml', data, seed, '--set', sets)


def liber(texts, more=''):
    return f'{{name: liber, from: "{texts / "vectors.parquet"}", partitions: partitions{more}}}'


def counts(texts):
    return f'{{name: text_vectors, from: "{texts / "statistics.parquet"}", fields: [newest_partition], hidden: [64]}}'


def table(report, of):
    """of: {base: {row: [run of each seed]}}"""
    rows = [['model', 'with', 'AUC', 'log loss', 'less alone', 'less with counts']]
    for base, runs in of.items():
        alone, counted = (runs[name] for name in ('alone', 'counts as numbers'))
        for name, each in runs.items():
            less = lambda others: interval([run.auc - other.auc for run, other in zip(each, others)])
            rows.append([base, name, spread([run.auc for run in each]), spread([run.logloss for run in each]),
                         '' if each is alone else less(alone), '' if each in (alone, counted) else less(counted)])
    report.table(rows)


def everything(lab, arguments):
    seeds = arguments.seeds or [1, 2, 3]
    runs = len(seeds) * (8 * RUN_MINUTES['din'] + 3 * RUN_MINUTES['dcnv2'])
    say(f'about {runs / 60 + 0.7:.1f} hours of one core, some 40 minutes of which are vectors of texts')
    config, data = lab.prepared('k50', lab.root, 50)
    texts, said = lab.summarize('k50', config, data, 'liber.yaml')
    lone, _ = lab.summarize('k50-no-cascade', config, data, 'liber.yaml', cascade='false')
    kinds = {'alone': (data, ''), 'counts as numbers': (data, counts(texts)), 'liber': (data, liber(texts))}
    ablations = {'liber, no cascade': (data, liber(lone)), 'liber, no shifts': (data, liber(texts, ', shift: false')),
                 'liber, mean': (data, liber(texts, ', attention: false'))}
    for count in (10, 25):
        other_config, other = lab.prepared(f'k{count}', lab.root, count)
        ablations[f'liber, K = {count}'] = (other, liber(lab.summarize(f'k{count}', other_config, other, 'liber.yaml')[0],
                                                         f', most: {600 // count}'))
    of = {}
    for base in ('din', 'dcnv2'):
        for name, (where, augment) in {**kinds, **(ablations if base == 'din' else {})}.items():
            tag = name.replace(', ', '-').replace(' ', '-').replace('=-', '')
            of.setdefault(base, {})[name] = [lab.run_of(tag, base, where, seed, augment) for seed in seeds]
    report = Report(lab, 'all')
    report.text(f'MovieLens-1M, timed rows; K = 50: {said["partitions"]:,} partitions of {said["users"]:,} users, '
                f'{said["shifts"]:,} shifts; seeds {", ".join(map(str, seeds))}')
    table(report, of)
    report.write()


def lm_texts(lab, arguments):
    config, data = lab.prepared(f'u{arguments.users}', lab.some_users(arguments.users), 50)
    keys = {'users': 0, 'summarizer__model': arguments.model}
    return data, config, lab.summarize(f'u{arguments.users}-{arguments.model}', config, data, 'liber_lm.yaml', **keys)


def with_lm(lab, arguments):
    seeds = arguments.seeds or [1, 2, 3]
    say(f'about {arguments.users / 330:.1f} hours of two cores for texts of {arguments.users} users, and an hour of runs')
    data, config, (written, said) = lm_texts(lab, arguments)
    counted, _ = lab.summarize(f'u{arguments.users}', config, data, 'liber.yaml')
    kinds = {'alone': '', 'counts as numbers': counts(counted), 'liber, statistics as text': liber(counted),
             f'liber, {arguments.model}': liber(written)}
    of = {'din': {name: [lab.run_of(f'u{arguments.users}-{i}', 'din', data, seed, augment) for seed in seeds]
                  for i, (name, augment) in enumerate(kinds.items())}}
    report = Report(lab, 'lm')
    report.text(f'{said["users"]:,} users of 50 events or more, {said["partitions"]:,} partitions; one of them:')
    report.text('```\n' + said['example'] + '\n```')
    table(report, of)
    report.write()


def costs(lab, arguments):
    _, _, (_, said) = lm_texts(lab, arguments)
    calls = said['partitions'] + said['shifts']
    line = said['tokens_of_events'] / (said['partitions'] * 50)
    frame = said['tokens_of_frames'] / max(1, calls)
    # The same frame and lines, at every event of these users: the last 30 of them, or as many as there are.
    events, users = said['events'], said['users']
    told = MOST_TOLD * events - users * MOST_TOLD * (MOST_TOLD - 1) / 2
    every = frame * events + line * told
    report = Report(lab, 'costs')
    report.text(f'{users:,} users, {events:,} events, K = 50; {line:.1f} tokens an event, {frame:.0f} of the frame.')
    report.table([['asked', 'calls', 'tokens read'],
                  ['a closed partition: summary, and shift', f'{calls:,}', f'{said["tokens_read"]:,}'],
                  [f'every event: its last {MOST_TOLD}', f'{events:,}', f'{every:,.0f}'],
                  ['times fewer', f'{events / calls:.1f}', f'{every / said["tokens_read"]:.1f}']])
    report.write()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    laboratory.add_arguments(parser, 'liber')
    experiments = {'all': everything, 'lm': with_lm, 'costs': costs}
    parser.add_argument('experiment', choices=experiments)
    parser.add_argument('--root', type=pathlib.Path, required=True, help='folder of the raw files')
    parser.add_argument('--users', type=int, default=500, help='of lm')
    parser.add_argument('--model', default='smollm2-135m', help='of lm: a fetched name or a path')
    arguments = parser.parse_args()
    experiments[arguments.experiment](Liber(arguments), arguments)


if __name__ == '__main__':
    main()
