"""Broken projects in Go, Rust, Java, Kotlin, C, C++ and C#."""

from __future__ import annotations

from collections.abc import Sequence

from tests.verify.corpus.case import Case

GO = {"go.mod": "module example.com/shop\n\ngo 1.21\n"}
GO_PARTS = {f"part{n:02}/part.go": f"package part{n:02}\n\n// Price is what count of these cost.\nfunc Price(count int) float64 {{ return float64(count) * {n + 1}.5 }}\n" for n in range(20)} | {
    f"part{n:02}/part_test.go": f"package part{n:02}\n\nimport \"testing\"\n\n" + "".join(f"func TestPriceOf{k}(t *testing.T) {{\n\tt.Log(\"computing, no error, not failed\", {k})\n\tif Price({k}) != {k}*{n + 1}.5 {{\n\t\tt.Fatal(\"wrong\")\n\t}}\n}}\n\n" for k in range(15)) for n in range(20)
}  # fmt: skip
GO_ORDERS = {
    "orders/orders.go": "package orders\n\n// Line is an article of an order.\ntype Line struct {\n\tArticle string\n\tCount   int\n\tPrice   float64\n}\n\n// Total is what all of it costs.\nfunc Total(lines []Line, discount float64) float64 {\n\tsum := 0.0\n\tfor _, line := range lines {\n\t\tsum += float64(line.Count) * line.Price\n\t}\n\treturn sum * (1 + discount)\n}\n\n// First is the first article.\nfunc First(lines []Line) string { return lines[0].Article }\n",
    "orders/orders_test.go": 'package orders\n\nimport "testing"\n\nfunc TestDiscounts(t *testing.T) {\n\tfor name, discount := range map[string]float64{"half": 0.5} {\n\t\tt.Run(name, func(t *testing.T) {\n\t\t\tfor n := 0; n < 30; n++ {\n\t\t\t\tt.Log("attempt failed once, error tolerated", n)\n\t\t\t}\n\t\t\tif got := Total([]Line{{"tea", 2, 7.5}}, discount); got != 7.5 {\n\t\t\t\tt.Errorf("Total with discount %v = %v, want %v", discount, got, 7.5)\n\t\t\t}\n\t\t})\n\t}\n}\n\nfunc TestTotal(t *testing.T) {\n\tif Total(nil, 0) != 0 {\n\t\tt.Fatal("not nothing")\n\t}\n}\n',
}
GO_PANIC = GO_ORDERS | {
    "orders/first_test.go": 'package orders\n\nimport "testing"\n\nfunc TestFirst(t *testing.T) {\n\tif First(nil) != "" {\n\t\tt.Fatal("no")\n\t}\n}\n',
    "orders/orders_test.go": "package orders\n",
}
GO_BROKEN = {
    f"broken/part{n:02}.go": f'package broken\n\nimport "fmt"\n\nfunc Part{n}() int {{\n\tvar unused{n} int\n\treturn undefined{n} + "text"\n}}\n'
    for n in range(40)
}
GO_VET = {
    "vet/vet.go": 'package vet\n\nimport "fmt"\n\nfunc Say(n int) {\n'
    + "".join(f'\tfmt.Printf("%s is wrong {n}\\n", n)\n' for n in range(60))
    + "}\n"
}
GO_NEEDS = ("go",)

RUST = {"Cargo.toml": '[package]\nname = "shop"\nversion = "0.1.0"\nedition = "2021"\n'}
RUST_PARTS = "".join(
    f"/// Price of part {n}.\npub fn price_{n}(count: u32) -> f64 {{\n    f64::from(count) * {n}.5\n}}\n\n"
    for n in range(60)
)
RUST_ORDERS = "pub fn total(prices: &[f64], discount: f64) -> f64 {\n    prices.iter().sum::<f64>() * (1.0 + discount)\n}\n\npub fn first(names: &[&str]) -> String {\n    names.first().unwrap().to_string()\n}\n\n"
RUST_TESTS = (
    "#[cfg(test)]\nmod tests {\n    use super::*;\n\n"
    + "".join(
        f'    #[test]\n    fn price_of_part_{n}() {{\n        println!("computing without error {n}");\n        assert_eq!(price_{n}(2), {n}.5 * 2.0);\n    }}\n\n'
        for n in range(60)
    )
    + '    #[test]\n    fn a_discount_lowers_the_total() {\n        for n in 0..30 {\n            println!("error tolerated in attempt {n}");\n        }\n        assert_eq!(total(&[3.5, 4.0], 0.5), 3.75, "with half off");\n    }\n\n    #[test]\n    fn first_of_none() {\n        assert_eq!(first(&[]), "");\n    }\n}\n'
)
RUST_WRONG = "".join(
    f"pub fn wrong_{n}(count: u32) -> String {{\n    let spare_{n} = 1;\n    count + {n}\n}}\n\n" for n in range(25)
)
RUST_WARNS = "".join(f"fn never_used_{n}() -> u32 {{\n    let mut spare = {n};\n    {n}\n}}\n\n" for n in range(30))
RUST_NEEDS = ("cargo",)

JAVA = {f"src/main/java/shop/Part{n:02}.java": f"package shop;\n\n/** Part {n}. */\npublic final class Part{n:02} {{\n    private Part{n:02}() {{}}\n\n    public static double price(int count) {{\n        return count * {n}.5;\n    }}\n}}\n" for n in range(25)} | {
    "src/main/java/shop/Orders.java": "package shop;\n\nimport java.util.List;\n\npublic final class Orders {\n    private Orders() {}\n\n    public static double total(List<Double> prices, double discount) {\n        return prices.stream().mapToDouble(Double::doubleValue).sum() * (1 + discount);\n    }\n\n    public static String first(List<String> names) {\n        try {\n            return names.get(0);\n        } catch (IndexOutOfBoundsException e) {\n            throw new IllegalStateException(\"no names\", e);\n        }\n    }\n}\n"
}  # fmt: skip
JUNIT = {f"src/test/java/shop/Part{n:02}Test.java": f"package shop;\n\nimport static org.junit.jupiter.api.Assertions.assertEquals;\nimport org.junit.jupiter.api.Test;\n\nclass Part{n:02}Test {{\n" + "".join(f"    @Test\n    void priceOf{k}() {{\n        System.out.println(\"ERROR? no: part {n} computes {k}\");\n        assertEquals({k} * {n}.5, Part{n:02}.price({k}));\n    }}\n\n" for k in range(10)) + "}\n" for n in range(25)} | {
    "src/test/java/shop/OrdersTest.java": "package shop;\n\nimport static org.junit.jupiter.api.Assertions.assertEquals;\nimport java.util.List;\nimport org.junit.jupiter.api.Test;\n\nclass OrdersTest {\n    @Test\n    void discountLowersTheTotal() {\n        assertEquals(7.5, Orders.total(List.of(7.0, 8.0), 0.5), \"half off\");\n    }\n\n    @Test\n    void firstOfNone() {\n        assertEquals(\"\", Orders.first(List.of()));\n    }\n}\n"
}  # fmt: skip
JUNIT4 = {
    path: text.replace("org.junit.jupiter.api.Assertions.assertEquals", "org.junit.Assert.assertEquals")
    .replace("org.junit.jupiter.api.Test", "org.junit.Test")
    .replace("class ", "public class ")
    .replace("    void ", "    public void ")
    .replace("price({", "price({")
    .replace(
        '(7.5, Orders.total(List.of(7.0, 8.0), 0.5), "half off")',
        '("half off", 7.5, Orders.total(List.of(7.0, 8.0), 0.5), 0.001)',
    )
    for path, text in JUNIT.items()
}
JUNIT4 = {
    path: text.replace(".5, Part", ".5, 0.0 + Part").replace(
        "));\n    }\n\n    @Test\n    public void priceOf", "), 0.001);\n    }\n\n    @Test\n    public void priceOf"
    )
    for path, text in JUNIT4.items()
}
POM = {
    "pom.xml": '<project xmlns="http://maven.apache.org/POM/4.0.0"><modelVersion>4.0.0</modelVersion><groupId>shop</groupId><artifactId>shop</artifactId><version>1</version><properties><maven.compiler.release>17</maven.compiler.release><project.build.sourceEncoding>UTF-8</project.build.sourceEncoding></properties><dependencies><dependency><groupId>org.junit.jupiter</groupId><artifactId>junit-jupiter</artifactId><version>5.10.2</version><scope>test</scope></dependency></dependencies><build><plugins><plugin><artifactId>maven-surefire-plugin</artifactId><version>3.2.5</version></plugin><plugin><artifactId>maven-compiler-plugin</artifactId><version>3.13.0</version></plugin><plugin><artifactId>maven-resources-plugin</artifactId><version>3.3.1</version></plugin></plugins></build></project>\n'
}
JAVA_WRONG = {
    f"src/main/java/shop/Wrong{n:02}.java": f'package shop;\n\npublic final class Wrong{n:02} {{\n    int count = "text";\n    Missing{n} missing;\n\n    String name() {{\n        return Orders.totals(1);\n    }}\n}}\n'
    for n in range(20)
}
MAVEN = "mvn -B -ntp -o -Dmaven.repo.local=$TOOLS/m2"
MAVEN_NEEDS = ("mvn",)
GRADLE = {
    "build.gradle": "apply plugin: 'java'\nsourceCompatibility = 1.8\n",
    "settings.gradle": "rootProject.name = 'shop'\n",
}

C = {f"src/part{n:02}.c": f"#include \"shop.h\"\n\ndouble price_{n}(int count) {{\n    int spare = count;\n    return count * {n}.5;\n}}\n" for n in range(40)} | {
    "src/shop.h": "#pragma once\n#include <stdio.h>\nstruct order { double total; };\n" + "".join(f"double price_{n}(int count);\n" for n in range(40)),
    "src/main.c": "#include \"shop.h\"\n\nint main(void) {\n    struct order one = {0};\n    printf(\"%f\\n\", one.totals + price_1(2));\n    return undeclared;\n}\n",
    "Makefile": "CFLAGS = -Wall -Wextra\nobjects = $(patsubst %.c,%.o,$(sort $(wildcard src/*.c)))\nshop: $(objects)\n\t$(CC) -o $@ $^\n",
}  # fmt: skip
LINKED = C | {
    "src/main.c": '#include "shop.h"\ndouble discount(double total);\n\nint main(void) {\n    printf("%f\\n", discount(price_1(2)));\n    return 0;\n}\n'
}
CPP = {
    "main.cpp": '#include <algorithm>\n#include <list>\n#include <map>\n#include <string>\n#include <vector>\n\nstruct Order { std::string name; };\n\nint main() {\n    std::list<Order> orders;\n    std::sort(orders.begin(), orders.end());\n    std::map<Order, int> counts;\n    counts[Order{"a"}] = 1;\n    return 0;\n}\n'
}
CMAKE = {
    "CMakeLists.txt": "cmake_minimum_required(VERSION 3.16)\nproject(shop C)\nenable_testing()\nadd_executable(part part.c)\nadd_executable(orders orders.c)\nforeach(n RANGE 1 90)\n  add_test(NAME part_${n} COMMAND part ${n})\nendforeach()\nadd_test(NAME orders_discount COMMAND orders)\n",
    "part.c": '#include <stdio.h>\nint main(int c, char **v) { (void)c; for (int n = 0; n < 5; n++) printf("no error in %s\\n", v[1]); return 0; }\n',
    "orders.c": '#include <assert.h>\n#include <stdio.h>\nstatic double total(double net, double discount) { return net * (1 + discount); }\nint main(void) { printf("half off\\n"); fflush(stdout); assert(total(15, 0.5) == 7.5); return 0; }\n',
}
SANITIZED = {
    "Makefile": 'test: orders\n\tfor n in $$(seq 300); do echo "row $$n imported, no error"; done\n\t./orders\norders: orders.c\n\t$(CC) -g -fsanitize=address -o $@ $<\n',
    "orders.c": "#include <stdlib.h>\n\nstatic int last(int *numbers, int count) {\n    return numbers[count];\n}\n\nint main(void) {\n    int *numbers = calloc(4, sizeof *numbers);\n    return last(numbers, 4);\n}\n",
}
MESON = {
    "meson.build": "project('shop', 'c')\npart = executable('part', 'part.c')\norders = executable('orders', 'orders.c')\nforeach n : range(60)\n  test('part_@0@'.format(n), part, args : [n.to_string()])\nendforeach\ntest('orders_discount', orders)\n",
    "part.c": CMAKE["part.c"],
    "orders.c": CMAKE["orders.c"],
}

KOTLIN = {
    f"src/Part{n:02}.kt": f"package shop\n\nfun price{n}(count: Int): Double {{\n    val spare = count\n    return count * {n}.5\n}}\n\nfun name{n}(): String = {'missing()' if n in (3, 7) else repr('x').replace(chr(39), chr(34))}\n"
    for n in range(30)
}
CSHARP = {
    f"Part{n:02}.cs": f"namespace Shop {{\n    public static class Part{n:02} {{\n        static int spare;\n        public static string Price(int count) {{\n            int unused = 1;\n            return {'count' if n % 2 else 'Missing.Name'};\n        }}\n    }}\n}}\n"
    for n in range(40)
}
GOT = "orders_test.go:12: Total with discount 0.5 = 22.5, want 7.5"

CASES: Sequence[Case] = (
    Case("go-test", "go test", "go test ./...", GO | GO_PARTS | GO_ORDERS, (GOT,), ("PASS",), GO_NEEDS),
    Case("go-test-verbose", "go test", "go test -v ./...", GO | GO_PARTS | GO_ORDERS, (GOT,), ("PASS: ",), GO_NEEDS),
    Case("go-test-json", "go test", "go test -json ./...", GO | GO_PARTS | GO_ORDERS, (GOT,), ('"Action"',), GO_NEEDS),
    Case("go-panic", "go test", "go test -v ./...", GO | GO_PARTS | GO_PANIC, ("panic: runtime error: index out of range [0] with length 0", "orders/orders.go:20"), ("PASS: ",), GO_NEEDS),
    Case("go-build", "go test", "go test -gcflags=-e ./...", GO | GO_PARTS | GO_BROKEN, ("broken/part00.go:3:8", "imported and not used"), (), GO_NEEDS),
    Case("go-vet", "go vet", "go vet ./...", GO | GO_PARTS | GO_VET, ("vet/vet.go:6:", "Printf format %s has arg n of wrong type int"), (), GO_NEEDS),
    Case("gofmt", "gofmt", "gofmt -d . | tee /tmp/out; test ! -s /tmp/out", {f"p/part{n:02}.go": f"package p\nfunc  Part{n}( ) int {{\nreturn   {n} }}\n" for n in range(40)}, ("p/part00.go",), (), ("gofmt",)),
    Case("cargo-test", "cargo test", "cargo test --offline", RUST | {"src/lib.rs": RUST_PARTS + RUST_ORDERS + RUST_TESTS}, ("a_discount_lowers_the_total", "left: 11.25", "right: 3.75"), ("price_of_part_12",), RUST_NEEDS),
    Case("cargo-build", "cargo test", "cargo test --offline", RUST | {"src/lib.rs": RUST_WARNS + RUST_PARTS + RUST_WRONG}, ("error[E0308]: mismatched types", "expected `String`, found `u32`", "could not compile"), ("never used",), RUST_NEEDS),
    Case("cargo-json", "cargo build", "cargo build --offline --message-format=json", RUST | {"src/lib.rs": RUST_WARNS + RUST_PARTS + RUST_WRONG}, ("E0308", "src/lib.rs", "mismatched types"), ("never used", '"rendered"'), RUST_NEEDS),
    Case("cargo-clippy", "cargo clippy", "cargo clippy --offline -- -D warnings", RUST | {"src/lib.rs": "".join(f"pub fn odd_{n}(x: &Vec<u32>) -> bool {{\n    return x.len() == 0;\n}}\n\n" for n in range(30))}, ("src/lib.rs:2:5", "unneeded `return` statement", "writing `&Vec` instead of `&[_]`"), (), ("cargo-clippy",)),
    Case("cargo-fmt", "cargo fmt", "cargo fmt --all --check", RUST | {"src/lib.rs": "".join(f"pub fn odd_{n}( x:u32 )->bool {{ x=={n} }}\n" for n in range(100))}, ("src/lib.rs",), (), ("rustfmt",)),
    Case("javac", "javac", "find src -name '*.java' | sort | xargs javac -d out", JAVA | JAVA_WRONG, ("src/main/java/shop/Wrong00.java:4: error: incompatible types: String cannot be converted to int", "60 errors"), (), ("javac",)),
    Case("maven-test", "maven test", f"{MAVEN} test", POM | JAVA | JUNIT, ("discountLowersTheTotal", "expected: <7.5> but was: <22.5>", "OrdersTest.java:10"), ("ERROR? no",), MAVEN_NEEDS),
    Case("maven-reports", "maven test", f"{MAVEN} test", POM | JAVA | JUNIT, ("discountLowersTheTotal", "expected: <7.5> but was: <22.5>"), ("ERROR? no",), MAVEN_NEEDS, ("target/surefire-reports/TEST-*OrdersTest.xml",)),
    Case("maven-compile", "maven test", f"{MAVEN} test", POM | JAVA | JAVA_WRONG, ("incompatible types: java.lang.String cannot be converted to int", "src/main/java/shop/Wrong"), ("Re-run Maven",), MAVEN_NEEDS),
    Case("gradle-compile", "gradle test", "GRADLE_USER_HOME=/home/honk/.gradle gradle --console=plain --offline --no-daemon compileJava", GRADLE | JAVA | JAVA_WRONG, ("incompatible types: String cannot be converted to int",), (), ("gradle",)),
    Case("gradle-script", "gradle test", "GRADLE_USER_HOME=/home/honk/.gradle gradle --console=plain --offline --no-daemon --stacktrace check", GRADLE | JAVA | {"build.gradle": "apply plugin: 'java'\ndependencies { compil 'a:b:1' }\n"}, ("Could not find method compil()",), (), ("gradle",)),
    Case("kotlinc", "kotlinc", "kotlinc -no-jdk -d out src 2>&1 || kotlinc -d out src", KOTLIN, ("src/Part03.kt:8:23: error: unresolved reference: missing",), (), ("kotlinc",)),
    Case("gcc-make", "make test", "make -k shop", C, ("src/main.c:5:", "has no member named", "totals"), ("unused variable",), ("gcc", "make")),
    Case("gcc-link", "make test", "make shop", LINKED, ("undefined reference to `discount'",), ("unused variable",), ("gcc", "make")),
    Case("gcc-template", "make build", "g++ -c main.cpp", CPP, ("no match for",), (), ("g++",)),
    Case("clang-template", "make build", "clang++ -c main.cpp", CPP, ("error: invalid operands to binary expression",), (), ("clang++",)),
    Case("cmake-ctest", "make test", "cmake -S . -B build && cmake --build build && ctest --test-dir build --output-on-failure -V", CMAKE, ("orders.c:4: main: Assertion `total(15, 0.5) == 7.5' failed.",), ("no error in",), ("cmake", "gcc")),
    Case("meson", "meson test", "meson setup build && meson test -C build -v", MESON, ("orders.c:4: main: Assertion `total(15, 0.5) == 7.5' failed.",), ("no error in",), ("meson", "gcc")),
    Case("sanitizer", "make test", "make test", SANITIZED, ("ERROR: AddressSanitizer: heap-buffer-overflow", "orders.c:4"), ("row 200",), ("gcc", "make")),
    Case("mcs", "dotnet build", "mcs -target:library -out:shop.dll *.cs", CSHARP, ("Part00.cs(6,20): error CS0103: The name `Missing' does not exist in the current context",), (), ("mcs",)),
)  # fmt: skip
