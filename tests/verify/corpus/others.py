"""Broken shell scripts and tools that nobody knows."""

from __future__ import annotations

from collections.abc import Sequence

from tests.verify.corpus.case import Case

SHELL = {
    f"bin/part{n:02}.sh": "#!/bin/sh\nfor file in $(ls *.txt); do\n  rm $file\ndone\ncd /tmp\necho `date` $1\n"
    for n in range(30)
}
BATS = {
    "test/parts.bats": "".join(
        f'@test "part {n} works" {{\n  echo computing\n  [ $(( {n} * 2 )) -eq {n * 2} ]\n}}\n\n' for n in range(150)
    )
    + '@test "a discount lowers the total" {\n  run echo 22.5\n  echo "got $output"\n  [ "$output" = 7.5 ]\n}\n'
}
DEPLOY = """import sys, time
for n in range(900):
    print(f"2026-11-29T10:{n // 60 % 60:02}:{n % 60:02}Z [worker-{n % 4}] step {n} completed; 0 errors, retry queue empty")
    if n == 700:
        print("2026-11-29T10:11:40Z [worker-2] Error: quota for region eu-1 exceeded (limit 20, asked for 24)")
        print("    requested by plan 'frontends'")
        print("    raise it with: quotactl set eu-1 24")
print("summary: 899 steps completed")
print("deployment did not converge")
sys.exit(3)
"""
SILENT = "for n in range(2000):\n    print('checking record', n)\nprint('record 2000 differs from what was stored: 4 bytes')\nraise SystemExit(1)\n"
BINARY = "import sys\nfor n in range(3000):\n    sys.stdout.buffer.write(bytes([n % 256, 0xff, 0xfe]) * 5 + b'\\n')\nsys.stdout.buffer.write('Fehler: error: Datei für Prüfung fehlt\\n'.encode('latin-1'))\nsys.exit(1)\n"
BARS = "import sys\nfor name in ('linux', 'compiler', 'fonts') * 20:\n    for n in range(0, 101, 2):\n        sys.stdout.write(f'\\r\\x1b[K{name} [{\"=\" * (n // 4):<25}] {n}% \\x1b[36m{n * 3} MB\\x1b[0m')\n    print()\nprint('error: checksum of fonts is 3f2a, should be 77c1')\nsys.exit(1)\n"

CASES: Sequence[Case] = (
    Case("shellcheck", "shellcheck", "shellcheck bin/*.sh", SHELL, ("bin/part00.sh", "SC2045"), (), ("shellcheck",)),
    Case("shellcheck-gcc", "shellcheck", "shellcheck -f gcc bin/*.sh", SHELL, ("bin/part00.sh:2:13: error: Iterating over ls output is fragile. Use globs. [SC2045]",), (), ("shellcheck",)),
    Case("shellcheck-json", "shellcheck", "shellcheck -f json bin/*.sh", SHELL, ("Iterating over ls output is fragile", "bin/part"), ('"endLine"',), ("shellcheck",), composed=True),
    Case("bats", "bats", "bats test", BATS, ("a discount lowers the total", "test/parts.bats, line 754"), ("part 12 works",), ("bats",)),
    Case("unknown-tool", "deploy check", "python3 deploy.py", {"deploy.py": DEPLOY}, ("Error: quota for region eu-1 exceeded (limit 20, asked for 24)", "quotactl set eu-1 24", "did not converge"), ("step 300",)),
    Case("unknown-last-words", "records", "python3 check.py", {"check.py": SILENT}, ("record 2000 differs from what was stored",), ()),
    Case("not-utf-8", "records", "python3 check.py", {"check.py": BINARY}, ("Datei f", "fehlt"), ()),
    Case("progress-bars", "images", "python3 fetch.py", {"fetch.py": BARS}, ("error: checksum of fonts is 3f2a, should be 77c1",), ("48%", "\x1b", "\r")),
    Case("make-no-rule", "make test", "make test", {"Makefile": "test: build/report.txt\n\techo ok\n"}, ("No rule to make target 'build/report.txt'",), (), ("make",)),
    Case("command-missing", "make test", "make test", {"Makefile": "test:\n\tfor n in $$(seq 500); do echo \"step $$n done\"; done\n\tfrobnicate --all\n"}, ("frobnicate: No such file or directory",), ("step 200",), ("make",)),
)  # fmt: skip
