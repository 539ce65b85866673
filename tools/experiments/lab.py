"""What scripts of experiments share: they run the program, each run in a directory of its own below --out, do not run
again what is finished there, go on with what was cut short, and print tables that they keep as Markdown too."""
import gzip
import json
import math
import pathlib
import random
import shutil
import statistics
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
T_975 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131)


def add_arguments(parser, out):
    parser.add_argument('--program', type=pathlib.Path, default=ROOT / 'build' / 'bin' / 'interplay')
    parser.add_argument('--out', type=pathlib.Path, default=ROOT / 'runs' / out)
    parser.add_argument('--threads', type=int, default=1)
    parser.add_argument('--set', action='append', default=[], metavar='KEY=VALUE', help='of what is trained')
    parser.add_argument('--seeds', type=lambda text: list(map(int, text.split(','))), help='as 1,2,3')


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
        if not config.is_relative_to(ROOT / 'configs'):
            return []
        pairs = zip(self.sets[::2], self.sets[1::2])
        return [part for pair in pairs if command == 'search' or not pair[1].startswith('search.') for part in pair]

    def train(self, name, config, data, seed, *flags, **keys):
        """A run's summary.json, and its directory."""
        out = self.run('train', name, config, data, '--seed', seed, *flags, *self.options('train', config),
                       *as_sets(keys))
        return Run(out, json.loads((out / 'summary.json').read_text()))

    def compare(self, name, first, others):
        """AUC of `first` less that of each other run, each with its 95% interval over test rows, and the metrics."""
        file = self.out / 'compare' / f'{name}.json'
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            text = self.interplay('eval', first, *others, '--compare', '--metrics', 'auc,logloss', '--json')
            file.write_text(text)
        return json.loads(file.read_text())

    def evaluate(self, name, run, *flags):
        """`interplay eval` of one run, kept beside its scores."""
        file, scores = (self.out / 'eval' / f'{name}.{kind}' for kind in ('json', 'txt'))
        if not file.exists():
            say(f'eval {name}')
            file.parent.mkdir(exist_ok=True)
            file.write_text(self.interplay('eval', run.directory, '--interval', '--scores', scores, '--metrics',
                                           'auc,logloss', '--json', *flags))
        return json.loads(file.read_text()), scores


class Run:
    def __init__(self, directory, summary):
        self.directory, self.summary = directory, summary
        test = summary.get('test') or {}
        self.auc, self.logloss = test.get('auc'), test.get('logloss')

    def model(self):
        """AUC, logloss, parameters, and bytes of the saved weights"""
        size = (self.directory / 'model.safetensors').stat().st_size
        return self.auc, self.logloss, self.summary['parameters'], size


def as_sets(keys):
    """{'train__epochs': 3} as --set train.epochs=3"""
    return [part for key, value in keys.items() for part in ('--set', f'{key.replace("__", ".")}={value}')]


def lines_of(folder, name):
    """Of a file, or of the same packed."""
    for file, opened in ((folder / name, open), (folder / f'{name}.gz', gzip.open)):
        if file.exists():
            with opened(file, 'rb') as lines:
                return lines.readlines()
    raise SystemExit(f'{folder / name}: is not there, nor packed as {name}.gz')


def draw_users(root, out, how_many):
    """MovieLens-1M's files with the ratings of some users, drawn: as many as how_many(all of them) says; whole or
    absent."""
    if out.exists():
        return
    lines = lines_of(root, 'ratings.dat')
    users = sorted({line.split(b'::', 1)[0] for line in lines})
    count = how_many(len(users))
    kept = set(users if count == len(users) else random.Random(1).sample(users, count))
    part = out.with_name(f'{out.name}.part')
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    (part / 'ratings.dat').write_bytes(b''.join(line for line in lines if line.split(b'::', 1)[0] in kept))
    for other in ('users.dat', 'movies.dat'):
        (part / other).write_bytes(b''.join(lines_of(root, other)))
    part.rename(out)


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
