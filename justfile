# Shorthands for .ci/run, which is the gate. `just` itself is not needed.

# What there is.
default:
    @just --list --unsorted

# Everything that must pass before a change lands.
ci:
    .ci/run

# Some steps of it: `just step fmt clippy`.
step *NAMES:
    .ci/run {{NAMES}}

# The tests, with every interop test required.
test:
    .ci/run test

# Formatting and lints.
lint:
    .ci/run fmt clippy features

# Documentation, warnings are errors.
doc:
    .ci/run doc

# Every interleaving of the lock and queue code.
loom:
    .ci/run loom

# The Go peers and the tests that use them.
interop:
    .ci/run interop

# The stored corpus of every fuzz target, and SECONDS of search for each.
fuzz SECONDS="60":
    FUZZ_SECONDS={{SECONDS}} .ci/run fuzz

# Licences and banned dependencies.
deny:
    .ci/run deny

# Measures pargzip beside its rivals; takes about half an hour on an otherwise idle machine.
report *FLAGS:
    cargo run -p benches --release -- report {{FLAGS}}
