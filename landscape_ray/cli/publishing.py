"""`publish`: results for others, on the Hugging Face Hub."""

import tempfile
from pathlib import Path
from typing import Annotated

import typer

from landscape_ray import library
from landscape_ray.cli import text
from landscape_ray.cli.app import JudgeName, Out, app

__all__ = ["publish"]


@app.command()
def publish(
    out: Out,
    *,
    to: Annotated[str, typer.Option(metavar="ADDRESS", help="Data set for rows and scores: hf://datasets/ME/NAME.")],
    space: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="Space for the page of the report: hf://spaces/ME/NAME.")
    ] = None,
    with_answers: Annotated[
        bool, typer.Option("--with-answers", help="Upload prompts and answers, too. They are harmful.")
    ] = False,
    public: Annotated[
        bool, typer.Option("--public", help="Let everybody see it. New repositories are private.")
    ] = False,
    license_: Annotated[str | None, typer.Option("--license", metavar="ID", help="As the Hub names it.")] = None,
    eval_results: Annotated[
        str | None,
        typer.Option(metavar="ME/NAME:TASK", help="Make eval_results.yaml: VISAGE for this benchmark of the Hub."),
    ] = None,
    model_repo: Annotated[
        str | None,
        typer.Option(metavar="ME/NAME", help="Offer it in a pull request to this model of the Hub."),
    ] = None,
    allow_missing: Annotated[bool, typer.Option("--allow-missing", help="Publish an unfinished sweep.")] = False,
    judge: JudgeName = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the files with their sizes. Uploads nothing.")
    ] = False,
) -> None:
    """Upload results to the Hugging Face Hub: a data set with a card, and the page as a Space.

    Prompts, answers and names of machines stay here unless --with-answers asks for texts. Look first:

    ```
    landscape-ray publish results/my --to hf://datasets/me/my-landscape --space hf://spaces/me/my-landscape --dry-run
    ```
    """
    if model_repo is not None and eval_results is None:
        raise typer.BadParameter("--model-repo is of use with --eval-results only.")  # noqa: EM101
    dataset = library.HubRepo.at(to, "dataset")
    page = None if space is None else library.HubRepo.at(space, "space")
    model = None if model_repo is None else library.HubRepo.at(f"hf://models/{model_repo}", "model")
    if not dry_run:
        library.check_token()
    with tempfile.TemporaryDirectory() as folder:
        made = library.make_publication(
            out,
            Path(folder),
            judge=judge,
            with_answers=with_answers,
            allow_missing=allow_missing,
            license_id=license_,
        )
        uploads = [(dataset, dict(made.dataset)), *([] if page is None else [(page, dict(made.space))])]
        if eval_results is not None:
            file = Path(folder, "eval_results.yaml")
            file.write_text(library.eval_results(made, eval_results, dataset.url), encoding="utf-8")
            uploads[0][1][file.name] = file
        for repo, files in uploads:
            text.print_facts([(f"{path.stat().st_size:>12,} B", name) for name, path in files.items()])
            if not dry_run:
                message = f"Sweep {made.results.manifest.sweep_id}"
                library.upload(repo, files, public=public, message=message)
            text.print_facts([("would be at" if dry_run else "published", repo.url)])
        if model is not None and not dry_run:
            text.print_facts([("offered", library.offer_eval_results(model, file.read_text(encoding="utf-8")))])
        elif eval_results is not None:
            where = ".eval_results/visage.yaml of the model's repository"
            text.print_facts([("next", f"copy eval_results.yaml to {where}, or offer it with --model-repo")])
