"""While live work is late, the engine runs nothing else."""

import pytest
from fakes.machine import SPEECH, Machine, SimulatedWorker


def busy(machine: Machine) -> set[str]:
    return {worker.name for worker in machine.workers if not worker.is_idle}


@pytest.mark.asyncio
async def test_only_live_workers_get_batches_until_the_others_may_go_on() -> None:
    machine = Machine()
    machine.load.look = lambda now_s, loop_lag_s: None  # type: ignore[method-assign]
    machine.engine.run_live_only(True)
    machine.connect(3)
    machine.run(4)
    assert len(SPEECH) == 8 * 32_000
    assert machine.used_s.keys() == {"live-0"}
    machine.engine.run_live_only(False)
    assert {"batch-0", "speculative-0"} & busy(machine)
    assert all(isinstance(worker, SimulatedWorker) for worker in machine.workers)
    machine.run(2)
    assert machine.used_s.keys() >= {"live-0", "batch-0"}
    assert all(talker.late_s(0, 10, "speaker") > 0 for talker in machine.talkers)
