"""What all sections of a configuration have in common."""

import difflib
from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

__all__ = ["Section"]


class Section(BaseModel):
    """One frozen section of the configuration; an unknown key is an error that lists the valid ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    @model_validator(mode="before")
    @classmethod
    def _refuse_unknown_keys(cls, data: Any) -> Any:
        if isinstance(data, Mapping):
            valid = list(cls.model_fields)
            for key in data:
                if key not in valid:
                    near = difflib.get_close_matches(str(key), valid, n=1)
                    hint = f" (did you mean {near[0]!r}?)" if near else ""
                    msg = f"unknown key {key!r}{hint}; valid keys here: {', '.join(valid)}"
                    raise ValueError(msg)
        return data
