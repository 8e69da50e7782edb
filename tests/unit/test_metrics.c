#include "tests/unit/unit.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/metrics.h"

static const char overhead[] = "pointsman_overhead_seconds";

static char *text_of(struct pm_metrics *m)
{
    struct pm_buf b;
    pm_buf_init(&b, PM_BUF_OWN_LIMIT);
    pm_metrics_text(m, &b);
    return pm_buf_take(&b);
}

/* Is there this very line? */
static bool has_line(const char *text, const char *line)
{
    size_t n = strlen(line);
    for (const char *p = text; (p = strstr(p, line)); p++)
        if ((p == text || p[-1] == '\n') && p[n] == '\n')
            return true;
    return false;
}

static void expect_lines(struct pm_metrics *m, const char *const *lines, size_t n)
{
    char *text = text_of(m);
    for (size_t i = 0; i < n; i++)
        expect(has_line(text, lines[i]), "`%s` is not in\n%s\n", lines[i], text);
    free(text);
}

static size_t count_of(const char *text, const char *word)
{
    size_t n = 0;
    for (const char *p = text; (p = strstr(p, word)); p++)
        n++;
    return n;
}

static void counters_add_up_by_labels(void **state)
{
    static const char *const lines[] = {
        "# TYPE pointsman_http_requests_total counter",
        "pointsman_http_requests_total{status=\"200\"} 3",
        "pointsman_http_requests_total{status=\"404\"} 1",
        "pointsman_worker_restarts_total 1",
    };
    struct pm_metrics *m = pm_metrics_new();
    (void)state;
    pm_metrics_add(m, "pointsman_http_requests_total", "status=\"200\"", 1);
    pm_metrics_add(m, "pointsman_http_requests_total", "status=\"200\"", 2);
    pm_metrics_add(m, "pointsman_http_requests_total", "status=\"404\"", 1);
    pm_metrics_add(m, "pointsman_worker_restarts_total", "", 1);
    expect_lines(m, lines, COUNT(lines));
    pm_metrics_free(m);
}

static void gauges_are_set(void **state)
{
    static const char *const lines[] = {"# TYPE pointsman_config_generation gauge", "pointsman_config_generation 3"};
    struct pm_metrics *m = pm_metrics_new();
    (void)state;
    pm_metrics_set(m, "pointsman_config_generation", "", 7);
    pm_metrics_set(m, "pointsman_config_generation", "", 3);
    expect_lines(m, lines, COUNT(lines));
    pm_metrics_free(m);
}

static void histogram_buckets_are_cumulative_and_end_in_the_count(void **state)
{
    static const char *const lines[] = {
        "# TYPE pointsman_overhead_seconds histogram",
        "pointsman_overhead_seconds_bucket{w=\"1\",le=\"1e-05\"} 1", /* a bound belongs to its bucket */
        "pointsman_overhead_seconds_bucket{w=\"1\",le=\"2e-05\"} 1",
        "pointsman_overhead_seconds_bucket{w=\"1\",le=\"0.0001\"} 1",
        "pointsman_overhead_seconds_bucket{w=\"1\",le=\"0.0002\"} 3",
        "pointsman_overhead_seconds_bucket{w=\"1\",le=\"1\"} 4",
        "pointsman_overhead_seconds_bucket{w=\"1\",le=\"+Inf\"} 5",
        "pointsman_overhead_seconds_count{w=\"1\"} 5",
    };
    static const double seen[] = {1e-5, 1.5e-4, 1.5e-4, 1, 50};
    struct pm_metrics *m = pm_metrics_new();
    (void)state;
    for (size_t i = 0; i < COUNT(seen); i++)
        pm_metrics_observe(m, overhead, "w=\"1\"", seen[i]);
    expect_lines(m, lines, COUNT(lines));
    char *text = text_of(m);
    const char *sum = strstr(text, "_sum{w=\"1\"} ");
    assert_non_null(sum);
    double value = strtod(sum + strlen("_sum{w=\"1\"} "), NULL);
    assert_true(value > 51.0003 && value < 51.0004);
    free(text);
    pm_metrics_free(m);
}

static void a_histogram_without_labels_has_the_bound_only(void **state)
{
    static const char *const lines[] = {"pointsman_overhead_seconds_bucket{le=\"+Inf\"} 1",
                                        "pointsman_overhead_seconds_sum 0", "pointsman_overhead_seconds_count 1"};
    struct pm_metrics *m = pm_metrics_new();
    (void)state;
    pm_metrics_observe(m, overhead, "", 0);
    expect_lines(m, lines, COUNT(lines));
    pm_metrics_free(m);
}

static void label_values_cannot_leave_their_quotes(void **state)
{
    struct pm_buf labels;
    (void)state;
    pm_buf_init(&labels, PM_BUF_OWN_LIMIT);
    pm_metrics_label(&labels, "a", "x\"y\\z\nw");
    assert_string_equal(labels.data, "a=\"x\\\"y\\\\z\\nw\"");
    pm_metrics_label(&labels, "b", "");
    assert_string_equal(labels.data, "a=\"x\\\"y\\\\z\\nw\",b=\"\"");
    pm_buf_release(&labels);
}

static void each_metric_has_one_header_and_its_series_together(void **state)
{
    struct pm_metrics *m = pm_metrics_new();
    (void)state;
    for (int i = 0; i < 20; i++) {
        char labels[32];
        snprintf(labels, sizeof(labels), "worker=\"%d\"", i);
        pm_metrics_add(m, "pointsman_switches_total", labels, 1);
        pm_metrics_add(m, "pointsman_policy_switches_total", labels, 1);
        pm_metrics_add(m, "pointsman_switches_total_of_a_policy", labels, 1);
        pm_metrics_observe(m, overhead, labels, 1);
    }
    char *text = text_of(m);
    assert_int_equal(count_of(text, "# TYPE "), 4);
    assert_int_equal(count_of(text, "# HELP "), 4);
    /* A series belongs to the header above it. */
    char name[100] = "";
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        if (sscanf(line, "# TYPE %99s", name) == 1 || *line == '#')
            continue;
        expect(strncmp(line, name, strlen(name)) == 0, "%s stands under %s\n", line, name);
        const char *rest = line + strlen(name);
        expect(strchr("{ _", *rest) && (*rest != '_' || strcmp(name, overhead) == 0), "%s stands under %s\n", line,
               name);
    }
    free(text);
    pm_metrics_free(m);
}

static void what_is_drained_and_merged_gives_the_same_text(void **state)
{
    struct pm_metrics *worker = pm_metrics_new(), *manager = pm_metrics_new();
    struct pm_buf lines, labels;
    (void)state;
    pm_buf_init(&lines, PM_BUF_OWN_LIMIT);
    pm_buf_init(&labels, PM_BUF_OWN_LIMIT);
    pm_metrics_label(&labels, "route", "a \"quoted\" {name}, with\nall\\");
    for (int i = 0; i < 300; i++) {
        pm_metrics_observe(worker, overhead, labels.data, i * 1e-4);
        pm_metrics_observe(worker, "gen_ai_client_token_usage", "", i * 100.5);
        pm_metrics_add(worker, "pointsman_cancelled_total", labels.data, 0.125);
        pm_metrics_add(worker, "pointsman_policy_mine_total", "", 1);
    }
    char *before = text_of(worker);
    assert_true(pm_metrics_drain(worker, &lines));
    pm_metrics_merge(manager, lines.data);
    char *after = text_of(manager);
    assert_string_equal(before, after);
    free(before);
    free(after);
    pm_buf_release(&lines);
    pm_buf_release(&labels);
    pm_metrics_free(worker);
    pm_metrics_free(manager);
}

static void draining_leaves_nothing_behind(void **state)
{
    struct pm_metrics *m = pm_metrics_new();
    struct pm_buf out;
    (void)state;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    assert_false(pm_metrics_drain(m, &out));
    pm_metrics_add(m, "pointsman_cancelled_total", "", 2);
    pm_metrics_observe(m, overhead, "", 0); /* a count without a sum */
    assert_true(pm_metrics_drain(m, &out));
    pm_buf_clear(&out);
    assert_false(pm_metrics_drain(m, &out));
    assert_int_equal(out.len, 0);
    pm_buf_release(&out);
    pm_metrics_free(m);
}

static void increments_of_two_workers_add_up(void **state)
{
    static const char *const lines[] = {"pointsman_cancelled_total 5",
                                        "pointsman_overhead_seconds_bucket{le=\"+Inf\"} 2"};
    struct pm_metrics *sum = pm_metrics_new();
    (void)state;
    for (int w = 2; w <= 3; w++) {
        struct pm_metrics *worker = pm_metrics_new();
        struct pm_buf out;
        pm_buf_init(&out, PM_BUF_OWN_LIMIT);
        pm_metrics_add(worker, "pointsman_cancelled_total", "", w);
        pm_metrics_observe(worker, overhead, "", w);
        assert_true(pm_metrics_drain(worker, &out));
        pm_metrics_merge(sum, out.data);
        pm_buf_release(&out);
        pm_metrics_free(worker);
    }
    expect_lines(sum, lines, COUNT(lines));
    pm_metrics_free(sum);
}

static void malformed_lines_are_passed_over(void **state)
{
    static const char *const rows[] = {
        "",        "\n\n",        "noblank",        "name notanumber", "name ",
        " 1",      "{a=\"b\"} 1", "name{a=\"b\" 1", "name{ 1",         "pointsman_overhead_seconds{ 1",
        "name} 1",
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct pm_metrics *m = pm_metrics_new();
        pm_metrics_merge(m, rows[i]);
        char *text = text_of(m);
        expect(!*text, "`%s` became\n%s\n", rows[i], text);
        free(text);
        pm_metrics_free(m);
    }
}

static void a_malformed_line_does_not_stop_the_next(void **state)
{
    static const char *const lines[] = {"pointsman_cancelled_total 2"};
    struct pm_metrics *m = pm_metrics_new();
    (void)state;
    pm_metrics_merge(m, "rubbish\npointsman_cancelled_total 1\n\n???\npointsman_cancelled_total 1");
    expect_lines(m, lines, 1);
    pm_metrics_free(m);
}

static void new_series_beyond_the_cap_are_dropped_and_the_old_still_count(void **state)
{
    static const char *const lines[] = {"pointsman_switches_total{n=\"0\"} 2"};
    struct pm_metrics *m = pm_metrics_new();
    (void)state;
    for (int i = 0; i < 6000; i++) {
        char labels[32];
        snprintf(labels, sizeof(labels), "n=\"%d\"", i);
        pm_metrics_add(m, "pointsman_switches_total", labels, 1);
    }
    pm_metrics_add(m, "pointsman_switches_total", "n=\"0\"", 1);
    expect_lines(m, lines, 1);
    char *text = text_of(m);
    size_t n = count_of(text, "pointsman_switches_total{");
    assert_in_range(n, 1000, 5999);
    free(text);
    pm_metrics_free(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counters_add_up_by_labels),
        cmocka_unit_test(gauges_are_set),
        cmocka_unit_test(histogram_buckets_are_cumulative_and_end_in_the_count),
        cmocka_unit_test(a_histogram_without_labels_has_the_bound_only),
        cmocka_unit_test(label_values_cannot_leave_their_quotes),
        cmocka_unit_test(each_metric_has_one_header_and_its_series_together),
        cmocka_unit_test(what_is_drained_and_merged_gives_the_same_text),
        cmocka_unit_test(draining_leaves_nothing_behind),
        cmocka_unit_test(increments_of_two_workers_add_up),
        cmocka_unit_test(malformed_lines_are_passed_over),
        cmocka_unit_test(a_malformed_line_does_not_stop_the_next),
        cmocka_unit_test(new_series_beyond_the_cap_are_dropped_and_the_old_still_count),
    };
    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}
