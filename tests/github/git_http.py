"""Git over HTTP as servers have it: the real `git http-backend`, run for each request."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable
from pathlib import Path

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

Allowed = Callable[[str, str, bool], bool]
"""Whether a token may read or write (True) a repository `owner/name`."""


async def serve_git(request: Request, folder: Path, allowed: Allowed) -> Response:
    """Answer one request below the root of the git host."""
    path = request.url.path
    repository = "/".join(path.strip("/").split("/")[:2]).removesuffix(".git")
    writes = "git-receive-pack" in path or request.query_params.get("service") == "git-receive-pack"
    scheme, _, given = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "basic":
        return PlainTextResponse("Sign in.", 401, {"www-authenticate": 'Basic realm="GitHub"'})
    token = base64.b64decode(given).decode().partition(":")[2]
    if not allowed(token, repository, writes):
        return PlainTextResponse("Not yours.", 403)
    if not (folder / f"{repository}.git").is_dir():
        return PlainTextResponse("Not Found", 404)
    body = await request.body()
    suffix = path.strip("/").split("/", 2)
    process = await asyncio.create_subprocess_exec(
        "git", "-c", "http.receivepack=true", "-c", "uploadpack.allowFilter=true", "http-backend",
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
        env={
            "PATH": "/usr/bin:/bin", "GIT_PROJECT_ROOT": str(folder), "GIT_HTTP_EXPORT_ALL": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_COUNT": "1",
            "GIT_CONFIG_KEY_0": "safe.directory", "GIT_CONFIG_VALUE_0": "*",
            "PATH_INFO": f"/{repository}.git/{suffix[2] if len(suffix) > 2 else ''}",
            "QUERY_STRING": request.url.query, "REQUEST_METHOD": request.method, "REMOTE_USER": "someone",
            "CONTENT_TYPE": request.headers.get("content-type", ""), "CONTENT_LENGTH": str(len(body)),
            "HTTP_CONTENT_ENCODING": request.headers.get("content-encoding", ""),
            "HTTP_GIT_PROTOCOL": request.headers.get("git-protocol", ""),
            "GIT_PROTOCOL": request.headers.get("git-protocol", ""),
        },
    )  # fmt: skip
    out, _ = await process.communicate(body)
    head, _, rest = out.partition(b"\r\n\r\n")
    headers = dict(line.split(": ", 1) for line in head.decode().split("\r\n") if ": " in line)
    status = int(headers.pop("Status", "200").split()[0])
    return Response(rest, status, headers)
