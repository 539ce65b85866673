"""Indexing a large collection, and queries a second beside bm25s, by turns in one run on the same documents.

    python -m venv venv && venv/bin/pip install bm25s==0.3.16 numpy
    venv/bin/python tools/bench/bench_prf.py build/bin/interplay

Documents are made: --documents of them, of --length words each, words drawn by Zipf's law from --words. Queries have three words
each, drawn from those of rank 10 to 100,000 evenly by the logarithm. Printed: seconds and most memory of `prf index`, bytes of
the index, and queries/s of both, BM25, the first 1000 documents, one thread; medians of --repeat with the least and most, of the
ratio the median of the ratios of a repeat. The first documents of both are held against each other, too.
"""
import argparse
import pathlib
import re
import resource
import statistics
import subprocess
import sys
import time

import numpy

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument('program', type=pathlib.Path)
parser.add_argument('--out', type=pathlib.Path, default=pathlib.Path('runs/bench_prf'))
parser.add_argument('--documents', type=int, default=1_000_000)
parser.add_argument('--length', type=int, default=100)
parser.add_argument('--words', type=int, default=1_000_000)
parser.add_argument('--queries', type=int, default=200)
parser.add_argument('--repeat', type=int, default=5)
parser.add_argument('--skip-bm25s', action='store_true', help='where it is not there, or memory is short')
a = parser.parse_args()
ROWS = 20000


def draws():
    """Words by rank, ROWS documents at a time: a word of rank r comes up with a share of 1 / r."""
    random = numpy.random.default_rng(1)
    ends = numpy.cumsum(1 / numpy.arange(1, a.words + 1))
    for first in range(0, a.documents, ROWS):
        rows = min(ROWS, a.documents - first)
        yield first, numpy.searchsorted(ends, random.random((rows, a.length)) * ends[-1])


def make(documents, queries):
    if documents.exists():
        return
    part = documents.with_suffix('.part')
    with open(part, 'w') as out:
        for first, ranks in draws():
            out.writelines(f'{first + i}\tw{" w".join(map(str, row))}\n' for i, row in enumerate(ranks.tolist()))
    random = numpy.random.default_rng(2)
    ranks = numpy.exp(random.uniform(numpy.log(10), numpy.log(min(100000, a.words)), (a.queries, 3))).astype(int)
    queries.write_text(''.join(f'{i}\t{" ".join(f"w{rank}" for rank in row)}\n' for i, row in enumerate(ranks.tolist())))
    part.rename(documents)


def run(*arguments):
    """Seconds and most resident memory of the program, and what it told."""
    begun = time.perf_counter()
    done = subprocess.run([str(a.program), '--threads', '1', *map(str, arguments)], check=True, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    return time.perf_counter() - begun, done.stdout + done.stderr


def ours(index, queries, out):
    """queries/s, as the program says: its index is open by then"""
    _, told = run('prf', 'search', index, '--queries', queries, '--out', out)
    rate, unit = re.search(r'quer(?:y|ies), ([\d.]+) ?([kM]?) queries/s', told).groups()
    return float(rate) * {'': 1, 'k': 1e3, 'M': 1e6}[unit]


class Bm25s:
    def __init__(self, queries):
        import bm25s

        ids = numpy.concatenate([ranks for _, ranks in draws()])
        self.retriever = bm25s.BM25(k1=1.2, b=0.75, method='lucene')
        begun = time.perf_counter()
        self.retriever.index((ids.tolist(), {str(i): i for i in range(a.words)}), show_progress=False)
        self.seconds = time.perf_counter() - begun
        self.queries = [[word[1:] for word in line.split('\t')[1].split()] for line in queries.read_text().splitlines()]

    def rate(self):
        begun = time.perf_counter()
        self.found, _ = self.retriever.retrieve(self.queries, k=1000, show_progress=False, n_threads=0)
        return len(self.queries) / (time.perf_counter() - begun)


def main():
    a.out.mkdir(parents=True, exist_ok=True)
    documents, queries, index, ranking = (a.out / name for name in ('docs.tsv', 'queries.tsv', 'index', 'ours.run'))
    make(documents, queries)
    print(f'{a.documents} documents of {a.length} words: {documents.stat().st_size / 1e6:.0f} MB of text', flush=True)
    seconds, told = run('--quiet', 'prf', 'index', documents, '--out', index, '--force')
    size = sum(file.stat().st_size for file in index.iterdir())
    print(told.strip())
    print(f'prf index: {seconds:.0f} s, peak memory {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3:.0f} MB, '
          f'{size / 1e6:.0f} MB on disk', flush=True)
    theirs = None if a.skip_bm25s else Bm25s(queries)
    if theirs:
        print(f'bm25s: {theirs.seconds:.0f} s of ids, peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3:.0f} MB',
              flush=True)
    rates = {'ours': []}
    for _ in range(a.repeat):
        rates['ours'].append(ours(index, queries, ranking))
        if theirs:
            rates.setdefault('bm25s', []).append(theirs.rate())
            rates.setdefault('ours / bm25s', []).append(rates['ours'][-1] / rates['bm25s'][-1])
    for name, values in rates.items():
        unit = '' if '/' in name else ' queries/s'
        print(f'{name:14} {statistics.median(values):10.2f}{unit}   {min(values):.2f} to {max(values):.2f}')
    if theirs:
        first = {}
        for line in ranking.read_text().splitlines():
            query, _, document, rank, *_ = line.split()
            if int(rank) <= 10:
                first.setdefault(int(query), set()).add(int(document))
        shared = [len(first[q] & set(map(int, theirs.found[q][:10]))) / 10 for q in first]
        print(f'of the first 10 documents, both have {statistics.mean(shared):.3f}')


main()
