"""What Honk tells of APKs and bundles, made in Python."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from honk.ship.packages import AndroidFacts, PackageError, package_of_json, read_package
from tests.ship.made_android import (
    V2,
    V3,
    V31,
    Reference,
    Signer,
    apk_files,
    binary_xml,
    insert_block,
    lineage,
    manifest_tree,
    png,
    prefixed,
    proto_xml,
    resources,
    sections,
    signed,
    signer_block,
    signing_block,
    write,
    zipped,
)


@pytest.fixture(scope="module")
def ada() -> Signer:
    return Signer()


def facts(path: Path) -> AndroidFacts:
    found = read_package(path).android
    assert found is not None
    return found


def test_an_apk_tells_its_name_version_icon_and_needs(tmp_path: Path, ada: Signer) -> None:
    files = apk_files() | {"lib/arm64-v8a/libx.so": b"\x7fELF", "lib/x86_64/libx.so": b"\x7fELF"}
    path = write(tmp_path, signed(zipped(files), ada, V2, V3))
    package = read_package(path)
    assert (package.kind, package.identifier, package.name) == ("apk", "com.example.encore", "Encore")
    assert (package.version, package.build, package.minimum_os) == ("1.2.3", "7", "Android 7.0")
    assert package.icon == png(96)
    assert package.size == path.stat().st_size
    android = package.android
    assert android is not None
    assert (android.min_sdk, android.target_sdk, android.version_code) == (24, 34, 7)
    assert android.permissions == ("android.permission.INTERNET",)
    assert android.abis == ("arm64-v8a", "x86_64")
    assert android.resources_ready and not android.debuggable and not android.test_only
    assert android.signing.schemes == ("v2", "v3")
    assert android.signing.valid is True
    assert [one.sha256 for one in android.signing.certificates] == [ada.sha256]
    assert android.signing.certificates[0].subject == "CN=Ada"


def test_a_package_goes_to_json_and_comes_back_the_same(tmp_path: Path, ada: Signer) -> None:
    package = read_package(write(tmp_path, signed(zipped(apk_files()), ada, V2)))
    assert package_of_json(json.loads(json.dumps(package.as_json()))) == package


def test_json_that_is_no_package_is_refused() -> None:
    with pytest.raises(PackageError, match="build it again"):
        package_of_json({"kind": "apk"})


@pytest.mark.parametrize("kind", ["rsa", "rsa512", "pss", "ec"])
def test_signatures_of_each_usual_algorithm_are_verified(tmp_path: Path, kind: str) -> None:
    signing = facts(write(tmp_path, signed(zipped(apk_files()), Signer(kind=kind), V2, V3))).signing
    assert (signing.valid, signing.fault) == (True, None)


def test_content_of_several_chunks_is_verified(tmp_path: Path, ada: Signer) -> None:
    files = apk_files() | {"assets/noise": bytes(range(256)) * 20_000}
    assert facts(write(tmp_path, signed(zipped(files), ada, V2))).signing.valid is True


def test_content_changed_after_signing_is_told(tmp_path: Path, ada: Signer) -> None:
    apk = bytearray(signed(zipped(apk_files()), ada, V2))
    minute_of_the_first_file = 10
    apk[minute_of_the_first_file] ^= 0xFF
    signing = facts(write(tmp_path, bytes(apk))).signing
    assert signing.valid is False
    assert signing.fault == "its content was changed after it was signed (the v2 digest differs)"


def test_a_certificate_that_the_signature_was_not_made_with_is_told(tmp_path: Path, ada: Signer) -> None:
    apk = zipped(apk_files())
    mallory = Signer("Mallory")
    mallory.der = ada.der
    signing = facts(write(tmp_path, signed(apk, mallory, V2))).signing
    assert (signing.valid, signing.fault) == (False, "its v2 signature was not made with its certificate's key")


def test_a_signature_that_does_not_verify_is_told(tmp_path: Path, ada: Signer) -> None:
    apk = zipped(apk_files())
    forged = Signer("Mallory")
    forged.der, forged.public = ada.der, ada.public
    signing = facts(write(tmp_path, signed(apk, forged, V3))).signing
    assert (signing.valid, signing.fault) == (False, "its v3 signature does not fit what it signs")


def test_a_newer_signature_that_was_taken_away_is_told(tmp_path: Path, ada: Signer) -> None:
    apk = zipped(apk_files())
    block = signer_block(ada, sections(apk), attributes={0xBEEFF00D: b"\3\0\0\0"})
    signing = facts(write(tmp_path, insert_block(apk, signing_block({V2: prefixed(block)})))).signing
    assert (signing.valid, signing.fault) == (False, "its v2 signature promises a newer one that is missing")


def test_a_rotated_key_names_its_predecessors(tmp_path: Path, ada: Signer) -> None:
    new = Signer("Grace")
    rotation = {0x3BA06F8C: lineage(ada.der, new.der)}
    signing = facts(write(tmp_path, signed(zipped(apk_files()), new, V3, V31, attributes=rotation))).signing
    assert signing.schemes == ("v3", "v3.1")
    assert [one.sha256 for one in signing.certificates] == [new.sha256]
    assert signing.earlier == (ada.sha256,)


def test_an_unknown_algorithm_is_said_to_be_unknown(tmp_path: Path) -> None:
    odd = Signer()
    odd.algorithm = 0x0999
    signing = facts(write(tmp_path, signed(zipped(apk_files()), odd, V2))).signing
    assert (signing.valid, signing.fault) == (None, "it is signed with an algorithm that Honk does not know")


def test_an_unsigned_apk_has_no_scheme(tmp_path: Path) -> None:
    signing = facts(write(tmp_path, zipped(apk_files()))).signing
    assert (signing.schemes, signing.valid) == ((), None)


def test_a_v1_signature_tells_its_certificate(tmp_path: Path, ada: Signer) -> None:
    instructions = b"Signature-Version: 1.0\r\n\r\n"
    files = apk_files() | {"META-INF/ADA.SF": instructions, "META-INF/ADA.RSA": ada.jar(instructions)}
    signing = facts(write(tmp_path, zipped(files))).signing
    assert signing.schemes == ("v1",)
    assert signing.valid is None
    assert signing.certificates[0].sha256 == ada.sha256


def test_a_v1_signature_that_promises_v2_without_one_is_told(tmp_path: Path, ada: Signer) -> None:
    instructions = b"Signature-Version: 1.0\r\nX-Android-APK-Signed: 2, 3\r\n\r\n"
    files = apk_files() | {"META-INF/ADA.SF": instructions, "META-INF/ADA.RSA": ada.jar(instructions)}
    signing = facts(write(tmp_path, zipped(files))).signing
    assert signing.valid is False
    assert signing.fault == "its v1 signature promises a newer one (v2, v3) that is missing"


def test_debug_certificates_are_known_by_their_name(tmp_path: Path) -> None:
    assert facts(write(tmp_path, signed(zipped(apk_files()), Signer("Android Debug"), V2))).signing.debug
    assert not facts(write(tmp_path, signed(zipped(apk_files()), Signer("Debug Ltd"), V2))).signing.debug


def test_the_label_comes_in_the_default_language_and_as_one_line(tmp_path: Path) -> None:
    files = apk_files() | {"resources.arsc": resources("Enc\u202eore\n  \u00dcn\u00ef")}
    assert read_package(write(tmp_path, zipped(files))).name == "Encore Ünï"


def test_a_label_that_leads_nowhere_gives_way_to_the_application_id(tmp_path: Path) -> None:
    path = write(tmp_path, zipped(apk_files(label=Reference(0x7F990000))))
    assert read_package(path).name == "com.example.encore"


def test_a_drawn_icon_is_left_out(tmp_path: Path) -> None:
    files = apk_files() | {"resources.arsc": resources(icons={0xFFFE: "res/any/ic.xml"})}
    assert read_package(write(tmp_path, zipped(files))).icon is None


def test_old_text_encoding_big_version_codes_and_previews_are_read(tmp_path: Path) -> None:
    tree = manifest_tree(root={"versionCodeMajor": 2}, target="Baklava", application={"debuggable": True})
    files = apk_files() | {"AndroidManifest.xml": binary_xml(tree, utf8=False)}
    android = facts(write(tmp_path, zipped(files)))
    assert android.version_code == (2 << 32) + 7
    assert android.target_sdk == 10_000
    assert android.debuggable


@pytest.mark.parametrize(
    ("files", "words"),
    [
        pytest.param(lambda: apk_files(package="nodots"), "no valid application id", id="a bad application id"),
        pytest.param(lambda: apk_files(root={"split": "config.de"}), "part 'config.de' of an app", id="a split"),
        pytest.param(lambda: {"AndroidManifest.xml": b"<manifest/>"}, "compiled form", id="a manifest as text"),
        pytest.param(lambda: {"classes.dex": b"dex"}, "neither an APK, an AAB nor an IPA", id="no manifest"),
    ],
)
def test_what_is_no_whole_app_is_refused(tmp_path: Path, files: Callable[[], dict[str, bytes]], words: str) -> None:
    with pytest.raises(PackageError, match=words):
        read_package(write(tmp_path, zipped(files())))


def test_test_only_apks_and_parts_of_apps_are_marked(tmp_path: Path) -> None:
    tree = manifest_tree(application={"testOnly": True})
    splits = ("meta-data", {"name": "com.android.vending.splits.required", "value": True}, [])
    tree[2][-1][2].append(splits)
    android = facts(write(tmp_path, zipped(apk_files() | {"AndroidManifest.xml": binary_xml(tree)})))
    assert android.test_only and android.split_required


def test_a_bundle_tells_what_its_manifest_says(tmp_path: Path) -> None:
    tree = manifest_tree(label="Encore", icon="@mipmap/ic")
    files = {
        "base/manifest/AndroidManifest.xml": proto_xml(tree),
        "base/lib/arm64-v8a/libx.so": b"",
        "BundleConfig.pb": b"",
    }
    package = read_package(write(tmp_path, zipped(files), "app.aab"))
    assert (package.kind, package.identifier, package.name) == ("aab", "com.example.encore", "Encore")
    assert (package.version, package.build, package.minimum_os) == ("1.2.3", "7", "Android 7.0")
    assert package.android and package.android.permissions == ("android.permission.INTERNET",)
    assert package.android.target_sdk == 34
    assert package.android.abis == ("arm64-v8a",)
