#!/usr/bin/env python3
"""ReLLaX on MovieLens-1M: does a small language model say more of a row than the CTR model that it is told of?

    python3 tools/experiments/rellax_experiments.py --root DIR           one seed
    python3 tools/experiments/rellax_experiments.py --root DIR --full    three seeds, and the kinds of cores

DIR has ratings.dat, users.dat and movies.dat of MovieLens-1M; first run `interplay fetch smollm2-135m minilm-l6`.

On the same N training rows and the same test rows: the language model with adapters alone (lora), with soft prompts
(spa), with cores (cflora), with both (full). DIN, which they are told of, is trained on all training rows and fixed.
Beside them what tells how much of it is DIN's: DIN itself, a logistic regression on what it knows (probe: its hidden
state, the vectors of items, both), and a DIN that is trained on the N rows alone.

Checkpoints are chosen on valid rows. What it will take is told before it begins. Everything is kept below --out: what is
finished is not run again, and what was cut short goes on. Tables go to standard output and, as Markdown, to
OUT/<experiment>.md.
"""
import argparse
import pathlib

import lab as laboratory
from lab import Report, interval, say, spread
from ml1m_experiments import CONFIGS, Films, hours

MODES = ('spa', 'cflora', 'full')
PROBES = {'probe of state and vectors': {}, 'probe of the state': {'model__vectors': 'false'},
          'probe of vectors': {'model__state': 'false'}}
CORES = {'identity, adapters learn on': {'model__core': 'identity', 'model__train_adapters': 'true'},
         'diag': {'model__core': 'diag'}, 'block': {'model__core': 'block'}}


class Told(Films):
    """Prompts with places for vectors, and the runs that are told."""

    def prompts(self, arguments, *flags):
        return super().prompts(arguments, '--vectors', *flags)

    def ctr(self, arguments):
        """The run that the language model is told of, on all training rows."""
        return self.train(f'ctr-{arguments.ctr}', CONFIGS / f'{arguments.ctr}.yaml', self.whole(), 2021, '--no-test')


def runs_of(lab, arguments, name, data, seed):
    """Every run by its row in the table, in the order in which they are trained."""
    prompts = {'recent': ['prompt_recent'], 'retrieved': ['prompt_retrieved'],
               'mixed': ['prompt_recent', 'prompt_retrieved']}[arguments.prompts]
    asked = {'model__lm': arguments.model, 'model__trained': f'[{", ".join(prompts)}]', 'model__scored': prompts[-1],
             'train__epochs': arguments.epochs}
    known = {'model__ctr': lab.ctr(arguments).directory.resolve()}
    if arguments.ctr == 'sim':
        known['model__mix_history'] = 'false'
    tag = f'{name}-{arguments.prompts}-e{arguments.epochs}'
    runs = {}
    for row, keys in PROBES.items():
        runs[row] = lab.train(f'{tag}-{row.replace(" ", "-")}-{seed}', CONFIGS / 'probe.yaml', data, seed, '--no-test',
                              model__prompt=prompts[-1], **known, **keys)
    others = ', '.join(f'{p}{part}' for p in ('prompt_recent', 'prompt_retrieved')
                       for part in ('', '_items', '_long_ratings'))
    runs['DIN, the same rows'] = lab.train(f'{tag}-din-{seed}', CONFIGS / 'din.yaml', data, seed, '--no-test',
                                           train__batch_size=64, fields=f'{{drop: [long_movie_ids, {others}]}}')
    kept = ', '.join(f'{p}' for p in prompts)
    runs['lora'] = lab.train(f'{tag}-lora-{seed}', CONFIGS / 'rella.yaml', data, seed, '--no-test',
                             fields=f'{{keep: [{kept}]}}', **asked)
    init = {'init': runs['lora'].directory}
    for mode in MODES:
        runs[mode] = lab.train(f'{tag}-{mode}-{seed}', CONFIGS / 'rellax.yaml', data, seed, '--no-test',
                               model__mode=mode, **asked, **known, **init)
    for row, keys in CORES.items() if arguments.full else ():
        runs[f'cflora, {row}'] = lab.train(f'{tag}-{row.split(",")[0]}-{seed}', CONFIGS / 'rellax.yaml', data, seed,
                                           '--no-test', model__mode='cflora', **asked, **known, **init, **keys)
    return runs


def rellax(lab, arguments):
    name, data, said = lab.prompts(arguments)
    seeds = arguments.seeds or ([1, 2, 3] if arguments.full else [1])
    cost = hours(lab, arguments, said)['mixed' if arguments.prompts == 'mixed' else 'one']
    models = 1 + len(MODES) + (len(CORES) if arguments.full else 0)
    say(f'at the speed measured here: {cost * models * len(seeds):.1f} hours for {models} runs of the language model with '
        f'{len(seeds)} seed(s), {cost:.1f} h each, and 10 minutes for {arguments.ctr} on all training rows')
    report = Report(lab, f'rellax-{arguments.prompts}')
    report.text(f'{arguments.model}, K {arguments.length}, N {said["train"]}, {arguments.epochs} epochs, {said["valid"]} '
                f'valid and {said["test"]} test rows, {arguments.prompts} prompts of {said["mean_tokens"]:.0f} tokens; '
                f'{arguments.ctr} on all training rows is fixed')
    ctr, judged = lab.ctr(arguments), {}
    ctr_row = f'{arguments.ctr.upper()}, all training rows (fixed)'
    judged[ctr_row] = [lab.evaluate(f'{name}-ctr-{arguments.ctr}', ctr, '--data', data)]
    differences = {}
    for seed in seeds:
        runs = runs_of(lab, arguments, name, data, seed)
        tag = f'{name}-{arguments.prompts}-e{arguments.epochs}-{{}}-{seed}'
        for row, run in runs.items():
            # Of each run with the language model: less the adapters alone, and less the probe of all that it is told.
            scores = {r: judged[r][-1][1] for r in ('lora', 'probe of state and vectors') if r in judged}
            against = [part for r in scores for part in ('--against', scores[r])] if row in MODES or ',' in row[6:] else []
            result = lab.evaluate(tag.format(row.replace(' ', '-').replace(',', '')), run, *against)
            judged.setdefault(row, []).append(result)
            for other, found in zip(scores, result[0].get('comparisons', [])):
                differences.setdefault((row, other), []).append(found)
    rows = [['run', 'seeds', 'AUC', '95% over test rows', 'logloss', 'less lora (95%)', 'less the probe (95%)']]
    for row, of in judged.items():
        metrics = [result['metrics'] for result, _ in of]
        low, high = of[0][0]['auc_interval']
        rows.append([row, len(of), spread([m['auc'] for m in metrics]), f'{low:.4f} to {high:.4f}',
                     spread([m['logloss'] for m in metrics])] +
                    [told(differences.get((row, other))) for other in ('lora', 'probe of state and vectors')])
    report.table(rows)
    report.text('Intervals of AUC are of the first seed: bootstrap over the test rows. Differences: of one seed, paired '
                'over the test rows; of several, over the seeds.')
    report.write()


def told(found):
    if not found:
        return ''
    if len(found) == 1:
        return f'{found[0]["difference"]:+.4f} ({found[0]["low"]:+.4f} to {found[0]["high"]:+.4f})'
    return interval([d['difference'] for d in found])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    laboratory.add_arguments(parser, 'rellax-experiments')
    parser.add_argument('--root', type=pathlib.Path, required=True, help='folder of the MovieLens-1M files')
    parser.add_argument('--full', action='store_true', help='three seeds, and diagonal and block cores')
    parser.add_argument('--ctr', choices=('din', 'sim'), default='din', help='what the language model is told of')
    parser.add_argument('--prompts', choices=('recent', 'retrieved', 'mixed'), default='recent')
    parser.add_argument('--model', default='smollm2-135m', help='language model: a fetched name or a path')
    parser.add_argument('--shots', type=int, default=1024, help='training rows (N)')
    parser.add_argument('--length', type=int, default=10, help='entries of a history that are told (K)')
    parser.add_argument('--epochs', type=int, default=2)
    parser.add_argument('--valid', type=int, default=500)
    parser.add_argument('--test', type=int, default=2000)
    arguments = parser.parse_args()
    rellax(Told(arguments), arguments)


if __name__ == '__main__':
    main()
