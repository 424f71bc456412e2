"""Pictures of web previews, taken as a phone shows them."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from honk.app import assemble
from honk.model import Artifact
from honk.settings import read_settings
from tests.conftest import git

pytestmark = pytest.mark.usefixtures("sandbox")

_PAINTED = """\
<!doctype html>{viewport}<body style="margin:0"><script>
const phone = innerWidth === {wide} && navigator.maxTouchPoints > 0 && /Mobile/.test(navigator.userAgent);
document.body.style.background = phone ? "rgb(0, 128, 0)" : "rgb(255, 0, 0)";
</script>
"""


@pytest.mark.parametrize(
    ("viewport", "wide"),
    [("<meta name=viewport content='width=device-width'>", 390), ("", 980)],
    ids=["told", "untold"],
)
def test_a_page_is_pictured_as_a_phone_lays_it_out_from_its_first_script_on(
    viewport: str, wide: int, tmp_path: Path, home: Path, make_repository: Callable[..., Path]
) -> None:
    repo = make_repository({"app.txt": "app\n"})
    site = tmp_path / "site"
    site.mkdir()
    (site / "index.html").write_text(_PAINTED.replace("{viewport}", viewport).replace("{wide}", str(wide)))
    honk = assemble(read_settings(home=home))
    repository = honk.forges.resolve(str(repo))
    sha = honk.workspaces.fetch(repository)
    artifact = Artifact("web", git(repo, "rev-parse", "HEAD"), "a" * 64, 1)
    with honk.workspaces.checkout(repository, sha) as checkout:
        if not honk.screenshots.take(checkout, artifact, site):
            pytest.skip("this machine has no Chromium, or no Playwright")
    picture = honk.screenshots.path(artifact.sha256)
    assert picture is not None
    shown = Image.open(io.BytesIO(picture.read_bytes())).convert("RGB")
    assert (shown.width, round(shown.height, -1)) == (780, 1690)
    assert shown.getpixel((390, 800)) == (0, 128, 0)
