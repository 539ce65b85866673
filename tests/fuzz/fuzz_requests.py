"""Sends a server what strangers might: requests that are cut, altered, mixed and nested, over and over. It has to answer each
with what is wrong (4xx), or with scores, and to be there afterwards.

    fuzz_requests.py PROGRAM SCRATCH [--requests N] [--seed S]
"""
import argparse
import collections
import pathlib
import random
import shutil
import socket
import subprocess
import time

HERE = pathlib.Path(__file__).parent
PATHS = ['/v1/score', '/v1/score?model=a', '/v2/models/a/infer', '/v2/models/a/versions/1/infer', '/v1/labels',
         '/v2/repository/index', '/v2/models/b/infer', '/v2/models/%61/infer', '/v1/score?model=' + 'x' * 300]
WORDS = [b'{', b'}', b'[', b']', b'"', b',', b':', b'null', b'1e999', b'-0', b'\\ud800', b'\xff\xfe', b'\x00', b'"rows"',
         b'"user"', b'"candidates"', b'"inputs"', b'"shape"', b'"data"', b'"datatype"', b'"BYTES"', b'"FP32"', b'9' * 30,
         b'"parameters":{"binary_data_size":4294967295}']
USUAL = [b'{"rows":[{"user_id":"1","item_id":"2","age":"30","gender":"F","occupation":"doctor"}]}',
         b'{"user":{"user_id":"1","age":"30","gender":"F","occupation":"doctor"},"candidates":[{"item_id":"2"},{"item_id":"3"}]}',
         b'{"inputs":[{"name":"user_id","datatype":"BYTES","shape":[2],"data":["1","2"]},'
         b'{"name":"item_id","datatype":"BYTES","shape":[2],"data":["1","2"]},'
         b'{"name":"age","datatype":"FP32","shape":[2],"data":[30,31]},'
         b'{"name":"gender","datatype":"BYTES","shape":[2],"data":["F","M"]},'
         b'{"name":"occupation","datatype":"BYTES","shape":[2],"data":["doctor","artist"]}]}']


def mutate(draw, bodies):
    body = bytearray(draw.choice(bodies))
    for _ in range(draw.choice([0, 1, 1, 2, 4, 8])):
        how, at = draw.randrange(7), draw.randrange(len(body) + 1)
        if how == 0:
            del body[at:]
        elif how == 1 and body:
            body[at % len(body)] ^= 1 << draw.randrange(8)
        elif how == 2:
            body[at:at] = draw.choice(WORDS)
        elif how == 3:
            del body[at:at + draw.randrange(1, 40)]
        elif how == 4:
            other = draw.choice(bodies)
            start = draw.randrange(len(other) + 1)
            body[at:at] = other[start:start + draw.randrange(200)]
        elif how == 5:
            body[at:at] = draw.choice([b'[', b'{"a":', b'"']) * draw.randrange(1, 300)
        else:
            body += bytes(draw.randrange(256) for _ in range(draw.randrange(30)))
    return bytes(body)


class Connection:
    def __init__(self, port):
        self.port, self.left = port, b''
        self.socket = None

    def ask(self, request):
        """The status of the answer; 0 where the server ended the connection instead."""
        if self.socket is None:
            self.socket, self.left = socket.create_connection(('127.0.0.1', self.port), timeout=30), b''
        try:
            self.socket.sendall(request)
            while b'\r\n\r\n' not in self.left:
                more = self.socket.recv(65536)
                if not more:
                    return self.close()
                self.left += more
            head, rest = self.left.split(b'\r\n\r\n', 1)
            length = next((int(line.split(b':')[1]) for line in head.split(b'\r\n') if line.lower().startswith(b'content-length')), 0)
            while len(rest) < length:
                more = self.socket.recv(65536)
                if not more:
                    return self.close()
                rest += more
        except (ConnectionError, BrokenPipeError):
            return self.close()
        self.left = rest[length:]
        if b'Connection: close' in head:
            self.close()
        return int(head.split(b' ', 2)[1])

    def close(self):
        self.socket.close()
        self.socket = None
        return 0


def request(draw, bodies):
    body = mutate(draw, bodies)
    length = len(body)
    headers = b''
    if draw.random() < .1:
        headers += b'Inference-Header-Content-Length: %d\r\n' % draw.choice([0, length // 2, length, length + 1, 1 << 40])
    path = draw.choice(PATHS).encode()
    method = draw.choice([b'POST'] * 30 + [b'GET', b'HEAD', b'PUT', b'DELETE'])
    if method == b'HEAD':
        method = b'GET'  # an answer without a body is another test's
    return b'%s %s HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s' % (method, path, headers, length, body)


def serve(program, scratch):
    def interplay(*arguments):
        subprocess.run([program, '--quiet', *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)

    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir(parents=True)
    interplay('synth', 'movielens', '--rows', '2000', '--out', scratch / 'data')
    (scratch / 'data.yaml').write_text(f'format: recbole\nroot: {scratch}/data\nfiles: {{train: data.inter}}\n'
                                       'label: {column: rating, at_least: 4}\nfields:\n'
                                       '  - columns: [user_id, item_id, gender, occupation]\n'
                                       '  - {columns: [age], kind: numeric}\n')
    interplay('prepare', scratch / 'data.yaml', '--out', scratch / 'prepared')
    (scratch / 'fm.yaml').write_text('model: {name: fm, embedding_dim: 4}\ntrain: {epochs: 1}\n')
    interplay('train', scratch / 'fm.yaml', '--data', scratch / 'prepared', '--out', scratch / 'models' / 'a' / '1')
    with socket.socket() as s:
        s.bind(('127.0.0.1', 0))
        port = s.getsockname()[1]
    log = open(scratch / 'server.log', 'w')
    server = subprocess.Popen([program, 'serve', scratch / 'models', '--listen', f'127.0.0.1:{port}', '--log', scratch / 'log'],
                              stdout=log, stderr=log)
    until = time.monotonic() + 30
    while time.monotonic() < until:
        try:
            socket.create_connection(('127.0.0.1', port)).close()
            return server, port
        except OSError:
            time.sleep(.05)
    raise SystemExit((scratch / 'server.log').read_text())


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('program')
    parser.add_argument('scratch', type=pathlib.Path)
    parser.add_argument('--requests', type=int, default=20000)
    parser.add_argument('--seed', type=int, default=1)
    a = parser.parse_args()
    bodies = USUAL * 5 + [file.read_bytes() for file in sorted((HERE / 'corpus').glob('*/*'))]
    server, port = serve(a.program, a.scratch)
    draw, connection, statuses, begun = random.Random(a.seed), Connection(port), collections.Counter(), time.monotonic()
    try:
        for i in range(a.requests):
            sent = request(draw, bodies)
            if draw.random() < .02:  # not even HTTP
                sent = mutate(draw, [sent])
                with socket.create_connection(('127.0.0.1', port), timeout=30) as other:
                    try:
                        other.sendall(sent)
                        other.shutdown(socket.SHUT_WR)
                        while other.recv(65536):
                            pass
                    except ConnectionError:
                        pass  # refused before all of it was sent
                statuses['no request'] += 1
            else:
                status = connection.ask(sent)
                statuses[status] += 1
                if status >= 500:
                    (a.scratch / f'answered-{status}').write_bytes(sent)
                assert status < 500 or status == 503, (status, sent)
            assert server.poll() is None, f'the server ended with {server.returncode} after request {i}: {sent!r}'
        assert Connection(port).ask(b'POST /v1/score HTTP/1.1\r\nContent-Length: %d\r\n\r\n%s' % (len(USUAL[0]), USUAL[0])) == 200
    finally:
        server.terminate()
        server.wait()
    assert server.returncode == 0, server.returncode
    counts = ', '.join(f'{n} x {status}' for status, n in statuses.most_common())
    print(f'{a.requests} requests, {a.requests / (time.monotonic() - begun):.0f} a second: {counts}; the server stands')


if __name__ == '__main__':
    main()
