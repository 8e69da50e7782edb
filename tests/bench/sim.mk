# Replays traces of switching in virtual time. Included by tests/local.mk.
noinst_PROGRAMS += tests/bench/sim
tests_bench_sim_SOURCES = tests/bench/sim.c
tests_bench_sim_LDADD = $(CORE_LIBS)
