"""Build the app: `python3 android/build.py` packs the site into `android/out/encore.apk`.

Needs what Debian calls aapt, android-framework-res, libsmali-java, zipalign, apksigner and a Java. The key that signs it is for
trying things out: it lies beside this file, as the one of Android's own tools lies in every developer's home.
"""

import os
import shutil
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
FRAMEWORK = "/usr/share/android-framework-res/framework-res.apk"
OUT = HERE / "out"
SMALI = Path("/usr/share/java/smali.jar")
"""Where the assembler lies on systems that have it as a library alone."""


def run(*command: str) -> str:
    done = subprocess.run(command, cwd=HERE, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(f"{command[0]} failed:\n{done.stdout}{done.stderr}")
    return done.stdout


def main() -> None:
    missing = [tool for tool in ("aapt", "java", "zipalign", "apksigner") if not shutil.which(tool)]
    assembler = ("smali",) if shutil.which("smali") else ("java", "-cp", str(SMALI), "org.jf.smali.Main")
    if assembler[0] == "java" and not SMALI.exists():
        missing.append("smali")
    if missing:
        sys.exit(f"Missing here: {', '.join(missing)}.")
    # Each of these tools is a Java program that ends within a second or two.
    os.environ["JAVA_TOOL_OPTIONS"] = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
    # Phones refuse an update with a lower number than what they have.
    number = run("git", "rev-list", "--count", "HEAD").strip()
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    sys.path.insert(0, str(HERE.parent))
    import build

    build.build(OUT / "site")
    run(*assembler, "assemble", "--api", "24", "-o", "out/classes.dex", "smali")
    version = ("--version-code", number, "--version-name", f"1.{number}")
    packed = ("aapt", "package", "-f", "-M", "AndroidManifest.xml", "-S", "res", "-A", "out/site", "-I", FRAMEWORK)
    run(*packed, *version, "-F", "out/unsigned.apk")
    subprocess.run(("aapt", "add", "unsigned.apk", "classes.dex"), cwd=OUT, check=True, stdout=subprocess.DEVNULL)
    run("zipalign", "-f", "4", "out/unsigned.apk", "out/aligned.apk")
    key = ("--ks", "trial.keystore", "--ks-pass", "pass:android")
    schemes = ("--v1-signing-enabled", "false", "--v4-signing-enabled", "false")
    run("apksigner", "sign", *key, *schemes, "--out", "out/encore.apk", "out/aligned.apk")
    print(f"android/out/encore.apk, version 1.{number}")


if __name__ == "__main__":
    main()
