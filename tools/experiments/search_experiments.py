#!/usr/bin/env python3
"""What a search finds where the answer is known: experiments on data of `interplay synth planted`.

    python3 tools/experiments/search_experiments.py planted      6 fields, 3 pairs: are they found, and what does re-training gain?
    python3 tools/experiments/search_experiments.py recall       20 fields, 10 pairs and 3 triples: recall and precision
    python3 tools/experiments/search_experiments.py aim          12 fields, pairs of two functions and widths: does AIM find them?
    python3 tools/experiments/search_experiments.py grow         sets of two, three and four fields: what AIM's growing orders reach
    python3 tools/experiments/search_experiments.py selections   39 correlated fields: AutoFIS beside other selections of its size
    python3 tools/experiments/search_experiments.py topn         the same data: AUC over the number of pairs kept, four ways
    python3 tools/experiments/search_experiments.py cost         a step with gates beside one without (wants an idle machine)

Everything is kept below --out: what is finished there is not run again, and what was cut short goes on. Data and runs
follow from the seed alone. Tables go to standard output and, as Markdown, to OUT/<experiment>.md. What the experiments
train is in configs/planted; `--set KEY=VALUE` changes it (then name another --out).
"""
import argparse
import array
import collections
import itertools
import json
import math
import pathlib
import random
import re
import statistics
import struct

import lab as laboratory
from lab import ROOT, Lab, Report, Run, as_sets, interval, say, spread

CONFIGS = ROOT / 'configs' / 'planted'


class SearchLab(Lab):
    def data(self, name, *options):
        """Prepared data of `interplay synth planted`, and the sets of fields planted in them."""
        raw, prepared = self.out / 'raw' / name, self.out / 'prepared' / name
        if not raw.exists():
            self.interplay('synth', 'planted', '--out', raw, *options)
        if not prepared.exists():
            say(f'preparing {name}')
            self.interplay('prepare', raw / 'data.yaml', '--out', prepared)
        truth = (raw / 'truth.yaml').read_text()
        sets = [tuple(line.split(', ')) for line in re.findall(r'fields: \[(.*?)\]', truth)]
        oracle = float(re.search(r'oracle: \{auc: ([0-9.]+)', truth)[1])
        return raw, prepared, sets, oracle

    def search(self, name, config, data, seed, **keys):
        out = self.run('search', name, config, data, '--seed', seed, *self.options('search', config), *as_sets(keys))
        return Search(out)


class Search:
    def __init__(self, directory):
        self.directory = directory
        self.json = json.loads((directory / 'search.json').read_text())
        self.interactions = self.json['interactions']
        self.stages = {stage['name']: stage for stage in self.json['stages']}
        self.kept = [tuple(i['fields']) for i in self.interactions if i['kept']]

    def stage(self, name):
        directory = self.directory / self.stages[name]['directory']
        return Run(directory, json.loads((directory / 'summary.json').read_text()))

    def result(self):
        return self.stage(next(name for name, s in self.stages.items() if s['directory'] == self.json['result']))

    def stage_config(self, name):
        return self.directory / self.stages[name]['directory'] / 'config.yaml'

    def model(self, name):
        stage = self.stages[name]
        return stage['auc'], stage['logloss'], stage['parameters'], stage['bytes']

    def ranking(self, order=None):
        """Sets of fields, those with the largest gates first; closed ones by what they have accumulated."""
        course = (self.directory / self.stages['search']['directory'] / 'gates.jsonl').read_text().splitlines()
        values = json.loads(course[-1])['values']
        ranked = sorted(zip(self.interactions, values), key=lambda pair: -abs(pair[1]))
        sets = [tuple(interaction['fields']) for interaction, _ in ranked]
        return [fields for fields in sets if order in (None, len(fields))]

    def pairs(self):
        """Pairs of an AIM search, those first whose gates, under whichever function, were left widest open."""
        sizes = collections.defaultdict(float)
        for i in self.interactions:
            if len(i['fields']) == 2:
                sizes[tuple(i['fields'])] = max(sizes[tuple(i['fields'])], abs(i['gate']))
        return sorted(sizes, key=lambda pair: -sizes[pair])


def as_list(sets):
    return '[' + ', '.join('[' + ', '.join(fields) + ']' for fields in sets) + ']'


def report_models(report, models):
    """{name: [Search.model() of each seed]}"""
    rows = [['model', 'AUC', 'logloss', 'parameters', 'weights, bytes']]
    for name, of in models.items():
        auc, logloss, parameters, size = zip(*of)
        rows.append([name, spread(auc), spread(logloss),
                     *(f'{statistics.mean(x):.0f}' for x in (parameters, size))])
    report.table(rows)


def planted(lab, arguments):
    report, config = Report(lab, 'planted'), CONFIGS / 'fm.yaml'
    rows = [['seed', 'ranks of the planted pairs', 'kept of 15', 'AutoFM', 'FM, same epochs', 'FM, converged',
             'oracle']]
    columns = collections.defaultdict(list)
    found = 0
    for seed in arguments.seeds or range(1, 11):
        _, data, truth, oracle = lab.data(f'planted-{seed}', '--fields', 6, '--categories', 60,
                                          '--pairs', '0-1,2-5,3-4', '--seed', seed)
        search = lab.search(f'planted-{seed}-autofm', config, data, seed)
        converged = lab.train(f'planted-{seed}-fm-converged', config, data, seed, train__epochs=200, train__patience=5)
        ranking = search.ranking()
        ranks = sorted(ranking.index(pair) + 1 for pair in truth)
        found += ranks == [1, 2, 3]
        aucs = search.stage('retrain').auc, search.stage('base').auc, converged.auc, oracle
        for name, auc in zip(('autofm', 'same', 'converged', 'oracle'), aucs):
            columns[name].append(auc)
        rows.append([seed, ', '.join(map(str, ranks)), len(search.kept), *(f'{auc:.4f}' for auc in aucs)])
    means = [spread(columns[name]) for name in ('autofm', 'same', 'converged', 'oracle')]
    rows.append(['mean', f'top 3 in {found} of {len(rows) - 1}', '', *means])
    report.table(rows)
    for name, text in (('same', 'FM of the same epochs'), ('converged', 'FM trained to convergence')):
        gains = [a - b for a, b in zip(columns['autofm'], columns[name])]
        report.text(f'AutoFM less {text}: {interval(gains)}, smallest {min(gains):+.4f}, '
                    f'above 0 in {sum(gain > 0 for gain in gains)} of {len(gains)}')
    report.write()


def recall(lab, arguments):
    report = Report(lab, 'recall')
    rows = [['order', 'seed', 'candidates', 'kept', 'planted', 'recall', 'precision', 'AutoFM', 'base', 'oracle']]
    for order in arguments.orders:
        config = CONFIGS / ('fm-20.yaml' if order == 2 else 'fm-20-order-3.yaml')
        of_order = collections.defaultdict(list)
        for seed in arguments.seeds or range(1, 6):
            _, data, truth, oracle = lab.data(f'recall-{seed}', '--rows', 200000, '--fields', 20, '--categories', 200,
                                              '--random-pairs', 10, '--random-triples', 3, '--function', 'inner',
                                              '--width', 4, '--linear', .3, '--seed', seed)
            truth = {fields for fields in truth if len(fields) <= order}
            search = lab.search(f'recall-{order}-{seed}', config, data, seed)
            hits = len(truth.intersection(search.kept))
            figures = hits / len(truth), hits / len(search.kept), search.stage('retrain').auc, search.stage('base').auc
            for name, value in zip(('recall', 'precision', 'autofm', 'base'), figures):
                of_order[name].append(value)
            of_order['oracle'].append(oracle)
            rows.append([order, seed, len(search.interactions), len(search.kept), len(truth),
                         *(f'{value:.3f}' for value in figures[:2]), *(f'{value:.4f}' for value in figures[2:]),
                         f'{oracle:.4f}'])
        rows.append([order, 'mean', '', '', '', *(spread(of_order[name], 3) for name in ('recall', 'precision')),
                     *(spread(of_order[name]) for name in ('autofm', 'base', 'oracle'))])
    report.table(rows)
    report.write()


def planted_by_kind(raw):
    """{(function, width): sets of fields}"""
    kinds = collections.defaultdict(list)
    pattern = r'fields: \[(.*?)\], function: (\w+), width: (\d+)'
    for fields, function, width in re.findall(pattern, (raw / 'truth.yaml').read_text()):
        kinds[function, int(width)].append(tuple(fields.split(', ')))
    return kinds


def aim(lab, arguments):
    """A kernel of a pair alone is absorbed by the pair's vectors: only sets that share fields tell functions apart."""
    report, config = Report(lab, 'aim'), CONFIGS / 'aim.yaml'
    pairs = [f'{a}-{b}:inner:2' for a, b in itertools.combinations(range(4), 2)]
    pairs += [f'{a}-{b}:kernel:16' for a, b in itertools.combinations(range(4, 9), 2)] + ['9-10:inner:16']
    functions = 'inner', 'vector_kernel'
    gates, kept, widths = (collections.defaultdict(list) for _ in range(3))
    both, found, models = (collections.defaultdict(list) for _ in range(3))
    for mode, seed in itertools.product(arguments.modes, arguments.seeds or range(1, 4)):
        raw, data, truth, oracle = lab.data(f'aim-{seed}', '--rows', 400000, '--fields', 12, '--categories', 384,
                                            '--pairs', ','.join(pairs), '--linear', .3, '--seed', seed)
        kinds = planted_by_kind(raw)
        keys = {'search__unified': 'true', 'search__base': 'false'} if mode == 'unified' else {}
        search = lab.search(f'aim-{mode}-{seed}', config, data, seed, **keys)
        gate = {(tuple(i['fields']), i['function']): i for i in search.interactions}
        open_sets = {fields for (fields, _), i in gate.items() if i['gate']}
        found[mode].append((len(open_sets.intersection(truth)), len(open_sets.difference(truth))))
        for kind, sets in kinds.items():
            fields = sorted(set(itertools.chain(*sets)))
            for function in functions:
                at = mode, kind, function
                gates[at] += [abs(gate[one, function]['gate']) for one in sets]
                kept[at] += [gate[one, function]['kept'] for one in sets]
                widths[at] += [search.json['widths'].get(f'{field} (order 2, {function})', 0) for field in fields]
            both[mode, kind] += map(sum, zip(*(widths[mode, kind, f][-len(fields):] for f in functions)))
        for name in search.stages:
            models[f'{mode}: {name}' if name != 'base' else 'all pairs, inner'].append(search.model(name))
        if mode == 'staged':
            for function in functions:
                run = lab.train(f'aim-planted-{function}-{seed}', search.stage_config('base'), data, seed,
                                model__interactions=as_list(truth), model__functions=f'[{function}]')
                models[f'the planted pairs, {function}'].append(run.model())
    for mode in arguments.modes:
        hits, wrong = zip(*found[mode])
        report.text(f'{mode}: {statistics.mean(hits):.1f} of {len(pairs)} planted pairs open, '
                    f'{statistics.mean(wrong):.1f} others of {66 - len(pairs)}; mean of {len(hits)} seeds; '
                    f'AUC of the truth {oracle:.4f} (last seed)')
        rows = [['planted', 'pairs', *(f'{what}, {function}' for what in ('gate', 'kept at the end', 'width found')
                                       for function in functions), 'width found, both']]
        for kind in kinds:
            at = [(mode, kind, function) for function in functions]
            rows.append([f'{kind[0]}, {kind[1]} numbers', len(kinds[kind]), *(spread(gates[i], 2) for i in at),
                         *(f'{100 * statistics.mean(kept[i]):.0f}%' for i in at), *(spread(widths[i], 1) for i in at),
                         spread(both[mode, kind], 1)])
        report.table(rows)
    report_models(report, models)
    report.write()


NESTED = ((0, 1), (0, 1, 2), (0, 1, 2, 3), (4, 5), (6, 7, 8))  # the last one has no planted pair to grow from


def nested(lab, seed, rows=200000, fields=10, categories=8, width=2, noise=.3):
    """Prepared data where the sets NESTED decide, each as the inner product of hidden vectors of its own, of mean 0."""
    raw, prepared = lab.out / 'raw' / f'nested-{seed}', lab.out / 'prepared' / f'nested-{seed}'
    draw = random.Random(seed)
    if not prepared.exists():
        hidden = {}
        for s, f, d in itertools.product(range(len(NESTED)), range(fields), range(width)):
            values = [draw.gauss(0, 1) for _ in range(categories)]
            mean, size = statistics.mean(values), statistics.pstdev(values)
            hidden[s, f, d] = [(value - mean) / size for value in values]
        raw.mkdir(parents=True, exist_ok=True)
        for split, share in (('train', .8), ('valid', .1), ('test', .1)):
            with open(raw / f'{split}.csv', 'w') as file:
                print('label', *(f'f{f}' for f in range(fields)), sep=',', file=file)
                for _ in range(int(rows * share)):
                    row = [draw.randrange(categories) for _ in range(fields)]
                    effect = sum(math.prod(hidden[s, f, d][row[f]] for f in one)
                                 for s, one in enumerate(NESTED) for d in range(width)) / math.sqrt(width)
                    print(int(effect + draw.gauss(0, noise) > 0), *row, sep=',', file=file)
        (raw / 'data.yaml').write_text('format: csv\nfiles: {train: train.csv, valid: valid.csv, test: test.csv}\n'
                                       'label: label\nfields:\n'
                                       f'  - {{columns: [f0..f{fields - 1}], kind: categorical}}\n')
        lab.interplay('prepare', raw / 'data.yaml', '--out', prepared)
    return prepared


def grow(lab, arguments):
    report, config = Report(lab, 'grow'), CONFIGS / 'aim-grow.yaml'
    truth = [tuple(f'f{f}' for f in one) for one in NESTED]
    kept, models = (collections.defaultdict(list) for _ in range(2))
    for seed in arguments.seeds or range(1, 4):
        data = nested(lab, seed)
        for orders in arguments.orders:
            search = lab.search(f'grow-{orders}-{seed}', config, data, seed, search__orders=orders,
                                search__base='true' if orders == arguments.orders[0] else 'false')
            for order in range(2, orders + 1):
                sets = {tuple(i['fields']) for i in search.interactions if len(i['fields']) == order}
                found = {tuple(i['fields']) for i in search.interactions if len(i['fields']) == order and i['kept']}
                planted_sets = {fields for fields in truth if len(fields) == order}
                kept[orders, order].append((len(sets), len(found & planted_sets), len(found - planted_sets)))
            if 'base' in search.stages:
                models['all pairs, inner'].append(search.model('base'))
            models[f'AIM to order {orders}'].append(search.model('retrain'))
    rows = [['orders', 'order', 'sets tried', 'planted, of', 'planted, kept', 'others kept']]
    for (orders, order), of in kept.items():
        tried, hits, wrong = (statistics.mean(column) for column in zip(*of))
        rows.append([orders, order, f'{tried:.0f}', sum(len(s) == order for s in truth), f'{hits:.1f}', f'{wrong:.1f}'])
    report.table(rows)
    report_models(report, models)
    report.write()


def correlated(lab, arguments):
    return lab.data(f'correlated-{arguments.rows}', '--rows', arguments.rows, '--fields', 39, '--categories', 1560,
                    '--random-pairs', 30, '--random-triples', 6, '--factors', 6, '--correlation', .5, '--decoys', 5,
                    '--function', 'inner', '--width', 4, '--noise', 3, '--seed', 1)


def columns_of_csv(raw, rows):
    """Labels of the first rows of train.csv, and their values by field."""
    with open(raw / 'train.csv') as file:
        names = next(file).strip().split(',')
        columns = list(zip(*(map(int, line.split(',')) for line in itertools.islice(file, rows))))
    return columns[0], dict(zip(names[1:], columns[1:]))


def columns_of_prepared(data, rows):
    """The same of the training rows of prepared data; a sequence is one value."""
    import pyarrow
    labels, columns = [], collections.defaultdict(list)
    for file in sorted(data.glob('train-*.arrow')):
        table = pyarrow.ipc.open_file(pyarrow.memory_map(str(file))).read_all()
        names = json.loads(table.schema.metadata[b'interplay.ids'])
        labels += [label[0] for label in table['labels'].to_pylist()]
        for name, column in zip(names, zip(*table['ids'].to_pylist())):
            columns[name] += column
        for name in set(table.column_names) - {'ids', 'labels'}:
            columns[name] += [tuple(value) if isinstance(value, list) else value for value in table[name].to_pylist()]
    return labels[:rows], {name: column[:rows] for name, column in columns.items()}


def chi_square(labels, columns, fields):
    """Pairs of fields, those first whose cells differ most from the mean rate of ones: the statistic less its degrees
    of freedom, in units of its spread where nothing differs, so that many cells are no merit."""
    rate = sum(labels) / len(labels)
    statistic = {}
    for a, b in itertools.combinations(fields, 2):
        cells = list(zip(columns[a], columns[b]))
        all_rows = collections.Counter(cells)
        ones = collections.Counter(itertools.compress(cells, labels))
        value = sum((ones[cell] - n * rate) ** 2 / (n * rate * (1 - rate)) for cell, n in all_rows.items())
        freedom = max(1, len(all_rows) - 1)
        statistic[a, b] = (value - freedom) / math.sqrt(2 * freedom)
    return sorted(statistic, key=lambda pair: -statistic[pair])


def fwfm_pairs(directory, fields):
    """Pairs of fields by |r| of a trained FwFM."""
    blob = (directory / 'model.safetensors').read_bytes()
    length, = struct.unpack('<Q', blob[:8])
    header = json.loads(blob[8:8 + length])
    begin, end = header['strength']['data_offsets']
    strength = array.array('f', blob[8 + length + begin:8 + length + end])
    pairs = list(itertools.combinations(fields, 2))
    return [pair for _, pair in sorted(zip(strength, pairs), key=lambda item: -abs(item[0]))]


def selections(lab, arguments):
    order = arguments.order
    if arguments.data:
        data, truth = arguments.data, []
        configs = {name: file.resolve() for name, file in zip(('autofis', 'aim', 'fwfm'), arguments.experiments)}
        title, heading = f'{configs["autofis"].parent.name}-{configs["autofis"].stem}', f'{data.name}'
        labels, columns = columns_of_prepared(data, 200000)
    else:
        raw, data, truth, oracle = correlated(lab, arguments)
        truth = [fields for fields in truth if len(fields) <= order]
        suffix = '' if order == 2 else f'-order-{order}'
        configs = {'autofis': CONFIGS / f'{arguments.model}-39{suffix}.yaml', 'aim': CONFIGS / f'aim-39{suffix}.yaml',
                   'fwfm': CONFIGS / 'fwfm-39.yaml'}
        title = f'{arguments.model}{suffix}'
        heading = f'{arguments.rows} rows, {len(truth)} planted sets; AUC of the truth {oracle:.4f}'
        labels, columns = columns_of_csv(raw, 200000)
    report, by_chi_square, names = Report(lab, f'selections-{title}'), None, None
    figures, lows = (collections.defaultdict(lambda: collections.defaultdict(list)) for _ in range(2))
    for seed in arguments.seeds or range(1, 4):
        tag = f'selections-{title}-{seed}'
        search = lab.search(f'{tag}-autofis', configs['autofis'], data, seed)
        by_aim = lab.search(f'{tag}-aim', configs['aim'], data, seed, search__base='false')
        fwfm = lab.train(f'{tag}-fwfm', configs['fwfm'], data, seed)
        candidates = [tuple(i['fields']) for i in search.interactions]
        pairs = [fields for fields in candidates if len(fields) == 2]
        fields = list(dict.fromkeys(itertools.chain(*pairs)))
        by_chi_square = by_chi_square or chi_square(labels, columns, fields)
        size, by_fwfm, draw = len(search.kept), fwfm_pairs(fwfm.directory, fields), random.Random(seed)
        at_random = [draw.sample([s for s in candidates if len(s) == o], sum(len(s) == o for s in search.kept))
                     for o in range(2, order + 1)]
        ranked = {'AutoFIS': search.ranking(2), 'chi-square': by_chi_square, 'FwFM |r|': by_fwfm, 'AIM': by_aim.pairs()}
        chosen = {'random': sorted(itertools.chain(*at_random), key=lambda s: (len(s), s)),
                  'chi-square': by_chi_square[:size], 'FwFM |r|': by_fwfm[:size]}
        if order == 2:
            chosen['all pairs, gated'] = pairs
        runs = {'AutoFIS': search.stage('retrain'), 'base': search.stage('base')}
        for name, kept in chosen.items():
            slug = re.sub(r'\W+', '-', name.lower()).strip('-')
            runs[name] = lab.train(f'{tag}-{slug}', search.directory / 'retrain.yaml', data, seed,
                                   model__interactions=as_list(kept))
        runs['AIM'] = by_aim.stage('retrain')
        chosen |= {'AutoFIS': search.kept, 'base': candidates, 'AIM': sorted(set(by_aim.kept))}
        if arguments.hidden:
            runs['AIM, MLP'] = lab.train(f'{tag}-aim-mlp', by_aim.directory / 'retrain.yaml', data, seed,
                                         model__hidden=arguments.hidden)
            chosen['AIM, MLP'] = chosen['AIM']
        names = list(runs)
        compared = lab.compare(f'{tag}-{len(runs)}', runs['AutoFIS'].directory,
                               [runs[name].directory for name in names[1:]])
        for name, result in zip(names, compared):
            of = figures[name]
            for key in ('auc', 'logloss'):
                of[key].append(result['metrics'][key])
            for o in range(2, order + 1):
                of['kept', o].append(sum(len(s) == o for s in chosen[name]))
                planted_sets = [s for s in truth if len(s) == o]
                of['found', o].append(len(set(planted_sets).intersection(chosen[name])))
            if name in ranked and truth:
                planted_pairs = [s for s in truth if len(s) == 2]
                of['top'].append(len(set(planted_pairs).intersection(ranked[name][:len(planted_pairs)])))
            of['parameters'].append(result['parameters'])
            of['train'].append(result['train_rows_per_s'] / 1000)
            of['score'].append(result['eval_rows_per_s'] / 1000)
        for name, comparison in zip(names[1:], compared[0]['comparisons']):
            lows[name]['low'].append(comparison['low'])
            lows[name]['high'].append(comparison['high'])
    whole = {o: sum(len(s) == o for s in candidates) for o in range(2, order + 1)}
    sets = {2: 'pairs', 3: 'triples'}
    rows = [['selection', *(f'{sets[o]} of {whole[o]}' for o in whole),
             *(f'planted {sets[o]} in it, of {sum(len(s) == o for s in truth)}' for o in whole if truth),
             *(['planted pairs ranked first'] if truth else []), 'AUC', 'logloss', 'AutoFIS less this (95%)',
             'bounds over test rows', 'parameters', 'train k rows/s', 'score k rows/s']]
    for name in names:
        of = figures[name]
        gain = interval([a - b for a, b in zip(figures['AutoFIS']['auc'], of['auc'])]) if name != 'AutoFIS' else ''
        bounds = f'{min(lows[name]["low"]):+.4f} to {max(lows[name]["high"]):+.4f}' if name in lows else ''
        rows.append([name, *(f'{statistics.mean(of["kept", o]):.0f}' for o in whole),
                     *(f'{statistics.mean(of["found", o]):.1f}' for o in whole if truth),
                     *([f'{statistics.mean(of["top"]):.1f}' if of['top'] else ''] if truth else []),
                     spread(of['auc']), spread(of['logloss']), gain, bounds,
                     *(f'{statistics.mean(of[key]):.0f}' for key in ('parameters', 'train', 'score'))])
    report.text(heading)
    report.table(rows)
    report.write()


def topn(lab, arguments):
    report, config = Report(lab, 'topn'), CONFIGS / f'{arguments.model}-39.yaml'
    _, data, _, oracle = correlated(lab, arguments)
    fields = [f'f{i}' for i in range(39)]
    pairs = list(itertools.combinations(fields, 2))
    aucs = collections.defaultdict(list)
    counts = sorted({min(n, len(pairs)) for n in arguments.counts})
    for seed in arguments.seeds or range(1, 4):
        tag = f'topn-{arguments.model}-{seed}'
        keys = {'search__base': 'false', 'search__retrain': 'false', 'search__top_k': counts[0]}
        with_norm = lab.search(f'{tag}-norm', config, data, seed, **keys)
        without = lab.search(f'{tag}-no-norm', config, data, seed, model__gate_norm='false', **keys)
        fwfm = lab.train(f'selections-{arguments.model}-{seed}-fwfm', CONFIGS / 'fwfm-39.yaml', data, seed)
        shuffled = random.Random(seed).sample(pairs, len(pairs))
        ways = {'norm and gates': (with_norm.ranking(), {'model__gates': 'true'}),
                'norm in search, plain re-train': (with_norm.ranking(), {}),
                'gates without norm': (without.ranking(), {'model__gates': 'true', 'model__gate_norm': 'false'}),
                'neither in re-train': (without.ranking(), {}),
                'FwFM |r|, norm and gates': (fwfm_pairs(fwfm.directory, fields), {'model__gates': 'true'}),
                'random pairs, norm and gates': (shuffled, {'model__gates': 'true'})}
        for (name, (ranking, more)), n in itertools.product(ways.items(), counts):
            slug = re.sub(r'\W+', '-', name)
            kept = as_list(sorted(ranking[:n]))
            run = lab.train(f'{tag}-{slug}-{n}', config, data, seed, model__interactions=kept, **more)
            aucs[name, n].append(run.auc)
    names = list(dict.fromkeys(name for name, _ in aucs))
    report.text(f'AUC of the n pairs with the largest gates, {arguments.rows} rows; AUC of the truth {oracle:.4f}')
    report.table([['n', *names]] + [[n, *(spread(aucs[name, n]) for name in names)] for n in counts])
    report.write()


def cost(lab, arguments):
    """Training rows/s of `interplay bench train` without gates over those with, in pairs run one after the other. FM in
    closed form has no explicit pairs: it is listed with all pairs but one, too."""
    report = Report(lab, 'cost')
    criteo = [f'I{i}' for i in range(1, 14)] + [f'C{i}' for i in range(1, 27)]
    listed = ['--set', f'model.interactions={as_list(list(itertools.combinations(criteo, 2))[:-1])}']
    gates = ['--set', 'model.gates=true', '--set', 'optimizer.gates={name: grda}']
    cases = [(f'{model}, {precision}', model, precision, [], gates)
             for model in ('deepfm', 'ipnn') for precision in ('bf16', 'fp32')]
    cases += [('fm, pairs listed', 'fm', 'fp32', listed, listed + gates), ('fm, closed form', 'fm', 'fp32', [], gates)]

    def rate(model, precision, options):
        result = json.loads(lab.interplay('bench', 'train', '--model', model, '--repeat', 1, '--rows', arguments.rows,
                                          '--scratch', lab.out / 'bench', '--json', '--set',
                                          f'train.precision={precision}', *options))
        machine.append(result['machine'])
        return next(figure['median'] for figure in result['figures'] if figure['name'] == 'train')

    rows, machine = [['model', 'k rows/s without', 'with gates', 'without / with', 'least', 'most']], []
    for name, model, precision, without, within in cases:
        pairs = [(rate(model, precision, without), rate(model, precision, within)) for _ in range(arguments.repeats)]
        ratios = [a / b for a, b in pairs]
        rows.append([name, *(f'{statistics.median(column) / 1000:.1f}' for column in zip(*pairs)),
                     *(f'{f(ratios):.2f}' for f in (statistics.median, min, max))])
    report.text(f'{machine[-1]["cpu"]}, {machine[-1]["instructions"]}, {machine[-1]["threads"]} threads')
    report.table(rows)
    report.write()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    laboratory.add_arguments(parser, 'search-experiments')
    commands = parser.add_subparsers(dest='command', required=True)
    for command in (planted, recall, aim, grow, selections, topn, cost):
        sub = commands.add_parser(command.__name__)
        sub.set_defaults(run=command)
        if command in (selections, topn):
            sub.add_argument('--rows', type=int, default=2000000)
            sub.add_argument('--model', choices=('fm', 'deepfm', 'ipnn'), default='fm')
        if command is recall:
            sub.add_argument('--orders', type=lambda text: list(map(int, text.split(','))), default=[2, 3])
        if command is selections:
            sub.add_argument('--order', type=int, choices=(2, 3), default=2)
            sub.add_argument('--hidden', default='[128, 64]', help='MLP of AIM in a row of its own; empty: no such row')
            sub.add_argument('--data', type=pathlib.Path, help='prepared data instead of planted ones')
            sub.add_argument('--experiments', type=pathlib.Path, nargs=3, metavar=('AUTOFIS', 'AIM', 'FWFM'),
                             help='experiment files for --data')
        if command is cost:
            sub.add_argument('--rows', type=int, default=500000)
            sub.add_argument('--repeats', type=int, default=5)
        if command is grow:
            sub.add_argument('--orders', type=lambda text: list(map(int, text.split(','))), default=[2, 3, 4])
        if command is aim:
            sub.add_argument('--modes', type=lambda text: text.split(','), default=['staged'],
                             help='staged, or also unified: sets, functions and widths in one run')
        if command is topn:
            sub.add_argument('--counts', type=lambda text: list(map(int, text.split(','))),
                             default=[10, 20, 30, 45, 60, 100, 200, 400, 741])
    arguments = parser.parse_args()
    arguments.run(SearchLab(arguments), arguments)


if __name__ == '__main__':
    main()
