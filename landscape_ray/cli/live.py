"""The commands for a sweep that is under way: `watch` and `ctl`."""

import contextlib
import sys
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from landscape_ray import library
from landscape_ray.cli import text
from landscape_ray.cli.app import Out, app
from landscape_ray.errors import OutputError

if TYPE_CHECKING:
    from landscape_ray.library import LeaseState, Request, ResultStore

__all__ = ["ctl", "watch"]

ANSWER_WITHIN_S = 30.0
"""A driver looks for requests every few seconds."""
LOOK_EVERY_S = 0.5
MAX_LISTED = 20


@app.command()
def watch(
    out: Out,
    *,
    port: Annotated[int, typer.Option(metavar="N", min=0, max=65535, help="0: any free one.")] = 8117,
    host: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Of this machine; any but 127.0.0.1 takes a token.")
    ] = "127.0.0.1",
) -> None:
    """Show the report of a sweep in a browser while it runs; it fills in as points are measured.

    ```
    landscape-ray watch results/demo
    landscape-ray watch s3://bucket/my --port 9000
    ```

    Open the printed address. The page is that of `report`, with a line on how the run goes; it comes anew by itself.
    Only the results folder is read, so it works from any machine that reaches it, for jobs on a cluster as well, and
    when the driver is silent or has died. Ctrl-C ends it.

    Only this machine can open the page, and over SSH others can (`ssh -L 8117:localhost:8117 ...`). With --host the
    printed address has a token, and whoever has that sees prompts and answers; HTTP does not hide it on the way.
    """
    with library.LiveServer(library.LiveReport(out), host, port) as server, contextlib.suppress(KeyboardInterrupt):
        text.print_facts([("open", server.url), ("end", "Ctrl-C")])
        sys.stdout.flush()
        server.serve_forever()


@app.command()
def ctl(
    out: Out,
    request: Annotated[
        list[str] | None,
        typer.Argument(metavar="[pause|resume|stop|set run.engines=N]", help="What to ask; nothing: list requests."),
    ] = None,
    *,
    why: Annotated[str, typer.Option(metavar="TEXT", help="Your reason, for the log and for others.")] = "",
) -> None:
    """Steer a sweep that is running, wherever its driver is, through its results folder.

    ```
    landscape-ray ctl s3://bucket/my pause --why "the judge's endpoint is down"
    landscape-ray ctl s3://bucket/my resume --why "it is up again"
    landscape-ray ctl s3://bucket/my set run.engines=4 --why "the others need GPUs"
    landscape-ray ctl s3://bucket/my stop --why "wrong prompts"
    landscape-ray ctl s3://bucket/my
    ```

    The driver sees a request within 10 seconds; what you asked, who you are and why stay in the folder and in the log
    of the run. A pause lets visits under way end and begins none; engines stay up. `set` holds until the run ends;
    engines that are one too many finish what they have first. `stop` is what Ctrl-C is: `run` ends after the visits
    that end within 20 seconds, with exit code 3, and the same `run` again goes on. Pause first to lose none. Of a
    sweep in shards every driver is asked.
    """
    store = library.ResultStore(out)
    if not request:
        text.print_facts(_requests_text(store))
        return
    sent = []
    for shard, driver in _drivers_of(store).items():
        asked = library.request_of(request, why=why, epoch=driver.epoch, shard=shard)
        sent.append((store.requests.ask(asked), driver, asked))
    end_s = time.monotonic() + ANSWER_WITHIN_S
    for name, driver, asked in sent:
        text.print_facts([(_wish(asked), f"carried out at {_answered(store, name, driver, asked, end_s)}")])


def _answered(store: "ResultStore", name: str, driver: "LeaseState", asked: "Request", end_s: float) -> str:
    """Return when a request was carried out, once it is.

    Raises:
        OutputError: The driver refuses it, or does not answer until then.
    """
    while (answer := {each.name: each.answer for each in store.requests.asked()}.get(name)) is None:
        if time.monotonic() > end_s:
            msg = (
                f"The driver of {store.location} has not answered for {ANSWER_WITHIN_S:g} s ({driver.holder}; last "
                f"heard of {driver.renewed_at}). If it is alive it will still do it: `landscape-ray ctl OUT` tells. If "
                "it is dead or has ended, start the same run again, and ask that one."
            )
            raise OutputError(msg)
        time.sleep(LOOK_EVERY_S)
    if answer.refused:
        msg = f"The driver of {store.location} has refused {_wish(asked)!r}, because {answer.refused}."
        raise OutputError(msg)
    return answer.at


def _wish(asked: "Request") -> str:
    return asked.wish + (f" (shard {asked.shard.replace('-of-', '/')})" if asked.shard else "")


def _drivers_of(store: "ResultStore") -> dict[str, "LeaseState"]:
    """Return the drivers that may be asked, by name of the shard.

    Raises:
        OutputError: There is none.
    """
    drivers = store.drivers()
    alive = {shard: driver for shard, driver in drivers.items() if not driver.has_died}
    if not alive:
        holders = ", ".join(driver.holder for driver in drivers.values())
        gone = f"its driver has died ({holders})" if drivers else "none is under way"
        msg = (
            f"There is no run at {store.location} to ask: {gone}. Start it with `landscape-ray run`, with --set for "
            "other settings, or look with `landscape-ray status` how far it came."
        )
        raise OutputError(msg)
    return alive


def _requests_text(store: "ResultStore") -> Iterator[text.Fact]:
    """Yield what was asked and what became of it, the latest last."""
    for each in store.requests.asked()[-MAX_LISTED:]:
        became = "no driver has seen it" if each.answer is None else f"carried out at {each.answer.at}"
        if each.answer is not None and each.answer.refused:
            became = f"refused at {each.answer.at}, because {each.answer.refused}"
        if isinstance(each.request, str):
            yield f"control/{each.name}.json", became
        else:
            yield each.request.at, f"{_wish(each.request)}, by {each.request.by}: {each.request.why}; {became}"
    yield "requests", f"{store.location}/control/*.json"
