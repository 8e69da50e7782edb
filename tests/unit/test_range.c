#include "tests/unit/unit.h"

#include <regex.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/manager/estimate.h"

enum { MOST = 130 };

static char *range(int first, int last)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    pm_range_regex(first, last, &out);
    char *text = pm_buf_take(&out);
    return text;
}

/* As it is used: in parentheses, with something around it. */
static void compile(regex_t *re, const char *numbers)
{
    char whole[4096];
    snprintf(whole, sizeof(whole), "blk\\.(%s)\\.", numbers);
    assert_int_equal(regcomp(re, whole, REG_EXTENDED | REG_NOSUB), 0);
}

static void every_range_has_its_numbers_and_no_other(void **state)
{
    (void)state;
    for (int first = 0; first <= MOST; first++) {
        for (int last = first; last <= MOST; last++) {
            char *text = range(first, last);
            regex_t re;
            compile(&re, text);
            for (int n = 0; n <= MOST + 20; n++) {
                char name[40];
                snprintf(name, sizeof(name), "blk.%d.ffn_up_exps.weight", n);
                bool matches = regexec(&re, name, 0, NULL, 0) == 0;
                expect(matches == (n >= first && n <= last), "%d-%d: `%s` and %d\n", first, last, text, n);
            }
            regfree(&re);
            free(text);
        }
    }
}

static void ranges_as_a_person_would_write_them(void **state)
{
    static const struct {
        int first, last;
        const char *text;
    } rows[] = {{0, 12, "[0-9]|1[0-2]"}, {0, 0, "0"}, {3, 7, "[3-7]"}, {10, 10, "10"}, {8, 11, "[8-9]|1[0-1]"}};
    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        char *text = range(rows[i].first, rows[i].last);
        assert_string_equal(text, rows[i].text);
        free(text);
    }
}

static char *override_of(const struct pm_placement *p)
{
    struct pm_buf out;
    pm_buf_init(&out, PM_BUF_OWN_LIMIT);
    pm_place_override(p, "CUDA", &out);
    return pm_buf_take(&out);
}

static void the_override_names_the_whole_layers_of_each_device(void **state)
{
    struct pm_placement p = {.n_devices = 3, .experts_on_cpu = 20};
    (void)state;
    p.device[0] = (struct pm_place){.first = 0, .last = 11};
    p.device[1] = (struct pm_place){.first = 12, .last = 19};
    p.device[2] = (struct pm_place){.first = -1, .last = -1};
    char *text = override_of(&p);
    assert_string_equal(text, "blk\\.([0-9]|1[0-1])\\.=CUDA0,blk\\.(1[2-9])\\.=CUDA1,exps=CPU");
    free(text);
    p.fits = true;
    text = override_of(&p);
    assert_true(!text || !*text);
    free(text);
    p.fits = false;
    p.experts_on_cpu = -1;
    text = override_of(&p);
    assert_true(!text || !*text);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_range_has_its_numbers_and_no_other),
        cmocka_unit_test(ranges_as_a_person_would_write_them),
        cmocka_unit_test(the_override_names_the_whole_layers_of_each_device),
    };
    return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}
