"""Triton's client drives `interplay serve` as it is: every call of it that a server without a GPU can answer.

    triton_test.py PROGRAM SCRATCH      the client is installed in SCRATCH, once
"""
import csv
import pathlib
import re
import shutil
import subprocess
import sys

COLUMNS = ['user_id', 'item_id', 'age', 'gender', 'occupation']


def install(folder):
    if not (folder / 'tritonclient').exists():
        subprocess.run([sys.executable, '-m', 'pip', 'install', '--quiet', '--no-input', '--disable-pip-version-check',
                        '--target', folder, 'tritonclient[http]==2.73.*'], check=True)
    sys.path.insert(0, str(folder))


def make_run(interplay, folder):
    """A run on made data, and rows with what `predict` says of them."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    interplay('synth', 'movielens', '--rows', '3000', '--out', folder / 'data')
    (folder / 'data.yaml').write_text(f'format: recbole\nroot: {folder}/data\nfiles: {{train: data.inter}}\n'
                                      'label: {column: rating, at_least: 4}\nfields:\n'
                                      '  - columns: [user_id, item_id, gender, occupation]\n'
                                      '  - {columns: [age], kind: numeric}\n')
    interplay('prepare', folder / 'data.yaml', '--out', folder / 'prepared')
    (folder / 'fm.yaml').write_text('model: {name: deepfm, embedding_dim: 4, hidden: [8]}\ntrain: {epochs: 1}\n')
    interplay('train', folder / 'fm.yaml', '--data', folder / 'prepared', '--out', folder / 'models' / 'clicks' / '1')
    interplay('predict', folder / 'models' / 'clicks' / '1', folder / 'data' / 'data.inter', '--ids', ','.join(COLUMNS),
              '--out', folder / 'scores.csv')
    with open(folder / 'scores.csv') as file:
        return list(csv.DictReader(file))[:50]


def main(program, scratch):
    scratch = pathlib.Path(scratch)
    scratch.mkdir(parents=True, exist_ok=True)
    install(scratch / 'site')
    import numpy
    from tritonclient import http
    from tritonclient.utils import InferenceServerException

    def interplay(*arguments):
        subprocess.run([program, *map(str, arguments)], check=True, capture_output=True, text=True)

    rows = make_run(interplay, scratch / 'run')
    expected = numpy.array([float(row['p']) for row in rows])
    server = subprocess.Popen([program, 'serve', str(scratch / 'run' / 'models'), '--listen', '127.0.0.1:0'],
                              stderr=subprocess.PIPE, text=True)
    try:
        port = None
        while port is None:
            line = server.stderr.readline()
            assert line, 'the server ended'
            found = re.search(r'port (\d+)', line)
            port = found and found[1]
        client = http.InferenceServerClient(f'localhost:{port}')
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready('clicks')
        assert client.is_model_ready('clicks', '1') and not client.is_model_ready('clicks', '2')
        assert client.get_server_metadata()['name'] == 'interplay'
        told = client.get_model_metadata('clicks')
        assert [one['name'] for one in told['outputs']] == ['p'], told
        assert {one['name'] for one in told['inputs']} == set(COLUMNS), told
        assert client.get_model_config('clicks')['name'] == 'clicks'

        def inputs(columns, binary, shape=None):
            out = []
            for name in columns:
                if name == 'user_id':
                    values, kind = numpy.array([int(row[name]) for row in rows]), 'INT64'
                elif name == 'age':
                    values, kind = numpy.array([float(row[name]) for row in rows], numpy.float32), 'FP32'
                else:
                    values, kind = numpy.array([row[name] for row in rows], object), 'BYTES'
                one = http.InferInput(name, [len(rows), 1] if name == 'gender' else [len(rows)], kind)
                one.set_data_from_numpy(values.reshape(one.shape()), binary_data=binary)
                out.append(one)
            return out

        for binary in (True, False):
            for wanted in (None, [http.InferRequestedOutput('p', binary_data=not binary)]):
                result = client.infer('clicks', inputs(COLUMNS, binary), outputs=wanted, request_id='r7')
                assert result.get_response()['id'] == 'r7'
                assert numpy.abs(result.as_numpy('p') - expected).max() < 1e-6
        result = client.async_infer('clicks', inputs(COLUMNS, True)).get_result()
        assert numpy.abs(result.as_numpy('p') - expected).max() < 1e-6

        # the user's columns once, beside all candidates'
        one = rows[0]
        tensors = []
        for name in COLUMNS:
            cells = [row[name] for row in rows] if name == 'item_id' else [one[name]]
            tensor = http.InferInput(name, [len(cells)], 'BYTES')
            tensor.set_data_from_numpy(numpy.array(cells, object))
            tensors.append(tensor)
        ranked = client.infer('clicks', tensors).as_numpy('p')
        assert ranked.shape == (len(rows),) and abs(ranked[0] - expected[0]) < 1e-6

        statistics = client.get_inference_statistics('clicks')['model_stats'][0]
        assert statistics['inference_stats']['success']['count'] == 6, statistics
        assert statistics['inference_count'] == 6 * len(rows), statistics

        def refused(call, word):
            try:
                call()
            except InferenceServerException as error:
                assert word in str(error), error
            else:
                raise AssertionError(f'not refused: {word}')

        refused(lambda: client.infer('clicks', inputs(COLUMNS[1:], True)), 'user_id')
        refused(lambda: client.infer('nobody', inputs(COLUMNS, True)), 'nobody')
        refused(lambda: client.get_model_metadata('clicks', '9'), 'version 9')
        client.unload_model('clicks')
        assert not client.is_model_ready('clicks')
        assert client.get_model_repository_index()[0]['state'] == 'UNAVAILABLE'
        refused(lambda: client.infer('clicks', inputs(COLUMNS, True)), 'not ready')
        client.load_model('clicks')
        assert client.get_model_repository_index()[0]['state'] == 'READY'
        assert client.is_server_ready()
        client.close()
        server.terminate()
        assert server.wait(30) == 0, server.returncode
    finally:
        server.kill()
    print('as expected')


if __name__ == '__main__':
    main(*sys.argv[1:])
