# Tests. `make check` runs the units, then tests/check.sh: the rules of the house, HTTP cases, end to end.
EXTRA_DIST = tests
check_PROGRAMS =
noinst_PROGRAMS = tests/bench/mock tests/bench/load

tests_bench_mock_SOURCES = tests/bench/mock.c
tests_bench_mock_LDADD = $(LIBEVENT_LIBS)
tests_bench_load_SOURCES = tests/bench/load.c
tests_bench_load_LDADD = $(LIBEVENT_LIBS)

.PHONY: bench agents check-manager containers random sim soak thrash
include $(top_srcdir)/tests/unit/local.mk
include $(top_srcdir)/tests/fuzz/local.mk
include $(top_srcdir)/tests/bench/sim.mk

check-local: all
	$(top_srcdir)/tests/units.sh $(UNIT_TESTS)
	POINTSMAN_BUILD=$(abs_builddir) $(top_srcdir)/tests/check.sh $(if $(ALL),--all)

# The part of them that waits for minutes: kept KV, hung servers, memory, priorities, containers.
check-manager: all
	POINTSMAN_BUILD=$(abs_builddir) $(top_srcdir)/tests/check.sh --slow

# Too long for check: run before a change of what they measure is called done.
bench: all
	$(top_srcdir)/tests/bench/bench.py --pointsman $(abs_builddir)/pointsman --plugins $(abs_builddir)/plugins \
	  --mock $(abs_builddir)/tests/bench/mock --load $(abs_builddir)/tests/bench/load $(BENCH_FLAGS)
	POINTSMAN=$(abs_builddir)/pointsman POINTSMAN_PLUGINS=$(abs_builddir)/plugins \
	  LLAMA_SERVER=$$($(top_srcdir)/tools/llama-server.sh $(abs_builddir)/llama) $(top_srcdir)/tests/bench/switch.py

# The switch scheduler in virtual time, and with real servers.
sim: all
	tests/bench/sim --check

thrash: all
	POINTSMAN=$(abs_builddir)/pointsman POINTSMAN_PLUGINS=$(abs_builddir)/plugins POINTSMAN_BUILD=$(abs_builddir) \
	  $(top_srcdir)/tests/bench/thrash.py --check

# DRIVER=docker on a real engine, which is installed for it.
containers: all
	$(top_srcdir)/tools/deps.sh --engine
	POINTSMAN=$(abs_builddir)/pointsman POINTSMAN_PLUGINS=$(abs_builddir)/plugins POINTSMAN_BUILD=$(abs_builddir) \
	  python3 -B -m pytest -q -p no:cacheprovider $(top_srcdir)/tests/e2e/test_docker.py

# A thousand random requests, switches, edits and kills: SOAK_FLAGS="--operations 1000 --seed 1".
soak: all
	POINTSMAN=$(abs_builddir)/pointsman POINTSMAN_PLUGINS=$(abs_builddir)/plugins POINTSMAN_BUILD=$(abs_builddir) \
	  $(top_srcdir)/tests/soak/soak.py --with-stop $(SOAK_FLAGS)

agents: all
	POINTSMAN=$(abs_builddir)/pointsman POINTSMAN_PLUGINS=$(abs_builddir)/plugins POINTSMAN_BUILD=$(abs_builddir) \
	  $(top_srcdir)/tests/e2e/agents/run.sh $(AGENTS)

random: all
	POINTSMAN=$(abs_builddir)/pointsman POINTSMAN_PLUGINS=$(abs_builddir)/plugins \
	  $(top_srcdir)/tests/http/random_requests.py --count 10000
