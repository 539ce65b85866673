#!/usr/bin/env python3
"""Tasks for `interplay lm tune` from raw files: OUT/TASK/{train,valid,test}.jsonl and OUT/tasks.yaml, which lists them.

    python3 tools/recfound_tasks.py --ml-1m DIR [--amazon DIR] [--scifact DIR] --out OUT

--ml-1m: GroupLens' files (ratings.dat, users.dat, movies.dat), also packed (.gz). Users are dealt to train, valid and test,
and so are films where a task is of films alone; whoever rated no time is left out.

  u2i    embedding   films that someone liked -> the next one they liked, among 19 others of its genre
  i2i    embedding   a film someone liked -> the next one they liked, likewise
  q2i    embedding   "Drama from the 1990s" -> such a film, among others of the genre or of the decade
  sr     generation  films that someone liked, and 20 more with letters A to T -> the letter of the next one they liked
  like   generation  films with ratings, and one more -> whether it was liked: yes, no
  genre  generation  a film's title -> its first genre
  taste  generation  films that someone liked -> the genre that most of what they liked is of

--amazon: folders abt_buy (abt.csv, buy.csv, mapping.csv) and qa_appliances (qa.jsonl), also packed.

  pm     generation  two products of two shops -> whether they are one: yes, no; the others are those with most words in common
  ap     generation  a question and what was replied -> whether the reply says yes or no at all: yes, no

--scifact: docs.jsonl, queries.tsv, qrels.tsv, and train_queries.tsv and train_qrels.tsv; valid is a part of train.

  claim  embedding   a claim -> the abstract it is cited with, among others with most words in common
"""
import argparse
import collections
import csv
import gzip
import io
import json
import math
import pathlib
import random
import re

LETTERS = 'ABCDEFGHIJKLMNOPQRST'
SHARES = (('train', 0.8), ('valid', 0.1), ('test', 0.1))
HISTORY = 10  # films that are told
NEGATIVES = 19


def opened(folder, name, encoding='utf-8'):
    for file, how in ((folder / name, open), (folder / f'{name}.gz', gzip.open)):
        if file.exists():
            with how(file, 'rb') as raw:
                return io.StringIO(raw.read().decode(encoding))
    raise SystemExit(f'{folder / name}: is not there, nor packed as {name}.gz')


def split_of(key, seed):
    """train, valid or test: the same for a key in every task."""
    draw = random.Random(f'{seed} {key}').random()
    for name, share in SHARES:
        if draw < share:
            return name
        draw -= share
    return 'test'


class Films:
    """MovieLens-1M as users' films in time."""

    def __init__(self, folder, seed):
        self.seed = seed
        self.title, self.genre, self.decade = {}, {}, {}
        for line in opened(folder, 'movies.dat', 'latin-1'):
            film, title, genres = line.rstrip('\n').split('::')
            year = re.search(r'\((\d{4})\)\s*$', title)
            self.title[film] = title.strip()
            self.genre[film] = genres.split('|')[0]
            self.decade[film] = f'{int(year[1]) // 10 * 10}s' if year else None
        self.films = sorted(self.title, key=int)
        self.of_genre = collections.defaultdict(list)
        for film in self.films:
            self.of_genre[self.genre[film]].append(film)
        self.users = collections.defaultdict(list)
        for line in opened(folder, 'ratings.dat'):
            user, film, rating, time = line.rstrip('\n').split('::')
            if int(time) > 0 and film in self.title:
                self.users[user].append((int(time), int(film), int(rating)))
        for events in self.users.values():
            events.sort()

    def others(self, film, seen, draw, count=NEGATIVES):
        """Films of the same genre that someone did not see, and where there are too few, any."""
        same = [other for other in self.of_genre[self.genre[film]] if other != film and other not in seen]
        picked = draw.sample(same, min(count, len(same)))
        while len(picked) < count:
            other = draw.choice(self.films)
            if other != film and other not in seen and other not in picked:
                picked.append(other)
        return picked

    def liked(self, user):
        return [str(film) for _, film, rating in self.users[user] if rating >= 4]

    def cases(self, draw):
        """(split, user, films liked before, the next one, all seen): one of each user, drawn."""
        for user in draw.sample(sorted(self.users, key=int), len(self.users)):
            liked = self.liked(user)
            if len(liked) <= HISTORY:
                continue
            at = draw.randrange(HISTORY, len(liked))
            seen = {str(film) for _, film, _ in self.users[user]}
            yield split_of(f'user {user}', self.seed), user, liked[at - HISTORY:at], liked[at], seen

    def lines(self, films):
        return '\n'.join(self.title[film] for film in films)

    def u2i(self, draw):
        for split, _, before, film, seen in self.cases(draw):
            yield split, {'query': self.lines(before), 'positive': self.title[film],
                          'negatives': [self.title[other] for other in self.others(film, seen, draw)]}

    def i2i(self, draw):
        for split, _, before, film, seen in self.cases(draw):
            yield split, {'query': self.title[before[-1]], 'positive': self.title[film],
                          'negatives': [self.title[other] for other in self.others(film, seen, draw)]}

    def q2i(self, draw):
        for film in draw.sample(self.films, len(self.films)):
            if not self.decade[film]:
                continue
            genre, decade = self.genre[film], self.decade[film]
            near = [other for other in self.films if self.decade[other] and
                    (self.genre[other] == genre) != (self.decade[other] == decade)]
            yield split_of(f'film {film}', self.seed), {
                'query': f'{genre} from the {decade}', 'positive': self.title[film],
                'negatives': [self.title[other] for other in draw.sample(near, min(NEGATIVES, len(near)))]}

    def sr(self, draw):
        for split, _, before, film, seen in self.cases(draw):
            options = self.others(film, seen, draw) + [film]
            draw.shuffle(options)
            told = '\n'.join(f'{letter}. {self.title[option]}' for letter, option in zip(LETTERS, options))
            yield split, {'prompt': f'Liked, oldest first:\n{self.lines(before)}\n\nWhich is liked next?\n{told}',
                          'answer': LETTERS[options.index(film)]}

    def like(self, draw):
        for user in draw.sample(sorted(self.users, key=int), len(self.users)):
            events = self.users[user]
            if len(events) <= HISTORY:
                continue
            at = draw.randrange(HISTORY, len(events))
            told = '\n'.join(f'{self.title[str(film)]}: {rating} of 5' for _, film, rating in events[at - HISTORY:at])
            yield split_of(f'user {user}', self.seed), {
                'prompt': f'Rated, oldest first:\n{told}\n\nNext: {self.title[str(events[at][1])]}',
                'answer': 'yes' if events[at][2] >= 4 else 'no'}

    def genre_of(self, draw):
        for film in draw.sample(self.films, len(self.films)):
            yield split_of(f'film {film}', self.seed), {'prompt': self.title[film], 'answer': self.genre[film]}

    def taste(self, draw):
        for split, user, before, _, _ in self.cases(draw):
            counts = collections.Counter(self.genre[film] for film in self.liked(user))
            best, often = counts.most_common(1)[0]
            if sum(count == often for count in counts.values()) == 1:
                yield split, {'prompt': self.lines(before), 'answer': best}

    def tasks(self):
        genres = sorted(self.of_genre)
        embedding = {'family': 'embedding', 'passage_instruction': 'A film.', 'passage_tokens': 32}
        return {
            'u2i': (self.u2i, {**embedding, 'instruction': 'Films that someone liked, oldest first. Find what they like next.',
                               'metrics': ['mrr@20', 'ndcg@20', 'recall@1'], 'max_tokens': 160}),
            'i2i': (self.i2i, {**embedding, 'instruction': 'A film that someone liked. Find what they like, too.',
                               'metrics': ['ndcg@20', 'mrr@20', 'recall@1'], 'max_tokens': 32}),
            'q2i': (self.q2i, {**embedding, 'instruction': 'Find a film of this genre and decade.',
                               'metrics': ['mrr@20', 'ndcg@20', 'recall@1'], 'max_tokens': 32}),
            'sr': (self.sr, {'family': 'generation', 'instruction': 'Answer with one letter.', 'answers': list(LETTERS),
                             'metrics': ['accuracy'], 'max_tokens': 480, 'answer_tokens': 4}),
            'like': (self.like, {'family': 'generation', 'instruction': 'Will they rate the next film 4 or more? Answer yes or no.',
                                 'answers': ['yes', 'no'], 'metrics': ['accuracy', 'macro_f1'], 'max_tokens': 240,
                                 'answer_tokens': 4}),
            'genre': (self.genre_of, {'family': 'generation', 'instruction': 'Name the genre of the film.', 'answers': genres,
                                      'metrics': ['accuracy', 'macro_f1', 'substring'], 'max_tokens': 32, 'answer_tokens': 8}),
            'taste': (self.taste, {'family': 'generation', 'answers': genres, 'metrics': ['accuracy', 'macro_f1'],
                                   'instruction': 'Films that someone liked. Name the genre that they like most.',
                                   'max_tokens': 160, 'answer_tokens': 8}),
        }


def words_of(text):
    return set(re.findall(r'[a-z0-9]+', text.lower()))


class Alike:
    """Texts by the words they have in common, rare ones counting more."""

    def __init__(self, texts):
        self.words = [words_of(text) for text in texts]
        self.texts_with = collections.defaultdict(list)
        for i, words in enumerate(self.words):
            for word in words:
                self.texts_with[word].append(i)

    def nearest(self, text, count, leave_out):
        score = collections.Counter()
        for word in words_of(text):
            found = self.texts_with.get(word, ())
            for i in found if len(found) < len(self.words) / 10 else ():
                score[i] += math.log(len(self.words) / len(found))
        return [i for i, _ in sorted(score.items(), key=lambda item: (-item[1], item[0])) if i not in leave_out][:count]


def products(folder, seed):
    def shop(name):
        rows = csv.DictReader(opened(folder, f'{name}.csv'))
        return {row['id']: ' '.join(f'{row["name"]}. {row["description"]}'.split()) for row in rows}

    abt, buy = shop('abt'), shop('buy')
    pairs = collections.defaultdict(set)
    for row in csv.DictReader(opened(folder, 'mapping.csv')):
        pairs[row['idAbt']].add(row['idBuy'])
    ids = sorted(buy)
    alike = Alike([buy[i] for i in ids])
    place = {i: at for at, i in enumerate(ids)}

    def rows(draw):
        for own in draw.sample(sorted(pairs), len(pairs)):
            same = sorted(pairs[own])[0]
            for other in [same] + [ids[i] for i in alike.nearest(abt[own], 1, {place[i] for i in pairs[own]})]:
                first, second = abt[own][:300], buy[other][:300]
                yield split_of(f'product {own}', seed), {'prompt': f'1. {first}\n2. {second}',
                                                         'answer': 'yes' if other in pairs[own] else 'no'}

    return rows, {'family': 'generation', 'instruction': 'Are these one product? Answer yes or no.', 'answers': ['yes', 'no'],
                  'metrics': ['f1', 'accuracy'], 'max_tokens': 200, 'answer_tokens': 4}


def questions(folder, seed):
    known = [json.loads(line) for line in opened(folder, 'qa.jsonl')]
    known = [row for row in known if row.get('answerType') in ('Y', 'N', '?') and row['question'].strip() and row['answer'].strip()]

    def rows(draw):
        for row in draw.sample(known, len(known)):
            yield split_of(f'asin {row["asin"]}', seed), {
                'prompt': f'Question: {row["question"].strip()[:300]}\nReply: {row["answer"].strip()[:500]}',
                'answer': 'no' if row['answerType'] == '?' else 'yes'}

    return rows, {'family': 'generation', 'instruction': 'Does the reply say yes or no to the question? Answer yes or no.',
                  'answers': ['yes', 'no'], 'metrics': ['f1', 'accuracy'], 'max_tokens': 200, 'answer_tokens': 4}


def claims(folder, seed):
    documents = {}
    for line in opened(folder, 'docs.jsonl'):
        row = json.loads(line)
        documents[row['id']] = f'{row["title"]} {row["text"]}'[:1500].strip()
    ids = sorted(documents)
    alike = Alike([documents[i] for i in ids])
    place = {i: at for at, i in enumerate(ids)}

    def table(name):
        return [line.rstrip('\n').split('\t') for line in opened(folder, name)]

    def rows(draw):
        for kind in ('train_', ''):
            cited = collections.defaultdict(list)
            for query, document, grade in table(f'{kind}qrels.tsv'):
                if int(grade) > 0:
                    cited[query].append(document)
            for query, text in table(f'{kind}queries.tsv'):
                if query not in cited:
                    continue
                near = alike.nearest(text, 2 * NEGATIVES, {place[i] for i in cited[query]})
                split = 'test' if not kind else 'valid' if split_of(f'claim {query}', seed) == 'valid' else 'train'
                yield split, {'query': text, 'positive': [documents[i] for i in cited[query]],
                              'negatives': [documents[ids[i]] for i in draw.sample(near, min(NEGATIVES, len(near)))]}

    return rows, {'family': 'embedding', 'instruction': 'A claim. Find the abstract that speaks of it.',
                  'passage_instruction': 'An abstract.', 'metrics': ['mrr@20', 'ndcg@20', 'recall@1'], 'max_tokens': 64,
                  'passage_tokens': 96}


def write(out, name, made, options, arguments):
    """The rows of a task, as many of each split as are asked for."""
    most = {'train': arguments.train, 'valid': arguments.valid, 'test': arguments.test}
    files = {split: [] for split in most}
    for split, row in made(random.Random(f'{arguments.seed} {name}')):
        if len(files[split]) < most[split]:
            files[split].append(json.dumps(row, ensure_ascii=False))
        if all(len(rows) == most[s] for s, rows in files.items()):
            break
    (out / name).mkdir(parents=True, exist_ok=True)
    for split, rows in files.items():
        (out / name / f'{split}.jsonl').write_text(''.join(f'{row}\n' for row in rows), encoding='utf-8')
    print(f'{name}: {options["family"]}, ' + ', '.join(f'{len(rows)} {split}' for split, rows in files.items()))
    lines = [f'  - name: {name}']
    lines += [f'    {split}: {name}/{split}.jsonl' for split in files]
    lines += [f'    {key}: {json.dumps(value)}' for key, value in options.items()]
    return '\n'.join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('--ml-1m', type=pathlib.Path, metavar='DIR')
    parser.add_argument('--amazon', type=pathlib.Path, metavar='DIR')
    parser.add_argument('--scifact', type=pathlib.Path, metavar='DIR')
    parser.add_argument('--out', type=pathlib.Path, required=True)
    parser.add_argument('--train', type=int, default=4000, help='rows of a task at most')
    parser.add_argument('--valid', type=int, default=200, help='likewise')
    parser.add_argument('--test', type=int, default=300, help='likewise')
    parser.add_argument('--seed', type=int, default=1)
    arguments = parser.parse_args()
    tasks = {}
    if arguments.ml_1m:
        tasks |= Films(arguments.ml_1m, arguments.seed).tasks()
    if arguments.amazon:
        tasks['pm'] = products(arguments.amazon / 'abt_buy', arguments.seed)
        tasks['ap'] = questions(arguments.amazon / 'qa_appliances', arguments.seed)
    if arguments.scifact:
        tasks['claim'] = claims(arguments.scifact, arguments.seed)
    if not tasks:
        parser.error('name --ml-1m, --amazon or --scifact')
    listed = [write(arguments.out, name, *task, arguments) for name, task in tasks.items()]
    (arguments.out / 'tasks.yaml').write_text('# Made by tools/recfound_tasks.py; `interplay help tune` has every key.\ntasks:\n' +
                                              '\n'.join(listed) + '\n', encoding='utf-8')


if __name__ == '__main__':
    main()
