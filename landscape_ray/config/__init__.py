"""What a user asks for: `SweepConfig`, and how it is read from YAML, the environment and `--set`.

A configuration has two halves. The *science* half (everything but `run`) says what is measured; its hash is the
`sweep_id`. The `run` half says how: cluster size, retries, memory. It may change between resumes of one sweep.
"""

from landscape_ray.config.adaptive import AdaptiveConfig
from landscape_ray.config.benchmarks import (
    GENERATED_METRICS,
    SCORED_METRICS,
    BenchmarkConfig,
    DecodingConfig,
    Metric,
    MultipleChoiceConfig,
    ReasoningConfig,
)
from landscape_ray.config.campaign import CampaignSweep, is_campaign, load_campaign
from landscape_ray.config.certify import CertifyConfig, check_radius
from landscape_ray.config.direction_kinds import (
    AnyDirections,
    ComplementDirections,
    DirectionConfig,
    EngineDirection,
    GradientDirection,
    GroupDirections,
    LowRankDirections,
    PruningDirection,
    QuantizationErrorDirection,
    RandomDirections,
    RefusalAblationDirection,
    SvdDirection,
    TaskVectorDirection,
)
from landscape_ray.config.directions import DirectionsConfig, Normalization
from landscape_ray.config.landscape import (
    AnatomyLandscape,
    AxisConfig,
    GroupConfig,
    InterpolationLandscape,
    InterpolationRandomLandscape,
    LandscapeConfig,
    Module,
    PlaneLandscape,
    RandomLandscape,
)
from landscape_ray.config.loading import load_config
from landscape_ray.config.model import CheckpointConfig, ModelConfig
from landscape_ray.config.problems import problems_of
from landscape_ray.config.prompts import (
    AdvBenchPrompts,
    DemoPrompts,
    FilePrompts,
    HubPrompts,
    InspectPrompts,
    NamedPrompts,
    PromptsConfig,
)
from landscape_ray.config.run import RunConfig, SyntheticFaults
from landscape_ray.config.section import Section
from landscape_ray.config.sweep import SweepConfig, leaves_norms

__all__ = [
    "GENERATED_METRICS",
    "SCORED_METRICS",
    "AdaptiveConfig",
    "AdvBenchPrompts",
    "AnatomyLandscape",
    "AnyDirections",
    "AxisConfig",
    "BenchmarkConfig",
    "CampaignSweep",
    "CertifyConfig",
    "CheckpointConfig",
    "ComplementDirections",
    "DecodingConfig",
    "DemoPrompts",
    "DirectionConfig",
    "DirectionsConfig",
    "EngineDirection",
    "FilePrompts",
    "GradientDirection",
    "GroupConfig",
    "GroupDirections",
    "HubPrompts",
    "InspectPrompts",
    "InterpolationLandscape",
    "InterpolationRandomLandscape",
    "LandscapeConfig",
    "LowRankDirections",
    "Metric",
    "ModelConfig",
    "Module",
    "MultipleChoiceConfig",
    "NamedPrompts",
    "Normalization",
    "PlaneLandscape",
    "PromptsConfig",
    "PruningDirection",
    "QuantizationErrorDirection",
    "RandomDirections",
    "RandomLandscape",
    "ReasoningConfig",
    "RefusalAblationDirection",
    "RunConfig",
    "Section",
    "SvdDirection",
    "SweepConfig",
    "SyntheticFaults",
    "TaskVectorDirection",
    "check_radius",
    "is_campaign",
    "leaves_norms",
    "load_campaign",
    "load_config",
    "problems_of",
]
