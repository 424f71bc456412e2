"""APKs that Android's own tools make, as a build on somebody's machine would."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tests.ship.made_android import png
from tests.ship.test_real_apks import FRAMEWORK, MISSING, run

__all__ = ["MISSING", "real_apk", "signing_key"]

_MANIFEST = """<manifest xmlns:android="http://schemas.android.com/apk/res/android" package="com.example.encore"
  android:versionCode="{code}" android:versionName="{name}">
  <uses-sdk android:minSdkVersion="24" android:targetSdkVersion="35"/>
  {permissions}
  <application android:label="Encore" android:icon="@mipmap/ic" android:hasCode="false"/>
</manifest>"""


def signing_key(folder: Path, name: str) -> Path:
    """A new key, in a store of its own."""
    made = ("-alias", "a", "-keyalg", "EC", "-keysize", "256", "-validity", "9000", "-dname", f"CN={name}")
    passwords = ("-storepass", "android", "-keypass", "android")
    run(folder, "keytool", "-genkeypair", "-keystore", f"{name}.jks", *passwords, *made)
    return folder / f"{name}.jks"


def real_apk(
    folder: Path, key: Path, *, code: int = 7, name: str = "1.2.3", permissions: Sequence[str] = ("INTERNET",)
) -> bytes:
    """An app packaged by aapt, aligned by zipalign and signed by apksigner."""
    place = folder / f"made-{code}-{name}-{key.stem}"
    (place / "res/mipmap-xhdpi").mkdir(parents=True)
    (place / "res/mipmap-xhdpi/ic.png").write_bytes(png(96, b"\xb9\x56\x0f\xff"))
    asked = "".join(f'<uses-permission android:name="android.permission.{one}"/>' for one in permissions)
    (place / "AndroidManifest.xml").write_text(_MANIFEST.format(code=code, name=name, permissions=asked))
    packaged = ("aapt", "package", "-f", "-F", "raw.apk", "-M", "AndroidManifest.xml", "-S", "res", "-I")
    run(place, *packaged, str(FRAMEWORK))
    run(place, "zipalign", "-f", "4", "raw.apk", "aligned.apk")
    run(place, "apksigner", "sign", "--ks", str(key), "--ks-pass", "pass:android", "--out", "app.apk", "aligned.apk")
    return (place / "app.apk").read_bytes()
