"""Pages that the program writes, opened in headless Chromium: pages_test.py PROGRAM FOLDER."""
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from browser import CHROMIUM, Page, Session

SKIPPED = 77  # as CMakeLists.txt has it
PROGRAM, FOLDER = sys.argv[1], Path(sys.argv[2])
TINY_LM = Path(__file__).resolve().parent.parent / 'reference/data/tiny_chat.gguf'

DATA = '''
format: recbole
root: raw
file: raw.inter
split: {by: user_time, user: user_id, time: timestamp, tie: item_id, ratios: [0.8, 0.1, 0.1]}
label: {name: label, column: rating, at_least: 4}
group: user_id
time: timestamp
fields:
  - columns: [user_id, item_id, gender, occupation]
  - {column: age, kind: numeric, transform: standardise}
  - {name: history, kind: history, user: user_id, item: item_id, time: timestamp, max_length: 5}
'''
FM = '''
model: {name: fm, embedding_dim: 4}
fields: {drop: [history]}
train: {epochs: 3, batch_size: 256, patience: 0, eval_every: 5}
optimizer: {embedding: {name: adam, lr: 1e-2}, dense: {name: adam, lr: 1e-2}}
'''


def interplay(*arguments, status=0):
    done = subprocess.run([PROGRAM, *map(str, arguments)], capture_output=True, text=True, cwd=FOLDER)
    assert done.returncode == status, done.stderr
    return done.stdout


def setUpModule():
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    (FOLDER / 'data.yaml').write_text(DATA)
    (FOLDER / 'fm.yaml').write_text(FM)
    interplay('synth', 'movielens', '--rows', 4000, '--out', 'raw')
    interplay('prepare', 'data.yaml', '--out', 'data')
    interplay('train', 'fm.yaml', '--data', 'data', '--out', 'run', '--threads', 1)


def figures(page):
    """What the page draws, as it carries it."""
    return json.loads(re.search(r'id="report-data">(.*?)</script>', page.html, re.S)[1])


class Pages(unittest.TestCase):
    def opened(self, file):
        page = Page(FOLDER / file)
        self.assertEqual(page.errors, [])
        self.assertTrue(page.numbers_are_finite(), file)
        self.assertNotIn('NaN', page.text)
        self.assertNotIn('undefined', page.text)
        return page

    def test_a_finished_run(self):
        page = self.opened('run/report.html')
        lines = [json.loads(line) for line in (FOLDER / 'run/metrics.jsonl').read_text().splitlines()]
        self.assertEqual(len(page.marks('Evaluations', 'tr')), 1 + len(lines))
        curve = page.marks('AUC on validation', 'polyline')[0]['points'].split()
        self.assertEqual(len(curve), len(lines))
        self.assertEqual(len({point.split(',')[0] for point in curve}), len(lines))  # each evaluation at its step
        for heading in page.cards:
            if heading.startswith(('Calibration on test', 'Predictions on test')):
                self.assertTrue(page.marks(heading, 'circle') or page.marks(heading, 'path'), heading)
        self.assertIn('Calibration on test, ECE', page.text)
        self.assertEqual(len(page.marks('Importance of fields', 'rect')), 2 * 5)  # a bar, and what shows its numbers
        self.assertNotIn('loads itself anew', page.text)
        test = json.loads((FOLDER / 'run/summary.json').read_text())['test']
        self.assertIn(f'AUC {test["auc"]:.4f} (95% interval ', page.text)
        self.assertIn(f'log loss {test["logloss"]:.4f} (95% interval ', page.text)

    def test_the_data_card(self):
        page = self.opened('run/report.html')
        rows = interplay('inspect', 'data')
        for split in figures(page)['data']['splits']:
            self.assertIn(f'{split["name"]}: {split["rows"]} rows', rows)
        self.assertEqual(len(page.marks('Fields', 'tr')) - len(figures(page)['data']['files']) - 1, 1 + 5)
        self.assertIn('UTC', page.text)

    def test_a_run_of_data_that_were_prepared_without_counts(self):
        shutil.copytree(FOLDER / 'data', FOLDER / 'older')
        (FOLDER / 'older/counts.json').unlink()
        manifest = json.loads((FOLDER / 'older/manifest.json').read_text())
        manifest['files'] = [f for f in manifest['files'] if f['file'] != 'counts.json']
        (FOLDER / 'older/manifest.json').write_text(json.dumps(manifest))
        interplay('train', 'fm.yaml', '--data', 'older', '--out', 'older-run', '--threads', 1, '--explain-seconds', 0)
        page = self.opened('older-run/report.html')
        self.assertIn('was not counted', page.text)
        self.assertNotIn('missing, train', page.text)
        self.assertIn('Not looked at. `interplay explain', page.text)

    def test_several_labels(self):
        interplay('synth', 'tasks', '--rows', 4000, '--out', 'tasks')
        interplay('prepare', 'tasks/data.yaml', '--out', 'tasks-data')
        (FOLDER / 'tasks.yaml').write_text('model: {name: shared_bottom, embedding_dim: 4}\ntrain: {epochs: 1}\n')
        interplay('train', 'tasks.yaml', '--data', 'tasks-data', '--out', 'tasks-run', '--threads', 1)
        page = self.opened('tasks-run/report.html')
        labels = [label['name'] for label in figures(page)['data']['splits'][0]['labels']]
        self.assertGreater(len(labels), 1)
        for label in labels:
            self.assertTrue([h for h in page.cards if h.startswith(f'Calibration on test, {label}')], label)

    def test_a_ranking_run(self):
        (FOLDER / 'towers.yaml').write_text(
            'model: {name: two_tower, item: item_id, output_dim: 8, hidden: [8]}\n'
            'train: {epochs: 2, batch_size: 512, metrics: [auc, recall@10], monitor: recall@10}\n')
        interplay('train', 'towers.yaml', '--data', 'data', '--out', 'towers', '--threads', 1)
        page = self.opened('towers/report.html')
        self.assertTrue(any(heading.lower().startswith('recall@10') for heading in page.cards), page.cards.keys())

    def test_a_run_that_trains_is_interrupted_or_killed(self):
        for how, status in ((signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)):
            run = FOLDER / f'live-{how}'
            training = subprocess.Popen([PROGRAM, 'train', 'fm.yaml', '--data', 'data', '--out', run, '--threads', '1',
                                         '--set', 'train.epochs=1000000', '--set', 'train.eval_every=0', '--quiet'],
                                        cwd=FOLDER, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            self.addCleanup(training.wait)
            self.addCleanup(training.kill)
            report = run / 'report.html'
            while training.poll() is None and not (report.exists() and '"doing":"training"' in report.read_text()):
                time.sleep(.1)
            shutil.copy(report, FOLDER / 'live.html')
            page = self.opened('live.html')
            self.assertRegex(page.text, r'Training: epoch [0-9\u202f]+ of 1.000.000, step ')
            self.assertIn('loads itself anew every', page.text)
            training.send_signal(how)
            self.assertEqual(training.wait(), status)
            page = self.opened(report)
            if how == signal.SIGINT:
                self.assertIn('The run was interrupted', page.text)
                self.assertNotIn('loads itself anew', page.text)
                continue
            old = re.sub(r'"written":[0-9.e+]+', f'"written":{time.time() - 180}', report.read_text())
            (FOLDER / 'killed.html').write_text(old)
            self.assertIn('Not written for 3 min', self.opened('killed.html').text)

    def test_a_page_that_loads_itself_anew_stays_where_it_was_read(self):
        finished = (FOLDER / 'run/report.html').read_text()
        progress = {'doing': 'training', 'goes_on': True, 'epoch': 1, 'epochs': 2, 'step': 1, 'steps': 9,
                    'rows_per_s': 1, 'seconds_left': 9, 'written': time.time(), 'every_s': 1}
        (FOLDER / 'open.html').write_text(finished.replace('"progress":null', f'"progress":{json.dumps(progress)}'))
        session = Session(FOLDER / 'open.html')
        self.addCleanup(session.close)

        def wait_for(expression):
            until = time.time() + 30
            while not session.value(expression):
                self.assertLess(time.time(), until, expression)
                time.sleep(.1)

        wait_for('document.readyState == "complete" && document.querySelectorAll("details").length > 0')
        session.value('scrollTo(0, 500); document.querySelectorAll("details")[1].open = true; globalThis.mark = 1')
        wait_for('globalThis.mark === undefined && document.readyState == "complete"')
        self.assertEqual(session.value('scrollY'), 500)
        self.assertEqual(session.value('[...document.querySelectorAll("details")].map(d => d.open).join()'),
                         'false,true')
        (FOLDER / 'open.html').write_text(finished)  # the run has ended
        wait_for('!document.title.includes("%")')
        session.value('globalThis.mark = 2')
        time.sleep(2.5)
        self.assertEqual(session.value('globalThis.mark'), 2)  # and is loaded no more

    def test_calibration(self):
        shutil.copytree(FOLDER / 'run', FOLDER / 'calibrated')
        interplay('calibrate', 'calibrated', '--method', 'platt', '--by', 'gender', '--min-rows', 50, '--threads', 1)
        page = self.opened('calibrated/calibration.html')
        self.assertGreater(len(page.marks('label: before and after', 'circle')), 10)

    def test_explain(self):
        interplay('explain', 'run', '--curves', '--slices', '--pairs', '--pair-rows', 20, '--row', 3, '--threads', 1,
                  '--out', 'explained')
        page = self.opened('explained/explain.html')
        self.assertEqual(len(page.marks('Log loss gained', 'rect')), 2 * 5)
        self.assertEqual(len(page.marks('age', 'polygon')), 1)

    def test_ablate(self):
        interplay('ablate', 'fm.yaml', '--data', 'data', '--out', 'ablated', '--drop', 'gender', '--seeds', '1,2',
                  '--set', 'train.epochs=1', '--threads', 1)
        page = self.opened('ablated/ablate.html')
        self.assertEqual(len(page.marks('Log loss saved', 'rect')), 2)

    def test_search(self):
        (FOLDER / 'search.yaml').write_text('model: {name: fm, embedding_dim: 4}\nfields: {drop: [history]}\n'
                                            'train: {epochs: 1, batch_size: 256}\nsearch: {name: autofis, epochs: 1}\n')
        interplay('search', 'search.yaml', '--data', 'data', '--out', 'searched', '--keep', .5, '--threads', 1)
        page = self.opened('searched/search.html')
        self.assertGreater(sum(len(page.marks(heading, 'polyline')) for heading in page.cards), 0)

    def test_check(self):
        interplay('check', 'data.yaml', '--report', 'check.html')
        page = self.opened('check.html')
        self.assertEqual(len(page.marks('Splits', 'tr')), 1 + 3)

    def test_a_graph(self):
        last = DATA.replace('user_time', 'user_last').replace(', ratios: [0.8, 0.1, 0.1]', '')
        (FOLDER / 'last.yaml').write_text(last)
        side = 'quantizer: {books: 2, codes: 6, width: 4, hidden: [8], epochs: 1}'
        (FOLDER / 'graph.yaml').write_text(f'data: last.yaml\nencoder: {TINY_LM}\ncomponents: 4\n'
                                           f'users: {{field: user_id, template: "{{gender}}", {side}}}\n'
                                           f'items: {{field: item_id, template: "{{class}}", title: class, {side}}}\n')
        interplay('prepare', 'last.yaml', '--out', 'last')
        interplay('graph', 'build', 'graph.yaml', '--data', 'last', '--out', 'graph', '--threads', 1)
        page = self.opened('graph/graph.html')
        self.assertEqual(len(page.marks('Codebooks', 'tr')), 2 * (1 + 2))
        self.assertGreater(len(page.marks('Clicks', 'rect')), 4)
        words = [cell for cell in page.marks('What codes hold', 'td') if cell.get('class') == 'words']
        self.assertTrue(words)  # titles begin at the left, as words do

    def test_a_tuned_language_model(self):
        (FOLDER / 'find.jsonl').write_text('{"query": "a", "positive": "aa", "negatives": ["b", "c"]}\n'
                                           '{"query": "b", "positive": "bb", "negatives": ["a", "c"]}\n')
        (FOLDER / 'ask.jsonl').write_text('{"prompt": "M", "answer": "Yes"}\n{"prompt": "o", "answer": "No"}\n')
        tasks = ''.join(f'  - {{name: {name}, train: {name}.jsonl, valid: {name}.jsonl, test: {name}.jsonl, {more}}}\n'
                        for name, more in (('find', 'family: embedding, metrics: [mrr@3]'),
                                           ('ask', 'family: generation, answers: ["Yes", "No"]')))
        (FOLDER / 'tasks.yaml').write_text(f'lm: {TINY_LM}\nprecision: fp32\ntasks:\n{tasks}'
                                           'adapters: {rank: 2, router_width: 8}\n'
                                           'batch: {embedding: 2, generation: 2}\n'
                                           'sampling: {warmup: 3, valid_batches: 1}\nsteps: 6\n')
        interplay('lm', 'tune', 'tasks.yaml', '--out', 'tuned', '--threads', 1)
        page = self.opened('tuned/report.html')
        for heading, lines in (('Ratios of embedding', 1), ('Ratios of generation', 1), ('Training loss', 2)):
            self.assertEqual(len(page.marks(heading, 'path')), lines, heading)
        self.assertEqual(len(page.marks('What experts count for', 'tr')), 1 + 2)

    def test_expansion_of_queries(self):
        docs, queries, qrels = [], [], []
        for q in range(6):
            queries.append(f'{q}\tabout topic{q}')
            for d in range(6):
                qrels.append(f'{q}\t{len(docs)}\t1')
                docs.append(f'{len(docs)}\t' + (f'topic{q} also other{q} noise{d}' if d < 3 else f'other{q} noise{d}'))
        for name, lines in (('docs', docs), ('queries', queries), ('qrels', qrels)):
            (FOLDER / f'{name}.tsv').write_text(''.join(line + '\n' for line in lines))
        (FOLDER / 'prf.yaml').write_text('index: index\nqueries: queries.tsv\nqrels: qrels.tsv\nfolds: 3\n'
                                         'feedback: {documents: 4, most_common: 0.5}\n'
                                         'network: {width: 8, hidden: 4, epochs: 2, steps: 3}\nranker: {epochs: 3}\n')
        interplay('prf', 'index', 'docs.tsv', '--out', 'index')
        interplay('prf', 'train', 'prf.yaml', '--out', 'expanded', '--threads', 1)
        page = self.opened('expanded/report.html')
        self.assertEqual(len(page.marks('Mean average precision', 'tr')), 1 + 4)
        self.assertEqual(len(page.marks('Reader: loss', 'polyline')), 3)
        self.assertEqual(len(page.marks('Where QA4PRF changed most', 'tr')), 1 + 6)
        self.assertRegex(page.text, r'queries\s+6')


if __name__ == '__main__':
    if not CHROMIUM:
        print('skipped: there is no Chromium to open pages in')
        sys.exit(SKIPPED)
    unittest.main(argv=sys.argv[:1], verbosity=2)
