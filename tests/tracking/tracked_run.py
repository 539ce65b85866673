"""A small run that is tracked and resumed, and the packages that read what it told."""
import json
import shutil
import subprocess
import sys

SKIPPED = 77  # as CMakeLists.txt has it


def install(folder, package):
    """Into a folder of its own, once; where it cannot be had, the test is skipped."""
    if not (folder / 'installed').exists():
        shutil.rmtree(folder, ignore_errors=True)
        done = subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '--no-input',
                               '--disable-pip-version-check', '--target', folder, package],
                              capture_output=True, text=True)
        if done.returncode != 0:
            print(f'skipped: {package} cannot be had: {done.stderr.strip().splitlines()[-1:]}')
            sys.exit(SKIPPED)
        (folder / 'installed').touch()
    sys.path.insert(0, str(folder))


class TrackedRun:
    def __init__(self, program, folder, tracking):
        self.program, self.folder, self.tracking = program, folder, json.dumps(tracking)
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        self.interplay('synth', 'planted', '--rows', '3000', '--out', folder / 'raw')
        self.interplay('prepare', folder / 'raw' / 'data.yaml', '--out', folder / 'data')
        (folder / 'fm.yaml').write_text('model: {name: fm, embedding_dim: 4}\n'
                                        'train: {batch_size: 256, patience: 0, metrics: [auc, logloss]}\n')
        self.run = folder / 'run'

    def interplay(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments)], capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def train(self, epochs, *more):
        self.interplay('train', self.folder / 'fm.yaml', '--data', self.folder / 'data', '--out', self.run, '--threads',
                       '1', '--set', f'train.epochs={epochs}', '--set', f'tracking={self.tracking}', *more)

    def expected(self):
        """By name the steps and values that metrics.jsonl and summary.json have."""
        out = {}
        for line in map(json.loads, (self.run / 'metrics.jsonl').read_text().splitlines()):
            values = {'train/loss': line['train_loss'], 'train/lr': line['lr'], 'train/rows_per_s': line['rows_per_s'],
                      **{f'valid/{name}': value for name, value in line['valid'].items()}}
            for name, value in values.items():
                out.setdefault(name, []).append((line['step'], value))
        return out

    def summary(self):
        return json.loads((self.run / 'summary.json').read_text())


def assert_same(found, expected):
    """Six digits are kept in metrics.jsonl."""
    assert [step for step, _ in found] == [step for step, _ in expected], (found, expected)
    for (_, value), (_, other) in zip(found, expected):
        assert abs(value - other) <= 1e-5 * max(1, abs(other)), (found, expected)
