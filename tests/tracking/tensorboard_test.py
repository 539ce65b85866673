"""TensorBoard's own reader finds in a run's event files what metrics.jsonl has, also behind a second start.

    tensorboard_test.py PROGRAM SCRATCH
"""
import pathlib
import sys

from tracked_run import TrackedRun, assert_same, install


def main(program, scratch):
    scratch = pathlib.Path(scratch)
    install(scratch / 'tensorboard', 'tensorboard==2.20.*')
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    run = TrackedRun(program, scratch / 'tensorboard-run', {'tensorboard': {}})

    def scalars():
        events = EventAccumulator(str(run.run))
        events.Reload()
        return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()['scalars']}

    run.train(2)
    first = scalars()
    assert len(first['train/loss']) == 2, first
    run.train(4, '--resume')
    files = sorted(run.run.glob('events.out.tfevents.*'))
    assert len(files) == 2, files
    versions = [next(iter(EventFileLoader(str(file)).Load())).file_version for file in files]
    assert versions == ['brain.Event:2'] * 2, versions
    found, expected = scalars(), run.expected()
    assert len(expected['valid/auc']) == 4
    for name, values in expected.items():
        assert_same(found[name], values)
    last_step = expected['train/loss'][-1][0]
    for split in ('valid', 'test'):
        for name, value in run.summary()[split].items():
            if value is not None:
                assert_same(found[f'best/{split}/{name}'][-1:], [(last_step, value)])
    print('as expected')


if __name__ == '__main__':
    main(*sys.argv[1:])
