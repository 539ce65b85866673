#!/usr/bin/env python3
"""ReLLa on MovieLens-1M, small: what retrieved histories and tuning are worth to a small language model, beside CTR models
that saw the same rows.

    interplay fetch smollm2-135m minilm-l6
    python3 tools/rella_experiments.py --root DIR        DIR: ratings.dat, users.dat, movies.dat of MovieLens-1M

Zero-shot with recent and with retrieved histories; tuned on N rows with recent, with retrieved and with mixed prompts
(ReiT); DIN and SIM on the same N rows, with whole histories. AUC on the same test rows, each with its bootstrap
interval, and the paired differences to the mixed one. Checkpoints are chosen on the valid rows. What it will take is told
before it begins. Everything is kept below --out: what is finished is not run again, and what was cut short goes on. The
table goes to standard output and to OUT/rella.md.
"""
import argparse
import json
import pathlib
import re

import lab as laboratory
from lab import ROOT, Lab, Report, say, spread

CONFIGS = ROOT / 'configs' / 'ml-1m'
PROMPTS = ['prompt_recent', 'prompt_retrieved']


DROPPED = {'din': ['long_movie_ids'], 'sim': ['hist_movie_ids']}  # as their experiments do


def slug(run):
    return re.sub(r'\W+', '-', run).strip('-')


def prepared(lab, arguments):
    """Prepared data with the prompts of N rows, what was said of them, and the check of the histories."""
    whole, found, checked = lab.out / 'prepared' / 'whole', lab.out / 'retrieved.safetensors', lab.out / 'retrieved.json'
    files = ['--set', f'root={arguments.root.resolve()}']
    if not whole.exists():
        say('prepare')
        lab.interplay('prepare', CONFIGS / 'data.yaml', *files, '--out', whole)
    prompts = lab.out / 'prompts.yaml'
    data_yaml = lab.out / 'data.yaml'
    data_yaml.write_text(re.sub(r'(?m)^root:.*$', f'root: {arguments.root.resolve()}', (CONFIGS / 'data.yaml').read_text()))
    prompts.write_text(re.sub(r'(?m)^data:.*$', f'data: {data_yaml.name}', (CONFIGS / 'prompts.yaml').read_text()))
    if not found.exists() or not checked.exists():
        say('retrieve')
        checked.write_text(lab.interplay('lm', 'retrieve', prompts, '--out', found, '--json'))
    name = f'n{arguments.shots}-k{arguments.length}-t{arguments.test}'
    data, said = lab.out / 'prepared' / name, lab.out / 'prepared' / f'{name}.json'
    if not data.exists() or not said.exists():
        say(f'prompts {name}')
        said.write_text(lab.interplay('lm', 'prompts', prompts, '--retrieved', found, '--data', whole, '--out', data,
                                      '--model', arguments.model, '--length', arguments.length, '--train',
                                      arguments.shots, '--valid', arguments.valid, '--test', arguments.test, '--json'))
    return name, data, json.loads(said.read_text()), json.loads(checked.read_text())


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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    laboratory.add_arguments(parser, 'rella-experiments')
    parser.add_argument('--root', type=pathlib.Path, required=True, help='folder of the MovieLens-1M files')
    parser.add_argument('--model', default='smollm2-135m', help='language model: a fetched name or a path')
    parser.add_argument('--shots', type=int, default=1024, help='training rows (N)')
    parser.add_argument('--length', type=int, default=10, help='entries of a history that are told (K)')
    parser.add_argument('--epochs', type=int, default=2)
    parser.add_argument('--valid', type=int, default=500)
    parser.add_argument('--test', type=int, default=5000)
    parser.add_argument('--only', default='', help='runs whose names begin with one of these, as zero,mixed')
    arguments = parser.parse_args()
    lab, report = Lab(arguments), None
    name, data, said, checked = prepared(lab, arguments)
    report = Report(lab, 'rella')
    report.text(f'{arguments.model}, K {arguments.length}, N {said["train"]}, {arguments.epochs} epochs, {said["valid"]} '
                f'valid and {said["test"]} test rows; {said["mean_tokens"]:.0f} tokens a prompt')
    report.text(f'Distinct genres among K events, mean of {checked["samples"]} test rows:')
    report.table([['K', 'recent', 'retrieved']] + [[c['k'], f'{c["recent"]:.3f}', f'{c["retrieved"]:.3f}']
                                                   for c in checked['topics']])
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


if __name__ == '__main__':
    main()
