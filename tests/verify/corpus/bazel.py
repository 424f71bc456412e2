"""Broken projects that Bazel builds: what it loads from elsewhere by itself stands in them, so no network is needed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from tests.verify.corpus.case import Case

_CC = (
    *("cc_binary", "cc_import", "cc_library", "cc_proto_library", "cc_test", "cc_toolchain", "cc_toolchain_suite"),
    "objc_library",
)
_JAVA = (
    *("java_binary", "java_import", "java_library", "java_proto_library", "java_test", "java_toolchain"),
    "java_runtime",
)
OFFLINE = {
    "WORKSPACE": '[local_repository(name = name, path = "offline") for name in ("rules_cc", "rules_java", "remote_coverage_tools")]\n',
    ".bazelignore": "offline\n",
    "offline/WORKSPACE": "",
    "offline/BUILD": 'sh_binary(name = "coverage_report_generator", srcs = ["none.sh"], visibility = ["//visibility:public"])\n',
    "offline/none.sh": "#!/bin/sh\n",
    "offline/cc/BUILD": "",
    "offline/cc/defs.bzl": "".join(f"{rule} = native.{rule}\n" for rule in _CC),
    "offline/java/BUILD": "",
    "offline/java/defs.bzl": "".join(f"{rule} = native.{rule}\n" for rule in _JAVA),
}
"""Stands for what Bazel fetches before it builds anything."""

SHOP = OFFLINE | {
    "prices/BUILD": 'cc_library(name = "prices", srcs = ["prices.cc"], hdrs = ["prices.h"], visibility = ["//orders:__pkg__"])\n\ncc_test(name = "prices_test", srcs = ["prices_test.cc"], deps = [":prices"])\n',
    "prices/prices.h": "double total(double sum, double discount);\n",
    "prices/prices.cc": '#include "prices/prices.h"\n\ndouble total(double sum, double discount) {\n  return sum * (1 - discount);\n}\n',
    "prices/prices_test.cc": '#include <cassert>\n#include <cstdio>\n\n#include "prices/prices.h"\n\nint main() {\n  for (int n = 0; n < 150; n++) printf("computing price %d: no error, 0 failed\\n", n);\n  fflush(stdout);\n  assert(total(15, 0.5) == 7.5);\n}\n',
    "orders/BUILD": 'package(default_visibility = ["//visibility:public"])\n\ncc_binary(name = "orders", srcs = ["orders.cc"], deps = ["//prices"])\n\nsh_test(name = "orders_test", srcs = ["orders_test.sh"], data = [":orders"])\n',
    "orders/orders.cc": '#include <cstdio>\n\n#include "prices/prices.h"\n\nint main() { printf("%.2f\\n", total(15, 0.5)); }\n',
    "orders/orders_test.sh": '#!/bin/sh\nfor n in $(seq 150); do echo "order $n is well"; done\nwanted=7.50 got=$(orders/orders)\nif [ "$got" != "$wanted" ]; then\n  echo "orders/orders printed $got, expected $wanted"\n  exit 1\nfi\n',
}
PARTS = {f"parts/part{n:02}/BUILD": f'sh_test(name = "part{n:02}_test", srcs = ["test.sh"], size = "small", data = ["//orders"])\n' for n in range(90)} | {
    f"parts/part{n:02}/test.sh": "#!/bin/sh\nexit 0\n" for n in range(90)
}  # fmt: skip


def _broken(path: str, old: str, new: str) -> Mapping[str, str]:
    """The shop and its parts, with something in a file replaced."""
    files = SHOP | PARTS
    return files | {path: files[path].replace(old, new)}


_TEST = "chmod +x */*.sh */*/*.sh; bazel test --keep_going"
_QUIET = f"{_TEST} --noshow_progress --color=no --curses=no --nosandbox_debug --test_output=errors //..."
_COLOURED = f"{_TEST} --color=yes --curses=yes --test_output=errors //..."
_NEEDS = ("bazel", "gcc")
_NOISE = ("PASSED in", "FAILED TO BUILD", "processwrapper-sandbox", "/home/honk", "Elapsed time", "\x1b")

CASES: Sequence[Case] = (
    Case("bazel-test", "bazel test", _QUIET, _broken("prices/prices.cc", "1 - discount", "1 + discount"), ("prices/prices_test.cc:9: int main(): Assertion `total(15, 0.5) == 7.5' failed", "//prices:prices_test", "//orders:orders_test", "orders/orders printed 22.50, expected 7.50"), (*_NOISE, "computing price 20", "order 20 is well"), _NEEDS),
    Case("bazel-compile", "bazel test", _COLOURED, _broken("prices/prices.cc", "return sum ", "return sums "), ("prices/prices.cc:4:10: error: 'sums' was not declared in this scope", "prices/BUILD:1:11: Compiling prices/prices.cc failed"), (*_NOISE, "exec env"), _NEEDS),
    Case("bazel-syntax", "bazel test", _QUIET, _broken("orders/BUILD", '"orders.cc"],', '"orders.cc"]'), ("orders/BUILD:3:", "syntax error at 'deps': expected"), _NOISE, _NEEDS),
    Case("bazel-visibility", "bazel test", _QUIET, _broken("prices/BUILD", "//orders:__pkg__", "//parts:__pkg__"), ("target '//prices:prices' is not visible from target '//orders:orders'", "orders/BUILD:3:10"), _NOISE, _NEEDS),
    Case("bazel-target", "bazel test", _QUIET, _broken("orders/BUILD", '"//prices"', '"//prices:price"'), ("orders/BUILD:3:10: no such target '//prices:price'", "did you mean 'prices'"), _NOISE, _NEEDS),
    Case("bazel-genrule", "bazel test", _QUIET, _broken("orders/BUILD", "sh_test(", 'genrule(name = "list", srcs = ["orders.cc"], outs = ["list.txt"], cmd = "for n in $$(seq 300); do echo listed $$n; done; sort --nope $< > $@")\n\nsh_test('), ("sort: unrecognized option '--nope'", "Executing genrule //orders:list failed"), (*_NOISE, "listed 200"), _NEEDS),
    Case("bazel-fetch", "bazel test", _QUIET, _broken("WORKSPACE", "[local", 'load("@bazel_tools//tools/build_defs/repo:http.bzl", "http_archive")\n\nhttp_archive(name = "json", urls = ["https://example.com/json.zip"])\n\n[local') | {"prices/BUILD": SHOP["prices/BUILD"].replace("hdrs", 'deps = ["@json//:json"], hdrs')}, ("fetch of repository 'json'", "https://example.com/json.zip", "Unknown host: example.com"), (*_NOISE, "toplevel"), _NEEDS),
    Case("bazel-starlark", "bazel test", _QUIET, _broken("orders/BUILD", "cc_binary", 'load("//prices:rules.bzl", "listed")\n\nlisted(["a", 1])\n\ncc_binary') | {"prices/rules.bzl": 'def listed(names):\n    native.filegroup(name = ", ".join(names))\n'}, ("prices/rules.bzl:2:38: expected string for sequence element 1, got 'int'",), _NOISE, _NEEDS, composed=True),
)  # fmt: skip
