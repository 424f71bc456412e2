"""What the process that Honk's own are forked from has read and made ready, so that none of them does it again."""

from __future__ import annotations

import gc
from importlib import import_module

gc.disable()

for _name in (
    "honk.cli.commands", "honk.app", "honk.demo", "honk.surfaces.web", "honk.surfaces.github", "honk.surfaces.slack",
    "honk.cli.serve", "honk.cli.run", "honk.cli.tasks", "honk.cli.doctor", "honk.cli.verify", "honk.cli.provenance",
    "uvicorn", "uvicorn.lifespan.on", "uvicorn.loops.auto", "uvicorn.protocols.http.auto",
    "uvicorn.protocols.websockets.auto", "anyio._backends._asyncio", "githubkit", "markdown_it", "pydantic.v1",
    "rich._emoji_codes", "ruamel.yaml", "securesystemslib.dsse", "securesystemslib.signer", "tests.processes",
):  # fmt: skip
    import_module(_name)

from honk.certificates import trusted  # noqa: E402
from honk.cli.commands import command  # noqa: E402
from honk.settings import Settings  # noqa: E402
from honk.workspace.cgroups import places  # noqa: E402
from honk.workspace.sandbox import backend  # noqa: E402

command()
# What holds for this machine, whatever the first test has set. Where there is no sandbox, each finds out for itself.
backend(Settings.model_construct())
places()
trusted()

# Collected once here, what is there is not looked through again by each process that is forked.
gc.collect()
gc.freeze()
gc.enable()
