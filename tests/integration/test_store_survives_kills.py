"""Writers killed by SIGKILL at any instant: what they acknowledged is there, and nothing is half there."""

import subprocess
import sys
from pathlib import Path

import pytest

from landscape_ray.store import ResultStore

# Forks pairs of writers that publish the same points in the same order, and kills both, mostly within milliseconds
# after a point was acknowledged: a writer notes it in a file when `publish` has returned.
WRITERS = """
import json, os, random, signal, sys, time
from landscape_ray.evaluation import Completion, FinishReason, PointRecord, Prompt, Row, Verdict, VisitFacts
from landscape_ray.planning import Perturbation, PlannedPoint, RandomVector
from landscape_ray.store import ResultStore

location, acknowledged, num_kills = sys.argv[1], sys.argv[2], int(sys.argv[3])
vector = RandomVector(seed=1, normalization="layer", excluded=())

def record(index):
    alpha = (index + 1) / 1024
    return PointRecord(
        point=PlannedPoint(draw=0, repeat=0, coordinates=(alpha,), perturbation=Perturbation(terms=((vector, alpha),))),
        benchmark="advbench", prompts=(Prompt(id="p0", text="How?"), Prompt(id="p1", text="Why?")),
        rows=tuple(
            Row(
                completion=Completion(text=f"{index} " * 2000, token_ids=(1,), finish_reason=FinishReason.STOP),
                verdict=verdict,
            )
            for verdict in (Verdict.REFUSED, Verdict.COMPLIED)
        ),
        judge="keyword/1",
        facts=VisitFacts(engine="synthetic", torch_version="", device="cpu", node=str(os.getpid()),
                         weights_digest="0" * 16, attempt=1, started_at="2026-01-02T03:04:05+00:00",
                         place_s=0.0, generate_s=0.0, judge_s=0.0))

def write(first):
    store = ResultStore(location)
    notes = os.open(acknowledged, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    for index in range(first, 10**6):
        if os.getppid() != parent:  # it was killed in its turn, and nobody is left to kill this one
            os._exit(1)
        store.publish(record(index), key=f"{index:032x}", sweep_id="5eed" * 4)
        os.write(notes, b"%d\\n" % index)

parent = os.getpid()
rng = random.Random(0)
open(acknowledged, "w").close()
num_rounds = 0
# On a busy machine most writers are killed before they have written anything: then more of them, or nothing is shown.
while num_rounds < num_kills or (num_rounds < 20 * num_kills and len(done) <= num_kills // 5):
    num_rounds += 1
    done = [-1, *(int(line) for line in open(acknowledged))]
    writers = []
    for _ in range(2):
        writer = os.fork()
        if writer == 0:
            write(max(done) + 1 if rng.random() < 0.5 else max(0, max(done) - 3))
        writers.append(writer)
    while rng.random() < 0.999 and len(open(acknowledged).readlines()) < len(done):
        time.sleep(0.001)
    time.sleep(rng.uniform(0.0, 0.02))
    for writer in writers:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
"""


def survive(tmp_path: Path, num_kills: int) -> int:
    """Kill pairs of writers, check what they left, and return how many points they acknowledged."""
    folder, notes = tmp_path / "results", tmp_path / "acknowledged"
    subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", WRITERS, str(folder), str(notes), str(num_kills)], check=True, timeout=280
    )
    acknowledged = {int(line) for line in notes.read_text().splitlines()}
    store = ResultStore(str(folder))
    listed = {int(key, 16) for key in store.parts()}
    assert acknowledged <= listed
    assert store.quarantined() == []
    columns = store.columns([f"{index:032x}" for index in sorted(listed)], ["alpha", "prompt_id", "completion"])
    assert columns["alpha"].tolist() == [(index + 1) / 1024 for index in sorted(listed) for _ in range(2)]
    assert columns["prompt_id"].tolist() == ["p0", "p1"] * len(listed)
    assert columns["completion"].tolist() == [f"{index} " * 2000 for index in sorted(listed) for _ in range(2)]
    return len(acknowledged)


def test_what_forty_killed_writers_acknowledged_is_there(tmp_path: Path) -> None:
    assert survive(tmp_path, num_kills=20) >= 4


@pytest.mark.long
def test_what_six_hundred_killed_writers_acknowledged_is_there(tmp_path: Path) -> None:
    assert survive(tmp_path, num_kills=300) >= 60
