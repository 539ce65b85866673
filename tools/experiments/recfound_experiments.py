#!/usr/bin/env python3
"""What RecFound's parts are worth on a small decoder: experts, the scheduler of rows, and merging, each left out.

    python3 tools/recfound_tasks.py --ml-1m DIR --amazon DIR --scifact DIR --out data/recfound
    python3 tools/experiments/recfound_experiments.py --tasks data/recfound/tasks.yaml

First run `interplay fetch smollm2-135m`. Tuned with each seed, at equal numbers of weights, steps and rows:

  one                one adapter, rows by size           experts            experts by task (TMoLE), rows by size
  one, s2sched       one adapter, rows by S2Sched        experts, s2sched   both

and each merged besides: TIES over its last checkpoints. Beside them the model as it was. Tables: every task's first metric,
mean over seeds; ranks among all of them, averaged over tasks and seeds, with their spread; and what each part changes of the
average rank where it is left out. `report.html` of each run shows shares of rows, validation ratios and routing.

The default is sized for 2.5 hours of two cores; --quick takes minutes and shows that all of it runs; --full is stated in hours.
How long it will take is told first. What is finished below --out is not run again, and what was cut short goes on. Tables go to
standard output and, as Markdown, to recfound.md there.
"""
import argparse
import json
import pathlib
import re
import statistics

import lab as laboratory
from lab import Lab, Report, as_sets, say, spread

ARMS = {'one': ('none', 'size'), 'experts': ('tasks', 'size'), 'one, s2sched': ('none', 's2sched'),
        'experts, s2sched': ('tasks', 's2sched')}
FULL = 'experts, s2sched, merged'
LEFT_OUT = {'merging': 'experts, s2sched', 's2sched': 'experts, merged', 'experts': 'one, s2sched, merged',
            'experts and s2sched': 'one, merged', 'all three': 'one'}
SIZES = {  # steps, rows of a family, checkpoints, the scheduler's first step and window, test rows of a task
    'quick': (6, 2, 2, 3, 6, 4), 'default': (200, 8, 20, 16, 32, 40), 'full': (600, 16, 50, 32, 64, 300)}
TOKENS_A_ROW = {'embedding': 120, 'generation': 180}
LEARNT_A_SECOND, READ_A_SECOND = 650, 1300  # tokens of SmolLM2-135M in bf16 on two cores


def name_of(arm):
    return arm.replace(', ', '-')


class TuningLab(Lab):
    def __init__(self, arguments):
        super().__init__(arguments)
        self.arguments = arguments
        self.steps, self.rows, self.every, self.warmup, self.window, self.test = SIZES[arguments.size]

    def tune(self, arm, seed):
        experts, by = ARMS[arm]
        out = self.out / 'runs' / f'{name_of(arm)}-{seed}'
        if not (out / 'manifest.json').exists():
            say(f'tune {out.name}')
            keys = {'lm': self.arguments.lm, 'adapters__experts': experts, 'sampling__by': by, 'sampling__warmup': self.warmup,
                    'sampling__window': self.window, 'sampling__valid_batches': 2, 'sampling__valid_rows': 4,
                    'batch__embedding': self.rows, 'batch__generation': self.rows, 'steps': self.steps,
                    'checkpoint_every': self.every, 'seed': seed}
            resume = ['--resume'] if (out / 'config.yaml').exists() else []
            out.parent.mkdir(parents=True, exist_ok=True)
            self.interplay('lm', 'tune', self.arguments.tasks, '--out', out, *as_sets(keys), *self.sets, *resume)
        return out

    def merge(self, run):
        out = run.with_name(f'{run.name}-merged')
        if not out.exists():
            say(f'merge {run.name}')
            last = max(1, self.steps // self.every // 2)
            self.interplay('lm', 'merge', run, '--out', out, '--last', last)
        return out

    def judge(self, name, model):
        file = self.out / 'eval' / f'{name}.json'
        if not file.exists():
            say(f'judge {name}')
            file.parent.mkdir(exist_ok=True)
            file.write_text(self.interplay('lm', 'eval', model, '--tasks', self.arguments.tasks, '--rows', self.test,
                                           '--precision', 'auto', '--json'))
        return json.loads(file.read_text())[0]['tasks']


def first_metric(task):
    name = next(iter(task['metrics']))
    return f'{task["name"]} {name}', task['metrics'][name]


def ranks(values):
    """From 1, the largest first; equal ones at their mean."""
    return {arm: 1 + sum(other > v for other in values.values()) + (sum(other == v for other in values.values()) - 1) / 2
            for arm, v in values.items()}


def tell_hours(lab, seeds, tasks):
    learnt = lab.steps * lab.rows * sum(TOKENS_A_ROW.values()) / LEARNT_A_SECOND
    watched = lab.steps * 2 * 4 * 150 / READ_A_SECOND
    judged = tasks * lab.test * 1000 / READ_A_SECOND
    runs = len(ARMS) * len(seeds)
    hours = (runs * (learnt + watched + 2 * judged) + judged) / 3600
    say(f'{runs} runs of {lab.steps} steps, {2 * runs + 1} models judged: {hours:.1f} hours on two cores')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    laboratory.add_arguments(parser, 'recfound')
    parser.set_defaults(threads=2)
    parser.add_argument('--tasks', type=pathlib.Path, required=True, help='file of tasks, as tools/recfound_tasks.py makes it')
    parser.add_argument('--lm', default='smollm2-135m', help='decoder: a fetched name or a path')
    size = parser.add_mutually_exclusive_group()
    size.add_argument('--quick', dest='size', action='store_const', const='quick', default='default')
    size.add_argument('--full', dest='size', action='store_const', const='full')
    arguments = parser.parse_args()
    arguments.tasks = arguments.tasks.resolve()
    arguments.out = arguments.out.resolve() / arguments.size
    lab, report = TuningLab(arguments), None
    seeds = arguments.seeds or ([1] if arguments.size == 'quick' else [1, 2])
    tasks = len(re.findall(r'^\s*- \{?name:', arguments.tasks.read_text(), re.MULTILINE))
    tell_hours(lab, seeds, tasks)
    found = {}  # arm -> of each seed, task -> value
    before = dict(map(first_metric, lab.judge('before', arguments.lm)))
    parameters = {}
    for seed in seeds:
        for arm in ARMS:
            run = lab.tune(arm, seed)
            summary = json.loads((run / 'summary.json').read_text())
            parameters[arm] = (summary['parameters'], summary['tokens_per_s'])
            for name, model in ((arm, run), (f'{arm}, merged', lab.merge(run))):
                found.setdefault(name, []).append(dict(map(first_metric, lab.judge(f'{name_of(name)}-{seed}', model))))
    report = Report(lab, 'recfound')
    names = list(before)
    report.text(f'{lab.steps} steps of {lab.rows} rows of each family, {lab.test} test rows of a task at most, seeds '
                f'{", ".join(map(str, seeds))}.')
    of_rank = {arm: [] for arm in found}
    for k in range(len(seeds)):
        for name in names:
            for arm, rank in ranks({arm: values[k][name] for arm, values in found.items()}).items():
                of_rank[arm].append(rank)
    rows = [['', *names, 'average rank']]
    rows.append(['as it was', *(f'{before[name]:.3f}' for name in names), ''])
    for arm, values in found.items():
        rows.append([arm, *(f'{statistics.mean(v[name] for v in values):.3f}' for name in names), spread(of_rank[arm], 2)])
    report.table(rows)
    report.text('Average rank (1 is the best) where a part is left out, less that of all parts; above 0: the part helps. Paired by '
                'task and seed, mean and standard deviation. The paper says of its own tasks that each part helps; its table of '
                'parts left out is not monotone.')
    rows = [['without', 'ranks lower by', 'worse on', 'of']]
    for part, arm in LEFT_OUT.items():
        less = [a - b for a, b in zip(of_rank[arm], of_rank[FULL])]
        rows.append([part, spread(less, 2), sum(d > 0 for d in less), len(less)])
    report.table(rows)
    rows = [['arm', 'weights that learn', 'tokens/s']]
    rows += [[arm, count, f'{speed:.0f}'] for arm, (count, speed) in parameters.items()]
    report.table(rows)
    report.write()


if __name__ == '__main__':
    main()
