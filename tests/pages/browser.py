"""Pages as a browser draws them: headless Chromium, and what is left of the page when its scripts have run."""
import json
import os
import re
import shutil
import subprocess
from html.parser import HTMLParser

CHROMIUM = next(filter(None, map(shutil.which, ['chromium', 'chromium-browser', 'google-chrome'])), None)
MARKS = {'circle', 'line', 'path', 'polygon', 'polyline', 'rect'}


class Page(HTMLParser):
    """`text`: all that is read; `cards`: by the heading of each card, the tags of its drawings and its rows."""

    def __init__(self, file):
        super().__init__()
        done = subprocess.run([CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu', '--window-size=1280,2000',
                               '--enable-logging=stderr', '--dump-dom', file.resolve().as_uri()],
                              capture_output=True, text=True, timeout=120)
        self.errors = [line for line in done.stderr.splitlines() if re.search(r'CONSOLE.*(Error|error)', line)]
        self.html, self.cards, self.text = done.stdout, {}, ''
        self.heading, self.open, self.skipped = None, '', False
        self.feed(done.stdout)

    def handle_starttag(self, tag, attributes):
        self.open, self.skipped = tag, tag in ('script', 'style')
        if tag in ('h2', 'h3'):
            self.heading = ''
            self.cards.setdefault('', [])
        elif self.heading is not None and tag in MARKS | {'tr', 'td'}:
            self.cards[self.heading].append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        if tag in ('script', 'style'):
            self.skipped = False
        self.open = ''

    def handle_data(self, data):
        if self.skipped:
            return
        self.text += data + '\n'
        if self.open in ('h2', 'h3'):
            self.heading = data
            self.cards.setdefault(data, [])

    def marks(self, heading, tag):
        return [attributes for found, attributes in self.cards[heading] if found == tag]

    def numbers_are_finite(self):
        drawn = [value for card in self.cards.values() for tag, attributes in card if tag in MARKS
                 for name, value in attributes.items() if name not in ('fill', 'stroke', 'style')]
        return not [value for value in drawn if value and re.search('NaN|Infinity|undefined', value)]


class Session:
    """A page that stays open, over Chrome's DevTools protocol on pipes."""

    def __init__(self, file):
        to_browser, ours = os.pipe()
        theirs, from_browser = os.pipe()

        def as_3_and_4():
            read, write = os.dup(to_browser), os.dup(from_browser)
            os.dup2(read, 3)
            os.dup2(write, 4)

        self.process = subprocess.Popen([CHROMIUM, '--headless', '--no-sandbox', '--disable-gpu',
                                         '--remote-debugging-pipe', '--window-size=800,300'],
                                        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, close_fds=False,
                                        preexec_fn=as_3_and_4)
        os.close(to_browser)
        os.close(from_browser)
        self.to, self.answers, self.calls, self.session = os.fdopen(ours, 'wb'), os.fdopen(theirs, 'rb'), 0, None
        target = self.call('Target.createTarget', url=file.resolve().as_uri())['targetId']
        self.session = self.call('Target.attachToTarget', targetId=target, flatten=True)['sessionId']

    def call(self, method, **parameters):
        self.calls += 1
        message = {'id': self.calls, 'method': method, 'params': parameters}
        if self.session:
            message['sessionId'] = self.session
        self.to.write(json.dumps(message).encode() + b'\0')
        self.to.flush()
        while True:
            answer = b''
            while not answer.endswith(b'\0'):
                answer += self.answers.read(1)
            answer = json.loads(answer[:-1])
            if answer.get('id') == self.calls:
                return answer['result']

    def value(self, expression):
        return self.call('Runtime.evaluate', expression=expression, returnByValue=True)['result'].get('value')

    def close(self):
        self.process.kill()
        self.process.wait()
        self.to.close()
        self.answers.close()
