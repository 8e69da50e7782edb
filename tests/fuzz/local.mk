# Fuzz targets. `make check` replays their corpora with any compiler; configured with --enable-fuzz and clang they are
# real fuzzers (tools/fuzz.sh does that).
fuzz_replays = tests/fuzz/replay_answer tests/fuzz/replay_conf tests/fuzz/replay_gguf tests/fuzz/replay_http_chunked \
  tests/fuzz/replay_http_head tests/fuzz/replay_json tests/fuzz/replay_mend tests/fuzz/replay_request \
  tests/fuzz/replay_resume tests/fuzz/replay_split tests/fuzz/replay_sse tests/fuzz/replay_translate \
  tests/fuzz/replay_weights
check_PROGRAMS += $(fuzz_replays)
replay_sources = tests/fuzz/replay.c tests/fuzz/fuzz.h

tests_fuzz_replay_conf_SOURCES = tests/fuzz/fuzz_conf.c $(replay_sources)
tests_fuzz_replay_conf_LDADD = $(CORE_LIBS)
tests_fuzz_replay_gguf_SOURCES = tests/fuzz/fuzz_gguf.c $(replay_sources)
tests_fuzz_replay_gguf_LDADD = $(CORE_LIBS)
tests_fuzz_replay_http_chunked_SOURCES = tests/fuzz/fuzz_http_chunked.c $(replay_sources)
tests_fuzz_replay_http_chunked_LDADD = $(CORE_LIBS)
tests_fuzz_replay_http_head_SOURCES = tests/fuzz/fuzz_http_head.c $(replay_sources)
tests_fuzz_replay_http_head_LDADD = $(CORE_LIBS)
tests_fuzz_replay_json_SOURCES = tests/fuzz/fuzz_json.c $(replay_sources)
tests_fuzz_replay_json_LDADD = $(CORE_LIBS)
tests_fuzz_replay_mend_SOURCES = tests/fuzz/fuzz_mend.c $(replay_sources)
tests_fuzz_replay_mend_LDADD = $(CORE_LIBS)
tests_fuzz_replay_request_SOURCES = tests/fuzz/fuzz_request.c $(replay_sources)
tests_fuzz_replay_request_LDADD = $(CORE_LIBS)
tests_fuzz_replay_sse_SOURCES = tests/fuzz/fuzz_sse.c $(replay_sources)
tests_fuzz_replay_sse_LDADD = $(CORE_LIBS)
tests_fuzz_replay_answer_SOURCES = tests/fuzz/fuzz_answer.c tests/fuzz/answers.h tests/fuzz/wire_events.h $(replay_sources)
tests_fuzz_replay_answer_LDADD = $(CORE_LIBS)
tests_fuzz_replay_resume_SOURCES = tests/fuzz/fuzz_resume.c tests/fuzz/answers.h tests/fuzz/wire_events.h $(replay_sources)
tests_fuzz_replay_resume_LDADD = $(CORE_LIBS)
tests_fuzz_replay_split_SOURCES = tests/fuzz/fuzz_split.c tests/fuzz/answers.h tests/fuzz/wire_events.h $(replay_sources)
tests_fuzz_replay_split_LDADD = $(CORE_LIBS)
tests_fuzz_replay_translate_SOURCES = tests/fuzz/fuzz_translate.c $(replay_sources)
tests_fuzz_replay_translate_LDADD = $(CORE_LIBS)
tests_fuzz_replay_weights_SOURCES = tests/fuzz/fuzz_weights.c $(replay_sources)
tests_fuzz_replay_weights_LDADD = $(CORE_LIBS)

if FUZZ
noinst_PROGRAMS += tests/fuzz/fuzz_answer tests/fuzz/fuzz_conf tests/fuzz/fuzz_gguf tests/fuzz/fuzz_http_chunked \
  tests/fuzz/fuzz_http_head tests/fuzz/fuzz_json tests/fuzz/fuzz_mend tests/fuzz/fuzz_request tests/fuzz/fuzz_resume \
  tests/fuzz/fuzz_split tests/fuzz/fuzz_sse tests/fuzz/fuzz_translate tests/fuzz/fuzz_weights
fuzz_link = $(AM_LDFLAGS) -fsanitize=fuzzer

tests_fuzz_fuzz_conf_SOURCES = tests/fuzz/fuzz_conf.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_conf_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_conf_LDFLAGS = $(fuzz_link)
tests_fuzz_fuzz_gguf_SOURCES = tests/fuzz/fuzz_gguf.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_gguf_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_gguf_LDFLAGS = $(fuzz_link)
tests_fuzz_fuzz_http_chunked_SOURCES = tests/fuzz/fuzz_http_chunked.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_http_chunked_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_http_chunked_LDFLAGS = $(fuzz_link)
tests_fuzz_fuzz_http_head_SOURCES = tests/fuzz/fuzz_http_head.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_http_head_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_http_head_LDFLAGS = $(fuzz_link)
tests_fuzz_fuzz_json_SOURCES = tests/fuzz/fuzz_json.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_json_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_json_LDFLAGS = $(fuzz_link)
tests_fuzz_fuzz_mend_SOURCES = tests/fuzz/fuzz_mend.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_mend_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_mend_LDFLAGS = $(fuzz_link)
tests_fuzz_fuzz_request_SOURCES = tests/fuzz/fuzz_request.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_request_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_request_LDFLAGS = $(fuzz_link)
tests_fuzz_fuzz_sse_SOURCES = tests/fuzz/fuzz_sse.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_sse_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_sse_LDFLAGS = $(fuzz_link)
tests_fuzz_fuzz_answer_SOURCES = tests/fuzz/fuzz_answer.c tests/fuzz/answers.h tests/fuzz/wire_events.h tests/fuzz/fuzz.h
tests_fuzz_fuzz_answer_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_answer_LDFLAGS = $(fuzz_link)
tests_fuzz_fuzz_resume_SOURCES = tests/fuzz/fuzz_resume.c tests/fuzz/answers.h tests/fuzz/wire_events.h tests/fuzz/fuzz.h
tests_fuzz_fuzz_resume_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_resume_LDFLAGS = $(fuzz_link)
tests_fuzz_fuzz_split_SOURCES = tests/fuzz/fuzz_split.c tests/fuzz/answers.h tests/fuzz/wire_events.h tests/fuzz/fuzz.h
tests_fuzz_fuzz_split_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_split_LDFLAGS = $(fuzz_link)
tests_fuzz_fuzz_translate_SOURCES = tests/fuzz/fuzz_translate.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_translate_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_translate_LDFLAGS = $(fuzz_link)
tests_fuzz_fuzz_weights_SOURCES = tests/fuzz/fuzz_weights.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_weights_LDADD = $(CORE_LIBS)
tests_fuzz_fuzz_weights_LDFLAGS = $(fuzz_link)
endif
