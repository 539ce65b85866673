"""A server of MLflow has what metrics.jsonl has, in one run however often that is resumed.

    mlflow_test.py PROGRAM SCRATCH
"""
import json
import os
import pathlib
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from tracked_run import TrackedRun, assert_same, install


class Server:
    """`mlflow server` on a port of its own, with its store in `folder`."""

    def __init__(self, site, folder):
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        with socket.socket() as free:
            free.bind(('127.0.0.1', 0))
            port = free.getsockname()[1]
        self.url = f'http://127.0.0.1:{port}'
        self.log = open(folder / 'log', 'w')
        self.process = subprocess.Popen(
            [sys.executable, '-m', 'mlflow', 'server', '--host', '127.0.0.1', '--port', str(port), '--workers', '1',
             '--backend-store-uri', f'sqlite:///{folder}/store.db', '--artifacts-destination', str(folder)],
            env={**os.environ, 'PYTHONPATH': str(site), 'PATH': f'{site}/bin:{os.environ["PATH"]}'},
            stdout=self.log, stderr=self.log, start_new_session=True)
        self.wait(600)

    def wait(self, seconds):
        for _ in range(seconds):
            assert self.process.poll() is None, pathlib.Path(self.log.name).read_text()
            try:
                urllib.request.urlopen(f'{self.url}/health', timeout=10)
                return
            except (OSError, urllib.error.URLError):
                time.sleep(1)
        raise AssertionError('the server does not begin')

    def get(self, call, **query):
        answer = urllib.request.urlopen(f'{self.url}/api/2.0/mlflow/{call}?{urllib.parse.urlencode(query)}', timeout=60)
        return json.load(answer)

    def stop(self):
        os.killpg(self.process.pid, 15)
        self.process.wait()


def main(program, scratch):
    scratch = pathlib.Path(scratch)
    install(scratch / 'mlflow', 'mlflow==3.*')
    server = Server(scratch / 'mlflow', scratch / 'mlflow-server')
    try:
        run = TrackedRun(program, scratch / 'mlflow-run', {'mlflow': {'url': server.url, 'experiment': 'fm & more'}})
        run.train(2)
        kept = json.loads((run.run / '.mlflow.json').read_text())
        assert server.get('runs/get', run_id=kept['run_id'])['run']['info']['status'] == 'FINISHED'
        run.train(4, '--resume')
        assert json.loads((run.run / '.mlflow.json').read_text()) == kept
        told = server.get('runs/get', run_id=kept['run_id'])['run']
        assert told['info']['status'] == 'FINISHED' and told['info']['run_name'] == 'run', told['info']
        experiment = server.get('experiments/get-by-name', experiment_name='fm & more')['experiment']
        assert told['info']['experiment_id'] == experiment['experiment_id']
        params = {one['key']: one['value'] for one in told['data']['params']}
        assert params['model.name'] == 'fm' and params['model.embedding_dim'] == '4', params
        assert params['train.batch_size'] == '256', params
        expected = run.expected()
        assert len(expected['valid/auc']) == 4
        for name, values in expected.items():
            history = server.get('metrics/get-history', run_id=kept['run_id'], metric_key=name)['metrics']
            assert_same(sorted((int(one['step']), one['value']) for one in history), values)
        summary = run.summary()
        last = {one['key']: one['value'] for one in told['data']['metrics']}
        assert abs(last['best/test/auc'] - summary['test']['auc']) < 1e-6, (last, summary)
    finally:
        server.stop()

    # the server is gone: training is not
    run = TrackedRun(program, scratch / 'mlflow-gone', {'mlflow': {'url': server.url, 'timeout_seconds': 1}})
    run.train(2)
    said = [line for line in (run.run / 'train.log').read_text().splitlines() if 'mlflow' in line]
    assert len(said) == 2 and 'cannot connect' in said[0] and 'are not recorded there' in said[1], said
    print('as expected')


if __name__ == '__main__':
    main(*sys.argv[1:])
