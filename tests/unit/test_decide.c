#include "tests/unit/unit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base/alloc.h"
#include "core/route/decide.h"

enum { TARGETS = 4 };

/* Four equal targets a, b, c, d; each test changes what it is about. */
struct scene {
    struct pm_target conf[TARGETS];
    struct pm_target_view views[TARGETS];
    struct pm_route route;
    struct pm_api_request request;
    struct pm_route_input in;
    struct pm_verdict *verdicts;
    size_t n_verdicts;
    struct pm_decision d;
};

static char ids[TARGETS][2] = {"a", "b", "c", "d"}, route_id[] = "r";

static struct scene *scene(void)
{
    struct scene *s = pm_calloc(1, sizeof(*s));
    for (size_t i = 0; i < TARGETS; i++) {
        s->conf[i] = (struct pm_target){.id = ids[i], .index = i, .strength = 0.5};
        s->views[i] = (struct pm_target_view){.conf = &s->conf[i], .speaks = true};
    }
    s->route = (struct pm_route){
        .id = route_id, .weight_waiting = 0.35, .weight_leaving = 0.35, .weight_price = 2, .fallback = -1};
    s->request.prompt_tokens = 1000;
    s->in = (struct pm_route_input){
        .route = &s->route, .request = &s->request, .targets = s->views, .n_targets = TARGETS, .place = -1};
    return s;
}

static struct pm_verdict *add_verdict(struct scene *s)
{
    s->verdicts = pm_realloc(s->verdicts, s->n_verdicts + 1, sizeof(*s->verdicts));
    struct pm_verdict *v = &s->verdicts[s->n_verdicts++];
    *v = (struct pm_verdict){.policy = "test"};
    return v;
}

static void add_intent(struct pm_verdict *v, const char *name, double confidence)
{
    struct pm_intent *i = &v->intents[v->n_intents++];
    snprintf(i->name, sizeof(i->name), "%s", name);
    i->confidence = confidence;
}

static void good_at(struct scene *s, size_t t, const char *what)
{
    pm_strv_split(&s->conf[t].good_at, what);
}

static void decide(struct scene *s)
{
    pm_decide(&s->in, s->verdicts, s->n_verdicts, &s->d);
}

static void expect_order(struct scene *s, const char *order)
{
    char got[TARGETS + 1] = "";
    for (size_t i = 0; i < s->d.n_attempts; i++)
        got[i] = *s->conf[s->d.attempts[i].target].id;
    assert_string_equal(got, order);
}

static void end(struct scene *s)
{
    pm_decision_release(&s->d);
    for (size_t i = 0; i < TARGETS; i++)
        pm_strv_release(&s->conf[i].good_at);
    free(s);
}

static void what_ties_stays_in_the_order_of_targets(void **state)
{
    struct scene *s = scene();
    (void)state;
    decide(s);
    expect_order(s, "abcd");
    assert_true(s->d.reason[0]);
    end(s);
}

static void the_best_score_is_tried_first(void **state)
{
    struct scene *s = scene();
    (void)state;
    struct pm_verdict *v = add_verdict(s);
    v->prefer[1] = 0.2;
    v->prefer[2] = 0.4;
    v->prefer[3] = 0.2;
    decide(s);
    expect_order(s, "cbda");
    for (size_t i = 1; i < s->d.n_attempts; i++)
        assert_true(s->d.attempts[i - 1].score >= s->d.attempts[i].score);
    end(s);
}

static void the_fallback_is_last_however_good_it_is(void **state)
{
    static const char *const orders[] = {"bcda", "acdb", "abdc", "abcd"};
    (void)state;
    for (size_t f = 0; f < TARGETS; f++) {
        struct scene *s = scene();
        s->views[f].fallback = true;
        struct pm_verdict *v = add_verdict(s);
        v->prefer[f] = 1;
        decide(s);
        expect_order(s, orders[f]);
        end(s);
    }
}

static void a_fallback_between_better_and_worse_disturbs_no_order(void **state)
{
    struct scene *s = scene();
    (void)state;
    s->views[1].fallback = true;
    struct pm_verdict *v = add_verdict(s);
    v->prefer[0] = 0.1;
    v->prefer[2] = 0.3;
    v->prefer[3] = 0.2;
    decide(s);
    expect_order(s, "cdab");
    end(s);
}

static void a_vetoed_target_is_not_tried_and_the_reason_is_kept(void **state)
{
    struct scene *s = scene();
    struct pm_buf text;
    (void)state;
    struct pm_verdict *v = add_verdict(s);
    v->veto[0] = pm_strdup("it sees no images");
    v->prefer[0] = 1;
    s->views[1].down = "the breaker is open";
    s->views[2].speaks = false;
    decide(s);
    expect_order(s, "d");
    assert_string_equal(s->d.vetoes[0], "it sees no images");
    assert_string_equal(s->d.vetoes[1], "the breaker is open");
    assert_non_null(strstr(s->d.vetoes[2], "protocol"));
    assert_null(s->d.vetoes[3]);
    pm_buf_init(&text, PM_BUF_OWN_LIMIT);
    pm_decision_vetoes_text(&s->d, &text);
    assert_non_null(strstr(text.data, "it sees no images"));
    assert_non_null(strstr(text.data, "the breaker is open"));
    pm_buf_release(&text);
    end(s);
}

static void the_fallback_can_be_vetoed_too(void **state)
{
    struct scene *s = scene();
    (void)state;
    s->views[3].fallback = true;
    s->views[3].down = "no key";
    decide(s);
    expect_order(s, "abc");
    end(s);
}

static void with_everything_vetoed_nothing_is_tried(void **state)
{
    struct scene *s = scene();
    (void)state;
    for (size_t i = 0; i < TARGETS; i++)
        s->views[i].down = "down";
    decide(s);
    expect_order(s, "");
    end(s);
}

static void on_a_local_only_route_nothing_leaves_whatever_policies_say(void **state)
{
    struct scene *s = scene();
    (void)state;
    s->route.local_only = true;
    s->conf[0].kind = PM_TARGET_OPENAI;
    s->conf[3].kind = PM_TARGET_ANTHROPIC;
    s->views[3].fallback = true;
    struct pm_verdict *v = add_verdict(s);
    v->prefer[0] = v->prefer[3] = 1;
    decide(s);
    expect_order(s, "bc");
    assert_non_null(strstr(s->d.vetoes[0], "LOCAL_ONLY"));
    end(s);
}

static void a_failed_policy_has_no_say(void **state)
{
    struct scene *s = scene();
    (void)state;
    struct pm_verdict *v = add_verdict(s);
    v->failed = true;
    v->veto[0] = pm_strdup("nonsense");
    v->prefer[3] = 1;
    v->has_complexity = true;
    v->complexity = 1;
    add_intent(v, "code", 1);
    decide(s);
    expect_order(s, "abcd");
    assert_false(s->d.has_complexity);
    assert_int_equal(s->d.n_intents, 0);
    assert_false(s->d.refused);
    end(s);
}

static void a_failed_or_skipped_policy_refuses_where_the_route_says_so(void **state)
{
    (void)state;
    for (int skipped = 0; skipped < 2; skipped++) {
        struct scene *s = scene();
        s->route.refuse_on_policy_error = true;
        add_verdict(s)->has_complexity = true;
        struct pm_verdict *v = add_verdict(s);
        v->failed = !skipped;
        v->skipped = skipped;
        decide(s);
        assert_true(s->d.refused);
        expect_order(s, "");
        assert_non_null(strstr(s->d.reason, "ON_POLICY_ERROR"));
        end(s);
    }
}

static void an_intent_goes_to_who_is_good_at_it(void **state)
{
    struct scene *s = scene();
    (void)state;
    good_at(s, 0, "general");
    good_at(s, 2, "planner,code");
    add_intent(add_verdict(s), "code", 0.9);
    decide(s);
    assert_int_equal(s->d.attempts[0].target, 2);
    end(s);
}

static void without_an_intent_general_is_preferred(void **state)
{
    struct scene *s = scene();
    (void)state;
    good_at(s, 0, "code");
    good_at(s, 1, "general");
    decide(s);
    assert_int_equal(s->d.attempts[0].target, 1);
    end(s);
}

static void of_one_intent_seen_twice_the_higher_confidence_counts(void **state)
{
    static const double order[][2] = {{0.9, 0.2}, {0.2, 0.9}};
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        struct scene *s = scene();
        add_intent(add_verdict(s), "code", order[i][0]);
        add_intent(add_verdict(s), "code", order[i][1]);
        decide(s);
        assert_int_equal(s->d.n_intents, 1);
        assert_true(s->d.intents[0].confidence == 0.9);
        end(s);
    }
}

static void more_intents_than_there_is_room_for_do_no_harm(void **state)
{
    struct scene *s = scene();
    (void)state;
    for (int k = 0; k < 3; k++) {
        struct pm_verdict *v = add_verdict(s);
        for (int i = 0; i < PM_INTENTS_MAX; i++) {
            char name[16];
            snprintf(name, sizeof(name), "i%d-%d", k, i);
            add_intent(v, name, 0.5);
        }
    }
    decide(s);
    assert_int_equal(s->d.n_intents, PM_INTENTS_MAX);
    end(s);
}

static void a_hard_request_goes_to_the_strong_and_an_easy_one_to_the_first(void **state)
{
    static const struct {
        double complexity;
        size_t first;
    } rows[] = {{0.9, 2}, {0.1, 0}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct scene *s = scene();
        s->conf[0].strength = 0.3;
        s->conf[2].strength = 0.95;
        struct pm_verdict *v = add_verdict(s);
        v->has_complexity = true;
        v->complexity = rows[i].complexity;
        decide(s);
        assert_true(s->d.has_complexity && s->d.complexity == rows[i].complexity);
        assert_int_equal(s->d.attempts[0].target, rows[i].first);
        end(s);
    }
}

static void waiting_leaving_and_price_are_costs_that_weights_scale(void **state)
{
    (void)state;
    for (int which = 0; which < 3; which++) {
        for (int weighted = 0; weighted < 2; weighted++) {
            struct scene *s = scene();
            s->views[0].wait_s = which == 0 ? 60 : 0;
            s->views[0].leaving_s = which == 1 ? 60 : 0;
            s->conf[0].price_in = which == 2 ? 15 : 0;
            if (!weighted)
                s->route.weight_waiting = s->route.weight_leaving = s->route.weight_price = 0;
            decide(s);
            expect_order(s, weighted ? "bcda" : "abcd");
            const struct pm_candidate *c = &s->d.attempts[weighted ? TARGETS - 1 : 0];
            assert_true((c->waiting > 0) == (weighted && which == 0));
            assert_true((c->leaving > 0) == (weighted && which == 1));
            assert_true((c->price > 0) == (weighted && which == 2));
            assert_true(fabs(c->score - (c->benefit - c->waiting - c->leaving - c->price)) < 1e-12);
            end(s);
        }
    }
}

static void a_longer_wait_costs_more_but_never_more_than_its_weight(void **state)
{
    static const double waits[] = {0, 0.1, 1, 10, 100, 1e4, 1e9};
    double before = -1;
    (void)state;
    for (size_t i = 0; i < COUNT(waits); i++) {
        struct scene *s = scene();
        s->in.n_targets = 1;
        s->views[0].wait_s = waits[i];
        decide(s);
        double cost = s->d.attempts[0].waiting;
        assert_true(cost > before && cost <= s->route.weight_waiting);
        before = cost;
        end(s);
    }
}

static void the_price_counts_prompt_and_answer_and_is_bounded(void **state)
{
    static const struct {
        double in, out;
        long long prompt, most;
        double price;
    } rows[] = {
        {10, 0, 100000, 0, 1},     {10, 0, 10000, 0, 0.2}, {0, 100, 10000, 100, 0.02},
        {0, 100, 10000, 500, 0.1}, {0, 0, 10000, 0, 0},    {1e6, 1e6, 1000000, 0, 1},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct scene *s = scene();
        s->in.n_targets = 1;
        s->conf[0].price_in = rows[i].in;
        s->conf[0].price_out = rows[i].out;
        s->request.prompt_tokens = rows[i].prompt;
        s->request.max_tokens = rows[i].most;
        decide(s);
        expect(fabs(s->d.attempts[0].price - rows[i].price) < 1e-9, "row %zu: %f\n", i, s->d.attempts[0].price);
        end(s);
    }
}

static void the_trace_is_json_with_every_target_in_it(void **state)
{
    struct scene *s = scene();
    (void)state;
    struct pm_verdict *v = add_verdict(s);
    add_intent(v, "code", 0.9);
    snprintf(v->reason, sizeof(v->reason), "says debug");
    v->veto[1] = pm_strdup("no tools");
    decide(s);
    assert_non_null(strstr(s->d.reason, "says debug"));
    cJSON *json = pm_decision_json(&s->d);
    char *text = pm_json_text(json);
    for (size_t i = 0; i < TARGETS; i++) {
        char quoted[16];
        snprintf(quoted, sizeof(quoted), "\"%s\"", ids[i]);
        expect(strstr(text, quoted), "%s is not in %s\n", quoted, text);
    }
    assert_non_null(strstr(text, "no tools"));
    assert_non_null(strstr(text, "\"code\""));
    free(text);
    cJSON_Delete(json);
    end(s);
}

/* --- STRONG_SHARE --- */

static struct pm_share *scores(unsigned n, double from, double to)
{
    struct pm_share *s = pm_calloc(1, sizeof(*s));
    for (unsigned i = 0; i < n; i++)
        pm_share_note(s, from + (to - from) * i / n);
    return s;
}

static void give_strengths(struct scene *s)
{
    static const double strengths[] = {0.3, 0.6, 0.9, 0.5};
    for (size_t i = 0; i < TARGETS; i++)
        s->conf[i].strength = strengths[i];
}

static void say_complexity(struct scene *s, double complexity)
{
    struct pm_verdict *v = add_verdict(s);
    v->has_complexity = true;
    v->complexity = complexity;
}

static void without_a_share_the_score_is_the_demand(void **state)
{
    struct scene *s = scene();
    (void)state;
    give_strengths(s);
    say_complexity(s, 0.6);
    decide(s);
    assert_true(s->d.demand == 0.6 && s->d.limit < 0);
    assert_int_equal(s->d.attempts[0].target, 1);
    end(s);
}

static void with_a_share_the_limit_is_a_quantile_of_the_last_scores(void **state)
{
    static const struct {
        double from, to, share, complexity;
        bool strong;
    } rows[] = {
        /* no score here is high, and yet a part is the strongest */
        {0, 0.2, 0.1, 0.19, true},  {0, 0.2, 0.1, 0.15, false},   {0, 0.2, 0.5, 0.15, true},
        {0.8, 1, 0.1, 0.85, false}, {0.8, 1, 0.1, 0.99, true},    {0, 1, 0, 1, false},
        {0, 1, 1, 0, true},         {0.5, 0.6, 0.3, 0.575, true}, {0.5, 0.6, 0.3, 0.565, false},
    };
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct scene *s = scene();
        give_strengths(s);
        s->route.strong_share = rows[i].share;
        s->in.share = scores(PM_SHARE_SCORES, rows[i].from, rows[i].to);
        say_complexity(s, rows[i].complexity);
        decide(s);
        expect(s->d.demand == (rows[i].strong ? 0.9 : 0), "row %zu: demand %f, limit %f\n", i, s->d.demand,
               s->d.limit);
        expect(s->d.attempts[0].target == (rows[i].strong ? 2 : 0), "row %zu\n", i);
        assert_true(s->d.complexity == rows[i].complexity && s->d.limit >= 0);
        free(s->in.share);
        end(s);
    }
}

static void the_strong_side_is_the_strongest_that_can_be_used(void **state)
{
    struct scene *s = scene();
    (void)state;
    give_strengths(s);
    s->views[2].down = "no memory";
    s->route.strong_share = 0.5;
    s->in.share = scores(0, 0, 0);
    say_complexity(s, 0.5);
    decide(s);
    assert_true(s->d.demand == 0.6 && s->d.limit == 0.5);
    assert_int_equal(s->d.attempts[0].target, 1);
    free(s->in.share);
    end(s);
}

static void a_share_without_a_score_says_nothing(void **state)
{
    struct scene *s = scene();
    (void)state;
    give_strengths(s);
    s->route.strong_share = 1;
    s->in.share = scores(0, 0, 0);
    add_verdict(s);
    decide(s);
    assert_true(s->d.demand == 0 && s->d.limit < 0 && !s->d.has_complexity);
    expect_order(s, "abcd");
    assert_int_equal(s->in.share->n, 0);
    free(s->in.share);
    end(s);
}

static void the_trace_tells_the_limit(void **state)
{
    (void)state;
    for (int shared = 0; shared < 2; shared++) {
        struct scene *s = scene();
        s->route.strong_share = 0.25;
        s->in.share = shared ? scores(0, 0, 0) : NULL;
        say_complexity(s, 0.4);
        decide(s);
        cJSON *json = pm_decision_json(&s->d);
        const cJSON *limit = cJSON_GetObjectItem(json, "limit");
        assert_true(shared ? cJSON_IsNumber(limit) && limit->valuedouble == 0.75 : !limit);
        assert_null(cJSON_GetObjectItem(json, "stays"));
        cJSON_Delete(json);
        free(s->in.share);
        end(s);
    }
}

/* --- an agent at work --- */

/* `d` would be the best; the conversation is at `b`. */
static struct scene *agent(void)
{
    struct scene *s = scene();
    s->in.place = 1;
    s->request.tool_loop = true;
    add_verdict(s)->prefer[3] = 1;
    return s;
}

static void the_result_of_a_tool_goes_to_who_asked_for_it(void **state)
{
    struct scene *s = agent();
    (void)state;
    decide(s);
    expect_order(s, "bdac");
    assert_true(s->d.stays);
    assert_non_null(strstr(s->d.reason, "tool"));
    cJSON *json = pm_decision_json(&s->d);
    assert_true(cJSON_IsTrue(cJSON_GetObjectItem(json, "stays")));
    cJSON_Delete(json);
    end(s);
}

static void a_new_turn_and_a_first_one_go_where_the_scores_say(void **state)
{
    (void)state;
    for (int first = 0; first < 2; first++) {
        struct scene *s = agent();
        s->request.tool_loop = first;
        s->in.place = first ? -1 : 1;
        decide(s);
        expect_order(s, "dabc");
        assert_false(s->d.stays);
        end(s);
    }
}

static void who_insists_is_heard_unless_he_failed(void **state)
{
    (void)state;
    for (int failed = 0; failed < 2; failed++) {
        struct scene *s = agent();
        struct pm_verdict *v = add_verdict(s);
        v->insists = true;
        v->failed = failed;
        decide(s);
        expect_order(s, failed ? "bdac" : "dabc");
        assert_true(s->d.stays == failed);
        end(s);
    }
}

static void nobody_stays_where_nothing_answers(void **state)
{
    (void)state;
    for (int how = 0; how < 3; how++) {
        struct scene *s = agent();
        if (how == 0)
            s->views[1].down = "its server ended";
        else if (how == 1)
            s->verdicts[0].veto[1] = pm_strdup("too long for it");
        else
            s->views[1].speaks = false;
        decide(s);
        expect_order(s, "dac");
        assert_false(s->d.stays);
        end(s);
    }
}

static void one_may_stay_with_the_fallback(void **state)
{
    struct scene *s = agent();
    (void)state;
    s->views[1].fallback = true;
    decide(s);
    expect_order(s, "bdac");
    assert_true(s->d.stays);
    end(s);
}

static void who_refuses_refuses_at_any_place(void **state)
{
    struct scene *s = agent();
    (void)state;
    s->route.refuse_on_policy_error = true;
    s->verdicts[0].failed = true;
    decide(s);
    expect_order(s, "");
    assert_true(s->d.refused && !s->d.stays);
    assert_non_null(strstr(s->d.reason, "ON_POLICY_ERROR"));
    end(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_ties_stays_in_the_order_of_targets),
        cmocka_unit_test(the_best_score_is_tried_first),
        cmocka_unit_test(the_fallback_is_last_however_good_it_is),
        cmocka_unit_test(a_fallback_between_better_and_worse_disturbs_no_order),
        cmocka_unit_test(a_vetoed_target_is_not_tried_and_the_reason_is_kept),
        cmocka_unit_test(the_fallback_can_be_vetoed_too),
        cmocka_unit_test(with_everything_vetoed_nothing_is_tried),
        cmocka_unit_test(on_a_local_only_route_nothing_leaves_whatever_policies_say),
        cmocka_unit_test(a_failed_policy_has_no_say),
        cmocka_unit_test(a_failed_or_skipped_policy_refuses_where_the_route_says_so),
        cmocka_unit_test(an_intent_goes_to_who_is_good_at_it),
        cmocka_unit_test(without_an_intent_general_is_preferred),
        cmocka_unit_test(of_one_intent_seen_twice_the_higher_confidence_counts),
        cmocka_unit_test(more_intents_than_there_is_room_for_do_no_harm),
        cmocka_unit_test(a_hard_request_goes_to_the_strong_and_an_easy_one_to_the_first),
        cmocka_unit_test(waiting_leaving_and_price_are_costs_that_weights_scale),
        cmocka_unit_test(a_longer_wait_costs_more_but_never_more_than_its_weight),
        cmocka_unit_test(the_price_counts_prompt_and_answer_and_is_bounded),
        cmocka_unit_test(the_trace_is_json_with_every_target_in_it),
        cmocka_unit_test(without_a_share_the_score_is_the_demand),
        cmocka_unit_test(with_a_share_the_limit_is_a_quantile_of_the_last_scores),
        cmocka_unit_test(the_strong_side_is_the_strongest_that_can_be_used),
        cmocka_unit_test(a_share_without_a_score_says_nothing),
        cmocka_unit_test(the_trace_tells_the_limit),
        cmocka_unit_test(the_result_of_a_tool_goes_to_who_asked_for_it),
        cmocka_unit_test(a_new_turn_and_a_first_one_go_where_the_scores_say),
        cmocka_unit_test(who_insists_is_heard_unless_he_failed),
        cmocka_unit_test(nobody_stays_where_nothing_answers),
        cmocka_unit_test(one_may_stay_with_the_fallback),
        cmocka_unit_test(who_refuses_refuses_at_any_place),
    };
    return cmocka_run_group_tests_name("decide", tests, NULL, NULL);
}
