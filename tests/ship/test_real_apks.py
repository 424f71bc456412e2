"""Honk's reading against Android's own tools: packages that aapt, aapt2, zipalign and apksigner made."""

from __future__ import annotations

import re
import shutil
import subprocess
import tracemalloc
import zipfile
from datetime import UTC, datetime
from pathlib import Path

import pytest

from honk.ship.packages import AndroidFacts, PackageError, obstacles, read_package
from tests.ship.made_android import png

FRAMEWORK = Path("/usr/share/android-framework-res/framework-res.apk")
MISSING = [name for name in ("aapt", "aapt2", "zipalign", "apksigner", "keytool") if not shutil.which(name)]
MISSING += [] if FRAMEWORK.exists() else [str(FRAMEWORK)]
pytestmark = pytest.mark.skipif(
    bool(MISSING),
    reason=f"not on this machine: {', '.join(MISSING)} (Debian: aapt android-framework-res zipalign apksigner "
    "openjdk-17-jdk-headless)",
)

MANIFEST = """<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="com.example.encore"
  android:versionCode="7" android:versionName="1.2.3">
  <uses-sdk android:minSdkVersion="21" android:targetSdkVersion="34"/>
  <uses-permission android:name="android.permission.INTERNET"/>
  <uses-permission-sdk-23 android:name="android.permission.CAMERA"/>
  <application android:label="@string/app_name" android:icon="@mipmap/ic" android:debuggable="true"
    android:hasCode="false"/>
</manifest>"""


def run(folder: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a label in two languages, an icon in two densities, and two keys."""
    folder = tmp_path_factory.mktemp("project")
    (folder / "AndroidManifest.xml").write_text(MANIFEST)
    for values, label in (("values", "Encore Ünï"), ("values-de", "Zugabe")):
        (folder / "res" / values).mkdir(parents=True)
        text = f'<resources><string name="app_name">{label}</string></resources>'
        (folder / "res" / values / "strings.xml").write_text(text)
    for density, side in (("mdpi", 48), ("xhdpi", 96)):
        (folder / f"res/mipmap-{density}").mkdir()
        (folder / f"res/mipmap-{density}/ic.png").write_bytes(png(side))
    for name, subject, kind in (
        ("rsa", "CN=Android Debug,O=Android,C=US", ("RSA", "2048")),
        ("ec", "CN=New", ("EC", "256")),
    ):
        run(
            folder,
            *("keytool", "-genkeypair", "-keystore", f"{name}.jks", "-storepass", "android", "-keypass", "android"),
            *("-alias", "a", "-keyalg", kind[0], "-keysize", kind[1], "-validity", "9000", "-dname", subject),
        )
    run(
        folder, "aapt", "package", "-f", "-F", "raw.apk", "-M", "AndroidManifest.xml", "-S", "res", "-I", str(FRAMEWORK)
    )
    run(folder, "zipalign", "-f", "4", "raw.apk", "aligned.apk")
    run(folder, "aapt2", "compile", "--dir", "res", "-o", "compiled.zip")
    return folder


def signed(project: Path, name: str, *options: str, key: str = "rsa") -> Path:
    arguments = ("--ks", f"{key}.jks", "--ks-pass", "pass:android", "--out", name, *options, "aligned.apk")
    run(project, "apksigner", "sign", *arguments)
    return project / name


def facts(path: Path) -> AndroidFacts:
    found = read_package(path).android
    assert found is not None
    return found


def test_what_aapt_made_is_read_as_aapt_reads_it(project: Path) -> None:
    package = read_package(project / "aligned.apk")
    badging = run(project, "aapt", "dump", "badging", "aligned.apk")
    assert f"name='{package.identifier}' versionCode='{package.build}' versionName='{package.version}'" in badging
    assert f"application-label:'{package.name}'" in badging
    android = package.android
    assert android is not None
    assert f"sdkVersion:'{android.min_sdk}'" in badging and f"targetSdkVersion:'{android.target_sdk}'" in badging
    assert set(android.permissions) == {"android.permission.INTERNET", "android.permission.CAMERA"}
    assert android.debuggable and android.resources_ready
    assert package.icon and package.icon[16:24] == (96).to_bytes(4, "big") * 2
    assert android.signing.schemes == ()


@pytest.mark.parametrize("sparse", [False, True])
def test_what_aapt2_made_is_read_the_same(project: Path, sparse: bool) -> None:
    options = ("--enable-sparse-encoding",) if sparse else ()
    name = f"linked-{sparse}.apk"
    arguments = ("-I", str(FRAMEWORK), "--manifest", "AndroidManifest.xml", *options, "compiled.zip")
    run(project, "aapt2", "link", "-o", name, *arguments)
    package = read_package(project / name)
    assert (package.identifier, package.name, package.version) == ("com.example.encore", "Encore Ünï", "1.2.3")
    assert package.icon is not None


def test_a_bundles_manifest_that_aapt2_made_is_read(project: Path) -> None:
    arguments = ("-I", str(FRAMEWORK), "--manifest", "AndroidManifest.xml", "--proto-format", "compiled.zip")
    run(project, "aapt2", "link", "-o", "proto.apk", *arguments)
    with zipfile.ZipFile(project / "proto.apk") as parts, zipfile.ZipFile(project / "app.aab", "w") as bundle:
        bundle.writestr("base/manifest/AndroidManifest.xml", parts.read("AndroidManifest.xml"))
    package = read_package(project / "app.aab")
    assert (package.kind, package.identifier, package.build) == ("aab", "com.example.encore", "7")
    assert package.android and (package.android.min_sdk, package.android.target_sdk) == (21, 34)
    assert package.android.debuggable


@pytest.mark.parametrize(
    ("schemes", "key"),
    [(("v1", "v2"), "rsa"), (("v1", "v2", "v3"), "rsa"), (("v2", "v3"), "ec"), (("v3",), "ec")],
    ids=str,
)
def test_signatures_are_read_and_verified_as_apksigner_does(project: Path, schemes: tuple[str, ...], key: str) -> None:
    options = [f"--{scheme}-signing-enabled={str(scheme in schemes).lower()}" for scheme in ("v1", "v2", "v3")]
    path = signed(project, f"{'-'.join(schemes)}-{key}.apk", *options, "--min-sdk-version", "28", key=key)
    printed = run(project, "apksigner", "verify", "--min-sdk-version", "28", "--print-certs", path.name)
    digest = re.search(r"certificate SHA-256 digest: (\w+)", printed)
    signing = facts(path).signing
    assert digest and [one.sha256 for one in signing.certificates] == [digest[1]]
    assert (signing.schemes, signing.valid, signing.debug) == (schemes, True, key == "rsa")


def test_a_v1_signature_alone_is_an_obstacle_as_apksigner_says(project: Path) -> None:
    path = signed(project, "v1.apk", "--v2-signing-enabled=false", "--v3-signing-enabled=false")
    printed = subprocess.run(
        ["apksigner", "verify", str(path)], capture_output=True, text=True, check=False, timeout=120
    )
    assert "requires a minimum of signature scheme v2" in printed.stdout + printed.stderr
    package = read_package(path)
    assert package.android and package.android.signing.schemes == ("v1",)
    found = obstacles(package, previous=None, device=None, https=True, now=datetime(2026, 9, 1, tzinfo=UTC))
    assert [one.code for one in found if one.blocks] == ["only-v1"]


def test_a_rotated_key_is_read_as_apksigner_writes_it(project: Path) -> None:
    old, new = (("--ks", f"{key}.jks", "--ks-pass", "pass:android") for key in ("rsa", "ec"))
    run(project, "apksigner", "rotate", "--out", "lineage", "--old-signer", *old, "--new-signer", *new)
    options = ("--next-signer", *new, "--lineage", "lineage", "--min-sdk-version", "24")
    signing = facts(signed(project, "rotated.apk", *options)).signing
    before = facts(signed(project, "before.apk")).signing
    assert signing.valid is True
    assert signing.certificates[0].subject == "CN=New"
    assert signing.earlier == (before.certificates[0].sha256,)


def test_what_apksigner_refuses_is_refused(project: Path) -> None:
    path = signed(project, "spoilt.apk")
    content = bytearray(path.read_bytes())
    content[10] ^= 0xFF
    path.write_bytes(content)
    done = subprocess.run(["apksigner", "verify", str(path)], capture_output=True, check=False, timeout=120)
    assert done.returncode != 0
    assert facts(path).signing.valid is False


def test_androids_own_45_megabytes_are_read_in_little_memory_and_are_no_app() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(PackageError, match="no valid application id"):
            read_package(FRAMEWORK)
        memory = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert memory < 120 << 20
