"""Builds that a repository has without saying so in honk.yaml."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Mapping

from honk.repository_file import Build, RepositoryFile
from honk.ship.builds.tracked import Tracked

_STATIC = ("public", "www", "site", "static", "_site", "dist", "docs")
"""Folders that are a web site if an `index.html` is tracked in them."""

_OUTPUTS = (
    ("expo", "dist"), ("next", "out"), ("react-scripts", "build"), ("gatsby", "public"), ("astro", "dist"),
    ("@sveltejs/adapter-static", "build"), ("@vue/cli-service", "dist"), ("@11ty/eleventy", "_site"),
    ("nuxt", ".output/public"), ("@docusaurus/core", "build"), ("vitepress", "docs/.vitepress/dist"), ("vite", "dist"),
    ("parcel", "dist"), ("webpack", "dist"),
)  # fmt: skip
"""Where each tool puts what it makes if it is not told otherwise; the tool that builds on another comes first."""

_APPLICATION = re.compile(
    r"['\"]com\.android\.application['\"]|alias\(\s*libs\.plugins\.android\.?application\s*\)", re.IGNORECASE
)

_LANES = ("adhoc", "ad_hoc", "beta", "build")
"""Fastlane lanes that make an IPA for people, by their usual names."""


def plan_builds(tracked: Tracked, file: RepositoryFile) -> Mapping[str, Build | str]:
    """The builds by name: those honk.yaml names, or else those its contents ask for. Text says why one cannot be made
    as things are."""
    if file.builds is not None:
        return dict(file.builds)
    found = {"web": _web(tracked), **_android(tracked), "ios": _ios(tracked)}
    return {name: build for name, build in found.items() if build is not None}


def _web(tracked: Tracked) -> Build | str | None:
    scripts = tracked.package("scripts")
    used = tracked.package("dependencies") | tracked.package("devDependencies")
    tool = next((name for name, _ in _OUTPUTS if name in used), None)
    program = _package_manager(tracked)
    if tool == "expo" and ("react-native-web" in used or "build" not in scripts):
        if "react-native-web" not in used:
            return None
        return Build(run="npx expo export --platform web", output="dist")
    if "build" not in scripts:
        return _static(tracked)
    if tool == "next" and not re.search(r"output\s*:\s*['\"]export['\"]", _configuration(tracked, "next.config")):
        return (
            "Next.js makes a page that can be tried with `output: 'export'` in its configuration, or name the build in "
            "`builds` of honk.yaml."
        )
    output = _told_output(tracked, str(scripts["build"])) or dict(_OUTPUTS).get(tool or "", "")
    # A library's `build` makes no page: only a tool for pages, or a page that is there already, says that this does.
    if not output and not tracked.first("index.html", "src/index.html", "public/index.html"):
        return None
    return Build(run=f"{program} run build", output=output or "dist")


def _static(tracked: Tracked) -> Build | None:
    folder = next((name for name in _STATIC if f"{name}/index.html" in tracked.files), None)
    if folder is None and "index.html" in tracked.files:
        folder = "."
    return Build(run="true", output=folder) if folder else None


def _told_output(tracked: Tracked, script: str) -> str | None:
    """The folder that the script or Vite's configuration names."""
    said = re.search(r"--(?:out-?dir|output-path|outDir|dist-dir)[ =]\"?([\w./-]+)", script) or re.search(
        r"outDir\s*:\s*['\"]([\w./-]+)['\"]", _configuration(tracked, "vite.config")
    )
    path = posixpath.normpath(said[1]) if said else None
    return path if path and not path.startswith(("/", "..")) else None


def _android(tracked: Tracked) -> Mapping[str, Build]:
    """A build for each application module: `android` for the one called `app` or the only one, `android-wear` for one
    called `wear` beside it."""
    if tracked.first("settings.gradle", "settings.gradle.kts") is None:
        return {}
    scripts = tracked.named("build.gradle") + tracked.named("build.gradle.kts")
    found = {path.rpartition("/")[0] for path in scripts if _is_application(tracked.text(path))} - {""}
    modules = sorted(found, key=lambda path: (path != "app", path))
    gradle = "sh ./gradlew" if "gradlew" in tracked.files else "gradle"
    # A debug build is signed with the machine's debug key; a release build mostly not at all, and then nobody can
    # install it.
    return {
        _android_name(module, first=number == 0): Build(
            run=f"{gradle} --console=plain :{module.replace('/', ':')}:assembleDebug",
            output=f"{module}/build/outputs/apk/**/*.apk",
        )
        for number, module in enumerate(modules)
    }


def _android_name(module: str, *, first: bool) -> str:
    return "android" if first else f"android-{re.sub('[^A-Za-z0-9]+', '-', module).strip('-')}"[:40]


def _is_application(script: str) -> bool:
    """Whether a Gradle script applies the Android application plugin, by its id or by a version catalogue's alias."""
    for line in script.splitlines():
        if "apply false" in line:
            continue
        if _APPLICATION.search(line):
            return True
    return False


def _ios(tracked: Tracked) -> Build | str | None:
    lanes = re.findall(r"^\s*lane\s+:(\w+)", tracked.text("fastlane/Fastfile"), re.MULTILINE)
    if lane := next((lane for lane in _LANES if lane in lanes), None):
        return Build(run=f"fastlane {lane}", output="**/*.ipa", on="macos")
    project = any(re.search(r"(^|/)[^/]+\.(xcodeproj|xcworkspace)/", path) for path in tracked.files)
    if not project and not lanes:
        return None
    return (
        "An Xcode project is there, but not how to sign it: name the build in honk.yaml, such as "
        '`ios: {run: fastlane adhoc, output: "build/*.ipa", on: macos}`.'
    )


def _package_manager(tracked: Tracked) -> str:
    locks = {"pnpm-lock.yaml": "pnpm", "yarn.lock": "yarn", "bun.lock": "bun", "bun.lockb": "bun"}
    return next((program for lock, program in locks.items() if lock in tracked.files), "npm")


def _configuration(tracked: Tracked, name: str) -> str:
    """The text of a tool's configuration file, whatever language it is in."""
    path = tracked.first(*(f"{name}.{suffix}" for suffix in ("js", "mjs", "cjs", "ts", "mts", "cts")))
    return tracked.text(path) if path else ""
