#!/usr/bin/env python3
"""What models of several labels gain where the answer is known: experiments on data of `interplay synth tasks`.

    python3 tools/experiments/task_experiments.py conflict   SharedBottom, MMoE and PLE of one size, where labels conflict and not
    python3 tools/experiments/task_experiments.py esmm       ESMM beside a conversion model that was trained on clicked rows alone

Each says beforehand how many hours it takes. Everything is kept below --out: what is finished there is not run again, and
what was cut short goes on. Data and runs follow from the seed alone. Tables go to standard output and, as Markdown, to
OUT/<experiment>.md. What is trained is in configs/tasks; `--set KEY=VALUE` changes it (then name another --out).
"""
import argparse
import json
import statistics

import lab as laboratory
from lab import ROOT, Lab, Report, interval, say, spread

CONFIGS = ROOT / 'configs' / 'tasks'
MODELS = {'shared_bottom': 'SharedBottom', 'mmoe': 'MMoE', 'ple': 'PLE'}
SIZES = {'conflict': ('--rows', 200000, '--fields', 6, '--categories', 96),
         'esmm': ('--rows', 60000, '--fields', 6, '--categories', 600, '--linear', 2, '--conversion-conflict', 0.1)}
MINUTES = {'conflict': 0.5, 'esmm': 0.5}  # a run, on one core


class TaskLab(Lab):
    def data(self, name, *options):
        """What `interplay synth tasks` makes, and the same prepared."""
        raw, prepared = self.out / 'raw' / name, self.out / 'prepared' / name
        if not raw.exists():
            self.interplay('synth', 'tasks', '--out', raw, *options)
        if not prepared.exists():
            say(f'preparing {name}')
            self.interplay('prepare', raw / 'data.yaml', '--out', prepared)
        return raw, prepared


def conflict(lab, arguments):
    report, seeds = Report(lab, 'conflict'), arguments.seeds or range(1, 6)
    shares = (0.5, 0)
    say(f'{len(shares) * len(seeds) * len(MODELS)} trainings, about '
        f'{len(shares) * len(seeds) * len(MODELS) * MINUTES["conflict"] / 60:.1f} hours of one core')
    rows = [['conflict', 'model', 'parameters', 'AUC, mean of the labels', 'less SharedBottom (95% over seeds)',
             'by seed', 'intervals over test rows: above 0', 'below 0', 'of']]
    for share in shares:
        runs, gains, signs = {}, {}, {}
        for seed in seeds:
            _, data = lab.data(f'conflict-{share}-{seed}', *SIZES['conflict'], '--conflict', share,
                               '--conversion-conflict', share, '--seed', seed)
            for model in MODELS:
                run = lab.train(f'{model}-{share}-{seed}', CONFIGS / f'{model}.yaml', data, seed)
                runs.setdefault(model, []).append(run)
            base = runs['shared_bottom'][-1]
            for model in list(MODELS)[1:]:
                run = runs[model][-1]
                gains.setdefault(model, []).append(run.auc - base.auc)
                compared = lab.compare(f'{model}-{share}-{seed}', run.directory, [base.directory])[0]['comparisons']
                signs.setdefault(model, []).extend((c['low'] > 0) - (c['high'] < 0) for c in compared)
        for model, name in MODELS.items():
            of = runs[model]
            row = [share, name, of[0].summary['parameters'], spread([run.auc for run in of])]
            if model in gains:
                row += [interval(gains[model]), ' '.join(f'{gain:+.4f}' for gain in gains[model]),
                        signs[model].count(1), signs[model].count(-1), len(signs[model])]
            rows.append(row + [''] * (len(rows[0]) - len(row)))
    report.table(rows)
    report.write()


def clicked_scores(lab, name, run, raw):
    """What a run makes of every test row, clicked or not."""
    file = lab.out / 'scores' / f'{name}.csv'
    if not file.exists():
        file.parent.mkdir(exist_ok=True)
        lab.interplay('predict', run.directory, raw / 'test.csv', '--out', file)
    return file


def esmm(lab, arguments):
    report, seeds = Report(lab, 'esmm'), arguments.seeds or range(1, 6)
    say(f'{2 * len(seeds)} trainings, about {2 * len(seeds) * MINUTES["esmm"] / 60:.1f} hours of one core')
    rows = [['seed', 'ESMM', 'clicked rows alone', 'ESMM less this, 95% over test rows', 'best epochs']]
    both, gains = [], []
    for seed in seeds:
        raw, data = lab.data(f'esmm-{seed}', *SIZES['esmm'], '--seed', seed)
        whole = lab.train(f'esmm-{seed}', CONFIGS / 'esmm.yaml', data, seed)
        clicked = lab.train(f'clicked-{seed}', CONFIGS / 'clicked.yaml', data, seed)
        scores = clicked_scores(lab, f'clicked-{seed}', clicked, raw)
        result, _ = lab.evaluate(f'esmm-{seed}', whole, '--label', 'would_buy', '--against', scores)
        d = result['comparisons'][0]
        auc = result['metrics']['auc:would_buy']
        both.append((auc, auc - d['difference']))
        gains.append(d['difference'])
        rows.append([seed, f'{auc:.4f}', f'{both[-1][1]:.4f}', f'{gains[-1]:+.4f} ({d["low"]:+.4f} to {d["high"]:+.4f})',
                     f'{whole.summary["best_epoch"]} {clicked.summary["best_epoch"]}'])
    rows.append(['all', spread([a for a, _ in both]), spread([b for _, b in both]), f'over seeds {interval(gains)}', ''])
    report.text('AUC of would_buy on all test rows')
    report.table(rows)
    report.write()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    laboratory.add_arguments(parser, 'task-experiments')
    commands = parser.add_subparsers(dest='command', required=True)
    for run in (conflict, esmm):
        commands.add_parser(run.__name__).set_defaults(run=run)
    arguments = parser.parse_args()
    arguments.run(TaskLab(arguments), arguments)


if __name__ == '__main__':
    main()
