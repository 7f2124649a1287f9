"""The run of a pass over a batch whose items may be several steps of a stream in a row."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from streamd.engine.passes.base import Pass, Replaying, Striding
from streamd.engine.slots import State
from streamd.types import Job, Samples


def walk(
    model: Pass, jobs: Sequence[Job], samples: Sequence[Samples], rows: State
) -> tuple[list[Any], State]:
    """Run all steps of all jobs: first those that are only replayed, then those that are asked.

    Returns:
        The output of each window and, for jobs of steps, a list with the output of each asked step;
        and the state after the last step of each job.
    """
    if all(job.steps == 1 for job in jobs):
        found, rows = model.run(samples, [job.options for job in jobs], rows)
        return [[one] if job.step else one for job, one in zip(jobs, found, strict=True)], rows
    rows = _replay(model, jobs, samples, rows)
    if hasattr(model, "run_steps"):
        return _run_steps(cast(Striding, model), jobs, samples, rows)
    outputs: list[Any] = [[] for _ in jobs]
    for number in range(max(job.asked for job in jobs)):
        active = [place for place, job in enumerate(jobs) if number < job.asked]
        items = [_asked(jobs[place], samples[place], number) for place in active]
        options = [jobs[place].options for place in active]
        found, new = model.run(items, options, _of(rows, active, len(jobs)))
        rows = _with(rows, active, new, len(jobs))
        for place, one in zip(active, found, strict=True):
            outputs[place].append(one)
    return outputs, rows


def _run_steps(
    model: Striding, jobs: Sequence[Job], samples: Sequence[Samples], rows: State
) -> tuple[list[Any], State]:
    """Run the asked steps, in one call for all jobs that ask for as many."""
    outputs: list[Any] = [None] * len(jobs)
    places: dict[int, list[int]] = {}
    for place, job in enumerate(jobs):
        places.setdefault(job.asked, []).append(place)
    for asked, alike in places.items():
        spans = [samples[p][(jobs[p].steps - asked) * jobs[p].step :] for p in alike]
        options = [jobs[p].options for p in alike]
        found, new = model.run_steps(spans, asked, options, _of(rows, alike, len(jobs)))
        rows = _with(rows, alike, new, len(jobs))
        for place, one in zip(alike, found, strict=True):
            outputs[place] = list(one)
    return outputs, rows


def _replay(model: Pass, jobs: Sequence[Job], samples: Sequence[Samples], rows: State) -> State:
    """Run the replayed steps, in one call for all jobs that replay as many."""
    places: dict[int, list[int]] = {}
    for place, job in enumerate(jobs):
        if job.steps > job.asked:
            places.setdefault(job.steps - job.asked, []).append(place)
    for steps, alike in places.items():
        spans = [samples[p][: len(samples[p]) - jobs[p].asked * jobs[p].step] for p in alike]
        new = cast(Replaying, model).replay(spans, steps, _of(rows, alike, len(jobs)))
        rows = _with(rows, alike, new, len(jobs))
    return rows


def _asked(job: Job, audio: Samples, number: int) -> Samples:
    """Return the part of a job's samples that one of the asked steps needs."""
    begin = (job.steps - job.asked + number) * job.step
    return audio[begin : begin + len(audio) - (job.steps - 1) * job.step]


def _of(rows: State, places: list[int], count: int) -> State:
    return rows if len(places) == count else {name: all_[places] for name, all_ in rows.items()}


def _with(rows: State, places: list[int], new: State, count: int) -> State:
    if len(places) == count:
        return new
    for name, all_ in rows.items():
        all_[places] = new[name]
    return rows
