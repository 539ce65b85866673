"""For checks.sh: prints the changed lines of sources as clang-tidy's --line-filter has them, and makes a compilation
database one for clang, without what GCC alone understands.

    changed_lines.py COMPILE_COMMANDS SINCE SOURCE...
"""
import json
import re
import subprocess
import sys

GCC_ALONE = re.compile(r'-Winvalid-pch|-Wno-restrict|-Werror\b|-include \S*cmake_pch\.hxx')


def main(database, since, *files):
    entries = json.load(open(database))
    for entry in entries:
        command = GCC_ALONE.sub('', entry['command'])
        entry['command'] = 'clang++ ' + command[command.index('c++ ') + 4:]
    json.dump(entries, open(database, 'w'))
    changed = []
    for file in files:
        diff = subprocess.run(['git', 'diff', '-U0', since, '--', file], check=True, capture_output=True, text=True).stdout
        hunks = re.findall(r'^@@ -\S+ \+(\d+)(?:,(\d+))? @@', diff, re.M)
        ranges = [[int(first), int(first) + int(count or 1) - 1] for first, count in hunks if count != '0']
        if ranges:
            changed.append({'name': file, 'lines': ranges})
    print(json.dumps(changed))


if __name__ == '__main__':
    main(*sys.argv[1:])
