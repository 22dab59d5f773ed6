"""The store on S3, as moto serves it, and on file systems that fail, truncate, or succeed without saying so."""

import time
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import fsspec
import pytest
from fsspec.implementations.memory import MemoryFileSystem
from hypothesis import given, settings
from hypothesis import strategies as st

from landscape_ray.errors import LeaseError, OutputError, TransientError
from landscape_ray.evaluation import Completion, FinishReason, PointRecord, Prompt, Row, Verdict, VisitFacts
from landscape_ray.evaluation.judging import Exchange, Judgment
from landscape_ray.planning import Perturbation, PlannedPoint, RandomVector
from landscape_ray.store import Lease, PointFailure, ReceivedAnswer, ReceivedStore, ResultStore, filesystem, request_of
from landscape_ray.store.filesystem import open_filesystem
from landscape_ray.store.lease import latest

SWEEP_ID = "5eed" * 4
VECTOR = RandomVector(seed=1, normalization="layer", excluded=())


def key_of(index: int) -> str:
    return f"{index:032x}"


def record_of(index: int, text: str = "Sure.") -> PointRecord:
    alpha = (index + 1) / 64
    return PointRecord(
        point=PlannedPoint(draw=0, repeat=0, coordinates=(alpha,), perturbation=Perturbation(terms=((VECTOR, alpha),))),
        benchmark="advbench",
        prompts=(Prompt(id="p0", text="How?"),),
        rows=(
            Row(
                completion=Completion(text=text, token_ids=(1, 2), finish_reason=FinishReason.STOP),
                verdict=Verdict.COMPLIED,
            ),
        ),
        judge="keyword/1",
        facts=VisitFacts(
            engine="synthetic",
            torch_version="",
            device="cpu",
            node="here",
            weights_digest="0" * 16,
            attempt=1,
            started_at="2026-01-02T03:04:05.000+00:00",
            place_s=0.0,
            generate_s=0.0,
            judge_s=0.0,
        ),
    )


def publish(store: ResultStore, index: int, text: str = "Sure.") -> None:
    store.publish(record_of(index, text), key=key_of(index), sweep_id=SWEEP_ID)


def alphas(store: ResultStore, num: int) -> list[float]:
    values: list[float] = store.columns([key_of(index) for index in range(num)], ["alpha"])["alpha"].tolist()
    return values


class Troubled:
    """Stands before a web server: answers some requests with an error, before or after they had their effect."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.trouble: Callable[[int, str], str | None] = lambda _number, _method: None
        self.num_requests = 0
        self.num_troubled = 0

    def __call__(self, environ: Any, start_response: Any) -> Any:
        self.num_requests += 1
        trouble = self.trouble(self.num_requests, environ["REQUEST_METHOD"])
        if trouble is None:
            return self._app(environ, start_response)
        self.num_troubled += 1
        if trouble == "lost answer":
            for _ in self._app(environ, lambda *_: None):
                pass
        start_response("500 Internal Server Error", [("Content-Type", "application/xml")])
        return [b"<Error><Code>InternalError</Code><Message>We encountered an internal error.</Message></Error>"]


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[str, Troubled]]:
    """An S3 server with a bucket; its address, and what stands before it."""
    pytest.importorskip("s3fs")
    moto = pytest.importorskip("moto.server").ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    moto.start()
    moto._server.app = app = Troubled(moto._server.app)
    yield f"http://127.0.0.1:{moto.get_host_and_port()[1]}", app
    moto.stop()


@pytest.fixture
def s3(server: tuple[str, Troubled], monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[str]:
    """An empty prefix."""
    address, app = server
    for name, value in {
        "AWS_ENDPOINT_URL_S3": address,
        "AWS_ACCESS_KEY_ID": "an-access-key",
        "AWS_SECRET_ACCESS_KEY": "a-secret-key",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_MAX_ATTEMPTS": "1",  # of the driver: here it is our own patience that is tried
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    }.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(filesystem, "PAUSES_S", (0.0, 0.0, 0.0))
    files = fsspec.filesystem("s3")
    files.makedirs("bucket", exist_ok=True)
    yield f"s3://bucket/{request.node.name}"
    app.trouble = lambda _number, _method: None


def test_the_whole_life_of_a_sweep_on_s3(s3: str) -> None:
    store = ResultStore(s3)
    store.probe()
    assert fsspec.filesystem("s3").find(s3) == []
    assert store.parts() == {}
    assert store.read_manifest() is None
    for index in range(5):
        publish(store, index)
    publish(store, 0)
    elsewhere = ResultStore(s3)
    assert elsewhere.parts().keys() == {key_of(index) for index in range(5)}
    assert alphas(elsewhere, 5) == [1 / 64, 2 / 64, 3 / 64, 4 / 64, 5 / 64]
    assert elsewhere.quarantined() == []
    store.publish_failure(
        PointFailure(key="ab" * 16, label="d0_a+9", benchmark="advbench", error="x", attempts=1, at="2026-01-02")
    )
    assert elsewhere.failures().keys() == {"ab" * 16}


def test_what_another_process_does_on_s3_is_seen(s3: str) -> None:
    here, there = ResultStore(s3), ResultStore(s3)
    assert here.parts() == {}
    publish(there, 0)
    assert here.parts().keys() == {key_of(0)}
    publish(here, 0, text="No.")
    assert there.columns([key_of(0)], ["completion"])["completion"].tolist() == ["Sure."]
    assert [found.reason.startswith("FINDING") for found in there.quarantined()] == [True]


@pytest.mark.parametrize("damage", [lambda content: content[:-5], lambda _: b"", lambda _: b"x" * 9999])
def test_a_damaged_part_on_s3_is_measured_again(damage: Callable[[bytes], bytes], s3: str) -> None:
    store = ResultStore(s3)
    publish(store, 0)
    publish(store, 1)
    files = fsspec.filesystem("s3")
    path = f"{s3}/parts/{store.parts()[key_of(0)].name}"
    damaged = damage(files.cat_file(path))
    files.pipe_file(path, damaged)
    assert store.parts().keys() == {key_of(1)}
    publish(store, 0)
    assert alphas(store, 2) == [1 / 64, 2 / 64]
    (found,) = store.quarantined()
    assert files.cat_file(f"{s3}/{found.path}") == damaged


def test_a_changed_byte_on_s3_is_found_when_rows_are_read(s3: str) -> None:
    store = ResultStore(s3)
    publish(store, 0)
    files = fsspec.filesystem("s3")
    path = f"{s3}/parts/{store.parts()[key_of(0)].name}"
    content = bytearray(files.cat_file(path))
    content[50] ^= 1
    files.pipe_file(path, bytes(content))
    assert alphas(store, 1) == []
    assert store.parts() == {}
    assert "rows have changed" in store.quarantined()[0].reason


@pytest.mark.parametrize("trouble", ["refused", "lost answer"])
def test_s3_with_internal_errors(trouble: str, s3: str, server: tuple[str, Troubled]) -> None:
    app = server[1]
    store = ResultStore(s3)
    app.num_troubled = 0
    app.trouble = lambda number, _method: trouble if number % 3 else None  # two of three requests
    store.probe()
    for index in range(4):
        publish(store, index)
    assert alphas(store, 4) == [1 / 64, 2 / 64, 3 / 64, 4 / 64]
    assert store.parts().keys() == {key_of(index) for index in range(4)}
    assert store.quarantined() == []
    assert app.num_troubled > 10


@pytest.mark.parametrize("trouble", [None, "refused", "lost answer"])
def test_a_lease_on_s3(trouble: str | None, s3: str, server: tuple[str, Troubled]) -> None:
    server[1].trouble = lambda number, _method: trouble if number % 3 else None
    here, there = open_filesystem(s3), open_filesystem(s3)
    first = Lease.acquire(here, pause=lambda _: pytest.fail("waited for a free lease"))
    with pytest.raises(LeaseError, match="Another run is measuring this sweep"):
        Lease.acquire(there, pause=lambda _: first.renew())
    first.release()
    second = Lease.acquire(there, pause=lambda _: pytest.fail("waited for a released lease"))
    with pytest.raises(LeaseError, match="Another run has taken this sweep over"):
        first.renew()
    second.renew()
    assert latest(here)[0] == 2


@pytest.mark.parametrize("trouble", [None, "error", "lost answer"])
def test_a_driver_is_asked_and_answers_on_s3(trouble: str | None, s3: str, server: tuple[str, Troubled]) -> None:
    here, there = ResultStore(s3).requests, ResultStore(s3).requests
    assert there.asked() == []
    server[1].trouble = lambda number, method: trouble if method == "PUT" and number % 2 else None
    names = [here.ask(request_of([word], why="why", epoch=1)) for word in ("pause", "resume")]
    assert [each.name for each in there.asked()] == names
    there.answer(names[0])
    assert [each.answer is not None for each in here.asked()] == [True, False]
    assert [each.name for each in there.asked(but=names[:1])] == names[1:]


def test_a_judges_answers_outlive_its_pass_on_s3(s3: str) -> None:
    here, there = ReceivedStore(s3), ReceivedStore(s3)
    exchanges = [Exchange(prompt=f"p{row}", completion="c") for row in range(2)]
    answer = ReceivedAnswer(judgment=Judgment(verdict=Verdict.REFUSED, answer="no"), judged_with="m")
    assert there.read(key_of(0), exchanges) == ({}, [])
    names = [here.write(key_of(0), exchanges, {row: answer}) for row in range(2)]
    assert there.read(key_of(0), exchanges) == ({0: answer, 1: answer}, sorted(names))
    fsspec.filesystem("s3").pipe_file(f"{s3}/received/{names[0]}", b"torn")
    assert there.read(key_of(0), exchanges) == ({1: answer}, sorted(names))
    there.tidy({key_of(0)})
    there.discard(names)
    assert here.read(key_of(0), exchanges) == ({}, [])
    here.tidy(set())


def test_s3_that_never_answers_well_is_an_error_without_credentials(s3: str, server: tuple[str, Troubled]) -> None:
    server[1].trouble = lambda _number, _method: "refused"
    with pytest.raises(TransientError, match=r"Cannot write to s3://bucket/.* at the moment") as caught:
        ResultStore(s3).probe()
    assert "a-secret-key" not in str(caught.value)


def test_a_bucket_that_is_not_there_is_not_made(s3: str) -> None:
    assert s3
    with pytest.raises(OutputError, match="Cannot write to s3://no-such-bucket/x: The specified bucket does not exist"):
        ResultStore("s3://no-such-bucket/x").probe()
    assert not fsspec.filesystem("s3").exists("no-such-bucket")


class TroubledFilesystem(MemoryFileSystem):  # type: ignore[misc] # fsspec has no types
    """Keeps files in memory; the next calls meet the troubles that are set."""

    protocol = "troubled"
    store: ClassVar[dict[str, Any]] = {}
    pseudo_dirs: ClassVar[list[str]] = [""]
    troubles: ClassVar[list[str | None]] = []

    def _meet(self, call: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        trouble = self.troubles.pop(0) if self.troubles else None
        if trouble == "fails":
            raise TimeoutError
        result = call(*args, **kwargs)
        if trouble == "succeeds but times out":
            raise TimeoutError
        if trouble == "truncates" and isinstance(result, bytes):
            return result[: len(result) // 2]
        return result

    def pipe_file(self, path: str, value: bytes, mode: str = "overwrite", **kwargs: Any) -> Any:
        if mode == "create" and self.exists(path):
            raise FileExistsError
        return self._meet(super().pipe_file, path, value, **kwargs)

    def cat_file(self, path: str, start: int | None = None, end: int | None = None, **kwargs: Any) -> Any:
        return self._meet(super().cat_file, path, start, end, **kwargs)

    def ls(self, path: str, **kwargs: Any) -> Any:
        return self._meet(super().ls, path, **kwargs)

    def cp_file(self, path1: str, path2: str, **kwargs: Any) -> Any:
        return self._meet(super().cp_file, path1, path2, **kwargs)

    def rm_file(self, path: str) -> Any:
        return self._meet(self._rm, path)


class WithoutCreateOnly(TroubledFilesystem):
    """The same, but it can only overwrite."""

    protocol = "overwriting"

    def pipe_file(self, path: str, value: bytes, **kwargs: Any) -> Any:  # type: ignore[override] # that is the point
        return super().pipe_file(path, value, **kwargs)


@pytest.fixture(scope="module", autouse=True)
def quick_file_systems() -> Iterator[None]:
    for kind in (TroubledFilesystem, WithoutCreateOnly):
        fsspec.register_implementation(kind.protocol, kind, clobber=True)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(filesystem, "PAUSES_S", (0.0, 0.0, 0.0))
        yield


TROUBLES = st.lists(
    st.lists(st.sampled_from(["fails", "succeeds but times out", "truncates"]), max_size=3), max_size=12
).map(lambda runs: [trouble for run in runs for trouble in (*run, None, None)])


@given(
    troubles=TROUBLES,
    visits=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["Sure.", "No."])), min_size=1, max_size=6),
    protocol=st.sampled_from(["troubled", "overwriting"]),
)
@settings(max_examples=150, deadline=None)
def test_passing_troubles_change_nothing(
    troubles: list[str | None], visits: list[tuple[int, str]], protocol: str
) -> None:
    TroubledFilesystem.store.clear()
    TroubledFilesystem.troubles[:] = troubles
    expected: dict[int, str] = {}
    for index, text in visits:
        publish(ResultStore(f"{protocol}://bucket/sweep"), index, text)
        expected.setdefault(index, text)
    store = ResultStore(f"{protocol}://bucket/sweep")
    assert store.parts().keys() == {key_of(index) for index in expected}
    columns = store.columns([key_of(index) for index in range(3)], ["alpha", "completion"])
    assert list(zip(columns["alpha"], columns["completion"], strict=True)) == [
        ((index + 1) / 64, expected[index]) for index in sorted(expected)
    ]
    disagreed = {(index, text) for index, text in visits if text != expected[index]}
    assert len(store.quarantined()) == len(disagreed)


@pytest.mark.parametrize(("trouble", "kind"), [("fails", TransientError), ("truncates", OutputError)])
def test_lasting_trouble_is_an_error_and_loses_nothing(trouble: str, kind: type[Exception]) -> None:
    TroubledFilesystem.store.clear()
    TroubledFilesystem.troubles.clear()
    store = ResultStore("troubled://bucket/sweep")
    publish(store, 0)
    TroubledFilesystem.troubles[:] = [None, *[trouble] * 50]
    with pytest.raises(kind, match="Cannot read troubled://bucket/sweep"):
        store.columns([key_of(0)])
    TroubledFilesystem.troubles.clear()
    assert alphas(store, 1) == [1 / 64]
    assert store.quarantined() == []


def test_pauses_grow(monkeypatch: pytest.MonkeyPatch) -> None:
    TroubledFilesystem.troubles[:] = ["fails"] * 50
    slept: list[float] = []
    monkeypatch.setattr(filesystem, "PAUSES_S", (1.0, 4.0, 16.0))
    monkeypatch.setattr(time, "sleep", slept.append)
    with pytest.raises(TransientError):
        ResultStore("troubled://bucket/sweep").parts()
    TroubledFilesystem.troubles.clear()
    assert len(slept) == 3
    assert all(0.5 * pause_s <= found_s <= 1.5 * pause_s for found_s, pause_s in zip(slept, (1, 4, 16), strict=True))
