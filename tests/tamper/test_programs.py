"""What runs in place of a tool by a setting, or as the tool itself: wrappers, shells, registries, plugins."""

from __future__ import annotations

import pytest

from honk.model import ChangedFile
from honk.verify.tamper import guard_each
from tests.tamper.table import changed, held_up

GRADLE = """
distributionBase=GRADLE_USER_HOME
distributionUrl=https\\://services.gradle.org/distributions/gradle-8.9-bin.zip
distributionSha256Sum=d725d707bfabd4dfdc958c624003b3c80accc03f7037b5122c4b1d0ef15cecab
"""
GRADLE_AT = "gradle/wrapper/gradle-wrapper.properties"
UPGRADED = GRADLE.replace("8.9", "8.14").replace("d725", "61ad")
SCRIPT = '#!/bin/sh\nexec java -jar gradle/wrapper/gradle-wrapper.jar "$@"\n'
MAVEN = "distributionUrl=https://archive.apache.org/dist/maven/maven-3.9.9-bin.zip\ndistributionSha256Sum=4ec3f2\n"
MAVEN_AT = ".mvn/wrapper/maven-wrapper.properties"
YARN = "nodeLinker: node-modules\nyarnPath: .yarn/releases/yarn-4.5.0.cjs\n"
WASM = "[target.wasm32-unknown-unknown]\nrunner = 'wasm-bindgen-test-runner'\n"
CARGO = "[build]\njobs = 4\n"
USUAL = ".".join(("registry", "npmjs", "org"))
NPM = "save-exact=true\nregistry=https://npm.example.com/\n"


def jar(data: bytes | None, now: bytes = b"PK\x03\x04 new") -> ChangedFile:
    return ChangedFile("gradle/wrapper/gradle-wrapper.jar", data, now, "100644" if data else None, "100644")


HELD: dict[str, list[ChangedFile]] = {
    "another host for Gradle": [changed(GRADLE_AT, GRADLE, GRADLE.replace("services.gradle.org", "files.example.com"))],
    "a host that only looks alike": [changed(GRADLE_AT, GRADLE, GRADLE.replace("gradle.org", "gradle.org.example"))],
    "Gradle without encryption": [changed(GRADLE_AT, GRADLE, GRADLE.replace("https", "http"))],
    "a new wrapper from elsewhere": [changed("app/" + GRADLE_AT, None, GRADLE.replace("gradle.org", "example.com"))],
    "Gradle without its checksum": [changed(GRADLE_AT, GRADLE, UPGRADED.partition("distributionSha256Sum")[0])],
    "another wrapper alone": [jar(b"PK\x03\x04 old")],
    "another wrapper, and no checksum": [
        changed(GRADLE_AT, *(text.partition("distributionSha256Sum")[0] for text in (GRADLE, UPGRADED))),
        jar(b"PK\x03\x04 old"),
    ],
    "a new wrapper without properties": [jar(None)],
    "a wrapper that ends before it starts": [changed("gradlew", SCRIPT, SCRIPT.replace("exec", "exit 0\nexec"))],
    "a wrapper that only says so in a comment": [changed("gradlew", SCRIPT, "#!/bin/sh\n# gradle-wrapper.jar\ntrue\n")],
    "a new wrapper that starts nothing": [changed("app/gradlew", None, "#!/bin/sh\nexit 0\n")],
    "another host for Maven": [changed(MAVEN_AT, MAVEN, MAVEN.replace("archive.apache.org", "example.com"))],
    "Maven without its checksum": [changed(MAVEN_AT, MAVEN, MAVEN.partition("distributionSha256Sum")[0])],
    "an agent in Maven": [changed(".mvn/jvm.config", "-Xmx2g\n", "-Xmx2g -javaagent:tools/quiet.jar\n")],
    "Maven without tests": [changed(".mvn/jvm.config", None, "-Dmaven.test.skip=true\n")],
    "Maven that never fails": [changed(".mvn/maven.config", "-B\n", "-B\n-fn\n")],
    "an extension of Maven's": [
        changed(
            ".mvn/extensions.xml",
            None,
            """
            <extensions><extension>
              <groupId>com.example</groupId>
              <artifactId>quiet</artifactId>
              <version>1</version>
            </extension></extensions>
            """,
        )
    ],
    "another yarn": [changed(".yarnrc.yml", YARN, YARN.replace(".yarn/releases/yarn-4.5.0", "tools/yarn"))],
    "a yarn where there was none": [changed(".yarnrc.yml", None, YARN)],
    "an older yarn's path": [changed(".yarnrc", 'a "b"\n', 'a "b"\nyarn-path "./tools/yarn.js"\n')],
    "yarn itself": [changed(".yarn/releases/yarn-4.5.0.cjs", "a()\n", "b()\n")],
    "a plugin of yarn's": [changed(".yarnrc.yml", YARN, YARN + "plugins:\n  - path: tools/plugin.cjs\n")],
    "a plugin of yarn's, changed": [changed(".yarn/plugins/@yarnpkg/plugin-a.cjs", "a()\n", "b()\n")],
    "a hook of pnpm's": [changed(".pnpmfile.cjs", None, "module.exports = {hooks: {}}\n")],
    "another shell": [changed(".npmrc", NPM + "script-shell=bash\n", NPM + "script-shell=./quiet.sh\n")],
    "a shell of pnpm's": [changed("pnpm-workspace.yaml", "packages: []\n", "packages: []\nscriptShell: ./quiet\n")],
    "something loaded first": [changed("web/.npmrc", NPM, NPM + "node-options=--require ./quiet.js\n")],
    "another registry": [changed(".npmrc", NPM, NPM.replace("npm.example", "other.example"))],
    "another registry for a tool": [changed(".npmrc", NPM, NPM + "@vitest:registry=https://npm.example.net\n")],
    "another registry of yarn's": [changed(".yarnrc.yml", YARN, YARN + 'npmRegistryServer: "https://x.example"\n')],
    "a shell of bun's": [changed("bunfig.toml", None, "[run]\nshell = './quiet'\n")],
    "a wrapper of the compiler": [changed(".cargo/config.toml", CARGO, CARGO + "rustc-wrapper = './quiet'\n")],
    "another wrapper of the compiler": [
        changed(".cargo/config.toml", *(CARGO + f"rustc-wrapper = '{name}'\n" for name in ("sccache", "./quiet")))
    ],
    "a runner": [changed(".cargo/config.toml", None, "[target.x86_64-unknown-linux-gnu]\nrunner = ['true']\n")],
    "a command of another package": [changed(".cargo/config.toml", None, "[alias]\nclippy = 'version'\n")],
    "another toolchain": [changed("rust-toolchain.toml", None, "[toolchain]\npath = 'tools/rust'\n")],
    "a wrapper of Bazel's": [changed("tools/bazel", None, "#!/bin/sh\nexit 0\n")],
}
FREE: dict[str, list[ChangedFile]] = {
    "Gradle's upgrade": [
        changed(GRADLE_AT, GRADLE, UPGRADED),
        jar(b"PK\x03\x04 old"),
        changed("gradlew", SCRIPT, SCRIPT.replace("exec", "# Start it.\nexec $OPTIONS")),
    ],
    "Gradle's upgrade, with no checksum as before": [
        changed(GRADLE_AT, *(text.partition("distributionSha256Sum")[0] for text in (GRADLE, UPGRADED)))
    ],
    "Gradle from the same place of one's own": [
        changed(GRADLE_AT, *(text.replace("services.gradle.org", "files.example.com") for text in (GRADLE, UPGRADED)))
    ],
    "Gradle from its own place again": [
        changed(GRADLE_AT, GRADLE.replace("services.gradle.org", "files.example.com"), UPGRADED)
    ],
    "Maven's upgrade": [changed(MAVEN_AT, MAVEN, MAVEN.replace("3.9.9", "3.9.11").replace("4ec3", "5fd4"))],
    "more memory for Maven": [changed(".mvn/jvm.config", "-Xmx1g\n", "-Xmx2g -XX:+UseParallelGC\n")],
    "an extension's next version": [
        changed(
            ".mvn/extensions.xml",
            *(
                "<extension><groupId>a</groupId><artifactId>b</artifactId><version>{n}</version></extension>\n"
                for n in (1, 2)
            ),
        )
    ],
    "another linker of yarn's": [changed(".yarnrc.yml", YARN, YARN.replace("node-modules", "pnp"))],
    "more memory for Node.js": [changed(".npmrc", NPM, NPM + "node-options=--max-old-space-size=4096\n")],
    "a usual shell": [changed(".npmrc", NPM, NPM + "script-shell=/bin/bash\n")],
    "the usual registry": [changed(".npmrc", None, f"registry=https://{USUAL}/\n")],
    "a registry of the house's packages": [changed(".npmrc", NPM, NPM + "@house:registry=https://npm.example.com\n")],
    "a cache for the compiler": [changed(".cargo/config.toml", CARGO, CARGO + "rustc-wrapper = 'sccache'\n")],
    "a runner of what cannot run here": [changed(".cargo/config.toml", CARGO, CARGO + WASM)],
    "an alias of one's own": [changed(".cargo/config.toml", None, "[alias]\nxtask = 'run -p xtask --'\n")],
    "a channel": [changed("rust-toolchain.toml", None, "[toolchain]\nchannel = '1.90'\n")],
}


@pytest.fixture(scope="module")
def found():
    every = HELD | FREE
    return dict(zip(every, guard_each(list(every.values())), strict=True))


@pytest.mark.parametrize("name", HELD)
def test_another_program_in_place_of_a_tool_waits_for_a_person(name, found):
    assert held_up(found[name]), found[name]


@pytest.mark.parametrize("name", FREE)
def test_an_upgrade_and_what_only_sets_a_tool_up_is_free(name, found):
    assert not any(one.severity == "serious" for one in found[name]), found[name]


def test_a_compiler_that_is_told_to_let_all_pass_is_a_rule_switched_off():
    text = CARGO + "rustflags = ['--cap-lints', 'allow']\n"
    (findings,) = guard_each([[changed(".cargo/config.toml", CARGO, text)]])

    assert held_up(findings, "rule-switched-off")
