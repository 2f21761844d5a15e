"""Configurations: dataclasses with transformers' field names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

C = TypeVar("C", bound="Config")


@dataclasses.dataclass
class Config:
    """What models have in common; a subclass has the fields of its `config.json`."""

    model_type: ClassVar[str] = ""
    refused: ClassVar[Mapping[str, Any]] = {}
    """Fields that change what a model computes, with the one value that is implemented."""

    @classmethod
    def from_dict(cls: type[C], values: Mapping[str, Any]) -> C:
        """From the fields of a config.json; those that change no number are ignored.

        ValueError for a field whose meaning is not implemented.
        """
        for name, only in cls.refused.items():
            if values.get(name, only) != only:
                raise ValueError(f"{cls.__name__}: {name}={values[name]!r} is not supported")
        names = {field.name for field in dataclasses.fields(cls)}
        return cls(**{key: value for key, value in values.items() if key in names})

    def to_dict(self) -> dict[str, Any]:
        """The fields, with `model_type`, as in a config.json."""
        return {"model_type": self.model_type, **dataclasses.asdict(self)}
