#!/usr/bin/env python3
"""What a search keeps of its own accord: `search: {name: autofis}` or `{name: aim}` alone, nothing said of how long or
how much, on data of `interplay synth planted` and on prepared data of your own.

    python3 tools/experiments/search_by_valid.py planted               3 sizes x 3 counts of planted pairs x 10 seeds, both searches
    python3 tools/experiments/search_by_valid.py real EXP --data DIR   an experiment, its base beside what was found

`planted` says how many hours it takes; `real` takes minutes. A search of planted data passes where it keeps all planted
pairs and at most twice as many other sets. Everything is kept below --out: what is finished
there is not run again, and what was cut short goes on. Tables go to standard output and, as Markdown, to
OUT/<experiment>.md.
"""
import argparse
import pathlib
import statistics

import lab as laboratory
from lab import Report, interval, say, spread
from search_experiments import CONFIGS, SearchLab

SIZES = ((20000, 6), (90000, 10), (200000, 15))  # rows, fields of 10 categories
COUNTS = (2, 4, 8)


def planted(lab, arguments):
    report = Report(lab, 'planted')
    seeds = arguments.seeds or range(1, 11)
    say(f'{len(arguments.searches) * len(SIZES) * len(COUNTS) * len(seeds)} searches, about '
        f'{len(seeds) * sum({"autofis": 0.1, "aim": 0.3}[s] for s in arguments.searches):.1f} hours of one core')
    rows = [['search', 'rows', 'pairs', 'planted', 'all kept', 'others kept, mean', 'most', 'passed', 'steps, mean']]
    for name in arguments.searches:
        for size, fields in SIZES:
            for count in COUNTS:
                kept, others, steps = [], [], []
                for seed in seeds:
                    tag = f'{size}-{fields}-{count}-{seed}'
                    _, data, truth, _ = lab.data(tag, '--rows', size, '--fields', fields, '--categories', 10 * fields,
                                                 '--random-pairs', count, '--seed', seed)
                    search = lab.search(f'{name}-{tag}', CONFIGS / f'{name}-by-valid.yaml', data, seed)
                    found = set(search.kept)
                    kept.append(found.issuperset(truth))
                    others.append(len(found.difference(truth)))
                    steps.append(sum(s['steps'] for s in search.stages.values()))
                passed = [whole and more <= 2 * count for whole, more in zip(kept, others)]
                rows.append([name, size, fields * (fields - 1) // 2, count, f'{sum(kept)} of {len(kept)}',
                             f'{statistics.mean(others):.1f}', max(others), f'{sum(passed)} of {len(passed)}',
                             f'{statistics.mean(steps):.0f}'])
    report.table(rows)
    report.write()


def real(lab, arguments):
    report = Report(lab, f'real-{arguments.experiment.parent.name}-{arguments.experiment.stem}')
    rows = [['seed', 'kept', 'of', 'AUC, base', 'AUC, found', 'found less base, 95% over test rows', 'logloss, base',
             'logloss, found']]
    gains, bases, founds = [], [], []
    for seed in arguments.seeds or range(1, 4):
        tag = f'{arguments.data.name}-{arguments.experiment.stem}-{arguments.search}-{seed}'
        search = lab.search(tag, write_experiment(lab, arguments), arguments.data, seed)
        found, base = search.result(), search.stage('base')
        compared = lab.compare(tag, found.directory, [base.directory])[0]['comparisons'][0]
        gains.append(found.auc - base.auc)
        bases.append(base.auc)
        founds.append(found.auc)
        rows.append([seed, len(search.kept), len(search.interactions), f'{base.auc:.4f}', f'{found.auc:.4f}',
                     f'{compared["low"]:+.4f} to {compared["high"]:+.4f}', f'{base.logloss:.4f}',
                     f'{found.logloss:.4f}'])
    rows.append(['all', '', '', spread(bases), spread(founds), f'over seeds {interval(gains)}', '', ''])
    report.text(f'{arguments.search}, {arguments.experiment}')
    report.table(rows)
    report.write()


def write_experiment(lab, arguments):
    """The experiment with `search: {name: ...}` alone, whatever it says of a search."""
    text = lab.interplay('train', arguments.experiment, '--print-config')
    lines, inside = [], False
    for line in text.splitlines():
        inside = line.startswith('search:') or (inside and line.startswith(' '))
        if not inside and not line.startswith('threads:'):
            lines.append(line)
    name = f'{arguments.experiment.parent.name}-{arguments.experiment.stem}-{arguments.search}'
    file = lab.out / 'experiments' / f'{name}.yaml'
    file.parent.mkdir(exist_ok=True)
    file.write_text('\n'.join(lines) + f'\nsearch: {{name: {arguments.search}}}\n')
    return file


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    laboratory.add_arguments(parser, 'search-by-valid')
    commands = parser.add_subparsers(dest='command', required=True)
    sub = commands.add_parser('planted')
    sub.set_defaults(run=planted)
    sub.add_argument('--searches', type=lambda text: text.split(','), default=['autofis', 'aim'])
    sub = commands.add_parser('real')
    sub.set_defaults(run=real)
    sub.add_argument('experiment', type=pathlib.Path)
    sub.add_argument('--data', type=pathlib.Path, required=True)
    sub.add_argument('--search', choices=('autofis', 'aim'), default='autofis')
    arguments = parser.parse_args()
    arguments.run(SearchLab(arguments), arguments)


if __name__ == '__main__':
    main()
