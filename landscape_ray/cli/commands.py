"""The commands of a sweep. Each imports what it needs when it runs, so that none waits for what it does not need."""

import os
import shlex
import sys
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from landscape_ray import library
from landscape_ray.cli import campaigns, running, text
from landscape_ray.cli.app import (
    Adaptive,
    ConfigFile,
    ConfigFiles,
    Json,
    JsonLines,
    JudgeName,
    Out,
    Overrides,
    ScoreDefinition,
    ShardText,
    Tau,
    UntilCertified,
    app,
)
from landscape_ray.cli.text import print_json
from landscape_ray.config import is_campaign, load_config
from landscape_ray.errors import LandscapeError

__all__ = ["engines", "plan", "run", "score", "status", "submit"]


@app.command()
def plan(
    configs: ConfigFiles,
    *,
    set_: Overrides = None,
    adaptive: Adaptive = False,
    until_certified: UntilCertified = None,
    target_interval: Annotated[
        float | None,
        typer.Option(metavar="X", min=0.01, help="Say how many prompts and draws a 95 % interval of VISAGE +-X needs."),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option("--from", metavar="OUT", help="For --target-interval: use the variance of these results."),
    ] = None,
    json_: Json = False,
) -> None:
    """Print what a sweep will measure and cost. Starts nothing.

    Checks the configuration and the prompts; and the model, where it is here or the Hub answers. Give it the same --set
    as the run:

    ```
    landscape-ray plan jobs/configs/paper/llama-3-8b-instruct-2d.yaml --set directions.draws=1
    ```

    Or ask what a wanted precision takes, by assumed variances or those of results that you have:

    ```
    landscape-ray plan my.yaml --target-interval 2.0 --from results/my
    ```

    Of a campaign (several files, or a list of `models`, see `run`) it plans each sweep, and adds them up.
    """
    if from_ is not None and target_interval is None:
        raise typer.BadParameter("--from is of use with --target-interval only.")  # noqa: EM101

    planned_of = partial(library.plan, target_interval=target_interval, measured=from_)
    sweeps = campaigns.load(configs, set_ or (), adaptive=adaptive, until_certified=until_certified)
    if is_campaign(configs):
        problems = campaigns.plan(sweeps, planned_of, as_json=json_)
    else:
        planned = planned_of(sweeps[0].config)
        print_json(planned.document()) if json_ else text.print_facts(planned.facts())
        problems = planned.problems
    _fail_on(problems)


def _fail_on(problems: Sequence[LandscapeError]) -> None:
    """Raise what was wrong with prompts, once the plan is printed."""
    if problems:
        told = "\n".join([*map(str, problems), "Counted with `limit` instead; `run` would stop here."])
        raise type(problems[0])(told)


@app.command()
def run(
    configs: ConfigFiles,
    *,
    out: Annotated[
        str | None,
        typer.Option(
            metavar="OUT", help="Folder or URL for results.  [default: results/NAME, of several files results/campaign]"
        ),
    ] = None,
    set_: Overrides = None,
    engines: Annotated[int | None, typer.Option(metavar="N", help="Short for `--set run.engines=N`.")] = None,
    adaptive: Adaptive = False,
    until_certified: UntilCertified = None,
    strict: Annotated[
        bool, typer.Option("--strict", help="Use batch-invariant kernels (GPU). Short for `--set run.strict=true`.")
    ] = False,
    keep_engines: Annotated[
        bool,
        typer.Option(
            "--keep-engines",
            help="Leave engines up for the next run on a cluster. Short for `--set run.keep_engines_s=600`.",
        ),
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try points again that were given up.")] = False,
    shard: ShardText = None,
    profile: Annotated[bool, typer.Option("--profile", help="Print where the time of the engines went.")] = False,
    track: Annotated[
        str | None,
        typer.Option(metavar="TRACKER", help="Log to wandb, mlflow or trackio, or to `module:Class` of yours."),
    ] = None,
    submitted_as: Annotated[str | None, typer.Option(hidden=True)] = None,  # the file, from `submit` to its job
    json_: JsonLines = False,
) -> None:
    """Measure what is missing of a sweep, then score and draw it.

    Runs on the Ray cluster that RAY_ADDRESS names, else on this machine. Run the same command again after an
    interruption: finished points are kept. So they are when you add draws, a wider or finer axis, or a benchmark:

    ```
    landscape-ray run my.yaml --out results/my
    landscape-ray run my.yaml --out results/my --set directions.draws=5
    ```

    With --adaptive a 2-D landscape takes less than half of the visits; the same command without it measures the rest.
    With --until-certified a 1-D sweep ends when it is settled, see `certify`.

    Several files, or a file with a list of `models`, are a campaign: one folder for each model within OUT, one sweep
    after the other, and in the end their scores in one table. All are checked before the first begins, and what fails
    stops no other. The exit code is the worst: 2, 1, 3, 4, 0.

    ```
    landscape-ray run llama.yaml qwen.yaml --out results/models
    landscape-ray run models.yaml --set benchmarks.0.limit=100
    ```

    With --shard i/n, n drivers on n clusters share the points of one folder, and none merges anything. Whoever is
    through takes over from a driver that died, ended early, or did not come within 5 minutes. It exits with 3 while
    others are still at work:

    ```
    landscape-ray run my.yaml --out s3://bucket/my --shard 1/2      # and --shard 2/2 elsewhere
    ```

    Ctrl-C ends after the visits under way; a second one at once.
    """
    share = None if shard is None else library.Shard.parse(shard)
    short = [*(["run.keep_engines_s=600"] if keep_engines else []), *(["run.strict=true"] if strict else [])]
    overrides = [*short, *(set_ or ()), *([] if engines is None else [f"run.engines={engines}"])]
    sweeps = campaigns.load(configs, overrides, adaptive=adaptive, until_certified=until_certified)
    if is_campaign(configs):
        raise typer.Exit(
            campaigns.run(
                sweeps,
                configs,
                out,
                retry_failed=retry_failed,
                profile=profile,
                track=track,
                shard=share,
                as_json=json_,
            )
        )
    config, sweep = configs[0], sweeps[0].config
    folder = out or f"results/{config.stem}"
    near = Path("results", config.stem) if "://" in folder else Path(folder)
    with text.failure_told(as_json=json_):
        if json_:
            print_json(running.start_of_run(sweep, folder))
        shown = running.progress(profile=profile)
        with running.tracking(track, sweep, folder, shown) as told:
            outcome = library.run(sweep, folder, progress=told or shown, retry_failed=retry_failed, shard=shard)
            # Only now, because engines should not wait for what draws figures.
            report = None if outcome.num_missing else library.write_report(folder, near / "report")
            running.tell_end(told, report)
    if json_:
        print_json(running.end_of_run(outcome, report))
    else:
        command = [*(("run", str(config)) if submitted_as is None else ("submit", submitted_as))]
        command += ["--shard", shard] if shard else []
        running.print_run(sweep, command, folder, outcome, report, place=told.place if told else "")
    raise typer.Exit(outcome.exit_code)


@app.command()
def submit(
    config: ConfigFile,
    *,
    out: Annotated[str, typer.Option(metavar="OUT", help="URL for results, or an absolute path that all nodes share.")],
    address: Annotated[
        str, typer.Option(metavar="URL", envvar="RAY_API_SERVER_ADDRESS", help="The cluster's dashboard and job API.")
    ] = "http://127.0.0.1:8265",
    set_: Overrides = None,
    working_dir: Annotated[
        str, typer.Option(metavar="FOLDER", help="Uploaded, but for what .gitignore names: your prompt files.")
    ] = ".",
    env: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME[=VALUE]", help="Give the job a variable of here. Repeatable. No secrets."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try points again that were given up.")] = False,
    shard: ShardText = None,
    follow: Annotated[bool, typer.Option("--follow", help="Print the job's output and exit with its code.")] = False,
) -> None:
    """Run a sweep as a job on a remote Ray cluster. Submitting it again after an interruption resumes it.

    ```
    ray dashboard cluster.yaml &      # forwards the dashboard to http://127.0.0.1:8265
    landscape-ray submit my.yaml --out s3://bucket/my --follow
    ```

    The configuration is checked here and travels with the job, wherever it lies. landscape-ray must be installed on
    the cluster's nodes.

    Nothing of this machine's environment is forwarded but what --env names, such as `--env HF_HUB_OFFLINE=1` or
    `--env VLLM_CACHE_ROOT=/mnt/cache`. Tokens (`HF_TOKEN`, keys of AWS) are refused, because Ray shows the variables of
    a job in its logs and job API: put them into the environment of the cluster's nodes.
    """
    sweep = load_config(config, set_ or ())
    environment = library.forwarded(env or (), os.environ)
    job = library.submit_sweep(
        sweep,
        path=config,
        out=out,
        address=address,
        working_dir=working_dir,
        environment=environment,
        retry_failed=retry_failed,
        shard=None if shard is None else str(library.Shard.parse(shard)),
    )
    ray_job = "RAY_AUTH_MODE=token ray job" if job.with_token else "ray job"
    text.print_facts(
        [
            ("job", job.submission_id),
            ("follow", f"{ray_job} logs {shlex.join(['--address', address])} --follow {job.submission_id}"),
            ("stop", f"{ray_job} stop {shlex.join(['--address', address])} {job.submission_id}"),
            ("resume", "the same landscape-ray submit again"),
            ("status", shlex.join(["landscape-ray", "status", out])),
        ]
    )
    sys.stdout.flush()
    if follow:
        raise typer.Exit(job.follow(_write))


def _write(output: str) -> None:
    sys.stdout.write(output)
    sys.stdout.flush()


@app.command()
def status(out: Out, *, json_: Json = False) -> None:
    """Print how far a sweep is. Exits with 0, 3 or 4 as `run` would.

    ```
    landscape-ray status results/demo
    ```
    """
    found = library.load_status(out)
    print_json(found.document()) if json_ else text.print_facts(found.facts())
    raise typer.Exit(found.exit_code)


@app.command()
def engines(
    *,
    stop: Annotated[bool, typer.Option("--stop", help="End them now.")] = False,
    json_: Json = False,
) -> None:
    """Print the idle engines that earlier runs left up on a cluster with --keep-engines.

    ```
    RAY_ADDRESS=auto landscape-ray engines --stop
    ```
    """
    found = library.kept_engines(stop=stop)
    if json_:
        print_json({"stopped": stop, "engines": [asdict(engine) for engine in found]})
    else:
        ends = [("ended" if stop else f"ends in {engine.left_s:.0f} s") for engine in found]
        text.print_facts(list(zip([engine.model for engine in found], ends, strict=True)) or [("engines", "none")])


@app.command()
def score(
    out: Out,
    *,
    definition: ScoreDefinition = "paper",
    judge: JudgeName = None,
    allow_missing: Annotated[
        bool, typer.Option("--allow-missing", help="Score what is there of an unfinished sweep.")
    ] = False,
    tau: Tau = 50.0,
    radius: Annotated[
        float, typer.Option(metavar="R", min=0, help="Count the draws with a basin of at least this radius.")
    ] = 0.1,
    fail_under: Annotated[
        float | None, typer.Option(metavar="X", help="Exit with 5 if a VISAGE score is below X.")
    ] = None,
    json_: Json = False,
) -> None:
    """Print the scores of each benchmark, with intervals and sample sizes.

    ```
    landscape-ray score results/demo
    landscape-ray score results/demo --json --fail-under 80
    ```

    VISAGE by Eq. 5 of the paper is the mean of 100 - ASR over the points with an ASR below 100 %; in 1-D `reference`
    stands beside it, what the authors' code computes: compare published scores with that one. The mean margin is over
    the whole grid. docs/numerics.md says what each score sees. --definition says which VISAGE --fail-under looks at.
    """
    scores = library.open_results(out, judge).scores(allow_missing=allow_missing, tau_pct=tau, radius=radius)
    judged = [visage.value for visage in scores.visages(definition)]
    print_json(scores.document()) if json_ else text.print_facts(scores.facts())
    # An undefined score is no proof of safety.
    if fail_under is not None and any(value is None or value < fail_under for value in judged):
        raise typer.Exit(5)
