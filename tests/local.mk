# Tests. `make check` runs the units here, then tests/check.sh: the rules of the house, HTTP cases, end to end.
EXTRA_DIST = tests
check_PROGRAMS =
noinst_PROGRAMS = tests/bench/mock tests/bench/load

tests_bench_mock_SOURCES = tests/bench/mock.c
tests_bench_mock_LDADD = $(LIBEVENT_LIBS)
tests_bench_load_SOURCES = tests/bench/load.c
tests_bench_load_LDADD = $(LIBEVENT_LIBS)
