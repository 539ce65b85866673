"""Runs README.md and docs/*.md: their files are written, their commands run, in order, in one scratch folder.

    readme_test.py ROOT SCRATCH PACKAGE      PACKAGE: where Interplay is installed

Pages come in the order in which README.md links them, each after what the pages before it have made; a page that it does
not link is an error, as is a link to a file that is not there.

A fenced block whose info string has a second word, as in "```cpp main.cpp", is the file of that name. Blocks of
language `sh` are run by bash, one shell a block; lines that begin with `bash tools/` or `python3 tools/` are left out:
they want a clone. Before the first block SCRATCH gets configs/ and, under the names that the pages use, made-up data of
MovieLens', BookCrossing's and Cranfield's shape and a log of clicks: figures differ from those printed in the pages, nothing else may.
To save time configs have two epochs at most, and programs are compiled at -O1. A block of language `text` shows what the
block of `sh` before it prints: every word of its lines but numbers has to be there.
"""
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys
import time

NUMBER = re.compile(r'[-+]?[\d.,]*\d[\d.,]*(e[-+]?\d+)?[kMG%]?')


def blocks(text):
    for match in re.finditer(r'^```(\w+)(?: (\S+))?\n(.*?)^```$', text, re.M | re.S):
        yield match.group(1), match.group(2), match.group(3)


def words(line):
    return {word for word in re.split(r'[\s=:,()\[\]/]+', NUMBER.sub(' ', line)) if len(word) > 2 and word.isalpha()}


def links(page):
    """Local files that a page links, as paths."""
    text = re.sub(r'^```.*?^```$', '', page.read_text(), flags=re.M | re.S)
    for target in re.findall(r'\]\(([^)#\s]+)(?:#[^)]*)?\)', text):
        if '://' not in target and not target.startswith('mailto:'):
            yield (page.parent / target).resolve()


def pages(root):
    readme = root / 'README.md'
    docs = sorted((root / 'docs').glob('*.md'))
    for page in [*sorted(root.glob('*.md')), *docs]:
        for target in links(page):
            if not target.exists():
                sys.exit(f'{page.relative_to(root)}: links {target}, which is not there')
    linked = list(dict.fromkeys(target for target in links(readme) if target in docs))
    for page in docs:
        if page not in linked:
            sys.exit(f'README.md: does not link docs/{page.name}')
    return [readme, *linked]


def write_clicks(file, rows, first_day=0):
    """A log that any model can learn something from: each user likes a third of the items."""
    draw = random.Random(rows + first_day)
    lines = ['time,user,item,city,price,tags,click']
    for i in range(rows):
        user, item = draw.randrange(60), draw.randrange(90)
        click = int(draw.random() < ((user + item) % 3 + 1) / 5)
        lines.append(f'{first_day * 100000 + i},u{user},i{item},c{user % 4},{draw.random() * 90:.2f},'
                     f't{item % 5}|t{item % 7},{click}')
    file.write_text('\n'.join(lines) + '\n')


def write_texts(scratch):
    """A few ratings in the files of MovieLens-1M and of BookCrossing."""
    words = 'quiet harbour silly summer night grey train letter garden river'.split()
    title = lambda i: f'{words[i % 10]} {words[i // 10 % 10]} {words[i * 7 % 10]}'.title()
    rate = lambda i, high, low: high if i % 2 else low
    films, books = scratch / 'data' / 'ml-1m', scratch / 'data' / 'bookcrossing'
    films.mkdir(), books.mkdir()
    write = lambda file, lines: file.write_text(''.join(line + '\n' for line in lines))
    write(films / 'users.dat', [f'{u}::{"FM"[u % 2]}::{(1, 18, 25)[u % 3]}::{u % 21}::{10000 + u}' for u in range(1, 21)])
    write(films / 'movies.dat', [f'{m}::{title(m)} (19{50 + m})::Drama|Comedy' for m in range(1, 31)])
    user = lambda i: 1 if i < 48 else i % 8 + 1  # one with a long history
    write(films / 'ratings.dat', [f'{user(i)}::{i * 7 % 30 + 1}::{rate(i, 5, 2)}::{1000 + i}' for i in range(128)])
    write(books / 'users.tsv', ['user\tcity\tstate\tcountry\tage'] +
          [f'{u}\ttown\tohio\tusa\t{20 + u if u % 3 else ""}' for u in range(1, 21)])
    write(books / 'books.tsv', ['isbn\ttitle\tauthor\tyear\tpublisher'] +
          [f'{b:010}\t{title(b)}\tA. Writer\t{1950 + b}\tPress' for b in range(1, 31)])
    write(books / 'ratings.tsv', ['user\tisbn\trating'] +
          [f'{i % 20 + 1}\t{i * 7 % 30 + 1:010}\t{rate(i // 3, 9, 5)}' for i in range(80)])


def write_collection(folder):
    """Documents, queries and judgements in the form of Cranfield's; of each query's documents, half say it in other words."""
    draw = random.Random(5)
    words = [f'{a}{b}' for a in ('wing', 'flow', 'heat', 'drag', 'plate', 'shock') for b in ('', 's', 'ing', 'less', 'ward')]
    folder.mkdir()
    documents, queries, judged = [], [], []
    for q in range(15):
        topic, other = f'topic{chr(97 + q)}', f'synonym{chr(97 + q)}'
        queries.append(f'{q}\tproblems of {topic} {words[q]}')
        for d in range(8):
            said = [topic, topic, 'also', 'called', other] if d < 4 else [other, other]
            text = said + draw.choices(words, k=20)
            judged.append(f'{q}\t{len(documents)}\t{(-1, 1, 2, 3, 4)[d % 5]}')
            documents.append(f'{{"id": "{len(documents)}", "title": "{words[d]}", "text": "{" ".join(text)}"}}')
    for name, lines in (('docs.jsonl', documents), ('queries.tsv', queries), ('qrels.tsv', judged)):
        (folder / name).write_text(''.join(line + '\n' for line in lines))


def set_up(root, scratch, run):
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    shutil.copytree(root / 'configs', scratch / 'configs')
    for config in (scratch / 'configs').rglob('*.yaml'):
        fewer = lambda match: f'{match[1]}{min(2, int(match[2]))}'
        config.write_text(re.sub(r'(\bepochs: )(\d+)', fewer, config.read_text()))
    write_clicks(scratch / 'clicks.csv', 3000)
    for day, name in enumerate(['day-1', 'day-2', 'valid', 'test']):
        write_clicks(scratch / f'{name}.csv', 600, day)
    made = run('interplay synth movielens --rows 6000 --out data/ml-100k')
    assert made.returncode == 0, made.stdout
    write_texts(scratch)
    write_collection(scratch / 'data' / 'cranfield')


def follow(page, scratch, run):
    """Writes the files of a page, runs its commands; how many ran and how many outputs were compared."""
    found = list(blocks(page.read_text()))
    for language, name, body in found:
        if name:
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_text(body)
    printed, ran, compared = '', 0, 0
    for language, name, body in found:
        if language == 'sh':
            script = '\n'.join(l for l in body.splitlines() if not re.match(r'(bash|python3) tools/', l))
            script = script.replace('CMAKE_BUILD_TYPE=Release', 'CMAKE_BUILD_TYPE=Release -D CMAKE_CXX_FLAGS_RELEASE=-O1')
            begun = time.monotonic()
            result = run(script)
            print(f'--- {page.name}, {time.monotonic() - begun:.1f} s\n{script}\n{result.stdout}', flush=True)
            if result.returncode:
                sys.exit(f'{page.name}: status {result.returncode} of\n{script}')
            printed, ran = result.stdout, ran + 1
        elif language == 'text':
            for line in body.splitlines():
                missing = words(line) - words(printed)
                if missing:
                    sys.exit(f'{page.name}: prints no {sorted(missing)}, though it says\n{line}')
            compared += 1
    return ran, compared


def main(root, scratch, package):
    root = root.resolve()
    environment = dict(os.environ, PATH=f'{package}/bin:{os.environ["PATH"]}', PACKAGE=str(package))
    run = lambda script: subprocess.run(['bash', '-euo', 'pipefail', '-c', script], cwd=scratch, env=environment,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    order = pages(root)
    set_up(root, scratch, run)
    counts = [follow(page, scratch, run) for page in order]
    if not sum(ran for ran, _ in counts) or not sum(compared for _, compared in counts):
        sys.exit('no command was run, or no output compared')
    shutil.rmtree(scratch)


if __name__ == '__main__':
    main(*map(pathlib.Path, sys.argv[1:]))
