"""Which models: the one at the centre, and further checkpoints."""

from pydantic import Field

from landscape_ray.config.section import Section

__all__ = ["CheckpointConfig", "ModelConfig"]


class ModelConfig(Section):
    """The aligned model at the centre of the landscape."""

    id: str = Field(min_length=1)
    """A Hub id, a folder with safetensors, or `demo:aligned` / `demo:finetuned` for the embedded models."""
    revision: str | None = None
    """Branch, tag or commit on the Hub; resolved to a commit before anything is measured. Null: the default branch."""


class CheckpointConfig(Section):
    """A further checkpoint of the same architecture, whose difference from the model is a direction."""

    id: str = Field(min_length=1)
    """As `model.id`; or a PEFT LoRA adapter (folder, Hub id, or `demo:adapter` of the embedded model), which stands for
    the model with the adapter merged."""
    revision: str | None = None
    """Branch, tag or commit on the Hub, as `model.revision`."""
    name: str | None = Field(default=None, min_length=1)
    """How figures and tables call it; null: its id and revision."""

    @property
    def label(self) -> str:
        """What figures and tables call it."""
        return self.name or (f"{self.id}@{self.revision}" if self.revision else self.id)
