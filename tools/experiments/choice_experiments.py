#!/usr/bin/env python3
"""Closed-set choice by a language model that was not tuned: which of 20 films did a viewer like next?

    python3 tools/experiments/choice_experiments.py --root DIR       ratings.dat and movies.dat of MovieLens-1M, packed or not

First run `interplay fetch smollm2-135m`. For each of --users viewers, drawn by seed: the last 10 liked films are told, then
20 candidates behind the letters A to T, of which one is the film liked next and 19 are drawn from those that the viewer
never rated; `interplay lm generate --choices` gives the log-probability of each letter. The same candidates come in
--shuffles orders. A letter is answered for its place as much as for its film: averaged over orders, that cancels out.

Tables: how often the film liked next is chosen, its reciprocal rank, with one order and with the mean over all, and how
unevenly letters are chosen (the share of the most chosen letter, and the entropy against that of 20 equal ones); 95% intervals
over viewers. Finished parts are kept below --out. Tables go to standard output and, as Markdown, to choice.md there.
"""
import argparse
import collections
import json
import math
import pathlib
import random

import lab as laboratory
from lab import Lab, Report, lines_of, say

LETTERS = 'ABCDEFGHIJKLMNOPQRST'
QUESTION = ('A viewer liked these films, the latest last:\n{history}\n\nWhich of the following films will the viewer like '
            'next?\n{candidates}\n\nAnswer with one letter.')


def films(root):
    titles = {}
    for line in lines_of(root, 'movies.dat'):
        film, title, _ = line.decode('latin1').split('::', 2)
        titles[int(film)] = title
    return titles


def viewers(root):
    """What each rated, and what they liked in the order of time; those with a time and 11 liked films."""
    rated, liked = collections.defaultdict(set), collections.defaultdict(list)
    for line in lines_of(root, 'ratings.dat'):
        user, film, rating, when = map(int, line.split(b'::'))
        rated[user].add(film)
        if rating > 3 and when > 0:
            liked[user].append((when, film))
    return {user: (rated[user], [film for _, film in sorted(events)]) for user, events in liked.items() if len(events) > 10}


def questions(arguments):
    """For each viewer and order: the films behind the letters, the one liked next, and the prompt."""
    titles, all_viewers, draw = films(arguments.root), viewers(arguments.root), random.Random(arguments.seed)
    out = []
    for user in draw.sample(sorted(all_viewers), arguments.users):
        rated, liked = all_viewers[user]
        others = draw.sample(sorted(set(titles) - rated), len(LETTERS) - 1)
        history = '\n'.join(titles[film] for film in liked[-11:-1])
        for order in range(arguments.shuffles):
            candidates = draw.sample([liked[-1], *others], len(LETTERS))
            listed = '\n'.join(f'{letter}. {titles[film]}' for letter, film in zip(LETTERS, candidates))
            out.append({'user': user, 'order': order, 'candidates': candidates, 'next': liked[-1],
                        'messages': [{'role': 'user', 'content': QUESTION.format(history=history, candidates=listed)}]})
    return out


def answers(lab, arguments, asked):
    """Log-probability of each letter, of each question."""
    prompts, out = lab.out / 'prompts.jsonl', lab.out / 'answers.jsonl'
    if not out.exists():
        prompts.write_text(''.join(json.dumps({'messages': one['messages']}) + '\n' for one in asked))
        say(f'ask {len(asked)} questions')
        lab.interplay('lm', 'generate', arguments.lm, '--prompt-file', prompts, '--chat', '--choices', ','.join(LETTERS), '--out', out)
    return [json.loads(line)['log_p'] for line in out.read_text().splitlines()]


def mean_interval(values):
    mean = sum(values) / len(values)
    error = math.sqrt(sum((v - mean) ** 2 for v in values) / (len(values) - 1) / len(values))
    return f'{mean:.3f} ({mean - 1.96 * error:.3f} to {mean + 1.96 * error:.3f})'


def rank_of(scores, wanted):
    """1 is the best; of equal ones, the middle."""
    own = scores[wanted]
    return 1 + sum(s > own for s in scores.values()) + sum(s == own for s in scores.values()) / 2 - .5


def unevenness(letters):
    shares = [letters.count(letter) / len(letters) for letter in LETTERS]
    entropy = sum(s * math.log(1 / s) for s in shares if s)
    most = max(range(len(LETTERS)), key=shares.__getitem__)
    return f'{shares[most]:.2f} ({LETTERS[most]})', f'{entropy:.2f} of {math.log(len(LETTERS)):.2f}'


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    laboratory.add_arguments(parser, 'choice')
    parser.set_defaults(threads=2)
    parser.add_argument('--root', type=pathlib.Path, required=True, help='folder of the raw files')
    parser.add_argument('--lm', default='smollm2-135m', help='language model: a fetched name or a path')
    parser.add_argument('--users', type=int, default=200)
    parser.add_argument('--shuffles', type=int, default=5)
    parser.add_argument('--seed', type=int, default=1)
    arguments = parser.parse_args()
    arguments.root = arguments.root.resolve()
    arguments.out = arguments.out / f'{pathlib.Path(arguments.lm).name}-{arguments.users}-{arguments.shuffles}-{arguments.seed}'
    lab = Lab(arguments)
    asked = questions(arguments)
    of_user = collections.defaultdict(list)
    for one, log_p in zip(asked, answers(lab, arguments, asked), strict=True):
        of_user[one['user']].append((one, log_p))
    one_order, mean, chosen, chosen_mean = [], [], [], []
    for orders in of_user.values():
        first, log_p = orders[0]
        one_order.append(rank_of(dict(zip(first['candidates'], log_p)), first['next']))
        total = collections.Counter()
        for one, log_p in orders:
            total.update(dict(zip(one['candidates'], log_p)))
            chosen.append(LETTERS[max(range(len(LETTERS)), key=log_p.__getitem__)])
        mean.append(rank_of(total, first['next']))
        best = max(total, key=total.__getitem__)
        chosen_mean.extend(LETTERS[one['candidates'].index(best)] for one, _ in orders)  # where it stood
    report = Report(lab, 'choice')
    report.text(f'{arguments.users} viewers, {len(LETTERS)} candidates, {arguments.shuffles} orders; by chance 1 of '
                f'{len(LETTERS)} is right ({1 / len(LETTERS):.3f}), the mean reciprocal rank '
                f'{sum(1 / r for r in range(1, 21)) / 20:.3f}.')
    rows = [['', 'chosen', 'reciprocal rank', 'most chosen letter', 'entropy of the letters']]
    for name, ranks, letters in (('one order', one_order, chosen), ('mean over orders', mean, chosen_mean)):
        rows.append([name, mean_interval([float(r == 1) for r in ranks]), mean_interval([1 / r for r in ranks]),
                     *unevenness(letters)])
    report.table(rows)
    report.write()


if __name__ == '__main__':
    main()
