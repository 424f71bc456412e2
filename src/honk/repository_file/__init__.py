"""`honk.yaml`: what a repository says about itself. Read from the base branch only; every key is optional."""

from honk.repository_file.keys import (
    SERVICE,
    Build,
    Deploy,
    Health,
    JudgeMode,
    Metric,
    Preview,
    RepositoryFile,
    Service,
    VerifyStep,
    json_schema,
)
from honk.repository_file.reading import RepositoryFileError, parse_repository_file

__all__ = [
    "SERVICE",
    "Build",
    "Deploy",
    "Health",
    "JudgeMode",
    "Metric",
    "Preview",
    "RepositoryFile",
    "RepositoryFileError",
    "Service",
    "VerifyStep",
    "json_schema",
    "parse_repository_file",
]
