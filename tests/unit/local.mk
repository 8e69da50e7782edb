# Units, one program for each module. Included by tests/local.mk.
if HAVE_CMOCKA
UNIT_TESTS = \
  tests/unit/test_buf tests/unit/test_text tests/unit/test_json tests/unit/test_metrics \
  tests/unit/test_ini tests/unit/test_conf tests/unit/test_routes tests/unit/test_argv \
  tests/unit/test_parse tests/unit/test_chunked tests/unit/test_sse tests/unit/test_request \
  tests/unit/test_stream tests/unit/test_assemble tests/unit/test_mend tests/unit/test_decide \
  tests/unit/test_breaker tests/unit/test_sched tests/unit/test_sched_traces tests/unit/test_ledger \
  tests/unit/test_measure tests/unit/test_gguf tests/unit/test_estimate tests/unit/test_range \
  tests/unit/test_devices tests/unit/test_codec tests/unit/test_codec_stream tests/unit/test_codec_resume \
  tests/unit/test_prefix tests/unit/test_history tests/unit/test_walk tests/unit/test_language \
  tests/unit/test_sessions tests/unit/test_share tests/unit/test_recordings tests/unit/test_features \
  tests/unit/test_weights tests/unit/test_learn_measure tests/unit/test_fit tests/unit/test_rows \
  tests/unit/test_records tests/unit/test_screen tests/unit/test_top
check_PROGRAMS += $(UNIT_TESTS)

tests_unit_test_buf_SOURCES = tests/unit/test_buf.c
tests_unit_test_buf_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_buf_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_text_SOURCES = tests/unit/test_text.c
tests_unit_test_text_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_text_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_json_SOURCES = tests/unit/test_json.c
tests_unit_test_json_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_json_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_metrics_SOURCES = tests/unit/test_metrics.c
tests_unit_test_metrics_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_metrics_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_ini_SOURCES = tests/unit/test_ini.c
tests_unit_test_ini_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_ini_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_conf_SOURCES = tests/unit/test_conf.c
tests_unit_test_conf_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_conf_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_routes_SOURCES = tests/unit/test_routes.c
tests_unit_test_routes_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_routes_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_argv_SOURCES = tests/unit/test_argv.c
tests_unit_test_argv_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_argv_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_parse_SOURCES = tests/unit/test_parse.c
tests_unit_test_parse_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_parse_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_chunked_SOURCES = tests/unit/test_chunked.c
tests_unit_test_chunked_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_chunked_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_sse_SOURCES = tests/unit/test_sse.c
tests_unit_test_sse_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_sse_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_request_SOURCES = tests/unit/test_request.c
tests_unit_test_request_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_request_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_stream_SOURCES = tests/unit/test_stream.c
tests_unit_test_stream_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_stream_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_assemble_SOURCES = tests/unit/test_assemble.c
tests_unit_test_assemble_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_assemble_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_prefix_SOURCES = tests/unit/test_prefix.c
tests_unit_test_prefix_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_prefix_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_mend_SOURCES = tests/unit/test_mend.c
tests_unit_test_mend_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_mend_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_decide_SOURCES = tests/unit/test_decide.c
tests_unit_test_decide_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_decide_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_breaker_SOURCES = tests/unit/test_breaker.c
tests_unit_test_breaker_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_breaker_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_sched_SOURCES = tests/unit/test_sched.c
tests_unit_test_sched_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_sched_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_sched_traces_SOURCES = tests/unit/test_sched_traces.c
tests_unit_test_sched_traces_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_sched_traces_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_ledger_SOURCES = tests/unit/test_ledger.c
tests_unit_test_ledger_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_ledger_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_measure_SOURCES = tests/unit/test_measure.c
tests_unit_test_measure_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_measure_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_gguf_SOURCES = tests/unit/test_gguf.c
tests_unit_test_gguf_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_gguf_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_estimate_SOURCES = tests/unit/test_estimate.c
tests_unit_test_estimate_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_estimate_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_range_SOURCES = tests/unit/test_range.c
tests_unit_test_range_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_range_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_devices_SOURCES = tests/unit/test_devices.c
tests_unit_test_devices_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_devices_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_codec_SOURCES = tests/unit/test_codec.c
tests_unit_test_codec_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_codec_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_codec_stream_SOURCES = tests/unit/test_codec_stream.c tests/unit/stream_text.h
tests_unit_test_codec_stream_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_codec_stream_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_codec_resume_SOURCES = tests/unit/test_codec_resume.c tests/unit/stream_text.h
tests_unit_test_codec_resume_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_codec_resume_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_history_SOURCES = tests/unit/test_history.c
tests_unit_test_history_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_history_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_walk_SOURCES = tests/unit/test_walk.c
tests_unit_test_walk_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_walk_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_language_SOURCES = tests/unit/test_language.c
tests_unit_test_language_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_language_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_sessions_SOURCES = tests/unit/test_sessions.c
tests_unit_test_sessions_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_sessions_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_share_SOURCES = tests/unit/test_share.c
tests_unit_test_share_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_share_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_recordings_SOURCES = tests/unit/test_recordings.c
tests_unit_test_recordings_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_recordings_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_features_SOURCES = tests/unit/test_features.c
tests_unit_test_features_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_features_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_weights_SOURCES = tests/unit/test_weights.c
tests_unit_test_weights_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_weights_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_learn_measure_SOURCES = tests/unit/test_learn_measure.c
tests_unit_test_learn_measure_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_learn_measure_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_fit_SOURCES = tests/unit/test_fit.c
tests_unit_test_fit_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_fit_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_rows_SOURCES = tests/unit/test_rows.c
tests_unit_test_rows_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_rows_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_records_SOURCES = tests/unit/test_records.c
tests_unit_test_records_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_records_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_screen_SOURCES = tests/unit/test_screen.c
tests_unit_test_screen_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_screen_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)

tests_unit_test_top_SOURCES = tests/unit/test_top.c
tests_unit_test_top_CPPFLAGS = $(AM_CPPFLAGS) $(CMOCKA_CFLAGS)
tests_unit_test_top_LDADD = $(CORE_LIBS) $(CMOCKA_LIBS)
endif
