#!/usr/bin/env python3
"""What a search finds where the answer is known: experiments on data of `interplay synth planted`.

    python3 tools/search_experiments.py planted      6 fields, 3 pairs: are they found, and what does re-training gain?
    python3 tools/search_experiments.py recall       20 fields, 10 pairs and 3 triples: recall and precision
    python3 tools/search_experiments.py aim          12 fields, pairs of two functions and widths: does AIM find them?
    python3 tools/search_experiments.py selections   39 correlated fields: AutoFIS beside other selections of its size
    python3 tools/search_experiments.py topn         the same data: AUC over the number of pairs kept, four ways

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
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
CONFIGS = ROOT / 'configs' / 'planted'
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


class Lab:
    """Runs the program, each run in a directory of its own."""

    def __init__(self, arguments):
        self.program, self.out, self.threads = arguments.program, arguments.out, arguments.threads
        self.sets = [part for key_value in arguments.set for part in ('--set', key_value)]
        self.out.mkdir(parents=True, exist_ok=True)

    def interplay(self, *arguments):
        command = [str(self.program), '--quiet', '--threads', str(self.threads), *map(str, arguments)]
        result = subprocess.run(command, stdout=subprocess.PIPE, text=True)
        if result.returncode:
            sys.exit(f'{" ".join(command)}: status {result.returncode}')
        return result.stdout

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

    def run(self, command, name, config, data, *options):
        out = self.out / 'runs' / name
        if not (out / 'manifest.json').exists():
            say(f'{command} {name}')
            resume = ['--resume'] if out.exists() and any(out.iterdir()) else []
            out.parent.mkdir(parents=True, exist_ok=True)
            self.interplay(command, config, '--data', data, '--out', out, *options, *resume)
        return out

    def options(self, command, config):
        """--set of the command line; a retrain.yaml has it already, and only `search` reads search.*"""
        if not config.is_relative_to(CONFIGS):
            return []
        pairs = zip(self.sets[::2], self.sets[1::2])
        return [part for pair in pairs if command == 'search' or not pair[1].startswith('search.') for part in pair]

    def train(self, name, config, data, seed, **keys):
        """A run's summary.json, and its directory."""
        out = self.run('train', name, config, data, '--seed', seed, *self.options('train', config), *as_sets(keys))
        return Run(out, json.loads((out / 'summary.json').read_text()))

    def search(self, name, config, data, seed, **keys):
        out = self.run('search', name, config, data, '--seed', seed, *self.options('search', config), *as_sets(keys))
        return Search(out)

    def compare(self, name, first, others):
        """AUC of `first` less that of each other run, each with its 95% interval over test rows, and the metrics."""
        file = self.out / 'compare' / f'{name}.json'
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            text = self.interplay('eval', first, *others, '--compare', '--metrics', 'auc,logloss', '--json')
            file.write_text(text)
        return json.loads(file.read_text())


class Run:
    def __init__(self, directory, summary):
        self.directory, self.summary = directory, summary
        self.auc, self.logloss = summary['test']['auc'], summary['test']['logloss']

    def model(self):
        """AUC, logloss, parameters, and bytes of the saved weights"""
        size = (self.directory / 'model.safetensors').stat().st_size
        return self.auc, self.logloss, self.summary['parameters'], size


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


def as_sets(keys):
    """{'train__epochs': 3} as --set train.epochs=3"""
    return [part for key, value in keys.items() for part in ('--set', f'{key.replace("__", ".")}={value}')]


def as_list(sets):
    return '[' + ', '.join('[' + ', '.join(fields) + ']' for fields in sets) + ']'


def say(text):
    print(f'== {text}', file=sys.stderr, flush=True)


def interval(differences):
    """Mean and 95% interval of paired differences, by Student's t."""
    mean = statistics.mean(differences)
    if len(differences) < 2:
        return f'{mean:+.4f}'
    t = T_975[min(len(differences) - 2, len(T_975) - 1)]
    half = t * statistics.stdev(differences) / math.sqrt(len(differences))
    return f'{mean:+.4f} ({mean - half:+.4f} to {mean + half:+.4f})'


def spread(values, digits=4):
    if len(values) < 2:
        return f'{values[0]:.{digits}f}'
    return f'{statistics.mean(values):.{digits}f} +- {statistics.stdev(values):.{digits}f}'


class Report:
    def __init__(self, lab, name):
        self.file, self.parts = lab.out / f'{name}.md', []

    def text(self, line):
        print(line + '\n', flush=True)
        self.parts.append(line)

    def table(self, rows):
        rows = [[str(cell) for cell in row] for row in rows]
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines = ['  '.join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows]
        lines.insert(1, '  '.join('-' * width for width in widths))
        print('\n'.join(lines) + '\n', flush=True)
        marked = ['| ' + ' | '.join(row) + ' |' for row in rows]
        marked.insert(1, '|' + '---|' * len(rows[0]))
        self.parts.append('\n'.join(marked))

    def write(self):
        self.file.write_text('\n\n'.join(self.parts) + '\n')


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
    """A kernel of a pair alone is absorbed by the pair's vectors: only sets that share fields can tell functions apart."""
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
        report.text(f'{mode}: {statistics.mean(hits):.1f} of {len(pairs)} planted pairs open, {statistics.mean(wrong):.1f} '
                    f'others of {66 - len(pairs)}; mean of {len(hits)} seeds; AUC of the truth {oracle:.4f} (last seed)')
        rows = [['planted', 'pairs', *(f'{what}, {function}' for what in ('gate', 'kept at the end', 'width found')
                                       for function in functions), 'width found, both']]
        for kind in kinds:
            at = [(mode, kind, function) for function in functions]
            rows.append([f'{kind[0]}, {kind[1]} numbers', len(kinds[kind]), *(spread(gates[i], 2) for i in at),
                         *(f'{100 * statistics.mean(kept[i]):.0f}%' for i in at), *(spread(widths[i], 1) for i in at),
                         spread(both[mode, kind], 1)])
        report.table(rows)
    rows = [['model', 'AUC', 'logloss', 'parameters', 'weights, bytes']]
    for name, of in models.items():
        auc, logloss, parameters, size = zip(*of)
        rows.append([name, spread(auc), spread(logloss), *(f'{statistics.mean(x):.0f}' for x in (parameters, size))])
    report.table(rows)
    report.write()


def correlated(lab, arguments):
    return lab.data(f'correlated-{arguments.rows}', '--rows', arguments.rows, '--fields', 39, '--categories', 1560,
                    '--random-pairs', 30, '--random-triples', 6, '--factors', 6, '--correlation', .5, '--decoys', 5,
                    '--function', 'inner', '--width', 4, '--noise', 3, '--seed', 1)


def chi_square(raw, fields, rows=200000):
    """Pairs of fields, those first whose cells differ most from the mean rate of ones (first rows of train.csv)."""
    with open(raw / 'train.csv') as file:
        next(file)
        table = [list(map(int, line.split(','))) for line in itertools.islice(file, rows)]
    columns = list(zip(*table))
    labels, columns = columns[0], columns[1:]
    rate = sum(labels) / len(labels)
    statistic = {}
    for a, b in itertools.combinations(range(len(fields)), 2):
        width = max(columns[b]) + 1
        cells = [x * width + y for x, y in zip(columns[a], columns[b])]
        all_rows = collections.Counter(cells)
        ones = collections.Counter(itertools.compress(cells, labels))
        expected = ((ones[cell], count * rate) for cell, count in all_rows.items())
        statistic[fields[a], fields[b]] = sum((k - e) ** 2 / (e * (1 - rate)) for k, e in expected)
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
    report, config = Report(lab, 'selections'), CONFIGS / f'{arguments.model}-39.yaml'
    raw, data, truth, oracle = correlated(lab, arguments)
    truth = {fields for fields in truth if len(fields) == 2}
    fields = [f'f{i}' for i in range(39)]
    pairs = list(itertools.combinations(fields, 2))
    by_chi_square = chi_square(raw, fields)
    names = ('AutoFIS', 'base', 'all pairs, gated', 'random', 'chi-square', 'FwFM |r|')
    figures = collections.defaultdict(lambda: collections.defaultdict(list))
    lows = collections.defaultdict(list)
    for seed in arguments.seeds or range(1, 4):
        tag = f'selections-{arguments.model}-{seed}'
        search = lab.search(f'{tag}-autofis', config, data, seed)
        fwfm = lab.train(f'{tag}-fwfm', CONFIGS / 'fwfm-39.yaml', data, seed)
        size = len(search.kept)
        chosen = {'random': sorted(random.Random(seed).sample(pairs, size)), 'chi-square': by_chi_square[:size],
                  'FwFM |r|': fwfm_pairs(fwfm.directory, fields)[:size], 'all pairs, gated': pairs}
        runs = {'AutoFIS': search.stage('retrain'), 'base': search.stage('base')}
        for name, kept in chosen.items():
            slug = re.sub(r'\W+', '-', name.lower()).strip('-')
            runs[name] = lab.train(f'{tag}-{slug}', search.directory / 'retrain.yaml', data, seed,
                                   model__interactions=as_list(kept))
        chosen |= {'AutoFIS': search.kept, 'base': pairs}
        compared = lab.compare(tag, runs['AutoFIS'].directory, [runs[name].directory for name in names[1:]])
        for name, result in zip(names, compared):
            of = figures[name]
            of['auc'].append(result['metrics']['auc'])
            of['logloss'].append(result['metrics']['logloss'])
            of['kept'].append(len(chosen[name]) / len(pairs))
            of['found'].append(len(truth.intersection(chosen[name])) / len(truth))
            of['parameters'].append(result['parameters'])
            of['train'].append(result['train_rows_per_s'] / 1000)
            of['score'].append(result['eval_rows_per_s'] / 1000)
        for name, comparison in zip(names[1:], compared[0]['comparisons']):
            lows[name].append(comparison['low'])
    rows = [['selection', 'pairs kept', 'planted pairs in it', 'AUC', 'logloss', 'AutoFIS less this (95%)',
             'lowest bound over test rows', 'parameters', 'train k rows/s', 'score k rows/s']]
    for name in names:
        of = figures[name]
        gain = interval([a - b for a, b in zip(figures['AutoFIS']['auc'], of['auc'])]) if name != 'AutoFIS' else ''
        rows.append([name, f'{100 * statistics.mean(of["kept"]):.0f}%', f'{100 * statistics.mean(of["found"]):.0f}%',
                     spread(of['auc']), spread(of['logloss']), gain, f'{min(lows[name]):+.4f}' if lows[name] else '',
                     f'{statistics.mean(of["parameters"]):.0f}', f'{statistics.mean(of["train"]):.0f}',
                     f'{statistics.mean(of["score"]):.0f}'])
    report.text(f'{arguments.rows} rows, {len(pairs)} pairs of which {len(truth)} are planted; AUC of the truth '
                f'{oracle:.4f}')
    report.table(rows)
    report.write()


def topn(lab, arguments):
    report, config = Report(lab, 'topn'), CONFIGS / f'{arguments.model}-39.yaml'
    _, data, _, oracle = correlated(lab, arguments)
    pairs = list(itertools.combinations((f'f{i}' for i in range(39)), 2))
    aucs = collections.defaultdict(list)
    counts = sorted({min(n, len(pairs)) for n in arguments.counts})
    for seed in arguments.seeds or range(1, 4):
        tag = f'topn-{arguments.model}-{seed}'
        keys = {'search__base': 'false', 'search__retrain': 'false', 'search__top_k': counts[0]}
        with_norm = lab.search(f'{tag}-norm', config, data, seed, **keys)
        without = lab.search(f'{tag}-no-norm', config, data, seed, model__gate_norm='false', **keys)
        shuffled = random.Random(seed).sample(pairs, len(pairs))
        ways = {'norm and gates': (with_norm.ranking(), {'model__gates': 'true'}),
                'norm in search, plain re-train': (with_norm.ranking(), {}),
                'gates without norm': (without.ranking(), {'model__gates': 'true', 'model__gate_norm': 'false'}),
                'neither in re-train': (without.ranking(), {}),
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


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--program', type=pathlib.Path, default=ROOT / 'build' / 'bin' / 'interplay')
    parser.add_argument('--out', type=pathlib.Path, default=ROOT / 'runs' / 'search-experiments')
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', help='of the configuration searched')
    parser.add_argument('--seeds', type=lambda text: list(map(int, text.split(','))), help='as 1,2,3')
    commands = parser.add_subparsers(dest='command', required=True)
    for command in (planted, recall, aim, selections, topn):
        sub = commands.add_parser(command.__name__)
        sub.set_defaults(run=command)
        if command in (selections, topn):
            sub.add_argument('--rows', type=int, default=2000000)
            sub.add_argument('--model', choices=('fm', 'deepfm', 'ipnn'), default='fm')
        if command is recall:
            sub.add_argument('--orders', type=lambda text: list(map(int, text.split(','))), default=[2, 3])
        if command is aim:
            sub.add_argument('--modes', type=lambda text: text.split(','), default=['staged', 'unified'])
        if command is topn:
            sub.add_argument('--counts', type=lambda text: list(map(int, text.split(','))),
                             default=[10, 20, 30, 45, 60, 100, 200, 400, 741])
    arguments = parser.parse_args()
    arguments.run(Lab(arguments), arguments)


if __name__ == '__main__':
    main()
