#!/usr/bin/env python3
"""What AutoGraph's graph is worth on MovieLens-1M: retrieval by SASRec and two towers, and DeepFM on the CTR task.

    python3 tools/experiments/autograph_experiments.py --root DIR          ratings.dat, users.dat and movies.dat

The files may be packed (.gz); first run `interplay fetch minilm-l6`. By default a third of the users, drawn by seed; --full
takes all. Beside each other, for each seed:

  none       the model alone                 graph     with what the graph says of user and film (augmenter `autograph`)
  shuffled   the same, codes dealt out anew among users and among films, anew for each seed: the control
  frozen     the graph, its attention as it is drawn (freeze_gat)

The claim is the gap of `graph` over `shuffled`; everything else differs in parameters and fields, too. Tables: Recall@10
and NDCG@10 over all films on each user's last liked film, differences paired by seed with their 95% interval over the
seeds; AUC of DeepFM; what it costs. Counts of the data on all rows, with and without a time, are printed and held against
figures that were counted without this program. How long it will take is told first. Everything is kept below --out: what is
finished is not run again, and what was cut short goes on. Tables go to standard output and, as Markdown, to ml-1m.md there.
"""
import argparse
import pathlib
import re

import lab as laboratory
from lab import ROOT, Lab, Report, draw_users, interval, lines_of, say, spread

CONFIGS = ROOT / 'configs' / 'ml-1m'
RETRIEVERS = {'sasrec': 'autograph', 'two_tower': 'autograph_two_tower'}
WAYS = ('none', 'graph', 'shuffled', 'frozen')
METRICS = ('recall@10', 'ndcg@10')
# of the ratings above 3: rows, films, samples (5 such ratings before them), training rows
COUNTS = {'all rows': (575281, 3533, 545102, 533058), 'rows with a time': (463068, 3466, 436183, 425539)}
FILTERS = {'all rows': '{column: rating, above: 3}',
           'rows with a time': '{column: rating, above: 3, also: [{column: timestamp, above: 0}]}'}
ROWS_A_SECOND = {'sasrec': 3500, 'two_tower': 15000, 'deepfm': 40000}  # with the graph, on two cores


class GraphLab(Lab):
    """Some of the users' ratings, prepared both ways, and the graphs of each."""

    def __init__(self, arguments):
        share = 'full' if arguments.full else f'users-{arguments.users:g}'
        arguments.out = arguments.out / share
        super().__init__(arguments)
        self.arguments = arguments
        self.raw = self.draw()

    def draw(self):
        raw, some = self.out / 'raw', self.arguments.users
        draw_users(self.arguments.root, raw, lambda users: users if self.arguments.full else max(1, round(users * some)))
        return raw

    def prepare(self, name, config, root, *options):
        prepared = self.out / 'prepared' / name
        if not prepared.exists():
            say(f'prepare {name}')
            prepared.parent.mkdir(parents=True, exist_ok=True)
            self.interplay('prepare', CONFIGS / config, '--set', f'root={root}', *options, '--out', prepared)
        return prepared

    def graph(self, name, data, config, *options):
        out = self.out / 'graphs' / name
        if not out.exists():
            say(f'graph {name}')
            out.parent.mkdir(parents=True, exist_ok=True)
            sets = [part for value in self.arguments.graph_set for part in ('--set', value)]
            self.interplay('graph', 'build', CONFIGS / 'graph.yaml', '--set', f'root={self.raw}', '--set', f'data={config}',
                           '--set', f'encoder={self.arguments.lm}', *sets, '--data', data, '--cache', self.out / 'texts',
                           '--out', out, *options)
        return out


def rows_of(lab, prepared):
    """Rows of train, valid and test."""
    told = lab.interplay('inspect', prepared)
    return [int(re.search(rf'^  {split}: (\d+) rows$', told, re.MULTILINE)[1]) for split in ('train', 'valid', 'test')]


def count(lab, report):
    """The figures of the whole data, which do not depend on the draw of users."""
    rows = [['', 'rated above 3', 'films', 'samples', 'training rows', 'as counted elsewhere']]
    good = True
    for name, expected in COUNTS.items():
        liked, films = 0, set()
        for line in lines_of(lab.arguments.root, 'ratings.dat'):
            user, film, rating, time = line.split(b'::')
            if int(rating) > 3 and (name == 'all rows' or int(time) > 0):
                liked += 1
                films.add(film)
        prepared = lab.prepare(name.replace(' ', '-'), 'data_graph.yaml', lab.arguments.root, '--set',
                               f'filter={FILTERS[name]}')
        split = rows_of(lab, prepared)
        found = (liked, len(films), sum(split), split[0])
        good &= found == expected
        rows.append([name, *found, 'yes' if found == expected else f'no: {expected}'])
    report.text('What the rules of the data give on all of MovieLens-1M.')
    report.table(rows)
    if not good:
        say('the counts differ: are these GroupLens\' own files?')


def augment(sides, graph, **more):
    said = ''.join(f', {key}: {value}' for key, value in more.items())
    return '[' + ', '.join(f'{{name: autograph, from: {graph}, side: {side}{said}}}' for side in sides) + ']'


def retrieve(lab, data, model, way, seed, graphs):
    keys = {'train__epochs': lab.arguments.epochs, 'train__batch_size': lab.arguments.batch_size}
    config = CONFIGS / f'{model if way == "none" else RETRIEVERS[model]}.yaml'
    if way != 'none':
        graph = graphs[f'shuffled-{seed}' if way == 'shuffled' else 'graph']
        keys['fields__augment'] = augment(('user', 'item'), graph, **({'freeze_gat': 'true'} if way == 'frozen' else {}))
    return lab.train(f'{model}-{way}-{seed}', config, data, seed, **keys)


def ctr(lab, data, way, seed, graphs):
    keys = {'train__epochs': lab.arguments.ctr_epochs}
    if way == 'none':
        return lab.train(f'deepfm-none-{seed}', CONFIGS / 'deepfm.yaml', data, seed, **keys)
    keys['fields__augment'] = augment(('both',), graphs[f'shuffled-{seed}' if way == 'shuffled' else 'graph'],
                                      history='hist_movie_ids', **({'freeze_gat': 'true'} if way == 'frozen' else {}))
    return lab.train(f'deepfm-{way}-{seed}', CONFIGS / 'autograph_deepfm.yaml', data, seed, **keys)


def compared(report, what, runs, value):
    """Rows of a table: each way's value, and `graph` less the others, paired by seed."""
    of = {way: [value(run) for run in runs[way]] for way in WAYS}
    less = [interval([a - b for a, b in zip(of['graph'], of[way])]) for way in WAYS if way != 'graph']
    return [what, *(spread(of[way]) for way in WAYS), *less]


def costs(report, of):
    report.text('What it costs: rows learnt in a second, passes, seconds of a whole run, most memory; means over the seeds.')
    mean = lambda values: sum(values) / len(values)
    rows = [['model', 'way', 'rows/s', 'passes', 'seconds', 'peak memory, MB', 'parameters']]
    for model, runs in of.items():
        for way in WAYS:
            told = [run.summary for run in runs[way]]
            rows.append([model, way, f'{mean([s["rows_per_s"] for s in told]):.0f}', f'{mean([s["epochs"] for s in told]):.1f}',
                         f'{mean([s["seconds"] for s in told]):.0f}', f'{mean([s["peak_bytes"] for s in told]) / 1e6:.0f}',
                         told[0]['parameters']])
    report.table(rows)


def tell_hours(lab, retrieval, click, seeds):
    seconds = sum(rows_of(lab, retrieval)[0] * lab.arguments.epochs / ROWS_A_SECOND[model] for model in lab.arguments.models)
    seconds += rows_of(lab, click)[0] * lab.arguments.ctr_epochs / ROWS_A_SECOND['deepfm']
    hours = seconds * len(WAYS) * len(seeds) / 3600
    say(f'{len(WAYS) * len(seeds) * (len(lab.arguments.models) + 1)} runs: {hours:.1f} hours at most on two cores')


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    laboratory.add_arguments(parser, 'autograph')
    parser.set_defaults(threads=2)
    parser.add_argument('--root', type=pathlib.Path, required=True, help='folder of the raw files')
    parser.add_argument('--full', action='store_true', help='all users')
    parser.add_argument('--users', type=float, default=1 / 3, help='share of the users')
    parser.add_argument('--models', type=lambda text: text.split(','), default=list(RETRIEVERS),
                        help=f'of {", ".join(RETRIEVERS)}')
    parser.add_argument('--epochs', type=int, default=12, help='of a retriever at most')
    parser.add_argument('--batch-size', type=int, default=512)
    parser.add_argument('--ctr-epochs', type=int, default=4, help='of DeepFM at most')
    parser.add_argument('--lm', default='minilm-l6', help='what turns texts into vectors: a fetched name or a path')
    parser.add_argument('--graph-set', action='append', default=[], metavar='KEY=VALUE', help='of how graphs are built')
    arguments = parser.parse_args()
    arguments.root, arguments.out = arguments.root.resolve(), arguments.out.resolve()
    lab = GraphLab(arguments)
    report = Report(lab, 'ml-1m')
    seeds = arguments.seeds or [1, 2, 3]
    retrieval = lab.prepare('retrieval', 'data_graph.yaml', lab.raw)
    click = lab.prepare('click', 'data.yaml', lab.raw)
    tell_hours(lab, retrieval, click, seeds)
    count(lab, report)
    graphs = {}
    for task, data, config in (('retrieval', retrieval, 'data_graph.yaml'), ('click', click, 'data.yaml')):
        graphs[task] = {'graph': lab.graph(task, data, config)}
        for seed in seeds:
            graphs[task][f'shuffled-{seed}'] = lab.graph(f'{task}-shuffled-{seed}', data, config, '--shuffle', seed)
    of = {model: {way: [] for way in WAYS} for model in [*arguments.models, 'deepfm']}
    for seed in seeds:
        for way in WAYS:
            for model in arguments.models:
                of[model][way].append(retrieve(lab, retrieval, model, way, seed, graphs['retrieval']))
            of['deepfm'][way].append(ctr(lab, click, way, seed, graphs['click']))
    train, valid, test = rows_of(lab, retrieval)
    report.text(f'{"All users" if arguments.full else f"{arguments.users:.0%} of the users"}: {train} training rows, {valid} '
                f'valid, {test} test; at most {arguments.epochs} passes, batches of {arguments.batch_size}; seeds '
                f'{", ".join(map(str, seeds))}')
    head = ['', *WAYS, *(f'graph less {way}' for way in WAYS if way != 'graph')]
    rows = [head]
    for model in arguments.models:
        for metric in METRICS:
            rows.append(compared(report, f'{model}, {metric}', of[model], lambda run: run.summary['test'][metric]))
    rows.append(compared(report, 'deepfm, AUC', of['deepfm'], lambda run: run.auc))
    report.table(rows)
    costs(report, of)
    report.write()


if __name__ == '__main__':
    main()
