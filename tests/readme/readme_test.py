"""Runs README.md: its files are written, its commands run, in order, in a scratch folder.

    readme_test.py README SCRATCH PACKAGE      PACKAGE: where Interplay is installed

A fenced block whose info string has a second word, as in "```cpp main.cpp", is the file of that name. Blocks of
language `sh` are run by bash, one shell a block; lines that begin with `bash tools/` are left out, since they are what
runs this test. Before the first block SCRATCH gets configs/ and, under the names that the README uses, made-up data of
MovieLens' shape: figures differ from those printed in the README, nothing else may. A block of language `text` shows
what the block of `sh` before it prints: every word of its lines but numbers has to be there.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys

NUMBER = re.compile(r'[-+]?[\d.,]*\d[\d.,]*(e[-+]?\d+)?[kMG%]?')


def blocks(text):
    for match in re.finditer(r'^```(\w+)(?: (\S+))?\n(.*?)^```$', text, re.M | re.S):
        yield match.group(1), match.group(2), match.group(3)


def words(line):
    return {word for word in re.split(r'[\s=:,()\[\]/]+', NUMBER.sub(' ', line)) if len(word) > 2 and word.isalpha()}


def main(readme, scratch, package):
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    found = list(blocks(readme.read_text()))
    for language, name, body in found:
        if name:
            (scratch / name).parent.mkdir(parents=True, exist_ok=True)
            (scratch / name).write_text(body)
    shutil.copytree(readme.parent / 'configs', scratch / 'configs')
    environment = dict(os.environ, PATH=f'{package}/bin:{os.environ["PATH"]}', PACKAGE=str(package))
    run = lambda script: subprocess.run(['bash', '-euo', 'pipefail', '-c', script], cwd=scratch, env=environment,
                                        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    setup = run('interplay synth movielens --rows 6000 --out data/ml-100k')
    assert setup.returncode == 0, setup.stdout
    printed, ran, compared = '', 0, 0
    for language, name, body in found:
        if language == 'sh':
            script = '\n'.join(line for line in body.splitlines() if not line.startswith('bash tools/'))
            result = run(script)
            print(f'--- {script}\n{result.stdout}')
            if result.returncode:
                sys.exit(f'README: status {result.returncode} of\n{script}')
            printed, ran = result.stdout, ran + 1
        elif language == 'text':
            for line in body.splitlines():
                missing = words(line) - words(printed)
                if missing:
                    sys.exit(f'README: prints no {sorted(missing)}, though it says\n{line}')
            compared += 1
    if not ran or not compared:
        sys.exit('README: no command was run, or no output compared')
    shutil.rmtree(scratch)


if __name__ == '__main__':
    main(*map(pathlib.Path, sys.argv[1:]))
