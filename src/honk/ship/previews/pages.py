"""What people read where a preview has nothing to show."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from starlette.datastructures import Headers
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.types import Scope

_PAGE = """\
<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
  :root {{ color-scheme: light dark }}
  body {{ font: 1.1rem/1.5 system-ui, sans-serif; max-width: 32rem; margin: 20vh auto 0; padding: 0 1.25rem }}
</style>
<p>{sentence}</p>
{link}</html>
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"


def plain(
    status: int, sentence: str, *, thread: str | None = None, headers: Mapping[str, str] | None = None
) -> HTMLResponse:
    """One sentence, and a link to the task's thread where there is one."""
    link = f'<p><a href="{escape(thread)}">Open its thread</a></p>\n' if thread else ""
    page = _PAGE.format(title=f"{status} · preview", sentence=escape(sentence, quote=False), link=link)
    told = {"content-security-policy": _POLICY, "cache-control": "no-store"} | dict(headers or {})
    return HTMLResponse(page, status_code=status, headers=told)


def away(status: int, sentence: str, scope: Scope) -> Response:
    """What production says where it has nothing to serve: a page to people, text to programs."""
    told = {"cache-control": "no-store", "retry-after": "2"}
    if "text/html" in Headers(scope=scope).get("accept", ""):
        page = _PAGE.format(title=status, sentence=escape(sentence, quote=False), link="")
        return HTMLResponse(page, status, told | {"content-security-policy": _POLICY})
    return PlainTextResponse(sentence, status, told)
