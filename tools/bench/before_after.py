#!/usr/bin/env python3
"""Two builds of Interplay beside each other: has it become slower?

    python3 tools/bench/before_after.py BEFORE AFTER DIR [--only train-fm,score] [--repeats 5]

BEFORE and AFTER are programs (build/bin/interplay of two checkouts); data are made in DIR, by BEFORE, on the first run.
Each row is one workload of `interplay bench`. Both programs measure it, one right after the other and in turn first;
the ratio is the median over these pairs, beside the least and the most. One pair before them warms up and does not
count. Status 1 where a ratio lies below --least. Nothing else should run.
"""
import argparse
import json
import pathlib
import statistics
import subprocess
import sys

WORK = {  # row: workload, figure, whether more is better, repeats (of what is over in a second), arguments
    'train-lr': ('train', 'train', True, 3, ['--model', 'lr', '--set', 'train.epochs=12']),
    'train-fm': ('train', 'train', True, 3, ['--model', 'fm', '--set', 'train.epochs=12']),
    'train-deepfm': ('train', 'train', True, 1, ['--model', 'deepfm']),
    'train-dcnv2': ('train', 'train', True, 1, ['--model', 'dcnv2']),
    'evaluate': ('eval', 'predict', True, 1, ['--split', 'train']),
    'score': ('score', 'request, p99', False, 3, []),
    'prepare': ('prepare', 'prepare', True, 5, []),
}


def run(program, *words):
    done = subprocess.run([str(program), *map(str, words), '--quiet'], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True)
    if done.returncode:
        sys.exit(f'{program} {" ".join(map(str, words))}: status {done.returncode}\n{done.stderr}')
    return done.stdout


class Program:
    def __init__(self, path, name, arguments):
        self.path, self.arguments, self.own = path, arguments, arguments.directory / name
        self.own.mkdir(parents=True, exist_ok=True)
        self.data = self.own / f'prepared-{arguments.rows}'
        raw = arguments.directory / f'raw-{arguments.rows}'
        if not raw.exists():
            run(path, 'synth', 'criteo', '--rows', arguments.rows, '--out', raw)
        if not self.data.exists():
            run(path, 'prepare', raw / 'data.yaml', '--out', self.data)

    def measure(self, work):
        """How fast: rows/s, or requests/s."""
        workload, figure, more_is_better, repeats, words = work
        data = ['--data', self.data] if workload in ('train', 'eval') else [
            '--rows', self.arguments.rows, '--scratch', self.own]
        found = json.loads(run(self.path, 'bench', workload, '--repeat', repeats, '--json', *data, *words,
                               '--threads', self.arguments.threads))
        values = {m['name']: statistics.median(m['values']) for m in found['figures']}
        return values[figure] if more_is_better else 1 / values[figure]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('before', type=pathlib.Path)
    parser.add_argument('after', type=pathlib.Path)
    parser.add_argument('directory', type=pathlib.Path)
    parser.add_argument('--only', type=lambda text: text.split(','), default=list(WORK), metavar='ROWS',
                        help=f'of these: {", ".join(WORK)}')
    parser.add_argument('--repeats', type=int, default=5)
    parser.add_argument('--rows', type=int, default=500000)
    parser.add_argument('--threads', type=int, default=2)
    parser.add_argument('--least', type=float, default=.97, help='ratio that passes (%(default)s)')
    arguments = parser.parse_args()
    for name in arguments.only:
        if name not in WORK:
            parser.error(f'--only: no row {name} (there are: {", ".join(WORK)})')
    before = Program(arguments.before.resolve(), 'before', arguments)
    after = Program(arguments.after.resolve(), 'after', arguments)
    print(f'{arguments.rows} rows, {arguments.repeats} pairs, {arguments.threads} threads; after / before: median '
          '(least .. most)', flush=True)
    slower = []
    for name in arguments.only:
        ratios = []
        for pair in range(arguments.repeats + 1):
            both = {}
            for program in (before, after) if pair % 2 else (after, before):
                both[program] = program.measure(WORK[name])
            ratios.append(both[after] / both[before])
        ratios = ratios[1:]
        ratio = statistics.median(ratios)
        if ratio < arguments.least:
            slower.append(name)
        print(f'{name:<14}{ratio:.3f} ({min(ratios):.3f} .. {max(ratios):.3f})', flush=True)
    if slower:
        sys.exit(f'slower than {arguments.least:g}: {", ".join(slower)}')


if __name__ == '__main__':
    main()
