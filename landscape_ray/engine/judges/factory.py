"""From a judge's configuration to a judge; what one needs is imported only when it is asked for."""

from dataclasses import dataclass

from landscape_ray.config import ModelConfig
from landscape_ray.engine.checkpoints.resolution import ResolvedModel, resolve
from landscape_ray.errors import CheckpointError, ResourceError, in_brief
from landscape_ray.evaluation.judge_config import (
    EndpointJudgeConfig,
    FunctionJudgeConfig,
    JudgeConfig,
    KeywordJudgeConfig,
    ModelJudgeConfig,
    judge_version,
)
from landscape_ray.evaluation.judging import ExchangeJudge, KeywordExchangeJudge

__all__ = ["ResolvedJudge", "create_judge", "resolve_judge"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResolvedJudge:
    """A judge that can no longer change. Plain data without secrets: it is sent to the nodes that judge."""

    config: JudgeConfig
    """As asked."""
    model: ResolvedModel | None
    """Its model, pinned; None for judges without one here."""
    source: str | None
    """Hash of the source of its function; None for judges that are none."""
    version: str
    """Name and hash of everything that decides its verdicts."""


def resolve_judge(config: JudgeConfig) -> ResolvedJudge:
    """Pin a judge.

    Raises:
        UserError: Its model, its key or its function cannot be had.
    """
    model, source = None, None
    if isinstance(config, ModelJudgeConfig):
        model = resolve(config.model)
    elif isinstance(config, FunctionJudgeConfig):
        from landscape_ray.engine.judges.function import function_source  # noqa: PLC0415

        source = function_source(config)
    elif isinstance(config, EndpointJudgeConfig):
        from landscape_ray.engine.judges.endpoint import api_key  # noqa: PLC0415

        api_key(config)
    version = judge_version(config, model.fingerprint if model else source)
    return ResolvedJudge(config=config, model=model, source=source, version=version)


def create_judge(judge: ResolvedJudge) -> ExchangeJudge:
    """Build a judge in this process.

    Raises:
        UserError: It cannot be built as configured; the message says what to change.
    """
    match judge:
        case ResolvedJudge(config=KeywordJudgeConfig(phrases=phrases)):
            return KeywordExchangeJudge(phrases)
        case ResolvedJudge(config=EndpointJudgeConfig() as config):
            from landscape_ray.engine.judges.endpoint import EndpointJudge  # noqa: PLC0415

            return EndpointJudge(config)
        case ResolvedJudge(config=FunctionJudgeConfig() as config, source=str(source)):
            from landscape_ray.engine.judges.function import FunctionJudge  # noqa: PLC0415

            return FunctionJudge(config, source)
        case ResolvedJudge(config=ModelJudgeConfig() as config, model=ResolvedModel() as model):
            _check_model(model)
            try:
                from landscape_ray.engine.judges.vllm import VllmJudge  # noqa: PLC0415

                return VllmJudge(config, model)
            except ImportError as error:
                msg = (
                    "A judge model needs vLLM, which cannot be imported here. Install landscape-ray[gpu] on a GPU "
                    f"machine, or use a judge behind an endpoint. Python says: {in_brief(error)}."
                )
                raise ResourceError(msg) from error
        case _:
            raise AssertionError(judge)


def _check_model(model: ResolvedModel) -> None:
    """Make sure that a folder is here what it is for the driver; a commit on the Hub is so by its name."""
    if model.revision is None and resolve(ModelConfig(id=model.location)).fingerprint != model.fingerprint:
        msg = f"The judge model in {model.location} is another one here than on the driver's machine."
        raise CheckpointError(msg)
