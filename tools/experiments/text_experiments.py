#!/usr/bin/env python3
"""What vectors of texts tell of new items, on data of `interplay synth texts`: one model with and without them.

    python3 tools/experiments/text_experiments.py                       3 seeds, about 5 minutes of one core
    python3 tools/experiments/text_experiments.py --encoder minilm-l6   a fetched encoder of the titles, or none: `--encoder ''`

Every row of test is of an item that no training row has. Each seed has data of its own; vectors are those that the
generator knows (the directions of an item's topics, blurred) and those that an encoder makes of the titles. Everything is
kept below --out: what is finished there is not run again. Tables go to standard output and, as Markdown, to OUT/texts.md.
"""
import argparse
import re

import lab as laboratory
from lab import ROOT, Report, interval, spread

CONFIG = ROOT / 'configs' / 'planted' / 'texts.yaml'


class TextLab(laboratory.Lab):
    def data(self, seed, rows):
        raw, prepared = self.out / 'raw' / str(seed), self.out / 'data' / str(seed)
        if not raw.exists():
            raw.parent.mkdir(exist_ok=True)
            self.interplay('synth', 'texts', '--rows', rows, '--seed', seed, '--out', raw)
        if not prepared.exists():
            prepared.parent.mkdir(exist_ok=True)
            self.interplay('prepare', raw / 'data.yaml', '--out', prepared)
        return raw, prepared

    def embed(self, seed, raw, encoder):
        out = self.out / 'vectors' / f'{encoder}-{seed}.parquet'
        if not out.exists():
            out.parent.mkdir(exist_ok=True)
            self.interplay('lm', 'embed', encoder, raw / 'items.csv', '--column', 'title', '--key', 'item', '--out', out,
                           '--cache', self.out / 'cache')
        return out


def augment(file, hidden='[64]'):
    return {'fields__augment': f'[{{name: text_vectors, from: "{file}", fields: [item], hidden: {hidden}}}]'}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    laboratory.add_arguments(parser, 'texts')
    parser.add_argument('--rows', type=int, default=40000)
    parser.add_argument('--encoder', default='minilm-l6')
    arguments = parser.parse_args()
    lab, report = TextLab(arguments), Report(TextLab(arguments), 'texts')
    columns = {}
    for seed in arguments.seeds or (1, 2, 3):
        raw, data = lab.data(seed, arguments.rows)
        oracle = float(re.search(r'auc: ([\d.]+)', (raw / 'truth.yaml').read_text()).group(1))
        given = raw / 'vectors.parquet'
        kinds = {'ids alone': {}, 'text_vectors, of the generator': augment(given),
                 'text_vectors, linear': augment(given, '[]'),
                 'pretrained, mode: concat': {'fields__pretrained': f'{{item: {{from: "{given}", mode: concat}}}}'},
                 'pretrained, mode: frozen': {'fields__pretrained': f'{{item: {{from: "{given}", mode: frozen}}}}'}}
        if arguments.encoder:
            kinds[f'text_vectors, titles by {arguments.encoder}'] = augment(lab.embed(seed, raw, arguments.encoder))
        for kind, keys in kinds.items():
            tag = re.sub(r'\W+', '-', kind)
            run = lab.train(f'{tag}-{seed}', CONFIG, data, seed, **keys)
            columns.setdefault(kind, []).append(run.auc)
        columns.setdefault('what is known without the noise', []).append(oracle)
    plain = columns['ids alone']
    rows = [['item', 'AUC, new items', 'less ids alone, 95% over seeds']]
    for kind, auc in columns.items():
        rows.append([kind, spread(auc), '' if auc is plain else interval([a - b for a, b in zip(auc, plain)])])
    report.table(rows)
    report.write()


if __name__ == '__main__':
    main()
