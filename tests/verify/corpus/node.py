"""Broken JavaScript and TypeScript projects."""

from __future__ import annotations

import json
from collections.abc import Sequence

from tests.verify.corpus.case import Case


def package(**scripts: str) -> dict[str, str]:
    return {
        "package.json": json.dumps(
            {"name": "shop", "version": "1.0.0", "private": True, "type": "module", "scripts": scripts}, indent=2
        )
    }


def typed(count: int, *, broken: bool = True) -> dict[str, str]:
    files = {
        "tsconfig.json": json.dumps(
            {
                "compilerOptions": {
                    "strict": True,
                    "noEmit": True,
                    "target": "es2022",
                    "module": "esnext",
                    "moduleResolution": "bundler",
                    "skipLibCheck": True,
                    "types": [],
                },
                "include": ["src"],
            }
        )
    }
    files["src/order.ts"] = (
        "export interface Order {\n  id: string;\n  total: number;\n  lines: { article: string; count: number }[];\n}\n"
    )
    for n in range(count):
        wrong = "order.totals" if broken else "order.total"
        files[f"src/part${n:02}.ts".replace("$", "")] = (
            f"import type {{ Order }} from './order';\n\nexport function part{n}(order: Order): string {{\n  const sum: number = {wrong};\n"
            f"  return sum.toFixed(2) + order.lines.map((line) => line.article).join();\n}}\n\n"
            f"export const made{n}: Order = {{ id: {n if broken else repr(str(n))}, total: 1, lines: [] }};\n"
        )
    return files


SUMS = """export function total(order) {
  return order.lines.reduce((sum, line) => sum + line.count * line.price, 0) * (1 + (order.discount ?? 0));
}

export function cheapest(orders) {
  return orders.map(total).sort((a, b) => a - b)[0].toFixed(2);
}
"""
TESTS = """{imports}
const order = {{ lines: [{{ article: 'tea', count: 2, price: 3.5 }}, {{ article: 'cup', count: 1, price: 8 }}], discount: 0.5 }};

describe('orders', () => {{
  it('a discount lowers the total', () => {{
    for (let n = 0; n < 40; n++) console.log('ERROR? no, connection', n, 'failed once and was retried');
    {equal};
  }});

  it('the cheapest of none is nothing', () => {{
    {nothing};
  }});

  it('keeps the lines', () => {{
    {deep};
  }});
}});
"""
LIKE_JEST = {
    "equal": "expect(total(order)).toBe(7.5)",
    "nothing": "expect(cheapest([])).toBeUndefined()",
    "deep": "expect({ ...order, id: 1 }).toEqual({ ...order, id: 2, customer: 'Ada' })",
}
LIKE_ASSERT = {
    "equal": "assert.equal(total(order), 7.5)",
    "nothing": "assert.equal(cheapest([]), undefined)",
    "deep": "assert.deepEqual({ ...order, id: 1 }, { ...order, id: 2, customer: 'Ada' })",
}


def suites(head: str, check: str, count: int = 30, each: int = 12, suffix: str = ".test.js") -> dict[str, str]:
    files = {}
    for n in range(count):
        body = "".join(
            f"  it('works for {k} of them', () => {{\n    console.log('part {n} computes {k}: no error');\n    {check.format(k)};\n  }});\n"
            for k in range(each)
        )
        files[f"test/part{n:02}{suffix}"] = f"{head}\ndescribe('part {n} of the shop', () => {{\n{body}}});\n"
    return files


CJS_JEST = {
    "package.json": json.dumps(
        {"name": "shop", "private": True, "scripts": {"test": "jest"}, "jest": {"testEnvironment": "node"}}
    ),
    "src/sums.js": SUMS.replace("export function", "function") + "\nmodule.exports = { total, cheapest };\n",
}
JEST = CJS_JEST | {
    "test/orders.test.js": TESTS.format(imports="const { total, cheapest } = require('../src/sums');", **LIKE_JEST)
}
VITEST = package(test="vitest run") | {
    "src/sums.js": SUMS,
    "test/orders.test.js": TESTS.format(
        imports="import { describe, expect, it } from 'vitest';\nimport { cheapest, total } from '../src/sums.js';",
        **LIKE_JEST,
    ),
}
MOCHA = package(test="mocha") | {
    "src/sums.js": SUMS,
    "test/orders.test.js": TESTS.format(
        imports="import assert from 'node:assert/strict';\nimport { cheapest, total } from '../src/sums.js';",
        **LIKE_ASSERT,
    ),
}
NODE = package(test="node --test") | {
    "src/sums.js": SUMS,
    "test/orders.test.js": TESTS.format(
        imports="import { describe, it } from 'node:test';\nimport assert from 'node:assert/strict';\nimport { cheapest, total } from '../src/sums.js';",
        **LIKE_ASSERT,
    ),
}
JEST_SUITES = suites("", "expect({0} * 2).toBe({0} + {0})")
VITEST_SUITES = suites("import { describe, expect, it } from 'vitest';", "expect({0} * 2).toBe({0} + {0})")
MOCHA_SUITES = suites("import assert from 'node:assert/strict';", "assert.equal({0} * 2, {0} + {0})")
NODE_SUITES = suites(
    "import { describe, it } from 'node:test';\nimport assert from 'node:assert/strict';",
    "assert.equal({0} * 2, {0} + {0})",
)

ESLINT = (
    package(lint="eslint .")
    | {
        "eslint.config.js": "import js from '@eslint/js';\nexport default [js.configs.recommended, { rules: { 'no-unused-vars': 'warn', eqeqeq: 'error' } }];\n",
        "src/a_bad.js": "export function bad(a, b) {\n  if (a == undefinedName) {\n    return;\n    b();\n  }\n}\n",
    }
    | {
        f"src/part{n:02}.js": f"const unused{n} = 1;\nexport function part{n}(x) {{\n  var y = x;\n  const rest = [];\n  debugger;\n  return x == {n};\n}}\n"
        for n in range(40)
    }
)
UNFORMATTED = package(format="prettier --check .") | {
    f"src/part{n:02}.js": f"export const a{n}={{a:1,b  :2}}\n" for n in range(60)
}
BUNDLED = package(build="x") | {
    "src/main.js": "import { start } from './start.js';\nimport missing from './not-there.js';\nstart(missing);\n",
    "src/start.js": "export function start(x) {\n  console.log(x);\n}\n",
    "index.html": "<script type=module src=/src/main.js></script>",
}
SCRIPT = """import { cheapest } from '../src/sums.js';

for (let n = 0; n < 400; n++) console.log(new Date().toISOString(), 'INFO seeded article', n, 'without errors');
process.stderr.write('\\x1b[33mwarn\\x1b[39m: 3 articles have no price, error ignored\\n');
async function seed() {
  await null;
  return cheapest([]);
}
await seed();
"""
MUST = ("a discount lowers the total", "7.5")

CASES: Sequence[Case] = (
    Case("tsc", "npm types", "tsc --pretty false", package() | typed(40), ("src/part00.ts(4,29): error TS2551: Property 'totals' does not exist on type 'Order'. Did you mean 'total'?",), ("/workspace/",)),
    Case("tsc-pretty", "npm types", "tsc --pretty", package() | typed(40), ("src/part00.ts:4:29", "TS2551: Property 'totals' does not exist", "Found 80 errors in 40 files"), ("\x1b",)),
    Case("eslint", "npm lint", "npm run lint", ESLINT, ("src/a_bad.js:2:12", "'undefinedName' is not defined"), ("unused12",), composed=True),
    Case("eslint-json", "npm lint", "eslint -f json .", ESLINT, ("src/a_bad.js:2:12", "'undefinedName' is not defined"), ("errorCount", "fixableWarningCount"), composed=True),
    Case("prettier", "npm format", "npm run format", UNFORMATTED, ("src/part00.js", "Code style issues found in"), (), composed=True),
    Case("prettier-broken", "npm format", "prettier --check .", UNFORMATTED | {"src/a_broken.js": "export const a = {\n"}, ("src/a_broken.js: SyntaxError: Unexpected token (2:1)",), ()),
    Case("biome", "npm lint", "biome lint --max-diagnostics=60 .", package() | {f"src/part{n:02}.js": f"export function part{n}(x) {{\n  debugger;\n  return x == {n};\n}}\n" for n in range(30)}, ("src/part00.js:2:3", "lint/suspicious/noDebugger"), ()),
    Case("biome-json", "npm lint", "biome lint --reporter=json .", package() | {f"src/part{n:02}.js": f"export function part{n}(x) {{\n  debugger;\n  return x == {n};\n}}\n" for n in range(30)}, ("src/part", "lint/suspicious/noDebugger"), ('"severity"',), composed=True),
    Case("oxlint", "npm lint", "oxlint --deny-warnings src", package() | {f"src/part{n:02}.js": f"export function part{n}(x) {{\n  debugger;\n  return {n};\n}}\n" for n in range(60)}, ("no-debugger", "src/part"), (), composed=True),
    Case("stylelint", "npm lint", "stylelint 'css/*.css'", package() | {".stylelintrc.json": json.dumps({"rules": {"color-no-invalid-hex": True, "block-no-empty": True}})} | {f"css/part{n:02}.css": f".a{n} {{ color: #ggg{n:03}; }}\n.b {{}}\n" for n in range(40)}, ("css/part00.css:1:14", "color-no-invalid-hex"), (), composed=True),
    Case("jest", "npm test", "npx jest --verbose", JEST | JEST_SUITES, (*MUST, "Expected: 7.5", "Received: 22.5"), ("works for", "console.log")),
    Case("jest-color", "npm test", "npx jest --color", JEST | JEST_SUITES, (*MUST, "Expected: 7.5"), ("\x1b", "console.log")),
    Case("jest-json", "npm test", "npx jest --json", JEST | JEST_SUITES, MUST, ("numPassedTests",), composed=True),
    Case("jest-broken-suite", "npm test", "npx jest", CJS_JEST | JEST_SUITES | {"test/broken.test.js": "test('x', () => {\n  const = 1;\n});\n"}, ("test/broken.test.js", "SyntaxError"), ("works for",)),
    Case("jest-snapshot", "npm test", "npx jest --verbose --ci", CJS_JEST | JEST_SUITES | {"test/page.test.js": "test('page', () => {\n  expect({ title: 'Shop', items: [1, 2, 3] }).toMatchSnapshot();\n});\n", "test/__snapshots__/page.test.js.snap": '// Jest Snapshot v1, https://jestjs.io/docs/snapshot-testing\n\nexports[`page 1`] = `\n{\n  "items": [\n    1,\n    2,\n  ],\n  "title": "Shop",\n}\n`;\n'}, ("page", "+     3,"), ("works for",)),
    Case("vitest", "npm test", "npx vitest run --reporter=verbose", VITEST | VITEST_SUITES, (*MUST, "expected 22.5 to be 7.5"), ("works for",)),
    Case("vitest-import", "npm test", "npx vitest run", package() | VITEST_SUITES | {"test/a_new.test.js": "import { it } from 'vitest';\nimport { x } from '../src/not-there.js';\nit('x', () => x());\n"}, ("test/a_new.test.js", "not-there.js"), ("works for",)),
    Case("mocha", "npm test", "npm test -- --reporter spec", MOCHA | MOCHA_SUITES, (*MUST, "22.5"), ("works for",)),
    Case("mocha-json", "npm test", "npx mocha --reporter json", MOCHA | MOCHA_SUITES, MUST, ("works for",), composed=True),
    Case("node-test", "npm test", "node --test --test-reporter=spec", NODE | NODE_SUITES, (*MUST, "22.5"), ("works for",)),
    Case("node-test-tap", "npm test", "node --test --test-reporter=tap", NODE | NODE_SUITES, (*MUST, "22.5"), ("works for", "duration_ms")),
    Case("ava", "npm test", "npx ava --verbose", package() | {f"test/part{n:02}.js": "import test from 'ava';\n" + "".join(f"test('works for {k} of them in {n}', t => {{ t.is({k} * 2, {k} + {k}); }});\n" for k in range(12)) for n in range(15)} | {"test/orders.js": "import test from 'ava';\nimport { total } from '../src/sums.js';\ntest('a discount lowers the total', t => {\n  t.is(total({ lines: [{ count: 2, price: 7.5 }], discount: 0.5 }), 7.5);\n});\n", "src/sums.js": SUMS}, (*MUST, "22.5"), ("works for",)),
    Case("ava-tap", "npm test", "npx ava --tap", package() | {f"test/part{n:02}.js": "import test from 'ava';\n" + "".join(f"test('works for {k} of them in {n}', t => {{ t.is({k} * 2, {k} + {k}); }});\n" for k in range(12)) for n in range(25)} | {"test/orders.js": "import test from 'ava';\nimport { total } from '../src/sums.js';\ntest('a discount lowers the total', t => {\n  t.is(total({ lines: [{ count: 2, price: 7.5 }], discount: 0.5 }), 7.5);\n});\n", "src/sums.js": SUMS}, (*MUST, "22.5"), ("works for",)),
    Case("jasmine", "npm test", "npx jasmine 'spec/*.js'", package() | {f"spec/part{n:02}.js": f"describe('part {n}', () => {{\n" + "".join(f"  it('works for {k}', () => {{ console.log('part {n}', {k}); expect({k} * 2).toBe({k} + {k}); }});\n" for k in range(20)) + "});\n" for n in range(25)} | {"src/sums.js": SUMS, "spec/orders.js": "import { total } from '../src/sums.js';\ndescribe('orders', () => {\n  it('a discount lowers the total', () => {\n    expect(total({ lines: [{ count: 2, price: 7.5 }], discount: 0.5 })).toBe(7.5);\n  });\n});\n"}, ("orders a discount lowers the total", "Expected 22.5 to be 7.5"), ("works for",)),
    Case("npm-ci", "set-up", "npm ci --no-audit --no-fund --offline", {"package.json": json.dumps({"name": "shop", "version": "1.0.0", "dependencies": {"left": "file:./left", "right": "file:./right"}}), "package-lock.json": json.dumps({"name": "shop", "version": "1.0.0", "lockfileVersion": 3, "requires": True, "packages": {"": {"name": "shop", "version": "1.0.0", "dependencies": {"right": "file:./right"}}, "right": {"version": "0.9.0"}, "node_modules/right": {"resolved": "right", "link": True}}}), "left/package.json": json.dumps({"name": "left", "version": "1.0.0"}), "right/package.json": json.dumps({"name": "right", "version": "0.9.0"})}, ("Missing: left@1.0.0 from lock file",), ("A complete log",), needs=("npm",)),
    Case("npm-missing-script", "npm test", "npm run test:unit", package(test="true"), ('Missing script: "test:unit"',), (), needs=("npm",)),
    Case("npm-chain", "npm test", "npm test", {"eslint.config.js": "export default [];\n"} | VITEST | VITEST_SUITES | typed(10, broken=False) | package(test="npm run types && npm run lint && npm run unit", types="tsc --pretty false", lint="eslint src", unit="vitest run --reporter=verbose"), (*MUST, "expected 22.5 to be 7.5"), ("works for",)),
    Case("webpack", "npm build", "webpack --mode production --entry ./src/main.js --stats=verbose", BUNDLED, ("Can't resolve './not-there.js'", "src"), ()),
    Case("vite", "npm build", "vite build", BUNDLED, ("./not-there.js", "src/main.js"), ()),
    Case("esbuild", "npm build", "esbuild src/main.js --bundle --outdir=dist", BUNDLED, ('Could not resolve "./not-there.js"', "src/main.js:2:20"), (), composed=True),
    Case("node-throws", "npm build", "node tools/seed.js", package() | {"tools/seed.js": SCRIPT, "src/sums.js": SUMS}, ("TypeError: Cannot read properties of undefined (reading 'toFixed')", "src/sums.js:6"), ("seeded article 200",)),
)  # fmt: skip
