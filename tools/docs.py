#!/usr/bin/env python3
"""Keeps the tables of keys in README.md and docs/ as the program's declarations have them.

    python3 tools/docs.py [--check] [PROGRAM]      PROGRAM: build/bin/interplay by default

Between `<!-- interplay help TOPIC -->` or `<!-- interplay models [--of KIND] -->` and `<!-- end -->` stands what that
command prints, as tables; `help TOPIC # WORDS` takes only the parts whose description has these words. Without --check,
stale pages are rewritten; with it they are named, and the status is 1.
"""
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
BLOCK = re.compile(r'(<!-- interplay ((?:help|models)[^>]*?) -->\n)(.*?)(<!-- end -->)', re.S)


def table(heads, rows):
    cell = lambda text: text.replace('|', '\\|').replace('\n', ' ')
    lines = ['| ' + ' | '.join(heads) + ' |', '|' + '---|' * len(heads)]
    return '\n'.join(lines + ['| ' + ' | '.join(map(cell, row)) + ' |' for row in rows]) + '\n'


def option_row(option):
    what = option['doc'] + (f' ({option["limits"]})' if option['limits'] else '')
    if 'when' in option:
        what += f'; with `{option["when"]}`'
    default = option['default']
    return [f'`{option["name"]}`', option['type'], f'`{default}`' if default not in ('', '""', '~', '[]') else '', what]


def generated(program, command):
    command, _, words = command.partition(' # ')
    out = json.loads(subprocess.run([program, *command.split(), '--json'], check=True, stdout=subprocess.PIPE).stdout)
    if command.startswith('models'):
        return table(['name', 'what it is'], [[f'`{entry["name"]}`', entry['doc']] for entry in out])
    out = [part for part in out if words in part['doc']]
    parts = []
    for part in out:
        options = table(['key', 'type', 'default', 'what it is'], map(option_row, part['options']))
        heading = f'`{part["name"]}`: {part["doc"]}' if len(out) > 1 else ''
        parts.append((heading + '\n' if heading else '') + ('\n' * bool(heading) + options if part['options'] else ''))
    return '\n'.join(parts)


def main(arguments):
    check = '--check' in arguments
    rest = [a for a in arguments if a != '--check']
    program = str(pathlib.Path(rest[0] if rest else ROOT / 'build/bin/interplay').resolve())
    stale = []
    for page in [ROOT / 'README.md', *sorted((ROOT / 'docs').glob('*.md'))]:
        text = page.read_text()
        fresh = BLOCK.sub(lambda m: m.group(1) + generated(program, m.group(2)) + m.group(4), text)
        if fresh == text:
            continue
        stale.append(str(page.relative_to(ROOT)))
        if not check:
            page.write_text(fresh)
    for page in stale:
        print(f'{page}: {"its tables of keys are not what the program says; run `python3 tools/docs.py`" if check else "rewritten"}')
    return 1 if check and stale else 0


if __name__ == '__main__':
    sys.exit(main(sys.argv[1:]))
