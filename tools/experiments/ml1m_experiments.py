#!/usr/bin/env python3
"""What models make of MovieLens-1M with long histories: CTR models, and a small language model that is told them.

    python3 tools/experiments/ml1m_experiments.py --root DIR histories   how many genres are among the K events that are told
    python3 tools/experiments/ml1m_experiments.py --root DIR ctr         DeepFM, DCNv2, DIN and SIM on the whole task
    python3 tools/experiments/ml1m_experiments.py --root DIR rella       ReLLa on few rows, beside DIN and SIM on the same rows
    python3 tools/experiments/ml1m_experiments.py --root DIR all         one after the other

DIR has ratings.dat, users.dat and movies.dat of MovieLens-1M; first run `interplay fetch smollm2-135m minilm-l6`.

rella: zero-shot with recent and with retrieved histories; tuned on N rows with recent, with retrieved and with mixed
prompts (ReiT); DIN and SIM on the same N rows, with whole histories. AUC on the same test rows, each with its bootstrap
interval, and the paired differences to the mixed one.

Checkpoints are chosen on valid rows. What it will take is told before it begins. Everything is kept below --out: what is
finished is not run again, and what was cut short goes on. Tables go to standard output and, as Markdown, to
OUT/<experiment>.md.
"""
import argparse
import json
import pathlib
import re

import lab as laboratory
from lab import ROOT, Lab, Report, interval, say, spread

CONFIGS = ROOT / 'configs' / 'ml-1m'
PROMPTS = ['prompt_recent', 'prompt_retrieved']


DROPPED = {'din': ['long_movie_ids'], 'sim': ['hist_movie_ids']}  # as their experiments do
CTR = {'deepfm': '30 events, mean-pooled', 'dcnv2': '30 events, mean-pooled', 'din': '30 events, attention',
       'sim': 'the whole, searched for 50, and 30 events; attention'}
EPOCH_MINUTES = {'deepfm': 0.4, 'dcnv2': 0.7, 'din': 1.8, 'sim': 3}  # with one thread of an AVX512-BF16 EPYC


def slug(run):
    return re.sub(r'\W+', '-', run).strip('-')


class Films(Lab):
    """MovieLens-1M below --out: prepared whole, what was retrieved from histories, and prompts."""

    def __init__(self, arguments):
        super().__init__(arguments)
        self.root = arguments.root.resolve()

    def whole(self):
        out = self.out / 'prepared' / 'whole'
        if not out.exists():
            say('prepare')
            self.interplay('prepare', CONFIGS / 'data.yaml', '--set', f'root={self.root}', '--out', out)
        return out

    def retrieved(self):
        """The file for `lm prompts`, and what was said of the histories."""
        found, checked = self.out / 'retrieved.safetensors', self.out / 'retrieved.json'
        if not found.exists() or not checked.exists():
            say('retrieve')
            checked.write_text(self.interplay('lm', 'retrieve', CONFIGS / 'prompts.yaml', '--set', f'root={self.root}',
                                              '--out', found, '--force', '--json'))
        return found, json.loads(checked.read_text())

    def prompts(self, arguments, *flags):
        """Prepared data with the prompts of N rows, and what was said of them. `flags`: of `lm prompts`."""
        found, _ = self.retrieved()
        name = f'n{arguments.shots}-k{arguments.length}-t{arguments.test}'
        data, said = self.out / 'prepared' / name, self.out / 'prepared' / f'{name}.json'
        if not data.exists() or not said.exists():
            say(f'prompts {name}')
            said.write_text(self.interplay('lm', 'prompts', CONFIGS / 'prompts.yaml', '--set', f'root={self.root}',
                                           '--retrieved', found, '--data', self.whole(), '--out', data, '--force',
                                           '--model', arguments.model, '--length', arguments.length, '--train',
                                           arguments.shots, '--valid', arguments.valid, '--test', arguments.test,
                                           *flags, '--json'))
        return name, data, json.loads(said.read_text())


def histories(lab, arguments):
    _, checked = lab.retrieved()
    report = Report(lab, 'histories')
    report.text(f'Distinct genres (the first one of each film) among K events, mean of {checked["samples"]} test rows:')
    report.table([['K', 'recent', 'retrieved']] + [[c['k'], f'{c["recent"]:.3f}', f'{c["retrieved"]:.3f}']
                                                   for c in checked['topics']])
    report.write()


def ctr(lab, arguments):
    seeds = arguments.seeds or [2021, 2022, 2023]
    data, report = lab.whole(), Report(lab, 'ctr')
    hours = sum(EPOCH_MINUTES.values()) * 5 * len(seeds) / 60
    say(f'about {hours:.1f} hours with one thread: {len(seeds)} seeds, five epochs each')
    rows = [['history', 'model', 'seeds', 'AUC', 'logloss', 'AUC by seed', 'valid AUC', 'best epochs']]
    scores = {}
    for model, history in CTR.items():
        runs = [lab.train(f'{model}-{seed}', CONFIGS / f'{model}.yaml', data, seed, '--no-test') for seed in seeds]
        judged = []
        for seed, run in zip(seeds, runs):
            # DIN was judged before; SIM's rows are compared with its, seed by seed.
            against = ('--against', scores['din', seed]) if model == 'sim' else ()
            result, scores[model, seed] = lab.evaluate(f'{model}-{seed}', run, *against)
            judged.append(result)
        aucs = [result['metrics']['auc'] for result in judged]
        rows.append([history, model, len(seeds), spread(aucs), spread([r['metrics']['logloss'] for r in judged]),
                     ' '.join(f'{auc:.4f}' for auc in aucs),
                     ' '.join(f'{run.summary["valid"]["auc"]:.4f}' for run in runs),
                     ' '.join(str(run.summary['best_epoch']) for run in runs)])
        if model == 'sim':
            differences = [result['comparisons'][0] for result in judged]
    report.table(rows)
    report.text('SIM less DIN by seed, with its bootstrap interval over test rows: ' + ', '.join(
        f'{d["difference"]:+.4f} ({d["low"]:+.4f} to {d["high"]:+.4f})' for d in differences) +
        f'; over the seeds {interval([d["difference"] for d in differences])}')
    report.write()


def hours(lab, arguments, said):
    """Hours of each language model run, by the speeds that `interplay bench lm` measures here."""
    measured = json.loads(lab.interplay('bench', 'lm', '--repeat', 1, '--json'))
    native = 'bf16' if 'bf16' in measured['machine']['instructions'] else 'fp32'
    speed = {figure['name']: figure['median'] for figure in measured['figures']}
    read, learnt = speed[f'prefill, {native}'], speed[f'LoRA step, {native}']
    tokens = said['mean_tokens']
    scoring = (said['test'] + said['valid']) * tokens / read
    epoch = said['train'] * tokens / learnt + said['valid'] * tokens / read
    return {'zero': scoring / 3600, 'one': (arguments.epochs * epoch + scoring) / 3600,
            'mixed': (arguments.epochs * (epoch + said['train'] * tokens / learnt) + scoring) / 3600}


def rella(lab, arguments):
    name, data, said = lab.prompts(arguments)
    report = Report(lab, 'rella')
    report.text(f'{arguments.model}, K {arguments.length}, N {said["train"]}, {arguments.epochs} epochs, {said["valid"]} '
                f'valid and {said["test"]} test rows; {said["mean_tokens"]:.0f} tokens a prompt')
    lm_runs = {}
    for scored in PROMPTS:
        lm_runs[f'tuned, {scored[7:]}'] = ('one', {'model__trained': f'[{scored}]', 'model__scored': scored})
    lm_runs['tuned, mixed (ReiT)'] = ('mixed', {})
    for scored in reversed(PROMPTS):
        lm_runs[f'zero-shot, {scored[7:]}'] = ('zero', {'model__trained': f'[{scored}]', 'model__scored': scored,
                                                        'train__epochs': 0})
    wanted = [part for part in arguments.only.split(',') if part]
    chosen = {run: of for run, of in lm_runs.items() if not wanted or any(run.startswith(part) or part in run
                                                                         for part in wanted)}
    seeds = arguments.seeds or [1]
    cost = hours(lab, arguments, said)
    total = sum(cost[kind] * (1 if kind == 'zero' else len(seeds)) for kind, _ in chosen.values())
    say(f'at the speed measured here: {total:.1f} hours for ' +
        ', '.join(f'{run} {cost[kind]:.1f} h' for run, (kind, _) in chosen.items()))
    runs = {}
    for run, (kind, keys) in chosen.items():
        for seed in seeds if kind != 'zero' else seeds[:1]:
            tag = f'{name}-e{arguments.epochs}-{slug(run)}-{seed}'
            trained = lab.train(tag, CONFIGS / 'rella.yaml', data, seed, '--no-test', **{
                'model__lm': arguments.model, 'train__epochs': arguments.epochs, **keys})
            runs.setdefault(run, []).append((tag, trained))
    for model in ('din', 'sim'):
        for seed in seeds:
            tag = f'{name}-{model}-{seed}'
            trained = lab.train(tag, CONFIGS / f'{model}.yaml', data, seed, '--no-test', train__batch_size=64,
                                fields=f'{{drop: [{", ".join(PROMPTS + DROPPED[model])}]}}')
            runs.setdefault(f'{model.upper()}, same rows', []).append((tag, trained))
    best = 'tuned, mixed (ReiT)' if 'tuned, mixed (ReiT)' in runs else next(iter(runs))
    others = [run for run in runs if run != best]
    judged = {run: [lab.evaluate(tag, trained) for tag, trained in runs[run]] for run in others}
    # Last, so that its rows are scored once: with the comparisons to all others.
    against = [part for run in others for part in ('--against', judged[run][0][1])]
    (tag, trained), *more = runs[best]
    judged[best] = [lab.evaluate(f'{tag}-against-{len(others)}', trained, *against)]
    judged[best] += [lab.evaluate(tag, trained) for tag, trained in more]
    difference = dict(zip(others, judged[best][0][0].get('comparisons', [])))
    rows = [['run', 'seeds', 'AUC', '95% over test rows', 'logloss', f'{best} less this (95%)']]
    for run in runs:
        of = judged[run]
        metrics = [result['metrics'] for result, _ in of]
        low, high = of[0][0]['auc_interval']
        d = difference.get(run)
        rows.append([run, len(of), spread([m['auc'] for m in metrics]), f'{low:.4f} to {high:.4f}',
                     spread([m['logloss'] for m in metrics]),
                     f'{d["difference"]:+.4f} ({d["low"]:+.4f} to {d["high"]:+.4f})' if d else ''])
    report.table(rows)
    report.text('Intervals are of the first seed: bootstrap over the test rows, paired for the difference.')
    report.write()


def everything(lab, arguments):
    for experiment in (histories, ctr, rella):
        experiment(lab, arguments)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    laboratory.add_arguments(parser, 'ml1m-experiments')
    parser.add_argument('--root', type=pathlib.Path, required=True, help='folder of the MovieLens-1M files')
    commands = parser.add_subparsers(dest='command', required=True)
    for command, run in (('histories', histories), ('ctr', ctr), ('rella', rella), ('all', everything)):
        sub = commands.add_parser(command)
        sub.set_defaults(run=run)
        if command in ('histories', 'ctr'):
            continue
        sub.add_argument('--model', default='smollm2-135m', help='language model: a fetched name or a path')
        sub.add_argument('--shots', type=int, default=1024, help='training rows (N)')
        sub.add_argument('--length', type=int, default=10, help='entries of a history that are told (K)')
        sub.add_argument('--epochs', type=int, default=2)
        sub.add_argument('--valid', type=int, default=500)
        sub.add_argument('--test', type=int, default=5000)
        sub.add_argument('--only', default='', help='runs whose names begin with one of these, as zero,mixed')
    arguments = parser.parse_args()
    arguments.run(Films(arguments), arguments)


if __name__ == '__main__':
    main()
